//! The members of an archive by name: where their bytes lie, and where links lead.

use std::collections::HashMap;
use std::io::{Read, Seek};

use crate::store::archive::{ArchiveReader, Entry, EntryKind, EntryPath};
use crate::store::oci::shown;

use super::error::SourceFault;

/// Members of one image archive.
pub(super) const MEMBERS_MAX: usize = 1_000_000;
/// Bytes of all their names and link targets together.
const NAMES_LEN_MAX: usize = 32 << 20;
/// Links in a row from a name to its bytes.
const LINKS_MAX: usize = 8;

/// The members of an archive that can be read: files and links. Of several members of one name the last counts.
#[derive(Default)]
pub(super) struct Members {
    by_name: HashMap<Box<[u8]>, Member>,
    names_len: usize,
}

enum Member {
    File {
        offset: u64,
        size_bytes: u64,
    },
    /// A file with holes, whose bytes do not lie in one piece.
    Sparse,
    /// A link, with its target counted from the archive's root; `None` leads out of the archive.
    Link(Option<Box<[u8]>>),
}

impl Members {
    /// Reads the headers of an archive from its start and passes over the data.
    pub(super) fn scan(file: impl Read + Seek) -> Result<Self, SourceFault> {
        let mut reader = ArchiveReader::seekable(file);
        let mut members = Members::default();
        for _ in 0..=MEMBERS_MAX {
            let Some(entry) = reader.next_entry().map_err(SourceFault::ScanArchive)? else {
                return Ok(members);
            };
            let name = joined(&entry.path);
            if entry.kind != EntryKind::File {
                members.add_link(name, &entry)?;
                continue;
            }
            let window = Member::File { offset: reader.data_position(), size_bytes: entry.size };
            members.add(name, if reader.has_holes() { Member::Sparse } else { window })?;
        }
        Err(SourceFault::CountMembers)
    }

    /// Offset and size of a member's bytes, through links; `None` where there is no such member.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<(u64, u64)>, SourceFault> {
        let lost = || SourceFault::FollowLink(shown(&String::from_utf8_lossy(name)));
        let Some(mut current) = below(&[], name) else { return Ok(None) };
        for followed in 0..=LINKS_MAX {
            match self.by_name.get(current.as_slice()) {
                None if followed == 0 => return Ok(None),
                None | Some(Member::Link(None)) => return Err(lost()),
                Some(Member::Sparse) => {
                    return Err(SourceFault::ReadSparse(shown(&String::from_utf8_lossy(name))));
                }
                Some(Member::File { offset, size_bytes }) => {
                    return Ok(Some((*offset, *size_bytes)));
                }
                Some(Member::Link(Some(target))) => current = target.to_vec(),
            }
        }
        Err(lost())
    }

    /// Whether there is a member of that name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.by_name.contains_key(name.as_bytes())
    }

    fn add_link(&mut self, name: Box<[u8]>, entry: &Entry) -> Result<(), SourceFault> {
        let target = match &entry.kind {
            EntryKind::Symlink { target } => {
                let parent =
                    name.iter().rposition(|&byte| byte == b'/').map_or(&[][..], |at| &name[..at]);
                below(parent, target).map(Vec::into_boxed_slice)
            }
            EntryKind::Hardlink { target } => Some(joined(target)),
            _ => return Ok(()),
        };
        self.add(name, Member::Link(target))
    }

    fn add(&mut self, name: Box<[u8]>, member: Member) -> Result<(), SourceFault> {
        self.names_len += name.len();
        if let Member::Link(Some(target)) = &member {
            self.names_len += target.len();
        }
        if self.names_len > NAMES_LEN_MAX {
            return Err(SourceFault::CountMembers);
        }
        self.by_name.insert(name, member);
        Ok(())
    }
}

/// The components of a path with slashes between.
fn joined(path: &EntryPath) -> Box<[u8]> {
    let names: Vec<&[u8]> = path.components().iter().map(|name| name.as_bytes()).collect();
    names.join(&b'/').into_boxed_slice()
}

/// Where `path` leads from the directory `parent`, by its words alone; `None` above the root. An absolute one starts
/// at the root.
fn below(parent: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let start = if path.starts_with(b"/") { &[][..] } else { parent };
    let mut parts: Vec<&[u8]> =
        start.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_bounded_in_all() {
        let mut members = Members::default();
        let long = |byte: u8| vec![byte; NAMES_LEN_MAX / 4].into_boxed_slice();
        for byte in b"ab" {
            members.add(long(*byte), Member::Link(Some(long(*byte)))).unwrap();
        }
        assert!(matches!(members.add(long(b'c'), Member::Sparse), Err(SourceFault::CountMembers)));
    }

    #[test]
    fn link_targets_resolve_by_words_and_never_above_the_root() {
        type Row<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);
        let table: &[Row<'_>] = &[
            (b"a/b", b"../c/layer.tar", Some(b"a/c/layer.tar")),
            (b"a", b"../x.tar", Some(b"x.tar")),
            (b"a", b"/x", Some(b"x")),
            (b"", b"./x//y/", Some(b"x/y")),
            (b"a", b"../../x", None),
        ];
        for (parent, path, want) in table {
            assert_eq!(below(parent, path).as_deref(), *want);
        }
    }
}
