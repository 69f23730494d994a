//! Owns the walk through an archive: from header to header, and through the data of the entry in between.

use super::entry::{Entry, EntryKind};
use super::error::{ArchiveError, Fault, Part, Place};
use super::extension::{EXTENSION_LEN_MAX, ExtensionFault, Extensions};
use super::header::{Header, TypeFlag};
use super::resolve;
use super::sparse::{HOLES_MAX, Segment, SparseFault, SparseMap};
use super::sparse_form::{self, PaxForm};
use super::stream::{BLOCK_LEN, Block, Stream, padding};
use std::io::{Read, Seek};

/// Reads a tar archive from front to back, with bounded memory.
///
/// Headers are read 512 bytes at a time: give it a buffered reader. An archive ends at two zero blocks, or where the
/// stream ends between two entries; what follows the zero blocks is left in the stream. After an error every further
/// call is an error.
///
/// ```
/// use layerfs_driver::store::archive::ArchiveReader;
///
/// let mut reader = ArchiveReader::new(&[0u8; 1024][..]);
/// assert!(reader.next_entry()?.is_none());
/// # Ok::<(), layerfs_driver::store::archive::ArchiveError>(())
/// ```
pub struct ArchiveReader<R: Read> {
    stream: Stream<R>,
    extensions: Extensions,
    /// Where the reader is, for messages.
    place: Place,
    body: Body,
    /// Bytes of holes in all files so far.
    holes: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

/// A piece of the current entry's data, at the front of the buffer that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes of the piece.
    pub len: usize,
}

/// What of the current entry is still in the stream.
#[derive(Default)]
struct Body {
    segments: Vec<Segment>,
    /// Index of the segment that is being read.
    current: usize,
    /// Bytes of the file that no segment holds.
    hole_bytes: u64,
    /// Bytes of that segment that have been handed out.
    within: u64,
    /// Stored bytes that have not been read, without padding.
    left: u64,
    padding: u64,
    /// Offset in the stream of the first stored byte.
    position: u64,
}

impl<R: Read + Seek> ArchiveReader<R> {
    /// A reader that passes over data by seeking. A truncated end is still an error.
    pub fn seekable(inner: R) -> Self {
        ArchiveReader::over(Stream::seekable(inner))
    }
}

impl<R: Read> ArchiveReader<R> {
    /// A reader of a stream, which is never asked to seek.
    pub fn new(inner: R) -> Self {
        ArchiveReader::over(Stream::new(inner))
    }

    fn over(stream: Stream<R>) -> Self {
        let extensions = Extensions::default();
        let (place, body) = (Place::default(), Body::default());
        ArchiveReader { stream, extensions, place, body, holes: 0, state: State::Reading }
    }

    /// The next entry, after passing over what is left of the last one's data. None at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.state == State::Ended {
            return Ok(None);
        }
        self.guarded(Self::advance)
    }

    /// The next piece of the current entry's data: bytes go to the front of `buf`, which must not be empty. Pieces come
    /// in ascending order; what lies between them, and after the last up to [`Entry::size`], is a hole. None when the
    /// data is over.
    pub fn next_piece(&mut self, buf: &mut [u8]) -> Result<Option<Piece>, ArchiveError> {
        self.guarded(|reader| reader.body.read_piece(&mut reader.stream, buf))
    }

    /// Offset of the current entry's stored data, counted from where the reader began, for archives that are read again
    /// by position. A file without holes is stored as it is, in [`Entry::size`] bytes.
    pub fn data_position(&self) -> u64 {
        self.body.position
    }

    /// Whether the current entry is a file with holes, whose stored bytes are not all of its bytes.
    pub fn has_holes(&self) -> bool {
        self.hole_bytes() > 0
    }

    /// Bytes of the current entry that the archive does not store.
    pub fn hole_bytes(&self) -> u64 {
        self.body.hole_bytes
    }

    /// The stream, at the byte after the last one read. Who checks a digest of the whole must read on to its end.
    pub fn into_inner(self) -> R {
        self.stream.into_inner()
    }

    /// Names the place in an error, and refuses to go on after one.
    fn guarded<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, ArchiveError> {
        if self.state == State::Failed {
            return Err(ArchiveError::ReadAfterError { entry: self.place.clone() });
        }
        step(self).map_err(|fault| {
            self.state = State::Failed;
            fault.at(self.place.clone())
        })
    }

    fn advance(&mut self) -> Result<Option<Entry>, Fault> {
        self.body.pass_over(&mut self.stream)?;
        loop {
            let Some(block) = self.header_block()? else {
                self.state = State::Ended;
                return Ok(None);
            };
            let header = Header::verify(&block)?;
            self.place = Place::new(&header.name(), self.place.position());
            let flag = header.type_flag()?;
            match flag {
                TypeFlag::PaxGlobal => {
                    let bytes = self.extension_bytes(&header)?;
                    self.extensions.add_global(&bytes)?;
                }
                TypeFlag::PaxLocal => {
                    let bytes = self.extension_bytes(&header)?;
                    self.extensions.set_local(&bytes)?;
                }
                TypeFlag::LongName => {
                    let bytes = self.extension_bytes(&header)?;
                    self.extensions.set_long_name(&bytes)?;
                }
                TypeFlag::LongLink => {
                    let bytes = self.extension_bytes(&header)?;
                    self.extensions.set_long_link(&bytes)?;
                }
                TypeFlag::VolumeLabel => {
                    let len = resolve::stored_len(&header, flag, &self.extensions)?;
                    self.extensions.end_entry();
                    self.body = Body::opaque(len, self.stream.position());
                    self.body.pass_over(&mut self.stream)?;
                }
                _ => return self.entry(&header, flag).map(Some),
            }
        }
    }

    /// The next header block; none at the end of the archive.
    fn header_block(&mut self) -> Result<Option<Block>, Fault> {
        let position = self.stream.position();
        let first = self.raw_block().inspect_err(|_| self.place = Place::new(b"", position))?;
        if first.is_some_and(|block| !is_zero(&block)) {
            self.place = Place::new(b"", position);
            return Ok(first);
        }
        if self.extensions.awaits_entry() {
            return Err(Fault::Stream(super::stream::StreamFault::Ended, Part::Extension));
        }
        if first.is_none() {
            return Ok(None);
        }
        match self.raw_block()? {
            Some(second) if !is_zero(&second) => Err(Fault::LoneZeroBlock { position }),
            Some(_) | None => Ok(None),
        }
    }

    fn raw_block(&mut self) -> Result<Option<Block>, Fault> {
        self.stream.block().map_err(|fault| Fault::Stream(fault, Part::Header))
    }

    /// The body of an extended header. Its claim is compared with the bound before anything is allocated for it.
    fn extension_bytes(&mut self, header: &Header<'_>) -> Result<Vec<u8>, Fault> {
        let claim = header.size()?;
        let len = usize::try_from(claim).ok().filter(|_| claim <= EXTENSION_LEN_MAX);
        let len = len.ok_or(ExtensionFault::TooLong { len: claim })?;
        let mut bytes = vec![0; len.next_multiple_of(BLOCK_LEN)];
        let fill = self.stream.fill(&mut bytes);
        fill.map_err(|fault| Fault::Stream(fault, Part::Extension))?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header<'_>, flag: TypeFlag) -> Result<Entry, Fault> {
        let path = match self.extensions.path()? {
            Some(path) => path.to_vec(),
            None => header.name(),
        };
        self.place = Place::new(&path, self.place.position());
        let mut entry = resolve::entry(header, flag, &self.extensions, &path)?;
        let stored = resolve::stored_len(header, flag, &self.extensions)?;
        if entry.kind == EntryKind::File {
            let (map, left) = self.map(header, flag, stored)?;
            entry.size = map.size();
            // A map is as long as what is stored, and its holes are bounded: neither goes out of range.
            let hole_bytes = map.size() - left;
            self.holes += hole_bytes;
            if self.holes > HOLES_MAX {
                return Err(SparseFault::AllHoles { holes: self.holes }.into());
            }
            self.body = Body { hole_bytes, ..Body::of(map, left, self.stream.position()) };
        } else {
            self.body = Body::opaque(stored, self.stream.position());
        }
        self.extensions.end_entry();
        Ok(entry)
    }

    /// Where the data of a file goes, and how many bytes of it follow.
    fn map(
        &mut self,
        header: &Header<'_>,
        flag: TypeFlag,
        stored: u64,
    ) -> Result<(SparseMap, u64), Fault> {
        let pairs = self.extensions.take_pairs();
        match (flag, PaxForm::of(&self.extensions, &pairs)?) {
            (TypeFlag::OldSparse, PaxForm::None) => {
                let head = header.old_sparse()?;
                Ok((sparse_form::old(&head, stored, &mut self.stream)?, stored))
            }
            (TypeFlag::OldSparse, _) => Err(SparseFault::TwoMaps.into()),
            (_, PaxForm::None) => Ok((SparseMap::whole(stored), stored)),
            (_, PaxForm::Records) => {
                Ok((sparse_form::from_records(&self.extensions, pairs, stored)?, stored))
            }
            (_, PaxForm::Data) => {
                sparse_form::from_data(&self.extensions, stored, &mut self.stream)
            }
        }
    }
}

impl Body {
    fn of(map: SparseMap, left: u64, position: u64) -> Body {
        // What a map inside the data took is whole blocks, so the rest is padded like the whole.
        let segments = map.into_segments();
        Body { segments, left, padding: padding(left), position, ..Body::default() }
    }

    /// Data that is nobody's contents and is passed over.
    fn opaque(left: u64, position: u64) -> Body {
        Body { left, padding: padding(left), position, ..Body::default() }
    }

    fn read_piece<R: Read>(
        &mut self,
        stream: &mut Stream<R>,
        buf: &mut [u8],
    ) -> Result<Option<Piece>, Fault> {
        while let Some(segment) = self.segments.get(self.current) {
            let rest = segment.len - self.within;
            if rest == 0 {
                self.current += 1;
                self.within = 0;
                continue;
            }
            let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
            stream.fill(&mut buf[..len]).map_err(|fault| Fault::Stream(fault, Part::Data))?;
            let offset = segment.offset + self.within;
            self.within += len as u64;
            self.left -= len as u64;
            return Ok(Some(Piece { offset, len }));
        }
        Ok(None)
    }

    /// Passes over what has not been read, up to the next header.
    fn pass_over<R: Read>(&mut self, stream: &mut Stream<R>) -> Result<(), Fault> {
        let body = std::mem::take(self);
        self.position = body.position;
        // Sizes are below 2^63, so the sum fits.
        stream.pass_over(body.left + body.padding).map_err(|fault| Fault::Stream(fault, Part::Data))
    }
}

fn is_zero(block: &Block) -> bool {
    block.iter().all(|&b| b == 0)
}
