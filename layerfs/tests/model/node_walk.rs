//! Owns the snapshot of a union by node numbers.

use std::mem::discriminant;

use rustix::io::Errno;

use super::by_node::ByNode;
use super::nodes::{Attributes, Nodes, Opening, Spot};
use super::subject::{Entry, Kind, Snapshot, hex, sha256};
use super::tree_path::TreePath;

impl<N: Nodes> ByNode<N> {
    pub(super) fn visit(&mut self, at: Attributes, path: TreePath, snapshot: &mut Snapshot) {
        let entry = self.entry(&at, path.clone());
        match entry {
            Ok(entry) => snapshot.entries.push(entry),
            Err(errno) => snapshot.disorder.push(format!("{path:?}: {errno:?}")),
        }
        if at.facts.kind != Kind::Directory {
            return;
        }
        let listed = self.nodes.list(at.node).unwrap_or_else(|errno| {
            snapshot.disorder.push(format!("{path:?}: list: {errno:?}"));
            Vec::new()
        });
        let mut names: Vec<&[u8]> = listed.iter().map(|item| &item.name[..]).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            snapshot.disorder.push(format!("{:?} is listed twice", path.join(twice[0])));
        }
        for item in listed {
            let child = path.join(&item.name);
            match self.child(Spot { parent: at.node, name: &item.name }) {
                Ok(Some(found)) => {
                    if found.number != item.number {
                        let what = format!("{child:?}: {} listed as {}", found.number, item.number);
                        snapshot.listed_otherwise.push(what);
                    }
                    if discriminant(&found.facts.kind) != item.kind {
                        let what =
                            format!("{child:?} is listed as {:?}, is {:?}", item.kind, found.facts);
                        snapshot.disorder.push(what);
                    }
                    self.visit(found, child, snapshot);
                }
                missing => snapshot.disorder.push(format!("{child:?}: {missing:?}")),
            }
        }
    }

    fn entry(&mut self, at: &Attributes, path: TreePath) -> Result<Entry, Errno> {
        let contents = match at.facts.kind {
            Kind::File => {
                let len = u32::try_from(at.facts.size).expect("histories write small files");
                let handle = self.nodes.open(at.node, Opening::Reading)?;
                // A byte more than there should be.
                let read = self.nodes.read(handle, 0, len + 1);
                self.nodes.release(at.node, handle);
                sha256(&read?)
            }
            Kind::Symlink => hex(&self.nodes.read_link(at.node)?),
            _ => String::new(),
        };
        let xattrs = self.nodes.xattrs(at.node)?.into_iter();
        let mut xattrs: Vec<_> = xattrs.map(|(name, value)| (name, hex(&value))).collect();
        xattrs.sort();
        let (facts, mtime, number) = (at.facts.clone(), at.mtime, at.number);
        let generation = at.generation;
        Ok(Entry { path, facts, mtime, contents, xattrs, number, generation })
    }
}
