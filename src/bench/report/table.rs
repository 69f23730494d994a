//! The report for terminals: one table of times, one of what serving takes.

use super::facts::{Report, ratio, requests_each, spread, time};
use crate::bench::figures::Row;
use crate::output::Table;
use crate::output::size::{Digits, human};

const ABSENT: &str = "-";

/// The lines of the report.
pub fn tables(report: &Report) -> Vec<String> {
    let mut lines = vec![report.circumstances(), String::new()];
    lines.push("Medians, ± half the spread, and in brackets the ratio to overlayfs:".into());
    lines.extend(table(report, |_| true, took).lines());
    let is_served = |row: &Row| row.rss_anon.is_some();
    if report.rows.iter().any(is_served) {
        lines.push(String::new());
        lines.push("Requests by operation, memory (RssAnon) and descriptors of who serves:".into());
        lines.extend(table(report, is_served, serving).lines());
    }
    for skipped in &report.skipped {
        lines.push(format!("Not measured: {}: {}", skipped.what, skipped.reason));
    }
    lines
}

/// A column for each contender, of the rows that are wanted.
fn table(
    report: &Report,
    is_wanted: impl Fn(&Row) -> bool,
    cell: impl Fn(&Row) -> String,
) -> Table {
    let mut systems: Vec<&str> = Vec::new();
    for row in report.rows.iter().filter(|row| is_wanted(row)) {
        if !systems.contains(&row.system.as_str()) {
            systems.push(&row.system);
        }
    }
    let titles: Vec<String> = systems.iter().map(|system| system.to_uppercase()).collect();
    let headings = ["WORKLOAD", "PLACED"].into_iter().chain(titles.iter().map(String::as_str));
    let mut table = Table::new(&headings.collect::<Vec<_>>());
    for line in report.lines() {
        if !line.iter().any(|row| is_wanted(row)) {
            continue;
        }
        let find = |system: &&str| line.iter().find(|row| row.system == **system && is_wanted(row));
        let cells =
            systems.iter().map(|system| find(system).map_or(ABSENT.into(), |row| cell(row)));
        let first = line[0];
        let names = [first.workload.clone(), first.placement.name().to_owned()];
        table.row(names.into_iter().chain(cells));
    }
    table
}

fn took(row: &Row) -> String {
    let Some(median) = row.median else {
        return if row.error.is_some() { "failed".into() } else { ABSENT.into() };
    };
    let mut text = time(median);
    if let Some(spread) = spread(row) {
        text += &format!(" ±{spread:.0}%");
    }
    match row.ratio {
        Some(of_yardstick) => text + &format!(" ({})", ratio(of_yardstick)),
        None => text,
    }
}

fn serving(row: &Row) -> String {
    let requests = requests_each(row).map_or(ABSENT.into(), |each| format!("{each:.2}"));
    let memory = row.rss_anon.map_or(ABSENT.into(), |bytes| human(bytes, Digits::Three));
    let descriptors = row.descriptors.map_or(ABSENT.into(), |count| count.to_string());
    format!("{requests} {memory} {descriptors}")
}
