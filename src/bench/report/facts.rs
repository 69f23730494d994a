//! The whole of one run, under the keys that docs/json.md lists; and how figures are written for people.

use serde::Serialize;

use crate::bench::figures::{Figures, Row, Skipped, Tool};
use crate::bench::machine::Machine;
use crate::bench::watch::Finished;

/// All of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    pub command: String,
    pub date: String,
    pub kernel: String,
    pub processors: u64,
    pub filesystem: Option<String>,
    pub rounds: u32,
    pub small: bool,
    pub stopped: bool,
    pub tools: Vec<Tool>,
    pub rows: Vec<Row>,
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// Puts figures and circumstances together.
    pub fn new(
        machine: Machine,
        mut figures: Figures,
        (rounds, small): (u32, bool),
        finished: Finished,
    ) -> Report {
        figures.settle();
        Report {
            version: env!("CARGO_PKG_VERSION"),
            command: machine.command,
            date: machine.date,
            kernel: machine.kernel,
            processors: machine.processors,
            filesystem: figures.filesystem,
            rounds,
            small,
            stopped: finished == Finished::Stopped,
            tools: figures.tools,
            rows: figures.rows,
            skipped: figures.skipped,
        }
    }

    /// Each workload in each placement, in the order of the first run.
    pub fn lines(&self) -> Vec<Vec<&Row>> {
        let mut lines: Vec<Vec<&Row>> = Vec::new();
        for row in &self.rows {
            let is_same =
                |other: &&Row| (&other.workload, other.placement) == (&row.workload, row.placement);
            match lines.iter_mut().find(|line| line.first().is_some_and(is_same)) {
                Some(line) => line.push(row),
                None => lines.push(vec![row]),
            }
        }
        lines
    }

    /// What was measured where, in one sentence for people.
    pub fn circumstances(&self) -> String {
        let on = self.filesystem.as_deref().unwrap_or("no file system");
        let mut text = format!(
            "layerfs {} on Linux {}, {} processors, {on}, {}; {} rounds",
            self.version, self.kernel, self.processors, self.date, self.rounds
        );
        for tool in &self.tools {
            text += &format!("; {}: {}", tool.name, tool.version);
        }
        if self.small {
            text += "; SMALL COUNTS: these are no figures";
        }
        if self.stopped {
            text += "; STOPPED EARLY";
        }
        text
    }
}

/// A time, in the unit that fits.
pub fn time(secs: f64) -> String {
    match secs {
        secs if secs < 0.001 => format!("{:.0} µs", secs * 1e6),
        secs if secs < 1.0 => format!("{:.1} ms", secs * 1e3),
        secs => format!("{secs:.2} s"),
    }
}

/// A ratio, of three digits where it is small.
pub fn ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

/// Half the spread of the times, in per cent of the median.
pub fn spread(row: &Row) -> Option<f64> {
    let (min, max, median) = (row.min?, row.max?, row.median?);
    (median > 0.0).then(|| (max - min) / median * 50.0)
}

/// Requests for each operation.
#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub fn requests_each(row: &Row) -> Option<f64> {
    Some(row.requests? as f64 / row.operations.max(1) as f64)
}
