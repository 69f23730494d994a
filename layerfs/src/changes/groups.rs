//! Owns the hard-link groups of the lower that a layer must hold whole, and where their names lead the walk.
//!
//! An image knows all names of a file. Plain directories do not: where some are not in the upper, the lower is looked
//! through, once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::error::ChangesError;
use super::object::At;
use super::walk::Sides;
use crate::lower::{Lower, LowerNode};
use crate::store::archive::{DEPTH_MAX, EntryPath, Name};
use crate::tree::{Attr, Ino, Kind, Origin};
use crate::upper::Data;

/// A group's copy in the index.
#[derive(Debug)]
pub(super) struct Copy {
    pub name: String,
    pub attr: Attr,
    pub identity: (u64, u64),
    pub data: Data,
    origin: Origin,
}

/// The groups of one walk.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By the number of the lower file.
    copies: HashMap<Ino, Copy>,
    /// Files of directories whose names are not known: nothing but a look at all names tells them.
    sought: HashSet<Ino>,
    /// Of each directory of the lower, by its path, the names that the walk must not pass over: those of the groups, and
    /// the directories on the way to them.
    ways: BTreeMap<Box<[Name]>, BTreeSet<Name>>,
}

impl Groups {
    /// The groups that have copies.
    pub(super) fn of_copies(sides: &Sides) -> Result<Self, ChangesError> {
        let mut groups = Groups::default();
        for found in sides.upper.group_copies().at(&[])? {
            let Some(ino) = sides.lower.ino_of_origin(&found.origin) else { continue };
            let Some(index) = sides.upper.index_dir() else { continue };
            let stat = sides.upper.stat(index, found.name.as_bytes()).at(&[])?;
            let attr = sides.upper.attr(index, found.name.as_bytes(), &stat).at(&[])?;
            // The index is one of its names, and its others may all be the lower's.
            let attr = Attr { nlink: attr.nlink.max(2), ..attr };
            let identity = (stat.st_dev, stat.st_ino);
            match sides.lower.by_origin(&found.origin).at(&[])? {
                Some(node) => groups.lead_to(sides, &node)?,
                // All that are shown are the upper's, and the index has one.
                None if stat.st_nlink > u64::from(found.links) => {}
                None => drop(groups.sought.insert(ino)),
            }
            let (name, origin, data) = (found.name, found.origin, found.data);
            groups.copies.insert(ino, Copy { name, attr, identity, data, origin });
        }
        Ok(groups)
    }

    /// The copy that stands for a lower file under all of its names.
    pub(super) fn copy_of(
        &self,
        sides: &Sides,
        node: &LowerNode,
        path: &[Name],
    ) -> Result<Option<&Copy>, ChangesError> {
        let Some(copy) = self.copies.get(&sides.lower.ino(node)) else { return Ok(None) };
        // A number of a directory's file may have been another's.
        let origin = sides.lower.origin(node).at(path)?;
        Ok((origin.as_ref() == Some(&copy.origin)).then_some(copy))
    }

    /// The names of a directory that must not be passed over.
    pub(super) fn ways(&self, dir: &[Name]) -> impl Iterator<Item = &Name> {
        self.ways.get(dir).into_iter().flatten()
    }

    /// Has the walk visit all names of a group, those that [`Groups::find`] finds too.
    pub(super) fn lead_to(&mut self, sides: &Sides, node: &LowerNode) -> Result<(), ChangesError> {
        if let Lower::Dirs(_) = sides.lower {
            self.sought.insert(sides.lower.ino(node));
            return Ok(());
        }
        for (dir, name) in sides.lower.names(node).at(&[])? {
            self.way(sides.lower.path(&dir).at(&[])?, name);
        }
        Ok(())
    }

    fn way(&mut self, mut dir: Vec<Name>, mut name: Name) {
        while self.ways.entry(dir.as_slice().into()).or_default().insert(name) {
            match dir.pop() {
                Some(last) => name = last,
                None => break,
            }
        }
    }

    /// Looks through all names of the lower for those that are sought, where any is.
    pub(super) fn find(&mut self, sides: &Sides) -> Result<(), ChangesError> {
        let mut left = Vec::new();
        if !self.sought.is_empty() {
            left.push((sides.lower.root(), Vec::new()));
        }
        while let Some((dir, path)) = left.pop() {
            if path.len() > DEPTH_MAX {
                return Err(ChangesError::TooDeep { path: EntryPath::from_components(&path[..1]) });
            }
            for entry in sides.lower.list(&dir).at(&path)? {
                if entry.kind == Kind::Directory {
                    if let Some(below) = sides.lower.lookup(&dir, &entry.name).at(&path)? {
                        let path = path.iter().cloned().chain([entry.name]).collect();
                        left.push((below, path));
                    }
                } else if self.sought.contains(&entry.ino) {
                    self.way(path.clone(), entry.name);
                }
            }
        }
        Ok(())
    }
}
