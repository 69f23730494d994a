//! What is made for a container and goes wrong while it runs: the command ends with a reason, and nothing is left.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::ended::server_of;
use crate::place::{Place, Ran, ran};
use crate::support::{machine, need, need_root};

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
#[cfg(feature = "fault")]
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
#[cfg(feature = "fault")]
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

/// Asks its root for a name until that has no answer, says why and does something more. What it needs for that, it has
/// needed before: afterwards nothing can be read.
const ASKS: &str = r#"
import errno, os, sys, time
def ask(name):
    try:
        os.stat(name)
        return 0
    except OSError as error:
        return error.errno
print("ready" if ask("/absent") == errno.ENOENT else "what?", flush=True)
while ask("/absent") == errno.ENOENT:
    time.sleep(0.01)
print(errno.errorcode[ask("/absent")], flush=True)
"#;

/// A running container whose program asks, and does `more` at the end; it has said `ready`.
fn asking(
    place: &Place,
    options: &[&str],
    more: &str,
) -> (Child, BufReader<std::process::ChildStdout>) {
    let script = format!("{ASKS}{more}");
    let words = [&["run"], options, &["--rootfs", "/", "python3", "-c", &script]].concat();
    let mut command = place.command(&words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

/// The number by which the kernel knows the connection of a container's root: that of its device.
fn connection_of(place: &Place) -> String {
    let said = place.layerfs(&["ps", "--json"]).said();
    let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let mounts = machine::mounts(&listed[0]["pid"].to_string());
    let root = mounts.into_iter().find(|mount| mount.point.as_os_str() == "/").unwrap();
    root.device.split_once(':').unwrap().1.to_owned()
}

/// Breaks the connection off, as an administrator would.
fn abort(connection: &str) {
    let script = format!("mount -t fusectl none /mnt && echo 1 >/mnt/{connection}/abort");
    let status = Command::new("unshare").args(["-m", "sh", "-c", &script]).status().unwrap();
    assert!(status.success());
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    Killed,
    Aborted,
}

/// Takes the file system of a running container away; the command tells why it ended, and that it did not end well.
fn lose(place: &Place, loss: Loss, options: &[&str], more: &str) {
    let (child, mut out) = asking(place, options, more);
    match loss {
        Loss::Killed => {
            let server = server_of(&child);
            rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        }
        Loss::Aborted => abort(&connection_of(place)),
    }
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    let ran = ran(child.wait_with_output().unwrap());
    let case = format!("{loss:?}, {options:?}, {more:?}: {said:?} {ran:?}");
    assert_eq!(said, "ENOTCONN\n", "{case}");
    let why = match loss {
        Loss::Killed => "was killed by signal 9",
        Loss::Aborted => "ended with status 1",
    };
    let told = format!(
        "layerfs: the container has lost its file system: the process that serves it {why}\n"
    );
    assert_eq!((ran.status, ran.err.as_str()), (125, told.as_str()), "{case}");
}

#[test]
fn a_container_that_loses_its_file_system_is_ended_and_told_and_leaves_nothing() {
    need_root!();
    need!("python3", "unshare");
    let place = Place::new();
    for loss in [Loss::Killed, Loss::Aborted] {
        // It goes on; it ends by itself before it is ended, as if nothing had been.
        for more in ["time.sleep(1000)", "os._exit(0)"] {
            lose(&place, loss, &["--rm"], more);
            place.assert_nothing_left();
            lose(&place, loss, &["--name", "lost"], more);
            let listed = place.layerfs(&["ps", "-a"]).said();
            assert!(listed.contains("Exited (125)"), "{listed}");
            assert_eq!(place.layerfs(&["rm", "lost"]).said(), "lost\n");
            place.assert_nothing_left();
            assert_eq!(place.script(&[], "echo next").said(), "next\n");
        }
    }
}
