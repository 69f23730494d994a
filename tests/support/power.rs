//! `Switch`: cuts the power of one file system; `reboot`: mounts it again, as after that.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Scratch, machine};

/// What stops a file system, started before it is needed: a process of its own, which ends with this.
#[derive(Debug)]
pub struct Switch {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Switch {
    pub fn new() -> Switch {
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("power.py")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        Switch { child, input, output }
    }

    fn ask(&mut self, line: &[u8], answer: &str) {
        self.input.write_all(&[line, b"\n"].concat()).expect("the switch waits for a line");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the switch is heard");
        assert_eq!(line.trim_end(), answer);
    }

    /// Lays the hand on the switch of the file system mounted at `place`.
    pub fn ready(&mut self, place: &Path) {
        self.ask(place.as_os_str().as_bytes(), "ready");
    }

    /// Stops that file system: nothing that is not on disk gets there any more.
    pub fn cut(&mut self) {
        self.ask(b"", "cut");
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.child.kill().expect("it was started here");
        self.child.wait().expect("it was started here");
    }
}

/// Unmounts what is left of a loop-mounted file system and mounts it again.
pub fn reboot(disk: &Scratch) {
    let place = disk.path();
    let image = place.parent().expect("it is mounted below its directory").join("image");
    run(Command::new("umount").arg(place));
    // A mount namespace that anybody made meanwhile has a copy of the mount, and as long as it lives the same device would
    // be mounted again, stopped as it is: then a copy of it is mounted, which nothing is written to any more.
    let limit = Instant::now() + Duration::from_secs(5);
    while is_attached(&image) && Instant::now() < limit {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    if is_attached(&image) {
        let copy = image.with_extension("copy");
        run(Command::new("cp").arg("--sparse=always").args([&image, &copy]));
        run(Command::new("mv").args([&copy, &image]));
    }
    // XFS does not mount two file systems of one name, such as a copy.
    let is_xfs = std::fs::File::open(&image).is_ok_and(|mut file| {
        let mut magic = [0; 4];
        file.read_exact(&mut magic).is_ok() && &magic == b"XFSB"
    });
    let options = if is_xfs { "loop,nouuid" } else { "loop" };
    run(Command::new("mount").args(["-o", options]).arg(&image).arg(place));
}

/// Whether a loop device has that file.
fn is_attached(image: &Path) -> bool {
    let devices = machine::entries(Path::new("/sys/block")).into_iter();
    // A device that is let go meanwhile has no such file.
    let files = devices.filter_map(|at| std::fs::read_to_string(at.join("loop/backing_file")).ok());
    files.into_iter().any(|file| Path::new(file.trim_end()) == image)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
