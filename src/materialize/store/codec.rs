//! The encoding of a row: a compressed state, or the two times of a deletion.

use idaas_state::{Deletion, Time};
use lz4_flex::block::{compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size};

use super::Row;

const DELETED: u8 = 1;
const COMPRESSED: u8 = 2;

/// Maximum size of a decoded state, in bytes. It limits the memory that a damaged row can claim. Records are smaller.
const MAX_STATE: usize = 1 << 30;

/// Text that states have in common. Without it, a state of one or two kilobytes hardly compresses. Rows can be read
/// only with the same dictionary, so a change of it needs a new file name.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");

/// An encoded row.
pub(in crate::materialize) struct Encoded(pub(super) Vec<u8>);

impl Encoded {
    /// Returns the size in bytes.
    pub(in crate::materialize) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// Encodes rows. Reuses its buffer.
#[derive(Default)]
pub(in crate::materialize) struct Encoder {
    buffer: Vec<u8>,
}

impl Encoder {
    /// Encodes the value of a state record.
    pub(in crate::materialize) fn live(&mut self, value: &[u8]) -> Encoded {
        self.buffer.resize(get_maximum_output_size(value.len()), 0);
        let length = compress_into_with_dict(value, &mut self.buffer, DICTIONARY).unwrap_or_default();
        let packed = self.buffer.get(..length).unwrap_or_default();
        let size = u32::try_from(value.len()).unwrap_or_default();
        let mut row = Vec::with_capacity(packed.len() + 5);
        row.push(COMPRESSED);
        row.extend_from_slice(&size.to_le_bytes());
        row.extend_from_slice(packed);
        Encoded(row)
    }

    /// Encodes a row.
    pub(in crate::materialize) fn row(&mut self, row: &Row) -> Encoded {
        match row {
            Row::Live(value) => self.live(value),
            Row::Deleted(Deletion { at, recorded }) => Encoded(
                [&[DELETED], at.as_millis().to_be_bytes().as_slice(), &recorded.as_millis().to_be_bytes()].concat(),
            ),
        }
    }
}

/// The kind of an encoded row.
pub(super) enum Kind {
    Live,
    Deleted(Deletion),
}

/// Returns the kind of an encoded row. Returns `None` if it is damaged.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    let time = |bytes: &[u8; 8]| Time::from_millis(i64::from_be_bytes(*bytes));
    match bytes.split_first()? {
        (&COMPRESSED, _) => Some(Kind::Live),
        (&DELETED, times) => {
            let (at, recorded) = times.split_first_chunk::<8>()?;
            let (recorded, _) = recorded.split_first_chunk::<8>()?;
            Some(Kind::Deleted(Deletion { at: time(at), recorded: time(recorded) }))
        }
        _ => None,
    }
}

/// Decodes a row. Returns `None` if it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Row> {
    match kind(bytes)? {
        Kind::Deleted(deletion) => Some(Row::Deleted(deletion)),
        Kind::Live => {
            let (size, packed) = bytes.get(1..)?.split_first_chunk::<4>()?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= MAX_STATE)?;
            let mut value = vec![0; size];
            let length = decompress_into_with_dict(packed, &mut value, DICTIONARY).ok()?;
            (length == size).then_some(Row::Live(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let mut encoder = Encoder::default();
        let incompressible: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
        let deletion = Deletion { at: Time::from_millis(-5), recorded: Time::from_millis(7) };
        let rows =
            [Row::Live(Vec::new()), Row::Live(incompressible), Row::Live(b"{}".to_vec()), Row::Deleted(deletion)];
        for row in rows {
            assert_eq!(decode(&encoder.row(&row).0), Some(row));
        }
    }

    #[test]
    fn a_state_is_less_than_half_as_large() {
        let state = include_bytes!("../../../asyncapi/examples/user-state/state.json");
        let state: serde_json::Value = serde_json::from_slice(state).unwrap();
        let state = state.to_string();
        let row = Encoder::default().live(state.as_bytes());
        assert!(row.0.len() * 2 < state.len(), "{} of {}", row.0.len(), state.len());
    }

    #[test]
    fn a_damaged_row_is_rejected() {
        let row = Encoder::default().live(b"{\"schemaVersion\":\"1.0\"}").0;
        for length in 0..row.len() {
            assert_eq!(decode(&row[..length]), None);
        }
        assert_eq!(decode(&[COMPRESSED, 255, 255, 255, 255, 1]), None);
    }
}
