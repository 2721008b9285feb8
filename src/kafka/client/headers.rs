//! The headers of a record, as sent and as read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use idaas_callback::record::Record;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

/// Builds the headers of a record that is about to be sent, with the trace context of its span if it has one.
pub(in crate::kafka) fn of(record: &Record, traceparent: Option<&str>) -> OwnedHeaders {
    let own = record.headers.iter();
    let headers = OwnedHeaders::new_with_capacity(own.len() + usize::from(traceparent.is_some()));
    own.chain(traceparent.map(|context| ("traceparent", context)))
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_bytes()) }))
}

/// Passes a record's headers to `read`, in their order, and returns its result. A missing value is passed as an empty
/// one.
///
/// Returns the default value if a header's name is not UTF-8. `rdkafka` panics on such a name, and anyone who may
/// write to a topic could use it to crash every reader.
pub(in crate::kafka) fn read<'m, T: Default>(
    message: &'m BorrowedMessage<'_>,
    read: impl FnOnce(&mut dyn Iterator<Item = (&'m str, &'m [u8])>) -> T,
) -> T {
    let all = || {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        read(&mut headers.map(|header| (header.key, header.value.unwrap_or_default())))
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_default()
}
