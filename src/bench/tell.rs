//! What the lab tells the command, one line of JSON each: the two are processes, and a lab that is ended has told all before.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use layerfs_driver::sys::file;
use serde::{Deserialize, Serialize};

/// One thing that is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// What the lab is doing now, for people.
    Doing(String),
    /// The file system that all stands on.
    Filesystem(String),
    /// A program that is measured, or measures.
    Tool {
        /// Its name.
        name: String,
        /// What it says of its version.
        version: String,
    },
    /// What is not measured.
    Skipped {
        /// A workload, or a workload and what it was to run on.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// One run of one workload.
    Sample(Sample),
    /// How many requests one run of a workload made.
    Requests {
        /// Of what.
        of: Cell,
        /// How many.
        count: u64,
    },
    /// Nothing could be measured at all.
    Failed(String),
}

/// What is measured together: figures of one cell make a median.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The workload's name.
    pub workload: String,
    /// Where the processes are placed.
    pub placement: Placement,
    /// What it ran on.
    pub system: String,
}

/// Where the workload and the process that serves it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Where the kernel wants.
    Free,
    /// Both on one processor.
    Pinned,
}

impl Placement {
    /// As it stands in tables.
    pub fn name(self) -> &'static str {
        match self {
            Placement::Free => "free",
            Placement::Pinned => "pinned",
        }
    }
}

/// One run of one workload.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sample {
    /// What ran where.
    pub of: Cell,
    /// How many operations it made.
    pub operations: u64,
    /// How long it took, or why it failed.
    pub took: Result<f64, String>,
    /// `RssAnon` of the serving processes after it, in bytes; `None` where none serves.
    pub rss_anon: Option<u64>,
    /// Their open descriptors.
    pub descriptors: Option<u64>,
}

/// The end that is told into.
#[derive(Debug)]
pub struct Teller(pub OwnedFd);

impl Teller {
    /// Tells one thing.
    pub fn tell(&self, told: &Told) -> Result<()> {
        let mut line = serde_json::to_vec(told).context("write a figure as JSON")?;
        line.push(b'\n');
        Ok(file::write_all(&self.0, &line)?)
    }

    /// Tells what is done now.
    pub fn doing(&self, what: impl Into<String>) -> Result<()> {
        self.tell(&Told::Doing(what.into()))
    }
}

/// Lines out of pieces: what has come so far, and is no whole line yet.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes a piece, and answers what became whole with it.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Told>> {
        self.0.extend_from_slice(piece);
        let mut told = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            told.push(serde_json::from_slice(&line).context("read what the lab told")?);
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut lines = Lines::default();
        let text = b"{\"Doing\":\"a\"}\n{\"Filesystem\":\"ext4\"}\n{\"Doing\"";
        let mut count = 0;
        for byte in text {
            count += lines.take(&[*byte]).unwrap().len();
        }
        assert_eq!(count, 2);
        assert_eq!(lines.take(b":\"b\"}\n").unwrap().len(), 1);
        assert!(lines.take(b"no JSON\n").is_err());
    }
}
