//! Parses JSON strings (RFC 8259 §7). Accepts the strings that `serde_json` accepts, and also unpaired surrogates.
//!
//! Half of what IDaaS sends is escapes, so most of the time of a callback is spent here.

/// Skips the string at the start of `bytes`. Returns its length with both quotation marks, and true if it contains an
/// escape.
pub(super) fn skip_string(bytes: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (1, false);
    if bytes.first() != Some(&b'"') {
        return None;
    }
    loop {
        match bytes.get(at)? {
            b'"' => return Some((at + 1, escaped)),
            // Escapes often follow each other, so check for one before searching.
            b'\\' => {
                escaped = true;
                at += length(bytes.get(at + 1..)?)?;
            }
            // Control characters must be escaped.
            ..0x20 => return None,
            _ => at = special(bytes, at + 1),
        }
    }
}

/// Skips a string as [`skip_string`] does and also returns its content, in one pass. Half a surrogate pair becomes
/// U+FFFD: a name that was cut in the middle of an emoji must not lose an event. `capacity` is the expected length in
/// bytes.
pub(super) fn read_string(bytes: &[u8], capacity: usize) -> Option<(usize, bool, String)> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut content = Vec::with_capacity(capacity.min(bytes.len()));
    let (mut at, mut escaped) = (1, false);
    loop {
        at = copy(bytes, at, &mut content);
        match bytes.get(at)? {
            b'"' => break,
            b'\\' => escaped = true,
            // Control characters must be escaped.
            _ => return None,
        }
        // Escapes often follow each other.
        while let Some(b'\\') = bytes.get(at) {
            at += escape(bytes.get(at + 1..)?, &mut content)?;
        }
    }
    // Only whole characters were copied, so the lossy conversion never replaces anything.
    let content = String::from_utf8(content);
    let content = content.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Some((at + 1, escaped, content))
}

/// Returns the length of an escape. `bytes` starts after its backslash. `None` if the escape is invalid (RFC 8259
/// §7).
fn length(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        b'u' => bytes.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        byte => (unescaped(byte) != 0).then_some(2),
    }
}

/// Appends the character of an escape and returns the escape's length. `bytes` starts after the backslash. `None` if
/// the escape is invalid.
fn escape(bytes: &[u8], content: &mut Vec<u8>) -> Option<usize> {
    let byte = *bytes.first()?;
    let unescaped = unescaped(byte);
    if unescaped != 0 {
        content.push(unescaped);
        return Some(2);
    }
    if byte != b'u' {
        return None;
    }
    let (character, length) = unicode(bytes)?;
    content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}

/// Returns the character of a single-byte escape, or 0 if there is none. Uses a table, because a jump to many targets
/// is mispredicted half of the time.
fn unescaped(byte: u8) -> u8 {
    #[allow(clippy::indexing_slicing, reason = "a wrong index would not compile")]
    const UNESCAPED: [u8; 256] = {
        let (mut unescaped, mut escapes) = ([0; 256], b"\"\"\\\\//b\x08f\x0cn\nr\rt\t".as_slice());
        while let [escape, meaning, rest @ ..] = escapes {
            unescaped[*escape as usize] = *meaning;
            escapes = rest;
        }
        unescaped
    };
    UNESCAPED.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Resolves `uXXXX`, or a surrogate pair that continues with `\uXXXX`. Returns the character, and the length with all
/// backslashes.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |digits: &[u8]| {
        let digits = digits.first_chunk::<4>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let second = bytes.get(5..).and_then(|rest| unit(rest.strip_prefix(b"\\u")?));
    let units = [unit(bytes.get(1..)?)?, second.unwrap_or_default()];
    Some(match char::decode_utf16(units).next() {
        Some(Ok(character)) => (character, 6 * character.len_utf16()),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
    })
}

/// The number of bytes that are checked at once. In a text that is half escapes, special characters are rarely
/// farther apart, and a branch that usually goes the same way costs nothing.
const WIDTH: usize = size_of::<u128>();
const ONES: u128 = u128::from_le_bytes([1; WIDTH]);
const HIGH: u128 = ONES << 7;

/// Returns the position of the first byte of `word` that is special in a string: a quotation mark, backslash or
/// control character.
fn special_in(word: [u8; WIDTH]) -> Option<usize> {
    let word = u128::from_le_bytes(word);
    // The high bit of each special byte, and possibly of bytes above it, because subtraction borrows. The lowest is
    // always right.
    let found = (is(word, b'"') | is(word, b'\\') | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGH;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Sets the high bit of each byte of `word` that equals `byte`.
const fn is(word: u128, byte: u8) -> u128 {
    let zero = word ^ (ONES * byte as u128);
    zero.wrapping_sub(ONES) & !zero
}

/// Returns the position of the next special character from `at` on, or the end if there is none.
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match special_in(*word) {
            Some(plain) => return at + plain,
            None => at += WIDTH,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// Appends the bytes from `at` to the next special character, and returns that character's position.
fn copy(bytes: &[u8], mut at: usize, content: &mut Vec<u8>) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        // Copying a whole word and truncating the surplus is faster than copying the exact length.
        content.extend_from_slice(word);
        match special_in(*word) {
            Some(plain) => {
                content.truncate(content.len() - WIDTH + plain);
                return at + plain;
            }
            None => at += WIDTH,
        }
    }
    let end = special(bytes, at);
    content.extend_from_slice(bytes.get(at..end).unwrap_or_default());
    end
}
