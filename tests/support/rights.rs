//! What a test needs of the machine: missing, it is told in one line and the test returns; in CI it fails.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// `need!("skopeo", "umoci")`: returns from the test where a program is missing.
macro_rules! need {
    ($($program:expr),+ $(,)?) => {
        if !crate::support::rights::have(&[$($program),+]) {
            return;
        }
    };
}

/// `need_root!()`: returns from the test where it does not run as root.
macro_rules! need_root {
    () => {
        if !crate::support::rights::have_root() {
            return;
        }
    };
}

pub(crate) use {need, need_root};

/// Says that this test is skipped and why. In CI nothing may be skipped, so there it panics.
pub fn skip(why: &str) {
    assert!(!in_ci(), "this test can't run here and CI=true forbids skipping: {why}");
    let test = super::alone::test_name();
    // Written past the harness, which would swallow the output of a test that passes.
    writeln!(std::io::stderr(), "skipped: {test}: {why}").expect("standard error takes a line");
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| v == "true")
}

/// Whether every program is on the path; the test is skipped where one is not.
pub fn have(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|p| !on_path(p)).collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("{} not installed (make setup)", missing.join(", ")));
    false
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.into_iter().any(|dir| dir.join(program).is_file())
}

/// Whether this is root; the test is skipped where it is not.
pub fn have_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id` is part of every system");
    if id.stdout == b"0\n" {
        return true;
    }
    skip("needs root");
    false
}

/// Whether loop devices can be made here; the test is skipped where they can't.
pub fn have_loop_devices() -> bool {
    if Path::new("/dev/loop-control").exists() {
        return true;
    }
    skip("no /dev/loop-control");
    false
}

/// The kernel takes files from here on.
const GIVEN_SINCE: (u32, u32) = (6, 9);

/// Whether the kernel reads and writes files itself; else it is told.
pub fn have_given_files() -> bool {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there with /proc");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.trim().parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < GIVEN_SINCE {
        skip("the kernel reads and writes no files itself before Linux 6.9");
    }
    version >= GIVEN_SINCE
}
