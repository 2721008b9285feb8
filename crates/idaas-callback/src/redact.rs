//! Removes members named `password` at any depth, and leaves every other byte unchanged.
//!
//! Works on the text, because a tree would round long numbers and reject deep nesting. JSON text inside a string
//! (IDaaS sends `bizData` in this form) is searched too.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{self, Raw};

/// The name of the member that must never leave the bridge unencrypted.
pub(crate) const SECRET_MEMBER: &str = "password";

/// Returns the value without members named `password`, and with every string readable as Unicode.
pub(crate) fn redacted(value: Raw<'_>) -> Cow<'_, RawValue> {
    let json = value.get();
    if !may_hold_a_secret(json) {
        return value.to_raw_value();
    }
    let mut redactor = Redactor { input: json, at: 0, output: String::with_capacity(json.len()), changed: false };
    redactor.run();
    let Redactor { output, changed, .. } = redactor;
    if !changed && !output.is_empty() {
        return value.to_raw_value();
    }
    match RawValue::from_string(output) {
        Ok(clean) => Cow::Owned(clean),
        // Reached only if this file has a bug. Content that was not searched must not pass.
        Err(_) => Cow::Borrowed(RawValue::NULL),
    }
}

/// Returns true if the value is a text that contains JSON text with a member named `password`. Such a text is neither an
/// id nor a name.
pub(crate) fn contains_secret(value: Raw<'_>) -> bool {
    // JSON text inside a string has quotation marks, which are escaped there.
    value.escaped && may_hold_a_secret(value.get()) && json::text(Raw::from(&*redacted(value))) != json::text(value)
}

/// Returns true if a member with that name can be in the text, at any depth. A quotation mark follows the name, or a
/// backslash before it if the JSON is inside a string; `passwordSet`, which most users have, does not match. Letters
/// can also be written as escapes.
fn may_hold_a_secret(json: &str) -> bool {
    ["password\"", "password\\", "\\u"].into_iter().any(|sign| json.contains(sign))
}

struct Redactor<'a> {
    input: &'a str,
    at: usize,
    output: String,
    /// True if the output differs from the input.
    changed: bool,
}

/// An open object or array, and true if it has no element yet.
struct Open {
    object: bool,
    empty: bool,
}

/// The next step inside an object or array.
enum Next {
    /// An element follows. Its separator and name are written.
    Element,
    /// A member was removed.
    Removed,
    /// The closing bracket is written.
    Closed,
    /// The input is not JSON.
    Broken,
}

impl<'a> Redactor<'a> {
    /// Runs the redactor. The output is empty if the input is not JSON.
    fn run(&mut self) {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.space();
            if self.peek().is_none() {
                return;
            }
            match open.last_mut().map_or(Next::Element, |inner| self.approach(inner)) {
                Next::Element => open.extend(self.element()),
                Next::Removed => {}
                Next::Closed => {
                    open.pop();
                }
                Next::Broken => return self.output.clear(),
            }
            if open.is_empty() {
                return;
            }
        }
    }

    /// Reads and writes everything up to the next element.
    fn approach(&mut self, inner: &mut Open) -> Next {
        if self.take(if inner.object { b'}' } else { b']' }) {
            self.output.push(if inner.object { '}' } else { ']' });
            return Next::Closed;
        }
        let separated = self.take(b',');
        self.space();
        let mut name = None;
        if inner.object {
            let member = self.string();
            self.space();
            if !self.take(b':') || (!separated && !inner.empty) {
                return Next::Broken;
            }
            if content(member).as_deref() == Some(SECRET_MEMBER) {
                self.remove(inner.empty);
                return Next::Removed;
            }
            name = Some(member);
        }
        if !inner.empty {
            self.output.push(',');
        }
        inner.empty = false;
        if let Some(name) = name {
            self.push_string(name);
            self.output.push(':');
            self.space();
        }
        Next::Element
    }

    /// Skips a member's value without writing it.
    fn remove(&mut self, first: bool) {
        self.changed = true;
        self.skip_value();
        // If nothing was kept before the removed member, the separator after it must go too.
        if first {
            self.space();
            self.take(b',');
        }
    }

    /// Writes a scalar, or the opening bracket of an object or array.
    fn element(&mut self) -> Option<Open> {
        match self.peek()? {
            b'{' => return Some(self.open('{')),
            b'[' => return Some(self.open('[')),
            b'"' => {
                let string = self.string();
                self.push_string(string);
            }
            _ => {
                let scalar = self.scalar();
                self.output.push_str(scalar);
                // A value without characters is not JSON. Skip one byte, so that the loop ends.
                self.at += usize::from(scalar.is_empty());
            }
        }
        None
    }

    fn open(&mut self, bracket: char) -> Open {
        self.at += 1;
        self.output.push(bracket);
        Open { object: bracket == '{', empty: true }
    }

    fn peek(&self) -> Option<u8> {
        self.input.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Reads the string at this position, with its quotation marks.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.input.get(start..self.at).unwrap_or_default()
    }

    fn scalar(&mut self) -> &'a str {
        let start = self.at;
        while !matches!(self.peek(), None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.input.get(start..self.at).unwrap_or_default()
    }

    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.space();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                Some(b',' | b':') => {
                    self.at += 1;
                    continue;
                }
                Some(b'"') => {
                    self.string();
                }
                Some(_) => {
                    if self.scalar().is_empty() {
                        self.at += 1;
                    }
                }
                None => return,
            }
            // Separators inside the value are skipped above; the one after it is not part of it.
            if depth == 0 {
                return;
            }
        }
    }

    fn push_string(&mut self, string: &str) {
        if !may_hold_a_secret(string) {
            self.output.push_str(string);
            return;
        }
        let Some(content) = content(string) else { return self.push_encoded("") };
        // JSON text inside a string can contain further JSON text.
        let nested = Some(content.trim_start()).filter(|inner| inner.starts_with(['{', '[', '"']));
        match nested.and_then(Raw::parse).map(redacted) {
            Some(Cow::Owned(clean)) => return self.push_encoded(clean.get()),
            Some(Cow::Borrowed(_)) => {}
            None => {
                if let Some(cut) = cut(&content) {
                    return self.push_encoded(&cut);
                }
            }
        }
        if serde_json::from_str::<Cow<'_, str>>(string).is_ok() {
            self.output.push_str(string);
        } else {
            self.push_encoded(&content);
        }
    }

    fn push_encoded(&mut self, content: &str) {
        self.changed = true;
        if let Ok(encoded) = serde_json::to_string(content) {
            self.output.push_str(&encoded);
        }
    }
}

/// Cuts text that is not valid JSON, for example because it was truncated, after the first `password` member's name.
/// The end of that value cannot be determined, so everything after the name is removed. `None` if there is no such
/// member.
fn cut(content: &str) -> Option<String> {
    let mut after = content;
    while let Some(at) = after.find(SECRET_MEMBER) {
        after = after.get(at + SECRET_MEMBER.len()..)?;
        let quoted = after.trim_start_matches('\\').strip_prefix('"');
        if quoted.is_some_and(|rest| rest.trim_start().starts_with(':')) {
            return content.get(..content.len() - after.len()).map(str::to_owned);
        }
    }
    None
}

fn content(string: &str) -> Option<Cow<'_, str>> {
    let value = Raw::parse(string)?;
    json::text(value)
}

#[cfg(test)]
#[path = "tests/redact.rs"]
mod tests;
