//! What stands under a name of the upper: nothing, a whiteout, or an object with its marks.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use super::error::{During, MarkFault, UpperError};
use super::open::Upper;
use super::owners::unless_shut;
use super::rename::At;
use crate::sys::beneath::Purpose;
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::{Errno, xattr_at};
use crate::tree::wh_names::{FUSE_OVERLAYFS_OPAQUE, WH_OPAQUE, WH_PREFIX, wh_name};
use crate::tree::{
    Attr, Blocks, Kind, Mark, MarkSpace, Metacopy, Name, Opaque, Origin, Redirect, WhNames,
};

/// What stands under a name.
#[derive(Debug)]
pub enum Look {
    /// The upper says nothing of the name.
    Absent,
    /// The name is hidden.
    Whiteout,
    /// An object.
    Found(Box<Found>),
}

/// The same, of an object only what its file system says.
#[derive(Debug)]
pub enum Glance {
    /// The upper says nothing of the name.
    Absent,
    /// The name is hidden.
    Whiteout,
    /// An object.
    Object(Attr, Box<Stat>),
}

/// An object of the upper.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its attributes, as the upper's file system has them.
    pub attr: Attr,
    /// Device, number and the rest, as the upper's file system says them.
    pub stat: Stat,
    /// The lower object that it is a copy of, where it is marked.
    pub origin: Option<Origin>,
    /// Of a directory: what it hides.
    pub opaque: Opaque,
    /// Where the lower part of a directory, or a file's data, lies, where that is not under its own name.
    pub redirect: Option<Redirect>,
    /// Of a file: where its data is.
    pub data: Data,
}

/// Where a file of the upper has its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// In itself.
    Here,
    /// In the lower, where a redirect or its own name leads: the kernel's overlayfs copied no more than metadata up.
    Below,
    /// In the lower, in the file that its origin names, and in directories a redirect beside that: we did.
    OfOrigin,
    /// The same but for what was written since: so many bytes from the start are the lower's where the file has holes.
    InPart {
        /// So many bytes.
        below: u64,
        /// The mark says more: the file was made shorter, and who did died before it set that.
        is_shorter: bool,
    },
}

impl Upper {
    /// Looks at `name` in `dir`, a directory of this upper with that opaque mark.
    pub fn look(&self, dir: &OwnedFd, name: &[u8]) -> Result<Look, UpperError> {
        let (attr, stat) = match self.glance(dir, name)? {
            Glance::Absent => return Ok(Look::Absent),
            Glance::Whiteout => return Ok(Look::Whiteout),
            Glance::Object(attr, stat) => (attr, *stat),
        };
        let mut found = Found {
            attr,
            stat,
            origin: self.origin((dir, name), Attr::of_stat(&stat).kind, stat.st_ino)?,
            opaque: Opaque::No,
            redirect: None,
            data: Data::Here,
        };
        match attr.kind {
            Kind::Directory => self.read_directory_marks(dir, name, &mut found)?,
            Kind::File => self.read_file_marks(dir, name, &mut found)?,
            Kind::Symlink | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Socket => {}
        }
        Ok(Look::Found(Box::new(found)))
    }

    /// The same of an object whose metadata is known, with no more of its marks than its number depends on.
    pub fn look_for_number(&self, (dir, name): At<'_>, stat: &Stat) -> Result<Found, UpperError> {
        let attr = Attr::of_stat(stat);
        let (opaque, redirect) = (Opaque::No, None);
        let data = Data::Here;
        let mut found = Found { attr, stat: *stat, origin: None, opaque, redirect, data };
        match attr.kind {
            Kind::Directory => self.read_directory_marks(dir, name, &mut found)?,
            kind => found.origin = self.origin((dir, name), kind, stat.st_ino)?,
        }
        Ok(found)
    }

    /// The same without the marks of an object: what they say, and whether they can be understood, is no matter.
    pub fn glance(&self, dir: &OwnedFd, name: &[u8]) -> Result<Glance, UpperError> {
        Ok(match self.glance_unrecorded(dir, name)? {
            Glance::Object(_, stat) => Glance::Object(self.attr((dir, name), &stat)?, stat),
            other => other,
        })
    }

    /// The same for a listing: an object whose record can't be understood is what its file system says.
    pub fn glance_listed(&self, dir: &OwnedFd, name: &[u8]) -> Result<Glance, UpperError> {
        Ok(match self.glance_unrecorded(dir, name)? {
            Glance::Object(attr, stat) => match self.attr((dir, name), &stat) {
                Err(error) if error.is_of_marks() => Glance::Object(attr, stat),
                recorded => Glance::Object(recorded?, stat),
            },
            other => other,
        })
    }

    fn glance_unrecorded(&self, dir: &OwnedFd, name: &[u8]) -> Result<Glance, UpperError> {
        if self.wh_names.reserves(name) {
            return Ok(Glance::Absent);
        }
        let stat = match file::stat_at(dir, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => {
                let hidden =
                    self.is_hidden_by_name(dir, name)? || self.is_hidden_by_mark(dir, name)?;
                return Ok(match hidden {
                    true => Glance::Whiteout,
                    false => Glance::Absent,
                });
            }
            stat => stat.during("look into the upper")?,
        };
        let attr = Attr::of_stat(&stat);
        let is_whiteout = attr.is_whiteout_device()
            || attr.kind == Kind::File
                && attr.size == 0
                && self.has_mark(dir, name, Mark::Whiteout)?;
        if is_whiteout {
            return Ok(Glance::Whiteout);
        }
        Ok(Glance::Object(attr, Box::new(stat)))
    }

    fn read_directory_marks(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        found: &mut Found,
    ) -> Result<(), UpperError> {
        found.opaque = self.opaque(dir, name)?;
        found.redirect = self.redirect(dir, name)?;
        if found.opaque != Opaque::Hides && self.wh_names == WhNames::Whiteouts {
            // What is beside it speaks of its namesake below, and where a redirect leads is another.
            let hides_namesake = found.redirect.is_none() && self.is_hidden_by_name(dir, name)?;
            if hides_namesake || self.is_opaque_otherwise(dir, name)? {
                found.opaque = Opaque::Hides;
            }
        }
        Ok(())
    }

    /// Whether the layer shows nothing of what lies below it.
    pub fn hides_all(&self) -> Result<bool, UpperError> {
        if self.wh_names == WhNames::Plain {
            return Ok(false);
        }
        match file::stat_at(&self.root, WH_OPAQUE, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(false),
            stat => stat.during("look whether the upper is opaque").map(|_| true),
        }
    }

    /// Whether a `.wh.` name beside it hides a name.
    fn is_hidden_by_name(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        if self.wh_names == WhNames::Plain {
            return Ok(false);
        }
        match file::stat_at(dir, &*wh_name(name), Symlinks::Stop) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() || error.errno() == Errno::NAMETOOLONG => Ok(false),
            Err(source) => Err(source).during("look for a whiteout"),
        }
    }

    /// Whether a directory is opaque by a `.wh.` name in it, or by a mark of fuse-overlayfs's.
    fn is_opaque_otherwise(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        let deed = "look whether a directory is opaque";
        let inside = crate::sys::beneath::open(dir, name, Purpose::Walk).during(deed)?;
        match file::stat_at(&inside, WH_OPAQUE, Symlinks::Stop) {
            Err(error) if error.is_absent() => {}
            stat => return stat.during(deed).map(|_| true),
        }
        let value = xattr_at::get(dir, name, FUSE_OVERLAYFS_OPAQUE).during(deed)?;
        Ok(value.as_deref() == Some(b"y"))
    }

    /// What the mark of a directory says that it hides.
    pub(super) fn opaque(&self, dir: &OwnedFd, name: &[u8]) -> Result<Opaque, UpperError> {
        let Some(value) = self.mark(dir, name, Mark::Opaque)? else { return Ok(Opaque::No) };
        Opaque::parse(&value).map_err(|fault| mark_error(name, fault.into()))
    }

    fn redirect(&self, dir: &OwnedFd, name: &[u8]) -> Result<Option<Redirect>, UpperError> {
        let Some(value) = self.mark(dir, name, Mark::Redirect)? else { return Ok(None) };
        Redirect::parse(&value).map(Some).map_err(|fault| mark_error(name, fault.into()))
    }

    /// A file whose data lies elsewhere must not be taken for a whole one.
    fn read_file_marks(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        found: &mut Found,
    ) -> Result<(), UpperError> {
        found.data = self.data((dir, name))?;
        if found.data != Data::Here {
            found.redirect = self.redirect(dir, name)?;
        }
        Ok(())
    }

    /// Where a file has its data.
    pub(super) fn data(&self, (dir, name): At<'_>) -> Result<Data, UpperError> {
        let Some(value) = self.mark(dir, name, Mark::Metacopy)? else { return Ok(Data::Here) };
        match Metacopy::parse(&value) {
            Ok(Metacopy::Below) => Ok(Data::Below),
            Ok(Metacopy::Unwritten) => Ok(Data::OfOrigin),
            Ok(Metacopy::Partial(blocks)) => {
                let stat =
                    file::stat_at(dir, name, Symlinks::Stop).during("look at a partial file")?;
                let birth = file::birth_at(dir, name).during("look at a partial file")?;
                if Blocks::own(stat.st_ino, birth) != blocks.own {
                    return Err(mark_error(name, MarkFault::Moved));
                }
                let below = blocks.below.min(Attr::of_stat(&stat).size);
                Ok(Data::InPart { below, is_shorter: below < blocks.below })
            }
            Err(fault) => Err(mark_error(name, MarkFault::Metacopy(fault))),
        }
    }

    pub(super) fn origin(
        &self,
        (dir, name): At<'_>,
        kind: Kind,
        ino: u64,
    ) -> Result<Option<Origin>, UpperError> {
        if let Some(unmarked) = &self.unmarked {
            return Ok(unmarked.origin(ino));
        }
        if !self.can_mark(kind) {
            return Ok(self.remembered.origin(ino));
        }
        let Some(value) = self.mark(dir, name, Mark::Origin)? else { return Ok(None) };
        Origin::decode(&value).map(Some).map_err(|fault| mark_error(name, fault.into()))
    }

    fn has_mark(&self, dir: &OwnedFd, name: &[u8], mark: Mark) -> Result<bool, UpperError> {
        Ok(self.mark(dir, name, mark)?.is_some())
    }

    /// A mark's value; `None` where the object does not have it.
    pub(super) fn mark(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        mark: Mark,
    ) -> Result<Option<Box<[u8]>>, UpperError> {
        let value = xattr_at::get(dir, name, &mark.name(self.space));
        match self.space {
            MarkSpace::Trusted => value.during("read a mark"),
            MarkSpace::User => unless_shut(value).during("read a mark"),
        }
    }
}

pub(super) fn mark_error(name: &[u8], fault: MarkFault) -> UpperError {
    UpperError::Mark { name: name.escape_ascii().to_string(), fault }
}

/// The names in a directory of the upper, each with whether it hides or is.
#[derive(Debug)]
pub struct Listed {
    /// The name.
    pub name: Name,
    /// `None` for a whiteout.
    pub kind: Option<Kind>,
    /// The metadata of an object, where telling it from a whiteout took a look at it.
    pub stat: Option<Box<Stat>>,
}

impl Upper {
    /// Everything in a directory, whiteouts included, in no order.
    pub fn list(&self, dir: &OwnedFd) -> Result<Vec<Listed>, UpperError> {
        let deed = "list a directory of the upper";
        let readable = crate::sys::dir::open(dir, ".", Symlinks::Stop).during(deed)?;
        let mut listed = Vec::new();
        let mut hidden = Vec::new();
        for entry in crate::sys::dir::list(&readable).during(deed)? {
            let Ok(name) = Name::new(&entry.name) else { continue };
            if self.wh_names.reserves(&entry.name) {
                let hides =
                    entry.name.strip_prefix(WH_PREFIX).filter(|_| &*entry.name != WH_OPAQUE);
                hidden.extend(hides.and_then(|hidden| Name::new(hidden).ok()));
                continue;
            }
            // Only devices and empty files can be whiteouts, so only they cost a closer look.
            let (kind, stat) = match entry.kind {
                Some(crate::sys::dir::ListedKind::Directory) => (Some(Kind::Directory), None),
                Some(crate::sys::dir::ListedKind::Symlink) => (Some(Kind::Symlink), None),
                _ => match self.glance_listed(dir, &entry.name)? {
                    Glance::Absent => continue,
                    Glance::Whiteout => (None, None),
                    Glance::Object(attr, stat) => (Some(attr.kind), Some(stat)),
                },
            };
            listed.push(Listed { name, kind, stat });
        }
        hidden.extend(self.name_hidden_in(dir)?);
        if !hidden.is_empty() {
            // What is there itself was made anew.
            let there: HashSet<Name> = listed.iter().map(|listed| listed.name.clone()).collect();
            let whiteout = |name| Listed { name, kind: None, stat: None };
            listed.extend(hidden.into_iter().filter(|name| !there.contains(name)).map(whiteout));
        }
        Ok(listed)
    }
}
