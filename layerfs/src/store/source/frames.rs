//! A zstd stream, inflated frame by frame: the window of each is looked at before there is memory for it.

use std::io::{self, Read};

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

/// The largest window that is taken: what `zstd -d` takes without being told to take more.
const WINDOW_MAX_LOG: u32 = 27;
const WINDOW_MAX_BYTES: u64 = 1 << WINDOW_MAX_LOG;
/// The largest that common packers ask for: those of levels up to 19.
pub(in crate::store) const WINDOW_COMMON_BYTES: u64 = 8 << 20;

/// The longest frame header (RFC 8878, section 3.1.1), with its magic number.
const HEADER_BYTES_MAX: usize = 18;
const PIECE_BYTES: usize = 128 * 1024;

/// Inflates `input`. Tells `admit` the window of each frame before it is taken; that may wait.
pub(in crate::store) struct Frames<R, F> {
    input: R,
    admit: F,
    inflater: Decoder<'static>,
    /// What was read and not inflated yet.
    buf: Vec<u8>,
    used: usize,
    is_between_frames: bool,
}

impl<R: Read, F: FnMut(u64)> Frames<R, F> {
    pub(in crate::store) fn new(input: R, admit: F) -> io::Result<Self> {
        let mut inflater = Decoder::new()?;
        inflater.set_parameter(DParameter::WindowLogMax(WINDOW_MAX_LOG))?;
        Ok(Frames { input, admit, inflater, buf: Vec::new(), used: 0, is_between_frames: true })
    }

    /// Has at least `len` bytes unused, or all that there are.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        while self.buf.len() - self.used < len {
            self.buf.drain(..self.used);
            self.used = 0;
            let more = (PIECE_BYTES - self.buf.len()) as u64;
            // Unlike `read_to_end` one read, which does not wait for the rest of the stream.
            let old = self.buf.len();
            self.buf.resize(old + usize::try_from(more).unwrap_or(0), 0);
            let read = self.input.read(&mut self.buf[old..]);
            self.buf.truncate(old + read.as_ref().copied().unwrap_or(0));
            if read? == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at the header of the next frame; `false` where there is no more of them.
    fn begin(&mut self) -> io::Result<bool> {
        self.fill(HEADER_BYTES_MAX)?;
        let header = &self.buf[self.used..];
        if header.is_empty() {
            return Ok(false);
        }
        let window = window_of(header).unwrap_or(0);
        if window > WINDOW_MAX_BYTES {
            return Err(io::Error::other(format!(
                "it is packed with a zstd window of {} MiB, more than {} MiB: pack it again with `zstd --long=27` or less",
                window.div_ceil(1 << 20),
                WINDOW_MAX_BYTES >> 20
            )));
        }
        (self.admit)(window);
        self.inflater.reinit()?;
        self.is_between_frames = false;
        Ok(true)
    }
}

impl<R: Read, F: FnMut(u64)> Read for Frames<R, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            if self.is_between_frames && !self.begin()? {
                return Ok(0);
            }
            self.fill(1)?;
            let mut input = InBuffer::around(&self.buf[self.used..]);
            let mut output = OutBuffer::around(out);
            let left = self.inflater.run(&mut input, &mut output)?;
            let (taken, given) = (input.pos(), output.pos());
            self.used += taken;
            self.is_between_frames = left == 0;
            if given > 0 {
                return Ok(given);
            }
            if taken == 0 && left > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(0)
    }
}

/// The bytes of window that a frame with this header wants; `None` where it is no header of a frame with contents.
fn window_of(header: &[u8]) -> Option<u64> {
    let header = header.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let descriptor = *header.first()?;
    if descriptor & 0x20 == 0 {
        let window = *header.get(1)?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A frame of one segment: its window is its contents, whose length stands behind a dictionary's id.
    let at = 1 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let len = 1 << (descriptor >> 6);
    let mut size = [0; 8];
    size[..len].copy_from_slice(header.get(at..at + len)?);
    let size = u64::from_le_bytes(size);
    Some(if len == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn windows_are_read_out_of_every_form_of_header() {
        let frame = |rest: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd], rest].concat();
        let table: &[(&[u8], Option<u64>)] = &[
            (&[0x00, 0x00], Some(1 << 10)),
            (&[0x00, 17 << 3], Some(1 << 27)),
            (&[0x04, 17 << 3 | 1], Some((1 << 27) + (1 << 24))),
            (&[0xc0, 0xff, 0, 0], Some((1 << 41) + 7 * (1 << 38))),
            (&[0x20, 200], Some(200)),
            (&[0x60, 1, 2], Some(0x201 + 256)),
            (&[0x62, 9, 9, 1, 2], Some(0x201 + 256)),
            (&[0xa3, 9, 9, 9, 9, 1, 0, 0, 0x20], Some(0x2000_0001)),
            (&[0xe1, 9, 1, 0, 0, 0, 0, 0, 0, 0x10], Some((1 << 60) + 1)),
            (&[0xe0, 1, 0, 0], None),
            (&[], None),
        ];
        for (rest, want) in table {
            assert_eq!(window_of(&frame(rest)), *want, "{rest:?}");
        }
        assert_eq!(window_of(b"\x50\x2a\x4d\x18\0\0\0\0"), None);
    }

    /// Gives one byte at a time.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = buf.len().min(1);
            self.0.read(&mut buf[..len])
        }
    }

    #[test]
    fn each_frame_is_admitted_and_a_cut_one_is_an_error() {
        let mut stream = zstd::bulk::compress(&[1; 300], 1).unwrap();
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packer.write_all(&[2; 100]).unwrap();
        stream.extend(packer.finish().unwrap());
        let mut admitted = Vec::new();
        let mut all = Vec::new();
        let mut frames = Frames::new(Dribble(&stream), |window| admitted.push(window)).unwrap();
        frames.read_to_end(&mut all).unwrap();
        drop(frames);
        assert_eq!(all, [[1; 300].as_slice(), &[2; 100]].concat());
        assert_eq!((admitted.len(), admitted[0]), (2, 300));
        for len in 1..stream.len() {
            let mut all = Vec::new();
            let mut frames = Frames::new(&stream[..len], |_| {}).unwrap();
            let cut = frames.read_to_end(&mut all);
            assert!(cut.is_err() || all.len() == 300, "cut after {len} bytes");
        }
    }
}
