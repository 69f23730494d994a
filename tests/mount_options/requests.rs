//! docs/performance.md: which requests an operation costs.

use std::fs;

use crate::live::live;
use crate::support::{rights, watchdog};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the page says, as the script prints it.
fn told() -> String {
    let page = fs::read_to_string(format!("{ROOT}/docs/performance.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| Operation |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap());
    cells.map(|(operation, costs)| format!("{operation}: {costs}\n")).collect()
}

#[test]
fn each_operation_costs_the_requests_that_stand_in_the_page() {
    rights::need!("strace", "python3");
    if !rights::have_given_files() {
        return;
    }
    let Some(live) = live() else { return };
    let _watch = watchdog(300);
    live.shell("mkdir base/many; for n in {0..39}; do echo text > base/many/f$n; done");
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    let script = format!("python3 {ROOT}/tests/mount_options/requests.py {pid} mnt");
    assert_eq!(live.shell(&script), told());
    live.umount();
}
