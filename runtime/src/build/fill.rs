//! Filling a volume with what stands at its place, before it is shown there.
//!
//! The image's tree may be anybody's: each name is looked for in an open directory, no link is followed, and what is read
//! goes nowhere but into the volume. Devices are left out: no volume shows them.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use layerfs_driver::sys::change::{self, Access, SetTime, Special};
use layerfs_driver::sys::file::{self, FileType, Stat, Symlinks};
use layerfs_driver::sys::{dir, xattr};

use super::error::{Doing, SetupError};
use crate::sys::{Errno, SysError};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// What is left to do.
enum Step {
    /// Copy what is in a directory.
    Copy { from: Rc<OwnedFd>, to: Rc<OwnedFd> },
    /// Give a directory, whose contents are there by now, what the other has beside them.
    Finish { from: Rc<OwnedFd>, to: Rc<OwnedFd>, stat: Box<Stat> },
}

/// Copies what is in a directory into an empty one, with owners, permissions, attributes, times and hard links.
pub(super) fn fill(place: &OwnedFd, volume: &OwnedFd, shown: &str) -> Result<(), SetupError> {
    copy(place, volume).doing(|| format!("fill the volume at `{shown}`"))
}

fn copy(place: impl AsFd, volume: impl AsFd) -> Result<(), SysError> {
    let from = Rc::new(dir::open(place, ".", Symlinks::Stop)?);
    let to = Rc::new(dir::open(volume, ".", Symlinks::Stop)?);
    let stat = Box::new(file::stat(&from)?);
    change::chown_at(&to, ".", Some(stat.st_uid), Some(stat.st_gid))?;
    let mut left = vec![
        Step::Finish { from: Rc::clone(&from), to: Rc::clone(&to), stat },
        Step::Copy { from, to },
    ];
    // Of files with several names, where the first stands.
    let mut first = HashMap::new();
    while let Some(step) = left.pop() {
        match step {
            Step::Copy { from, to } => {
                for entry in dir::list(&from)? {
                    one((&from, &to), &entry.name, (&mut left, &mut first))?;
                }
            }
            Step::Finish { from, to, stat } => adorn(&from, &to, &stat)?,
        }
    }
    Ok(())
}

type Firsts = HashMap<(u64, u64), (Rc<OwnedFd>, Box<[u8]>)>;

fn one(
    (from, to): (&Rc<OwnedFd>, &Rc<OwnedFd>),
    name: &[u8],
    (left, first): (&mut Vec<Step>, &mut Firsts),
) -> Result<(), SysError> {
    let stat = file::stat_at(from, name, Symlinks::Stop)?;
    let kind = file::type_of(&stat);
    let several = stat.st_nlink > 1 && kind != FileType::Directory;
    if several && let Some((at, known)) = first.get(&(stat.st_dev, stat.st_ino)) {
        return change::link(&**at, &**known, to, name);
    }
    match kind {
        FileType::Directory => {
            dir::make(to, name, 0o700)?;
            change::chown_at(to, name, Some(stat.st_uid), Some(stat.st_gid))?;
            let from = Rc::new(dir::open(from, name, Symlinks::Stop)?);
            let to = Rc::new(dir::open(to, name, Symlinks::Stop)?);
            let stat = Box::new(stat);
            left.push(Step::Finish { from: Rc::clone(&from), to: Rc::clone(&to), stat });
            left.push(Step::Copy { from, to });
            return Ok(());
        }
        FileType::RegularFile => {
            let source = change::open_file(from, name, Access::Read)?;
            let copy = file::create_new(to, name, 0o600)?;
            contents(&source, &copy)?;
            change::chown_at(to, name, Some(stat.st_uid), Some(stat.st_gid))?;
            adorn(&source, &copy, &stat)?;
        }
        FileType::Symlink => {
            change::make_symlink(&dir::read_link(from, name)?, to, name)?;
            change::chown_at(to, name, Some(stat.st_uid), Some(stat.st_gid))?;
            change::set_times_at(to, name, SetTime::Keep, changed(&stat))?;
        }
        FileType::Fifo => {
            change::make_special(to, name, Special::Fifo, 0o600)?;
            change::chown_at(to, name, Some(stat.st_uid), Some(stat.st_gid))?;
            change::chmod_at(to, name, stat.st_mode & 0o7777)?;
            change::set_times_at(to, name, SetTime::Keep, changed(&stat))?;
        }
        _ => return Ok(()),
    }
    if several {
        first.insert((stat.st_dev, stat.st_ino), (Rc::clone(to), name.into()));
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
