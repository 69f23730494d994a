//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere; light and dark.

use super::facts::{Report, ratio, requests_each, time};
use super::svg::{bars, escaped};
use crate::bench::figures::Row;
use crate::bench::workloads;
use crate::output::size::{Digits, human};

const STYLE: &str = "\
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2024; --faint: #60646c; --line: #d9d9e0;
  --own: #0d74ce; --kernel: #8b8d98; --peer: #cc4e00; --bare: #b9bbc6; }
@media (prefers-color-scheme: dark) { :root { --paper: #111113; --ink: #edeef0; --faint: #b0b4ba; --line: #363a3f;
  --own: #70b8ff; --kernel: #777b84; --peer: #ffa057; --bare: #5a6169; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0; } h3 { font-size: .9rem; margin: .6rem 0 0; }
p { margin: .3rem 0; } .faint { color: var(--faint); } code { font-size: .9em; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; } dt { color: var(--faint); } dd { margin: 0; }
svg { width: 100%; max-width: 44rem; height: auto; display: block; } svg text { fill: var(--ink); font-size: 12px; }
.own { fill: var(--own); } .kernel { fill: var(--kernel); } .peer { fill: var(--peer); } .bare { fill: var(--bare); }
.spread { stroke: var(--ink); stroke-width: 1.5; } .yardstick { stroke: var(--faint); stroke-dasharray: 3 3; }
svg text.failed { fill: var(--peer); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin-top: .6rem; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .7rem .2rem 0; text-align: left; white-space: nowrap; }
";

/// The page.
pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>layerfs bench, {date}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>layerfs bench</h1>\n",
        date = escaped(&report.date)
    );
    page += &circumstances(report);
    page += "<p>Bars are medians, strokes across their ends reach from the shortest run to the longest, the dashed line is \
             overlayfs, and figures in brackets are ratios to it: less is better. <em>Free</em> leaves it to the kernel where \
             the workload and the process that serves it run; <em>pinned</em> keeps both on one processor.</p>\n";
    page += &charts(report);
    page += &details(report);
    if !report.skipped.is_empty() {
        page += "<h2>Not measured</h2>\n<ul>\n";
        for skipped in &report.skipped {
            page += &format!("<li>{}: {}</li>\n", escaped(&skipped.what), escaped(&skipped.reason));
        }
        page += "</ul>\n";
    }
    page + "</body>\n</html>\n"
}

fn circumstances(report: &Report) -> String {
    let rounds = report.rounds.to_string();
    let processors = report.processors.to_string();
    let mut rows = vec![
        ("date", report.date.as_str()),
        ("kernel", &report.kernel),
        ("processors", &processors),
        ("file system", report.filesystem.as_deref().unwrap_or("none")),
        ("rounds", &rounds),
        ("layerfs", report.version),
    ];
    rows.extend(report.tools.iter().map(|tool| (tool.name.as_str(), tool.version.as_str())));
    let mut text = String::from("<dl>\n");
    for (name, value) in rows {
        text += &format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value));
    }
    text += &format!("<dt>command</dt><dd><code>{}</code></dd>\n</dl>\n", escaped(&report.command));
    if report.small {
        text += "<p><strong>Small counts: this shows that all works, and measures nothing.</strong></p>\n";
    }
    if report.stopped {
        text += "<p><strong>It was stopped before all was measured.</strong></p>\n";
    }
    text
}

fn charts(report: &Report) -> String {
    let abouts: Vec<(String, String)> =
        workloads::all().iter().map(|one| (one.name(), one.about())).collect();
    let mut text = String::new();
    let mut last = "";
    for line in report.lines() {
        let first = line[0];
        if first.workload != last {
            let about = abouts.iter().find(|(name, _)| *name == first.workload);
            let about = about.map_or("", |(_, about)| about);
            text += &format!(
                "<h2>{}</h2>\n<p class=\"faint\">{}</p>\n",
                escaped(&first.workload),
                escaped(about)
            );
            last = &first.workload;
        }
        let placed = first.placement.name();
        text += &format!("<h3>{placed}</h3>\n");
        text += &bars(&format!("{}, {placed}", first.workload), &line);
    }
    text
}

fn details(report: &Report) -> String {
    let mut text = String::from(
        "<h2>All figures</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>workload</th><th>placed</th><th>on</th>\
         <th>median</th><th>shortest</th><th>longest</th><th>ratio</th><th>requests by operation</th><th>RssAnon</th>\
         <th>descriptors</th></tr></thead>\n<tbody>\n",
    );
    for row in &report.rows {
        text += "<tr>";
        for cell in cells(row) {
            text += &format!("<td>{}</td>", escaped(&cell));
        }
        text += "</tr>\n";
    }
    text + "</tbody>\n</table></div>\n"
}

fn cells(row: &Row) -> [String; 10] {
    let shown = |figure: Option<f64>, show: fn(f64) -> String| figure.map_or("–".into(), show);
    [
        row.workload.clone(),
        row.placement.name().into(),
        row.system.clone(),
        row.error.clone().unwrap_or_else(|| shown(row.median, time)),
        shown(row.min, time),
        shown(row.max, time),
        shown(row.ratio, ratio),
        shown(requests_each(row), |each| format!("{each:.2}")),
        row.rss_anon.map_or("–".into(), |bytes| human(bytes, Digits::Three)),
        row.descriptors.map_or("–".into(), |count| count.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Figures;
    use crate::bench::machine::Machine;
    use crate::bench::tell::{Cell, Placement, Sample, Told};
    use crate::bench::watch::Finished;

    fn report() -> Report {
        let mut figures = Figures::default();
        for (system, took) in [
            ("overlayfs", Ok(0.5)),
            ("layerfs-image", Ok(0.25)),
            ("bare", Err("<broken> & \"out\"".into())),
        ] {
            for placement in [Placement::Free, Placement::Pinned] {
                let of = Cell { workload: "create".into(), placement, system: system.into() };
                let (rss_anon, descriptors) = (Some(5_000_000), Some(12));
                let took = took.clone();
                figures.hear(Told::Sample(Sample {
                    of,
                    operations: 10,
                    took,
                    rss_anon,
                    descriptors,
                }));
            }
        }
        figures.hear(Told::Skipped { what: "git".into(), reason: "no <git>".into() });
        figures.hear(Told::Filesystem("ext4".into()));
        let machine = Machine {
            kernel: "6.18 x86_64".into(),
            processors: 2,
            date: "2024-02-29T12:00:00Z".into(),
            command: "layerfs bench --tree 'a<b'".into(),
        };
        Report::new(machine, figures, (1, true), Finished::Stopped)
    }

    /// Every element that is opened is closed in its order.
    fn check_nesting(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let body = page.split_once("<html").unwrap().1;
        for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            match tag.strip_prefix('/') {
                Some("html") => assert!(open.is_empty(), "{open:?}"),
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{tag}"),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
    }

    #[test]
    fn the_page_is_well_formed_and_needs_nothing_else() {
        let page = page(&report());
        check_nesting(&page);
        for outside in ["http", "url(", "src=", "href=", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("@media (prefers-color-scheme: dark)"));
        assert!(page.contains("<meta name=\"color-scheme\" content=\"light dark\"/>"));
    }

    #[test]
    fn the_page_says_what_was_measured_where() {
        let page = page(&report());
        let facts = [
            "6.18 x86_64",
            "ext4",
            "2024-02-29T12:00:00Z",
            "2</dd>",
            "--tree 'a&lt;b'",
            "Small counts",
            "stopped",
        ];
        for fact in facts {
            assert!(page.contains(fact), "{fact}");
        }
        assert!(page.contains("create empty files") && page.contains("git: no &lt;git&gt;"));
        assert!(
            page.contains("250.0 ms (0.50)")
                && page.contains("&lt;broken&gt; &amp; &quot;out&quot;")
        );
        assert_eq!(page.matches("<svg ").count(), 2, "one for each placement");
    }

    #[test]
    fn the_tables_have_a_column_for_each_system() {
        let lines = super::super::tables(&report());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[3]), ["WORKLOAD", "PLACED", "OVERLAYFS", "LAYERFS-IMAGE", "BARE"]);
        assert_eq!(words(&lines[4])[..2], ["create", "free"]);
        assert!(
            lines[4].contains("500.0 ms ±0% (1.00)   250.0 ms ±0% (0.50)   failed"),
            "{}",
            lines[4]
        );
        assert!(lines.iter().any(|line| line.contains("- 5MB 12")), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "Not measured: git: no <git>");
    }
}
