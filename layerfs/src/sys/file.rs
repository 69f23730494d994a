//! Regular files: open, read, write, sync, metadata.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub use rustix::fs::{Access, FileType, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::{SysError, call};
use super::fault;
use super::name::AtPath;

/// Whether a call that ends at a symlink follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// The link's target is meant: for words of the user, never for names found on disk.
    Follow,
    /// The link itself is meant, or the call answers `ELOOP`.
    Stop,
}

impl Symlinks {
    pub(super) fn open_flag(self) -> OFlags {
        match self {
            Symlinks::Follow => OFlags::empty(),
            Symlinks::Stop => OFlags::NOFOLLOW,
        }
    }
}

/// Opens a file for reading. Does not wait for the other end of a fifo and takes no terminal.
pub fn open_read(dir: impl AsFd, path: impl AtPath, links: Symlinks) -> Result<OwnedFd, SysError> {
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | links.open_flag();
    call("openat", || path.shown(), || rustix::fs::openat(&dir, path, flags, Mode::empty()))
}

/// The same for what this process, or its user namespace, owns: of others the kernel refuses it (`EPERM`).
pub fn open_owned(dir: impl AsFd, path: impl AtPath) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY
        | OFlags::CLOEXEC
        | OFlags::NOCTTY
        | OFlags::NONBLOCK
        | OFlags::NOFOLLOW
        | OFlags::NOATIME;
    call("openat", || path.shown(), || rustix::fs::openat(&dir, path, flags, Mode::empty()))
}

/// Whether this process may read or write an object, by its permissions or by what this process may beyond them. That its mount
/// refuses changes makes no difference.
pub fn is_granted(dir: impl AsFd, path: impl AtPath, access: Access) -> Result<bool, SysError> {
    let flags = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW;
    let asked = || rustix::fs::accessat(&dir, path, access, flags);
    match call("faccessat2", || path.shown(), asked) {
        Err(error) if error.errno() == Errno::ACCESS => Ok(false),
        Err(error) if error.errno() == Errno::ROFS => Ok(true),
        answered => answered.map(|()| true),
    }
}

/// Opens a file of the user's, by a path from the current directory.
pub fn open_read_path(path: impl AtPath) -> Result<OwnedFd, SysError> {
    open_read(rustix::fs::CWD, path, Symlinks::Follow)
}

/// Opens whatever stands at a path of the user's, to ask what and where it is and no more.
pub fn open_place(path: impl AtPath) -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty());
    call("openat", || path.shown(), open)
}

/// Holds what stands under a name, whatever it is, to ask after it when the name is gone.
pub fn hold(dir: impl AsFd, name: impl AtPath) -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    call(
        "openat",
        || path_and(name, "O_PATH"),
        || rustix::fs::openat(&dir, name, flags, Mode::empty()),
    )
}

/// Opens a fifo for reading, by a path from the current directory: waits for a writer, and so do its reads.
pub fn open_fifo_path(path: impl AtPath) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    call(
        "openat",
        || path.shown(),
        || rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty()),
    )
}

/// The metadata of a file of the user's, by a path from the current directory.
pub fn stat_path(path: impl AtPath) -> Result<Stat, SysError> {
    stat_at(rustix::fs::CWD, path, Symlinks::Follow)
}

/// Opens a device for reading and writing.
pub fn open_device(path: impl AtPath) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    call(
        "openat",
        || path.shown(),
        || rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty()),
    )
}

/// Creates a file that must not exist, for reading and writing. `mode` is cut by the umask.
pub fn create_new(dir: impl AsFd, name: impl AtPath, mode: u32) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(mode);
    call(
        "openat",
        || path_and(name, "O_CREAT|O_EXCL"),
        || rustix::fs::openat(&dir, name, flags, mode),
    )
}

/// Opens a file for reading and writing, and creates it where it is absent: for lock files.
pub fn open_or_create(dir: impl AsFd, name: impl AtPath, mode: u32) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(mode);
    call("openat", || path_and(name, "O_CREAT"), || rustix::fs::openat(&dir, name, flags, mode))
}

/// Opens a file of the user's to be added to, by a path from the current directory, and creates it where it is absent.
pub fn open_append_path(path: impl AtPath, mode: u32) -> Result<OwnedFd, SysError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let open = || rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::from_raw_mode(mode));
    call("openat", || path_and(path, "O_APPEND|O_CREAT"), open)
}

/// Creates a file without a name in `dir`: gone when its last descriptor closes.
pub fn create_unnamed(dir: impl AsFd) -> Result<OwnedFd, SysError> {
    create_unnamed_with(dir, 0o600)
}

/// The same with other permissions, cut by the umask: of a file that is to get a name.
pub fn create_unnamed_with(dir: impl AsFd, mode: u32) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    call("openat", || "\".\", O_TMPFILE".to_owned(), || rustix::fs::openat(&dir, ".", flags, mode))
}

/// Whether [`create_unnamed`] was refused because the file system has no such files.
pub fn has_no_unnamed(error: &SysError) -> bool {
    [Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT].contains(&error.errno())
}

/// Reads at the file's position; 0 at its end.
pub fn read(file: impl AsFd, buf: &mut [u8]) -> Result<usize, SysError> {
    let len = buf.len();
    call("read", || format!("{len} bytes"), || rustix::io::read(&file, &mut *buf))
}

/// Reads at `offset`; 0 at the file's end.
pub fn read_at(file: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize, SysError> {
    let len = buf.len();
    call(
        "pread64",
        || format!("{len} bytes at {offset}"),
        || rustix::io::pread(&file, &mut *buf, offset),
    )
}

/// Reads a whole file of at most `len_max` bytes; `EFBIG` where it is larger.
pub fn read_all(file: impl AsFd, len_max: u64) -> Result<Vec<u8>, SysError> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        let len = read(&file, &mut chunk)?;
        if len == 0 {
            return Ok(bytes);
        }
        if bytes.len() as u64 + len as u64 > len_max {
            return Err(SysError::new("read", format!("more than {len_max} bytes"), Errno::FBIG));
        }
        bytes.extend_from_slice(&chunk[..len]);
    }
}

/// Whether anybody has a file open for writing, or mapped so: then nobody gets a lease to read it (fcntl(2)).
pub fn is_open_for_writing(dir: impl AsFd, name: impl AtPath) -> Result<bool, SysError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let refused = |errno| SysError::new("fcntl", "F_SETLEASE", errno);
    let file = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(refused)?;
    // SAFETY: the call takes two numbers, and the descriptor is open.
    let leased = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    match (leased, std::io::Error::last_os_error().raw_os_error()) {
        // It ends with the descriptor.
        (0, _) => Ok(false),
        (_, Some(libc::EAGAIN)) => Ok(true),
        (_, errno) => Err(refused(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)))),
    }
}

/// What a read gives that waits for no disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtOnce {
    /// So many bytes were read, as many as were asked for.
    Read(usize),
    /// It would wait.
    Waits,
    /// Only a read that may wait can tell.
    Unknown,
}

/// Reads at `offset` what is in memory already. It has no fault point: what it can't read is read as ever.
pub fn read_at_once(file: impl AsFd, buf: &mut [u8], offset: u64) -> AtOnce {
    let wanted = buf.len();
    let mut parts = [std::io::IoSliceMut::new(buf)];
    match rustix::io::preadv2(&file, &mut parts, offset, rustix::io::ReadWriteFlags::NOWAIT) {
        Ok(len) if len == wanted => AtOnce::Read(len),
        Err(Errno::AGAIN) => AtOnce::Waits,
        Ok(_) | Err(_) => AtOnce::Unknown,
    }
}

/// Writes all of `bytes` at the file's position.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), SysError> {
    while !bytes.is_empty() {
        let len = bytes.len();
        let args = || format!("{len} bytes");
        let done = call("write", args, || some(rustix::io::write(&file, bytes)?))?;
        bytes = &bytes[done..];
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: impl AsFd, mut bytes: &[u8], mut offset: u64) -> Result<(), SysError> {
    while !bytes.is_empty() {
        let done = write_at(&file, bytes, offset)?;
        bytes = &bytes[done..];
        offset += done as u64;
    }
    Ok(())
}

/// Writes at `offset`. Answers how many bytes: 0 of an empty slice only.
pub fn write_at(file: impl AsFd, bytes: &[u8], offset: u64) -> Result<usize, SysError> {
    let args = || format!("{} bytes at {offset}", bytes.len());
    call("pwrite64", args, || some(rustix::io::pwrite(&file, bytes, offset)?))
}

/// Some bytes were written. A file system that takes none and names no error would be asked for ever.
fn some(done: usize) -> Result<usize, Errno> {
    if done == 0 { Err(Errno::IO) } else { Ok(done) }
}

/// Moves the file's position to `offset`, counted from the start. Answers the new position.
pub fn seek_to(file: impl AsFd, offset: u64) -> Result<u64, SysError> {
    call("lseek", || offset.to_string(), || rustix::fs::seek(&file, SeekFrom::Start(offset)))
}

/// The next offset at or after `offset` that holds data; `None` where only a hole is left.
pub fn seek_data(file: impl AsFd, offset: u64) -> Result<Option<u64>, SysError> {
    let answer = call(
        "lseek",
        || format!("SEEK_DATA {offset}"),
        || rustix::fs::seek(&file, SeekFrom::Data(offset)),
    );
    match answer {
        Err(error) if error.errno() == Errno::NXIO => Ok(None),
        other => other.map(Some),
    }
}

/// The next offset at or after `offset` that lies in a hole; the file's end counts as one.
pub fn seek_hole(file: impl AsFd, offset: u64) -> Result<u64, SysError> {
    call(
        "lseek",
        || format!("SEEK_HOLE {offset}"),
        || rustix::fs::seek(&file, SeekFrom::Hole(offset)),
    )
}

/// Sets the file's size, in bytes.
pub fn truncate(file: impl AsFd, len_bytes: u64) -> Result<(), SysError> {
    call("ftruncate", || len_bytes.to_string(), || rustix::fs::ftruncate(&file, len_bytes))
}

/// Sets the permission bits of an open file.
pub fn chmod(file: impl AsFd, mode: u32) -> Result<(), SysError> {
    call("fchmod", || format!("{mode:#o}"), || rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)))
}

/// Makes the file's data and metadata durable.
pub fn sync(file: impl AsFd) -> Result<(), SysError> {
    call("fsync", String::new, || fault::unless_ignored(|| rustix::fs::fsync(&file)))
}

/// Makes everything durable that was written to the file system that holds `file`.
pub fn sync_filesystem(file: impl AsFd) -> Result<(), SysError> {
    call("syncfs", String::new, || fault::unless_ignored(|| rustix::fs::syncfs(&file)))
}

/// The metadata of an open file.
pub fn stat(file: impl AsFd) -> Result<Stat, SysError> {
    call("fstat", String::new, || rustix::fs::fstat(&file))
}

/// The metadata of `name` below `dir`.
pub fn stat_at(dir: impl AsFd, name: impl AtPath, links: Symlinks) -> Result<Stat, SysError> {
    let flags = match links {
        Symlinks::Follow => AtFlags::empty(),
        Symlinks::Stop => AtFlags::SYMLINK_NOFOLLOW,
    };
    call("newfstatat", || name.shown(), || rustix::fs::statat(&dir, name, flags))
}

/// When the inode of `name` below `dir` was made: seconds and nanoseconds; `None` where the file system does not know.
pub fn birth_at(dir: impl AsFd, name: impl AtPath) -> Result<Option<(i64, u32)>, SysError> {
    let (flags, mask) = (AtFlags::SYMLINK_NOFOLLOW, rustix::fs::StatxFlags::BTIME);
    let told = call("statx", || name.shown(), || rustix::fs::statx(&dir, name, flags, mask))?;
    let known = told.stx_mask & mask.bits() != 0;
    Ok(known.then_some((told.stx_btime.tv_sec, told.stx_btime.tv_nsec)))
}

/// When the inode of an open file was made, as [`birth_at`].
pub fn birth(file: impl AsFd) -> Result<Option<(i64, u32)>, SysError> {
    let (flags, mask) = (AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::BTIME);
    let told = call("statx", String::new, || rustix::fs::statx(&file, c"", flags, mask))?;
    let known = told.stx_mask & mask.bits() != 0;
    Ok(known.then_some((told.stx_btime.tv_sec, told.stx_btime.tv_nsec)))
}

/// Asks the file system behind a path of the user's for what it knows, whatever the kernel remembers of it.
pub fn ask(path: impl AtPath) -> Result<(), SysError> {
    let (flags, mask) = (AtFlags::STATX_FORCE_SYNC, rustix::fs::StatxFlags::BASIC_STATS);
    let asked = || rustix::fs::statx(rustix::fs::CWD, path, flags, mask);
    call("statx", || path.shown(), asked).map(drop)
}

/// The numbers of the device that `name` below `dir` leads to. The file system behind it is not asked: it may not answer.
pub fn device_at(dir: impl AsFd, name: impl AtPath) -> Result<(u32, u32), SysError> {
    let (flags, mask) = (AtFlags::STATX_DONT_SYNC, rustix::fs::StatxFlags::TYPE);
    let told = call("statx", || name.shown(), || rustix::fs::statx(&dir, name, flags, mask))?;
    Ok((told.stx_dev_major, told.stx_dev_minor))
}

/// Whether something is mounted on `name` below `dir`; `None` where the kernel does not tell, as before 5.8.
pub fn is_mount_point_at(dir: impl AsFd, name: impl AtPath) -> Result<Option<bool>, SysError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let (mask, mount) = (rustix::fs::StatxFlags::TYPE, rustix::fs::StatxAttributes::MOUNT_ROOT);
    let told = call("statx", || name.shown(), || rustix::fs::statx(&dir, name, flags, mask))?;
    let is_told = told.stx_attributes_mask.contains(mount);
    Ok(is_told.then(|| told.stx_attributes.contains(mount)))
}

/// The type bits of a mode.
pub fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Major and minor number of the device that a device file stands for.
pub fn device_numbers(stat: &Stat) -> (u32, u32) {
    (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))
}

/// Tells the kernel to read no more of the file than it is asked for.
pub fn advise_random(file: impl AsFd) -> Result<(), SysError> {
    call(
        "fadvise64",
        || "RANDOM".to_owned(),
        || rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random),
    )
}

/// Tells the kernel that the file will be read from start to end.
pub fn advise_sequential(file: impl AsFd) -> Result<(), SysError> {
    let advice = rustix::fs::Advice::Sequential;
    call("fadvise64", || "SEQUENTIAL".to_owned(), || rustix::fs::fadvise(&file, 0, None, advice))
}

fn path_and(name: impl AtPath, flags: &str) -> String {
    format!("{}, {flags}", name.shown())
}

/// Moves the file's position as `std::io::Seek` says. Answers the new position.
pub(super) fn seek(file: impl AsFd, position: std::io::SeekFrom) -> Result<u64, SysError> {
    let target = match position {
        std::io::SeekFrom::Start(offset) => SeekFrom::Start(offset),
        std::io::SeekFrom::End(offset) => SeekFrom::End(offset),
        std::io::SeekFrom::Current(offset) => SeekFrom::Current(offset),
    };
    call("lseek", || format!("{position:?}"), || rustix::fs::seek(&file, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_takes_nothing_is_an_error() {
        assert_eq!(some(0), Err(Errno::IO));
        assert_eq!(some(1), Ok(1));
    }
}
