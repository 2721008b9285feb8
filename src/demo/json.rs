//! Formats JSON for the terminal: compact in filled lines, or with one member per line. In colour, and within the
//! width where possible.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::ordered::Ordered;

/// Maximum length of a text in the compact format.
const COMPACT: usize = 52;

const KEY: Style = AnsiColor::Cyan.on_default();
const LITERAL: Style = AnsiColor::Yellow.on_default();
const MARK: Style = Style::new().dimmed();
const TEXT: Style = Style::new();

/// A part of a line that is never broken: the coloured text, and its width without the colours.
#[derive(Default, Clone)]
struct Word {
    painted: String,
    width: usize,
}

impl Word {
    fn add(&mut self, style: Style, text: &str) {
        self.painted.push_str(&format!("{style}{text}{style:#}"));
        self.width += text.width();
    }

    fn append(&mut self, other: &Self) {
        self.painted.push_str(&other.painted);
        self.width += other.width;
    }
}

/// Formats a value compactly in at most `limit` lines of at most `width` columns, broken after commas.
pub(super) fn filled(value: &Ordered, width: usize, limit: usize) -> Vec<String> {
    let mut words = vec![Word::default()];
    split(value, &mut words);
    let mut lines: Vec<Word> = vec![Word::default()];
    for word in words {
        let last = lines.len() == limit;
        let Some(line) = lines.last_mut() else { break };
        // The last line needs space for the ellipsis.
        let room = width.saturating_sub(if last { 2 } else { 0 });
        if line.width == 0 || line.width + 1 + word.width <= room {
            if line.width > 0 {
                line.add(TEXT, " ");
            }
            line.append(&word);
        } else if last {
            line.add(MARK, " …");
            break;
        } else {
            lines.push(word);
        }
    }
    lines.into_iter().map(|line| line.painted).collect()
}

/// Formats a value with one member per line. A value that fits into one line is not split.
pub(super) fn spread(value: &Ordered, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    spread_into(value, &mut Word::default(), 0, "", width, &mut lines);
    lines
}

fn spread_into(value: &Ordered, head: &mut Word, indent: usize, tail: &str, width: usize, lines: &mut Vec<String>) {
    let inline = whole(value);
    let line = |painted: &str| format!("{:indent$}{painted}", "");
    if indent + head.width + inline.width + tail.len() <= width || members(value).is_empty() {
        head.painted.push_str(&inline.painted);
        head.add(MARK, tail);
        return lines.push(line(&head.painted));
    }
    let (open, close) = brackets(value);
    head.add(MARK, open);
    lines.push(line(&head.painted));
    let members = members(value);
    let count = members.len();
    for (number, (name, below)) in members.into_iter().enumerate() {
        let mut head = Word::default();
        if let Some(name) = name {
            head.add(KEY, &quoted(name));
            head.add(MARK, ": ");
        }
        let comma = if number + 1 < count { "," } else { "" };
        spread_into(below, &mut head, indent + 2, comma, width, lines);
    }
    let mut foot = Word::default();
    foot.add(MARK, close);
    foot.add(MARK, tail);
    lines.push(line(&foot.painted));
}

/// Returns the elements of an array, or the members of an object with their names.
fn members(value: &Ordered) -> Vec<(Option<&str>, &Ordered)> {
    match value {
        Ordered::Object(members) => members.iter().map(|(name, value)| (Some(name.as_str()), value)).collect(),
        Ordered::Array(values) => values.iter().map(|value| (None, value)).collect(),
        Ordered::Text(_) | Ordered::Literal(_) => Vec::new(),
    }
}

const fn brackets(value: &Ordered) -> (&'static str, &'static str) {
    match value {
        Ordered::Object(_) => ("{", "}"),
        Ordered::Array(_) => ("[", "]"),
        Ordered::Text(_) | Ordered::Literal(_) => ("", ""),
    }
}

fn whole(value: &Ordered) -> Word {
    let mut words = vec![Word::default()];
    split(value, &mut words);
    let mut all = Word::default();
    for word in words {
        if all.width > 0 {
            all.add(TEXT, " ");
        }
        all.append(&word);
    }
    all
}

/// Appends a value to the last of `words`, and starts a new word after each comma.
fn split(value: &Ordered, words: &mut Vec<Word>) {
    match value {
        Ordered::Text(text) => return add(words, TEXT, &quoted(&compact(text))),
        Ordered::Literal(text) => return add(words, LITERAL, text),
        Ordered::Object(_) | Ordered::Array(_) => {}
    }
    let (open, close) = brackets(value);
    add(words, MARK, open);
    for (number, (name, below)) in members(value).into_iter().enumerate() {
        if number > 0 {
            add(words, MARK, ",");
            words.push(Word::default());
        }
        if let Some(name) = name {
            add(words, KEY, &quoted(name));
            add(words, MARK, ": ");
        }
        split(below, words);
    }
    add(words, MARK, close);
}

fn add(words: &mut [Word], style: Style, text: &str) {
    if let Some(word) = words.last_mut() {
        word.add(style, text);
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn compact(text: &str) -> String {
    if text.chars().count() <= COMPACT {
        return text.to_owned();
    }
    text.chars().take(COMPACT).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_value_is_broken_behind_commas_only() {
        let value = Ordered::parse(br#"{"b": 1, "a": ["x", {"c": null}]}"#);
        assert_eq!(plain(&filled(&value, 80, 9)), [r#"{"b": 1, "a": ["x", {"c": null}]}"#]);
        assert_eq!(plain(&filled(&value, 12, 9)), [r#"{"b": 1,"#, r#""a": ["x","#, r#"{"c": null}]}"#]);
    }

    #[test]
    fn what_does_not_fit_into_the_lines_is_left_out_and_seen_to_be() {
        let value = Ordered::parse(br#"{"first": "1234567890", "second": "1234567890", "third": 3}"#);
        assert_eq!(plain(&filled(&value, 26, 1)), [r#"{"first": "1234567890", …"#]);
    }

    #[test]
    fn a_member_that_fits_into_its_line_is_not_spread() {
        let value = Ordered::parse(br#"{"small": {"a": 1}, "large": {"b": "1234567890", "c": "1234567890"}}"#);
        let expected = [
            "{",
            r#"  "small": {"a": 1},"#,
            r#"  "large": {"#,
            r#"    "b": "1234567890","#,
            r#"    "c": "1234567890""#,
            "  }",
            "}",
        ];
        assert_eq!(plain(&spread(&value, 30)), expected);
    }
}
