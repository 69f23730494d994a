//! Owns the 512-byte header block: its checksum, its layout by format, and its fields.

use super::escape::Quoted;
use super::number::{NumberFault, header_number};
use super::stream::{BLOCK_LEN, Block};

/// Offset and length of the prefix of star's headers, whose last bytes hold times instead.
const STAR_PREFIX_LEN: usize = 131;
/// Offset of the mark that tells star's headers from ustar's.
const STAR_MARK_AT: usize = 508;

/// The field that tells a header from other bytes.
const CHECKSUM: &str = "checksum";

/// What can be wrong with a header block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It is not a header, or it is damaged.
    #[error("header checksum is {stored}, but its bytes sum to {summed}")]
    Checksum {
        /// What the header says.
        stored: i64,
        /// Sum of its bytes taken as unsigned.
        summed: i64,
    },
    /// A numeric field holds something else.
    #[error("{field} is not a number: {text}")]
    NotANumber {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        text: Quoted,
    },
    /// A number that does not fit its meaning.
    #[error("{field} {value} is out of range")]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// The number.
        value: i128,
    },
    /// A number of more than 64 bits.
    #[error("{field} is too large a number")]
    Overflow {
        /// Name of the field.
        field: &'static str,
    },
    /// An entry type that no rule covers.
    #[error("unknown entry type byte {type_byte:#04x}")]
    UnknownType {
        /// The byte.
        type_byte: u8,
    },
    /// A device in a format that has no device numbers; taking them as 0:0 would make it a whiteout.
    #[error("device without device numbers")]
    NoDeviceNumbers,
    /// GNU tar's oldest sparse form in a header that is not GNU's, whose bytes mean something else there.
    #[error("old sparse file in a header that is not GNU tar's")]
    SparseNotGnu,
    /// Something else than a directory at the archive's root.
    #[error("the root of the archive is not a directory")]
    RootNotDirectory,
    /// A hard link to the archive's root.
    #[error("hard link to the root of the archive")]
    HardlinkToRoot,
    /// A symbolic link of no bytes.
    #[error("symbolic link without a target")]
    EmptySymlink,
    /// A symbolic link of more than 4095 bytes.
    #[error("symbolic link target is {len} bytes long, more than 4095")]
    LongSymlink {
        /// Bytes of the target.
        len: usize,
    },
}

/// What a type byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeFlag {
    File,
    /// `\0`: a file, or in v7 a directory when its name ends in a slash.
    OldFile,
    /// `S`: a file with GNU tar's oldest sparse map in its header.
    OldSparse,
    Hardlink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    /// `D`: a directory of an incremental GNU archive; a list of names is stored as its data.
    DumpDirectory,
    Fifo,
    PaxLocal,
    PaxGlobal,
    LongName,
    LongLink,
    /// `V`: the label of a volume; no entry.
    VolumeLabel,
}

impl TypeFlag {
    fn from_byte(type_byte: u8) -> Result<TypeFlag, HeaderFault> {
        Ok(match type_byte {
            0 => TypeFlag::OldFile,
            b'0' | b'7' => TypeFlag::File,
            b'1' => TypeFlag::Hardlink,
            b'2' => TypeFlag::Symlink,
            b'3' => TypeFlag::CharDevice,
            b'4' => TypeFlag::BlockDevice,
            b'5' => TypeFlag::Directory,
            b'6' => TypeFlag::Fifo,
            b'D' => TypeFlag::DumpDirectory,
            b'K' => TypeFlag::LongLink,
            b'L' => TypeFlag::LongName,
            b'S' => TypeFlag::OldSparse,
            b'V' => TypeFlag::VolumeLabel,
            b'g' => TypeFlag::PaxGlobal,
            b'x' => TypeFlag::PaxLocal,
            _ => return Err(HeaderFault::UnknownType { type_byte }),
        })
    }

    /// Whether bytes follow the header. For links, directories and special files the size field does not count them:
    /// POSIX lets a directory's size be a reservation, old writers give a hard link the size of its file, and although
    /// pax allows a hard link to carry data, Go (so docker, podman, containerd), Python and GNU tar read none there.
    /// A stream that does carry it fails loudly at the next header's checksum.
    pub(super) fn stores_data(self) -> bool {
        match self {
            TypeFlag::Hardlink
            | TypeFlag::Symlink
            | TypeFlag::CharDevice
            | TypeFlag::BlockDevice
            | TypeFlag::Directory
            | TypeFlag::Fifo => false,
            TypeFlag::File
            | TypeFlag::OldFile
            | TypeFlag::OldSparse
            | TypeFlag::DumpDirectory
            | TypeFlag::PaxLocal
            | TypeFlag::PaxGlobal
            | TypeFlag::LongName
            | TypeFlag::LongLink
            | TypeFlag::VolumeLabel => true,
        }
    }
}

/// Bytes that are enough to tell whether an archive begins with them.
pub(in crate::store) const HEAD_LEN: usize = BLOCK_LEN;

/// Whether an archive begins with these bytes: with a header whose checksum holds.
pub(in crate::store) fn begins_archive(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(|block| Header::verify(block).is_ok())
}

/// A header block whose checksum holds. Fields are read when they are asked for, since what is not meant for the entry's
/// type may hold anything.
pub(super) struct Header<'a>(&'a tar::Header);

impl HeaderFault {
    /// Whether the block is no header, as against one that says something that cannot be.
    pub(super) fn is_no_header(&self) -> bool {
        match self {
            HeaderFault::Checksum { .. } => true,
            HeaderFault::NotANumber { field, .. } => *field == CHECKSUM,
            _ => false,
        }
    }
}

impl<'a> Header<'a> {
    pub(super) fn verify(block: &'a Block) -> Result<Header<'a>, HeaderFault> {
        let header = Header(tar::Header::from_byte_slice(block));
        let stored = number(CHECKSUM, &header.0.as_old().cksum)?;
        let sums = checksums(block);
        if sums.contains(&stored) {
            return Ok(header);
        }
        Err(HeaderFault::Checksum { stored, summed: sums[0] })
    }

    pub(super) fn type_flag(&self) -> Result<TypeFlag, HeaderFault> {
        TypeFlag::from_byte(self.0.as_old().linkflag[0])
    }

    /// The name field, with ustar's prefix before it. The same bytes hold times in GNU headers, and partly in star's.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0.as_old().name);
        let bytes = self.0.as_bytes();
        let prefix = match (&bytes[257..263], &bytes[STAR_MARK_AT..]) {
            (b"ustar\0", b"tar\0") => until_nul(&bytes[345..345 + STAR_PREFIX_LEN]),
            (b"ustar\0", _) => until_nul(&bytes[345..500]),
            _ => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        until_nul(&self.0.as_old().linkname)
    }

    pub(super) fn size(&self) -> Result<u64, HeaderFault> {
        unsigned("size", number("size", &self.0.as_old().size)?)
    }

    /// Permission bits; some writers put the file type above them.
    pub(super) fn mode(&self) -> Result<u32, HeaderFault> {
        let mode = number("mode", &self.0.as_old().mode)?;
        u32::try_from(mode & 0o7777).map_err(|_| out_of_range("mode", mode))
    }

    pub(super) fn uid(&self) -> Result<u64, HeaderFault> {
        unsigned("uid", number("uid", &self.0.as_old().uid)?)
    }

    pub(super) fn gid(&self) -> Result<u64, HeaderFault> {
        unsigned("gid", number("gid", &self.0.as_old().gid)?)
    }

    pub(super) fn mtime(&self) -> Result<i64, HeaderFault> {
        number("mtime", &self.0.as_old().mtime)
    }

    /// Major and minor number, within what the kernel's encoding of a device number holds (12 and 20 bits).
    pub(super) fn device(&self) -> Result<(u32, u32), HeaderFault> {
        let bytes = self.0.as_bytes();
        if &bytes[257..262] != b"ustar" {
            return Err(HeaderFault::NoDeviceNumbers);
        }
        let major = bits("device major", number("device major", &bytes[329..337])?, 12)?;
        let minor = bits("device minor", number("device minor", &bytes[337..345])?, 20)?;
        Ok((major, minor))
    }

    /// The sparse fields of a GNU header: the first part of the map, whether it goes on, and the logical size.
    pub(super) fn old_sparse(&self) -> Result<OldSparse<'a>, HeaderFault> {
        let bytes = self.0.as_bytes();
        if &bytes[257..265] != b"ustar  \0" {
            return Err(HeaderFault::SparseNotGnu);
        }
        let real_size = unsigned("real size", number("real size", &bytes[483..495])?)?;
        Ok(OldSparse { slots: &bytes[386..482], continued: bytes[482] != 0, real_size })
    }
}

/// What an old GNU header says of a sparse file.
pub(super) struct OldSparse<'a> {
    pub(super) slots: &'a [u8],
    pub(super) continued: bool,
    pub(super) real_size: u64,
}

/// The sum of the block with its checksum field as spaces, over unsigned bytes as POSIX has it and over signed ones as
/// some old writers did.
fn checksums(block: &Block) -> [i64; 2] {
    let bytes = || block.iter().enumerate();
    let byte = |(i, b): (usize, &u8)| if (148..156).contains(&i) { b' ' } else { *b };
    let unsigned = bytes().map(|b| i64::from(byte(b))).sum();
    let signed = bytes().map(|b| i64::from(byte(b).cast_signed())).sum();
    [unsigned, signed]
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

pub(super) fn number(field: &'static str, bytes: &[u8]) -> Result<i64, HeaderFault> {
    header_number(bytes).map_err(|fault| header_fault(field, bytes, fault))
}

/// The same words for a number that cannot be read, wherever it stands.
pub(super) fn header_fault(field: &'static str, text: &[u8], fault: NumberFault) -> HeaderFault {
    match fault {
        NumberFault::NotANumber => HeaderFault::NotANumber { field, text: Quoted::new(text) },
        NumberFault::Overflow => HeaderFault::Overflow { field },
    }
}

pub(super) fn unsigned(field: &'static str, value: i64) -> Result<u64, HeaderFault> {
    u64::try_from(value).map_err(|_| out_of_range(field, value))
}

fn bits(field: &'static str, value: i64, width: u32) -> Result<u32, HeaderFault> {
    match u32::try_from(value) {
        Ok(small) if small >> width == 0 => Ok(small),
        _ => Err(out_of_range(field, value)),
    }
}

fn out_of_range(field: &'static str, value: i64) -> HeaderFault {
    HeaderFault::OutOfRange { field, value: value.into() }
}
