//! Making a layer plain: one that any overlayfs reads, whoever wrote it and with whatever marks and names.
//!
//! What must hold: the tree that the layer shows is the same at every point; each object is old or new; and who begins again
//! goes on. What keeps others away (`work/incompat`) goes last, when all else is on disk. Marks that lead into the lower are
//! another's matter (`Union::make_whole`).

use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::error::{During, UpperError};
use super::incompat;
use super::look::Glance;
use super::open::Upper;
use super::rename::At;
use crate::sys::change::{self, SetTime};
use crate::sys::file::{self, FileType, Stat, Symlinks};
use crate::sys::{SysError, deep, dir, xattr_at};
use crate::tree::wh_names::{FUSE_OVERLAYFS_OPAQUE, WH_OPAQUE, WH_PREFIX};
use crate::tree::{Attr, Kind, Mark, MarkSpace, Name, Opaque, Timestamp, WhNames, marks};

impl Upper {
    /// The path of the first object whose marks lead into the lower; `None` where the layer can be made plain by itself.
    pub fn first_that_needs_lower(&self) -> Result<Option<String>, UpperError> {
        if self.hides_all()? {
            return Ok(Some("what is hidden by `.wh..wh..opq` in its root".into()));
        }
        if self.has_group_copies()? {
            return Ok(Some("a file of several names in the lower".into()));
        }
        self.first_that_leads_below()
    }

    /// The same of redirects and files whose data lies below alone.
    pub fn first_that_leads_below(&self) -> Result<Option<String>, UpperError> {
        let mut first = None;
        self.each(|(dir, name), stat| {
            if first.is_some() {
                return Ok(());
            }
            let needs = match file::type_of(stat) {
                FileType::Directory => {
                    self.opaque(dir, name)? != Opaque::Hides
                        && self.mark(dir, name, Mark::Redirect)?.is_some()
                }
                FileType::RegularFile => self.mark(dir, name, Mark::Metacopy)?.is_some(),
                _ => false,
            };
            first = needs.then(|| format!("`{}`", self.path_of((dir, name))));
            Ok(())
        })?;
        Ok(first)
    }

    /// Whether it was mounted with marks of the other namespace. The root of an image's upper says so. Of others, and of what
    /// was made plain: marks of users alone are theirs, and beside marks of the trusted, attributes like others, of
    /// unions inside this one.
    pub fn has_marks_of_other_space(&self) -> Result<bool, UpperError> {
        let deed = "look for marks in the upper";
        let other = match self.space {
            MarkSpace::Trusted => MarkSpace::User,
            MarkSpace::User => MarkSpace::Trusted,
        };
        let of_root = xattr_at::names(&self.root, b".").during(deed)?;
        for (space, is_other) in [(self.space, false), (other, true)] {
            if of_root.iter().any(|mark| **mark == *Mark::Origin.name(space)) {
                return Ok(is_other);
            }
        }
        let (mut has_own, mut has_other) = (false, false);
        let mut look = |names: &[Box<[u8]>]| {
            has_own |= names.iter().any(|name| marks::merges(self.space, name));
            has_other |= names.iter().any(|name| marks::merges(other, name));
        };
        look(&of_root);
        self.each(|(dir, name), _| {
            look(&xattr_at::names(dir, name).during(deed)?);
            Ok(())
        })?;
        Ok(has_other && (self.space == MarkSpace::User || !has_own))
    }

    /// Rewrites all that only some readers understand, and takes every private mark away. The layer was opened for whiteouts
    /// that are devices; nothing is done with it afterwards but to close it.
    pub fn make_plain(&self) -> Result<(), UpperError> {
        let deed = "make the upper plain";
        if self.unmarked.is_some() {
            return Err(UpperError::NoMarks);
        }
        self.plain_hidden_name((&self.root, b"."))?;
        self.each(|at, stat| self.plain(at, stat))?;
        // The names that only it knew have their links.
        deep::remove(&self.lock, "index").during(deed)?;
        let origin = Mark::Origin.name(self.space);
        self.take_marks((&self.root, b"."), Kind::Directory, Some(&origin))?;
        self.each(|(dir, name), stat| {
            let kind = Attr::of_stat(stat).kind;
            self.take_marks((dir, name), kind, None)
        })?;
        // Whoever begins again knows by it where the marks are.
        self.take_marks((&self.root, b"."), Kind::Directory, None)?;
        file::sync_filesystem(&self.root).during(deed)?;
        incompat::forget(&self.work)
    }

    /// What a directory hides that has all it shows in itself: its mark says so, and what only hid names below goes.
    pub fn close_directory(&self, (above, name): At<'_>) -> Result<(), UpperError> {
        let deed = "make a renamed directory whole";
        self.set_opaque(above, name)?;
        let closed = dir::open(above, name, Symlinks::Stop).during(deed)?;
        self.each_below(&closed, |(dir, name), _| {
            let whiteout = matches!(self.glance(dir, name)?, Glance::Whiteout);
            let is_name = self.wh_names.reserves(name) && name != WH_OPAQUE;
            match whiteout || is_name {
                true => keeping_times(dir, || deep::remove(dir, name)).during(deed),
                false => Ok(()),
            }
        })?;
        xattr_at::remove(above, name, &Mark::Redirect.name(self.space)).during(deed)
    }

    /// Hides each of `names`, all that lies below the root, and no longer all that there could be: no mark makes a root opaque.
    pub fn open_root<'n>(&self, names: impl Iterator<Item = &'n Name>) -> Result<(), UpperError> {
        let deed = "make the upper plain";
        let before = file::stat(&self.root).during(deed)?;
        for name in names.map(Name::as_bytes) {
            match self.glance(&self.root, name)? {
                Glance::Absent => self.add_whiteout(&self.root, name)?,
                Glance::Object(attr, _) if attr.kind == Kind::Directory => {
                    self.set_opaque(&self.root, name)?;
                }
                Glance::Whiteout | Glance::Object(..) => {}
            }
        }
        dir::unlink(&self.root, WH_OPAQUE).during(deed)?;
        set_times(&self.root, &before).during(deed)
    }

    /// Makes one entry plain, its private marks excepted.
    fn plain(&self, (dir, name): At<'_>, stat: &Stat) -> Result<(), UpperError> {
        if self.wh_names.reserves(name) {
            return self.plain_name(dir, name);
        }
        match file::type_of(stat) {
            FileType::Directory => self.plain_directory((dir, name)),
            FileType::RegularFile if matches!(self.glance(dir, name)?, Glance::Whiteout) => {
                self.put_device(dir, name)
            }
            _ => Ok(()),
        }
    }

    /// A `.wh.` name becomes what it says.
    fn plain_name(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let deed = "make the upper plain";
        let hidden = name.strip_prefix(WH_PREFIX).unwrap_or(name);
        if name == WH_OPAQUE {
            self.set_opaque(dir, b".")?;
        } else if Name::new(hidden).is_ok() && !self.wh_names.reserves(hidden) {
            // What hides a name that nobody sees hides nothing; a device of that name would hide something.
            match file::stat_at(dir, hidden, Symlinks::Stop) {
                Err(error) if error.is_absent() => self.put_device(dir, hidden)?,
                found => {
                    let kind = file::type_of(&found.during(deed)?);
                    // What a redirect leads to is no namesake; it was made whole before.
                    if kind == FileType::Directory {
                        self.set_opaque(dir, hidden)?;
                    }
                }
            }
        }
        // A directory by such a name is no less a whiteout; what is in it is never shown.
        keeping_times(dir, || deep::remove(dir, name)).during(deed)
    }

    fn plain_directory(&self, (dir, name): At<'_>) -> Result<(), UpperError> {
        let deed = "make the upper plain";
        let other = xattr_at::get(dir, name, FUSE_OVERLAYFS_OPAQUE).during(deed)?;
        let counts = self.wh_names == WhNames::Whiteouts;
        if counts && other.as_deref() == Some(b"y") {
            self.set_opaque(dir, name)?;
        }
        self.plain_hidden_name((dir, name))
    }

    /// A name that a directory hides by a mark gets its whiteout; the mark goes with the other private ones.
    fn plain_hidden_name(&self, (dir, name): At<'_>) -> Result<(), UpperError> {
        let deed = "make the upper plain";
        if self.mark(dir, name, Mark::Hides)?.is_none() {
            return Ok(());
        }
        let inside = dir::open(dir, name, Symlinks::Stop).during(deed)?;
        let before = file::stat(&inside).during(deed)?;
        match self.name_hidden_in(&inside)? {
            Some(hidden) => self.put_whiteout(&inside, hidden.as_bytes())?,
            None => return Ok(()),
        }
        set_times(&inside, &before).during(deed)
    }

    /// Puts a device 0:0 in the place of a whiteout of another form.
    fn put_device(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let before = file::stat(at).during("make the upper plain")?;
        self.replace_by_whiteout(at, name)?;
        set_times(at, &before).during("make the upper plain")
    }

    /// Takes the marks from an object that say something to this driver, or to fuse-overlayfs, alone; but `kept`.
    fn take_marks(
        &self,
        (dir, name): At<'_>,
        kind: Kind,
        kept: Option<&[u8]>,
    ) -> Result<(), UpperError> {
        let deed = "take private marks from the upper";
        let own = [self.space.prefix(), b"layerfs."].concat();
        let redirect = Mark::Redirect.name(self.space);
        for mark in xattr_at::names(dir, name).during(deed)? {
            // What redirects a file with data of its own says nothing.
            let is_spent = kind == Kind::File && *mark == *redirect;
            if kept == Some(&*mark) {
                continue;
            }
            if mark.starts_with(&own) || self.wh_names.reserves_attribute(&mark) || is_spent {
                xattr_at::remove(dir, name, &mark).during(deed)?;
            }
        }
        if kind == Kind::Directory && self.opaque(dir, name)? == Opaque::MayHoldWhiteouts {
            xattr_at::remove(dir, name, &Mark::Opaque.name(self.space)).during(deed)?;
        }
        Ok(())
    }

    /// Where an object lies, from the upper directory, for messages: many have one name.
    fn path_of(&self, (above, name): At<'_>) -> String {
        let path = dir::path_of(above).and_then(|above| Ok((above, dir::path_of(&self.root)?)));
        let path = path.map(|(above, root)| match above.strip_prefix(root) {
            Ok(below) => below.as_os_str().as_bytes().to_vec(),
            Err(_) => above.into_os_string().into_vec(),
        });
        match path {
            Ok(above) if above.is_empty() => name.escape_ascii().to_string(),
            Ok(above) => [&above, &b"/"[..], name].concat().escape_ascii().to_string(),
            Err(error) => {
                tracing::debug!("where `{}` lies is not known: {error}", name.escape_ascii());
                name.escape_ascii().to_string()
            }
        }
    }

    fn each(
        &self,
        act: impl FnMut(At<'_>, &Stat) -> Result<(), UpperError>,
    ) -> Result<(), UpperError> {
        self.each_below(&self.root, act)
    }

    fn each_below(
        &self,
        top: &OwnedFd,
        mut act: impl FnMut(At<'_>, &Stat) -> Result<(), UpperError>,
    ) -> Result<(), UpperError> {
        let mut failed = None;
        let walked = deep::visit(top, |dir, name, stat| match act((dir, name), stat) {
            Ok(()) => Ok(()),
            Err(error) => {
                let (path, errno) = (self.path_of((dir, name)), error.errno());
                failed = Some(error.at(path));
                Err(SysError::new("walk", name.escape_ascii().to_string(), errno))
            }
        });
        match failed {
            Some(error) => Err(error),
            None => walked.during("walk through the upper"),
        }
    }
}

/// Makes a change in a directory that is not to be seen in its times.
fn keeping_times(
    dir: &OwnedFd,
    change: impl FnOnce() -> Result<(), SysError>,
) -> Result<(), SysError> {
    let before = file::stat(dir)?;
    change()?;
    set_times(dir, &before)
}

fn set_times(dir: &OwnedFd, before: &Stat) -> Result<(), SysError> {
    let before = Attr::of_stat(before);
    let at = |time: Timestamp| SetTime::At(time.secs, time.nanos);
    change::set_times_at(dir, ".", at(before.atime), at(before.mtime))
}
