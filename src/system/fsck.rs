//! `layerfs fsck`: proves the store by digest, and sets aside what is damaged.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::{Finding, FsckReport, Repair};
use serde::Serialize;

use crate::output::{Results, message, text};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs fsck
  layerfs fsck --repair
  layerfs fsck --json | jq -r '.[0].findings[].what'

Reads every byte of the store. With --repair, damaged parts are set aside, and what can be made from others is mended: import the images they belonged to again, \
and the store is whole. So is what lies in the store and is no part of it. A container whose record is damaged is set aside with what it wrote, in `damaged/` of the store, \
until `layerfs gc`. The exit status is 1 while damage is left.";

/// The words of `layerfs fsck`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct FsckArgs {
    /// Set damaged parts aside, so that importing again mends them
    #[arg(long)]
    repair: bool,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    images: u64,
    containers: u64,
    layers: u64,
    trees: u64,
    objects: u64,
    findings: Vec<FindingRow<'a>>,
}

#[derive(Debug, Serialize)]
struct FindingRow<'a> {
    what: &'a str,
    reason: &'a str,
    mended: bool,
}

/// Checks the store, and prints what it found.
pub fn run(args: &FsckArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let repair = if args.repair { Repair::SetAside } else { Repair::Report };
    let report = session.store()?.fsck(repair)?;
    if args.json {
        results.json(&[row_of(&report)])?;
    } else {
        lines_of(&report).into_iter().try_for_each(|line| results.line(line))?;
    }
    // Messages speak of what is printed: they come after it on one pipe, too.
    results.flush()?;
    let left = report.findings.iter().filter(|finding| !finding.mended).count();
    if left == 0 {
        return Ok(Outcome::Done);
    }
    message::say(match repair {
        Repair::Report => {
            format!(
                "damage found: {left}; `layerfs fsck --repair` sets it aside, then import the images again"
            )
        }
        Repair::SetAside => format!(
            "damage left: {left}; each line above says why; import the images again whose parts are set aside"
        ),
    });
    Ok(Outcome::SomeFailed)
}

fn row_of(report: &FsckReport) -> Row<'_> {
    let findings = report.findings.iter().map(finding_row).collect();
    let &FsckReport { images, containers, layers, trees, objects, .. } = report;
    Row { images, containers, layers, trees, objects, findings }
}

fn finding_row(finding: &Finding) -> FindingRow<'_> {
    FindingRow { what: &finding.what, reason: &finding.reason, mended: finding.mended }
}

fn lines_of(report: &FsckReport) -> Vec<String> {
    let line = |finding: &Finding| {
        let state = match (finding.whole, finding.mended) {
            (true, _) => "mended",
            (false, true) => "set aside",
            (false, false) => "damaged",
        };
        text::one_line(&format!("{state}: {}: {}", finding.what, finding.reason))
    };
    let mut lines: Vec<String> = report.findings.iter().map(line).collect();
    lines.push(format!(
        "checked: {} images, {} layers, {} merged trees, {} file contents, {} containers; findings: {}",
        report.images,
        report.layers,
        report.trees,
        report.objects,
        report.containers,
        report.findings.len()
    ));
    lines
}
