//! Tables: columns as wide as their widest cell, two spaces apart, without lines between them.

use std::fmt;

use super::{HEADING, styled, width};

/// A table with a row of titles. Cells can have styles.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    is_right_aligned: [bool; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with these titles. `>` before a title aligns its column to the right, as in a format string.
    #[must_use]
    pub fn new(titles: [&str; COLUMNS]) -> Self {
        let heading = |title: &str| styled(HEADING, title.trim_start_matches('>'));
        Self { is_right_aligned: titles.map(|title| title.starts_with('>')), rows: vec![titles.map(heading)] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.rows.iter().fold([0; COLUMNS], |widths, row| {
            let mut cells = row.iter();
            widths.map(|widest: usize| widest.max(cells.next().map_or(0, |cell| width(cell))))
        });
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, column_width), is_right_aligned) in row.iter().zip(widths).zip(self.is_right_aligned) {
                let padding = " ".repeat(column_width.saturating_sub(width(cell)));
                let (left, right) = if is_right_aligned { (&*padding, "") } else { ("", &*padding) };
                line.push_str(&format!("{left}{cell}{right}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BAD, without_styles};
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell_and_lines_end_with_text() {
        let mut table = Table::new(["name", ">events", "state"]);
        table.row(["用户".to_owned(), "1,204".to_owned(), styled(BAD, "missing")]);
        table.row(["groups".to_owned(), "7".to_owned(), String::new()]);
        assert_eq!(
            without_styles(&table.to_string()),
            "name    events  state\n用户     1,204  missing\ngroups       7\n"
        );
    }
}
