//! Text that fits a number of columns.

use textwrap::core::{Fragment, Word};
use textwrap::wrap_algorithms::wrap_first_fit;

use super::{Style, styled, width};

/// A part of a line that is never broken.
#[derive(Debug)]
struct Piece<'a>(&'a str);

impl Fragment for Piece<'_> {
    fn width(&self) -> f64 {
        width(self.0) as f64
    }

    fn whitespace_width(&self) -> f64 {
        1.0
    }

    fn penalty_width(&self) -> f64 {
        0.0
    }
}

/// Pieces joined by spaces into lines that have at most these widths; the last width is that of all further lines. A
/// longer piece has its own line.
pub fn fill<'a>(pieces: impl IntoIterator<Item = &'a str>, widths: &[usize]) -> Vec<String> {
    let pieces: Vec<_> = pieces.into_iter().map(Piece).collect();
    let widths: Vec<_> = widths.iter().map(|width| *width as f64).collect();
    let joined = |line: &[Piece<'_>]| line.iter().map(|piece| piece.0).collect::<Vec<_>>().join(" ");
    wrap_first_fit(&pieces, &widths).into_iter().map(joined).collect()
}

/// A text in lines of at most `width` columns. A longer word has its own line.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    fill(text.split(' '), &[width])
}

/// A text without spaces to break it at, in pieces of at most `width` columns.
#[must_use]
pub fn pieces(text: &str, width: usize) -> Vec<String> {
    Word::from(text).break_apart(width.max(1)).map(|piece| piece.word.to_owned()).collect()
}

/// Texts with their styles, joined by two spaces, up to `columns`. `…` marks where something is left out.
#[must_use]
pub fn cut(parts: &[(Style, String)], columns: usize) -> String {
    let mut line = String::new();
    let mut left = columns;
    for (style, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
        let gap = if line.is_empty() { "" } else { "  " };
        let Some(available) = left.checked_sub(gap.len()).filter(|available| *available > 0) else { break };
        if width(text) <= available {
            line.push_str(&format!("{gap}{}", styled(*style, text)));
            left = available - width(text);
            continue;
        }
        // One column stays free for the mark.
        let first = pieces(text, available - 1).into_iter().next().filter(|first| width(first) < available);
        line.push_str(&format!("{gap}{}", styled(*style, format!("{}…", first.unwrap_or_default()))));
        break;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::{BAD, PLAIN, without_styles};
    use super::*;

    #[test]
    fn words_stay_whole_and_styles_have_no_width() {
        assert_eq!(wrap("a well-known word", 10), ["a", "well-known", "word"]);
        let painted = styled(BAD, "ab");
        assert_eq!(wrap(&format!("{painted} cd ef"), 5), [format!("{painted} cd"), "ef".to_owned()]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("用户 名", 6), ["用户", "名"]);
    }

    #[test]
    fn further_lines_can_be_shorter() {
        assert_eq!(fill(["aa", "bb", "cc", "dd"], &[8, 5]), ["aa bb cc", "dd"]);
        assert_eq!(fill(["aa", "bb", "cc", "dd"], &[5, 2]), ["aa bb", "cc", "dd"]);
    }

    #[test]
    fn a_line_is_cut_at_the_last_column() {
        let parts = [(BAD, "用户名".to_owned()), (PLAIN, "more".to_owned())];
        for (columns, shown) in [(1, "…"), (2, "…"), (4, "用…"), (6, "用户名"), (9, "用户名  …"), (12, "用户名  more")]
        {
            assert_eq!(without_styles(&cut(&parts, columns)), shown, "{columns}");
        }
    }
}
