//! Owns the reading of an upper by whoever did not mount it: nothing is locked, swept or changed, mounted or not.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

use super::error::{During, UpperError};
use super::index::Group;
use super::look::{Data, Listed, Look, mark_error};
use super::open::{Durability, Upper, refuse_in_kernel};
use super::partial::Partial;
use super::whiteout::Whiteouts;
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::host::{self, Rights};
use crate::sys::{dir, xattr};
use crate::tree::{Attr, Mark, MarkSpace, Origin, Records, Redirects, WhNames};

/// An upper that is only looked at.
#[derive(Debug)]
pub struct UpperReader {
    /// None of its methods that change anything is called here, or can be from elsewhere.
    upper: Upper,
    made_over: Option<Origin>,
}

/// The copy of a hard-link group: an entry of the index.
#[derive(Debug)]
pub struct GroupCopy {
    /// The lower file that it is a copy of.
    pub origin: Origin,
    /// Its name in the index.
    pub name: String,
    /// How many names the union shows.
    pub links: u32,
    /// Where it has its data.
    pub data: Data,
}

impl UpperReader {
    /// Looks at the upper at `root`. Its work directory is needed where it has copies of files with several names; where
    /// it is given and is none, there are no such copies.
    pub fn open(root: OwnedFd, work: Option<&OwnedFd>) -> Result<Self, UpperError> {
        let deed = "open the upper directory";
        refuse_in_kernel(&[&root].into_iter().chain(work).collect::<Vec<_>>())?;
        let again = || dir::open(&root, ".", Symlinks::Stop).during(deed);
        let rights = host::rights().during(deed)?;
        let (space, made_over) = made_over(&root, rights)?;
        let index = match work {
            Some(work) => index_in(work)?,
            None => None,
        };
        let records = match rights {
            Rights::Root => Records::Never,
            Rights::Namespace(_) | Rights::User => Records::OfLayers,
        };
        let upper = Upper {
            work: again()?,
            lock: again()?,
            index: index.map_or_else(OnceLock::new, OnceLock::from),
            space,
            redirects: redirects_of(space, rights),
            unmarked: None,
            durability: Durability::Volatile,
            owners: Upper::find_owners(&root, records)?,
            own: host::own_ids(),
            // It is an image's.
            wh_names: WhNames::Plain,
            whiteouts: Whiteouts::Auto,
            format: OnceLock::new(),
            kernel_index: None,
            quota: None,
            remembered: Box::default(),
            device: file::stat(&root).during(deed)?.st_dev,
            next: AtomicU64::new(0),
            has_groups: AtomicBool::new(false),
            may_hide_names: AtomicBool::new(true),
            partial: Partial::Never,
            holes: AtomicU8::new(0),
            has_partial: AtomicBool::new(false),
            root,
        };
        let reader = UpperReader { upper, made_over };
        if reader.upper.index_dir().is_none() && reader.upper.has_group_copies()? {
            return Err(UpperError::IndexUnknown);
        }
        Ok(reader)
    }

    /// Looks through all of one whose root does not say where its marks are: it was made plain, or others wrote it.
    pub fn find_marks(&mut self) -> Result<(), UpperError> {
        if self.made_over.is_none() && self.upper.has_marks_of_other_space()? {
            self.upper.space = MarkSpace::User;
            // Others than root see no other.
            self.upper.redirects = Redirects::Refuse;
        }
        Ok(())
    }

    /// Reads it as a mount of directories does: `.wh.` names hide others, and so may the root all of the lower.
    pub fn over_directories(mut self) -> Self {
        self.upper.wh_names = WhNames::Whiteouts;
        self
    }

    /// Reads its marks as those of a mount that says where they are, and whether its redirects are followed.
    pub fn with_marks(mut self, space: MarkSpace, redirects: Redirects) -> Self {
        (self.upper.space, self.upper.redirects) = (space, redirects);
        self
    }

    /// Whether it shows nothing of what lies below it.
    pub fn hides_all(&self) -> Result<bool, UpperError> {
        self.upper.hides_all()
    }

    /// The root of the lower that it was first mounted over; `None` of an upper that was never used, or whose file system
    /// keeps no attributes.
    pub fn made_over(&self) -> Option<&Origin> {
        self.made_over.as_ref()
    }

    /// The path of the first object that is a renamed directory of the lower, or has its data there; `None` where all that was
    /// changed lies here.
    pub fn first_that_leads_below(&self) -> Result<Option<String>, UpperError> {
        self.upper.first_that_leads_below()
    }

    /// The layer's root directory.
    pub fn root(&self) -> &OwnedFd {
        self.upper.root()
    }

    /// The directory of the index, which the names of [`UpperReader::group_copies`] stand in.
    pub fn index_dir(&self) -> Option<&OwnedFd> {
        self.upper.index_dir()
    }

    /// Where its marks are.
    pub fn space(&self) -> MarkSpace {
        self.upper.space
    }

    /// Whether its redirects are followed.
    pub fn redirects(&self) -> Redirects {
        self.upper.redirects
    }

    /// Looks at a name.
    pub fn look(&self, dir: &OwnedFd, name: &[u8]) -> Result<Look, UpperError> {
        self.upper.look(dir, name)
    }

    /// Everything in a directory, whiteouts included, in no order.
    pub fn list(&self, dir: &OwnedFd) -> Result<Vec<Listed>, UpperError> {
        self.upper.list(dir)
    }

    /// Opens a directory of the layer.
    pub fn open_dir(&self, dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, UpperError> {
        dir::open(dir, name, Symlinks::Stop).during("open a directory of the upper")
    }

    /// Opens a file of the layer, and says what was opened.
    pub fn open_file(&self, dir: &OwnedFd, name: &[u8]) -> Result<(OwnedFd, Stat), UpperError> {
        let deed = "open a file of the upper";
        let file = file::open_read(dir, name, Symlinks::Stop).during(deed)?;
        let stat = file::stat(&file).during(deed)?;
        Ok((file, stat))
    }

    /// What stands under a name, whatever it means.
    pub fn stat(&self, dir: &OwnedFd, name: &[u8]) -> Result<Stat, UpperError> {
        file::stat_at(dir, name, Symlinks::Stop).during("look into the upper")
    }

    /// The attributes of an object with this metadata, recorded ones too.
    pub fn attr(&self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> Result<Attr, UpperError> {
        self.upper.attr((dir, name), stat)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, dir: &OwnedFd, name: &[u8]) -> Result<Box<[u8]>, UpperError> {
        self.upper.read_link(dir, name)
    }

    /// The extended attributes that users see, sorted by name: no marks and no records, escaped names turned back.
    pub fn xattrs(&self, dir: &OwnedFd, name: &[u8]) -> Result<Vec<xattr::Pair>, UpperError> {
        let stored = xattr::all_at(dir, name).during("read attributes")?;
        let mut shown: Vec<xattr::Pair> = Vec::new();
        for (stored, value) in stored {
            let Some(attribute) = self.upper.shown_name(&stored) else { continue };
            let value = match self.upper.is_followed(&attribute) {
                true => self.upper.shown_list((dir, name), Some(value))?.unwrap_or_default(),
                false => value,
            };
            shown.push((attribute.into(), value));
        }
        shown.sort();
        Ok(shown)
    }

    /// The copies of hard-link groups, under whatever names the union shows them.
    pub fn group_copies(&self) -> Result<Vec<GroupCopy>, UpperError> {
        let deed = "read the index";
        let Some(index) = self.upper.index_dir() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in dir::list(index).during(deed)? {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            let Some(Group { links, copied_up: true }) = self.upper.group(name)? else { continue };
            let Some(mark) = self.upper.mark(index, &entry.name, Mark::Origin)? else { continue };
            let origin =
                Origin::decode(&mark).map_err(|fault| mark_error(&entry.name, fault.into()))?;
            let data = self.upper.data_of_group(name)?;
            found.push(GroupCopy { origin, name: name.to_owned(), links, data });
        }
        Ok(found)
    }
}

/// Where the marks of an upper are, and what its root says that it was made over.
fn made_over(root: &OwnedFd, rights: Rights) -> Result<(MarkSpace, Option<Origin>), UpperError> {
    for space in [MarkSpace::Trusted, MarkSpace::User] {
        let mark = crate::sys::xattr_at::get(root, b".", &Mark::Origin.name(space));
        if let Some(value) = mark.during("read a mark")? {
            let origin = Origin::decode(&value).map_err(|fault| mark_error(b".", fault.into()))?;
            return Ok((space, Some(origin)));
        }
    }
    Ok((if rights == Rights::Root { MarkSpace::Trusted } else { MarkSpace::User }, None))
}

/// As a mount has it: a redirect of `user.*` can be written by whoever owns the directory, and reaches past permissions,
/// those of root of the machine.
fn redirects_of(space: MarkSpace, rights: Rights) -> Redirects {
    match (space, rights) {
        (MarkSpace::User, Rights::Root) => Redirects::Refuse,
        _ => Redirects::Follow,
    }
}

/// The index in a work directory; `None` where none was begun.
fn index_in(work: &OwnedFd) -> Result<Option<OwnedFd>, UpperError> {
    match dir::open(work, "layerfs", Symlinks::Stop)
        .and_then(|private| dir::open(&private, "index", Symlinks::Stop))
    {
        Err(error) if error.is_absent() => Ok(None),
        opened => opened.map(Some).during("open the index"),
    }
}
