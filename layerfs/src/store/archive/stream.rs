//! Owns the byte stream under an archive: whole blocks, exact lengths, passing over, and the offset reached.

use std::io::{self, Read, Seek};

/// Bytes of a tar block.
pub(super) const BLOCK_LEN: usize = 512;

/// One tar block.
pub(super) type Block = [u8; BLOCK_LEN];

/// Bytes of zeros that follow `len` bytes of data to fill the last block.
pub(super) fn padding(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK_LEN as u64
}

/// Why the stream did not give what was asked of it.
#[derive(Debug)]
pub(super) enum StreamFault {
    /// It is over. Only a read of no bytes says so: an error of kind `UnexpectedEof` comes from a decompressor, and
    /// is about its input, not about the archive.
    Ended,
    /// It could not be read.
    Read(io::Error),
}

pub(super) struct Stream<R> {
    inner: R,
    position: u64,
    /// Reading or seeking, chosen when the stream is made; `Seek` is not asked of readers that only stream.
    pass_over: fn(&mut R, u64) -> Result<(), StreamFault>,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(inner: R) -> Stream<R> {
        Stream { inner, position: 0, pass_over: pass_over_by_reading }
    }

    /// Bytes consumed since the start.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// The next block; none when the stream ends before its first byte.
    pub(super) fn block(&mut self) -> Result<Option<Block>, StreamFault> {
        let mut block = [0; BLOCK_LEN];
        match self.fill_some(&mut block)? {
            0 => Ok(None),
            BLOCK_LEN => Ok(Some(block)),
            _ => Err(StreamFault::Ended),
        }
    }

    /// Fills the whole of `buf`.
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> Result<(), StreamFault> {
        if self.fill_some(buf)? == buf.len() { Ok(()) } else { Err(StreamFault::Ended) }
    }

    /// Passes over `len` bytes, all of which must be there.
    pub(super) fn pass_over(&mut self, len: u64) -> Result<(), StreamFault> {
        if len > 0 {
            (self.pass_over)(&mut self.inner, len)?;
            self.position = self.position.saturating_add(len);
        }
        Ok(())
    }

    fn fill_some(&mut self, buf: &mut [u8]) -> Result<usize, StreamFault> {
        let filled = fill_from(&mut self.inner, buf)?;
        self.position = self.position.saturating_add(filled as u64);
        Ok(filled)
    }
}

impl<R: Read + Seek> Stream<R> {
    pub(super) fn seekable(inner: R) -> Stream<R> {
        Stream { inner, position: 0, pass_over: pass_over_by_seeking }
    }
}

/// Reads until `buf` is full or the stream is over.
fn fill_from(inner: &mut impl Read, buf: &mut [u8]) -> Result<usize, StreamFault> {
    let mut filled = 0;
    while filled < buf.len() {
        match inner.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(StreamFault::Read(e)),
        }
    }
    Ok(filled)
}

fn pass_over_by_reading<R: Read>(inner: &mut R, len: u64) -> Result<(), StreamFault> {
    let passed =
        io::copy(&mut inner.by_ref().take(len), &mut io::sink()).map_err(StreamFault::Read)?;
    if passed == len { Ok(()) } else { Err(StreamFault::Ended) }
}

/// Seeks to the last byte and reads that one: a seek alone goes past the end of a file without a word.
fn pass_over_by_seeking<R: Read + Seek>(inner: &mut R, len: u64) -> Result<(), StreamFault> {
    let before_last = i64::try_from(len - 1).map_err(|_| StreamFault::Ended)?;
    match inner.seek_relative(before_last) {
        Ok(()) => {}
        // No file can be so long that the offset exists, so the data is not there.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(StreamFault::Ended),
        Err(e) => return Err(StreamFault::Read(e)),
    }
    let mut last = [0];
    if fill_from(inner, &mut last)? == 1 { Ok(()) } else { Err(StreamFault::Ended) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// Gives one byte at a time and is interrupted before each.
    struct Dribble<'a>(&'a [u8], u32);

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 % 2 == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buf.len().min(1);
            self.0.read(&mut buf[..len])
        }
    }

    #[test]
    fn short_and_interrupted_reads_still_give_whole_blocks() {
        let bytes = [7; 1024];
        let mut stream = Stream::new(Dribble(&bytes, 0));
        assert_eq!(stream.block().unwrap(), Some([7; BLOCK_LEN]));
        assert!(stream.block().unwrap().is_some());
        assert!(stream.block().unwrap().is_none());
        assert_eq!(stream.position(), 1024);
    }

    #[test]
    fn passing_over_finds_the_end_by_reading_and_by_seeking() {
        for make in [Stream::new, Stream::seekable] {
            let mut stream = make(Cursor::new(vec![0u8; 1000]));
            stream.pass_over(0).unwrap();
            stream.pass_over(999).unwrap();
            stream.pass_over(1).unwrap();
            assert_eq!(stream.position(), 1000);
            for len in [1, 1 << 40, i64::MAX.unsigned_abs(), u64::MAX] {
                let mut stream = make(Cursor::new(vec![0u8; 1000]));
                stream.pass_over(1000).unwrap();
                assert!(matches!(stream.pass_over(len), Err(StreamFault::Ended)), "{len}");
            }
        }
    }

    #[test]
    fn an_error_of_the_reader_below_is_not_an_end() {
        struct Cut;
        impl Read for Cut {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        assert!(matches!(Stream::new(Cut).block(), Err(StreamFault::Read(_))));
        assert!(matches!(Stream::new(Cut).pass_over(5), Err(StreamFault::Read(_))));
    }

    #[test]
    fn padding_fills_up_blocks() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
