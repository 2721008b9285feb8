//! Formats JSON for the terminal: compact in filled lines, or with one member per line. In color, and within the
//! width where possible.

use super::ordered::Ordered;
use crate::terminal::{NEUTRAL as KEY, PLAIN, QUIET as MARK, Style, WARNING as LITERAL, fill, styled, width};

/// Maximum length of a text in the compact format.
const COMPACT: usize = 52;

/// The value in lines of at most `columns`, broken behind commas; at most `limit` of them.
pub(super) fn filled(value: &Ordered, columns: usize, limit: usize) -> Vec<String> {
    // On the last line there must be room for the sign that something is left out.
    let mut widths = vec![columns; limit.saturating_sub(1)];
    widths.push(columns.saturating_sub(2));
    let pieces = pieces(value);
    let mut lines = fill(pieces.iter().map(String::as_str), &widths);
    if lines.len() > limit {
        lines.truncate(limit);
        lines.last_mut().into_iter().for_each(|last| last.push_str(&styled(MARK, " …")));
    }
    lines
}

/// Formats a value with one member per line. A value that fits into one line is not split.
pub(super) fn spread(value: &Ordered, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    spread_into(value, String::new(), 0, "", columns, &mut lines);
    lines
}

fn spread_into(value: &Ordered, mut head: String, indent: usize, tail: &str, columns: usize, lines: &mut Vec<String>) {
    let inline = pieces(value).join(" ");
    let members = members(value);
    if indent + width(&head) + width(&inline) + tail.len() <= columns || members.is_empty() {
        return lines.push(format!("{:indent$}{head}{inline}{}", "", styled(MARK, tail)));
    }
    let (open, close) = brackets(value);
    head.push_str(&styled(MARK, open));
    lines.push(format!("{:indent$}{head}", ""));
    let count = members.len();
    for (number, (name, below)) in members.into_iter().enumerate() {
        let head = name.map_or_else(String::new, |name| styled(KEY, quoted(name)) + &styled(MARK, ": "));
        let comma = if number + 1 < count { "," } else { "" };
        spread_into(below, head, indent + 2, comma, columns, lines);
    }
    lines.push(format!("{:indent$}{}{}", "", styled(MARK, close), styled(MARK, tail)));
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

/// The value in pieces that are never broken: each ends behind a comma.
fn pieces(value: &Ordered) -> Vec<String> {
    let mut pieces = vec![String::new()];
    split(value, &mut pieces);
    pieces
}

/// Adds a value to the last of `pieces`; behind each comma a new one begins.
fn split(value: &Ordered, pieces: &mut Vec<String>) {
    match value {
        Ordered::Text(text) => return add(pieces, PLAIN, &quoted(&compact(text))),
        Ordered::Literal(text) => return add(pieces, LITERAL, text),
        Ordered::Object(_) | Ordered::Array(_) => {}
    }
    let (open, close) = brackets(value);
    add(pieces, MARK, open);
    for (number, (name, below)) in members(value).into_iter().enumerate() {
        if number > 0 {
            add(pieces, MARK, ",");
            pieces.push(String::new());
        }
        if let Some(name) = name {
            add(pieces, KEY, &quoted(name));
            add(pieces, MARK, ": ");
        }
        split(below, pieces);
    }
    add(pieces, MARK, close);
}

fn add(pieces: &mut [String], style: Style, text: &str) {
    if let Some(piece) = pieces.last_mut() {
        piece.push_str(&styled(style, text));
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
    use crate::terminal::without_styles;

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| without_styles(line)).collect()
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
