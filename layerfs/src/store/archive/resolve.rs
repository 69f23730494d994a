//! Owns how a header and the extended headers in force make up one entry.

use super::entry::{Entry, EntryKind, Timestamp};
use super::error::Fault;
use super::escape::Quoted;
use super::extension::Extensions;
use super::header::{Header, HeaderFault, TypeFlag, header_fault};
use super::number::{decimal, time};
use super::path::EntryPath;

/// The kernel's bound on a link target (`PATH_MAX` less its NUL).
const SYMLINK_LEN_MAX: usize = 4095;
/// `u32::MAX` is no id: chown(2) reads it as "leave it".
const ID_MAX: u64 = u32::MAX as u64 - 1;

/// The entry that a header stands for, whose path as read is `path`. The size of a file is what is stored of it.
pub(super) fn entry(
    header: &Header<'_>,
    flag: TypeFlag,
    extensions: &Extensions,
    path: &[u8],
) -> Result<Entry, Fault> {
    let kind = kind(header, flag, extensions, path)?;
    let size = match kind {
        EntryKind::File => stored_len(header, flag, extensions)?,
        _ => 0,
    };
    let path = EntryPath::parse(path)?;
    if path.is_root() && kind != EntryKind::Directory {
        return Err(HeaderFault::RootNotDirectory.into());
    }
    Ok(Entry {
        path,
        kind,
        mode: header.mode()?,
        uid: id("uid", extensions, header.uid())?,
        gid: id("gid", extensions, header.gid())?,
        mtime: mtime(header, extensions)?,
        size,
        xattrs: extensions.xattrs()?,
    })
}

/// Bytes that follow the header, less the zeros that fill the last block. A size that cannot be is refused even where
/// nothing follows.
pub(super) fn stored_len(
    header: &Header<'_>,
    flag: TypeFlag,
    extensions: &Extensions,
) -> Result<u64, HeaderFault> {
    let size = match extensions.get("size") {
        Some(text) => decimal(text).map_err(|fault| header_fault("size", text, fault))?,
        None => header.size()?,
    };
    if i64::try_from(size).is_err() {
        return Err(HeaderFault::OutOfRange { field: "size", value: size.into() });
    }
    Ok(if flag.stores_data() { size } else { 0 })
}

fn kind(
    header: &Header<'_>,
    flag: TypeFlag,
    extensions: &Extensions,
    path: &[u8],
) -> Result<EntryKind, Fault> {
    Ok(match flag {
        TypeFlag::OldFile if path.ends_with(b"/") => EntryKind::Directory,
        TypeFlag::Directory | TypeFlag::DumpDirectory => EntryKind::Directory,
        TypeFlag::Hardlink => {
            let text = extensions.link()?.unwrap_or(header.link());
            let target = EntryPath::parse(text)
                .map_err(|fault| Fault::HardlinkTarget(Quoted::new(text), fault))?;
            if target.is_root() {
                return Err(HeaderFault::HardlinkToRoot.into());
            }
            EntryKind::Hardlink { target }
        }
        TypeFlag::Symlink => symlink(extensions.link()?.unwrap_or(header.link()))?,
        TypeFlag::CharDevice => {
            let (major, minor) = header.device()?;
            EntryKind::CharDevice { major, minor }
        }
        TypeFlag::BlockDevice => {
            let (major, minor) = header.device()?;
            EntryKind::BlockDevice { major, minor }
        }
        TypeFlag::Fifo => EntryKind::Fifo,
        TypeFlag::File
        | TypeFlag::OldFile
        | TypeFlag::OldSparse
        // The reader has taken these before it asks for an entry.
        | TypeFlag::PaxLocal
        | TypeFlag::PaxGlobal
        | TypeFlag::LongName
        | TypeFlag::LongLink
        | TypeFlag::VolumeLabel => EntryKind::File,
    })
}

/// A target is data, whatever it leads to; that it holds no NUL has been checked where it was read.
fn symlink(target: &[u8]) -> Result<EntryKind, HeaderFault> {
    match target.len() {
        0 => Err(HeaderFault::EmptySymlink),
        len if len > SYMLINK_LEN_MAX => Err(HeaderFault::LongSymlink { len }),
        _ => Ok(EntryKind::Symlink { target: target.into() }),
    }
}

/// An owner. The header's field is looked at only where no record overrides it: writers put anything there that fits.
fn id(
    field: &'static str,
    extensions: &Extensions,
    from_header: Result<u64, HeaderFault>,
) -> Result<u32, HeaderFault> {
    let value = match extensions.get(field) {
        Some(text) => decimal(text).map_err(|fault| header_fault(field, text, fault))?,
        None => from_header?,
    };
    match u32::try_from(value) {
        Ok(id) if value <= ID_MAX => Ok(id),
        _ => Err(HeaderFault::OutOfRange { field, value: value.into() }),
    }
}

fn mtime(header: &Header<'_>, extensions: &Extensions) -> Result<Timestamp, HeaderFault> {
    match extensions.get("mtime") {
        Some(text) => time(text).map_err(|fault| header_fault("mtime", text, fault)),
        None => Ok(Timestamp { secs: header.mtime()?, nanos: 0 }),
    }
}
