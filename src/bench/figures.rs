//! Figures as they come, and what they come to: medians, spreads, ratios.

use serde::Serialize;

use super::tell::{Cell, Placement, Sample, Told};

/// What ratios are ratios to.
pub const YARDSTICK: &str = "overlayfs";

/// All runs of one workload on one contender in one placement.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's name.
    pub workload: String,
    /// Where the processes ran.
    pub placement: Placement,
    /// What it ran on.
    pub system: String,
    /// Seconds, in the order of the rounds.
    pub times: Vec<f64>,
    /// Their median; `None` where a run failed.
    pub median: Option<f64>,
    /// The shortest.
    pub min: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
    /// The median as a part of overlayfs's in the same placement.
    pub ratio: Option<f64>,
    /// How many operations a run makes.
    pub operations: u64,
    /// How many requests a run makes of the serving process.
    pub requests: Option<u64>,
    /// The most memory of its own that the serving process had after a run, in bytes.
    pub rss_anon: Option<u64>,
    /// The most descriptors.
    pub descriptors: Option<u64>,
    /// Why a run failed.
    pub error: Option<String>,
}

/// What is not measured.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// A workload, or something it was to run on.
    pub what: String,
    /// What is missing.
    pub reason: String,
}

/// A program with a part in the figures.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of its version.
    pub version: String,
}

/// All that was told so far.
#[derive(Debug, Default)]
pub struct Figures {
    /// In the order of the first run.
    pub rows: Vec<Row>,
    /// What is not measured.
    pub skipped: Vec<Skipped>,
    /// Programs with a part in it.
    pub tools: Vec<Tool>,
    /// The file system that all stood on.
    pub filesystem: Option<String>,
    /// Whether something failed.
    pub has_failed: bool,
}

impl Figures {
    /// Takes what is told, and answers what people are to be told of it now.
    pub fn hear(&mut self, told: Told) -> Option<String> {
        match told {
            Told::Doing(what) => return Some(what),
            Told::Filesystem(name) => self.filesystem = Some(name),
            Told::Tool { name, version } => self.tools.push(Tool { name, version }),
            Told::Skipped { what, reason } => {
                let line = format!("not measured: {what}: {reason}");
                self.skipped.push(Skipped { what, reason });
                return Some(line);
            }
            Told::Failed(why) => {
                self.has_failed = true;
                return Some(why);
            }
            Told::Requests { of, count } => self.row(&of).requests = Some(count),
            Told::Sample(sample) => return self.sample(sample),
        }
        None
    }

    fn sample(&mut self, sample: Sample) -> Option<String> {
        let row = self.row(&sample.of);
        row.operations = sample.operations;
        row.rss_anon = row.rss_anon.max(sample.rss_anon);
        row.descriptors = row.descriptors.max(sample.descriptors);
        match sample.took {
            Ok(secs) => {
                row.times.push(secs);
                None
            }
            Err(why) => {
                let line = format!("{} on {}: {why}", sample.of.workload, sample.of.system);
                row.error = Some(why);
                self.has_failed = true;
                Some(line)
            }
        }
    }

    fn row(&mut self, of: &Cell) -> &mut Row {
        let is_it = |row: &Row| {
            (&row.workload, row.placement, &row.system) == (&of.workload, of.placement, &of.system)
        };
        let at = self.rows.iter().position(is_it).unwrap_or_else(|| {
            self.rows.push(Row {
                workload: of.workload.clone(),
                placement: of.placement,
                system: of.system.clone(),
                times: Vec::new(),
                median: None,
                min: None,
                max: None,
                ratio: None,
                operations: 1,
                requests: None,
                rss_anon: None,
                descriptors: None,
                error: None,
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Works out what the times come to.
    pub fn settle(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.error.is_none()) {
            row.median = median(&row.times);
            row.min = row.times.iter().copied().reduce(f64::min);
            row.max = row.times.iter().copied().reduce(f64::max);
        }
        let yardsticks: Vec<Row> =
            self.rows.iter().filter(|row| row.system == YARDSTICK).cloned().collect();
        for row in &mut self.rows {
            let is_same =
                |other: &&Row| (&other.workload, other.placement) == (&row.workload, row.placement);
            let yardstick = yardsticks.iter().find(is_same).and_then(|other| other.median);
            row.ratio = row.median.zip(yardstick).map(|(own, other)| own / other);
        }
    }
}

/// The middle of the times, or the mean of the two in the middle.
fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len.is_multiple_of(2) => Some((sorted[half - 1] + sorted[half]) / 2.0),
        _ => Some(sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(system: &str, took: Result<f64, String>, rss_anon: u64) -> Told {
        let of =
            Cell { workload: "walk".into(), placement: Placement::Free, system: system.into() };
        let (rss_anon, descriptors) = (Some(rss_anon), None);
        Told::Sample(Sample { of, operations: 3, took, rss_anon, descriptors })
    }

    #[test]
    fn medians_and_ratios_are_of_runs_that_all_went_well() {
        let mut figures = Figures::default();
        for (secs, rss) in [(4.0, 10), (1.0, 30), (2.0, 20)] {
            assert!(figures.hear(told("layerfs-image", Ok(secs), rss)).is_none());
            figures.hear(told(YARDSTICK, Ok(secs * 2.0), 0));
        }
        figures.hear(told("bare", Ok(1.0), 0));
        let line = figures.hear(told("bare", Err("broken".into()), 0)).unwrap();
        assert_eq!(line, "walk on bare: broken");
        figures.settle();
        let row = &figures.rows[0];
        assert_eq!((row.median, row.min, row.max), (Some(2.0), Some(1.0), Some(4.0)));
        assert_eq!((row.ratio, row.rss_anon), (Some(0.5), Some(30)));
        assert_eq!((figures.rows[2].median, figures.rows[2].ratio), (None, None));
        assert!(figures.has_failed);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
