//! A layer's blob as a stream of archive bytes: read, inflated and hashed on threads of their own.
//!
//! Inflating is the slowest step of an import, so its thread does nothing else: the digest of the blob is computed by the
//! thread before it, that of the archive by the one behind it. Buffers go through all of them and back, and are copied once,
//! by whoever reads the archive.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::ScopedJoinHandle;

use super::turn::Turn;
use crate::store::digest::{Digest, Hasher, HashingReader};
use crate::store::source::{Compression, Frames, WINDOW_COMMON_BYTES};

/// Bytes handed from thread to thread at a time, and how many such pieces may wait.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_WAITING: usize = 6;

/// Stack of a thread that walks a directory: 2048 levels, with room to spare. It takes memory as it is used.
const STACK_BYTES: usize = 64 << 20;

/// A buffer on its way: what of its room is filled. The room is made once, and filled again without being cleared.
#[derive(Default)]
struct Piece {
    room: Vec<u8>,
    len: usize,
}

impl Piece {
    fn filled(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// What is not filled yet; made where this is a new piece.
    fn left(&mut self) -> &mut [u8] {
        if self.room.is_empty() {
            self.room = vec![0; PIECE_BYTES];
        }
        &mut self.room[self.len..]
    }
}

/// The consumer's end of a stream that another thread produces.
pub(super) struct Piped {
    pieces: Receiver<io::Result<Piece>>,
    spent: Sender<Piece>,
    piece: Piece,
    position: usize,
}

/// Two ends of a stream between threads.
fn pipe() -> (PipeEnd, Piped) {
    let (send, pieces) = sync_channel(PIECES_WAITING);
    let (spent, fresh) = channel();
    let end = PipeEnd { send, fresh, piece: Piece::default() };
    (end, Piped { pieces, spent, piece: Piece::default(), position: 0 })
}

/// Runs `produce` on a thread of `scope`; what it writes is read from the answer. An error of it is read, too.
fn piped<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    produce: impl FnOnce(&mut PipeEnd) -> io::Result<T> + Send + 'scope,
) -> (Piped, ScopedJoinHandle<'scope, Option<T>>) {
    let (end, piped) = pipe();
    (piped, scope.spawn(move || end.run(produce)))
}

/// Hashes a stream on a thread of `scope` as it passes. The handle gives digest and length of all of it; `None` where it was
/// not read to its end, or has none.
fn hashed<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    from: Piped,
) -> (Piped, ScopedJoinHandle<'scope, Option<(Digest, u64)>>) {
    let (send, pieces) = sync_channel(PIECES_WAITING);
    let piped = Piped { pieces, spent: from.spent, piece: Piece::default(), position: 0 };
    let handle = scope.spawn(move || {
        let (mut hasher, mut len_bytes) = (Hasher::new(), 0);
        for piece in from.pieces {
            let is_whole = match &piece {
                Ok(piece) => {
                    hasher.update(piece.filled());
                    len_bytes += piece.len as u64;
                    true
                }
                Err(_) => false,
            };
            // A consumer that is gone has its own error to tell.
            if send.send(piece).is_err() || !is_whole {
                return None;
            }
        }
        Some((hasher.finish(), len_bytes))
    });
    (piped, handle)
}

/// Runs `produce` on a thread of its own, which ends when what it writes is read or the answer is dropped.
pub(in crate::store) fn produced(
    produce: impl FnOnce(&mut PipeEnd) -> io::Result<()> + Send + 'static,
) -> io::Result<impl Read + Send + 'static> {
    let (end, piped) = pipe();
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || end.run(produce))?;
    Ok(piped)
}

/// The producer's end.
pub(in crate::store) struct PipeEnd {
    send: SyncSender<io::Result<Piece>>,
    fresh: Receiver<Piece>,
    /// What was written and not handed over yet.
    piece: Piece,
}

impl PipeEnd {
    /// Produces, and hands over what is left, or the error. A consumer that is gone has its own error to tell.
    fn run<T>(mut self, produce: impl FnOnce(&mut PipeEnd) -> io::Result<T>) -> Option<T> {
        match produce(&mut self).and_then(|value| self.flush().map(|()| value)) {
            Ok(value) => Some(value),
            Err(error) => self.send.send(Err(error)).err().and(None),
        }
    }

    /// Hands all of `from` over.
    fn copy(&mut self, from: &mut dyn Read) -> io::Result<()> {
        loop {
            match from.read(self.piece.left()) {
                Ok(0) => return self.flush(),
                Ok(len) => self.fill(len)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts what was put into the piece, and hands it over where it is full.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.piece.len += len;
        if self.piece.left().is_empty() { self.flush() } else { Ok(()) }
    }
}

impl Write for PipeEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.piece.left();
        let len = left.len().min(bytes.len());
        left[..len].copy_from_slice(&bytes[..len]);
        self.fill(len).map(|()| len)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.len == 0 {
            return Ok(());
        }
        let next = self.fresh.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.piece, Piece { len: 0, ..next });
        self.send.send(Ok(full)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.position == self.piece.len {
            let spent = std::mem::take(&mut self.piece);
            self.position = 0;
            if !spent.room.is_empty() && self.spent.send(spent).is_err() {
                // The producer ended: nobody takes the buffer back.
            }
            match self.pieces.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => return Ok(0),
            }
        }
        let left = &self.piece.filled()[self.position..];
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.position += len;
        Ok(len)
    }
}

/// The digests of a blob and of the archive in it, with their lengths; `None` of what could not be read to its end.
pub(super) struct Digests<'scope> {
    blob: ScopedJoinHandle<'scope, Option<(Digest, u64)>>,
    archive: ScopedJoinHandle<'scope, Option<(Digest, u64)>>,
}

impl Digests<'_> {
    /// Waits for both. The archive was read to its end, or dropped.
    pub(super) fn join(self) -> (Option<(Digest, u64)>, Option<(Digest, u64)>) {
        (self.blob.join().ok().flatten(), self.archive.join().ok().flatten())
    }
}

/// Starts the threads that read, inflate and hash a blob.
pub(super) fn inflate<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    blob: impl Read + Send + 'scope,
    turn: &'scope Turn<'_>,
) -> (Piped, Digests<'scope>) {
    let (compressed, blob) = piped(scope, move |end| {
        let mut blob = HashingReader::new(blob);
        end.copy(&mut blob)?;
        blob.finish()
    });
    let (archive, _inflater) = piped(scope, move |end| {
        let mut input = BufReader::with_capacity(PIECE_BYTES, compressed);
        let told = Compression::of(input.fill_buf()?);
        let compression = told.map_err(|packing| {
            io::Error::other(format!(
                "it is packed with {packing}, which is not read: pack it with gzip or zstd"
            ))
        })?;
        match compression {
            Compression::Plain => end.copy(&mut input)?,
            Compression::Gzip => end.copy(&mut flate2::bufread::MultiGzDecoder::new(&mut input))?,
            Compression::Zstd => {
                let admit = |window| {
                    if window > WINDOW_COMMON_BYTES {
                        turn.take();
                    }
                };
                end.copy(&mut Frames::new(&mut input, admit)?)?;
            }
        }
        // What follows the last member still belongs to the blob, and its digest.
        io::copy(&mut input, &mut io::sink()).map(|_| ())
    });
    let (archive, digest) = hashed(scope, archive);
    (archive, Digests { blob, archive: digest })
}
