//! The changes as lines: added, changed, gone, one for each path.

use super::error::ChangesError;
use super::object::{At, Object};
use super::walk::{Met, Sides, Visit, walk};
use crate::lower::LowerNode;
use crate::store::archive::Name;
use crate::tree::{Attr, Kind};

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
    let mut lines = Lines { all: Vec::new(), above_places: Vec::new() };
    walk(sides, &mut lines)?;
    let Lines { mut all, above_places } = lines;
    all.sort_by(|a, b| a.path.cmp(&b.path));
    for above in above_places {
        let is_below = |change: &Change| {
            change.path.strip_prefix(&*above).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        if !all.iter().any(is_below) {
            all.retain(|change| change.path != above);
        }
    }
    Ok(all)
}

struct Lines {
    all: Vec<Change>,
    /// Directories that are as the image has them, or new and as they were made, but for what is in them: there are places in them.
    above_places: Vec<Box<[u8]>>,
}

/// How a directory is made that places to mount on lie in.
const MODE_OF_MADE: u32 = 0o755;

impl Lines {
    fn note_above(
        &mut self,
        sides: &Sides,
        (path, object): (&[Name], &Object<'_>),
        was: Option<&LowerNode>,
    ) -> Result<(), ChangesError> {
        let [name] = path else { return Ok(()) };
        let lies_in = |place: &[u8]| {
            place.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        let attr = object.attr();
        if attr.kind != Kind::Directory || !sides.places.iter().any(|place| lies_in(place)) {
            return Ok(());
        }
        let as_made = (MODE_OF_MADE, 0, 0);
        let said = |attr: &Attr| (attr.permissions, attr.uid, attr.gid);
        let (was, xattrs_were) = match was {
            Some(was) => {
                let attr = sides.lower.attr(was).at(path)?;
                (said(&attr), Object::Lower(was, attr).xattrs(sides, path)?)
            }
            None => (as_made, Vec::new()),
        };
        // Access control lists are among the attributes.
        if said(attr) == was && object.xattrs(sides, path)? == xattrs_were {
            self.above_places.push(joined(path));
        }
        Ok(())
    }
}

impl Visit for Lines {
    fn met(&mut self, sides: &Sides, met: Met<'_>) -> Result<(), ChangesError> {
        if let Met::Object { path, object, was, .. } = &met {
            self.note_above(sides, (path, object), *was)?;
        }
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
        self.all.push(Change { path: joined(path), kind });
        Ok(())
    }
}

fn joined(path: &[Name]) -> Box<[u8]> {
    path.iter().flat_map(|name| [b"/", name.as_bytes()]).flatten().copied().collect()
}
