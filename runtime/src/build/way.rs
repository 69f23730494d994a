//! The way to a place in the image, gone name by name on descriptors; what is missing on it is made.
//!
//! 1. No link leaves the root: an absolute one begins at it again, and `..` goes back to the directory that was come from.
//! 2. No link leads onto the root itself, nor to what the container has of the kernel: something mounted there would take
//!    devices and masks away. Who writes such a place himself means it.
//! 3. Every way ends: it has at most [`LINKS_MAX`] links, and leads at most [`DEPTH_MAX`] directories down.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, FileType};

use super::error::{DEPTH_MAX, Doing, SetupError};
use super::place;
use crate::sys::inside;
use crate::sys::{Errno, SysError};

/// As many links as the kernel follows.
const LINKS_MAX: u32 = 40;

/// What the container has of the kernel, right in its root.
const KERNELS: [&str; 3] = ["dev", "proc", "sys"];

/// What is made at the end of a way where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Directory,
    /// An empty one.
    File,
}

/// Opens, as a place to mount on, whatever `path` leads to inside `root`.
pub(super) fn find_or_make(root: &OwnedFd, path: &Path, end: End) -> Result<OwnedFd, SetupError> {
    let mut way = Way { root: root.as_fd(), path, above: Vec::new(), rest: Vec::new(), links: 0 };
    way.go_on(path);
    while let Some(name) = way.rest.pop() {
        if let Some(place) = way.step(&name, end)? {
            return Ok(place);
        }
    }
    match way.above.pop() {
        Some((_, place)) => Ok(place),
        None => Err(way.is_the_containers("/".into())),
    }
}

/// Takes away the link that stands at `path` itself, with no link followed to it.
pub(super) fn remove_link(root: &OwnedFd, path: &Path) -> Result<(), SetupError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = find_or_make(root, parent, End::Directory)?;
    let deed = || format!("take the link `{}` of the image away", path.display());
    let link = inside::open_name(&parent, name).doing(deed)?;
    match place::kind(&link).doing(deed)? {
        FileType::Symlink => dir::unlink(&parent, name).doing(deed),
        _ => Ok(()),
    }
}

struct Way<'a> {
    root: BorrowedFd<'a>,
    /// As it was written, for messages.
    path: &'a Path,
    /// The directories that were come through, the root not among them.
    above: Vec<(OsString, OwnedFd)>,
    /// The names still to go, the next one last.
    rest: Vec<OsString>,
    /// Links followed.
    links: u32,
}

impl Way<'_> {
    /// Puts the names of `path` before those still to go.
    fn go_on(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.rest.extend(names);
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.above.last().map_or(self.root, |(_, dir)| dir.as_fd())
    }

    /// Goes on by one name; answers what stands there where it is the last, and no directory.
    fn step(&mut self, name: &OsStr, end: End) -> Result<Option<OwnedFd>, SetupError> {
        if name == ".." {
            self.above.pop();
            return Ok(None);
        }
        if self.above.is_empty() && self.links > 0 && KERNELS.iter().any(|own| name == *own) {
            return Err(self.is_the_containers(format!("/{}", name.display())));
        }
        let shown = self.path.display();
        let found = self.open(name, end).doing(|| format!("find or make `{shown}`"))?;
        match place::kind(&found).doing(|| format!("open `{shown}`"))? {
            FileType::Directory if self.above.len() == DEPTH_MAX => {
                return Err(SetupError::Deep(self.path.display().to_string()));
            }
            FileType::Directory => self.above.push((name.to_owned(), found)),
            FileType::Symlink => self.follow(&found, name)?,
            _ if self.rest.is_empty() => return Ok(Some(found)),
            other => {
                let names = self.above.iter().map(|(name, _)| &**name).chain([name]);
                let path =
                    names.fold(String::new(), |path, name| format!("{path}/{}", name.display()));
                let is = place::shown(other);
                return Err(SetupError::WrongKind { path, is, needs: "a directory" });
            }
        }
        Ok(None)
    }

    fn open(&self, name: &OsStr, end: End) -> Result<OwnedFd, SysError> {
        let here = self.here();
        match inside::open_name(here, name) {
            Err(error) if error.is_absent() => {}
            opened => return opened,
        }
        if self.rest.is_empty() && end == End::File {
            match file::create_new(here, name, 0o644) {
                // Another container that shows the same directory was faster; whatever it made is looked at next.
                Err(error) if error.errno() == Errno::EXIST => {}
                made => drop(made?),
            }
        } else {
            inside::make_directory(here, name, 0o755)?;
        }
        inside::open_name(here, name)
    }

    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> Result<(), SetupError> {
        let deed = || format!("follow `{}`", self.path.display());
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(SetupError::Links(self.path.display().to_string()));
        }
        // One that leads by itself, such as /proc/self/fd/7; the others of the kernel's are no circles.
        let kernels = inside::is_kernels(link).doing(deed)?;
        let opened = || inside::open(self.here(), name);
        if kernels && opened().is_err_and(|error| error.errno() == Errno::LOOP) {
            return Err(SetupError::Outside(self.path.display().to_string()));
        }
        let target = OsString::from_vec(dir::read_link(link, "").doing(deed)?.into_vec());
        let target = Path::new(&target);
        if target.is_absolute() {
            self.above.clear();
        }
        self.go_on(target);
        Ok(())
    }

    fn is_the_containers(&self, own: String) -> SetupError {
        SetupError::Containers { path: self.path.display().to_string(), own }
    }
}

#[cfg(all(test, feature = "fault"))]
mod tests {
    use layerfs_driver::sys::fault::{Plan, with_plan};

    use super::*;

    /// Two containers that share a directory: what the first look does not find, the other has made meanwhile.
    #[test]
    fn a_place_that_another_container_makes_meanwhile_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "its").unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let root = dir::open_path(dir.path()).unwrap();
        for (path, end, kind) in [
            ("/file", End::File, FileType::RegularFile),
            ("/link", End::File, FileType::RegularFile),
            ("/dir", End::Directory, FileType::Directory),
        ] {
            let plan = Plan::Fail { n: 1, errno: Errno::NOENT, call: Some("openat".into()) };
            let (found, outcome) = with_plan(plan, || find_or_make(&root, Path::new(path), end));
            assert!(outcome.fired, "{path}");
            assert_eq!(place::kind(found.unwrap()).unwrap(), kind, "{path}");
        }
    }
}
