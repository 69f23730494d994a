//! A layer's blob as a stream of archive bytes: read and inflated on a thread of its own.
//!
//! Inflating is the slowest step of an import, so its thread does nothing else: the digests of the blob and of the
//! archive are computed by the threads on either side of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::ScopedJoinHandle;

use super::turn::Turn;
use crate::store::digest::{Digest, HashingReader};
use crate::store::source::{Compression, Frames, WINDOW_COMMON_BYTES};

/// Bytes handed from thread to thread at a time, and how many such pieces may wait.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_WAITING: usize = 8;

/// Stack of a thread that walks a directory: 2048 levels, with room to spare. It takes memory as it is used.
const STACK_BYTES: usize = 64 << 20;

/// The consumer's end of a stream that another thread produces.
pub(super) struct Piped {
    pieces: Receiver<io::Result<Vec<u8>>>,
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
}

/// Two ends of a stream between threads.
fn pipe() -> (PipeEnd, Piped) {
    let (send, pieces) = sync_channel(PIECES_WAITING);
    let (spent, fresh) = channel();
    let end = PipeEnd { send, fresh, piece: Vec::new() };
    (end, Piped { pieces, spent, piece: Vec::new(), position: 0 })
}

/// Runs `produce` on a thread of `scope`; what it writes is read from the answer. An error of it is read, too.
fn piped<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    produce: impl FnOnce(&mut PipeEnd) -> io::Result<T> + Send + 'scope,
) -> (Piped, ScopedJoinHandle<'scope, Option<T>>) {
    let (end, piped) = pipe();
    (piped, scope.spawn(move || end.run(produce)))
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
    send: SyncSender<io::Result<Vec<u8>>>,
    fresh: Receiver<Vec<u8>>,
    /// What was written and not handed over yet.
    piece: Vec<u8>,
}

impl PipeEnd {
    /// Produces, and hands over what is left, or the error. A consumer that is gone has its own error to tell.
    fn run<T>(mut self, produce: impl FnOnce(&mut PipeEnd) -> io::Result<T>) -> Option<T> {
        match produce(&mut self).and_then(|value| self.flush().map(|()| value)) {
            Ok(value) => Some(value),
            Err(error) => self.send.send(Err(error)).err().and(None),
        }
    }

    /// Hands all of `from` over, in its own pieces.
    fn copy(&mut self, from: &mut dyn Read) -> io::Result<()> {
        loop {
            let mut piece = self.fresh.try_recv().unwrap_or_default();
            piece.clear();
            let len = from.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            self.hand_over(piece)?;
        }
    }

    fn hand_over(&mut self, piece: Vec<u8>) -> io::Result<()> {
        self.send.send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let mut next = self.fresh.try_recv().unwrap_or_default();
        next.clear();
        let full = std::mem::replace(&mut self.piece, next);
        self.hand_over(full)
    }
}

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.position == self.piece.len() {
            let spent = std::mem::take(&mut self.piece);
            self.position = 0;
            if spent.capacity() > 0 && self.spent.send(spent).is_err() {
                // The producer ended: nobody takes the buffer back.
            }
            match self.pieces.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => return Ok(0),
            }
        }
        let left = &self.piece[self.position..];
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.position += len;
        Ok(len)
    }
}

/// Starts the threads that read, hash and inflate a blob. The handle gives the blob's digest and length.
pub(super) fn inflate<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    blob: impl Read + Send + 'scope,
    turn: &'scope Turn<'_>,
) -> (Piped, ScopedJoinHandle<'scope, Option<(Digest, u64)>>) {
    let (compressed, hashed) = piped(scope, move |end| {
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
    (archive, hashed)
}
