//! Owns the making of a frame: what is read of an archive is written down, but for the contents that become objects.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use zstd::stream::write::Encoder;

use super::format::{HEADER_BYTES, Header, RAW_MAX_BYTES, object_record, raw_head};
use crate::store::digest::{Digest, Hasher};
use crate::sys::{SysError, file};

/// The fastest of the packings that are worth it: headers are mostly zeros.
const LEVEL: i32 = 1;

/// A frame under way. The archive's reader and whoever takes contents speak to it in turns.
pub(in crate::store) struct Recorder {
    state: RefCell<State>,
    /// Contents are read that are not written down.
    is_quiet: Cell<bool>,
}

struct State {
    body: Encoder<'static, Body>,
    raw: Vec<u8>,
    archive_bytes: u64,
    objects: Vec<Digest>,
}

/// The packed body on its way to the file.
struct Body {
    file: OwnedFd,
    hasher: Hasher,
    len_bytes: u64,
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        file::write_all_at(&self.file, bytes, HEADER_BYTES as u64 + self.len_bytes)?;
        self.hasher.update(bytes);
        self.len_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recorder {
    /// Writes into an empty file.
    pub(in crate::store) fn new(file: OwnedFd) -> io::Result<Self> {
        let body = Body { file, hasher: Hasher::new(), len_bytes: 0 };
        let body = Encoder::new(body, LEVEL)?;
        let state = State { body, raw: Vec::new(), archive_bytes: 0, objects: Vec::new() };
        Ok(Recorder { state: RefCell::new(state), is_quiet: Cell::new(false) })
    }

    /// What is read next is contents that become an object: it is written down as one by [`Recorder::object`].
    pub(in crate::store) fn contents_begin(&self) {
        self.is_quiet.set(true);
    }

    /// The contents were those of an object.
    pub(in crate::store) fn object(&self, digest: &Digest, size: u64) -> io::Result<()> {
        self.is_quiet.set(false);
        self.state.borrow_mut().object(digest, size)
    }

    /// Writes down bytes of the archive.
    pub(super) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.state.borrow_mut().raw(bytes)
    }

    /// Ends it. Answers the objects that it names.
    pub(in crate::store) fn finish(self, diff_id: Digest) -> io::Result<Vec<Digest>> {
        let mut state = self.state.into_inner();
        state.flush()?;
        let body = state.body.finish()?;
        let header = Header {
            diff_id,
            archive_bytes: state.archive_bytes,
            body_bytes: body.len_bytes,
            body_digest: body.hasher.finish(),
        };
        file::write_all_at(&body.file, &header.encode(), 0)?;
        Ok(state.objects)
    }
}

impl State {
    fn raw(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.archive_bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(RAW_MAX_BYTES - self.raw.len()));
            self.raw.extend_from_slice(now);
            bytes = rest;
            if self.raw.len() == RAW_MAX_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn object(&mut self, digest: &Digest, size: u64) -> io::Result<()> {
        self.flush()?;
        self.archive_bytes += size;
        self.objects.push(*digest);
        self.body.write_all(&object_record(digest, size))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.body.write_all(&raw_head(self.raw.len()))?;
        self.body.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }
}

/// An archive that is written down while it is read.
pub(in crate::store) struct Recorded<'a, R> {
    pub inner: R,
    pub recorder: &'a Recorder,
}

impl<R: Read> Read for Recorded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        if !self.recorder.is_quiet.get() {
            self.recorder.raw(&buf[..len])?;
        }
        Ok(len)
    }
}

/// Errors of the file below a recorder, as calls have them.
pub(in crate::store) fn call_of(error: io::Error) -> SysError {
    match error.downcast::<SysError>() {
        Ok(call) => call,
        Err(other) => SysError::of_deed("write the frame of a layer", other.to_string()),
    }
}
