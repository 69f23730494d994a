//! Containers under faults: each system call of the command, of the process that serves the root, of the one that stands by and of
//! the container's first process refused, and each of them killed at each call.
//!
//! The first process goes on counting where the command made it. After each case the next command works, and nothing is left: no
//! mount, no process, no group, no link, no rule, no address, nothing in the store.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used)] // a test that can't go on should fail there

mod support;

#[path = "run_faults/deed.rs"]
mod deed;
#[path = "run_faults/host.rs"]
mod host;
#[path = "run_faults/lane.rs"]
mod lane;
#[path = "run_faults/matrix.rs"]
mod matrix;
#[path = "run_faults/seen.rs"]
mod seen;

use deed::Deed;
use lane::Lane;
use matrix::{Fault, Kind, all_kinds};
use support::{need, need_root, soak, watchdog};

/// So many seconds one test may take.
fn limit() -> u64 {
    if soak() { 14_400 } else { 900 }
}

#[test]
fn a_fault_at_any_call_of_run_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout");
    let _watch = watchdog(limit());
    // Without the full matrix a call is refused or died at, by turns.
    let kinds = [
        ("fail:N:EIO", (1, 2)),
        ("die:N", (2, 2)),
        ("fail:N:EINTR", (1, 7)),
        ("fail:N:ENOSPC", (1, 0)),
        ("fail:N:EMFILE", (1, 0)),
    ];
    let kinds = kinds.map(|(plan, share)| Kind { plan, share });
    all_kinds(Deed::Run, &kinds, None, 100);
}

#[test]
fn a_fault_at_any_call_of_run_on_a_bridge_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout", "nft", "ip", "nsenter", "unshare");
    let _watch = watchdog(limit());
    all_kinds(Deed::RunOnBridge, &Kind::all(26), Some("run"), 500);
}

#[test]
fn a_fault_at_any_call_of_run_with_an_init_or_with_options_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout");
    let _watch = watchdog(limit());
    all_kinds(Deed::RunWithInit, &Kind::all(32), Some("run"), 100);
    all_kinds(Deed::RunWithOptions, &Kind::all(28), Some("run"), 100);
    all_kinds(Deed::RunWithOptions, &Kind::all(16), Some("serve"), 100);
}

#[test]
fn a_fault_at_any_call_of_create_and_start_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout", "nft", "ip", "nsenter", "unshare");
    let _watch = watchdog(limit());
    all_kinds(Deed::Create, &Kind::all(12), Some("create"), 50);
    all_kinds(Deed::Start, &Kind::all(10), Some("start"), 30);
    all_kinds(Deed::Start, &Kind::all(56), Some("supervise"), 500);
}

#[test]
fn a_fault_at_any_call_of_exec_rm_and_cp_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout");
    let _watch = watchdog(limit());
    all_kinds(Deed::Exec, &Kind::all(28), Some("exec"), 100);
    all_kinds(Deed::Remove, &Kind::all(28), Some("rm"), 100);
    all_kinds(Deed::CopyIn, &Kind::all(14), Some("cp"), 50);
    all_kinds(Deed::CopyIn, &Kind::all(10), Some("copier"), 10);
    all_kinds(Deed::CopyOut, &Kind::all(18), Some("cp"), 50);
    all_kinds(Deed::CopyOut, &Kind::all(14), Some("serve"), 15);
}

#[test]
fn a_fault_at_any_call_of_stop_kill_pause_and_update_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout");
    let _watch = watchdog(limit());
    all_kinds(Deed::Stop, &Kind::all(28), Some("stop"), 20);
    all_kinds(Deed::Kill, &Kind::all(28), Some("kill"), 20);
    all_kinds(Deed::Pause, &Kind::all(28), Some("pause"), 20);
    all_kinds(Deed::Unpause, &Kind::all(28), Some("unpause"), 20);
    all_kinds(Deed::Update, &Kind::all(28), Some("update"), 20);
}

/// A lease, and which address was given last, are written aside first.
#[test]
fn a_lease_that_can_not_be_written_leaves_nothing_of_itself() {
    need_root!();
    need!("busybox", "timeout", "nft", "ip", "nsenter", "unshare");
    let _watch = watchdog(300);
    let lane = Lane::new(Deed::RunOnBridge, Some("run"));
    for call in ["write", "renameat"] {
        for n in 1..=5 {
            lane.case(&Fault::of(&format!("fail:{n}:EIO:{call}"), Some("run")));
        }
    }
    // Whoever comes next has a bridge or not.
    let lane = Lane::new(Deed::Start, Some("supervise"));
    for plan in ["die:1:renameat", "die:2:renameat", "die:3:renameat"] {
        lane.case(&Fault::of(plan, Some("supervise")));
    }
}

#[test]
fn what_is_refused_is_told_with_what_it_was_for() {
    need_root!();
    need!("busybox", "timeout");
    let _watch = watchdog(300);
    let lane = Lane::new(Deed::RunWithInit, Some("run"));
    let serves = "start the process that serves the container's file system";
    let signals = "take over the signals that are sent to this command";
    for (call, what) in [
        ("sigprocmask", signals),
        ("signalfd", signals),
        ("socketpair", serves),
        ("pidfd_open", serves),
    ] {
        let refused = Fault::of(&format!("fail:1:EIO:{call}"), Some("run"));
        let said = String::from_utf8(lane.under(&refused).stderr).unwrap();
        let line = said.strip_prefix(&format!("layerfs: {what}: {call}("));
        assert!(line.is_some_and(|line| line.lines().count() == 1), "{call}: {said}");
    }
}
