//! Filling a volume with what stands at its place, before it is shown there.
//!
//! The image's tree may be anybody's: each name is looked for in an open directory, no link is followed, and what is read
//! goes nowhere but into the volume. Devices are left out: no volume shows them.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use layerfs_driver::sys::change::{self, Access, SetTime, Special};
use layerfs_driver::sys::dir::{self, Listed};
use layerfs_driver::sys::file::{self, FileType, Stat, Symlinks};
use layerfs_driver::sys::xattr;

use super::error::{Doing, SetupError};
use crate::sys::{Errno, SysError};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// A directory whose contents are being copied; each lies in the one before.
struct Level {
    from: OwnedFd,
    to: OwnedFd,
    stat: Stat,
    /// Its path below the volume, which ends in a slash.
    path: Vec<u8>,
    left: Vec<Listed>,
}

/// Of files with several names, by what they are one: the path of the first name below the volume.
type Firsts = HashMap<(u64, u64), Vec<u8>>;

/// Copies what is in a directory into an empty one, with owners, permissions, attributes, times and hard links.
pub(super) fn fill(place: &OwnedFd, volume: &OwnedFd, shown: &str) -> Result<(), SetupError> {
    copy(place, volume).doing(|| format!("fill the volume at `{shown}`"))
}

fn copy(place: impl AsFd, volume: impl AsFd) -> Result<(), SysError> {
    let top = dir::open(&volume, ".", Symlinks::Stop)?;
    let from = dir::open(place, ".", Symlinks::Stop)?;
    let stat = file::stat(&from)?;
    change::chown_at(&top, ".", Some(stat.st_uid), Some(stat.st_gid))?;
    let to = dir::open(&top, ".", Symlinks::Stop)?;
    let left = dir::list(&from)?;
    let mut levels = vec![Level { from, to, stat, path: Vec::new(), left }];
    let mut firsts = Firsts::new();
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.left.pop() else {
            adorn(&level.from, &level.to, &level.stat)?;
            levels.pop();
            continue;
        };
        let stat = file::stat_at(&level.from, &*entry.name, Symlinks::Stop)?;
        if file::type_of(&stat) == FileType::Directory {
            let below = enter(level, &entry.name, stat)?;
            levels.push(below);
        } else {
            one(level, &entry.name, &stat, (&top, &mut firsts))?;
        }
    }
    Ok(())
}

/// Makes a directory, to be filled next.
fn enter(level: &Level, name: &[u8], stat: Stat) -> Result<Level, SysError> {
    dir::make(&level.to, name, 0o700)?;
    change::chown_at(&level.to, name, Some(stat.st_uid), Some(stat.st_gid))?;
    let from = dir::open(&level.from, name, Symlinks::Stop)?;
    let to = dir::open(&level.to, name, Symlinks::Stop)?;
    let left = dir::list(&from)?;
    Ok(Level { from, to, stat, path: [&level.path, name, b"/"].concat(), left })
}

fn one(
    Level { from, to, path, .. }: &Level,
    name: &[u8],
    stat: &Stat,
    (top, firsts): (&OwnedFd, &mut Firsts),
) -> Result<(), SysError> {
    let same = (stat.st_dev, stat.st_ino);
    if let Some(first) = firsts.get(&same) {
        return change::link(top, &**first, to, name);
    }
    let own = || change::chown_at(to, name, Some(stat.st_uid), Some(stat.st_gid));
    match file::type_of(stat) {
        FileType::RegularFile => {
            let source = change::open_file(from, name, Access::Read)?;
            let copy = file::create_new(to, name, 0o600)?;
            contents(&source, &copy)?;
            own()?;
            adorn(&source, &copy, stat)?;
        }
        FileType::Symlink => {
            change::make_symlink(&dir::read_link(from, name)?, to, name)?;
            own()?;
            change::set_times_at(to, name, SetTime::Keep, changed(stat))?;
        }
        FileType::Fifo => {
            change::make_special(to, name, Special::Fifo, 0o600)?;
            own()?;
            change::chmod_at(to, name, stat.st_mode & 0o7777)?;
            change::set_times_at(to, name, SetTime::Keep, changed(stat))?;
        }
        _ => return Ok(()),
    }
    if stat.st_nlink > 1 {
        firsts.insert(same, [path, name].concat());
    }
    Ok(())
}

/// Holes stay holes.
fn contents(from: &OwnedFd, to: &OwnedFd) -> Result<(), SysError> {
    let (mut bytes, mut at) = (vec![0; CHUNK], 0_u64);
    while let Some(data) = file::seek_data(from, at)? {
        at = data;
        let len = file::read_at(from, &mut bytes, at)?;
        if len == 0 {
            break;
        }
        file::write_all_at(to, &bytes[..len], at)?;
        at += len as u64;
    }
    let len = u64::try_from(file::stat(from)?.st_size).unwrap_or(0);
    file::truncate(to, len)
}

/// Gives a file or directory what another has beside its contents and its owner, a change of which would take set-id bits
/// and capabilities away. Times come last.
fn adorn(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<(), SysError> {
    file::chmod(to, stat.st_mode & 0o7777)?;
    for (name, value) in xattr::all(from)? {
        match xattr::set(to, &name, &value) {
            // The volume's file system has none of that kind, or keeps them from this user.
            Err(error) if [Errno::OPNOTSUPP, Errno::PERM].contains(&error.errno()) => {}
            set => set?,
        }
    }
    change::set_times(to, SetTime::Keep, changed(stat))
}

fn changed(stat: &Stat) -> SetTime {
    SetTime::At(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn all_that_stands_there_is_copied_as_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        std::fs::create_dir_all(from.join("dir/deep")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("dir/file"), b"text").unwrap();
        std::fs::hard_link(from.join("dir/file"), from.join("other")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let sparse = std::fs::File::create(from.join("sparse")).unwrap();
        sparse.write_all_at(b"end", 8 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(from.join("dir"), mode(0o1751)).unwrap();
        std::fs::set_permissions(from.join("dir/file"), mode(0o640)).unwrap();
        let fifo = rustix::fs::Mode::from_raw_mode(0o622);
        let fifo_at = from.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo_at, FileType::Fifo, fifo, 0).unwrap();
        std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        // More directories in one than a process may have open files, in most places.
        (0..2000).for_each(|name| std::fs::create_dir(from.join(format!("dir/{name}"))).unwrap());

        let open = |path: &std::path::Path| dir::open_path(path).unwrap();
        copy(open(&from), open(&to)).unwrap();
        assert_eq!(std::fs::read(to.join("dir/file")).unwrap(), b"text");
        let stat = |path: &str| std::fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!(stat("dir/file").ino(), stat("other").ino());
        assert_eq!(std::fs::read_link(to.join("link")).unwrap().to_str(), Some("/etc/passwd"));
        for path in ["dir", "dir/deep", "dir/file", "link", "sparse", "fifo", "."] {
            let was = std::fs::symlink_metadata(from.join(path)).unwrap();
            let is = stat(path);
            let all = |of: &std::fs::Metadata| {
                (of.mode(), of.uid(), of.gid(), of.mtime(), of.mtime_nsec())
            };
            assert_eq!(all(&is), all(&was), "{path}");
        }
        assert_eq!(stat("sparse").len(), 16 << 20);
        assert!(stat("sparse").blocks() < 8 << 11, "its holes are holes");
        assert!(!to.join("socket").exists());
    }
}
