//! Owns the hard-link groups of the lower that a layer must hold whole, and where their names lead the walk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::ChangesError;
use super::object::At;
use super::walk::Sides;
use crate::lower::LowerNode;
use crate::store::archive::Name;
use crate::tree::{Attr, Ino};

/// A group's copy in the index.
#[derive(Debug)]
pub(super) struct Copy {
    pub name: String,
    pub attr: Attr,
    pub identity: (u64, u64),
}

/// The groups of one walk.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By the number of the lower file.
    copies: HashMap<Ino, Copy>,
    /// Of each directory of the lower, by its path, the names that the walk must not pass over: those of the groups, and
    /// the directories on the way to them.
    ways: BTreeMap<Box<[Name]>, BTreeSet<Name>>,
}

impl Groups {
    /// The groups that have copies.
    pub(super) fn of_copies(sides: &Sides) -> Result<Self, ChangesError> {
        let mut groups = Groups::default();
        for copy in sides.upper.group_copies().at(&[])? {
            let Some(node) = sides.lower.by_origin(&copy.origin).at(&[])? else { continue };
            let Some(index) = sides.upper.index_dir() else { continue };
            let stat = sides.upper.stat(index, copy.name.as_bytes()).at(&[])?;
            let attr = sides.upper.attr(index, copy.name.as_bytes(), &stat).at(&[])?;
            // The index is one of its names, and its others may all be the lower's.
            let attr = Attr { nlink: attr.nlink.max(2), ..attr };
            let identity = (stat.st_dev, stat.st_ino);
            groups.copies.insert(sides.lower.ino(&node), Copy { name: copy.name, attr, identity });
            groups.lead_to(sides, &node)?;
        }
        Ok(groups)
    }

    /// The copy that stands for a lower file under all of its names.
    pub(super) fn copy_of(&self, sides: &Sides, node: &LowerNode) -> Option<&Copy> {
        if self.copies.is_empty() {
            return None;
        }
        self.copies.get(&sides.lower.ino(node))
    }

    /// The names of a directory that must not be passed over.
    pub(super) fn ways(&self, dir: &[Name]) -> impl Iterator<Item = &Name> {
        self.ways.get(dir).into_iter().flatten()
    }

    /// Has the walk visit all names of a group.
    pub(super) fn lead_to(&mut self, sides: &Sides, node: &LowerNode) -> Result<(), ChangesError> {
        for (dir, name) in sides.lower.names(node).at(&[])? {
            let mut path = sides.lower.path(&dir).at(&[])?;
            let mut name = name;
            while self.ways.entry(path.as_slice().into()).or_default().insert(name) {
                match path.pop() {
                    Some(last) => name = last,
                    None => break,
                }
            }
        }
        Ok(())
    }
}
