//! Who asks, where that decides what a change takes away: set-id bits and capabilities.
//!
//! The kernel leaves the group's bit to us: it knows who is of a group, and a request names one of the caller's groups. What a
//! request does not say `/proc` tells, as long as who asks waits for the answer. Only what has such bits is worth that question.
//!
//! 1. A write takes them away, and so does a change of size or owner: the user's bit always, the group's bit where the group may
//!    execute the file, or where who asks is not of the group. Capabilities go with each of these whoever asks.
//! 2. Who may keep them (`CAP_FSETID`) keeps them when writing and when changing the size. A request that changes the size says
//!    who may; so does a write.
//! 3. A request that changes nothing is a write, or a change of owner that changes none. The first has the file open for
//!    writing; the second is the owner's alone. Where there are capabilities the kernel has asked to remove them before.

use std::cell::OnceCell;

use super::door::Door;
use super::manner::Callers;
use crate::sys::Errno;
use crate::sys::credentials::{Capability, Credentials};
use crate::tree::{Attr, Kind};
use crate::union::{NodeId, SetAttr, UnionError};
use crate::wire::Asked;

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o10;

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Asker {
    /// User and group, as owners are shown to them.
    ids: (u32, u32),
    /// Its number here; 0 where that is not known.
    thread: u32,
    /// What `/proc` told of it, asked for once.
    told: OnceCell<Option<Credentials>>,
    /// Whether it keeps set-id bits where it cuts a file, as the request says.
    keeps: Option<bool>,
}

impl Asker {
    /// The same, whose request cuts a file and says whether set-id bits go, where such requests do.
    pub fn stripping(self, is_said: bool, strips: bool) -> Asker {
        Asker { keeps: is_said.then_some(!strips), ..self }
    }

    fn told(&self) -> Option<&Credentials> {
        self.told.get_or_init(|| Credentials::of(self.thread, self.ids)).as_ref()
    }

    fn is_zero(&self) -> bool {
        self.ids.0 == 0
    }
}

impl Door {
    pub(super) fn asker(&self, asked: &Asked) -> Asker {
        let thread = match self.manner.callers {
            Callers::Known => asked.pid,
            Callers::Unknown => 0,
        };
        Asker { ids: (asked.uid, asked.gid), thread, told: OnceCell::new(), keeps: None }
    }

    /// Whether who asks has a right of the whole machine's. Where it is not told user 0 has all, unless it is root of another
    /// user namespace.
    fn has(&self, asker: &Asker, capability: Capability) -> bool {
        self.is_zero_root
            && match asker.told() {
                Some(told) => told.has(capability),
                None => asker.is_zero(),
            }
    }

    /// Whether who cuts a file keeps its set-id bits. Where the request does not say so, it is asked.
    fn keeps_bits(&self, asker: &Asker) -> bool {
        asker.keeps.unwrap_or_else(|| self.has(asker, Capability::Fsetid))
    }

    /// Whether who asks is of a group, or may do as if. Where it is not told the caller's first group is the only one.
    fn is_of_group(&self, asker: &Asker, gid: u32) -> bool {
        let gid = self.manner.ids.groups.shown(gid);
        asker.ids.1 == gid
            || asker.told().is_some_and(|told| told.groups().contains(&gid))
            || self.has(asker, Capability::Fsetid)
            || asker.is_zero() && !self.is_zero_root
    }

    /// The set-id bits that a change takes away from who may not keep them.
    fn bits_to_go(&self, asker: &Asker, attr: &Attr) -> u32 {
        if attr.kind == Kind::Directory {
            return 0;
        }
        let mut bits = attr.permissions & (SET_USER | SET_GROUP);
        let is_kept = bits & SET_GROUP != 0
            && attr.permissions & GROUP_EXECUTES == 0
            && self.is_of_group(asker, attr.gid);
        if is_kept {
            bits &= !SET_GROUP;
        }
        bits
    }

    /// Changes attributes, with all that a change of size or owner takes away.
    pub(super) fn change(
        &self,
        asker: &Asker,
        node: NodeId,
        set: &SetAttr,
    ) -> Result<Attr, UnionError> {
        let owner_changes = set.uid.is_some() || set.gid.is_some();
        if !owner_changes && !set.is_empty() && set.size.is_none() {
            return self.union.set_attr(node, set);
        }
        let before = self.union.attr(node)?;
        let bits = self.bits_to_go(asker, &before);
        if bits == 0 || (set.size.is_some() && self.keeps_bits(asker)) {
            return self.union.set_attr(node, set);
        }
        if set.is_empty() && !self.may_strip(asker, node, &before) {
            return Err(UnionError::Answer(Errno::PERM));
        }
        let after = self.union.set_attr(node, set)?;
        self.strip(node, bits, after)
    }

    /// Whether a change of nothing is the asker's to make.
    fn may_strip(&self, asker: &Asker, node: NodeId, attr: &Attr) -> bool {
        let is_owner = self.manner.ids.users.shown(attr.uid) == asker.ids.0;
        let is_privileged =
            self.has(asker, Capability::Fowner) || asker.is_zero() && !self.is_zero_root;
        is_owner || is_privileged || self.union.is_open_for_writing(node)
    }

    /// Takes set-id bits away that a change left. What it does as a change of owner takes away it takes first: what the
    /// upper's file system does by itself needs no more.
    fn strip(&self, node: NodeId, bits: u32, attr: Attr) -> Result<Attr, UnionError> {
        if attr.permissions & bits == 0 {
            return Ok(attr);
        }
        let attr = self.union.set_attr(node, &SetAttr::default())?;
        let permissions = attr.permissions & !bits;
        if permissions == attr.permissions {
            return Ok(attr);
        }
        let permissions = Some(permissions);
        self.union.set_attr(node, &SetAttr { permissions, ..SetAttr::default() })
    }

    /// The same after a file was emptied as it was opened. The answer to an open says nothing of the attributes, and the
    /// kernel believes to know the mode. Where this process is not root of the machine, the upper's file system strips the
    /// file by itself.
    pub(super) fn strip_emptied(
        &self,
        asker: &Asker,
        node: NodeId,
        before: &Attr,
    ) -> Result<(), UnionError> {
        let mut after = self.union.attr(node)?;
        let bits = self.bits_to_go(asker, before);
        if bits != 0 && !self.keeps_bits(asker) {
            after = self.strip(node, bits, after)?;
        }
        if before.permissions != after.permissions {
            self.disbelieve(node);
        }
        Ok(())
    }

    /// Takes the set-group-id bit away after an access control list was given to something, by who is not of its group.
    pub(super) fn strip_listed(&self, asker: &Asker, node: NodeId) -> Result<(), UnionError> {
        let attr = self.union.attr(node)?;
        if attr.permissions & SET_GROUP != 0 && !self.is_of_group(asker, attr.gid) {
            let permissions = Some(attr.permissions & !SET_GROUP);
            self.union.set_attr(node, &SetAttr { permissions, ..SetAttr::default() })?;
        }
        Ok(())
    }

    /// Whether attributes of the administrator are listed for who asks.
    pub(super) fn sees_trusted(&self, asker: &Asker) -> bool {
        self.has(asker, Capability::SysAdmin)
    }
}
