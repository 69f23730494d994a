//! Owns the way from a history's paths to a union's nodes: what the kernel's VFS does before it asks a FUSE server.
//!
//! Every lookup is forgotten at the end of its operation, so that a union whose counts are wrong loses a node in use or
//! never gives one back.

use rustix::io::Errno;

use super::nodes::{Attributes, Change, Handle, Made, NodeNumber, Nodes, Opening, Spot};
use super::ops::{Access, Mode, Op, Place, SLOTS, Space, XattrName};
use super::pattern::Pattern;
use super::subject::{Kind, Outcome, Rules, Snapshot, Subject, sha256};
use super::tree_path::TreePath;

/// A union as a subject.
pub struct ByNode<N: Nodes> {
    pub nodes: N,
    rules: Rules,
    held: [Option<Open>; SLOTS],
    /// Lookups since the operation began.
    pub(super) lookups: Vec<NodeNumber>,
}

#[derive(Clone, Copy)]
struct Open {
    node: NodeNumber,
    handle: Handle,
    access: Access,
}

/// The end of a path: its directory, and what is there.
pub(super) struct End<'p> {
    pub spot: Spot<'p>,
    pub found: Option<Attributes>,
}

pub(super) type Answer = Result<(), Errno>;

impl<N: Nodes> ByNode<N> {
    pub fn new(nodes: N, rules: Rules) -> ByNode<N> {
        ByNode { nodes, rules, held: [None; SLOTS], lookups: Vec::new() }
    }

    pub(super) fn child(&mut self, spot: Spot<'_>) -> Result<Option<Attributes>, Errno> {
        match self.nodes.lookup(spot) {
            Ok(found) => {
                self.lookups.push(found.node);
                Ok(Some(found))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(other) => Err(other),
        }
    }

    pub(super) fn walk(&mut self, path: &TreePath) -> Result<Attributes, Errno> {
        let mut at = self.nodes.attributes(self.nodes.root())?;
        for name in path.names() {
            enter(&at)?;
            at = self.child(Spot { parent: at.node, name })?.ok_or(Errno::NOENT)?;
        }
        Ok(at)
    }

    pub(super) fn spot<'p>(&mut self, path: &'p TreePath) -> Result<Spot<'p>, Errno> {
        let (parent, name) = path.split().expect("no history makes or removes the root");
        let parent = self.walk(&parent)?;
        enter(&parent)?;
        Ok(Spot { parent: parent.node, name })
    }

    pub(super) fn end<'p>(&mut self, path: &'p TreePath) -> Result<End<'p>, Errno> {
        let spot = self.spot(path)?;
        Ok(End { spot, found: self.child(spot)? })
    }

    pub(super) fn file(&mut self, path: &TreePath) -> Result<NodeNumber, Errno> {
        let found = self.walk(path)?;
        must_be_file(&found)?;
        Ok(found.node)
    }

    /// Opens for writing, lets `deed` work, and closes.
    fn writing(&mut self, path: &TreePath, deed: impl FnOnce(&mut Self, Open) -> Answer) -> Answer {
        let node = self.file(path)?;
        let handle = self.nodes.open(node, Opening::Writing)?;
        let done = deed(self, Open { node, handle, access: Access::Writing });
        self.nodes.release(node, handle);
        done
    }

    /// The kernel knows where a file ends and sends no empty write.
    fn write(&mut self, open: Open, place: Place, data: Pattern) -> Answer {
        let offset = match place {
            Place::Offset(offset) => offset,
            Place::End => self.nodes.attributes(open.node)?.facts.size,
        };
        let data = data.bytes();
        if data.is_empty() { Ok(()) } else { self.nodes.write(open.handle, offset, &data) }
    }

    fn allocate(&mut self, path: &TreePath, deed: Space, from: u64, len: u64) -> Answer {
        self.writing(path, |union, open| union.nodes.allocate(open.handle, deed, from, len))
    }

    fn change(&mut self, path: &TreePath, change: Change) -> Answer {
        let found = self.walk(path)?;
        if matches!(change, Change::Mode(_)) && found.facts.kind == Kind::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        self.nodes.set_attributes(found.node, change)
    }

    fn may_have(&mut self, path: &TreePath, name: XattrName) -> Result<NodeNumber, Errno> {
        let found = self.walk(path)?;
        let takes_user = matches!(found.facts.kind, Kind::File | Kind::Directory);
        if name.is_user() && !takes_user { Err(Errno::PERM) } else { Ok(found.node) }
    }

    fn hold(&mut self, slot: usize, path: &TreePath, access: Access) -> Answer {
        self.close(slot);
        let node = self.file(path)?;
        let opening = if access == Access::Reading { Opening::Reading } else { Opening::Writing };
        let handle = self.nodes.open(node, opening)?;
        // An open file keeps its node: one lookup stays until it is closed.
        let at = self.lookups.iter().rposition(|seen| *seen == node).expect("it was walked to");
        self.lookups.remove(at);
        self.held[slot] = Some(Open { node, handle, access });
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        if let Some(open) = self.held[slot].take() {
            self.nodes.release(open.node, open.handle);
            self.nodes.forget(open.node, 1);
        }
    }

    fn held(&self, slot: usize, errno: Errno, not: &[Access]) -> Result<Open, Errno> {
        let open = self.held[slot].ok_or(Errno::BADF)?;
        if not.contains(&open.access) { Err(errno) } else { Ok(open) }
    }

    fn held_outcome(&mut self, op: &Op) -> Result<Outcome, Errno> {
        match op {
            Op::HeldWrite { slot, offset, data } => {
                let open = self.held(*slot, Errno::BADF, &[Access::Reading])?;
                let place = match open.access {
                    Access::Appending => Place::End,
                    _ => Place::Offset(*offset),
                };
                self.write(open, place, *data)?;
            }
            Op::HeldTruncate { slot, len } => {
                let open = self.held(*slot, Errno::INVAL, &[Access::Reading])?;
                self.nodes.set_attributes(open.node, Change::Size(*len))?;
            }
            Op::HeldRead { slot, offset, len } => {
                let not = [Access::Writing, Access::Appending];
                let open = self.held(*slot, Errno::BADF, &not)?;
                let read = self.nodes.read(open.handle, *offset, *len)?;
                return Ok(Outcome::Read { len: read.len(), sha256: sha256(&read) });
            }
            Op::HeldStat { slot } => {
                let open = self.held(*slot, Errno::BADF, &[])?;
                return Ok(Outcome::Stat(self.nodes.attributes(open.node)?.facts));
            }
            _ => panic!("{op:?} holds nothing"),
        }
        Ok(Outcome::Done)
    }

    fn operate(&mut self, op: &Op) -> Result<Outcome, Errno> {
        match op {
            Op::Create { path, how, mode } => self.create(path, *how, *mode),
            Op::Mkdir { path, mode } => self.make(path, Made::Directory(Mode(mode.0 & 0o1777))),
            Op::Symlink { path, target } => self.make(path, Made::Symlink(target)),
            Op::Mknod { path, special, mode } => self.make(path, Made::Special(*special, *mode)),
            Op::Link { from, to } => self.link(from, to),
            Op::Unlink { path } => self.remove(path, Kind::File),
            Op::Rmdir { path } => self.remove(path, Kind::Directory),
            Op::Rename { from, to, flag } => self.rename(from, to, *flag),
            Op::Write { path, place, data } => {
                self.writing(path, |union, open| union.write(open, *place, *data))
            }
            Op::Truncate { path, len } => self.writing(path, |union, open| {
                union.nodes.set_attributes(open.node, Change::Size(*len))
            }),
            Op::Fallocate { path, deed, offset, len } => self.allocate(path, *deed, *offset, *len),
            Op::Chmod { path, mode } => self.change(path, Change::Mode(*mode)),
            Op::Chown { path, uid, gid } => self.change(path, Change::Owner(*uid, *gid)),
            Op::Utimens { path, stamp } => self.change(path, Change::Time(*stamp)),
            Op::SetXattr { path, name, value, how } => self
                .may_have(path, *name)
                .and_then(|node| self.nodes.set_xattr(node, name.as_str(), &value.bytes(), *how)),
            Op::RemoveXattr { path, name } => self
                .may_have(path, *name)
                .and_then(|node| self.nodes.remove_xattr(node, name.as_str())),
            Op::Open { slot, path, access } => self.hold(*slot, path, *access),
            Op::Close { slot } => {
                self.close(*slot);
                Ok(())
            }
            Op::Remount => panic!("a remount is asked of the subject"),
            held => return self.held_outcome(held),
        }
        .map(|()| Outcome::Done)
    }

    fn forget_all(&mut self) {
        for node in std::mem::take(&mut self.lookups) {
            self.nodes.forget(node, 1);
        }
    }
}

fn enter(at: &Attributes) -> Answer {
    match at.facts.kind {
        Kind::Directory => Ok(()),
        Kind::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::NOTDIR),
    }
}

pub(super) fn must_be_file(found: &Attributes) -> Answer {
    match found.facts.kind {
        Kind::File => Ok(()),
        Kind::Directory => Err(Errno::ISDIR),
        Kind::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::NXIO),
    }
}

impl<N: Nodes> Subject for ByNode<N> {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        let outcome = self.operate(op);
        self.forget_all();
        outcome
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let root = self.nodes.root();
        match self.nodes.attributes(root) {
            Ok(root) => self.visit(root, TreePath::root(), &mut snapshot),
            Err(errno) => snapshot.disorder.push(format!("the root: {errno:?}")),
        }
        self.forget_all();
        snapshot.disorder.extend(self.nodes.complaints());
        snapshot.entries.sort_by(|a, b| a.path.cmp(&b.path));
        snapshot
    }

    fn end(&mut self) -> Vec<String> {
        (0..SLOTS).for_each(|slot| self.close(slot));
        self.nodes.end();
        self.nodes.complaints()
    }

    fn remount(&mut self) {
        (0..SLOTS).for_each(|slot| self.close(slot));
        self.nodes.remount();
    }

    fn rules(&self) -> Rules {
        self.rules
    }
}
