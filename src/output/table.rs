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
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<String>().trim_end().to_owned()
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
}
