//! The structures of the protocol, byte for byte as `include/uapi/linux/fuse.h` of Linux 6.18 has them (version 7.45): in the
//! machine's own byte order, each padded to 8 bytes. Names are Rust's; the kernel's are in the comments.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `fuse_in_header`: before every request.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InHeader {
    /// Bytes of the request, this header among them.
    pub len: u32,
    pub opcode: u32,
    /// By which its answer is told from others.
    pub unique: u64,
    pub node: u64,
    pub uid: u32,
    pub gid: u32,
    /// Thread id of who asks; 0 where the mount's pid namespace does not know it.
    pub pid: u32,
    /// Bytes behind the body, in units of 8.
    pub extension_len: u16,
    _padding: u16,
}

/// `fuse_out_header`: before every answer.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct OutHeader {
    pub len: u32,
    /// 0, or an errno below zero; of a notice, which one it is.
    pub error: i32,
    pub unique: u64,
}

/// `fuse_init_in`. Kernels before 5.17 send the first four fields.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitIn {
    pub major: u32,
    pub minor: u32,
    pub max_readahead: u32,
    pub flags: u32,
}

/// `fuse_init_out`.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct InitOut {
    pub major: u32,
    pub minor: u32,
    pub max_readahead: u32,
    pub flags: u32,
    pub max_background: u16,
    pub congestion_threshold: u16,
    pub max_write: u32,
    pub time_gran: u32,
    pub max_pages: u16,
    pub map_alignment: u16,
    /// The flags from bit 32 on.
    pub flags2: u32,
    pub max_stack_depth: u32,
    pub request_timeout: u16,
    pub unused: [u16; 11],
}

/// `fuse_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Immutable, IntoBytes)]
#[repr(C)]
pub struct AttrForm {
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub atime_nanos: u32,
    pub mtime_nanos: u32,
    pub ctime_nanos: u32,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub block_size: u32,
    pub flags: u32,
}

/// `fuse_entry_out`.
#[derive(Clone, Copy, Debug, Default, Immutable, IntoBytes)]
#[repr(C)]
pub struct EntryOut {
    /// 0 says that the name is absent.
    pub node: u64,
    pub generation: u64,
    /// How long the kernel may believe the name, in seconds.
    pub entry_valid: u64,
    pub attr_valid: u64,
    pub entry_valid_nanos: u32,
    pub attr_valid_nanos: u32,
    pub attr: AttrForm,
}

/// `fuse_attr_out`.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct AttrOut {
    pub valid: u64,
    pub valid_nanos: u32,
    pub padding: u32,
    pub attr: AttrForm,
}

/// `fuse_forget_one`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ForgetOne {
    pub node: u64,
    pub lookups: u64,
}

/// `fuse_batch_forget_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BatchForgetIn {
    pub count: u32,
    _padding: u32,
}

/// `fuse_getattr_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetAttrIn {
    pub flags: u32,
    _padding: u32,
    pub handle: u64,
}

/// `fuse_setattr_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetAttrIn {
    /// Which fields are meant: [`set`].
    pub valid: u32,
    _padding: u32,
    pub handle: u64,
    pub size: u64,
    pub lock_owner: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub atime_nanos: u32,
    pub mtime_nanos: u32,
    pub ctime_nanos: u32,
    pub mode: u32,
    _unused4: u32,
    pub uid: u32,
    pub gid: u32,
    _unused5: u32,
}

/// Bits of `fuse_setattr_in.valid` (`FATTR_*`).
pub mod set {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    /// `FATTR_FH`: by an open file.
    pub const HANDLE: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    /// `FATTR_KILL_SUIDGID`: set-id bits go with a change of size, too.
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// `fuse_mknod_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MakeNodeIn {
    pub mode: u32,
    pub rdev: u32,
    pub umask: u32,
    _padding: u32,
}

/// `fuse_mkdir_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MakeDirIn {
    pub mode: u32,
    pub umask: u32,
}

/// `fuse_rename_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RenameIn {
    pub to: u64,
}

/// `fuse_rename2_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename2In {
    pub to: u64,
    pub flags: u32,
    _padding: u32,
}

/// `fuse_link_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LinkIn {
    pub node: u64,
}

/// `fuse_open_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenIn {
    pub flags: u32,
    pub open_flags: u32,
}

/// `FUSE_OPEN_KILL_SUIDGID`: set-id bits go with the contents.
pub const OPEN_KILL_SUIDGID: u32 = 1;

/// `fuse_create_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateIn {
    pub flags: u32,
    pub mode: u32,
    pub umask: u32,
    pub open_flags: u32,
}

/// `fuse_open_out`.
#[derive(Clone, Copy, Debug, Default, Immutable, IntoBytes)]
#[repr(C)]
pub struct OpenOut {
    pub handle: u64,
    pub flags: u32,
    /// The file that the kernel reads and writes itself, where the flags say so.
    pub backing: u32,
}

/// `fuse_release_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReleaseIn {
    pub handle: u64,
    pub flags: u32,
    pub release_flags: u32,
    pub lock_owner: u64,
}

/// `fuse_read_in`, which is `fuse_write_in` too, and what READDIR brings.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TransferIn {
    pub handle: u64,
    pub offset: u64,
    pub size: u32,
    pub transfer_flags: u32,
    pub lock_owner: u64,
    pub flags: u32,
    _padding: u32,
}

/// `FUSE_WRITE_CACHE`: what a mapping left in the cache is written later than it was made.
pub const WRITE_CACHE: u32 = 1;

/// `FUSE_WRITE_KILL_SUIDGID`.
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;

/// Two words with one of meaning: `fuse_write_out`, `fuse_getxattr_out`, `fuse_getxattr_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Size {
    pub size: u32,
    pub padding: u32,
}

/// `fuse_kstatfs`.
#[derive(Clone, Copy, Debug, Default, Immutable, IntoBytes)]
#[repr(C)]
pub struct StatFsOut {
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub block_size: u32,
    pub name_max: u32,
    pub fragment_size: u32,
    pub padding: u32,
    pub spare: [u32; 6],
}

/// `fuse_fsync_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SyncIn {
    pub handle: u64,
    pub flags: u32,
    _padding: u32,
}

/// The short form of `fuse_setxattr_in`, which is what comes where `SETXATTR_EXT` was not agreed.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetXattrIn {
    pub size: u32,
    pub flags: u32,
}

/// `fuse_fallocate_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocateIn {
    pub handle: u64,
    pub offset: u64,
    pub len: u64,
    pub mode: u32,
    _padding: u32,
}

/// `fuse_lseek_in`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SeekIn {
    pub handle: u64,
    pub offset: u64,
    pub whence: u32,
    _padding: u32,
}

/// `fuse_lseek_out`.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct SeekOut {
    pub offset: u64,
}

/// `fuse_dirent`; the name follows, and zeros up to a multiple of 8.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct DirentForm {
    pub ino: u64,
    pub cookie: u64,
    pub name_len: u32,
    pub kind: u32,
}

/// `fuse_notify_inval_inode_out`.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct InvalidInode {
    pub node: u64,
    pub offset: i64,
    pub len: i64,
}

/// Operations, by the kernel's numbers (`fuse_opcode`).
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const TMPFILE: u32 = 51;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_of_the_protocol() {
        let sizes = [
            (size_of::<InHeader>(), 40),
            (size_of::<OutHeader>(), 16),
            (size_of::<InitOut>(), 64),
            (size_of::<AttrForm>(), 88),
            (size_of::<EntryOut>(), 128),
            (size_of::<AttrOut>(), 104),
            (size_of::<SetAttrIn>(), 88),
            (size_of::<TransferIn>(), 40),
            (size_of::<StatFsOut>(), 80),
            (size_of::<DirentForm>(), 24),
            (size_of::<AllocateIn>(), 32),
            (size_of::<SeekIn>(), 24),
            (size_of::<OpenOut>(), 16),
        ];
        for (size, expected) in sizes {
            assert_eq!(size, expected);
        }
    }
}
