//! Owns what the kernel's VFS checks before a name is made, linked, moved or removed, and the union's calls after it.

use rustix::io::Errno;

use super::by_node::{Answer, ByNode, must_be_file};
use super::nodes::{Made, Nodes, Opening};
use super::ops::{Creation, Mode, RenameFlag};
use super::subject::Kind;
use super::tree_path::TreePath;

impl<N: Nodes> ByNode<N> {
    pub(super) fn create(&mut self, path: &TreePath, how: Creation, mode: Mode) -> Answer {
        let end = self.end(path)?;
        let Some(found) = end.found else {
            let (made, handle) = self.nodes.create(end.spot, mode)?;
            self.lookups.push(made.node);
            self.nodes.release(made.node, handle);
            return Ok(());
        };
        if how == Creation::Exclusive {
            return Err(Errno::EXIST);
        }
        must_be_file(&found)?;
        let emptying = how == Creation::OrEmpty;
        let opening = if emptying { Opening::Emptying } else { Opening::Writing };
        let handle = self.nodes.open(found.node, opening)?;
        self.nodes.release(found.node, handle);
        Ok(())
    }

    pub(super) fn make(&mut self, path: &TreePath, made: Made<'_>) -> Answer {
        let end = self.end(path)?;
        if end.found.is_some() {
            return Err(Errno::EXIST);
        }
        let made = self.nodes.make(end.spot, made)?;
        self.lookups.push(made.node);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &TreePath, to: &TreePath) -> Answer {
        let old = self.spot(from)?;
        let new = self.spot(to)?;
        let source = self.child(old)?.ok_or(Errno::NOENT)?;
        if self.child(new)?.is_some() {
            return Err(Errno::EXIST);
        }
        if source.facts.kind == Kind::Directory {
            return Err(Errno::PERM);
        }
        let linked = self.nodes.link(source.node, new)?;
        self.lookups.push(linked.node);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &TreePath, wanted: Kind) -> Answer {
        let end = self.end(path)?;
        let found = end.found.ok_or(Errno::NOENT)?;
        match (wanted, found.facts.kind) {
            (Kind::Directory, Kind::Directory) => self.nodes.rmdir(end.spot),
            (Kind::Directory, _) => Err(Errno::NOTDIR),
            (_, Kind::Directory) => Err(Errno::ISDIR),
            _ => self.nodes.unlink(end.spot),
        }
    }

    pub(super) fn rename(&mut self, from: &TreePath, to: &TreePath, flag: RenameFlag) -> Answer {
        let old = self.spot(from)?;
        let new = self.spot(to)?;
        let source = self.child(old)?.ok_or(Errno::NOENT)?;
        let target = self.child(new)?;
        match (flag, &target) {
            (RenameFlag::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (RenameFlag::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        // The last name of a path that was walked without links tells which directories it passes.
        if passes(to, from) {
            return Err(Errno::INVAL);
        }
        if passes(from, to) {
            let exchange = flag == RenameFlag::Exchange;
            return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if let Some(target) = target {
            if target.node == source.node {
                return Ok(());
            }
            let kinds = (source.facts.kind, target.facts.kind);
            match kinds {
                _ if flag == RenameFlag::Exchange => {}
                (Kind::Directory, Kind::Directory) => {}
                (Kind::Directory, _) => return Err(Errno::NOTDIR),
                (_, Kind::Directory) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        self.nodes.rename(old, new, flag)
    }
}

/// Whether the way to `path` passes `node`, which is another path.
fn passes(path: &TreePath, node: &TreePath) -> bool {
    path.depth() > node.depth() && path.names().zip(node.names()).all(|(a, b)| a == b)
}
