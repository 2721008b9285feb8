//! The headers of a record.

use strum::VariantArray;

/// The name of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum HeaderName {
    /// The media type of the value.
    #[strum(serialize = "content-type")]
    ContentType,
    /// The version of CloudEvents.
    #[strum(serialize = "ce_specversion")]
    SpecVersion,
    /// The event's id. With the source, it is unique.
    #[strum(serialize = "ce_id")]
    Id,
    /// The IDaaS instance and the application.
    #[strum(serialize = "ce_source")]
    Source,
    /// Entity, action and version.
    #[strum(serialize = "ce_type")]
    Type,
    /// The schema of the value.
    #[strum(serialize = "ce_dataschema")]
    DataSchema,
    /// The entity's id.
    #[strum(serialize = "ce_subject")]
    Subject,
    /// The time of the event.
    #[strum(serialize = "ce_time")]
    Time,
    /// The record's key.
    #[strum(serialize = "ce_partitionkey")]
    PartitionKey,
    /// The trace context of the callback.
    #[strum(serialize = "ce_traceparent")]
    TraceParent,
}

impl HeaderName {
    /// Returns the name in the record.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.into()
    }

    /// Returns the header with this name. `None` if records do not have such a header.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|known| known.text() == name)
    }
}

/// The capacity for the values of all headers of a typical record, in bytes.
const VALUES_CAPACITY: usize = 384;

/// The headers of a record: names and values in the order in which they are sent.
///
/// All values share one allocation, because every event has about ten of them.
#[derive(Clone, Default)]
pub struct Headers {
    values: String,
    /// Each name, and the end of its value in `values`. A value begins where the previous one ends.
    ends: Vec<(HeaderName, usize)>,
}

impl Headers {
    /// Creates headers without an entry, with the capacity for those of a typical record.
    pub(crate) fn with_typical_capacity() -> Self {
        Self { values: String::with_capacity(VALUES_CAPACITY), ends: Vec::with_capacity(HeaderName::VARIANTS.len()) }
    }

    /// Adds a header, whose value is the concatenation of `parts`.
    pub fn push(&mut self, name: HeaderName, parts: &[&str]) {
        parts.iter().for_each(|part| self.values.push_str(part));
        self.ends.push((name, self.values.len()));
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |(name, end)| {
            let value = self.values.get(begin..*end).unwrap_or_default();
            begin = *end;
            (name.text(), value)
        })
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn get(&self, name: HeaderName) -> Option<&str> {
        let at = self.ends.iter().position(|(known, _)| *known == name)?;
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        self.values.get(begin..self.ends.get(at)?.1)
    }
}

impl<'a> FromIterator<(HeaderName, &'a str)> for Headers {
    fn from_iter<T: IntoIterator<Item = (HeaderName, &'a str)>>(headers: T) -> Self {
        let mut all = Self::default();
        headers.into_iter().for_each(|(name, value)| all.push(name, &[value]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again() {
        assert!(HeaderName::VARIANTS.iter().all(|name| HeaderName::of(name.text()) == Some(*name)));
        assert_eq!(HeaderName::of("ce_other"), None);
    }

    #[test]
    fn values_keep_their_order_and_bounds() {
        let mut headers = Headers::with_typical_capacity();
        headers.push(HeaderName::Id, &["evnt_", "1"]);
        headers.push(HeaderName::Subject, &[""]);
        headers.push(HeaderName::Source, &["/idaas"]);
        let all = [("ce_id", "evnt_1"), ("ce_subject", ""), ("ce_source", "/idaas")];
        assert!(headers.iter().eq(all));
        assert_eq!(headers.iter().len(), 3);
        let found = [HeaderName::Id, HeaderName::Subject, HeaderName::Source].map(|name| headers.get(name));
        assert_eq!(found, [Some("evnt_1"), Some(""), Some("/idaas")]);
        assert_eq!(headers.get(HeaderName::Type), None);
    }
}
