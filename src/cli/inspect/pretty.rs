//! Formats JSON for reading: indented, in the original order, with exact numbers, unfolded strings and masked
//! passwords.

use idaas_callback::json::{self, Members, Raw};

/// Deeper nesting than this is left out.
const MAX_DEPTH: usize = 40;

const MASK: &str = "\"***\"";

/// How strings that contain JSON are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Strings {
    /// As strings.
    Folded,
    /// As the JSON that they contain.
    Unfolded,
}

/// Indents a JSON text and masks members named `password`. Returns `None` if the text is not JSON.
pub(in crate::cli) fn pretty(text: &str, strings: Strings, margin: usize) -> Option<String> {
    let value = Raw::parse(text)?;
    let mut printer = Printer { output: String::new(), strings };
    printer.value(value, margin, 0);
    Some(printer.output)
}

struct Printer {
    output: String,
    strings: Strings,
}

impl Printer {
    fn value(&mut self, value: Raw<'_>, margin: usize, depth: usize) {
        let text = value.get();
        if depth > MAX_DEPTH {
            self.output.push_str("\"… nested too deep to be shown\"");
        } else if let Some(members) = Members::parse(text) {
            self.list('{', members.into_iter(), margin, '}', |printer, (name, value), margin| {
                printer.output.push_str(&quoted(&name));
                printer.output.push_str(": ");
                if name == "password" {
                    printer.output.push_str(MASK);
                } else {
                    printer.value(value, margin, depth + 1);
                }
            });
        } else if let Some(elements) = json::elements(text) {
            self.list('[', elements.into_iter(), margin, ']', |printer, value, margin| {
                printer.value(value, margin, depth + 1);
            });
        } else {
            self.scalar(value, margin, depth);
        }
    }

    fn scalar(&mut self, value: Raw<'_>, margin: usize, depth: usize) {
        let Some(content) = json::text(value) else { return self.output.push_str(value.get()) };
        let holds_json = content.trim_start().starts_with(['{', '[']);
        match Raw::parse(&content) {
            Some(inner) if holds_json && self.strings == Strings::Unfolded => self.value(inner, margin, depth + 1),
            // JSON that is not unfolded can contain a password, so the whole string is masked.
            Some(inner) if holds_json && inner.get().contains("password") => self.output.push_str(MASK),
            // Where a password ends is not known in text that was cut.
            None if holds_json && content.contains("password") => self.output.push_str(MASK),
            // Control characters are escaped, so that the text cannot control the terminal.
            Some(_) | None => self.output.push_str(&quoted(&content)),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        items: impl Iterator<Item = T>,
        margin: usize,
        close: char,
        mut show: impl FnMut(&mut Self, T, usize),
    ) {
        self.output.push(open);
        let mut empty = true;
        for item in items {
            self.output.push_str(if empty { "\n" } else { ",\n" });
            self.output.push_str(&" ".repeat(margin + 2));
            show(self, item, margin + 2);
            empty = false;
        }
        if !empty {
            self.output.push('\n');
            self.output.push_str(&" ".repeat(margin));
        }
        self.output.push(close);
    }
}

/// Returns a JSON string without control characters, including those of C1.
fn quoted(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let escape = |character: char| match character {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    quoted.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        let text = r#"{"eventData":"[{\"bizData\":\"{\\\"b\\\":1,\\\"password\\\":\\\"hunter2\\\"}\"}]","password":{"a":"hunter2"}}"#;
        for strings in [Strings::Folded, Strings::Unfolded] {
            let shown = pretty(text, strings, 0).unwrap();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
        let cut = pretty(r#"{"bizData":"{\"userId\":\"u\",\"password\":\"hunter2"}"#, Strings::Folded, 0).unwrap();
        assert!(!cut.contains("hunter2"), "{cut}");
        let escaped = pretty(r#"{"p\u0061ssword":"hunter2"}"#, Strings::Unfolded, 0).unwrap();
        assert!(!escaped.contains("hunter2"), "{escaped}");
    }

    #[test]
    fn order_and_numbers_stay_as_they_are() {
        let shown = pretty(r#"{"z":12345678901234567890.10,"a":[],"m":{}}"#, Strings::Folded, 0).unwrap();
        assert_eq!(shown, "{\n  \"z\": 12345678901234567890.10,\n  \"a\": [],\n  \"m\": {}\n}");
    }

    #[test]
    fn deep_nesting_and_control_characters_do_no_harm() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(pretty(&deep, Strings::Unfolded, 0).unwrap().contains("nested too deep"));
        let shown = pretty("\"\\u001b[31m\u{9b}x\"", Strings::Unfolded, 0).unwrap();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
    }
}
