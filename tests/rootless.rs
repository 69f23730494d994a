//! Mounts and containers of users who are not root: through fusermount3, and in user namespaces.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "rootless/containers.rs"]
mod containers;
#[path = "rootless/delegated.rs"]
mod delegated;
#[path = "network/host.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod host;
#[allow(dead_code, reason = "the images of other tests")]
#[path = "cli/layout.rs"]
mod layout;
#[path = "rootless/left.rs"]
mod left;
#[path = "rootless/mounted.rs"]
mod mounted;
#[path = "rootless/networked.rs"]
mod networked;
#[path = "rootless/normalized.rs"]
mod normalized;
#[path = "rootless/peers.rs"]
mod peers;
#[path = "run_container/place.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod place;
#[path = "rootless/recorded.rs"]
mod recorded;
#[path = "rootless/refused.rs"]
mod refused;
#[path = "rootless/suites.rs"]
mod suites;
#[path = "rootless/unknown.rs"]
mod unknown;

use std::path::Path;

use support::user::{self, Who};
use support::watchdog::Watchdog;
use support::{Photo, Scope, Scratch, photograph, watchdog};

/// What runs on one mount takes seconds; a hang is ended after this.
const LIMIT_S: u64 = 300;

/// A place of a user's, with directories to merge. What is started there is gone when a script has ended.
struct Ground {
    scratch: Scratch,
    before: Photo,
    _watch: Watchdog,
}

/// `None` where nobody can be made a user, and the test has been told as skipped.
fn ground() -> Option<Ground> {
    user::have_users().then(|| Ground::new(Scratch::new()))
}

impl Ground {
    fn new(scratch: Scratch) -> Ground {
        let watch = watchdog(120);
        let before = photograph(&Scope::Below(scratch.path().to_owned()));
        Ground { scratch, before, _watch: watch }
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs a script as root of the machine.
    fn prepare(&self, script: &str) {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-euc", script, env!("CARGO_BIN_EXE_layerfs")]).current_dir(self.path());
        let output = bash.output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a script says as somebody.
    fn shell(&self, who: Who, script: &str) -> String {
        user::shell(who, self.path(), script)
    }

    fn assert_nothing_left(&self) {
        let scope = Scope::Below(self.path().to_owned());
        photograph(&scope).assert_same(&self.before);
    }
}
