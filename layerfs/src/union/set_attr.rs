//! Changing attributes.

use super::copy_up::Extent;
use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::path::Spot;
use crate::sys::change::{self, Access, SetTime};
use crate::sys::{Errno, SysError, host};
use crate::tree::{Attr, Kind, Timestamp};
use crate::upper::UpperError;

/// What is to be changed; `None` and `Keep` leave things as they are.
#[derive(Clone, Copy, Debug)]
pub struct SetAttr {
    /// Permission, set-id and sticky bits.
    pub permissions: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Owner's group.
    pub gid: Option<u32>,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// Last read.
    pub atime: SetTime,
    /// Last change of the contents.
    pub mtime: SetTime,
}

impl Default for SetAttr {
    fn default() -> Self {
        let (atime, mtime) = (SetTime::Keep, SetTime::Keep);
        SetAttr { permissions: None, uid: None, gid: None, size: None, atime, mtime }
    }
}

impl SetAttr {
    /// Whether nothing is to be changed: a request of which the kernel means that it takes privileges away.
    pub fn is_empty(&self) -> bool {
        let times = self.atime != SetTime::Keep || self.mtime != SetTime::Keep;
        self.permissions.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.size.is_none()
            && !times
    }
}

impl Union {
    /// Changes attributes, and answers those that the node has then.
    pub fn set_attr(&self, id: NodeId, set: &SetAttr) -> Result<Attr, UnionError> {
        self.writable()?;
        let node = self.node(id)?;
        if set.size.is_some() && node.kind != Kind::File {
            return answer(if node.is_directory() { Errno::ISDIR } else { Errno::INVAL });
        }
        if let Some(changed) = changed_of_gone(&node, set) {
            return changed;
        }
        // Where it is cut, an error afterwards would deny what is done: what it is to show is known before.
        let before = set.size.map(|_| self.attr_of(&node)).transpose()?;
        let mut emptied = None;
        if !node.is_directory() {
            let extent = match set.size {
                Some(0) => Extent::Nothing,
                Some(_) => Extent::Blocks,
                // A file that has its data below and dies as it is filled would lose them.
                None if set.permissions.is_some_and(|bits| bits & 0o6000 != 0) => Extent::Whole,
                None => Extent::Attributes,
            };
            emptied = self.copy_up_opened(&node, extent)?;
        }
        // A copy that was made empty has its size. To ask for it once more could only be refused, and leave it empty.
        if let Some(size) = set.size.filter(|_| emptied.is_none()) {
            self.cut(&node, size)?;
        }
        let _changing = node.changing();
        let _topology = self.topology.read();
        if node.is_directory() {
            self.ensure_upper_dir(&node)?;
        }
        // What has no name goes with its last close, which may come meanwhile.
        let is_nameless = !node.is_directory() && node.place.lock().names.is_empty();
        let _count = is_nameless.then(|| node.count.lock());
        if let Some(changed) = changed_of_gone(&node, set) {
            return changed;
        }
        self.apply(&node, set)?;
        match (self.attr_of(&node), before) {
            (Err(error), Some(mut shown)) => {
                tracing::warn!("a file that was cut shows no more than what was set: {error}");
                put(&mut shown, set);
                Ok(shown)
            }
            (shown, _) => shown,
        }
    }

    /// Sets the size, which comes first. What goes may be much: the way to the file is not held meanwhile.
    fn cut(&self, node: &Shared, size: u64) -> Result<(), UnionError> {
        let file = {
            let _topology = self.topology.read();
            self.in_place(node, |spot| {
                change::open_file(&*spot.dir, &*spot.name, Access::Write).map_err(told)
            })?
        };
        self.look_through(node)?;
        self.resize(node, &file, size)
    }

    /// Owner before permissions: each may clear set-id bits that are asked for. Times last.
    fn apply(&self, node: &Shared, set: &SetAttr) -> Result<(), UnionError> {
        if set.size.is_some() && (SetAttr { size: None, ..*set }).is_empty() {
            return Ok(());
        }
        self.in_place(node, |spot| self.apply_at(node, spot, set))
    }

    fn apply_at(&self, node: &Shared, spot: &Spot, set: &SetAttr) -> Result<(), UnionError> {
        let upper = self.writable()?;
        let (dir, name) = (&*spot.dir, &*spot.name);
        let _measured = upper.spending_at((dir, name), 0)?;
        // A change of nothing is a chown to no one: it strips set-id bits and capabilities, and that is its purpose.
        if set.uid.is_some() || set.gid.is_some() || set.is_empty() {
            upper.set_owner((dir, name), set.uid, set.gid)?;
        }
        if let Some(permissions) = set.permissions {
            if node.kind == Kind::Symlink {
                return answer(Errno::OPNOTSUPP);
            }
            upper.set_permissions((dir, name), permissions & 0o7777)?;
        }
        if set.atime != SetTime::Keep || set.mtime != SetTime::Keep {
            change::set_times_at(dir, name, set.atime, set.mtime).map_err(told)?;
        }
        Ok(())
    }
}

/// Changes what is remembered of a node that nothing leads to and of which no object is kept: of a removed directory, which
/// whoever holds it may still change. `None` where the node has an object.
fn changed_of_gone(node: &Shared, set: &SetAttr) -> Option<Result<Attr, UnionError>> {
    let mut place = node.place.lock();
    let gone = place.gone.as_mut().filter(|_| !node.is_open())?;
    if set.size.is_some() {
        return Some(answer(Errno::NOENT));
    }
    put(gone, set);
    Some(Ok(*gone))
}

/// Sets what is shown of an object.
fn put(shown: &mut Attr, set: &SetAttr) {
    let (secs, nanos) = host::now();
    let now = Timestamp { secs, nanos };
    let time = |set, before| match set {
        SetTime::Keep => before,
        SetTime::Now => now,
        SetTime::At(secs, nanos) => Timestamp { secs, nanos },
    };
    shown.permissions = set.permissions.unwrap_or(shown.permissions) & 0o7777;
    shown.uid = set.uid.unwrap_or(shown.uid);
    shown.gid = set.gid.unwrap_or(shown.gid);
    shown.atime = time(set.atime, shown.atime);
    shown.mtime = time(set.mtime, shown.mtime);
    shown.ctime = now;
    if let Some(size) = set.size {
        (shown.size, shown.mtime) = (size, time(set.mtime, now));
    }
}

fn told(source: SysError) -> UnionError {
    UpperError::Call { deed: "change attributes", source }.into()
}
