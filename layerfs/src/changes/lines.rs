//! The changes as lines: added, changed, gone, one for each path.

use super::error::ChangesError;
use super::object::Object;
use super::walk::{Met, Sides, Visit, walk};
use crate::store::archive::Name;

/// One path that the writable layer shows otherwise than the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// From the root, with a slash before each name.
    pub path: Box<[u8]>,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The image has something there, and the writable layer something else or a copy.
    Changed,
    /// The image has nothing there.
    Added,
    /// Nothing is there any more; what the image has below it has no line.
    Deleted,
}

/// Lists the changes, sorted by path: whatever was copied up counts as changed, but for the root.
pub fn list(sides: &Sides) -> Result<Vec<Change>, ChangesError> {
    let mut lines = Lines(Vec::new());
    walk(sides, &mut lines)?;
    lines.0.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines.0)
}

struct Lines(Vec<Change>);

impl Visit for Lines {
    fn met(&mut self, sides: &Sides, met: Met<'_>) -> Result<(), ChangesError> {
        let (path, kind) = match met {
            Met::Gone { path, .. } => (path, ChangeKind::Deleted),
            Met::Object { path: [], .. } => return Ok(()),
            Met::Object { path, was: None, .. } => (path, ChangeKind::Added),
            // A name of a group that is as it was, or a directory on the way to one.
            Met::Object { object: Object::Lower(node, _), was: Some(was), .. }
                if sides.lower.ino(node) == sides.lower.ino(was) =>
            {
                return Ok(());
            }
            Met::Object { path, .. } => (path, ChangeKind::Changed),
        };
        self.0.push(Change { path: joined(path), kind });
        Ok(())
    }
}

fn joined(path: &[Name]) -> Box<[u8]> {
    path.iter().flat_map(|name| [b"/", name.as_bytes()]).flatten().copied().collect()
}
