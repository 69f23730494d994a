//! What a work directory says to later mounts: that changes may be lost, or that more is needed than we know.

use crate::live::live;

const CHANGED: &str = "lowerdir=base,upperdir=up,workdir=work";

#[test]
fn a_volatile_upper_is_marked_as_the_kernel_does_and_not_mounted_again() {
    let Some(live) = live() else { return };
    let volatile = format!("{CHANGED},volatile");
    let mark = live.place.join("work/work/incompat/volatile");
    live.place.said(&["mount", "-o", &format!("{volatile},ro"), "mnt"]);
    assert!(!mark.exists(), "nothing can be changed, so nothing can be lost");
    live.umount();
    live.place.said(&["mount", "-o", &volatile, "mnt"]);
    assert!(mark.join("dirty").is_file());
    std::fs::write(live.place.join("mnt/new"), "new").unwrap();
    live.umount();
    let before = live.names();
    for options in [CHANGED, &volatile, &format!("{CHANGED},ro")] {
        let line = live.place.refused(&["mount", "-o", options, "mnt"]);
        assert!(line.contains("/up`: it was mounted volatile"), "{line}");
        assert!(line.contains("remove `work/incompat/volatile`"), "{line}");
        assert_eq!(live.names(), before);
    }
    std::fs::remove_dir_all(&mark).unwrap();
    live.place.said(&["mount", "-o", CHANGED, "mnt"]);
    assert_eq!(live.read("mnt/new"), "new");
    assert!(!mark.exists());
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn an_upper_that_needs_what_is_not_known_is_refused_by_name() {
    let Some(live) = live() else { return };
    std::fs::create_dir_all(live.place.join("work/work/incompat")).unwrap();
    live.place.said(&["mount", "-o", CHANGED, "mnt"]);
    live.umount();
    std::fs::create_dir(live.place.join("work/work/incompat/some-feature")).unwrap();
    let before = live.names();
    let line = live.place.refused(&["mount", "-o", CHANGED, "mnt"]);
    assert!(line.contains("`some-feature`"), "{line}");
    assert_eq!(live.names(), before);
    live.assert_nothing_left();
}

/// The calls that make something durable which a mount made while files were copied up, written and synced.
fn syncs(live: &crate::live::Live, options: &str) -> usize {
    let mut command = std::process::Command::new("strace");
    let calls = "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync";
    command.args(["-f", "-qq", "-e", calls, "-o", "trace", env!("CARGO_BIN_EXE_layerfs")]);
    command.args(["mount", "--foreground", "-o", options, "mnt"]).current_dir(live.place.join(""));
    let mut child = command.spawn().unwrap();
    while live.place.join("mnt/in").exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it serves");
        crate::live::step();
    }
    live.shell(
        "python3 -c 'import os
for name in [\"mnt/only\", \"mnt/new\"]:
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.write(fd, b\"x\"); os.fsync(fd); os.fdatasync(fd)
os.fsync(os.open(\"mnt/d\", os.O_RDONLY))'; rm mnt/both; mv mnt/d mnt/moved; chmod 700 mnt/only",
    );
    live.umount();
    child.wait().unwrap();
    let syncs = live.read("trace").lines().filter(|line| line.contains("sync")).count();
    live.shell("rm trace");
    syncs
}

#[test]
fn a_volatile_mount_syncs_nothing() {
    crate::support::rights::need!("strace");
    let Some(live) = live() else { return };
    assert_eq!(syncs(&live, &format!("{CHANGED},volatile")), 0);
    live.shell("rm -r up work; mkdir up work");
    let else_synced = syncs(&live, CHANGED);
    assert!(else_synced > 3, "{else_synced} calls: this could not fail");
}

#[cfg(feature = "fault")]
#[test]
fn an_upper_of_a_volatile_mount_that_died_says_so() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", &format!("{CHANGED},volatile"), "mnt"]);
    live.shell("echo new > mnt/new");
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    live.shell(&format!("kill -9 {pid}; umount -l mnt"));
    let line = live.place.refused(&["mount", "-o", CHANGED, "mnt"]);
    assert!(
        line.contains("it was mounted volatile, and a crash since then may have lost changes"),
        "{line}"
    );
    assert!(line.contains("if there was, discard both directories"), "{line}");
    live.assert_nothing_left();
}
