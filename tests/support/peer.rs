//! fuse-overlayfs 2.0 on a tree of its own, so that figures of layerfs have a neighbour. Nothing is asserted on it, and a hang
//! of it ends.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{figure, suites};

/// What figures call it.
pub const NAME: &str = "fuse-overlayfs 2.0";

/// The first process of a namespace of its own: whatever it started ends with it, and so does a mount that answers nobody.
/// It waits for the end of its input, and not for longer than it was told.
const FIRST: &str = r#"seconds=$1 at=$2; shift 2
"$@" "$at" >/dev/null && echo mounted && read -r -t "$seconds" _
umount "$at" 2>/dev/null || umount -l "$at""#;

/// A mount of it, which goes when this is dropped.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    input: Option<ChildStdin>,
    /// Where it is mounted.
    pub at: PathBuf,
}

impl Peer {
    /// Mounts `lower` of a directory there, with an upper of its own, for at most so many seconds. `None` where figures are
    /// not compared, where it can't be built, and where it does not mount, which is told.
    pub fn mounted(place: &Path, lower: &str, seconds: u64) -> Option<Peer> {
        let program = suites::fuse_overlayfs()?;
        let serial = super::machine::entries(place).len();
        let [upper, work, at] = ["upper", "work", "at"].map(|name| {
            let path = place.join(format!("peer-{serial}-{name}"));
            std::fs::create_dir(&path).expect("the place is the test's");
            path
        });
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            place.join(lower).display(),
            upper.display(),
            work.display()
        );
        let mut first = Command::new("unshare");
        first.args(["--pid", "--fork", "--kill-child", "bash", "-c", FIRST, "bash"]);
        first.arg(seconds.to_string()).arg(&at).arg(program).args(["-o", &options]);
        first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = first.spawn().expect("unshare is part of every system");
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let mut said = String::new();
        BufReader::new(output.expect("it is piped"))
            .read_line(&mut said)
            .expect("bash writes text");
        let peer = Peer { process, input, at };
        if said.is_empty() {
            figure(format_args!("{NAME} does not mount with {options}"));
            return None;
        }
        Some(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.process.wait() {
            eprintln!("wait for {NAME}: {error}");
        }
    }
}

/// Tells how many of the same things each did well: one row of the table that `scripts/figures` makes.
pub fn beside(what: impl Display, of: usize, counts: &[(&str, usize)]) {
    let told: Vec<_> = counts.iter().map(|(who, count)| format!("{who} {count}")).collect();
    figure(format_args!("{what}: of {of}: {}", told.join(", ")));
}
