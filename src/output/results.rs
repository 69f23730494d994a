//! Standard output: results, and nothing else.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};

use super::json;
use super::table::Table;

/// Where the results of a verb go.
#[derive(Debug)]
pub struct Results {
    out: BufWriter<Stdout>,
}

/// Standard output could not be written.
#[derive(Debug)]
pub struct ResultsError(io::Error);

impl ResultsError {
    /// Whether the reader has gone, as `head` does when it has seen enough.
    pub fn is_reader_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl fmt::Display for ResultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write the results to standard output")
    }
}

impl std::error::Error for ResultsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Results {
    /// Results to standard output.
    pub fn new() -> Self {
        Results { out: BufWriter::new(io::stdout()) }
    }

    /// One line.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), ResultsError> {
        writeln!(self.out, "{text}").map_err(ResultsError)
    }

    /// A whole table.
    pub fn table(&mut self, table: &Table) -> Result<(), ResultsError> {
        table.lines().iter().try_for_each(|line| self.line(line))
    }

    /// One JSON array.
    pub fn json<T: serde::Serialize>(&mut self, rows: &[T]) -> anyhow::Result<()> {
        Ok(self.line(json::array(rows)?)?)
    }

    /// Bytes as they are, for text that others made: completions.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), ResultsError> {
        self.out.write_all(bytes).map_err(ResultsError)
    }

    /// Hands on all that was said so far: after each result that took long, and at the end.
    pub fn flush(&mut self) -> Result<(), ResultsError> {
        self.out.flush().map_err(ResultsError)
    }
}
