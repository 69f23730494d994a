//! File systems in memory, and limits of each process.

use crate::place::Place;
use crate::support::need_root;

#[test]
fn a_file_system_in_memory_has_the_size_and_the_rights_that_were_asked_for() {
    need_root!();
    let place = Place::new();
    let line = |at: &str| {
        format!("findmnt -no FSTYPE,OPTIONS {at}; stat -c 'owner %u' {at}; stat -c %a {at}")
    };
    let said = place.script(&["--tmpfs", "/run/lock"], &line("/run/lock")).said();
    assert!(said.starts_with("tmpfs") && said.contains("rw,nosuid,nodev,noexec"), "{said}");
    // As what it is mounted on, where that was there.
    let said =
        place.script(&["--tmpfs", "/root"], "stat -c '%a %T' -f /root; stat -c %a /root").said();
    let own =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata("/root").unwrap().permissions());
    assert!(said.ends_with(&format!("\n{:o}\n", own & 0o7777)), "{said}");
    let options = "/new/deep:size=64k,mode=750,exec,uid=7";
    let script = format!(
        "{}; cp /bin/true /new/deep; /new/deep/true && echo ran; head -c 100000 /dev/zero > /new/deep/x",
        line("/new/deep")
    );
    let ran = place.script(&["--tmpfs", options], &script);
    // The kernel lists owners as the host numbers them.
    assert!(ran.out.contains("size=64k") && ran.out.contains("\nowner 7\n"), "{ran:?}");
    assert!(!ran.out.contains("noexec") && ran.out.ends_with("\n750\nran\n"), "{ran:?}");
    assert!(ran.err.contains("No space left on device"), "{ran:?}");
    let ran = place.script(&["--tmpfs", "/mnt:ro"], "touch /mnt/x");
    assert!(ran.err.contains("Read-only file system"), "{ran:?}");
    let said = place.script(&["--shm-size", "1m"], "df -k --output=size /dev/shm | tail -1").said();
    assert_eq!(said.trim(), "1024");
    place.assert_nothing_left();
}

/// What lies in another comes after it, in whatever order they were said.
#[test]
fn mounts_lie_in_one_another() {
    need_root!();
    let place = Place::new();
    let host = place.join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "of the host\n").unwrap();
    let volume = format!("{}:/mnt/memory/host:ro", host.display());
    for options in
        [["-v", &volume, "--tmpfs", "/mnt/memory"], ["--tmpfs", "/mnt/memory", "-v", &volume]]
    {
        let said = place.script(&options, "ls /mnt/memory; cat /mnt/memory/host/file").said();
        assert_eq!(said, "host\nof the host\n", "{options:?}");
    }
    // Files of the container's own lie in what is mounted, too.
    let said = place.script(&["--tmpfs", "/etc"], "ls /etc; cat /etc/hostname | wc -l").said();
    assert_eq!(said, "hostname\nhosts\n1\n");
    place.assert_nothing_left();
}

#[test]
fn each_process_has_the_limits_that_were_asked_for() {
    need_root!();
    let place = Place::new();
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "fsize=4096"];
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c; head -c 5000 /dev/zero > /tmp/x; echo $?; stat -c %s /tmp/x";
    let ran = place.script(&options, script);
    assert_eq!(ran.out, "100\n200\n0\n153\n4096\n", "{ran:?}");
    // Of another user, too, who could not raise them.
    let said = place.script(&["-u", "1000", "--ulimit", "nofile=100"], "ulimit -Hn").said();
    assert_eq!(said, "100\n");
    place.assert_nothing_left();
}

#[test]
fn what_is_asked_of_memory_and_can_not_be_is_told() {
    need_root!();
    let place = Place::new();
    for (options, told) in [
        (["--tmpfs", "mnt"], "tmpfs `mnt`: the place in the container has to begin with /"),
        (["--tmpfs", "/"], "over the container's root"),
        (["--tmpfs", "/proc/self"], "is the container's own"),
        (["--tmpfs", "/mnt:size=x"], "not an amount of memory"),
        (["--tmpfs", "/etc/passwd"], "`/etc/passwd` in the image is a regular file"),
        (["--shm-size", "none"], "--shm-size `none`"),
        (["--ulimit", "nofile"], "write NAME=SOFT"),
        (["--ulimit", "nofile=9:1"], "more than the second"),
    ] {
        let ran = place.script(&options, "true");
        assert_eq!(ran.status, 125, "{ran:?}");
        assert!(ran.err.contains(told) && ran.err.lines().count() == 1, "{told}: {ran:?}");
    }
    let ran = place.script(&["--tmpfs", "/mnt", "-v", "/etc:/mnt"], "true");
    assert!(ran.status == 125 && ran.err.contains("two mounts on `/mnt`"), "{ran:?}");
    place.assert_nothing_left();
}
