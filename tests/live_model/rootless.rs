//! Owns histories of those who are not root: this test again, as a user, on mounts by fusermount3 or in a user namespace.

use std::path::PathBuf;
use std::process::Stdio;

use crate::model::history::{self, Case};
use crate::model::layers::Layer;
use crate::model::plain::PlainDir;
use crate::model::subject::{Numbers, Rules};
use crate::model::tame::{self, tame};
use crate::model::union_ground::Lowers;
use crate::support::user::{self, Who};
use crate::support::{Scope, Scratch, photograph, rights, watchdog};
use crate::{ALONE, Live, STEPS, soak};

/// Says to a process that it is the worker, and what it does: who it is, the lowers, the first seed and how many.
const TASK: &str = "ROOTLESS_TASK";

/// The command, which a user does not find where it was built.
pub fn program() -> PathBuf {
    let is_worker = std::env::var_os(TASK).is_some();
    if is_worker { "layerfs".into() } else { env!("CARGO_BIN_EXE_layerfs").into() }
}

/// What is none of root's can't be marked unless it is a file or a directory: its number holds for the mount.
pub fn rules(rules: Rules) -> Rules {
    let is_worker = std::env::var_os(TASK).is_some();
    Rules { numbers: if is_worker { Numbers::PerMount } else { rules.numbers }, ..rules }
}

/// Runs histories as somebody, on a place of its own.
fn histories(scratch: &Scratch, who: Who, lowers: &str, (first, count): (u64, u64)) {
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    let words = ["test", "--exact", "rootless::worker", "--nocapture", "--test-threads=1"];
    let mut command = user::command(who, scratch.path(), &words);
    command.env(TASK, format!("{who:?} {lowers} {first} {count}"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{who:?}, {lowers}: {said}{failed}"
    );
    photograph(&scope).assert_same(&before);
}

/// Does nothing unless it is started as a worker.
#[test]
fn worker() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task = task.into_string().unwrap();
    let [who, lowers, first, count] = task.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{task}")
    };
    let who = if who == "User" { tame::Who::User } else { tame::Who::RootOfNamespace };
    let first: u64 = first.parse().unwrap();
    let seeds = first..first + count.parse::<u64>().unwrap();
    let cases = |lowers| seeds.map(move |seed| tame(Case::random(seed, STEPS), who, lowers));
    let place = std::env::current_dir().unwrap();
    rustix::process::umask(rustix::fs::Mode::empty());
    match lowers {
        "plain" => {
            let start = |layers: &[Layer]| PlainDir::new(&place.join("plain"), layers);
            history::run_cases(cases(Lowers::Directories), &start);
        }
        "image" => {
            let start = |layers: &[Layer]| Live::new(&place, Lowers::Image, layers);
            history::run_cases(cases(Lowers::Image), &start);
        }
        _ => {
            let start = |layers: &[Layer]| Live::new(&place, Lowers::Directories, layers);
            history::run_cases(cases(Lowers::Directories), &start);
        }
    }
}

/// The lowers of histories, and how many.
type Rounds<'a> = &'a [(&'a str, u64)];

/// First the model itself is proved: a plain directory of the same user's does the same.
const IN_MEMORY: Rounds = &[("plain", 30), ("directories", 20), ("image", 20)];

/// XFS gives an exchanged directory a new time, which the model does not know, and neither does a mount.
const ON_DISK: Rounds = &[("directories", 15), ("image", 15)];

fn run(who: Who, first: u64, (disk, rounds): (impl Fn() -> Scratch, Rounds)) {
    if !user::have_users() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watch = watchdog(600 * soak());
    let scratch = disk();
    for &(lowers, count) in rounds {
        histories(&scratch, who, lowers, (first, count * soak()));
    }
}

#[test]
fn what_a_user_mounts_by_fusermount3_is_the_model() {
    run(Who::User, 44_000, (Scratch::new, IN_MEMORY));
}

#[test]
fn what_root_of_a_namespace_with_one_id_mounts_is_the_model() {
    run(Who::One, 45_000, (Scratch::new, IN_MEMORY));
}

#[test]
fn what_root_of_a_namespace_with_subordinate_ids_mounts_is_the_model() {
    run(Who::Many, 46_000, (Scratch::new, IN_MEMORY));
}

/// One round on the file systems that are not tried in full.
const ON_FURTHER_DISKS: Rounds = &[("directories", 4), ("image", 4)];

/// The file systems that people have: in memory above, ext4 here, and a few histories on the two others, in full with
/// `LAYERFS_SOAK=1`.
#[test]
fn what_users_mount_with_uppers_on_disks_is_the_model() {
    if !rights::have_loop_devices() || !rights::have(&["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"]) {
        return;
    }
    run(Who::User, 47_000, (|| Scratch::ext4(512), ON_DISK));
    run(Who::One, 47_500, (|| Scratch::ext4(512), ON_DISK));
    let rounds = if soak() > 1 { ON_DISK } else { ON_FURTHER_DISKS };
    for disk in [Scratch::xfs as fn(u32) -> Scratch, Scratch::btrfs] {
        for (who, first) in [(Who::User, 48_000), (Who::One, 48_500), (Who::Many, 49_000)] {
            run(who, first, (|| disk(512), rounds));
        }
    }
}
