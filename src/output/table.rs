//! Tables as docker prints them: columns at least ten wide, three spaces between them, left-aligned.

use super::text::one_line;

const WIDTH_MIN: usize = 10;
const GAP: usize = 3;

/// Rows under one line of headings.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Table { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row. What a cell says is made fit for a terminal.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The lines of the table, without line ends.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count() + GAP).max().unwrap_or(0).max(WIDTH_MIN)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                // By hand: a width of `format!` has sixteen bits, and a cell may have more characters.
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["REPOSITORY", "TAG", "SIZE"]);
        table.row(["a".into(), "a-long-tag-ü".into(), "1B".into()]);
        table.row(["b\u{1b}".into(), "t".into(), String::new()]);
        let expected = [
            "REPOSITORY   TAG            SIZE",
            "a            a-long-tag-ü   1B",
            "b\\u{1b}      t",
        ];
        assert_eq!(table.lines(), expected);
    }

    #[test]
    fn a_cell_may_have_more_characters_than_a_width_of_format_can_say() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["x".repeat(70_000), "y".into()]);
        let line = &table.lines()[1];
        assert!(line.len() == 70_004 && line.ends_with("x   y"));
    }
}
