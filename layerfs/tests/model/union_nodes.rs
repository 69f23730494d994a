//! Owns the union as nodes, and what must hold of it between operations: nothing is leaked, lookup and getattr agree.

use std::mem::discriminant;
use std::path::{Path, PathBuf};

use layerfs_driver::sys::change::{self, SetTime};
use layerfs_driver::sys::xattr_at::SetHow;
use layerfs_driver::tree::{Attr, Kind as DriverKind, Name};
use layerfs_driver::union::{
    Caller, HandleId, Looked, NewNode, NodeId, OpenHow, RenameHow, SetAttr, Union, UnionError,
};
use rustix::io::Errno;

use super::nodes::{Attributes, Change, Handle, Listed, Made, NodeNumber, Nodes, Opening, Spot};
use super::ops::{Mode, RenameFlag, Space, Special, Stamp, XattrHow};
use super::subject::{Facts, Kind};
use super::tree::Moment;
use super::union_rest;

const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0 };
/// `FALLOC_FL_KEEP_SIZE` and `FALLOC_FL_PUNCH_HOLE`.
const PUNCH: u32 = 3;
/// Entries that a listing gives at once: few, so that cookies have to hold.
const LISTED_AT_ONCE: usize = 2;

/// How long the kernel that is played here holds what it looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing is forgotten before the end of the mount.
    Long,
    /// Everything but what is open is forgotten after each operation.
    Short,
}

/// Where the sides of a union are, and how they are joined.
pub struct Sides {
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Everything that a mount opens lies below.
    pub place: PathBuf,
    /// Opens the same sides each time.
    pub mount: Box<dyn Fn() -> Union>,
}

/// A union without a mount.
pub struct UnionNodes {
    sides: Sides,
    memory: Memory,
    /// Nothing for the moments between two mounts only.
    union: Option<Union>,
    /// Descriptors below the place before the first mount.
    descriptors: usize,
    /// What the kernel has yet to forget.
    unforgotten: Vec<(NodeId, u64)>,
    complaints: Vec<String>,
}

impl UnionNodes {
    pub fn new(sides: Sides, memory: Memory) -> UnionNodes {
        change::set_umask(0);
        let descriptors = union_rest::descriptors_below(&sides.place);
        let union = Some((sides.mount)());
        let (unforgotten, complaints) = (Vec::new(), Vec::new());
        UnionNodes { sides, memory, union, descriptors, unforgotten, complaints }
    }

    pub fn upper(&self) -> &Path {
        &self.sides.upper
    }

    fn union(&self) -> &Union {
        self.union.as_ref().expect("it is mounted but for moments")
    }

    fn looked(&mut self, looked: Looked) -> Attributes {
        match self.union().attr(looked.id) {
            Ok(attr) if is_same(&attr, &looked.attr) => {}
            other => {
                let what = format!("lookup says {:?}, getattr {other:?}", looked.attr);
                self.complaints.push(what);
            }
        }
        // A number that is forgotten may begin its generations anew.
        let generation = (self.memory == Memory::Long).then_some(looked.generation);
        Attributes { generation, ..attributes(looked.id, &looked.attr) }
    }

    fn handle(&self, node: NodeNumber, opening: Opening) -> Result<Handle, Errno> {
        let how = match opening {
            Opening::Reading => OpenHow::Read,
            Opening::Writing => OpenHow::Write,
            Opening::Emptying => OpenHow::Truncate,
        };
        self.union().open(NodeId(node), how).map(|handle| handle.0).map_err(errno)
    }

    fn forget_all(&mut self) {
        for (id, lookups) in std::mem::take(&mut self.unforgotten) {
            self.union().forget(id, lookups);
        }
    }

    fn unmount(&mut self) {
        self.forget_all();
        let nodes = self.union().node_count();
        // Untouched nodes below a changed directory find their way through it, so that it stays.
        let nodes_max = 1 + union_rest::directories_below(&self.sides.upper);
        if nodes > nodes_max {
            self.complaints.push(format!("{nodes} nodes stay, {nodes_max} at most may"));
        }
        self.union = None;
        let descriptors = union_rest::descriptors_below(&self.sides.place);
        if descriptors != self.descriptors {
            let before = self.descriptors;
            self.complaints.push(format!("{descriptors} descriptors are open, {before} before"));
        }
        self.complaints.extend(union_rest::leftovers(&self.sides.work));
    }
}

impl Nodes for UnionNodes {
    fn root(&self) -> NodeNumber {
        NodeId::ROOT.0
    }

    fn lookup(&mut self, at: Spot<'_>) -> Result<Attributes, Errno> {
        let looked = self.union().lookup(NodeId(at.parent), &name(at)).map_err(errno)?;
        Ok(self.looked(looked))
    }

    fn forget(&mut self, node: NodeNumber, lookups: u64) {
        match self.memory {
            Memory::Long => self.unforgotten.push((NodeId(node), lookups)),
            Memory::Short => self.union().forget(NodeId(node), lookups),
        }
    }

    fn attributes(&mut self, node: NodeNumber) -> Result<Attributes, Errno> {
        let attr = self.union().attr(NodeId(node)).map_err(errno)?;
        Ok(attributes(NodeId(node), &attr))
    }

    fn set_attributes(&mut self, node: NodeNumber, change: Change) -> Result<(), Errno> {
        let keep = SetAttr::default();
        let set = match change {
            Change::Mode(mode) => SetAttr { permissions: Some(mode.0), ..keep },
            Change::Owner(uid, gid) => SetAttr { uid, gid, ..keep },
            Change::Size(size) => SetAttr { size: Some(size), ..keep },
            Change::Time(Stamp::Now) => {
                SetAttr { atime: SetTime::Now, mtime: SetTime::Now, ..keep }
            }
            Change::Time(Stamp::Past(secs, nanos)) => {
                let past = SetTime::At(secs, nanos);
                SetAttr { atime: past, mtime: past, ..keep }
            }
        };
        let answered = self.union().set_attr(NodeId(node), &set).map_err(errno)?;
        let shown = self.union().attr(NodeId(node)).map_err(errno)?;
        if !is_same(&answered, &shown) {
            self.complaints.push(format!("setattr says {answered:?}, getattr {shown:?}"));
        }
        Ok(())
    }

    fn read_link(&mut self, node: NodeNumber) -> Result<Vec<u8>, Errno> {
        self.union().read_link(NodeId(node)).map(<[u8]>::into_vec).map_err(errno)
    }

    fn make(&mut self, at: Spot<'_>, made: Made<'_>) -> Result<Attributes, Errno> {
        let (new, mode) = match made {
            Made::Directory(mode) => (NewNode::Directory, mode.0),
            Made::Symlink(target) => (NewNode::Symlink(target.as_bytes()), 0o777),
            Made::Special(special, mode) => (NewNode::Special(driver_special(special)), mode.0),
        };
        let spot = (NodeId(at.parent), &name(at));
        let looked = self.union().create(spot, new, mode, ROOT).map_err(errno)?;
        Ok(self.looked(looked))
    }

    fn create(&mut self, at: Spot<'_>, mode: Mode) -> Result<(Attributes, Handle), Errno> {
        let spot = (NodeId(at.parent), &name(at));
        let made = self.union().create(spot, NewNode::File, mode.0, ROOT).map_err(errno)?;
        let handle = self.handle(made.id.0, Opening::Writing)?;
        Ok((self.looked(made), handle))
    }

    fn link(&mut self, node: NodeNumber, at: Spot<'_>) -> Result<Attributes, Errno> {
        let linked = self.union().link(NodeId(node), NodeId(at.parent), &name(at));
        let linked = linked.map_err(errno)?;
        Ok(self.looked(linked))
    }

    fn unlink(&mut self, at: Spot<'_>) -> Result<(), Errno> {
        self.union().unlink(NodeId(at.parent), &name(at)).map_err(errno)
    }

    fn rmdir(&mut self, at: Spot<'_>) -> Result<(), Errno> {
        self.union().rmdir(NodeId(at.parent), &name(at)).map_err(errno)
    }

    fn rename(&mut self, from: Spot<'_>, to: Spot<'_>, flag: RenameFlag) -> Result<(), Errno> {
        let how = match flag {
            RenameFlag::Plain => RenameHow::Replace,
            RenameFlag::NoReplace => RenameHow::NoReplace,
            RenameFlag::Exchange => RenameHow::Exchange,
            RenameFlag::Whiteout => RenameHow::Whiteout,
        };
        let (old, new) = ((NodeId(from.parent), &name(from)), (NodeId(to.parent), &name(to)));
        self.union().rename(old, new, how).map_err(errno)
    }

    fn open(&mut self, node: NodeNumber, opening: Opening) -> Result<Handle, Errno> {
        self.handle(node, opening)
    }

    fn release(&mut self, _: NodeNumber, handle: Handle) {
        self.union().release(HandleId(handle));
    }

    fn read(&mut self, handle: Handle, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        let len = self.union().read(HandleId(handle), &mut bytes, offset).map_err(errno)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn write(&mut self, handle: Handle, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.union().write(HandleId(handle), data, offset).map(|_| ()).map_err(errno)
    }

    fn allocate(&mut self, handle: Handle, deed: Space, from: u64, len: u64) -> Result<(), Errno> {
        let mode = match deed {
            Space::Extend => 0,
            Space::Punch => PUNCH,
        };
        self.union().allocate(HandleId(handle), mode, from, len).map_err(errno)
    }

    fn list(&mut self, node: NodeNumber) -> Result<Vec<Listed>, Errno> {
        let mut listed = Vec::new();
        let mut cookie = 0;
        loop {
            let before = listed.len();
            let took = self.union().list(NodeId(node), cookie, |entry| {
                if listed.len() == before + LISTED_AT_ONCE {
                    return false;
                }
                cookie = entry.cookie;
                listed.push(Listed {
                    name: entry.name.as_bytes().to_vec(),
                    number: entry.ino.0,
                    kind: discriminant(&kind(entry.kind, (0, 0))),
                });
                true
            });
            took.map_err(errno)?;
            if listed.len() == before {
                return Ok(listed);
            }
        }
    }

    fn xattrs(&mut self, node: NodeNumber) -> Result<Vec<(String, Vec<u8>)>, Errno> {
        let mut found = Vec::new();
        for name in self.union().xattr_names(NodeId(node)).map_err(errno)? {
            // `security.*` and `system.*` depend on the machine.
            if name.starts_with(b"user.") || name.starts_with(b"trusted.") {
                let value = self.union().xattr(NodeId(node), &name).map_err(errno)?;
                found.push((String::from_utf8_lossy(&name).into_owned(), value.into_vec()));
            }
        }
        Ok(found)
    }

    fn set_xattr(
        &mut self,
        node: NodeNumber,
        name: &str,
        value: &[u8],
        how: XattrHow,
    ) -> Result<(), Errno> {
        let how = match how {
            XattrHow::Any => SetHow::Any,
            XattrHow::MustBeNew => SetHow::Create,
            XattrHow::MustExist => SetHow::Replace,
        };
        self.union().set_xattr(NodeId(node), (name.as_bytes(), value), how).map_err(errno)
    }

    fn remove_xattr(&mut self, node: NodeNumber, name: &str) -> Result<(), Errno> {
        self.union().remove_xattr(NodeId(node), name.as_bytes()).map_err(errno)
    }

    fn remount(&mut self) {
        self.forget_all();
        let counted = union_rest::counted(self.union());
        self.unmount();
        self.union = Some((self.sides.mount)());
        let found = union_rest::counted(self.union());
        if !union_rest::is_as_counted(&self.sides.upper, counted, found) {
            self.complaints.push(format!("{counted:?} were counted, and {found:?} are there"));
        }
    }

    fn end(&mut self) {
        self.unmount();
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}

fn name(at: Spot<'_>) -> Name {
    Name::new(at.name).unwrap()
}

fn errno(error: UnionError) -> Errno {
    error.errno()
}

/// XFS allocates blocks when it likes to.
fn is_same(one: &Attr, other: &Attr) -> bool {
    *one == Attr { blocks: one.blocks, ..*other }
}

fn attributes(id: NodeId, attr: &Attr) -> Attributes {
    let kind = kind(attr.kind, attr.rdev);
    let size = if matches!(kind, Kind::File | Kind::Symlink) { attr.size } else { 0 };
    let facts = Facts {
        kind,
        mode: attr.permissions,
        uid: attr.uid,
        gid: attr.gid,
        links: attr.nlink.into(),
        hidden: 0,
        size,
    };
    let mtime = Moment::At(attr.mtime.secs, attr.mtime.nanos);
    Attributes { node: id.0, number: id.ino().0, generation: None, facts, mtime }
}

fn kind(kind: DriverKind, (major, minor): (u32, u32)) -> Kind {
    match kind {
        DriverKind::Directory => Kind::Directory,
        DriverKind::File => Kind::File,
        DriverKind::Symlink => Kind::Symlink,
        DriverKind::Fifo => Kind::Fifo,
        DriverKind::Socket => Kind::Socket,
        DriverKind::CharDevice => Kind::Char { major, minor },
        DriverKind::BlockDevice => Kind::Block { major, minor },
    }
}

fn driver_special(special: Special) -> change::Special {
    match special {
        Special::Fifo => change::Special::Fifo,
        Special::Socket => change::Special::Socket,
        Special::NullDevice => change::Special::Character { major: 1, minor: 3 },
        Special::WhiteoutDevice => change::Special::Character { major: 0, minor: 0 },
    }
}
