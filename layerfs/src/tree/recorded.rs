//! Owns the form in which owner, permissions and type of an object are recorded in an attribute, where the object itself
//! can't have them: `user.containers.override_stat`, as fuse-overlayfs and containers/storage read and write it.
//!
//! The value is `UID:GID:MODE:TYPE`, numbers decimal but the octal mode; the type is `file`, `dir`, `symlink`, `pipe`,
//! `socket`, `char-MAJOR-MINOR` or `block-MAJOR-MINOR`. Older writers leave the type out, and some write its bits into the
//! mode. What is no directory and can't carry attributes of users is kept as a file: a symbolic link's target is its
//! contents.

use super::attr::{Attr, Kind};

/// The attribute.
pub const RECORD: &[u8] = b"user.containers.override_stat";

/// What stands before the name of an attribute of a user's that would be taken for the record.
const ESCAPE: &[u8] = b"user.containers.override_";

/// What an object is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Permission, set-id and sticky bits.
    pub permissions: u32,
    /// Type, and of devices what they stand for; `None` where only the object says it.
    pub kind: Option<(Kind, (u32, u32))>,
}

/// Whether a mount knows records. Who owns a layer's files can write any, so that root of the machine takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// It takes none, and makes none.
    Never,
    /// It takes those of layers that have them.
    OfLayers,
    /// The upper gets them, too.
    Always,
}

/// A record that is in no known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recorded owner and mode of {len} bytes are in no known form")]
pub struct RecordFault {
    /// Bytes of the value.
    pub len: usize,
}

impl Recorded {
    /// The record that says of an object what these attributes say.
    pub fn of(attr: &Attr) -> Recorded {
        let &Attr { uid, gid, permissions, kind, rdev, .. } = attr;
        Recorded { uid, gid, permissions, kind: Some((kind, rdev)) }
    }

    /// The attribute's value.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            None => String::new(),
            Some((Kind::File, _)) => ":file".into(),
            Some((Kind::Directory, _)) => ":dir".into(),
            Some((Kind::Symlink, _)) => ":symlink".into(),
            Some((Kind::Fifo, _)) => ":pipe".into(),
            Some((Kind::Socket, _)) => ":socket".into(),
            Some((Kind::CharDevice, (major, minor))) => format!(":char-{major}-{minor}"),
            Some((Kind::BlockDevice, (major, minor))) => format!(":block-{major}-{minor}"),
        };
        format!("{}:{}:{:04o}{kind}", self.uid, self.gid, self.permissions).into_bytes()
    }

    /// Reads the attribute's value.
    pub fn decode(value: &[u8]) -> Result<Recorded, RecordFault> {
        let read = || {
            let mut words = std::str::from_utf8(value).ok()?.split(':');
            let (uid, gid) = (id_of(words.next()?)?, id_of(words.next()?)?);
            let mode =
                u32::from_str_radix(words.next()?, 8).ok().filter(|mode| *mode <= 0o177_777)?;
            let of_mode = Kind::from_mode(mode).map(|kind| (kind, (0, 0)));
            let kind = match words.next() {
                // A device's numbers would be missing.
                None => of_mode.filter(|(kind, _)| !is_device(*kind)),
                Some(word) => Some(kind_of(word)?),
            };
            let is_whole = words.next().is_none() && (mode & 0o170_000 == 0 || of_mode.is_some());
            is_whole.then_some(Recorded { uid, gid, permissions: mode & 0o7777, kind })
        };
        read().ok_or(RecordFault { len: value.len() })
    }

    /// What an object is that has this record: a directory stays one, and nothing else becomes one.
    pub fn apply(&self, attr: &mut Attr) {
        (attr.uid, attr.gid, attr.permissions) = (self.uid, self.gid, self.permissions);
        if let (Some((kind, rdev)), Kind::File) = (self.kind, attr.kind)
            && kind != Kind::Directory
        {
            (attr.kind, attr.rdev) = (kind, rdev);
            if !matches!(kind, Kind::File | Kind::Symlink) {
                (attr.size, attr.blocks) = (0, 0);
            }
        }
    }
}

/// The last number is none: to chown(2) it says that the owner stays.
fn id_of(word: &str) -> Option<u32> {
    word.parse().ok().filter(|id| *id != u32::MAX)
}

fn is_device(kind: Kind) -> bool {
    matches!(kind, Kind::CharDevice | Kind::BlockDevice)
}

fn kind_of(word: &str) -> Option<(Kind, (u32, u32))> {
    let mut words = word.split('-');
    let kind = match words.next()? {
        "file" => Kind::File,
        "dir" => Kind::Directory,
        "symlink" => Kind::Symlink,
        "pipe" => Kind::Fifo,
        "socket" => Kind::Socket,
        "char" => Kind::CharDevice,
        "block" => Kind::BlockDevice,
        _ => return None,
    };
    let rdev = match is_device(kind) {
        true => (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        false => (0, 0),
    };
    words.next().is_none().then_some((kind, rdev))
}

/// Whether a name is the record's, escaped any number of times.
fn is_of_record(mut name: &[u8]) -> bool {
    while name != RECORD {
        let Some(rest) = name.strip_prefix(ESCAPE) else { return false };
        name = rest;
    }
    true
}

/// The name under which an attribute is stored that a user calls `shown`.
pub fn escape(shown: Vec<u8>) -> Vec<u8> {
    if is_of_record(&shown) { [ESCAPE, &shown].concat() } else { shown }
}

/// The name by which users see a stored attribute; `None` for the record.
pub fn unescape(stored: Vec<u8>) -> Option<Vec<u8>> {
    match stored.strip_prefix(ESCAPE) {
        _ if stored == RECORD => None,
        Some(rest) if is_of_record(rest) => Some(rest.to_vec()),
        _ => Some(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Option<(Kind, (u32, u32))>) -> Recorded {
        Recorded { uid: 7, gid: 4_000_000_000, permissions: 0o4755, kind }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let rows = [
            (None, ""),
            (Some((Kind::File, (0, 0))), ":file"),
            (Some((Kind::Directory, (0, 0))), ":dir"),
            (Some((Kind::Symlink, (0, 0))), ":symlink"),
            (Some((Kind::Fifo, (0, 0))), ":pipe"),
            (Some((Kind::Socket, (0, 0))), ":socket"),
            (Some((Kind::CharDevice, (1, 3))), ":char-1-3"),
            (Some((Kind::BlockDevice, (259, 70_000))), ":block-259-70000"),
        ];
        for (kind, word) in rows {
            let value = record(kind).encode();
            assert_eq!(String::from_utf8_lossy(&value), format!("7:4000000000:4755{word}"));
            assert_eq!(Recorded::decode(&value), Ok(record(kind)));
        }
    }

    #[test]
    fn records_of_others_are_read() {
        let plain = Recorded { uid: 0, gid: 0, permissions: 0o555, kind: None };
        assert_eq!(Recorded::decode(b"0:0:0555"), Ok(plain));
        assert_eq!(Recorded::decode(b"0:0:555"), Ok(plain));
        let with_type = Recorded { kind: Some((Kind::File, (0, 0))), ..plain };
        assert_eq!(Recorded::decode(b"0:0:0100555"), Ok(with_type));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let bad: [&[u8]; 16] = [
            b"4294967295:0:0644",
            b"0:4294967295:0644:file",
            b"",
            b"0",
            b"0:0",
            b"0:0:",
            b"0:0:9",
            b"0:0:0644:",
            b"0:0:0644:door",
            b"0:0:0644:char",
            b"0:0:0644:char-1",
            b"0:0:0644:char-1-2-3",
            b"0:0:0644:file:x",
            b"-1:0:0644",
            b"0:0:0644:file\n",
            b"0:0:0130000",
        ];
        for value in bad {
            let fault = RecordFault { len: value.len() };
            assert_eq!(Recorded::decode(value), Err(fault), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn the_record_is_hidden_and_names_like_it_go_both_ways() {
        assert_eq!(unescape(RECORD.to_vec()), None);
        let mut name = RECORD.to_vec();
        for _ in 0..3 {
            let stored = escape(name.clone());
            assert_eq!(unescape(stored.clone()), Some(name));
            name = stored;
        }
        for plain in [&b"user.x"[..], b"user.containers.override_", b"user.containers.override_x"] {
            assert_eq!(escape(plain.to_vec()), plain);
            assert_eq!(unescape(plain.to_vec()).as_deref(), Some(plain));
        }
    }
}
