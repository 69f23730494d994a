//! Containers under faults: each system call of making, changing, ending, removing and settling one refused, and the
//! process killed at each.
//!
//! After each, no container is half there, the next command works, a sweep leaves nothing, and `fsck` finds nothing.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used)] // a test that can't go on should fail there

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use layerfs_driver::store::container::{Base, Exited, Keep, Living, NewContainer, State};
use layerfs_driver::store::{Repair, Store, StoreError};
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Plan, with_plan};
use serde_json::Map;

use support::{Scratch, figure, watchdog};

/// Errors that a disk, a full disk, a signal and a process out of descriptors give.
const ERRNOS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::INTR, Errno::MFILE];

/// Descriptors are counted: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What is done under faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Makes, runs and ends a container that is kept.
    Keep,
    /// The same with one that goes.
    ThrowAway,
    /// Removes one that has ended.
    Remove,
    /// Settles what died: one that is kept, one that goes, one that was never whole.
    Settle,
}

const DEEDS: [Deed; 4] = [Deed::Keep, Deed::ThrowAway, Deed::Remove, Deed::Settle];

fn make(store: &Store, name: &str, keep: Keep) -> Result<Living, StoreError> {
    store.create_container(NewContainer {
        name: Some(name.into()),
        base: Base::rootfs(Path::new("/some/where")),
        command: vec!["true".into()],
        hostname: None,
        keep,
        details: Map::new(),
        said: serde_json::Value::Null,
        volumes: Vec::new(),
    })
}

fn running() -> State {
    // No process has this pid: nothing is killed for it.
    State::Running { pid: u32::MAX, pid_start_ticks: 0, started_ms: 1, has_no_network: false }
}

fn exited() -> Exited {
    let (started_ms, error) = (Some(1), String::new());
    Exited { exit_code: 3, oom_killed: false, started_ms, finished_ms: 2, error }
}

/// What has to be there before the deed.
fn prepare(store: &Store, deed: Deed) {
    match deed {
        Deed::Keep | Deed::ThrowAway => {}
        Deed::Remove => {
            let web = make(store, "web", Keep::Kept).unwrap();
            fill(&web);
            web.end(exited()).unwrap();
        }
        Deed::Settle => {
            let web = make(store, "web", Keep::Kept).unwrap();
            web.set_state(&running()).unwrap();
            drop(web);
            let brief = make(store, "brief", Keep::Throwaway).unwrap();
            fill(&brief);
            // As a child leaves it that was killed: the lock is free, and all is there.
            brief.close_in_child();
            let below = store.path().join("containers").join("e".repeat(64));
            std::fs::create_dir_all(below.join("upper")).unwrap();
        }
    }
}

fn fill(living: &Living) {
    living.make_dir("upper").unwrap();
    let upper = format!("/proc/self/fd/{}/upper", std::os::fd::AsRawFd::as_raw_fd(living.dir()));
    std::fs::create_dir_all(format!("{upper}/a/b")).unwrap();
    std::fs::write(format!("{upper}/a/b/file"), b"contents").unwrap();
}

fn carry_out(store: &Store, deed: Deed) -> Result<(), StoreError> {
    match deed {
        Deed::Keep | Deed::ThrowAway => {
            let keep = if deed == Deed::Keep { Keep::Kept } else { Keep::Throwaway };
            let web = make(store, "web", keep)?;
            web.make_dir("upper")?;
            web.make_dir("work")?;
            web.set_state(&running())?;
            web.end(exited())
        }
        Deed::Remove => store.remove_container(&store.find_container("web")?),
        Deed::Settle => {
            for dead in store.dead_containers()? {
                dead.settle()?;
            }
            Ok(())
        }
    }
}

/// What must hold after any fault, and what the next command makes of it.
fn recovers(store: &Store, deed: Deed, case: &str) {
    for one in store.containers().unwrap() {
        assert_eq!((one.name.as_str(), one.is_living), ("web", false), "{case}");
        assert_ne!(deed, Deed::ThrowAway, "{case}: a throwaway is shown after its end");
    }
    let findings = store.fsck(Repair::Report).unwrap().findings;
    assert_eq!(findings, [], "{case}");
    store.collect().unwrap();
    for dead in store.dead_containers().unwrap() {
        dead.settle().unwrap();
    }
    no_asides(store, case);
    let left = store.containers().unwrap();
    let below = store.path().join("containers");
    let names = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(names(&below).len(), left.len(), "{case}: something is left");
    for one in &left {
        assert!(matches!(one.state, State::Exited(_)), "{case}: {:?}", one.state);
        store.remove_container(one).unwrap();
    }
    // Its name is free again.
    make(store, "web", Keep::Throwaway).unwrap().end(exited()).unwrap();
    assert_eq!(names(&below), [] as [PathBuf; 0], "{case}");
}

/// No temporary record is left: by a deed that was only refused something, and by a killed one after a sweep.
fn no_asides(store: &Store, case: &str) {
    for dir in std::fs::read_dir(store.path().join("containers")).unwrap() {
        for entry in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.ends_with(".new"), "{case}: {name} is left");
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_refused_call_leaves_containers_whole_or_gone() {
    let _alone = ALONE.lock().unwrap();
    let _watch = watchdog(300);
    for deed in DEEDS {
        let mut points = 0;
        for errno in ERRNOS {
            for n in 1.. {
                let case = format!("{deed:?}: call {n} answers {errno}");
                let scratch = Scratch::new();
                let store = Store::open(&scratch.join("store")).unwrap();
                prepare(&store, deed);
                let before = descriptors();
                let plan = Plan::Fail { n, errno, call: None };
                let (done, outcome) = with_plan(plan, || carry_out(&store, deed));
                assert_eq!(descriptors(), before, "{case}: descriptors are left open");
                if !outcome.fired || errno == Errno::INTR {
                    done.unwrap();
                }
                no_asides(&store, &case);
                recovers(&store, deed, &case);
                if !outcome.fired {
                    points = outcome.points;
                    break;
                }
            }
        }
        figure(format_args!("{deed:?}: points: {points}"));
        assert!(points > 12, "{deed:?} passes {points} points: where did they go?");
    }
}

const CHILD: &str = "a_child_carries_out_what_it_is_told";

/// What the killed process does: nothing, where no one told this run of the tests to be one.
#[test]
fn a_child_carries_out_what_it_is_told() {
    let Some(words) = std::env::var_os("LAYERFS_TEST_DEED") else { return };
    let words = words.into_string().unwrap();
    let (deed, root) = words.split_once(' ').unwrap();
    let deed = DEEDS.into_iter().find(|known| format!("{known:?}") == deed).unwrap();
    carry_out(&Store::open(Path::new(root)).unwrap(), deed).unwrap();
}

#[test]
fn a_death_at_any_call_leaves_containers_whole_or_gone() {
    let _alone = ALONE.lock().unwrap();
    let _watch = watchdog(300);
    for deed in DEEDS {
        let mut deaths = 0;
        for n in 1.. {
            let scratch = Scratch::new();
            let root = scratch.join("store");
            let store = Store::open(&root).unwrap();
            prepare(&store, deed);
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", CHILD, "--test-threads", "1"])
                .env("LAYERFS_TEST_DEED", format!("{deed:?} {}", root.display()))
                .env("LAYERFS_FAULT", format!("die:{n}"))
                .stdout(Stdio::null())
                .status()
                .unwrap();
            recovers(&store, deed, &format!("{deed:?}: death at call {n}"));
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9), "{deed:?} {n}: {status}");
            deaths += 1;
        }
        figure(format_args!("{deed:?}: deaths: {deaths}"));
        assert!(deaths > 12, "{deed:?} died at {deaths} points only");
    }
}
