//! `layerfs update`: other limits hold at once where a container runs, and from the next start on where it does not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layerfs_runtime::cgroup::{Cgroup, Limits};
use serde_json::Value;

use crate::exec::Up;
use crate::place::Place;
use crate::support::{need, need_root};

/// What the container reads of its limits, one a line, on either version of cgroups.
const READ: &str =
    "cd /sys/fs/cgroup; cat memory.max; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us
    cat cpu.weight 2>/dev/null || cat cpu/cpu.shares; cat pids.max
    cat memory/memory.memsw.limit_in_bytes 2>/dev/null || cat memory.swap.max
    cat memory/memory.soft_limit_in_bytes 2>/dev/null || cat memory.low; nproc";

fn host_config(place: &Place) -> Value {
    let said = place.layerfs(&["inspect", "box"]).said();
    let all: Value = serde_json::from_str(&said).unwrap();
    all[0]["HostConfig"].clone()
}

fn shown(place: &Place) -> Vec<Value> {
    let host = host_config(place);
    let keys = ["Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "PidsLimit"];
    keys.iter().chain(&["CpusetCpus"]).map(|key| host[*key].clone()).collect()
}

fn values(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// Whether a user whom nobody knows can lock a directory.
fn is_locked_by_others(dir: &Path) -> bool {
    let words = ["--reuid", "61234", "--regid", "61234", "--clear-groups", "flock", "-n"];
    let mut flock = Command::new("setpriv");
    flock.args(words).arg(dir).arg("true").stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn nobody_else_can_hold_the_lock_that_an_update_and_a_commit_wait_for() {
    need_root!();
    need!("setpriv", "flock");
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "40m"], "exec sleep 1000");
    let groups = place.groups();
    let locked = |groups: &[PathBuf]| groups.iter().filter(|it| is_locked_by_others(it)).count();
    assert!(!groups.is_empty());
    assert_eq!(locked(&groups), 0, "{groups:?}");
    // As an earlier version made them; who is in one already is waited for.
    for group in &groups {
        std::fs::set_permissions(group, Permissions::from_mode(0o755)).unwrap();
    }
    place.layerfs(&["update", "--memory", "50m", "--memory-swap", "50m", "box"]).said();
    assert_eq!(locked(&groups), groups.len() - 1, "{groups:?}");
    up.end();
    place.assert_nothing_left();
}

#[test]
fn other_limits_hold_at_once_read_right_inside_and_are_shown() {
    need_root!();
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "40m", "--cpus", "0.3"], "exec sleep 1000");
    // More and less, each beyond what the other one was.
    for (options, read, told) in [
        (
            "--memory 64m --memory-swap 80m --memory-reservation 20m --cpus 0.5 --cpu-shares 2048 --pids-limit 50 --cpuset-cpus 0",
            [
                "67108864\n50000\n2048\n50\n83886080\n20971520\n1\n",
                "67108864\n50000 100000\n174\n50\n16777216\n20971520\n1\n",
            ],
            "[67108864, 83886080, 20971520, 500000000, 2048, 50, \"0\"]",
        ),
        (
            "--memory 50m --memory-swap 50m --memory-reservation 10m --cpus 0.2 -c 512 --pids-limit 40",
            [
                "52428800\n20000\n512\n40\n52428800\n10485760\n1\n",
                "52428800\n20000 100000\n59\n40\n0\n10485760\n1\n",
            ],
            "[52428800, 52428800, 10485760, 200000000, 512, 40, \"0\"]",
        ),
    ] {
        let words: Vec<&str> = options.split(' ').collect();
        assert_eq!(place.layerfs(&[&["update"], &words[..], &["box"]].concat()).said(), "box\n");
        let said = up.script(&[], READ).said();
        assert!(read.contains(&said.as_str()), "{said}");
        assert_eq!(shown(&place), values(told));
    }
    let lift = "--memory 0 --memory-reservation 0 --cpus 0 --cpu-shares 0 --pids-limit -1";
    let words: Vec<&str> = lift.split(' ').collect();
    let words = [&["update"], &words[..], &["--cpuset-cpus", "", "box"]].concat();
    assert_eq!(place.layerfs(&words).said(), "box\n");
    let none = "9223372036854771712";
    let read = [
        format!("{none}\n-1\n1024\nmax\n{none}\n{none}\n"),
        "max\nmax 100000\n100\nmax\nmax\n0\n".to_owned(),
    ];
    let said = up.script(&[], READ).said();
    assert!(read.iter().any(|read| said.starts_with(read)), "{said}");
    assert_eq!(shown(&place), values("[0, 0, 0, 0, 0, null, \"\"]"));
    assert_eq!(up.end(), 137);
    place.assert_nothing_left();
}

/// What is in `payload` reads right; what is above it holds, also for a root that writes there.
#[test]
fn a_limit_that_was_changed_holds_and_is_told_of_where_it_kills() {
    need_root!();
    let place = Place::new();
    let then = "read go; exec python3 -c 'len(bytearray(200 << 20))'";
    let words = ["run", "-i", "--name", "box", "--memory", "1g", "--rootfs", "/", "sh", "-c"];
    let mut run = place.command(&words);
    let streams = std::process::Stdio::piped;
    run.arg(format!("echo ready; {then}")).stdin(streams()).stdout(streams()).stderr(streams());
    let mut child = run.spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert_eq!(place.layerfs(&["update", "--memory", "50m", "box"]).said(), "box\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
    let ran = crate::place::ran(child.wait_with_output().unwrap());
    let told = "layerfs: container box was killed: out of memory; its limit is 50m, --memory sets another\n";
    assert_eq!((ran.status, ran.err.as_str()), (137, told), "{ran:?}");
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

#[test]
fn one_that_does_not_run_has_them_from_its_next_start_on() {
    need_root!();
    let place = Place::new();
    let words = ["create", "--name", "box", "--memory", "40m", "--rootfs", "/", "sh", "-c", READ];
    place.layerfs(&words).said();
    let words = ["update", "-m", "64m", "--memory-reservation", "20m", "--cpus", "0.5", "box"];
    assert_eq!(place.layerfs(&words).said(), "box\n");
    place.assert_no_group_left();
    assert_eq!(host_config(&place)["Memory"], 67_108_864);
    let said = place.layerfs(&["start", "-a", "box"]).said();
    assert!(said.starts_with("67108864\n50000"), "{said}");
    // And again after that.
    assert_eq!(place.layerfs(&["update", "--memory", "0", "box"]).said(), "box\n");
    let said = place.layerfs(&["start", "-a", "box"]).said();
    assert!(said.starts_with("9223372036854771712\n50000") || said.starts_with("max\n"), "{said}");
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

#[test]
fn of_two_at_once_each_holds_and_what_is_shown_is_what_the_kernel_has() {
    need_root!();
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "40m"], "exec sleep 1000");
    for round in 0..10 {
        let update = |options: [&str; 2]| {
            let words = [&["update"], &options[..], &["box"]].concat();
            let piped = std::process::Stdio::piped;
            place.command(&words).stdout(piped()).stderr(piped()).spawn().unwrap()
        };
        let pids = (60 + round).to_string();
        let each = [["--memory", "64m"], ["--memory", "80m"], ["--pids-limit", &pids]].map(update);
        for child in each {
            assert_eq!(crate::place::ran(child.wait_with_output().unwrap()).said(), "box\n");
        }
        let read = up.script(&[], "cd /sys/fs/cgroup; cat memory.max pids.max").said();
        let host = host_config(&place);
        assert_eq!(read, format!("{}\n{}\n", host["Memory"], host["PidsLimit"]));
        assert_eq!(host["PidsLimit"].to_string(), pids);
    }
    up.end();
    place.assert_nothing_left();
}

/// Else a refused step would leave it without any.
#[test]
fn limits_that_can_not_be_read_any_more_are_not_taken_for_none() {
    need_root!();
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "40m"], "exec sleep 1000");
    let record = place.containers()[0].join("throwaway.json");
    let words = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, words.replace("\"40m\"", "\"4 of them\"")).unwrap();
    let ran = place.layerfs(&["update", "--memory", "64m", "box"]);
    assert!(ran.status == 1 && ran.err.contains("can't be read any more"), "{ran:?}");
    std::fs::write(&record, words).unwrap();
    assert_eq!(up.script(&[], "cat /sys/fs/cgroup/memory.max").said(), "41943040\n");
    up.end();
    place.assert_nothing_left();
}

/// Groups that were made to try limits stay where the command is killed in between.
#[test]
fn groups_that_a_killed_update_left_go_with_their_container() {
    need_root!();
    let place = Place::new();
    place.layerfs(&["create", "--name", "box", "--rootfs", "/", "true"]).said();
    let id = place.layerfs(&["ps", "-aq", "--no-trunc"]).said();
    Cgroup::create(id.trim(), &Limits::default()).unwrap();
    assert_eq!(place.layerfs(&["rm", "box"]).said(), "box\n");
    place.assert_nothing_left();
}

#[test]
fn what_can_not_hold_is_an_error_and_changes_nothing() {
    need_root!();
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "40m", "--cpus", "0.3"], "exec sleep 1000");
    let before = (up.script(&[], READ).said(), shown(&place));
    let there = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let there = format!(
        "container `box`: --cpuset-cpus `0,4000`: a container can have {} here",
        there.trim()
    );
    for (options, status, told) in [
        (&["--memory", "64m", "--cpuset-cpus", "0,4000"][..], 1, there.as_str()),
        (&["--memory", "5x"], 1, "--memory `5x`: not an amount of memory"),
        (&["--memory-swap", "30m"], 1, "are less than --memory alone"),
        (&[], 2, "no limit is said"),
    ] {
        let ran = place.layerfs(&[&["update"], options, &["box"]].concat());
        assert_eq!((ran.status, ran.err.lines().count()), (status, 1), "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
        assert_eq!((up.script(&[], READ).said(), shown(&place)), before, "{options:?}");
    }
    up.end();
    assert_eq!(place.layerfs(&["update", "--memory", "64m", "box"]).status, 1);
    // Nor of one that does not run, where it would show at the next start alone.
    place.layerfs(&["create", "--name", "box", "--rootfs", "/", "true"]).said();
    let ran = place.layerfs(&["update", "--memory", "64m", "--cpuset-cpus", "4000", "box"]);
    assert!(ran.status == 1 && ran.err.contains("--cpuset-cpus `4000`"), "{ran:?}");
    assert_eq!(host_config(&place)["Memory"], 0);
    place.assert_no_group_left();
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

/// Version 1 refuses it; version 2 takes away what it can, and kills where that is not enough.
#[test]
fn less_memory_than_is_in_use_is_refused_on_version_1() {
    need_root!();
    if !std::path::Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        crate::support::rights::skip("memory is version 2's");
        return;
    }
    let place = Place::new();
    let hog = "exec python3 -c 'x = bytearray(60 << 20); print(\"ready\", flush=True); import time; time.sleep(1000)'";
    let up = Up::new(&place, &["--memory", "100m"], &format!("sleep 0; {hog}"));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let used = "test $(cat /sys/fs/cgroup/memory.current) -gt 60000000";
    while up.script(&[], used).status != 0 {
        assert!(std::time::Instant::now() < until, "it takes no memory");
    }
    let ran =
        place.layerfs(&["update", "--memory", "30m", "--pids-limit", "9", "--cpus", "0.2", "box"]);
    assert!(ran.status == 1 && ran.err.contains("uses more than that now"), "{ran:?}");
    // What was written before it was refused is taken back.
    let read = "cd /sys/fs/cgroup; cat memory.max pids.max cpu/cpu.cfs_quota_us";
    assert_eq!(up.script(&[], read).said(), "104857600\nmax\n-1\n");
    up.end();
    place.assert_nothing_left();
}
