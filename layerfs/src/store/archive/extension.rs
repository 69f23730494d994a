//! Owns the extended headers in force: pax `g` until overridden, pax `x` and GNU `L` and `K` for one entry.

use super::entry::Xattr;
use super::escape::Quoted;
use super::record::{RecordFault, Records};
use super::sparse::Segment;
use std::collections::BTreeMap;

/// Bytes of one extended header. Real ones have a few hundred; attributes are bounded by the kernel at 64 KiB each.
pub(super) const EXTENSION_LEN_MAX: u64 = 1 << 20;
/// Bytes that all global headers may make us remember: an archive may hold any number of them, and every entry after
/// them pays for reading what they say.
const GLOBAL_LEN_MAX: usize = 128 << 10;
/// Bytes charged per remembered record, beside its own.
const RECORD_COST: usize = 64;
/// The kernel's bound on an attribute's name (`XATTR_NAME_MAX`).
const XATTR_NAME_LEN_MAX: usize = 255;
/// The kernel's bound on an attribute's value (`XATTR_SIZE_MAX`).
const XATTR_VALUE_LEN_MAX: usize = 1 << 16;
/// The kernel's bound on a file's list of names, each with a NUL (`XATTR_LIST_MAX`).
const XATTR_LIST_LEN_MAX: usize = 1 << 16;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What can be wrong with an extended header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionFault {
    /// It claims more than 1 MiB.
    #[error("extended header claims {len} bytes, more than 1 MiB")]
    TooLong {
        /// The claim.
        len: u64,
    },
    /// Global headers add up to more than can be remembered.
    #[error("global headers hold more than 128 KiB")]
    GlobalTooLong,
    /// A record is malformed.
    #[error("{0}")]
    Record(RecordFault),
    /// A second header of one kind for one entry; readers differ on which holds.
    #[error("two {0} headers for one entry")]
    Repeated(&'static str),
    /// A GNU long name and a pax record for the same thing; readers differ on which holds.
    #[error("both a GNU long name and a pax {0} for one entry")]
    Contradiction(&'static str),
    /// A path or link target with a NUL byte.
    #[error("pax {0} holds a NUL byte")]
    NulByte(&'static str),
    /// A long name without a name.
    #[error("GNU long name is empty")]
    EmptyLongName,
    /// A global header that gives the size of one file; readers differ on what that means.
    #[error("global header sets {key}")]
    GlobalSize {
        /// The key.
        key: Quoted,
    },
    /// An attribute whose name no kernel takes.
    #[error(
        "name of extended attribute {name} is empty, longer than 255 bytes, or holds a NUL byte"
    )]
    XattrName {
        /// The name.
        name: Quoted,
    },
    /// An attribute whose value no kernel takes.
    #[error("extended attribute {name} is {len} bytes long, more than 64 KiB")]
    XattrValue {
        /// The name.
        name: Quoted,
        /// Bytes of the value.
        len: usize,
    },
    /// More attributes than a kernel lists.
    #[error("names of extended attributes are longer than 64 KiB together")]
    XattrList,
    /// `GNU.sparse.offset` and `GNU.sparse.numbytes` that do not alternate, or are no numbers.
    #[error("pax record {key} is out of place or not a number: {value}")]
    SparsePair {
        /// The key.
        key: Quoted,
        /// The value.
        value: Quoted,
    },
}

impl From<RecordFault> for ExtensionFault {
    fn from(fault: RecordFault) -> ExtensionFault {
        ExtensionFault::Record(fault)
    }
}

/// Keys that only one entry can have.
fn is_size_key(key: &[u8]) -> bool {
    key == b"size" || key.starts_with(b"GNU.sparse.")
}

/// Keys that are remembered; all others (`atime`, `hdrcharset`, `LIBARCHIVE.*`, comments) are passed over.
fn is_honoured(key: &[u8]) -> bool {
    const KEYS: [&[u8]; 13] = [
        b"path",
        b"linkpath",
        b"size",
        b"uid",
        b"gid",
        b"mtime",
        b"GNU.sparse.major",
        b"GNU.sparse.minor",
        b"GNU.sparse.name",
        b"GNU.sparse.size",
        b"GNU.sparse.realsize",
        b"GNU.sparse.map",
        b"GNU.sparse.numblocks",
    ];
    KEYS.contains(&key) || key.starts_with(XATTR_PREFIX)
}

type Values = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The extended headers in force.
#[derive(Default)]
pub(super) struct Extensions {
    global: Values,
    local: Option<Values>,
    /// The map of sparse format 0.0, whose records repeat their keys.
    pairs: Vec<Segment>,
    long_name: Option<Box<[u8]>>,
    long_link: Option<Box<[u8]>>,
}

impl Extensions {
    /// Takes a global header over what earlier ones said. An empty value takes a key back.
    pub(super) fn add_global(&mut self, bytes: &[u8]) -> Result<(), ExtensionFault> {
        let mut list = XattrList::default();
        for record in Records::new(bytes) {
            let (key, value) = record?;
            check_value(key, value)?;
            list.add(key)?;
            if is_size_key(key) {
                return Err(ExtensionFault::GlobalSize { key: Quoted::new(key) });
            }
            if value.is_empty() {
                self.global.remove(key);
            } else if is_honoured(key) {
                self.global.insert(key.into(), value.into());
            }
        }
        let cost: usize = self.global.iter().map(|(k, v)| k.len() + v.len() + RECORD_COST).sum();
        if cost > GLOBAL_LEN_MAX { Err(ExtensionFault::GlobalTooLong) } else { Ok(()) }
    }

    /// Takes the extended header of the next entry.
    pub(super) fn set_local(&mut self, bytes: &[u8]) -> Result<(), ExtensionFault> {
        if self.local.is_some() {
            return Err(ExtensionFault::Repeated("pax extended"));
        }
        let mut local = Values::new();
        let mut pairs = PairList::default();
        let mut list = XattrList::default();
        for record in Records::new(bytes) {
            let (key, value) = record?;
            check_value(key, value)?;
            list.add(key)?;
            if !pairs.take(key, value)? && is_honoured(key) {
                local.insert(key.into(), value.into());
            }
        }
        self.pairs = pairs.finish()?;
        self.local = Some(local);
        Ok(())
    }

    pub(super) fn set_long_name(&mut self, bytes: &[u8]) -> Result<(), ExtensionFault> {
        set_long(&mut self.long_name, bytes, "GNU long name")
    }

    pub(super) fn set_long_link(&mut self, bytes: &[u8]) -> Result<(), ExtensionFault> {
        set_long(&mut self.long_link, bytes, "GNU long link")
    }

    /// Forgets what was said for one entry.
    pub(super) fn end_entry(&mut self) {
        *self = Extensions { global: std::mem::take(&mut self.global), ..Extensions::default() };
    }

    /// Whether a header spoke of an entry that has not come yet.
    pub(super) fn awaits_entry(&self) -> bool {
        self.local.is_some() || self.long_name.is_some() || self.long_link.is_some()
    }

    /// The value in force for a key; an empty value in the entry's own header takes a global one back.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let own = self.local(key);
        let value = own.or_else(|| self.global.get(key.as_bytes()).map(|v| &**v));
        value.filter(|v| !v.is_empty())
    }

    /// The entry's path, where a header gives one. `GNU.sparse.name` is the real name of a file whose `path` was made
    /// up for readers that do not know sparse files.
    pub(super) fn path(&self) -> Result<Option<&[u8]>, ExtensionFault> {
        match self.get("GNU.sparse.name") {
            Some(name) => Ok(Some(name)),
            None => self.long_or_record(self.long_name.as_deref(), "path"),
        }
    }

    /// The link target, where a header gives one.
    pub(super) fn link(&self) -> Result<Option<&[u8]>, ExtensionFault> {
        self.long_or_record(self.long_link.as_deref(), "linkpath")
    }

    /// The map of sparse format 0.0, when the entry's header holds one.
    pub(super) fn take_pairs(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.pairs)
    }

    /// Attributes in force, sorted by name. An empty value takes a global attribute back; where there is none to take
    /// back it is an attribute without bytes, which GNU tar and Go write in just this way.
    pub(super) fn xattrs(&self) -> Result<Vec<Xattr>, ExtensionFault> {
        let none = Values::new();
        let local = self.local.as_ref().unwrap_or(&none);
        let mut merged: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for (key, value) in &self.global {
            merged.insert(key, value);
        }
        for (key, value) in local {
            if value.is_empty() && self.global.contains_key(key) {
                merged.remove(&**key);
            } else {
                merged.insert(key, value);
            }
        }
        let mut list = XattrList::default();
        let mut xattrs = Vec::new();
        for (key, value) in merged {
            let Some(name) = key.strip_prefix(XATTR_PREFIX) else { continue };
            list.add(key)?;
            xattrs.push(Xattr { name: name.into(), value: value.into() });
        }
        Ok(xattrs)
    }

    fn local(&self, key: &str) -> Option<&[u8]> {
        self.local.as_ref()?.get(key.as_bytes()).map(|v| &**v)
    }

    fn long_or_record<'a>(
        &'a self,
        long: Option<&'a [u8]>,
        key: &'static str,
    ) -> Result<Option<&'a [u8]>, ExtensionFault> {
        match long {
            Some(_) if self.local(key).is_some_and(|v| !v.is_empty()) => {
                Err(ExtensionFault::Contradiction(key))
            }
            Some(long) => Ok(Some(long)),
            None => Ok(self.get(key)),
        }
    }
}

/// Reads a C string out of a GNU long name, as all readers do: what follows its NUL is not looked at.
fn set_long(
    slot: &mut Option<Box<[u8]>>,
    bytes: &[u8],
    what: &'static str,
) -> Result<(), ExtensionFault> {
    if slot.is_some() {
        return Err(ExtensionFault::Repeated(what));
    }
    match bytes.split(|&b| b == 0).next() {
        None | Some(b"") => Err(ExtensionFault::EmptyLongName),
        Some(name) => {
            *slot = Some(name.into());
            Ok(())
        }
    }
}

fn check_value(key: &[u8], value: &[u8]) -> Result<(), ExtensionFault> {
    match key {
        b"path" if value.contains(&0) => return Err(ExtensionFault::NulByte("path")),
        b"linkpath" if value.contains(&0) => return Err(ExtensionFault::NulByte("linkpath")),
        b"GNU.sparse.name" if value.contains(&0) => {
            return Err(ExtensionFault::NulByte("GNU.sparse.name"));
        }
        _ => {}
    }
    let Some(name) = key.strip_prefix(XATTR_PREFIX) else { return Ok(()) };
    // The record reader has refused a NUL in the key already.
    if name.is_empty() || name.len() > XATTR_NAME_LEN_MAX {
        return Err(ExtensionFault::XattrName { name: Quoted::new(name) });
    }
    if value.len() > XATTR_VALUE_LEN_MAX {
        let name = Quoted::new(name);
        return Err(ExtensionFault::XattrValue { name, len: value.len() });
    }
    Ok(())
}

/// Adds up names of attributes as they come, so that a header of tiny records cannot make us build a huge list.
#[derive(Default)]
struct XattrList {
    len: usize,
}

impl XattrList {
    fn add(&mut self, key: &[u8]) -> Result<(), ExtensionFault> {
        if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
            self.len += name.len() + 1;
        }
        if self.len > XATTR_LIST_LEN_MAX { Err(ExtensionFault::XattrList) } else { Ok(()) }
    }
}

/// Collects the repeated records of sparse format 0.0, an offset and then a length.
#[derive(Default)]
struct PairList {
    offset: Option<u64>,
    segments: Vec<Segment>,
}

impl PairList {
    /// Whether the record belongs to the map.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<bool, ExtensionFault> {
        let is_offset = match key {
            b"GNU.sparse.offset" => true,
            b"GNU.sparse.numbytes" => false,
            _ => return Ok(false),
        };
        let out_of_place =
            || ExtensionFault::SparsePair { key: Quoted::new(key), value: Quoted::new(value) };
        let number = super::number::decimal(value).map_err(|_| out_of_place())?;
        match (is_offset, self.offset.take()) {
            (true, None) => self.offset = Some(number),
            (false, Some(offset)) => self.segments.push(Segment { offset, len: number }),
            (true, Some(_)) | (false, None) => return Err(out_of_place()),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Vec<Segment>, ExtensionFault> {
        match self.offset {
            None => Ok(self.segments),
            Some(offset) => Err(ExtensionFault::SparsePair {
                key: Quoted::new(b"GNU.sparse.offset"),
                value: Quoted::new(offset.to_string().as_bytes()),
            }),
        }
    }
}
