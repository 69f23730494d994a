//! The walk over a writable layer, in the order of names, a directory before what is in it.
//!
//! A directory is *plain* where its lower part is what the image has at its path: then only what the upper has in it is
//! met. All others are *fresh*: everything that the union shows in them is met, and nothing of the image shines through.
//! So is one in which a name is hidden that is too long for a whiteout of an archive.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::error::ChangesError;
use super::groups::Groups;
use super::object::{At, Object, again};
use crate::lower::{Lower, LowerNode};
use crate::store::archive::{DEPTH_MAX, EntryPath, Name};
use crate::tree::{Kind, Opaque, Redirect, Redirects};
use crate::upper::{Data, Found, Listed, Look, UpperReader};

/// The longest name that `.wh.` can stand before.
const HIDDEN_NAME_MAX: usize = 255 - b".wh.".len();

/// A writable layer and the tree below it.
#[derive(Debug)]
pub struct Sides {
    /// The read-only side.
    pub lower: Lower,
    /// The writable side.
    pub upper: UpperReader,
    /// Where empty files and directories are no change, by their path without a slash before it: who mounts something there has
    /// made them.
    pub places: Vec<Box<[u8]>>,
}

impl Sides {
    /// Whether it is a place to mount on, and nothing else: nothing of the image, and nothing in it.
    fn is_place(
        &self,
        path: &[Name],
        found: &Found,
        is_empty: impl FnOnce() -> Result<bool, ChangesError>,
    ) -> Result<bool, ChangesError> {
        let is_named = self
            .places
            .iter()
            .any(|place| place.split(|byte| *byte == b'/').eq(path.iter().map(Name::as_bytes)));
        Ok(is_named
            && match found.attr.kind {
                Kind::File => found.data == Data::Here && found.attr.size == 0,
                Kind::Directory => is_empty()?,
                _ => false,
            })
    }
}

/// What a walk meets.
pub(super) enum Met<'a> {
    /// Something of the image that is not shown any more.
    Gone { path: &'a [Name], by: Hidden },
    /// An object, and what the image has at its path.
    Object { path: &'a [Name], object: &'a Object<'a>, was: Option<&'a LowerNode>, covers: Covers },
}

/// What hides something of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    Whiteout,
    /// The opaque mark of a directory above.
    Opaque,
}

/// What a directory does with what the image has in the directory of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// Nothing, or there is none.
    Nothing,
    /// It hides all.
    All,
}

/// Is shown what a walk meets.
pub(super) trait Visit {
    fn met(&mut self, sides: &Sides, met: Met<'_>) -> Result<(), ChangesError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Fresh,
}

/// A directory under way.
struct Level {
    /// The upper's directory, where there is one.
    dir: Option<OwnedFd>,
    /// What it is merged with.
    part: Option<LowerNode>,
    /// The directory that the image has at its path.
    base: Option<LowerNode>,
    way: Way,
    names: std::collections::btree_map::IntoIter<Name, Source>,
}

/// Which side is asked for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Upper,
    Lower,
    /// It is the image's, and not shown.
    Image,
}

/// Walks, with the groups that must be whole.
pub(super) fn walk(sides: &Sides, visit: &mut dyn Visit) -> Result<(), ChangesError> {
    let mut groups = Groups::of_copies(sides)?;
    // What is written whole may have names of groups that have no copy.
    let mut search = Search { groups: &mut groups };
    Walk { sides, groups: &Groups::default(), path: Vec::new() }.run(&mut search)?;
    groups.find(sides)?;
    Walk { sides, groups: &groups, path: Vec::new() }.run(visit)
}

/// Looks for lower files with several names in what is fresh.
struct Search<'a> {
    groups: &'a mut Groups,
}

impl Visit for Search<'_> {
    fn met(&mut self, sides: &Sides, met: Met<'_>) -> Result<(), ChangesError> {
        match met {
            Met::Object { path, object: Object::Lower(node, attr), .. }
                if attr.kind != Kind::Directory && sides.lower.is_group(node).at(path)? =>
            {
                self.groups.lead_to(sides, node)
            }
            _ => Ok(()),
        }
    }
}

struct Walk<'a> {
    sides: &'a Sides,
    groups: &'a Groups,
    path: Vec<Name>,
}

impl Walk<'_> {
    fn run(mut self, visit: &mut dyn Visit) -> Result<(), ChangesError> {
        let root = again(self.sides.upper.root()).at(&[])?;
        let lower = self.sides.lower.root();
        let stat = self.sides.upper.stat(&root, b".").at(&[])?;
        let attr = self.sides.upper.attr(&root, b".", &stat).at(&[])?;
        let identity = (stat.st_dev, stat.st_ino);
        let object =
            Object::Upper { dir: &root, name: b".", attr, identity, data: None, below: None };
        let listed = self.sides.upper.list(&root).at(&[])?;
        let hides_all = self.sides.upper.hides_all().at(&[])?;
        let (way, covers) = way_of(Way::Plain, (!hides_all, true), &listed);
        visit.met(
            self.sides,
            Met::Object { path: &[], object: &object, was: Some(&lower), covers },
        )?;
        let part = (!hides_all).then(|| lower.clone());
        let mut levels = vec![self.level((Some(root), listed), part, Some(lower), way)?];
        while let Some(level) = levels.last_mut() {
            let Some((name, source)) = level.names.next() else {
                levels.pop();
                self.path.pop();
                continue;
            };
            self.path.push(name);
            if self.path.len() > DEPTH_MAX {
                return Err(ChangesError::TooDeep {
                    path: EntryPath::from_components(&self.path[..1]),
                });
            }
            match self.child(level, source, visit)? {
                Some(below) => levels.push(below),
                None => drop(self.path.pop()),
            }
        }
        Ok(())
    }

    /// Meets what stands at the path; answers it where it is a directory to be entered.
    fn child(
        &self,
        level: &Level,
        source: Source,
        visit: &mut dyn Visit,
    ) -> Result<Option<Level>, ChangesError> {
        let Some(name) = self.path.last() else { return Ok(None) };
        let was = self.lower_child(level.base.as_ref(), name)?;
        let by = match level.way {
            Way::Plain => Hidden::Whiteout,
            Way::Fresh => Hidden::Opaque,
        };
        let look = match (&level.dir, source) {
            (Some(dir), Source::Upper) => {
                self.sides.upper.look(dir, name.as_bytes()).at(&self.path)?
            }
            (_, Source::Image) => Look::Whiteout,
            (_, Source::Upper | Source::Lower) => Look::Absent,
        };
        match (look, &level.dir) {
            (Look::Found(found), Some(dir)) => {
                let is_empty = || {
                    let below = self.sides.upper.open_dir(dir, name.as_bytes()).at(&self.path)?;
                    Ok(self.sides.upper.list(&below).at(&self.path)?.is_empty())
                };
                if was.is_none() && self.sides.is_place(&self.path, &found, is_empty)? {
                    return Ok(None);
                }
                self.upper_child((level, dir), &found, was, visit)
            }
            (Look::Whiteout, _) => {
                if was.is_some() {
                    visit.met(self.sides, Met::Gone { path: &self.path, by })?;
                }
                Ok(None)
            }
            (Look::Absent | Look::Found(_), _) => {
                match self.lower_child(level.part.as_ref(), name)? {
                    Some(node) => self.lower_met(level, &node, was, visit),
                    None => Ok(None),
                }
            }
        }
    }

    fn upper_child(
        &self,
        (level, dir): (&Level, &OwnedFd),
        found: &Found,
        was: Option<LowerNode>,
        visit: &mut dyn Visit,
    ) -> Result<Option<Level>, ChangesError> {
        let Some(name) = self.path.last() else { return Ok(None) };
        let data = self.data_of(level, name, found)?;
        let object = Object::Upper {
            dir,
            name: name.as_bytes(),
            attr: found.attr,
            identity: (found.stat.st_dev, found.stat.st_ino),
            data: data.as_ref(),
            below: below(found.data),
        };
        if found.attr.kind != Kind::Directory {
            self.show(&object, (was.as_ref(), Covers::Nothing), visit)?;
            return Ok(None);
        }
        let part = self.part_of(level, name, found)?;
        let base = self.directory(was.clone())?;
        let is_image = match (&part, &base) {
            (Some(part), Some(base)) => self.sides.lower.ino(part) == self.sides.lower.ino(base),
            _ => false,
        };
        let below = self.sides.upper.open_dir(dir, name.as_bytes()).at(&self.path)?;
        let listed = self.sides.upper.list(&below).at(&self.path)?;
        let (way, covers) = way_of(level.way, (is_image, base.is_some()), &listed);
        self.show(&object, (was.as_ref(), covers), visit)?;
        self.level((Some(below), listed), part, base, way).map(Some)
    }

    /// An object that only the lower has: in what is fresh, or on the way to a group.
    fn lower_met(
        &self,
        level: &Level,
        node: &LowerNode,
        was: Option<LowerNode>,
        visit: &mut dyn Visit,
    ) -> Result<Option<Level>, ChangesError> {
        let attr = self.sides.lower.attr(node).at(&self.path)?;
        let copy = self.groups.copy_of(self.sides, node, &self.path)?;
        if let (Some(copy), Some(dir)) = (copy, self.sides.upper.index_dir()) {
            let (attr, identity) = (copy.attr, copy.identity);
            let name = copy.name.as_bytes();
            let data = (copy.data != Data::Here).then_some(node);
            if data.is_some() && self.sides.upper.redirects() == Redirects::Refuse {
                return Err(ChangesError::RedirectRefused(EntryPath::from_components(&self.path)));
            }
            let below = below(copy.data);
            let object = Object::Upper { dir, name, attr, identity, data, below };
            self.show(&object, (was.as_ref(), Covers::Nothing), visit)?;
            return Ok(None);
        }
        self.show(&Object::Lower(node, attr), (was.as_ref(), Covers::Nothing), visit)?;
        if attr.kind != Kind::Directory {
            return Ok(None);
        }
        let base = self.directory(was)?;
        self.level((None, Vec::new()), Some(node.clone()), base, level.way).map(Some)
    }

    fn show(
        &self,
        object: &Object<'_>,
        (was, covers): (Option<&LowerNode>, Covers),
        visit: &mut dyn Visit,
    ) -> Result<(), ChangesError> {
        visit.met(self.sides, Met::Object { path: &self.path, object, was, covers })
    }

    /// A directory to be entered, with the names that are to be met in it.
    fn level(
        &self,
        (dir, listed): (Option<OwnedFd>, Vec<Listed>),
        part: Option<LowerNode>,
        base: Option<LowerNode>,
        way: Way,
    ) -> Result<Level, ChangesError> {
        let mut names = BTreeMap::new();
        let mut add = |of: Option<&LowerNode>, source| {
            let listed = of.map_or(Ok(Vec::new()), |of| self.sides.lower.list(of));
            names.extend(listed.at(&self.path)?.into_iter().map(|entry| (entry.name, source)));
            Ok::<(), ChangesError>(())
        };
        match way {
            Way::Fresh => {
                add(base.as_ref(), Source::Image)?;
                add(part.as_ref(), Source::Lower)?;
            }
            Way::Plain => {
                names
                    .extend(self.groups.ways(&self.path).map(|name| (name.clone(), Source::Lower)));
            }
        }
        names.extend(listed.into_iter().map(|listed| (listed.name, Source::Upper)));
        Ok(Level { dir, part, base, way, names: names.into_iter() })
    }

    fn lower_child(
        &self,
        dir: Option<&LowerNode>,
        name: &Name,
    ) -> Result<Option<LowerNode>, ChangesError> {
        dir.map_or(Ok(None), |dir| self.sides.lower.lookup(dir, name)).at(&self.path)
    }

    fn directory(&self, node: Option<LowerNode>) -> Result<Option<LowerNode>, ChangesError> {
        let Some(node) = node else { return Ok(None) };
        let kind = self.sides.lower.kind(&node).at(&self.path)?;
        Ok((kind == Kind::Directory).then_some(node))
    }

    /// What a directory of the upper is merged with, as the union has it.
    fn part_of(
        &self,
        level: &Level,
        name: &Name,
        found: &Found,
    ) -> Result<Option<LowerNode>, ChangesError> {
        if found.opaque == Opaque::Hides {
            return Ok(None);
        }
        let part = self.below(level, name, found)?;
        let refused = self.sides.upper.redirects() == Redirects::Refuse;
        if part.is_some() && found.redirect.is_some() && refused {
            return Err(ChangesError::RedirectRefused(EntryPath::from_components(&self.path)));
        }
        self.directory(part)
    }

    /// The lower file that has the data of a file of the upper; `None` where that has it.
    fn data_of(
        &self,
        level: &Level,
        name: &Name,
        found: &Found,
    ) -> Result<Option<LowerNode>, ChangesError> {
        if found.data == Data::Here {
            return Ok(None);
        }
        let path = || EntryPath::from_components(&self.path);
        // No image is below the kernel's overlayfs: who marked it meant something else.
        if matches!((&self.sides.lower, found.data), (Lower::Image(_), Data::Below)) {
            return Err(ChangesError::DataBelow(path()));
        }
        if self.sides.upper.redirects() == Redirects::Refuse {
            return Err(ChangesError::RedirectRefused(path()));
        }
        let node = match found.data {
            Data::OfOrigin | Data::InPart { .. } => {
                let path = found.redirect.as_ref().and_then(Redirect::absolute);
                self.sides.lower.data_of(found.origin.as_ref(), path).at(&self.path)?
            }
            Data::Below | Data::Here => self.below(level, name, found)?,
        };
        match node {
            Some(node) if self.sides.lower.kind(&node).at(&self.path)? == Kind::File => {
                Ok(Some(node))
            }
            _ => Err(ChangesError::DataMissing(path())),
        }
    }

    /// What the lower has where an object of the upper says that its part there lies.
    fn below(
        &self,
        level: &Level,
        name: &Name,
        found: &Found,
    ) -> Result<Option<LowerNode>, ChangesError> {
        match &found.redirect {
            Some(Redirect::Absolute(path)) => self.sides.lower.at_path(path).at(&self.path),
            Some(Redirect::Sibling(other)) => self.lower_child(level.part.as_ref(), other),
            None => self.lower_child(level.part.as_ref(), name),
        }
    }
}

/// How a directory is walked, and what it covers: one that lies in a directory walked so, whose lower part is the image's
/// directory at its path or not, where the image has one or not.
fn way_of(above: Way, (is_image, has_base): (bool, bool), listed: &[Listed]) -> (Way, Covers) {
    let is_long =
        |listed: &Listed| listed.kind.is_none() && listed.name.as_bytes().len() > HIDDEN_NAME_MAX;
    match above {
        Way::Plain if is_image && !listed.iter().any(is_long) => (Way::Plain, Covers::Nothing),
        Way::Plain if has_base => (Way::Fresh, Covers::All),
        Way::Plain | Way::Fresh => (Way::Fresh, Covers::Nothing),
    }
}

/// How much of a file may lie in the lower where it has holes.
fn below(data: Data) -> Option<u64> {
    match data {
        Data::InPart { below, .. } => Some(below),
        Data::Here | Data::Below | Data::OfOrigin => None,
    }
}
