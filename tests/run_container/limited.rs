//! Limits: read back inside, and held by the kernel.

use crate::place::Place;
use crate::support::need_root;

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
        ("--cpus", "0"),
        ("--cpu-shares", "1"),
        ("--pids-limit", "0"),
    ] {
        let ran = place.script(&[option, word], "true");
        if (option, word) == ("--cpus", "0") {
            assert_eq!(ran.status, 0, "{ran:?}");
            continue;
        }
        assert_eq!(ran.status, 125, "{ran:?}");
        assert!(ran.err.starts_with(&format!("layerfs: {option} `{word}`: ")), "{ran:?}");
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
