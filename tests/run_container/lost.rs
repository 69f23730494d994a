//! A container that loses its file system: the command ends with a reason, and nothing is left.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ended::server_of;
use crate::place::{Place, ran};
use crate::support::{machine, need, need_root};

/// Asks its root for a name until that has no answer, says why and does something more. Afterwards nothing can be read: so
/// it has read all that it maps, of which it may not have needed each page yet.
const ASKS: &str = r#"
import errno, os, sys, time
for mapped in {line.split()[-1] for line in open("/proc/self/maps") if " /" in line}:
    open(mapped, "rb").read()
def ask(name):
    try:
        os.stat(name)
        return 0
    except OSError as error:
        return error.errno
try:
    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), "/absent")
except OSError as error:
    print(errno.errorcode[error.errno], file=open("/dev/null", "w"))
print("ready" if ask("/absent") == errno.ENOENT else "what?", flush=True)
asked = 0
# Another name each time: of one that was absent the kernel says so for a second without asking.
while ask(f"/absent{asked}") == errno.ENOENT:
    asked += 1
    time.sleep(0.01)
print(errno.errorcode[ask(f"/absent{asked}")], flush=True)
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

#[test]
fn a_container_that_floods_its_terminal_ends_when_it_is_lost() {
    need_root!();
    let place = Place::new();
    let words = ["run", "--rm", "-t", "--rootfs", "/", "yes"];
    let mut command = place.command(&words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut some = [0; 4096];
    out.read_exact(&mut some).unwrap();
    rustix::process::kill_process(server_of(&child), rustix::process::Signal::KILL).unwrap();
    // A slow reader: what is written meanwhile is never all read.
    let until = Instant::now() + Duration::from_secs(30);
    while out.read(&mut some).unwrap() > 0 {
        assert!(Instant::now() < until, "it still writes");
        // tidy: allow(sleep) the reader is slow on purpose
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!(ran.status, 125, "{ran:?}");
    place.assert_nothing_left();
}

#[test]
fn one_in_the_background_that_loses_its_file_system_stays_and_says_why() {
    need_root!();
    let place = Place::new();
    let run = ["run", "-d", "--name", "box", "--rootfs", "/", "sh", "-c"];
    place.layerfs(&[&run[..], &["echo kept >/kept; exec sleep 1000"]].concat()).said();
    while place.layerfs(&["exec", "box", "cat", "/kept"]).out != "kept\n" {}
    let server = crate::ended::server_beside(crate::detached::standing_by(&place, "box"));
    rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    assert_eq!(place.layerfs(&["wait", "box"]).said(), "125\n");
    let state = &crate::userns::inspected(&place, "box")["State"];
    assert_eq!(state["Status"], "exited");
    let told = state["Error"].as_str().unwrap();
    assert!(told.contains("lost its file system"), "{told}");
    let kept = place.layerfs(&["cp", "box:/kept", "-"]);
    assert_eq!((kept.status, kept.err.as_str()), (0, ""));
    assert_eq!(place.layerfs(&["rm", "box"]).said(), "box\n");
    place.assert_nothing_left();
}
