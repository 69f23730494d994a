//! What a container writes where nobody looks: kept in a file, each piece with its time and its stream.
//!
//! 1. The form is that of the container runtime interface, which `podman` calls `k8s-file`: the time, the stream, `F` for a
//!    whole line and `P` for a piece that ends without one, and the bytes as they came. Nothing is held back for a line's
//!    end: who reads puts pieces together, and a prompt is seen when it is written.
//! 2. A file that has become large gives way to a new one, and takes the place of the one before: so much is kept, and no
//!    more of the disk is taken.
//! 3. What a full disk refuses is lost, and what comes next stands on a line of its own: the program is not to end by it.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use layerfs_driver::sys::{dir, file};

use crate::sys::{SysError, exec};

/// The name of the file that is written.
pub const LOG: &str = "log";
/// The name of the one before.
pub const OLD_LOG: &str = "log.1";

/// Bytes that a file may have.
const LEN_MAX: u64 = 64 << 20;

/// A file that takes what a container writes.
#[derive(Clone, Debug)]
pub struct Log(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    dir: OwnedFd,
    file: OwnedFd,
    len: u64,
    len_max: u64,
    now: fn() -> String,
    /// Whether the file may end within a line: some of it was refused.
    is_torn: bool,
}

impl Log {
    /// The log in a directory, added to where there is one; `now` says the time as it is written there, without a blank.
    pub fn open(dir: impl AsFd, now: fn() -> String) -> Result<Self, SysError> {
        let dir = dir::open(dir, ".", file::Symlinks::Stop)?;
        let file = file::open_or_create(&dir, LOG, 0o600)?;
        let len = u64::try_from(file::stat(&file)?.st_size).unwrap_or(0);
        let mut last = [b'\n'];
        if len > 0 {
            file::read_at(&file, &mut last, len - 1)?;
        }
        file::seek_to(&file, len)?;
        let is_torn = last != *b"\n";
        Ok(Log(Rc::new(RefCell::new(Kept { dir, file, len, len_max: LEN_MAX, now, is_torn }))))
    }

    /// Adds bytes of a stream.
    pub(crate) fn add(&self, stream: &str, bytes: &[u8]) {
        let kept = &mut *self.0.borrow_mut();
        let lines = lines(&(kept.now)(), stream, bytes, kept.is_torn);
        if let Err(error) = kept.add(&lines) {
            tracing::debug!("the log loses {} bytes: {error}", bytes.len());
            kept.is_torn = true;
        }
    }

    /// What stands for the caller's stream where there is none: nothing is written to it.
    pub(crate) fn file(&self) -> Result<OwnedFd, SysError> {
        exec::duplicate(&self.0.borrow().file)
    }
}

impl Kept {
    fn add(&mut self, lines: &[u8]) -> Result<(), SysError> {
        if self.len > 0 && self.len + lines.len() as u64 > self.len_max {
            dir::rename(&self.dir, LOG, &self.dir, OLD_LOG)?;
            self.file = file::create_new(&self.dir, LOG, 0o600)?;
            self.len = 0;
        }
        file::write_all(&self.file, lines)?;
        self.len += lines.len() as u64;
        self.is_torn = false;
        Ok(())
    }
}

/// The bytes as they stand in the file.
fn lines(now: &str, stream: &str, bytes: &[u8], is_torn: bool) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len() + now.len() + 16);
    if is_torn {
        lines.push(b'\n');
    }
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let tag = if piece.ends_with(b"\n") { "F" } else { "P" };
        lines.extend_from_slice(format!("{now} {stream} {tag} ").as_bytes());
        lines.extend_from_slice(piece);
        if tag == "P" {
            lines.push(b'\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_and_the_rest_of_one_has_its_time_and_stream() {
        let said = |bytes: &[u8]| String::from_utf8(lines("T", "stdout", bytes, false)).unwrap();
        assert_eq!(said(b"a b\n\nc"), "T stdout F a b\nT stdout F \nT stdout P c\n");
        assert_eq!(said(b"\n"), "T stdout F \n");
        assert_eq!(said(b""), "");
        assert_eq!(lines("T", "stderr", b"\xff\n", true), b"\nT stderr F \xff\n");
    }

    #[test]
    fn a_torn_line_is_left_alone_and_a_large_file_gives_way() {
        let scratch = tempfile::tempdir().unwrap();
        let (log, old) = (scratch.path().join(LOG), scratch.path().join(OLD_LOG));
        std::fs::write(&log, "T stdout F to").unwrap();
        let open = || Log::open(dir::open_path(scratch.path()).unwrap(), || "T".into()).unwrap();
        open().add("stderr", b"a\n");
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "T stdout F to\nT stderr F a\n");
        let small = open();
        small.0.borrow_mut().len_max = 40;
        small.add("stdout", b"b\n");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), text.clone() + "T stdout F b\n");
        small.add("stdout", b"c\n");
        small.add("stdout", b"d\n");
        assert_eq!(std::fs::read_to_string(&old).unwrap(), text + "T stdout F b\n");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "T stdout F c\nT stdout F d\n");
    }
}
