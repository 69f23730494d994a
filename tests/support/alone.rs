//! A test in a process of its own: what is open there, who handles panics there, and what children inherit there, is its own.
//! So as many of such tests run at once as the harness runs. Not for live mounts: a namespace of mounts that another test makes
//! holds copies of them for a while.

use std::process::{Command, Stdio};

/// Set in that process, to the name of the test.
const ALONE: &str = "LAYERFS_TEST_ALONE";

/// `alone!()`: the rest of the test runs in a process of its own.
macro_rules! alone {
    () => {
        if crate::support::alone::ran() {
            return;
        }
    };
}

pub(crate) use alone;

/// The name of the test that runs.
pub fn test_name() -> String {
    let told = std::env::var(ALONE).ok();
    told.unwrap_or_else(|| std::thread::current().name().unwrap_or("a test").to_owned())
}

/// Runs the test that calls in a process of its own, unless this is that one; answers whether it did, and it passed.
pub fn ran() -> bool {
    let (thread, name) = (std::thread::current(), test_name());
    // A harness with one thread runs its tests on the first, one after the other, and tells nobody which.
    if std::env::var_os(ALONE).is_some() || thread.name() == Some("main") {
        return false;
    }
    let mut test = Command::new(std::env::current_exe().expect("a process knows its program"));
    test.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(ALONE, &name);
    // What is counted and skipped goes past the harness, as always.
    let output = test.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.expect("a test binary starts again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(" 1 passed;"), "{}: {said}", output.status);
    true
}
