//! Owns the marks of overlayfs: the names of their attributes, the small values, escaping.
//!
//! 1. A mount takes marks from one namespace, as the kernel does. Attributes of the other namespace are ordinary ones:
//!    they are ignored as marks and shown to users.
//! 2. Marks are never shown. What a user sets under `overlay.` through the mount is stored one `overlay.` deeper and
//!    turned back when read, so that a union inside a union finds its own marks.
//! 3. What layerfs alone understands lies under `overlay.layerfs.`, which the kernel hides like its own.

/// The namespace of the overlay marks of one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkSpace {
    /// `trusted.overlay.*`: needs `CAP_SYS_ADMIN` in the first user namespace.
    Trusted,
    /// `user.overlay.*`: for everyone else, and for `-o userxattr`.
    User,
}

impl MarkSpace {
    /// What the names of this namespace begin with.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            MarkSpace::Trusted => b"trusted.overlay.",
            MarkSpace::User => b"user.overlay.",
        }
    }
}

/// A mark, as its attribute's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A directory hides what is below, or may hold whiteouts by attribute.
    Opaque,
    /// A directory's, or a metacopy file's, name in the layers below.
    Redirect,
    /// A file's data lies elsewhere.
    Metacopy,
    /// An empty file is a whiteout, where its directory says that it may hold such.
    Whiteout,
    /// Of a directory: a name that it hides in what lies below, as a whiteout does. Ours alone.
    Hides,
    /// The kernel's own origin: a file handle, which we neither read nor write.
    KernelOrigin,
    /// Which lower object this is a copy of: see [`super::Origin`].
    Origin,
}

impl Mark {
    /// The full name of the attribute.
    pub fn name(self, space: MarkSpace) -> Vec<u8> {
        let word: &[u8] = match self {
            Mark::Opaque => b"opaque",
            Mark::Redirect => b"redirect",
            Mark::Metacopy => b"metacopy",
            Mark::Whiteout => b"whiteout",
            Mark::Hides => b"layerfs.hides",
            Mark::KernelOrigin => b"origin",
            Mark::Origin => b"layerfs.origin",
        };
        [space.prefix(), word].concat()
    }
}

/// What stands between the prefix and the name of an escaped attribute.
const ESCAPE: &[u8] = b"overlay.";

/// Whether a stored attribute is a mark of this namespace, which no user sees: escaped ones are not.
pub fn is_private(space: MarkSpace, stored: &[u8]) -> bool {
    stored.strip_prefix(space.prefix()).is_some_and(|rest| !rest.starts_with(ESCAPE))
}

/// Whether a stored attribute is a mark that says how layers are merged, or one of ours. The kernel has others, which say
/// nothing of that.
pub fn merges(space: MarkSpace, stored: &[u8]) -> bool {
    let said = [Mark::Opaque, Mark::Redirect, Mark::Metacopy, Mark::Whiteout];
    said.into_iter().any(|mark| mark.name(space) == stored)
        || stored.strip_prefix(space.prefix()).is_some_and(|rest| rest.starts_with(b"layerfs."))
}

/// The name under which an attribute is stored that a user calls `shown`.
pub fn escape(space: MarkSpace, shown: &[u8]) -> Vec<u8> {
    match shown.strip_prefix(space.prefix()) {
        Some(rest) => [space.prefix(), ESCAPE, rest].concat(),
        None => shown.to_vec(),
    }
}

/// Whether no attribute can have this name: the one under which it would be stored is longer than the kernel takes.
pub fn is_too_long(space: MarkSpace, shown: &[u8]) -> bool {
    const NAME_BYTES_MAX: usize = 255;
    shown.starts_with(space.prefix()) && shown.len() + ESCAPE.len() > NAME_BYTES_MAX
}

/// The name by which users see a stored attribute; `None` for a mark.
pub fn unescape(space: MarkSpace, stored: &[u8]) -> Option<Vec<u8>> {
    let Some(rest) = stored.strip_prefix(space.prefix()) else { return Some(stored.to_vec()) };
    rest.strip_prefix(ESCAPE).map(|name| [space.prefix(), name].concat())
}

/// Whether an attribute is a mark, escaped or not, of either namespace: what an image's archive may hold, and what no
/// layer may take from it.
pub fn is_overlay(stored: &[u8]) -> bool {
    stored.starts_with(MarkSpace::Trusted.prefix()) || stored.starts_with(MarkSpace::User.prefix())
}

/// Why an `opaque` mark can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opaque mark of {len} bytes is neither `x` nor `y`")]
pub struct OpaqueFault {
    /// Bytes of the value.
    pub len: usize,
}

/// What the `opaque` mark says of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// Layers below are merged into it.
    No,
    /// It hides what is below.
    Hides,
    /// Layers below are merged, and empty files in it that have the `whiteout` mark are whiteouts.
    MayHoldWhiteouts,
}

impl Opaque {
    /// Reads the mark's value. No union writes others; to the kernel they say nothing, but a mark that is damaged may have
    /// hidden what would be shown then.
    pub fn parse(value: &[u8]) -> Result<Opaque, OpaqueFault> {
        match value {
            b"y" => Ok(Opaque::Hides),
            b"x" => Ok(Opaque::MayHoldWhiteouts),
            _ => Err(OpaqueFault { len: value.len() }),
        }
    }

    /// The value to store; `None` for no mark.
    pub fn value(self) -> Option<&'static [u8]> {
        match self {
            Opaque::No => None,
            Opaque::Hides => Some(b"y"),
            Opaque::MayHoldWhiteouts => Some(b"x"),
        }
    }
}

/// What the `metacopy` mark says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metacopy {
    /// All data lies in a layer below, where a redirect or the file's own name leads; the kernel's meaning.
    Below,
    /// No block was written yet: all data is that of the lower file that the origin names. Ours alone: the kernel refuses to
    /// open such a file, because no value of its own has one byte.
    Unwritten,
    /// Some blocks are here, and the rest of the data is below. The same.
    Partial(Blocks),
}

/// Which data of a partial file is its own: what it has as data. Its holes are the lower's up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// So many bytes from the start may lie below.
    pub below: u64,
    /// Which file it is: a copy made by others need not have its holes where this has them.
    pub own: u64,
}

impl Blocks {
    /// What tells a file from its copies: its number, and when it was made where the file system knows.
    pub fn own(ino: u64, birth: Option<(i64, u32)>) -> u64 {
        birth.map_or(ino, |(secs, nanos)| {
            ino ^ secs.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(nanos.into())
        })
    }
}

/// Why a `metacopy` mark can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metacopy mark of {len} bytes is in no known form")]
pub struct MetacopyFault {
    /// Bytes of the value.
    pub len: usize,
}

impl Metacopy {
    const UNWRITTEN: &'static [u8] = &[1];
    const PARTIAL: u8 = 3;

    /// Reads the mark's value: empty, or the kernel's form of four bytes (version 0, length, flags 0, digest
    /// algorithm) and a digest, or one of ours.
    pub fn parse(value: &[u8]) -> Result<Metacopy, MetacopyFault> {
        match value {
            [] => Ok(Metacopy::Below),
            _ if value == Metacopy::UNWRITTEN => Ok(Metacopy::Unwritten),
            [Metacopy::PARTIAL, below @ .., _, _, _, _, _, _, _, _] if below.len() == 8 => {
                let number = |at: usize| {
                    value[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
                };
                Ok(Metacopy::Partial(Blocks { below: number(1), own: number(9) }))
            }
            [0, len, 0, _, ..] if usize::from(*len) == value.len() => Ok(Metacopy::Below),
            _ => Err(MetacopyFault { len: value.len() }),
        }
    }

    /// The value to store.
    pub fn value(self) -> Vec<u8> {
        match self {
            Metacopy::Below => Vec::new(),
            Metacopy::Unwritten => Metacopy::UNWRITTEN.to_vec(),
            Metacopy::Partial(Blocks { below, own }) => {
                let head = [Metacopy::PARTIAL].into_iter();
                head.chain(below.to_le_bytes()).chain(own.to_le_bytes()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_private_and_escaped_ones_are_not() {
        let space = MarkSpace::Trusted;
        assert!(is_private(space, b"trusted.overlay.opaque"));
        assert!(is_private(space, b"trusted.overlay.layerfs.origin"));
        assert!(!is_private(space, b"trusted.overlay.overlay.opaque"));
        assert!(!is_private(space, b"user.overlay.opaque"), "the other namespace is ordinary");
        assert!(!is_private(space, b"trusted.overlayopaque"));
        for (name, says) in
            [("opaque", true), ("layerfs.origin", true), ("uuid", false), ("overlay.opaque", false)]
        {
            let stored = [space.prefix(), name.as_bytes()].concat();
            assert_eq!(merges(space, &stored), says, "{name}");
            assert!(!merges(MarkSpace::User, &stored), "{name}");
        }
        assert!(is_private(MarkSpace::User, b"user.overlay.redirect"));
    }

    #[test]
    fn escaping_goes_both_ways_to_any_depth() {
        for space in [MarkSpace::Trusted, MarkSpace::User] {
            let mut name = Mark::Opaque.name(space);
            for _ in 0..3 {
                let stored = escape(space, &name);
                assert_eq!(unescape(space, &stored).as_deref(), Some(&name[..]));
                assert!(!is_private(space, &stored));
                name = stored;
            }
        }
        let stored = escape(MarkSpace::Trusted, b"trusted.overlay.opaque");
        assert_eq!(stored, b"trusted.overlay.overlay.opaque");
        assert_eq!(unescape(MarkSpace::Trusted, b"trusted.overlay.opaque"), None);
        let long = |len: usize| [MarkSpace::User.prefix(), &vec![b'x'; len - 13]].concat();
        assert!(
            is_too_long(MarkSpace::User, &long(248)) && !is_too_long(MarkSpace::User, &long(247))
        );
        assert!(!is_too_long(MarkSpace::Trusted, &long(255)));
        assert_eq!(escape(MarkSpace::Trusted, b"user.overlay.opaque"), b"user.overlay.opaque");
    }

    #[test]
    fn a_file_of_the_same_number_is_another_one_where_it_was_made_at_another_time() {
        assert_eq!(Blocks::own(7, None), 7);
        let at = |secs, nanos| Blocks::own(7, Some((secs, nanos)));
        assert_eq!(at(1, 5), 7 ^ 1_000_000_005);
        assert_ne!(at(1_700_000_000, 5), at(1_700_000_000, 6));
        assert_ne!(at(-1, 0), at(1, 0));
    }

    #[test]
    fn values_have_the_forms_of_the_kernel() {
        assert_eq!(Opaque::parse(b"y"), Ok(Opaque::Hides));
        assert_eq!(Opaque::parse(b"x"), Ok(Opaque::MayHoldWhiteouts));
        for other in [&b""[..], b"n", b"yy", b"Y"] {
            assert_eq!(Opaque::parse(other), Err(OpaqueFault { len: other.len() }));
        }
        assert_eq!(Metacopy::parse(b""), Ok(Metacopy::Below));
        assert_eq!(Metacopy::parse(&[0, 4, 0, 0]), Ok(Metacopy::Below));
        let mut digest = vec![0, 36, 0, 1];
        digest.resize(36, 7);
        assert_eq!(Metacopy::parse(&digest), Ok(Metacopy::Below));
        let partial = Metacopy::Partial(Blocks { below: 0x0102_0304, own: u64::MAX - 1 });
        for ours in [Metacopy::Unwritten, partial] {
            let value = ours.value();
            assert!(
                value.len() == 1 || value[0] != 0,
                "the kernel has version 0, and none of one byte"
            );
            assert_eq!(Metacopy::parse(&value), Ok(ours));
        }
        for bad in [
            &[0][..],
            &[2],
            &[3],
            &[3; 16],
            &[3; 18],
            &[2; 17],
            &[1, 1],
            &[0, 3, 0],
            &[1, 4, 0, 0],
            &[0, 5, 0, 0],
            &[0, 4, 1, 0],
        ] {
            assert_eq!(Metacopy::parse(bad), Err(MetacopyFault { len: bad.len() }), "{bad:?}");
        }
    }
}
