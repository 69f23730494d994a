//! Limits: read back inside, and held by the kernel.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::exec::Up;
use crate::place::Place;
use crate::support::rights::have_loop_devices;
use crate::support::{Scratch, need, need_root};

#[test]
fn memory_reads_back_where_version_2_has_it_and_a_hog_is_killed_in_words() {
    need_root!();
    let place = Place::new();
    let said = place.script(&["--memory", "50m"], "cat /sys/fs/cgroup/memory.max").said();
    assert_eq!(said, "52428800\n");
    let hog = "exec python3 -c 'len(bytearray(200 << 20))'";
    let ran = place.script(&["--memory", "50m", "--name", "hog"], hog);
    assert_eq!(ran.status, 137, "{ran:?}");
    let told = "layerfs: container hog was killed: out of memory; its limit is 50m, --memory sets another\n";
    assert_eq!(ran.err, told);
    // Of one that is kept it is shown, too, until it runs again.
    let kept = ["run", "--name", "kept", "--memory", "50m", "--rootfs", "/", "sh", "-c"];
    let script = format!("[ -e /tmp/once ] && exit 0; touch /tmp/once; {hog}");
    let ran = place.layerfs(&[&kept[..], &[&script]].concat());
    assert_eq!(ran.status, 137, "{ran:?}");
    let shown = || {
        let state = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
        let inspected = place.layerfs(&["inspect", "-f", state, "kept"]).said();
        let listed: serde_json::Value =
            serde_json::from_str(&place.layerfs(&["ps", "-a", "--json"]).said()).unwrap();
        (inspected, listed[0]["oom_killed"].as_bool())
    };
    assert_eq!(shown(), ("exited 137 true\n".to_owned(), Some(true)));
    assert_eq!(place.layerfs(&["start", "-a", "kept"]).status, 0);
    assert_eq!(shown(), ("exited 0 false\n".to_owned(), Some(false)));
    assert_eq!(place.layerfs(&["rm", "kept"]).status, 0);
    // Of one that goes on, too.
    let script = format!("({hog}) || echo killed; exec sleep 1000");
    let words = ["run", "-d", "--name", "kept", "--memory", "50m", "--rootfs", "/", "sh", "-c"];
    place.layerfs(&[&words[..], &[&script]].concat()).said();
    // Its first line; the watchdog ends one that never comes.
    let mut log = place.command(&["logs", "-f", "kept"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(log.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "killed\n");
    assert_eq!(shown(), ("running 0 true\n".to_owned(), Some(true)));
    assert_eq!(place.layerfs(&["rm", "-f", "kept"]).status, 0);
    // Whoever follows has nobody to tell any more, and nothing comes.
    log.wait().unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_root_that_mounts_its_groups_again_does_not_lift_its_limit() {
    need_root!();
    let place = Place::new();
    let script = "unshare -U --map-root-user -m -C sh -c '
            mount -t cgroup -o memory none /mnt
            echo -1 >/mnt/memory.memsw.limit_in_bytes
            echo -1 >/mnt/memory.limit_in_bytes' 2>/dev/null
        exec python3 -c 'len(bytearray(200 << 20))'";
    let ran = place.script(&["--memory", "50m", "--name", "free"], script);
    assert_eq!(ran.status, 137, "{ran:?}");
    assert!(ran.err.contains("container free was killed: out of memory"), "{ran:?}");
    place.assert_nothing_left();
}

/// Who is moved waits for all processors, which takes longer than the rest of a start.
#[test]
fn processes_are_in_their_groups_without_being_moved() {
    need_root!();
    let place = Place::new();
    let options = ["--log-level", "debug"];
    let ran = place.script(&options, "true");
    let up = Up::idle(&place);
    let further = up.exec(&options, &["true"]);
    for ran in [ran, further] {
        assert!(ran.status == 0 && ran.err.contains("layerfs: debug: open"), "{ran:?}");
        assert!(!ran.err.contains("is moved into its groups"), "{ran:?}");
    }
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", up.pid())).unwrap();
    let ours = groups.lines().filter(|line| line.contains("/layerfs/"));
    let ours: Vec<&str> = ours.collect();
    assert!(!ours.is_empty() && ours.iter().all(|line| line.ends_with("/payload")), "{groups}");
    up.end();
    place.assert_nothing_left();
}

#[test]
fn groups_that_a_container_makes_go_with_it() {
    need_root!();
    let place = Place::new();
    let script = "unshare -U --map-root-user -m -C sh -c '
            mount -t cgroup -o memory none /mnt && mkdir /mnt/evil' 2>/dev/null; true";
    assert_eq!(place.script(&[], script).said(), "");
    place.assert_nothing_left();
}

#[cfg(feature = "fault")]
#[test]
fn groups_that_can_not_be_removed_are_found_by_the_next_command() {
    need_root!();
    let place = Place::new();
    for (keep, words) in [(false, &["--rm"][..]), (true, &["--name", "kept"])] {
        let words = [&["run"], words, &["--rootfs", "/", "true"]].concat();
        let mut refused = 0;
        for n in 1.. {
            let report = place.join("report");
            let mut command = place.command(&words);
            command.env("LAYERFS_FAULT", format!("fail:{n}:EIO:unlinkat"));
            command.env("LAYERFS_FAULT_REPORT", &report);
            let ran = crate::place::ran(command.output().unwrap());
            refused += u32::from(ran.err.contains("remove cgroup"));
            if keep && !place.containers().is_empty() {
                assert_eq!(place.layerfs(&["rm", "kept"]).said(), "kept\n", "{n}: {ran:?}");
            }
            let next = place.script(&[], "true");
            assert_eq!(next.status, 0, "{n}: {next:?} after {ran:?}");
            place.assert_no_group_left();
            let fired = std::fs::read_to_string(&report).unwrap_or_default();
            std::fs::write(&report, "").unwrap();
            if !fired.contains("fired=1") {
                break;
            }
        }
        assert!(refused > 0);
    }
}

#[test]
fn processes_are_counted() {
    need_root!();
    let place = Place::new();
    let script = "cat /sys/fs/cgroup/pids.max; for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>/dev/null; echo all";
    let ran = place.script(&["--pids-limit", "5"], script);
    assert!(ran.out.starts_with("5\n"), "{ran:?}");
    assert!(!ran.out.contains("all"), "{ran:?}");
    place.assert_nothing_left();
}

#[test]
fn words_that_are_no_limits_are_named_and_leave_nothing() {
    need_root!();
    let place = Place::new();
    for (option, word) in [
        ("--memory", "5x"),
        ("--memory", "1m"),
        ("--memory", "0.5"),
        ("--memory", "-1"),
        ("--cpus", "0"),
        ("--cpu-shares", "1"),
        ("--pids-limit", "0"),
        ("--memory-reservation", "x"),
        ("--memory-swap", "100m"),
        ("--cpuset-cpus", "2-1"),
        ("--blkio-weight", "5"),
        ("--device-read-bps", "/dev/null:1m"),
        ("--device-write-bps", "/dev/none:1m"),
        ("--device-read-iops", "/dev/null"),
        ("--cgroup-conf", "memory.high"),
        ("--cgroup-conf", "memory.high="),
        ("--cgroup-conf", "memory.low=1m"),
        ("--cgroup-conf", "cgroup.freeze=1"),
        ("--cgroup-conf", "../memory.high=1"),
        ("--cgroup-conf", "memory.no-such=1"),
    ] {
        let ran = place.script(&[option, word], "true");
        if (option, word) == ("--cpus", "0") {
            assert_eq!(ran.status, 0, "{ran:?}");
            continue;
        }
        assert_eq!(ran.status, 125, "{ran:?}");
        let said =
            word.strip_suffix("no-such=1").map_or(word.to_owned(), |word| format!("{word}no-such"));
        assert!(ran.err.starts_with(&format!("layerfs: {option} `{said}`: ")), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn processor_limits_read_back() {
    need_root!();
    let place = Place::new();
    let script = "cd /sys/fs/cgroup; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us; cat cpu.weight 2>/dev/null || cat cpu/cpu.shares";
    let said = place.script(&["--cpus", "0.5", "--cpu-shares", "2048"], script).said();
    assert!(["50000\n2048\n", "50000 100000\n174\n"].contains(&said.as_str()), "{said}");
    place.assert_nothing_left();
}

#[test]
fn memory_beside_the_limit_reads_back() {
    need_root!();
    let place = Place::new();
    let script =
        "cd /sys/fs/cgroup; cat memory/memory.soft_limit_in_bytes 2>/dev/null || cat memory.low
        cat memory/memory.memsw.limit_in_bytes 2>/dev/null || cat memory.swap.max";
    let options = ["--memory", "50m", "--memory-reservation", "20m", "--memory-swap", "60m"];
    let said = place.script(&options, script).said();
    let memsw = ["20971520\n62914560\n", "20971520\n10485760\n"];
    assert!(memsw.contains(&said.as_str()), "{said}");
    let less = place.script(&["--memory", "50m", "--memory-swap", "40m"], "true");
    assert!(less.err.contains("are less than --memory alone"), "{less:?}");
    place.assert_nothing_left();
}

#[test]
fn processors_are_those_that_are_listed() {
    need_root!();
    let place = Place::new();
    let said = place
        .script(&["--cpuset-cpus", "0"], "nproc; grep Cpus_allowed_list /proc/self/status")
        .said();
    assert_eq!(said, "1\nCpus_allowed_list:\t0\n");
    let absent = place.script(&["--cpuset-cpus", "4000"], "true");
    assert_eq!((absent.status, absent.err.lines().count()), (125, 1), "{absent:?}");
    let there = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let told =
        format!("layerfs: --cpuset-cpus `4000`: a container can have {} here; ", there.trim());
    assert!(absent.err.starts_with(&told), "{absent:?}");
    place.assert_nothing_left();
}

#[test]
fn the_kernels_choice_where_memory_runs_out_is_told() {
    need_root!();
    let place = Place::new();
    let said = place.script(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj").said();
    assert_eq!(said, "500\n");
    place.assert_nothing_left();
}

/// What goes through the file system's serving process is the container's, too.
#[test]
fn a_disk_is_read_and_written_as_fast_as_was_asked() {
    need_root!();
    need!("mkfs.ext4");
    if !have_loop_devices() {
        return;
    }
    let place = Place::on(Scratch::ext4(256));
    let find = ["-no", "SOURCE", "-T", place.join("").to_str().unwrap()].map(String::from);
    let disk = std::process::Command::new("findmnt").args(&find).output().unwrap().stdout;
    let disk = String::from_utf8(disk).unwrap();
    let rate = format!("{}:4m", disk.trim());
    // Of 12 MiB, the first second's share may go at once. The serving process syncs and reads for the container, and is slowed
    // down with it. A throwaway would sync nothing.
    let script = "set -e; cd /root
        if test -e file; then cat file > /dev/null; else dd if=/dev/zero of=file bs=1M count=12 conv=fsync 2>/dev/null; fi
        cat /sys/fs/cgroup/blkio/blkio.throttle.*_bps_device 2>/dev/null || cat /sys/fs/cgroup/io.max";
    let options = ["--name", "slow", "--device-write-bps", &rate, "--device-read-bps", &rate];
    let words = [&["run"], &options[..], &["--rootfs", "/", "sh", "-c", script]].concat();
    let timed = |words: &[&str]| {
        let began = std::time::Instant::now();
        let said = place.layerfs(words).said();
        assert_eq!(said.matches("4194304").count(), 2, "{said}");
        assert!(began.elapsed() > std::time::Duration::from_millis(1500), "{:?}", began.elapsed());
    };
    timed(&words);
    let file = std::fs::File::open(place.containers()[0].join("upper/root/file")).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    drop(file);
    timed(&["start", "-a", "slow"]);
    place.layerfs(&["rm", "slow"]).said();
    place.assert_nothing_left();
}
