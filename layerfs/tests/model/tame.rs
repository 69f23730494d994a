//! Owns histories of those who are not root of the machine: what only root may do is another operation, and what the model
//! says of user 0 is said of whoever runs the test.

use super::history::Case;
use super::layers::{Below, LayerEntry, LayerNode};
use super::ops::{Mode, Op, Special, XattrName};
use super::union_ground::Lowers;

/// Who runs the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Root of a user namespace, whatever ids it has.
    RootOfNamespace,
    /// A user, whom permissions stop.
    User,
}

/// The user or group of a test that the model calls so.
pub fn real(model: u32) -> u32 {
    if model == 0 { own() } else { model }
}

/// The model's word for a user or group.
pub fn modelled(real: u32) -> u32 {
    if real == own() { 0 } else { real }
}

/// The numbers of the user and of its group are the same.
fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The case without what these may not do.
pub fn tame(mut case: Case, who: Who, lowers: Lowers) -> Case {
    for layer in &mut case.layers {
        layer.entries.iter_mut().for_each(|entry| tame_entry(entry, who, lowers));
    }
    case.ops = case.ops.into_iter().map(|op| tame_op(op, who)).collect();
    case
}

fn tame_entry(entry: &mut LayerEntry, who: Who, lowers: Lowers) {
    (entry.meta.uid, entry.meta.gid) = (0, 0);
    entry.meta.mode = tame_mode(entry.meta.mode, who);
    entry.meta.xattr.iter_mut().for_each(|(name, _)| *name = tame_name(*name));
    match &mut entry.node {
        node @ LayerNode::Null => *node = LayerNode::Pipe,
        // The writer of layers on a disk knows root's mark alone.
        LayerNode::Folder(below) if lowers == Lowers::Directories => *below = Below::Merged,
        _ => {}
    }
}

/// Without set-id bits, which a write takes of all but root of the machine.
fn tame_mode(mode: Mode, who: Who) -> Mode {
    match who {
        Who::RootOfNamespace => Mode(mode.0 & 0o1777),
        Who::User => Mode(mode.0 & 0o1777 | 0o700),
    }
}

fn tame_name(name: XattrName) -> XattrName {
    match name {
        XattrName::UserA | XattrName::UserB => name,
        XattrName::TrustedA => XattrName::UserA,
        XattrName::OverlayOpaque | XattrName::OverlayRedirect => XattrName::UserB,
    }
}

fn tame_op(op: Op, who: Who) -> Op {
    match op {
        Op::Create { path, how, mode } => Op::Create { path, how, mode: tame_mode(mode, who) },
        Op::Mkdir { path, mode } => Op::Mkdir { path, mode: tame_mode(mode, who) },
        Op::Chmod { path, mode } => Op::Chmod { path, mode: tame_mode(mode, who) },
        Op::Mknod { path, special, mode } => {
            let special = if special == Special::NullDevice { Special::Fifo } else { special };
            Op::Mknod { path, special, mode: tame_mode(mode, who) }
        }
        Op::Chown { path, uid, gid } => {
            Op::Chown { path, uid: uid.map(|_| 0), gid: gid.map(|_| 0) }
        }
        Op::SetXattr { path, name, value, how } => {
            Op::SetXattr { path, name: tame_name(name), value, how }
        }
        Op::RemoveXattr { path, name } => Op::RemoveXattr { path, name: tame_name(name) },
        op => op,
    }
}
