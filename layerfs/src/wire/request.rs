//! What the kernel asks: a request as it was read, taken apart and checked against its length.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::form::{self, InHeader, opcode};

/// Who asks, and of which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By which the answer is told from others.
    pub unique: u64,
    /// The node.
    pub node: u64,
    /// User of the caller, as the mount's user namespace has it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its thread; 0 where it is not known.
    pub pid: u32,
}

impl Asked {
    pub(super) fn by(header: &InHeader) -> Self {
        let InHeader { unique, node, uid, gid, pid, .. } = *header;
        Asked { unique, node, uid, gid, pid }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        lookups: u64,
    },
    ForgetMany(&'a [form::ForgetOne]),
    Attr,
    SetAttr(&'a form::SetAttrIn),
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MakeNode {
        name: &'a [u8],
        mode: u32,
        rdev: u32,
        umask: u32,
    },
    MakeDir {
        name: &'a [u8],
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    RemoveDir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        to: u64,
        to_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: u64,
        name: &'a [u8],
    },
    Open {
        flags: i32,
        /// It empties the file, and takes set-id bits away.
        strips: bool,
    },
    Create {
        name: &'a [u8],
        flags: i32,
        mode: u32,
        umask: u32,
    },
    /// A file without a name, in the way of a directory.
    CreateNameless {
        flags: i32,
        mode: u32,
        umask: u32,
    },
    Read {
        handle: u64,
        offset: u64,
        size: u32,
    },
    Write {
        handle: u64,
        offset: u64,
        data: &'a [u8],
        /// The write takes set-id bits away, and the kernel has not asked for that before.
        strips: bool,
        /// Who made it by a mapping has gone on: less than all of it is an error, and nobody would look.
        is_late: bool,
    },
    StatFs,
    Release {
        handle: u64,
    },
    Sync {
        handle: u64,
    },
    OpenDir,
    ReadDir {
        offset: u64,
        size: u32,
    },
    ReadDirPlus {
        offset: u64,
        size: u32,
    },
    ReleaseDir,
    SyncDir,
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    Xattr {
        name: &'a [u8],
        size: u32,
    },
    XattrNames {
        size: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    Allocate {
        handle: u64,
        offset: u64,
        len: u64,
        mode: u32,
    },
    Seek {
        handle: u64,
        offset: u64,
        whence: u32,
    },
    /// It takes back another request, and may be ignored.
    Interrupt,
    /// What nobody here knows; the kernel does without.
    Unknown,
}

/// A request that does not have what its operation brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request of operation {opcode} that is {len} bytes long has not what belongs to it")]
pub struct Malformed {
    /// The operation, by the kernel's number.
    pub opcode: u32,
    /// Bytes that were read.
    pub len: usize,
}

/// Takes a request apart. `bytes` starts where 8-byte words start, as its buffer does. `Err` holds whom to answer, where that
/// is known.
pub fn parse(bytes: &[u8]) -> Result<(Asked, Ask<'_>), (Option<Asked>, Malformed)> {
    let broken = |asked, opcode| (asked, Malformed { opcode, len: bytes.len() });
    let Ok((header, rest)) = InHeader::ref_from_prefix(bytes) else { return Err(broken(None, 0)) };
    let asked = Asked::by(header);
    let extension = usize::from(header.extension_len) * 8;
    let body = match rest.len().checked_sub(extension) {
        Some(len) if usize::try_from(header.len) == Ok(bytes.len()) => &rest[..len],
        _ => return Err(broken(Some(asked), header.opcode)),
    };
    match ask(header.opcode, &mut Body(body)) {
        Some(ask) => Ok((asked, ask)),
        None => Err(broken(Some(asked), header.opcode)),
    }
}

/// What of a body was not taken yet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<T: FromBytes + Immutable + KnownLayout>(&mut self) -> Option<&'a T> {
        let (taken, rest) = T::ref_from_prefix(self.0).ok()?;
        self.0 = rest;
        Some(taken)
    }

    /// A name, which ends with a zero.
    fn name(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let name = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(name)
    }

    fn bytes(&mut self, len: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

fn ask<'a>(operation: u32, body: &mut Body<'a>) -> Option<Ask<'a>> {
    Some(match operation {
        opcode::LOOKUP => Ask::Lookup { name: body.name()? },
        opcode::FORGET => Ask::Forget { lookups: *body.take::<u64>()? },
        opcode::BATCH_FORGET => forget_many(body)?,
        opcode::GETATTR => {
            body.take::<form::GetAttrIn>()?;
            Ask::Attr
        }
        opcode::SETATTR => Ask::SetAttr(body.take()?),
        opcode::READLINK => Ask::ReadLink,
        opcode::STATFS => Ask::StatFs,
        opcode::INTERRUPT => Ask::Interrupt,
        opcode::OPENDIR => Ask::OpenDir,
        opcode::RELEASEDIR => Ask::ReleaseDir,
        opcode::FSYNCDIR => Ask::SyncDir,
        opcode::OPEN => {
            let form::OpenIn { flags, open_flags } = *body.take()?;
            let strips = open_flags & form::OPEN_KILL_SUIDGID != 0;
            Ask::Open { flags: flags.cast_signed(), strips }
        }
        opcode::TMPFILE => {
            let form::CreateIn { flags, mode, umask, .. } = *body.take()?;
            Ask::CreateNameless { flags: flags.cast_signed(), mode, umask }
        }
        opcode::RELEASE => Ask::Release { handle: body.take::<form::ReleaseIn>()?.handle },
        opcode::FSYNC => Ask::Sync { handle: body.take::<form::SyncIn>()?.handle },
        opcode::READ | opcode::WRITE | opcode::READDIR | opcode::READDIRPLUS => {
            transfer(operation, body)?
        }
        opcode::FALLOCATE => {
            let form::AllocateIn { handle, offset, len, mode, .. } = *body.take()?;
            Ask::Allocate { handle, offset, len, mode }
        }
        opcode::LSEEK => {
            let form::SeekIn { handle, offset, whence, .. } = *body.take()?;
            Ask::Seek { handle, offset, whence }
        }
        opcode::SETXATTR | opcode::GETXATTR | opcode::LISTXATTR | opcode::REMOVEXATTR => {
            attribute(operation, body)?
        }
        _ => return named(operation, body),
    })
}

fn forget_many<'a>(body: &mut Body<'a>) -> Option<Ask<'a>> {
    let count = usize::try_from(body.take::<form::BatchForgetIn>()?.count).ok()?;
    let (many, _) = <[form::ForgetOne]>::ref_from_prefix_with_elems(body.0, count).ok()?;
    Some(Ask::ForgetMany(many))
}

fn transfer<'a>(operation: u32, body: &mut Body<'a>) -> Option<Ask<'a>> {
    let form::TransferIn { handle, offset, size, transfer_flags, .. } = *body.take()?;
    Some(match operation {
        opcode::READ => Ask::Read { handle, offset, size },
        opcode::READDIR => Ask::ReadDir { offset, size },
        opcode::READDIRPLUS => Ask::ReadDirPlus { offset, size },
        _ => {
            let strips = transfer_flags & form::WRITE_KILL_SUIDGID != 0;
            let is_late = transfer_flags & form::WRITE_CACHE != 0;
            Ask::Write { handle, offset, data: body.bytes(size)?, strips, is_late }
        }
    })
}

fn attribute<'a>(operation: u32, body: &mut Body<'a>) -> Option<Ask<'a>> {
    Some(match operation {
        opcode::SETXATTR => {
            let form::SetXattrIn { size, flags } = *body.take()?;
            Ask::SetXattr { name: body.name()?, value: body.bytes(size)?, flags }
        }
        opcode::GETXATTR => {
            let size = body.take::<form::Size>()?.size;
            Ask::Xattr { name: body.name()?, size }
        }
        opcode::LISTXATTR => Ask::XattrNames { size: body.take::<form::Size>()?.size },
        _ => Ask::RemoveXattr { name: body.name()? },
    })
}

/// Operations on names.
fn named<'a>(operation: u32, body: &mut Body<'a>) -> Option<Ask<'a>> {
    Some(match operation {
        opcode::SYMLINK => Ask::Symlink { name: body.name()?, target: body.name()? },
        opcode::MKNOD => {
            let form::MakeNodeIn { mode, rdev, umask, .. } = *body.take()?;
            Ask::MakeNode { name: body.name()?, mode, rdev, umask }
        }
        opcode::MKDIR => {
            let form::MakeDirIn { mode, umask } = *body.take()?;
            Ask::MakeDir { name: body.name()?, mode, umask }
        }
        opcode::UNLINK => Ask::Unlink { name: body.name()? },
        opcode::RMDIR => Ask::RemoveDir { name: body.name()? },
        opcode::RENAME => {
            let form::RenameIn { to } = *body.take()?;
            Ask::Rename { name: body.name()?, to, to_name: body.name()?, flags: 0 }
        }
        opcode::RENAME2 => {
            let form::Rename2In { to, flags, .. } = *body.take()?;
            Ask::Rename { name: body.name()?, to, to_name: body.name()?, flags }
        }
        opcode::LINK => {
            let form::LinkIn { node } = *body.take()?;
            Ask::Link { node, name: body.name()? }
        }
        opcode::CREATE => {
            let form::CreateIn { flags, mode, umask, .. } = *body.take()?;
            Ask::Create { name: body.name()?, flags: flags.cast_signed(), mode, umask }
        }
        _ => Ask::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    /// A request as the kernel sends it, where 8-byte words start.
    fn request(operation: u32, body: &[u8], extension: &[u8]) -> (Vec<u64>, usize) {
        let len = size_of::<InHeader>() + body.len() + extension.len();
        let mut words = vec![0_u64; len.div_ceil(8)];
        let bytes = words.as_mut_bytes();
        bytes[..4].copy_from_slice(&u32::try_from(len).unwrap().to_ne_bytes());
        bytes[4..8].copy_from_slice(&operation.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&5_u64.to_ne_bytes());
        let units = u16::try_from(extension.len() / 8).unwrap();
        bytes[36..38].copy_from_slice(&units.to_ne_bytes());
        bytes[40..40 + body.len()].copy_from_slice(body);
        bytes[40 + body.len()..len].copy_from_slice(extension);
        (words, len)
    }

    #[test]
    fn names_and_values_are_taken_from_where_they_stand() {
        let mut body = Vec::new();
        body.extend(3_u32.to_ne_bytes());
        body.extend(1_u32.to_ne_bytes());
        body.extend(b"user.a\0abc");
        let (words, len) = request(opcode::SETXATTR, &body, &[]);
        let (asked, ask) = parse(&words.as_bytes()[..len]).unwrap();
        assert_eq!((asked.unique, asked.node), (77, 5));
        let Ask::SetXattr { name, value, flags } = ask else { panic!("{ask:?}") };
        assert_eq!((name, value, flags), (&b"user.a"[..], &b"abc"[..], 1));

        let mut body = Vec::new();
        body.extend(9_u64.to_ne_bytes());
        body.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(b"old\0new\0");
        // What stands behind the body is no part of it.
        let (words, len) = request(opcode::RENAME2, &body, &[0xff; 16]);
        let (_, ask) = parse(&words.as_bytes()[..len]).unwrap();
        let Ask::Rename { name, to, to_name, flags } = ask else { panic!("{ask:?}") };
        assert_eq!((name, to, to_name, flags), (&b"old"[..], 9, &b"new"[..], 2));
    }

    #[test]
    fn what_is_cut_short_is_malformed_and_names_whom_to_answer() {
        for operation in [opcode::LOOKUP, opcode::WRITE, opcode::BATCH_FORGET, opcode::CREATE] {
            let (words, len) = request(operation, &[1; 4], &[]);
            let (asked, malformed) = parse(&words.as_bytes()[..len]).unwrap_err();
            assert_eq!(asked.map(|asked| asked.unique), Some(77));
            assert_eq!(malformed.opcode, operation);
        }
        let (mut words, len) = request(opcode::GETATTR, &[0; 16], &[]);
        words.as_mut_bytes()[..4].copy_from_slice(&1000_u32.to_ne_bytes());
        assert!(parse(&words.as_bytes()[..len]).is_err(), "it says that it is longer than it is");
        assert!(parse(&[0; 8]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            operation in 0_u32..60,
            body in prop::collection::vec(any::<u8>(), 0..200),
            units in 0_usize..4,
        ) {
            let (words, len) = request(operation, &body, &vec![0xee; units * 8]);
            if let Err((asked, _)) = parse(&words.as_bytes()[..len]) {
                prop_assert!(asked.is_some());
            }
        }
    }
}
