//! Whole directories of any depth: looked through, or removed.
//!
//! 1. Whoever wrote them chose how deep they are, and wants them not to be cleared away: the way down takes neither a
//!    descriptor nor a stack frame for each level. A directory is opened by its path below one that is held, and where the
//!    path grows long, it is held itself.
//! 2. Others may rename in them meanwhile: no path is followed through a symbolic link, up, or onto another mount.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;

use super::beneath::{self, Purpose};
use super::error::SysError;
use super::file::{self, FileType, Stat, Symlinks};
use super::name::AtPath;
use super::{change, dir};

/// The longest path below a held directory that is made longer, in bytes: with one more name it stays below `PATH_MAX`.
const PATH_LEN_MAX: usize = 2048;

/// A directory on the way, by its path below one that is held; the path is empty for that one itself.
#[derive(Clone)]
struct Place {
    held: Rc<OwnedFd>,
    path: Vec<u8>,
}

impl Place {
    fn open(&self, purpose: Purpose) -> Result<OwnedFd, SysError> {
        match self.path.is_empty() {
            true => dir::open(&*self.held, ".", Symlinks::Stop),
            false => beneath::open(&*self.held, &self.path, purpose),
        }
    }

    /// What the children's paths begin with: this place, or itself held where its path is long.
    fn for_children(&self, opened: BorrowedFd<'_>) -> Result<Place, SysError> {
        if self.path.len() <= PATH_LEN_MAX {
            return Ok(self.clone());
        }
        Ok(Place { held: Rc::new(dir::open(opened, ".", Symlinks::Stop)?), path: Vec::new() })
    }

    fn child(&self, name: &[u8]) -> Place {
        let mut path = self.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Place { held: Rc::clone(&self.held), path }
    }

    /// The directory that holds it, and its name there.
    fn parent(&self) -> Result<(Option<OwnedFd>, &[u8]), SysError> {
        match self.path.iter().rposition(|byte| *byte == b'/') {
            None => Ok((None, &self.path)),
            Some(at) => {
                let parent = beneath::open(&*self.held, &self.path[..at], Purpose::Walk)?;
                Ok((Some(parent), &self.path[at + 1..]))
            }
        }
    }
}

/// Shows the metadata of everything below a directory to `seen`. What goes away or is mounted over meanwhile is left out.
pub fn look_through(top: impl AsFd, mut seen: impl FnMut(&Stat)) -> Result<(), SysError> {
    visit(top, |_, _, stat| {
        seen(stat);
        Ok(())
    })
}

/// The same with the directory and the name by which each was found. The first error that `seen` answers ends it.
pub fn visit(
    top: impl AsFd,
    mut seen: impl FnMut(&OwnedFd, &[u8], &Stat) -> Result<(), SysError>,
) -> Result<(), SysError> {
    let top = Rc::new(dir::open(top, ".", Symlinks::Stop)?);
    let mut left = vec![Place { held: top, path: Vec::new() }];
    while let Some(place) = left.pop() {
        let opened = match place.open(Purpose::List) {
            Err(error) if is_gone(&error) => continue,
            opened => opened?,
        };
        let for_children = place.for_children(opened.as_fd())?;
        for entry in dir::list(&opened)? {
            let stat = match file::stat_at(&opened, &*entry.name, Symlinks::Stop) {
                Err(error) if error.is_absent() => continue,
                stat => stat?,
            };
            seen(&opened, &entry.name, &stat)?;
            if file::type_of(&stat) == FileType::Directory {
                left.push(for_children.child(&entry.name));
            }
        }
    }
    Ok(())
}

/// It was removed, or another file took its name, or something is mounted there.
fn is_gone(error: &SysError) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV].contains(&error.errno())
}

/// What is left to do of a removal.
enum Step {
    /// Remove what is in it.
    Empty(Place),
    /// Remove itself, empty by now.
    Remove(Place),
}

/// Removes `name` and, where it is a directory, all below it. Absent is no error: another sweep may have been first.
pub fn remove(parent: impl AsFd, name: impl AtPath) -> Result<(), SysError> {
    match dir::unlink(&parent, name) {
        Err(error) if error.errno() == Errno::ISDIR => {}
        Err(error) if error.is_absent() => return Ok(()),
        other => return other,
    }
    let held = Rc::new(dir::open(&parent, ".", Symlinks::Stop)?);
    let bytes =
        name.as_cow_c_str().map_err(|errno| SysError::new("unlinkat", name.shown(), errno))?;
    let top = Place { held, path: bytes.to_bytes().to_vec() };
    let mut left = vec![Step::Empty(top)];
    while let Some(step) = left.pop() {
        match step {
            Step::Empty(place) => empty(place, &mut left)?,
            Step::Remove(place) => {
                let (parent, name) = place.parent()?;
                let parent = parent.as_ref().map_or(place.held.as_fd(), AsFd::as_fd);
                match dir::remove(parent, name) {
                    Err(error) if error.is_absent() => {}
                    other => other?,
                }
            }
        }
    }
    Ok(())
}

/// Removes what is no directory, and notes what is one, to be emptied and removed before the directory itself.
fn empty(place: Place, left: &mut Vec<Step>) -> Result<(), SysError> {
    let opened = match open_owned(&place) {
        Err(error) if error.is_absent() => return Ok(()),
        opened => opened?,
    };
    let for_children = place.for_children(opened.as_fd())?;
    left.push(Step::Remove(place));
    for entry in dir::list(&opened)? {
        match unlink_owned(opened.as_fd(), &entry.name) {
            Err(error) if error.errno() == Errno::ISDIR => {
                left.push(Step::Empty(for_children.child(&entry.name)));
            }
            Err(error) if error.is_absent() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Opens a directory to list it. One that its owner, who need not be root, may not read is made readable.
fn open_owned(place: &Place) -> Result<OwnedFd, SysError> {
    match place.open(Purpose::List) {
        Err(error) if error.errno() == Errno::ACCESS => {
            let (parent, name) = place.parent()?;
            let parent = parent.as_ref().map_or(place.held.as_fd(), AsFd::as_fd);
            change::chmod_at(parent, name, 0o700)?;
            place.open(Purpose::List)
        }
        opened => opened,
    }
}

/// The same for a directory that its owner may not write to.
fn unlink_owned(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), SysError> {
    match dir::unlink(parent, name) {
        Err(error) if error.errno() == Errno::ACCESS => {
            file::chmod(parent, 0o700)?;
            dir::unlink(parent, name)
        }
        unlinked => unlinked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of directories, with a file at its end.
    fn dig(top: &std::path::Path, name: &str, depth: usize) {
        let mut at = dir::open_path(top).unwrap();
        for _ in 0..depth {
            dir::make(&at, name, 0o755).unwrap();
            at = dir::open(&at, name, Symlinks::Stop).unwrap();
        }
        file::create_new(&at, "end", 0o644).unwrap();
    }

    #[test]
    fn a_tree_is_removed_whole_and_an_absent_one_is_no_error() {
        let scratch = tempfile::tempdir().unwrap();
        let top = dir::open_path(scratch.path()).unwrap();
        std::fs::create_dir_all(scratch.path().join("a/b/c")).unwrap();
        std::fs::write(scratch.path().join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/", scratch.path().join("a/root")).unwrap();
        remove(&top, "a").unwrap();
        remove(&top, "a").unwrap();
        assert!(dir::list(&top).unwrap().is_empty());
    }

    #[test]
    fn depth_costs_no_descriptors() {
        let scratch = tempfile::tempdir().unwrap();
        let top = dir::open_path(scratch.path()).unwrap();
        let long = "d".repeat(200);
        for (name, depth) in [("d", 5000), (long.as_str(), 500)] {
            dig(scratch.path(), name, depth);
            let (mut files, mut dirs) = (0, 0);
            look_through(&top, |stat| match file::type_of(stat) {
                FileType::Directory => dirs += 1,
                _ => files += 1,
            })
            .unwrap();
            assert_eq!((files, dirs), (1, depth));
            remove(&top, name).unwrap();
            assert!(dir::list(&top).unwrap().is_empty());
        }
    }

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let top = dir::open_path(scratch.path()).unwrap();
        std::fs::create_dir_all(scratch.path().join("kept/below")).unwrap();
        std::fs::create_dir(scratch.path().join("gone")).unwrap();
        std::os::unix::fs::symlink("../kept", scratch.path().join("gone/link")).unwrap();
        let mut seen = 0;
        look_through(dir::open(&top, "gone", Symlinks::Stop).unwrap(), |_| seen += 1).unwrap();
        assert_eq!(seen, 1);
        remove(&top, "gone").unwrap();
        assert!(scratch.path().join("kept/below").exists());
    }
}
