//! Normalizes texts of other programs: byte-order marks and line endings.

use std::borrow::Cow;

/// The mark that some editors and HTTP servers put in front of UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a leading byte-order mark.
#[must_use]
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Removes the last line ending: LF, CRLF or CR.
#[must_use]
pub fn without_line_ending(text: &str) -> &str {
    let text = text.strip_suffix('\n').map_or(text, |rest| rest.strip_suffix('\r').unwrap_or(rest));
    text.strip_suffix('\r').unwrap_or(text)
}

/// Removes a byte-order mark and converts every line ending to LF, as parsers of PEM and TOML expect. Borrows the text
/// if nothing changes.
#[must_use]
pub fn plain(text: &[u8]) -> Cow<'_, [u8]> {
    let text = without_byte_order_mark(text);
    if !text.contains(&b'\r') {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.iter().copied().peekable();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' if bytes.peek() == Some(&b'\n') => {}
            b'\r' => plain.push(b'\n'),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ending_becomes_lf() {
        assert_eq!(&*plain(b"\xef\xbb\xbfa\r\nb\rc\n\r"), b"a\nb\nc\n\n");
        assert!(matches!(plain(b"a\nb"), Cow::Borrowed(b"a\nb")));
    }

    #[test]
    fn one_line_ending_is_removed() {
        for text in ["hu sh", "hu sh\n", "hu sh\r\n", "hu sh\r"] {
            assert_eq!(without_line_ending(text), "hu sh");
        }
        assert_eq!(without_line_ending("hu sh\n\n"), "hu sh\n");
    }
}
