//! Making an object aside in the work directory and installing it with one rename.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::blocks::{own, own_at};
use super::error::{During, UpperError};
use super::look::mark_error;
use super::open::{Durability, Upper};
use super::owners::Owners;
use super::rename::At;
use crate::sys::change::{self, SetTime, Special};
use crate::sys::file::Symlinks;
use crate::sys::xattr_at::SetHow;
use crate::sys::{SysError, dir, file, xattr};
use crate::tree::{Attr, Blocks, Kind, Mark, Metacopy, Name, Origin, Recorded, Timestamp, acl};

/// Who owns a new object, and what may be done with it.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission, set-id and sticky bits.
    pub permissions: u32,
}

/// The access control lists of a new object.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Who may do what with it, beyond what its permissions say.
    pub access: Option<Vec<u8>>,
    /// Of a directory: what it hands on to what is made in it.
    pub default: Option<Box<[u8]>>,
}

/// What stands where an object is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Nothing: a name that is taken is an error.
    Nothing,
    /// Nothing: a name that is taken is an error. The lower has something there that the mount does not show, and a
    /// directory must not be merged with it, by another mount either.
    Hidden,
    /// A whiteout, which the object takes the place of.
    Whiteout,
}

/// An object that is made and has its final form, under a name of its own in the work directory.
///
/// Dropped without being installed it stays there: whoever fails on the way calls [`Upper::discard`].
#[derive(Debug)]
pub struct Staged {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A new object's type and contents.
#[derive(Clone, Debug)]
pub enum Blank<'a> {
    /// An empty directory.
    Directory,
    /// An empty file.
    File,
    /// A symbolic link.
    Symlink(&'a [u8]),
    /// A fifo, a socket or a device.
    Special(Special),
}

impl Blank<'_> {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Blank::Directory => Kind::Directory,
            Blank::File => Kind::File,
            Blank::Symlink(_) => Kind::Symlink,
            Blank::Special(Special::Fifo) => Kind::Fifo,
            Blank::Special(Special::Socket) => Kind::Socket,
            Blank::Special(Special::Character { .. }) => Kind::CharDevice,
            Blank::Special(Special::Block { .. }) => Kind::BlockDevice,
        }
    }

    fn rdev(&self) -> (u32, u32) {
        match *self {
            Blank::Special(
                Special::Character { major, minor } | Special::Block { major, minor },
            ) => (major, minor),
            Blank::Special(Special::Fifo | Special::Socket)
            | Blank::Directory
            | Blank::File
            | Blank::Symlink(_) => (0, 0),
        }
    }
}

/// Where the contents of a copied-up file come from.
pub trait Contents {
    /// Puts the contents into `file`, which is empty; its size is set afterwards.
    fn fill(&self, file: &OwnedFd) -> Result<(), SysError>;
}

/// What becomes of the data of a lower file that is copied up.
#[derive(Clone)]
pub enum CopiedData<'a> {
    /// None is copied, and the file is empty. So of what is no file.
    Nothing,
    /// It is copied.
    Copied(&'a dyn Contents),
    /// It stays where it is: in the origin, which directories find at this path.
    Left(Option<Vec<Name>>),
    /// It is copied, and is in the origin, too, until it is on the disk.
    Brought(&'a dyn Contents, Option<Vec<Name>>),
}

/// The lower object that is copied up.
pub struct Copied<'a> {
    /// Its attributes.
    pub attr: Attr,
    /// Its extended attributes, as users see them.
    pub xattrs: Vec<xattr::Pair>,
    /// What marks its copy.
    pub origin: Option<Origin>,
    /// Of a symbolic link: its target.
    pub target: Box<[u8]>,
    /// Of a file: its contents.
    pub data: CopiedData<'a>,
}

impl Upper {
    /// Makes a new object aside.
    pub fn stage_new(
        &self,
        blank: &Blank<'_>,
        owner: Owner,
        lists: &Lists,
    ) -> Result<Staged, UpperError> {
        let staged = Staged { name: self.aside(), kind: blank.kind() };
        let at = (&self.work, staged.name.as_bytes());
        let made = self.make_blank(&staged.name, blank, (owner.uid, owner.gid));
        let made = made.during("make a new object").and_then(|()| {
            let _measured = self.spending_at(at, 0)?;
            self.own(&staged, blank, owner)?;
            self.has_no_origin(&self.work, staged.name.as_bytes())?;
            self.set_lists(&staged, lists)
        });
        self.or_discard(&staged, made)?;
        Ok(staged)
    }

    /// Makes a copy of a lower object aside. Order: data and size, owner, attributes with capabilities last,
    /// permissions, times: each of the earlier ones changes one of the later.
    pub fn stage_copy(&self, copied: &Copied<'_>) -> Result<Staged, UpperError> {
        let blank = blank_of(copied);
        let staged = Staged { name: self.aside(), kind: copied.attr.kind };
        let owner = (copied.attr.uid, copied.attr.gid);
        Self::refuse_unknown(owner)?;
        let at = (&self.work, staged.name.as_bytes());
        let made = match blank {
            Blank::File => {
                let permissions = self.first_permissions(&copied.attr);
                let make = || file::create_new(&self.work, staged.name.as_str(), permissions);
                self.bearing(at, make).map(Some)
            }
            _ => self.make_blank(&staged.name, &blank, owner).map(|()| None),
        };
        let filled = made.during("make a copy").and_then(|file| {
            let _spent = self.spending_at(at, bytes_of(copied))?;
            self.fill(&staged, copied, file.as_ref())
        });
        self.or_discard(&staged, filled)?;
        Ok(staged)
    }

    /// The permissions with which the copy of a file is made: those that it is to have, where nothing that is done to it changes
    /// them or needs others.
    fn first_permissions(&self, attr: &Attr) -> u32 {
        const OF_OWNER: u32 = 0o600;
        let are_plain = attr.permissions & !0o777 == 0 && attr.permissions & OF_OWNER == OF_OWNER;
        if self.owners == Owners::OfObjects && are_plain { attr.permissions } else { OF_OWNER }
    }

    fn fill(
        &self,
        staged: &Staged,
        copied: &Copied<'_>,
        file: Option<&OwnedFd>,
    ) -> Result<(), UpperError> {
        let (name, attr) = (staged.name.as_bytes(), &copied.attr);
        let deed = "copy an object up";
        let at = (&self.work, name);
        let made = file.map(file::stat).transpose().during(deed)?;
        if let Some(file) = file {
            put_data(file, copied).during(deed)?;
        }
        let made = made.filter(|_| self.owners == Owners::OfObjects);
        let as_made = made.as_ref().map(Attr::of_stat);
        if as_made.is_none_or(|made| (made.uid, made.gid) != (attr.uid, attr.gid)) {
            self.give(at, &Recorded::of(attr))?;
        }
        self.copy_xattrs(&self.work, name, &copied.xattrs)?;
        match &copied.origin {
            Some(origin) => self.set_origin(&self.work, name, (attr.kind, origin))?,
            None => self.has_no_origin(&self.work, name)?,
        }
        match &copied.data {
            CopiedData::Left(path) => {
                self.mark_unfilled(at, path.as_deref(), Metacopy::Unwritten)?;
            }
            CopiedData::Brought(_, path) => {
                let own = match file {
                    Some(file) => own(file).during(deed)?,
                    None => own_at(at).during(deed)?,
                };
                let blocks = Blocks { below: attr.size, own };
                self.mark_unfilled(at, path.as_deref(), Metacopy::Partial(blocks))?;
            }
            CopiedData::Nothing | CopiedData::Copied(_) => {}
        }
        let has_permissions = copied.xattrs.is_empty()
            && as_made.is_some_and(|made| made.permissions == attr.permissions);
        if attr.kind != Kind::Symlink && !has_permissions {
            self.set_permissions(at, attr.permissions)?;
        }
        if let (Some(file), CopiedData::Copied(_), true) = (file, &copied.data, attr.size > 0) {
            // The name must not be durable before the data: a crash would leave an empty file in place of the lower.
            self.sync(file)?;
        }
        // A file that is copied without its contents is emptied by that, as it would be afterwards.
        let is_emptied = attr.kind == Kind::File && matches!(copied.data, CopiedData::Nothing);
        let mtime = if is_emptied { SetTime::Now } else { time(attr.mtime) };
        let atime = time(attr.atime);
        change::set_times_at(&self.work, name, atime, mtime).during(deed)
    }

    /// Gives the root of an upper that was never used the look of the lower's: it is what the mount shows. An upper that
    /// holds anything is left as it is, but for the mark that says over which image it lies; one that was used over
    /// another image is refused.
    pub fn dress_root(&self, copied: &Copied<'_>) -> Result<(), UpperError> {
        let deed = "give the upper's root the look of the lower's";
        if let Some(used) = self.mark(&self.root, b".", Mark::Origin)? {
            let used = Origin::decode(&used).map_err(|fault| mark_error(b".", fault.into()))?;
            return same_image(&used, copied.origin.as_ref());
        }
        let origin = (Kind::Directory, copied.origin.as_ref());
        if !self.list(&self.root)?.is_empty() {
            return self.mark_root(origin);
        }
        let attr = &copied.attr;
        let at: At<'_> = (&self.root, b".");
        self.give(at, &Recorded::of(attr))?;
        self.copy_xattrs(&self.root, b".", &copied.xattrs)?;
        self.set_permissions(at, attr.permissions)?;
        change::set_times_at(&self.root, ".", time(attr.atime), time(attr.mtime)).during(deed)?;
        // The mark is last: without it all is done again.
        self.mark_root(origin)
    }

    fn mark_root(&self, (kind, origin): (Kind, Option<&Origin>)) -> Result<(), UpperError> {
        origin.map_or(Ok(()), |origin| self.set_origin(&self.root, b".", (kind, origin)))
    }

    /// Installs a staged object at a name that has nothing, or a whiteout.
    pub fn install(
        &self,
        staged: &Staged,
        to: &OwnedFd,
        name: &[u8],
        cover: Cover,
    ) -> Result<(), UpperError> {
        let aside = staged.name.as_str();
        let deed = "install an object";
        let grown = self.spending(to, 0);
        let _grown = self.or_discard(staged, grown)?;
        let installed = match (cover, staged.kind) {
            (Cover::Hidden, Kind::Directory) => self
                .set_opaque(&self.work, aside.as_bytes())
                .and_then(|()| dir::rename_new(&self.work, aside, to, name).during(deed)),
            // The whiteout is a name beside it, and stays: it makes a directory opaque.
            (Cover::Whiteout, Kind::Directory) if !self.has_own_whiteout(to, name)? => {
                dir::rename_new(&self.work, aside, to, name).during(deed)
            }
            (Cover::Nothing | Cover::Hidden, _) => {
                dir::rename_new(&self.work, aside, to, name).during(deed)
            }
            // A directory can't be renamed over a device: they change places, and the whiteout goes.
            (Cover::Whiteout, Kind::Directory) => {
                let hiding = self.set_opaque(&self.work, aside.as_bytes());
                let exchanged = hiding
                    .and_then(|()| change::exchange(&self.work, aside, to, name).during(deed));
                if exchanged.is_ok() {
                    self.sweep(aside);
                }
                exchanged
            }
            (Cover::Whiteout, _) => dir::rename(&self.work, aside, to, name).during(deed),
        };
        self.or_discard(staged, installed)
    }

    /// Makes a new object in its place at once. Only for an owner and permissions that need no change afterwards, and in
    /// a directory without a default access control list: the file system would hand it on. A file is open afterwards.
    pub fn make_in_place(
        &self,
        blank: &Blank<'_>,
        at: &OwnedFd,
        name: &[u8],
        permissions: u32,
    ) -> Result<Option<OwnedFd>, UpperError> {
        let _grown = self.spending(at, 0)?;
        let made = self.bearing((at, name), || make(at, name, blank, permissions));
        let file = made.during("make a new object")?;
        self.has_no_origin(at, name)?;
        Ok(file)
    }

    /// Removes a staged object that will not be installed.
    pub fn discard(&self, staged: &Staged) {
        self.sweep(&staged.name);
    }

    /// A staged file, open for reading and writing.
    pub fn open_staged(&self, staged: &Staged) -> Result<OwnedFd, UpperError> {
        change::open_file(&self.work, staged.name.as_str(), change::Access::Write)
            .during("open a file")
    }

    /// The staged object's own inode number and attributes.
    pub fn staged_stat(&self, staged: &Staged) -> Result<(u64, Attr), UpperError> {
        let stat = file::stat_at(&self.work, staged.name.as_str(), Symlinks::Stop)
            .during("look at a new object")?;
        Ok((stat.st_ino, self.attr((&self.work, staged.name.as_bytes()), &stat)?))
    }

    /// A name that nothing in the work directory has.
    pub(super) fn aside(&self) -> String {
        format!("#{:x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn or_discard<T>(
        &self,
        staged: &Staged,
        result: Result<T, UpperError>,
    ) -> Result<T, UpperError> {
        if result.is_err() {
            self.discard(staged);
        }
        result
    }

    fn make_blank(
        &self,
        aside: &str,
        blank: &Blank<'_>,
        owner: (u32, u32),
    ) -> Result<(), SysError> {
        if self.has_stand_in(blank.kind(), owner) {
            let made = || file::create_new(&self.work, aside, 0o600);
            let file = self.bearing((&self.work, aside.as_bytes()), made)?;
            return match blank {
                Blank::Symlink(target) => {
                    file::write_all_at(&file, target, 0)?;
                    // A link has its target at once; a file that stands for one has it before it has the name.
                    match self.durability {
                        Durability::Synced => file::sync(&file),
                        Durability::Volatile => Ok(()),
                    }
                }
                Blank::File | Blank::Directory | Blank::Special(_) => Ok(()),
            };
        }
        // Directories are made enterable, so that they can be filled whoever the process is.
        let permissions = if matches!(blank, Blank::Directory) { 0o700 } else { 0o600 };
        let made = || make(&self.work, aside.as_bytes(), blank, permissions);
        self.bearing((&self.work, aside.as_bytes()), made).map(drop)
    }

    fn own(&self, staged: &Staged, blank: &Blank<'_>, owner: Owner) -> Result<(), UpperError> {
        let (at, Owner { uid, gid, permissions }) = ((&self.work, staged.name.as_bytes()), owner);
        let kind = Some((staged.kind, blank.rdev()));
        self.give(at, &Recorded { uid, gid, permissions, kind })?;
        match staged.kind {
            Kind::Symlink => Ok(()),
            _ => self.set_permissions(at, permissions),
        }
    }

    /// After the permissions: the access list says the same of the owner's class and the others, and more of the group's.
    fn set_lists(&self, staged: &Staged, lists: &Lists) -> Result<(), UpperError> {
        let name = staged.name.as_bytes();
        if let Some(list) = &lists.access {
            self.set_user_xattr(&self.work, name, (acl::ACCESS, list), SetHow::Any)?;
        }
        if let Some(list) = &lists.default {
            self.set_user_xattr(&self.work, name, (acl::DEFAULT, list), SetHow::Any)?;
        }
        Ok(())
    }
}

/// Bytes of data that a copy has.
fn bytes_of(copied: &Copied<'_>) -> u64 {
    match copied.data {
        CopiedData::Copied(_) | CopiedData::Brought(..) => copied.attr.size,
        CopiedData::Nothing | CopiedData::Left(_) => 0,
    }
}

fn make(
    at: &OwnedFd,
    name: &[u8],
    blank: &Blank<'_>,
    permissions: u32,
) -> Result<Option<OwnedFd>, SysError> {
    match blank {
        Blank::Directory => dir::make(at, name, permissions)?,
        Blank::File => return file::create_new(at, name, permissions).map(Some),
        Blank::Symlink(target) => change::make_symlink(target, at, name)?,
        Blank::Special(special) => change::make_special(at, name, *special, permissions)?,
    }
    Ok(None)
}

fn blank_of<'a>(copied: &'a Copied<'_>) -> Blank<'a> {
    let (major, minor) = copied.attr.rdev;
    match copied.attr.kind {
        Kind::Directory => Blank::Directory,
        Kind::File => Blank::File,
        Kind::Symlink => Blank::Symlink(&copied.target),
        Kind::CharDevice => Blank::Special(Special::Character { major, minor }),
        Kind::BlockDevice => Blank::Special(Special::Block { major, minor }),
        Kind::Fifo => Blank::Special(Special::Fifo),
        Kind::Socket => Blank::Special(Special::Socket),
    }
}

/// Gives a file that was just made the data that it is to have, and its size.
fn put_data(file: &OwnedFd, copied: &Copied<'_>) -> Result<(), SysError> {
    let size = copied.attr.size;
    match &copied.data {
        CopiedData::Nothing => Ok(()),
        CopiedData::Copied(contents) => {
            contents.fill(file)?;
            file::truncate(file, size)
        }
        CopiedData::Left(_) => file::truncate(file, size),
        CopiedData::Brought(contents, _) => {
            // The size is on the disk with the name, and the data is not: it is the origin's where there are holes.
            file::truncate(file, size)?;
            contents.fill(file)
        }
    }
}

/// Refuses an upper that was used over another image. Directories may change under one.
fn same_image(used: &Origin, given: Option<&Origin>) -> Result<(), UpperError> {
    match (used, given) {
        (Origin::Image { chain_id: made, .. }, Some(Origin::Image { chain_id: given, .. }))
            if made != given =>
        {
            Err(UpperError::OtherImage { made: made.short(), given: given.short() })
        }
        _ => Ok(()),
    }
}

fn time(time: Timestamp) -> SetTime {
    SetTime::At(time.secs, time.nanos)
}
