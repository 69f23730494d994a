//! Owns the errors of the archive reader, and the place in the stream that each of them names.

use super::escape::{Quoted, write_escaped};
use super::extension::ExtensionFault;
use super::header::HeaderFault;
use super::path::PathFault;
use super::sparse::SparseFault;
use super::stream::StreamFault;
use std::{fmt, io};

/// Bytes of a path kept for messages; more would not be shown.
const PATH_KEPT_MAX: usize = 600;

/// Why an archive cannot be read further. Each names the entry by its path as read, escaped, and its header's offset.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream below could not be read.
    #[error("read the archive at {entry}")]
    ReadStream {
        /// Entry that was being read.
        entry: Place,
        /// What the stream said.
        source: io::Error,
    },
    /// The stream is over where the archive is not.
    #[error("{entry}: truncated, the archive ends inside its {part}")]
    Truncated {
        /// Entry that is cut off.
        entry: Place,
        /// What of it is cut off.
        part: Part,
    },
    /// One zero block, which only half ends an archive, and then another header.
    #[error("{entry}: lone zero block at byte {position}, and the archive goes on after it")]
    LoneZeroBlock {
        /// Entry before the block.
        entry: Place,
        /// Offset of the zero block in the stream.
        position: u64,
    },
    /// The first block is no header.
    #[error("it is not a tar archive, plain or packed with gzip or zstd: {entry}: {fault}")]
    NotTar {
        /// The beginning.
        entry: Place,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// The header block says something that cannot be.
    #[error("{entry}: {fault}")]
    ParseHeader {
        /// Entry that the header belongs to.
        entry: Place,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// An extended header (pax `x` and `g`, GNU `L` and `K`) says something that cannot be.
    #[error("{entry}: {fault}")]
    ParseExtension {
        /// The extended header, or the entry that it speaks of.
        entry: Place,
        /// What is wrong with it.
        fault: ExtensionFault,
    },
    /// The map of a sparse file says something that cannot be.
    #[error("{entry}: {fault}")]
    ParseSparseMap {
        /// The sparse file.
        entry: Place,
        /// What is wrong with its map.
        fault: SparseFault,
    },
    /// The entry's path is none that can be created.
    #[error("{entry}: {fault}")]
    ParsePath {
        /// The entry.
        entry: Place,
        /// What is wrong with its path.
        fault: PathFault,
    },
    /// The target of a hard link is no path inside the archive.
    #[error("{entry}: hard link target {target}: {fault}")]
    ParseHardlinkTarget {
        /// The link.
        entry: Place,
        /// The target as read.
        target: Quoted,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// The reader was asked to go on after it had found the archive broken.
    #[error("{entry}: read on after an error in the archive")]
    ReadAfterError {
        /// Entry where the first error was.
        entry: Place,
    },
}

/// Part of an archive that a truncated stream ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A header block.
    Header,
    /// The body of an extended header, or the header it should be followed by.
    Extension,
    /// The map of a sparse file.
    SparseMap,
    /// The contents, or the zeros that fill up their last block.
    Data,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Header => "header",
            Part::Extension => "extended header",
            Part::SparseMap => "sparse map",
            Part::Data => "data",
        })
    }
}

/// Where in the archive something was found: the entry's path as read, and the offset of its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    path: Box<[u8]>,
    position: u64,
}

impl Place {
    pub(super) fn new(path: &[u8], position: u64) -> Place {
        Place { path: path[..path.len().min(PATH_KEPT_MAX)].into(), position }
    }

    /// The entry's path as read; cut when it is very long, empty when the header was not reached.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether nothing has been read yet.
    fn is_beginning(&self) -> bool {
        self.position == 0 && self.path.is_empty()
    }

    /// Offset of the header in the stream.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "header at byte {}", self.position);
        }
        write_escaped(f, &self.path)?;
        write!(f, " (header at byte {})", self.position)
    }
}

/// What went wrong, before the reader adds where.
#[derive(Debug)]
pub(super) enum Fault {
    Stream(StreamFault, Part),
    LoneZeroBlock { position: u64 },
    Header(HeaderFault),
    Extension(ExtensionFault),
    Sparse(SparseFault),
    Path(PathFault),
    HardlinkTarget(Quoted, PathFault),
}

impl Fault {
    pub(super) fn at(self, entry: Place) -> ArchiveError {
        match self {
            Fault::Stream(StreamFault::Read(source), _) => {
                ArchiveError::ReadStream { entry, source }
            }
            Fault::Stream(StreamFault::Ended, part) => ArchiveError::Truncated { entry, part },
            Fault::LoneZeroBlock { position } => ArchiveError::LoneZeroBlock { entry, position },
            Fault::Header(fault) if entry.is_beginning() && fault.is_no_header() => {
                ArchiveError::NotTar { entry, fault }
            }
            Fault::Header(fault) => ArchiveError::ParseHeader { entry, fault },
            Fault::Extension(fault) => ArchiveError::ParseExtension { entry, fault },
            Fault::Sparse(fault) => ArchiveError::ParseSparseMap { entry, fault },
            Fault::Path(fault) => ArchiveError::ParsePath { entry, fault },
            Fault::HardlinkTarget(target, fault) => {
                ArchiveError::ParseHardlinkTarget { entry, target, fault }
            }
        }
    }
}

impl From<HeaderFault> for Fault {
    fn from(fault: HeaderFault) -> Fault {
        Fault::Header(fault)
    }
}

impl From<ExtensionFault> for Fault {
    fn from(fault: ExtensionFault) -> Fault {
        Fault::Extension(fault)
    }
}

impl From<SparseFault> for Fault {
    fn from(fault: SparseFault) -> Fault {
        Fault::Sparse(fault)
    }
}

impl From<PathFault> for Fault {
    fn from(fault: PathFault) -> Fault {
        Fault::Path(fault)
    }
}
