//! A layer's archive, written again from its frame and the store's objects.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use zstd::stream::read::Decoder;

use super::format::{FrameError, HEADER_BYTES, Header, Record, next_record};
use super::recorder::Recorder;
use crate::store::digest::{Digest, Hasher};
use crate::store::root::{Objects, Store};
use crate::sys::SysError;
use crate::sys::file::{self, Symlinks};
use crate::sys::stream::WindowReader;

/// The bytes of a layer's archive, as they were when it was imported. Whoever reads them checks their digest.
pub struct LayerArchive {
    diff_id: Digest,
    len_bytes: u64,
    body: Unpacked,
    objects: Objects,
    piece: Piece,
}

type Unpacked = Decoder<'static, io::BufReader<WindowReader>>;

/// What is being handed out.
enum Piece {
    Raw(io::Cursor<Vec<u8>>),
    /// An object, and how many of its bytes are still to come.
    Object(WindowReader, Digest, u64),
}

impl LayerArchive {
    /// The digest that its bytes must have.
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// How many they are.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn next(&mut self) -> io::Result<bool> {
        self.piece = match next_record(&mut self.body)? {
            None => return Ok(false),
            Some(Record::Raw(bytes)) => Piece::Raw(io::Cursor::new(bytes)),
            Some(Record::Object(digest, size)) => {
                let object = self.objects.open(&digest)?;
                Piece::Object(WindowReader::new(Arc::new(object), 0, size), digest, size)
            }
        };
        Ok(true)
    }
}

impl Read for LayerArchive {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let len = match &mut self.piece {
                Piece::Raw(bytes) => bytes.read(buf)?,
                Piece::Object(object, digest, left) => {
                    let len = object.read(buf)?;
                    *left -= len as u64;
                    if len == 0 && *left > 0 {
                        let words = format!("object {} is shorter than it was", digest.short());
                        return Err(io::Error::other(words));
                    }
                    len
                }
            };
            if len > 0 || !self.next()? {
                return Ok(len);
            }
        }
    }
}

/// Opens the frame of a layer in a directory of frames; an error of `is_absent` where there is none.
pub(in crate::store) fn open(store: &Store, diff_id: &Digest) -> Result<LayerArchive, FrameError> {
    let file = file::open_read(&store.frames, diff_id.hex().as_str(), Symlinks::Stop)?;
    let (header, body) = opened(file)?;
    if header.diff_id != *diff_id {
        return Err(FrameError::Damaged("it is the frame of another layer"));
    }
    Ok(LayerArchive {
        diff_id: header.diff_id,
        len_bytes: header.archive_bytes,
        body,
        objects: store.objects()?,
        piece: Piece::Raw(io::Cursor::new(Vec::new())),
    })
}

fn opened(file: OwnedFd) -> Result<(Header, Unpacked), FrameError> {
    let file = Arc::new(file);
    let mut head = [0; HEADER_BYTES];
    if file::read_at(&*file, &mut head, 0)? < HEADER_BYTES {
        return Err(FrameError::Damaged("its length"));
    }
    let header = Header::decode(&head)?;
    let body = WindowReader::new(file, HEADER_BYTES as u64, header.body_bytes);
    let unpacked = Decoder::new(body).map_err(|_| FrameError::Damaged("its body"))?;
    Ok((header, unpacked))
}

/// Reads a frame to its end: its digests are right, its records fill the archive, and it names no objects but `known`, of
/// those sizes.
pub(in crate::store) fn check(
    store: &Store,
    diff_id: &Digest,
    known: impl Fn(&Digest) -> Option<u64>,
) -> Result<(), FrameError> {
    let open = || file::open_read(&store.frames, diff_id.hex().as_str(), Symlinks::Stop);
    let file = open()?;
    let (header, mut body) = opened(open()?)?;
    if header.diff_id != *diff_id {
        return Err(FrameError::Damaged("it is the frame of another layer"));
    }
    let size = u64::try_from(file::stat(&file)?.st_size).unwrap_or(0);
    if size != HEADER_BYTES as u64 + header.body_bytes {
        return Err(FrameError::Damaged("its length"));
    }
    let (mut hasher, mut buf, mut at) = (Hasher::new(), vec![0; 64 * 1024], HEADER_BYTES as u64);
    loop {
        match file::read_at(&file, &mut buf, at)? {
            0 => break,
            len => {
                hasher.update(&buf[..len]);
                at += len as u64;
            }
        }
    }
    if hasher.finish() != header.body_digest {
        return Err(FrameError::Damaged("its body"));
    }
    let mut archive_bytes = 0_u64;
    while let Some(record) = next_record(&mut body).map_err(unread)? {
        archive_bytes += match record {
            Record::Raw(bytes) => bytes.len() as u64,
            Record::Object(digest, size) if known(&digest) == Some(size) => size,
            Record::Object(..) => {
                return Err(FrameError::Damaged("it names an object that the layer has not"));
            }
        };
    }
    if archive_bytes == header.archive_bytes {
        Ok(())
    } else {
        Err(FrameError::Damaged("the length of the archive"))
    }
}

/// A body that can't be read is another thing than one that is damaged.
fn unread(error: io::Error) -> FrameError {
    match error.downcast::<SysError>() {
        Ok(call) => FrameError::Call(call),
        Err(_) => FrameError::Damaged("a record"),
    }
}

/// Writes a frame again with the contents of those objects in it that the layer does not have: entries that later ones of
/// the archive replaced. `open` opens an object, in the stage or in the store.
pub(in crate::store) fn rewrite(
    frame: OwnedFd,
    into: OwnedFd,
    has: &HashSet<Digest>,
    open: impl Fn(&Digest) -> io::Result<OwnedFd>,
) -> io::Result<()> {
    let (header, mut body) = opened(frame).map_err(io::Error::other)?;
    let recorder = Recorder::new(into)?;
    let mut buf = vec![0; 64 * 1024];
    while let Some(record) = next_record(&mut body)? {
        match record {
            Record::Raw(bytes) => recorder.raw(&bytes)?,
            Record::Object(digest, size) if has.contains(&digest) => {
                recorder.object(&digest, size)?
            }
            Record::Object(digest, size) => {
                let mut object = WindowReader::new(Arc::new(open(&digest)?), 0, size);
                loop {
                    match object.read(&mut buf)? {
                        0 => break,
                        len => recorder.raw(&buf[..len])?,
                    }
                }
            }
        }
    }
    recorder.finish(header.diff_id).map(drop)
}
