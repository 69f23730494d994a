//! `layerfs bench`: every workload runs, what is told is told whole, and nothing is left whatever happens. No figure is looked
//! at: they are another machine's.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Photo, Scope, Scratch, need, need_root, photograph, watchdog};

/// Where the disk is made that is measured on.
const BASE: &str = "/var/tmp";

fn bench(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
    command.arg("bench").args(words.split_whitespace()).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the command under test is there")
}

/// The one element of an array of JSON.
fn report(text: &str) -> Value {
    let array: Vec<Value> = serde_json::from_str(text).expect("one array of JSON");
    assert_eq!(array.len(), 1);
    array.into_iter().next().unwrap()
}

fn workloads_of(report: &Value) -> BTreeSet<String> {
    let rows = report["rows"].as_array().expect("rows are an array");
    rows.iter().map(|row| row["workload"].as_str().unwrap().to_owned()).collect()
}

/// The names that the command itself lists.
fn listed() -> BTreeSet<String> {
    let listed = run(&mut bench("--list"));
    let lines = text(&listed.stdout);
    lines.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The keys that docs/json.md lists for this command.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../docs/json.md");
    let (_, section) = page.split_once("## `layerfs bench --json").expect("the page has a section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

fn keys(report: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in report.as_object().expect("an object") {
        match value.as_array().filter(|rows| rows.iter().any(Value::is_object)) {
            Some(rows) => {
                for row in rows {
                    found.extend(row.as_object().unwrap().keys().map(|of| format!("{key}[].{of}")));
                }
            }
            None => {
                found.insert(key.clone());
            }
        }
    }
    found
}

/// What the command of process `pid` has below [`BASE`].
fn grounds(pid: u32) -> Vec<PathBuf> {
    let prefix = format!("layerfs-bench-{pid}-");
    let mut entries = support::machine::entries(Path::new(BASE));
    entries.retain(|entry| entry.file_name().unwrap().to_string_lossy().starts_with(&prefix));
    entries
}

/// A program of that name that does what `line` says, in a directory to be put before the path.
fn stand_in(dir: &Path, name: &str, line: &str) -> String {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(name), format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

/// A git that answers for its version alone.
const SLEEPING: &str = "case $1 in --version) echo version ;; *) exec sleep 1000 ;; esac";

#[test]
fn every_workload_runs_and_is_named_in_the_report() {
    need_root!();
    need!("tar", "git", "python3", "dpkg", "dpkg-deb", "cp", "mount");
    let _watch = watchdog(600);
    let scratch = Scratch::new();
    let (json, html) = (scratch.join("report.json"), scratch.join("report.html"));
    let mut command =
        bench("--small --no-requests --fs tmpfs --on overlayfs,layerfs-image,layerfs-dirs");
    let done = run(command.arg("--json").arg(&json).arg("--html").arg(&html));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let report = report(&std::fs::read_to_string(&json).unwrap());
    assert_eq!(workloads_of(&report), listed());
    for row in report["rows"].as_array().unwrap() {
        assert!(row["median"].as_f64().is_some_and(|secs| secs > 0.0), "{row}");
        let is_served = row["system"].as_str().unwrap().starts_with("layerfs");
        let tools = ["import", "container", "container-bridge"]
            .contains(&row["workload"].as_str().unwrap());
        assert_eq!(row["rss_anon"].as_u64().is_some(), is_served && !tools, "{row}");
    }
    let (page, table) = (std::fs::read_to_string(&html).unwrap(), text(&done.stdout));
    for name in listed() {
        assert!(page.contains(&format!("<h2>{name}</h2>")), "{name}");
        assert!(table.contains(&format!("\n{name} ")), "{name}");
    }
}

#[test]
fn the_report_has_the_documented_keys_and_counts_requests() {
    need_root!();
    need!("strace", "mkfs.ext4");
    let _watch = watchdog(300);
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let words = "--small create import --on layerfs-image,skopeo --json -";
    let done = run(bench(words).env("PATH", path));
    let report = report(&text(&done.stdout));
    let mut found = keys(&report);
    // Where everything is here, nothing is skipped.
    found.remove("skipped");
    found.extend(["what", "reason"].map(|key| format!("skipped[].{key}")));
    found.remove("tools");
    found.extend(["name", "version"].map(|key| format!("tools[].{key}")));
    assert_eq!(found, documented());
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!((&report["small"], &report["stopped"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(report["filesystem"], "ext4");
    let row = &report["rows"][0];
    let (requests, operations) =
        (row["requests"].as_u64().unwrap(), row["operations"].as_u64().unwrap());
    assert!(requests >= operations && requests < operations * 20, "{row}");
}

#[test]
fn ctrl_c_ends_it_and_leaves_nothing() {
    need_root!();
    need!("mkfs.ext4");
    let _watch = watchdog(300);
    let mut command =
        bench("--small --rounds 1000 --no-requests walk-warm --on layerfs-image --json -");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let third = lines.map(Result::unwrap).find(|line| line.contains("round 3 of 1000"));
    assert!(third.is_some(), "it ended before");
    let [ground] = &grounds(child.id())[..] else { panic!("no directory of its own") };
    let scope = Scope::Below(ground.clone());
    assert_ne!(photograph(&scope), Photo::empty(&scope), "the picture shows what it works with");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    photograph(&scope).assert_same(&Photo::empty(&scope));
    assert!(!ground.exists());
    let report = report(&text(&done.stdout));
    assert_eq!(report["stopped"], true);
    assert!(report["rows"][0]["times"].as_array().unwrap().len() >= 2, "what was measured is told");
}

/// Whatever ends the command, its processes and mounts end with it, however long their step would have taken; directories may
/// stay, and are empty.
#[test]
fn a_killed_bench_leaves_no_process_and_no_mount() {
    need_root!();
    need!("mkfs.ext4");
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let path = stand_in(&scratch.join("bin"), "git", SLEEPING);
    let mut command = bench("--small --no-requests git --on layerfs-image");
    command.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("round 1 of 1")));
    let [ground] = &grounds(child.id())[..] else { panic!("no directory of its own") };
    let scope = Scope::Below(ground.clone());
    child.kill().unwrap();
    child.wait().unwrap();
    photograph(&scope).assert_same(&Photo::empty(&scope));
    std::fs::remove_dir(ground.join("disk")).expect("nothing is in it");
    std::fs::remove_dir(ground).expect("nothing else is in it");
}

#[test]
fn a_workload_that_fails_or_hangs_is_told_and_the_next_is_measured() {
    need_root!();
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let base = scratch.join("base");
    std::fs::create_dir(&base).unwrap();
    let scope = Scope::Below(base.clone());
    let rows = [
        (
            "echo version; case $1 in --version) ;; *) echo broken >&2; exit 4 ;; esac",
            "ended with status 4: broken",
        ),
        (SLEEPING, "hung: it took longer than 10 s"),
    ];
    for (line, told) in rows {
        let path = stand_in(&scratch.join("bin"), "git", line);
        let mut command =
            bench("--small --no-requests --limit 10 git mount --on layerfs-dirs --json - --base");
        let done = run(command.arg(&base).env("PATH", path));
        assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
        assert!(text(&done.stderr).contains("git on layerfs-dirs: "), "{}", text(&done.stderr));
        let report = report(&text(&done.stdout));
        let rows = report["rows"].as_array().unwrap();
        let failed = |row: &&Value| row["workload"] == "git";
        for row in rows.iter().filter(failed) {
            assert!(row["error"].as_str().unwrap().contains(told), "{row}");
            assert!(row["median"].is_null(), "{row}");
        }
        assert!(
            rows.iter().any(|row| row["workload"] == "mount" && row["median"].is_f64()),
            "{rows:?}"
        );
        assert_eq!(std::fs::read_dir(&base).unwrap().count(), 0);
        photograph(&scope).assert_same(&Photo::empty(&scope));
    }
}

#[test]
fn what_is_missing_or_not_understood_is_told() {
    need_root!();
    let scratch = Scratch::new();
    let rows = [
        (
            "no-such-workload",
            "no workload `no-such-workload`; `layerfs bench --list` names those there are",
        ),
        ("--on nothing", "--on `nothing`: there is no such system; there are layerfs-image, "),
        ("--base /no/such", "--base `/no/such`: it does not exist; is its name right?"),
        ("--html /no/such/page walk", "write `/no/such/page`: "),
    ];
    for (words, told) in rows {
        let done = run(&mut bench(words));
        assert_eq!(done.status.code(), Some(1), "{words}");
        assert!(text(&done.stderr).contains(told), "{}", text(&done.stderr));
    }
    let path = stand_in(&scratch.join("bin"), "tar", "exit 0");
    let alone = path.split(':').next().unwrap();
    let without = run(
        bench("--small git --on bare --fs tmpfs --json -").env("PATH", format!("{alone}:/bin"))
    );
    let report = report(&text(&without.stdout));
    if !Path::new("/bin/git").exists() {
        assert_eq!(report["skipped"][0]["reason"], "no program `git` on the path");
    }
    need!("unshare");
    let mut user = Command::new("unshare");
    let done = run(user.args(["-Ur", env!("CARGO_BIN_EXE_layerfs"), "bench", "--small"]));
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("call it as root"), "{}", text(&done.stderr));
}

/// Of the soak alone, where a browser is found: what the page is made of is tested beside its code.
#[test]
fn a_browser_shows_the_page_and_logs_no_error() {
    need_root!();
    let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let browser = browser.iter().find(|path| Path::new(path).exists());
    let (true, Some(browser)) = (support::soak(), browser) else {
        return support::figure(format_args!("bench: no browser was asked to show the page"));
    };
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let html = scratch.join("report.html");
    let done = run(bench("--small --fs tmpfs mount create --on bare --html").arg(&html));
    assert!(done.status.success(), "{}", text(&done.stderr));
    for dark in [&[][..], &["--force-dark-mode"]] {
        let mut command = Command::new(browser);
        let words = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --dump-dom --user-data-dir=";
        let words = format!("{words}{}", scratch.join("profile").display());
        command.args(words.split(' ')).args(dark).arg(format!("file://{}", html.display()));
        let shown = run(&mut command);
        let (page, said) = (text(&shown.stdout), text(&shown.stderr));
        assert!(page.contains("<h2>create</h2>") && page.contains("<svg "), "{page}\n{said}");
        assert!(!said.contains("CONSOLE"), "{said}");
    }
}
