//! The fault points of an import beside the calls that strace counts, name by name: what has none can't be made to fail.

use std::collections::BTreeMap;
use std::process::Command;

use super::support::{figure, need, watchdog};
use super::{Lab, told, words_of};

/// Calls without a fault point, and why they need none. Of the rest each has one.
const EXCEPTIONS: [(&[&str], &str); 9] = [
    (
        &["brk", "mmap", "mprotect", "munmap", "madvise"],
        "memory of the allocator and of threads; mappings of indexes pass a point of this name",
    ),
    (
        &["clone3", "futex", "rseq", "set_robust_list", "sigaltstack", "sched_yield", "gettid"],
        "threads of the standard library: their start is its panic, their locks can't fail",
    ),
    (&["sched_getaffinity"], "the standard library counts processors: a failure counts as one"),
    (&["rt_sigaction", "rt_sigprocmask"], "signals are blocked while threads start; can't fail"),
    (
        &["geteuid", "getegid", "getpid", "uname", "prctl"],
        "questions that can't fail, PR_GET_AUXV among them",
    ),
    (&["close"], "whatever it answers the descriptor is gone; what was written was synced before"),
    (&["fcntl"], "a debug build asks whether a descriptor is open before it closes it"),
    (&["getrandom"], "the keys of hash tables; those of names pass a point"),
    (&["read", "exit", "exit_group", "restart_syscall"], "reads, which have more points; the end"),
];

/// Files of which the standard library asks how many processors there are and where the stack ends, and the allocator of a thread
/// whether memory may be given back. Whatever is done with them, a failure counts as one processor, no guard page, or no.
const ASKED_BY_OTHERS: [&str; 3] = ["/cgroup", "/proc/self/m", "/proc/sys/vm/overcommit_memory"];

type Counts = BTreeMap<String, u64>;

#[test]
fn every_call_of_an_import_has_a_fault_point() {
    let _watchdog = watchdog(120);
    need!("strace");
    let Some(lab) = Lab::new() else { return };
    // The same run without an import: what the loader and the language's start make.
    let start = calls(&lab, &["--version".to_owned()]);
    // Of one run, since two threads that make one directory make more calls in some runs than in others.
    let import = calls(&lab, &words_of(&lab.pull(None)));
    let points = points(&lab);
    let (mut all, mut missing) = (0, Vec::new());
    for (name, made) in &import {
        let made = made.saturating_sub(start.get(name).copied().unwrap_or(0));
        if EXCEPTIONS.iter().any(|(names, _)| names.contains(&name.as_str())) {
            continue;
        }
        all += made;
        let passed = points.get(name).copied().unwrap_or(0);
        if passed < made {
            missing.push(format!("{name}: {made} calls, {passed} points"));
        }
    }
    let passed: u64 = points.values().sum();
    figure(format_args!("fault points: {passed}; calls by strace, less reads: {all}"));
    assert_eq!(missing, [] as [String; 0]);
    assert!(all > 150, "strace saw {all} calls: where did they go?");
}

/// An exception for a call that is not made hides the one that will be.
#[test]
fn every_exception_says_why_and_stands_once() {
    let mut names: Vec<&str> =
        EXCEPTIONS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a call stands twice");
    assert!(EXCEPTIONS.iter().all(|(_, why)| why.len() > 20));
}

/// The points that the last run passed, by the name of the call.
fn points(lab: &Lab) -> Counts {
    let report = std::fs::read_to_string(lab.scratch.join("report")).unwrap();
    let pairs = report.split_whitespace().filter_map(|word| word.split_once('='));
    let calls = pairs.filter(|(name, _)| !matches!(*name, "points" | "fired"));
    calls.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// The calls that all threads of a run make, by name.
fn calls(lab: &Lab, words: &[String]) -> Counts {
    let log = lab.scratch.join("calls");
    let report = lab.scratch.join("report");
    let output = Command::new("strace")
        // With the paths of descriptors.
        .args(["-f", "-y", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_layerfs"))
        .args(words)
        .env("LAYERFS_FAULT", "count")
        .env("LAYERFS_FAULT_REPORT", &report)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let log = std::fs::read_to_string(log).unwrap();
    let mut counts = Counts::new();
    for line in log.lines() {
        // `PID name(…`; a call that another thread's line cut in two goes on as `PID <... name resumed>`.
        let Some((_, said)) = line.split_once(' ') else { continue };
        let Some((name, args)) = said.trim_start().split_once('(') else { continue };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_other = ASKED_BY_OTHERS.iter().any(|path| args.contains(path))
            || args.contains(report.to_str().unwrap());
        if is_name && !is_other {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts
}
