//! What a container writes where nobody looks: kept in a file, each piece with its time and its stream.
//!
//! The form is that of the container runtime interface, which `podman` calls `k8s-file`: the time, the stream, `F` for a
//! whole line and `P` for a piece that ends without one, and the bytes as they came. Nothing is held back for a line's end:
//! who reads puts pieces together, and a prompt is seen when it is written.

use std::os::fd::OwnedFd;

use crate::sys::{SysError, exec};

/// A file that takes what a container writes.
#[derive(Debug)]
pub struct Log {
    file: OwnedFd,
    now: fn() -> String,
}

/// How one stream's bytes are written into it.
#[derive(Debug)]
pub(crate) struct Form {
    stream: &'static str,
    now: fn() -> String,
    /// Whether the file may end within a line: some of it was refused.
    is_torn: bool,
}

impl Log {
    /// A file that is open for appending; `now` says the time as it is written there, without a blank in it.
    pub fn new(file: OwnedFd, now: fn() -> String) -> Self {
        Log { file, now }
    }

    /// The file once more, and how bytes of that stream are written into it.
    pub(crate) fn of(&self, stream: &'static str) -> Result<(OwnedFd, Form), SysError> {
        Ok((exec::duplicate(&self.file)?, Form { stream, now: self.now, is_torn: false }))
    }
}

impl Form {
    /// The file did not take some of what it was given: what comes next stands on a line of its own all the same.
    pub(crate) fn refused(&mut self) {
        self.is_torn = true;
    }

    /// The bytes as they stand in the file.
    pub(crate) fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        let now = (self.now)();
        let mut lines = Vec::with_capacity(bytes.len() + now.len() + 16);
        if std::mem::take(&mut self.is_torn) {
            lines.push(b'\n');
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let tag = if piece.ends_with(b"\n") { "F" } else { "P" };
            lines.extend_from_slice(format!("{now} {} {tag} ", self.stream).as_bytes());
            lines.extend_from_slice(piece);
            if tag == "P" {
                lines.push(b'\n');
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_and_the_rest_of_one_has_its_time_and_stream() {
        let mut form = Form { stream: "stdout", now: || "T".into(), is_torn: false };
        let mut lines = |bytes: &[u8]| String::from_utf8(form.lines(bytes)).unwrap();
        assert_eq!(lines(b"a b\n\nc"), "T stdout F a b\nT stdout F \nT stdout P c\n");
        assert_eq!(lines(b"\n"), "T stdout F \n");
        assert_eq!(lines(b""), "");
        assert_eq!(form.lines(b"\xff\n"), b"T stdout F \xff\n");
        form.refused();
        assert_eq!(form.lines(b"a\n"), b"\nT stdout F a\n");
        assert_eq!(form.lines(b"a\n"), b"T stdout F a\n");
    }
}
