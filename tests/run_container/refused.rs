//! What is made for a container that runs already and is refused: the command ends with a reason, and nothing is left.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, Ran, ran};
use crate::support::{need, need_root};

/// Whether the host has control groups for the command to use.
#[derive(Clone, Copy, Debug)]
enum Groups {
    There,
    Absent,
}

/// A command that ends within 20 s, or with status 124.
fn within_bounds(command: &Command, groups: Groups) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["-k", "5", "20"]);
    if let Groups::Absent = groups {
        let script = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";
        bounded.args(["unshare", "-m", "sh", "-c", script, "sh"]);
    }
    bounded.arg(command.get_program()).args(command.get_args());
    bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bounded.stdin(Stdio::null());
    bounded
}

/// A container that runs for some seconds, on a terminal, whose n-th call `call` of ours is refused. `None` where none was.
fn with_refused(place: &Place, call: &str, n: u32, groups: Groups) -> Option<Ran> {
    let report = place.join("report");
    std::fs::write(&report, "").unwrap();
    let words = ["run", "--name", "refused", "-t", "--rootfs", "/", "sleep", "3"];
    let mut command = within_bounds(&place.command(&words), groups);
    command.env("LAYERFS_FAULT", format!("fail:{n}:EIO:{call}"));
    command.env("LAYERFS_FAULT_REPORT", &report);
    let ran = ran(command.output().unwrap());
    let fired = std::fs::read_to_string(&report).unwrap().contains("fired=1");
    (fired || ran.status != 0).then_some(ran)
}

/// What carries the streams is made last, when the program runs.
#[test]
fn a_terminal_that_can_not_be_carried_ends_the_container_and_leaves_nothing() {
    need_root!();
    need!("timeout", "unshare");
    let place = Place::new();
    for groups in [Groups::There, Groups::Absent] {
        let mut late = 0;
        for call in ["ioctl", "fcntl"] {
            for n in 1.. {
                let Some(ran) = with_refused(&place, call, n, groups) else { break };
                let case = format!("{call} {n}, groups {groups:?}: {ran:?}");
                assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{case}");
                assert!(ran.err.contains(&format!("{call}(")), "{case}");
                if !place.containers().is_empty() {
                    late += 1;
                    let listed = place.layerfs(&["ps", "-a"]).said();
                    assert!(listed.contains("Exited (125)"), "{case}\n{listed}");
                    assert_eq!(place.layerfs(&["rm", "refused"]).said(), "refused\n", "{case}");
                }
                place.assert_nothing_left();
            }
            let removed = place.layerfs(&["rm", "refused"]);
            assert_eq!(removed.said(), "refused\n");
        }
        assert!(late > 0, "{groups:?}: nothing was refused while the program ran");
    }
}

/// What is refused before the root is mounted: the process that is to serve it still waits for its device.
#[test]
fn a_container_that_fails_early_is_told_at_once() {
    need_root!();
    need!("timeout", "unshare");
    let place = Place::new();
    let run = || place.command(&["run", "--rm", "--rootfs", "/", "true"]);
    let refused = |plan: &str| {
        let mut command = within_bounds(&run(), Groups::There);
        command.env("LAYERFS_FAULT", plan);
        command
    };
    let mut broken = Command::new("unshare");
    broken.args(["-m", "sh", "-c", "mount --bind /dev/null /dev/fuse && exec \"$@\"", "sh"]);
    broken.arg(run().get_program()).args(run().get_args()).stdin(Stdio::null());
    broken.envs(
        run().get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))),
    );
    let cases = [
        refused("fail:1:EIO:unshare"),
        refused("fail:1:EIO:fsopen"),
        refused("fail:1:EIO:fsmount"),
        broken,
    ];
    for mut command in cases {
        let began = Instant::now();
        let ran = ran(command.output().unwrap());
        assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}: {ran:?}", began.elapsed());
    }
    place.assert_nothing_left();
}

/// The first process is there already, and who made it can't tell of it: what stands around it ends for all that.
#[test]
fn a_first_process_that_nobody_was_told_of_holds_up_nothing() {
    need_root!();
    need!("timeout");
    let place = Place::new();
    for plan in ["fail:1:ENOMEM:sendmsg", "die:1:sendmsg", "panic:1:sendmsg"] {
        for users in ["auto", "host"] {
            let words = ["run", "--rm", "--userns", users, "--rootfs", "/", "true"];
            let mut command = within_bounds(&place.command(&words), Groups::There);
            command.env("LAYERFS_FAULT", plan).env("LAYERFS_FAULT_VERB", "run");
            let ran = ran(command.output().unwrap());
            assert_eq!(ran.status, 125, "{plan}, {users}: {ran:?}");
            assert!(ran.err.contains("start the container: clone3"), "{plan}, {users}: {ran:?}");
            place.assert_nothing_left();
        }
    }
}

/// A record that can not be written, as on a full disk, is told, and the answer stays the container's own.
#[test]
fn a_container_that_ran_answers_as_it_ended_though_its_record_can_not_be_written() {
    need_root!();
    let place = Place::new();
    let mut told = 0;
    for (keep, rounds) in [("--name=kept", 12), ("--rm", 12)] {
        for call in ["renameat", "renameat2", "unlinkat"] {
            for n in 1..rounds {
                let words = ["run", keep, "--rootfs", "/", "sh", "-c", "echo ran; exit 3"];
                let mut command = place.command(&words);
                command.env("LAYERFS_FAULT", format!("fail:{n}:ENOSPC:{call}"));
                let ran = ran(command.output().unwrap());
                let case = format!("{keep}, {call} {n}: {ran:?}");
                if ran.out == "ran\n" {
                    assert_eq!(ran.status, 3, "{case}");
                    told += u32::from(ran.err.contains("No space left on device"));
                } else {
                    // The plan holds for the serving process, too.
                    assert!(ran.status == 125 && !ran.err.is_empty(), "{case}");
                }
                // What could not be written or removed is made good by the next command.
                place.layerfs(&["rm", "kept"]);
                assert_eq!(place.layerfs(&["ps", "-aq"]).said(), "", "{case}");
                place.assert_nothing_left();
            }
        }
    }
    assert!(told > 1, "no record was refused after the program ran");
}

/// A mistake of ours in the container's first process: it is a copy of the command, and may not go on as that one.
#[test]
fn a_first_process_that_panics_ends_there() {
    need_root!();
    need!("timeout", "unshare");
    let place = Place::new();
    for call in ["unshare", "fsmount", "pivot_root", "setsid"] {
        let words = ["run", "--name", "kept", "--rootfs", "/", "true"];
        let mut command = within_bounds(&place.command(&words), Groups::There);
        command.env("LAYERFS_FAULT", format!("panic:1:{call}")).env("RUST_BACKTRACE", "0");
        let began = Instant::now();
        let ran = ran(command.output().unwrap());
        assert_eq!(ran.status, 125, "{call}: {ran:?}");
        assert!(ran.err.contains("a planned fault"), "{call}: {ran:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{call}: {:?}", began.elapsed());
        let listed = place.layerfs(&["ps", "-a"]).said();
        assert!(listed.contains("Exited (125)"), "{call}: {listed}");
        assert_eq!(place.layerfs(&["rm", "kept"]).said(), "kept\n");
        place.assert_nothing_left();
    }
}

/// Masks, the null device of a container and its input are the host's /dev/null, which may be anything by the time it is used.
#[test]
fn a_null_device_that_is_none_is_not_shown_as_one() {
    need_root!();
    need!("unshare", "timeout");
    let place = Place::new();
    let file = place.join("no-null");
    std::fs::write(&file, "a file of the host\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    let seen = || {
        let stat = std::fs::metadata(&file).unwrap();
        let times = (stat.mtime_nsec(), stat.ctime_nsec());
        (stat.ino(), stat.mode(), stat.uid(), times, std::fs::read(&file).unwrap())
    };
    let before = seen();
    let script = "stat -Lc %t:%T /dev/null; echo lost >/dev/null; echo lost >/proc/keys; chmod 777 /dev/null; \
                  wc -c </dev/null; wc -c </proc/keys; readlink /proc/self/fd/0; cat";
    // A file over it, and a link in its place where /dev is another.
    let link = "mount -t tmpfs none /mnt && for d in zero full random urandom tty fuse ptmx; do cp -a /dev/$d /mnt/; done; \
                mkdir /mnt/pts /mnt/shm && mount --rbind /dev/pts /mnt/pts && mount --rbind /dev/shm /mnt/shm && mount --move /mnt /dev && ln -s $0 /dev/null";
    for covered in ["mount --bind $0 /dev/null", link] {
        for users in ["auto", "host"] {
            let words = ["run", "--rm", "--userns", users, "--rootfs", "/", "sh", "-c", script];
            let run = place.command(&words);
            let mut command = Command::new("timeout");
            let covered = format!("{covered} || exit 77; exec \"$@\"");
            command.args(["-k", "5", "20", "unshare", "-m", "sh", "-c", &covered]).arg(&file);
            command.arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
            command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let ran = ran(command.output().unwrap());
            let case = format!("{covered}, {users}: {ran:?}");
            assert!(seen() == before, "{case}");
            if ran.status != 0 {
                assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{case}");
                assert!(ran.err.starts_with("layerfs: ") && ran.err.contains("null"), "{case}");
                continue;
            }
            assert_eq!(ran.out, "1:3\n0\n0\n/dev/null\n", "{case}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    place.assert_nothing_left();
}
