//! Tables: columns as wide as their widest cell, two spaces apart, without lines between them.

use std::fmt;

use super::{HEADING, styled, width};

/// A column with its title.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    title: &'a str,
    is_right_aligned: bool,
}

impl<'a> Column<'a> {
    /// A column of texts, which begin at its left side.
    #[must_use]
    pub const fn left(title: &'a str) -> Self {
        Self { title, is_right_aligned: false }
    }

    /// A column of numbers, which end at its right side.
    #[must_use]
    pub const fn right(title: &'a str) -> Self {
        Self { title, is_right_aligned: true }
    }
}

/// A table with a row of titles. Cells can have styles.
#[derive(Debug)]
pub struct Table<'a, const COLUMNS: usize> {
    columns: [Column<'a>; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<'a, const COLUMNS: usize> Table<'a, COLUMNS> {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: [Column<'a>; COLUMNS]) -> Self {
        Self { columns, rows: vec![columns.map(|column| styled(HEADING, column.title))] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<'_, COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.rows.iter().fold([0; COLUMNS], |widths, row| {
            let mut cells = row.iter();
            widths.map(|widest: usize| widest.max(cells.next().map_or(0, |cell| width(cell))))
        });
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, room), column) in row.iter().zip(widths).zip(self.columns) {
                let padding = " ".repeat(room.saturating_sub(width(cell)));
                let (left, right) = if column.is_right_aligned { (&*padding, "") } else { ("", &*padding) };
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
        let mut table = Table::new([Column::left("name"), Column::right("events"), Column::left("state")]);
        table.row(["用户".to_owned(), "1,204".to_owned(), styled(BAD, "missing")]);
        table.row(["groups".to_owned(), "7".to_owned(), String::new()]);
        assert_eq!(
            without_styles(&table.to_string()),
            "name    events  state\n用户     1,204  missing\ngroups       7\n"
        );
    }
}
