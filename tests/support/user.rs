//! A user who is not root, or the root of a user namespace: a program run as one, with a FUSE device that everyone may
//! open and lists of users that know it. All that it starts ends with it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use super::rights;

/// The user's number, and that of its group.
pub const ID: u32 = 54321;
/// The first of the user's subordinate ids; the namespace of [`Who::Many`] calls it 1.
pub const FIRST_SUBORDINATE: u32 = 300_000;

/// Who runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user, in the first user namespace.
    User,
    /// Root of a user namespace with one id.
    One,
    /// The same without mounts of its own.
    Mountless,
    /// Root of a user namespace with subordinate ids.
    Many,
}

impl Who {
    fn word(self) -> &'static str {
        match self {
            Who::User => "user",
            Who::One => "one",
            Who::Mountless => "mountless",
            Who::Many => "many",
        }
    }
}

/// Whether a program can be run so here; the test is told as skipped where it can't.
pub fn have_users() -> bool {
    let programs = ["unshare", "setpriv", "fusermount3", "newuidmap", "bash"];
    rights::have_root() && rights::have(&programs)
}

/// Gives `dir` to the user, and makes the command that runs `words` there. `layerfs` is on its path, and the test itself
/// as `test`.
pub fn command(who: Who, dir: &Path, words: &[&str]) -> Command {
    chown(dir, Some(ID), Some(ID)).expect("root gives directories away");
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "-p", "-f", "--kill-child", "--mount-proc"]);
    command.args(["bash", "-c", include_str!("user.sh"), "user.sh", who.word()]);
    command.arg(dir).args(words).stdin(Stdio::null()).current_dir("/");
    for (key, _) in std::env::vars_os() {
        if key.as_encoded_bytes().starts_with(b"LAYERFS_") {
            command.env_remove(key);
        }
    }
    let this = std::env::current_exe().expect("a process knows its program");
    // Other packages' tests have no command to run, and make no users.
    let layerfs = option_env!("CARGO_BIN_EXE_layerfs").unwrap_or_default();
    command.env("LAYERFS", layerfs).env("TEST", this);
    command
}

/// What a script says, standard error with it, run by bash. It need not succeed: its last line may tell.
pub fn shell(who: Who, dir: &Path, script: &str) -> String {
    let script = format!("exec 2>&1; {script}");
    let output = command(who, dir, &["bash", "-c", &script]).output().expect("bash starts");
    let set_up = String::from_utf8_lossy(&output.stderr);
    assert_eq!(set_up, "", "making a user of this machine: {set_up}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a directory of the user's.
pub fn make_dir(path: &Path) {
    fs::create_dir_all(path).expect("the place is the test's");
    chown(path, Some(ID), Some(ID)).expect("root gives directories away");
}
