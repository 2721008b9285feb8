//! Removes members named `password`, at any depth, and leaves every other byte as it was sent.
//!
//! Works on the text, not on a tree: a tree would round long numbers and refuse deep nesting. JSON that is itself
//! text inside a string (IDaaS sends `bizData` so) is searched likewise.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{self, Raw};

/// The member that never leaves the bridge in the clear.
pub(crate) const SECRET_MEMBER: &str = "password";

/// The value without any member named `password`; also with every string readable as Unicode.
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
        // Only a fault in this file leads here; nothing unsearched may pass.
        Err(_) => Cow::Borrowed(RawValue::NULL),
    }
}

/// Whether a member of that name can be in it, at whatever depth. The name's last letter is followed by its quotation mark,
/// or, in JSON inside a string, by a backslash before it: most users have a `passwordSet` and nothing else of the kind. A
/// letter can also be written as an escape.
fn may_hold_a_secret(json: &str) -> bool {
    ["password\"", "password\\", "\\u"].into_iter().any(|sign| json.contains(sign))
}

struct Redactor<'a> {
    input: &'a str,
    at: usize,
    output: String,
    /// Whether the output says anything else than the input.
    changed: bool,
}

/// An object or array that is open: where its output began, and whether it has an element yet.
struct Open {
    object: bool,
    empty: bool,
}

/// What comes next inside an object or array.
enum Next {
    /// An element, its separator and name written.
    Element,
    /// Nothing: the member was one that is removed.
    Removed,
    /// The closing bracket, written.
    Closed,
    /// Something that is no JSON.
    Broken,
}

impl<'a> Redactor<'a> {
    /// Leaves the output empty where the input is no JSON.
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

    /// Passes what stands in front of an element.
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

    /// Passes over a member's value without writing it.
    fn remove(&mut self, first: bool) {
        self.changed = true;
        self.skip_value();
        // The separator that follows belongs to the removed member when nothing was kept before it.
        if first {
            self.space();
            self.take(b',');
        }
    }

    /// Writes a value, of an object or array only its opening bracket.
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
                // No JSON has a value of no character; whatever stands here is passed, so that there is an end.
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

    /// The string that begins here, with its quotes.
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
            // A separator inside the value is passed above; the one behind it must be left.
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
        // A string that holds a string can hold an object in turn.
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

/// Text that is no JSON, up to the member that it holds all the same, as JSON does that was cut off. Where the member's
/// value ends cannot be told, so all that follows its name goes. `None` where there is no such member.
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
