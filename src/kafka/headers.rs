//! The headers of a record that was read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedMessage, Headers, Message};

/// What `read` makes of a record's headers: name and value in their order, a missing value as an empty one.
///
/// Nothing where a name is no text. `rdkafka` panics at one, and whoever may write to a topic may write one: he could end
/// everybody who reads it.
pub(super) fn read<'m, T: Default>(
    message: &'m BorrowedMessage<'_>,
    read: impl FnOnce(&mut dyn Iterator<Item = (&'m str, &'m [u8])>) -> T,
) -> T {
    let all = || {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        read(&mut headers.map(|header| (header.key, header.value.unwrap_or_default())))
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_default()
}
