//! Owns lookup: which objects of which layers a name leads to.
//!
//! The rules are the kernel's (`fs/overlayfs/namei.c` decides them, `overlayfs.rst` describes them):
//!
//! 1. Layers are asked from the top. The first word decides: a whiteout or a non-directory ends the search, a directory
//!    is merged with directories below until one is opaque.
//! 2. A redirect changes where the layers below are asked: another name in the same directory, or a path from their
//!    roots. On such a path whiteouts, opaque directories and redirects count, too; an absolute redirect below an opaque
//!    directory goes on nevertheless.
//! 3. A file whose data lies elsewhere is searched on until a file has data.

use std::sync::{Arc, OnceLock};

use super::holders::{Held, Known};
use super::layer::is_covered;
use super::node::{Identity, Place, StackNode};
use super::open::DirStack;
use super::peek::{Looking, Object, Said};
use super::trail::Trail;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::tree::{Attr, Kind, Name, Opaque, Redirect};

/// Where the next layer is asked.
enum Aim {
    /// In its part of the directory, under this name.
    Sibling(Name),
    /// From its root, by this path.
    Absolute(Vec<Name>),
}

struct Search<'a> {
    stack: &'a DirStack,
    aim: Aim,
    found: Vec<Place>,
    kind: Option<Kind>,
    /// Names of the topmost object.
    links: u32,
    /// What the topmost object showed, where nothing else has a part in it.
    seen: Option<Attr>,
    /// The last file found has no data of its own.
    wants_data: bool,
    /// Layers below have no part in it.
    stop: bool,
}

/// One name of the path that a layer is asked for.
struct Step<'a> {
    name: &'a Name,
    is_last: bool,
}

impl DirStack {
    /// What `name` leads to in `dir`.
    pub(crate) fn lookup(
        &self,
        dir: &Arc<StackNode>,
        name: &Name,
    ) -> Result<Option<Arc<StackNode>>, LowerError> {
        Ok(self.lookup_seen(dir, name)?.map(|(node, _)| node))
    }

    /// The same, with its attributes: those of this moment, where the search had them at hand.
    pub(crate) fn lookup_seen(
        &self,
        dir: &Arc<StackNode>,
        name: &Name,
    ) -> Result<Option<(Arc<StackNode>, Option<Attr>)>, LowerError> {
        if dir.kind != Kind::Directory {
            return Err(LowerError::NotADirectory);
        }
        let mut search = Search {
            stack: self,
            aim: Aim::Sibling(name.clone()),
            found: Vec::new(),
            kind: None,
            links: 1,
            seen: None,
            wants_data: false,
            stop: false,
        };
        search.run(dir)?;
        let Search { found, kind, links, seen, wants_data, .. } = search;
        let (Some(kind), Some(top)) = (kind, found.first()) else { return Ok(None) };
        if wants_data {
            return Err(LowerError::DataMissing(top.trail.shown()));
        }
        let ino = self.number_of(top, kind)?;
        let above = Some((dir.clone(), name.clone()));
        // Where a file's data is elsewhere its blocks are, too.
        let seen = seen.filter(|_| found.len() == 1 && kind != Kind::Directory);
        let names = OnceLock::new();
        let node = StackNode { places: found.into(), kind, links, ino, names, above };
        Ok(Some((Arc::new(node), seen)))
    }
}

impl Search<'_> {
    fn run(&mut self, dir: &StackNode) -> Result<(), LowerError> {
        let known = self.stack.known(dir);
        let mut holders = self.holders(known.as_deref());
        let mut asked = 0;
        for (number, place) in (0..).zip(&dir.places) {
            let Aim::Sibling(name) = &self.aim else { break };
            if holders.is_some_and(|held| held.iter().all(|(_, place)| *place != number)) {
                continue;
            }
            let name = name.clone();
            asked += 1;
            self.in_directory(place, &name)?;
            holders = self.holders(known.as_deref());
            if let (false, Aim::Absolute(_)) = (self.stop, &self.aim) {
                return self.below_roots(place.layer + 1);
            }
            if self.stop {
                break;
            }
        }
        if known.is_none() {
            self.stack.asked_in_vain(dir, asked - self.found.len().min(asked));
        }
        Ok(())
    }

    /// The places that say something of the name that is searched now; `None` where each is to be asked.
    fn holders<'k>(&self, known: Option<&'k Known>) -> Option<&'k [Held]> {
        match &self.aim {
            Aim::Sibling(name) => known.map(|known| known.holders(self.stack.hash(name))),
            Aim::Absolute(_) => None,
        }
    }

    /// Asks all layers from number `first` on, by the path that the search aims at.
    fn below_roots(&mut self, first: usize) -> Result<(), LowerError> {
        for layer in first..self.stack.layers.len() {
            if let Aim::Absolute(path) = &self.aim {
                let path = path.clone();
                self.on_path(layer, &path)?;
            }
            if self.stop {
                break;
            }
        }
        Ok(())
    }

    /// Asks one layer for a name in its part of the directory.
    fn in_directory(&mut self, place: &Place, name: &Name) -> Result<(), LowerError> {
        let step = Step { name, is_last: true };
        let (_, aim) = self.step(place, &step)?;
        match aim {
            Some(Redirect::Sibling(name)) => self.aim = Aim::Sibling(name),
            Some(Redirect::Absolute(path)) => self.aim = Aim::Absolute(path),
            None => {}
        }
        Ok(())
    }

    /// Asks one layer for a path from its root.
    fn on_path(&mut self, layer: usize, path: &[Name]) -> Result<(), LowerError> {
        let mut at = self.stack.root_place(layer);
        // The path for the layers below: what redirects on the way have made of the names so far, and the rest.
        let mut before: Vec<Name> = Vec::with_capacity(path.len());
        for (count, name) in path.iter().enumerate() {
            let step = Step { name, is_last: count + 1 == path.len() };
            let (next, aim) = self.step(&at, &step)?;
            match aim {
                Some(Redirect::Absolute(other)) => before = other,
                Some(Redirect::Sibling(other)) => before.push(other),
                None => before.push(name.clone()),
            }
            let Some(next) = next else {
                before.extend_from_slice(&path[count + 1..]);
                break;
            };
            at = next;
        }
        self.aim = Aim::Absolute(before);
        Ok(())
    }

    /// Asks one layer for one name. Answers the object, where the search may go through it, and its redirect.
    fn step(
        &mut self,
        at: &Place,
        step: &Step<'_>,
    ) -> Result<(Option<Place>, Option<Redirect>), LowerError> {
        let stack = self.stack;
        let Some(looking) = stack.look(at)? else { return Ok((None, None)) };
        let mut object = match looking.at(step.name)? {
            Said::Absent => return Ok((None, None)),
            Said::Whiteout => {
                self.stop = true;
                return Ok((None, None));
            }
            Said::Object(object) => object,
        };
        let beside = (&looking.dir, step.name.as_bytes());
        let attr = stack.recorded(at.layer, beside, (&object.stat, looking.trail))?;
        object.kind = attr.kind;
        let mut place = Place {
            layer: at.layer,
            trail: at.trail.then(step.name),
            identity: Identity::of(&object.stat),
            may_hold_whiteouts: false,
        };
        let redirect = if object.kind == Kind::Directory {
            self.directory(&looking, step, &object, &mut place)?
        } else {
            self.leaf(&looking, step, &object, at.layer)?
        };
        let Some(redirect) = redirect else { return Ok((None, None)) };
        if step.is_last {
            if self.kind.is_none() {
                (self.kind, self.links) = (Some(object.kind), Attr::of_stat(&object.stat).nlink);
                self.seen = Some(attr);
            }
            self.found.push(place.clone());
        }
        Ok((Some(place), redirect))
    }

    /// A directory was met: `None` where it has no part in what is searched, else its redirect.
    fn directory(
        &mut self,
        looking: &Looking<'_>,
        step: &Step<'_>,
        object: &Object,
        place: &mut Place,
    ) -> Result<Option<Option<Redirect>>, LowerError> {
        if step.is_last && self.wants_data {
            self.stop = true;
            return Ok(None);
        }
        let opaque = looking.opaque(step.name)?;
        place.may_hold_whiteouts = opaque == Opaque::MayHoldWhiteouts;
        if opaque == Opaque::Hides || object.hides_below {
            self.stop = true;
            return Ok(Some(None));
        }
        let redirect = self.redirect(looking, step, place.layer)?;
        if object.hides_namesake && redirect.is_none() {
            self.stop = true;
        }
        Ok(Some(redirect))
    }

    /// Something else was met: `None` where it has no part in what is searched, else its redirect.
    fn leaf(
        &mut self,
        looking: &Looking<'_>,
        step: &Step<'_>,
        object: &Object,
        layer: usize,
    ) -> Result<Option<Option<Redirect>>, LowerError> {
        self.stop = true;
        let is_part = match self.kind {
            None => true,
            // The data of a file; of a directory nothing but directories are parts.
            Some(_) => self.wants_data && object.kind == Kind::File,
        };
        if !step.is_last || !is_part {
            return Ok(None);
        }
        self.wants_data = object.kind == Kind::File && looking.has_data_below(step.name)?;
        if !self.wants_data {
            return Ok(Some(None));
        }
        self.stop = false;
        self.redirect(looking, step, layer).map(Some)
    }

    /// The redirect of an object; none is asked for in the lowest layer, since it could lead nowhere.
    fn redirect(
        &mut self,
        looking: &Looking<'_>,
        step: &Step<'_>,
        layer: usize,
    ) -> Result<Option<Redirect>, LowerError> {
        if layer + 1 == self.stack.layers.len() {
            return Ok(None);
        }
        let redirect = looking.redirect(step.name)?;
        if matches!(redirect, Some(Redirect::Absolute(_))) {
            self.stop = false;
        }
        Ok(redirect)
    }
}

impl DirStack {
    /// Opens a directory of one layer to look at names in it; `None` where another mount covers it.
    pub(super) fn look<'a>(&'a self, at: &'a Place) -> Result<Option<Looking<'a>>, LowerError> {
        self.look_for(at, Purpose::Walk)
    }

    /// The same for that purpose.
    pub(super) fn look_for<'a>(
        &'a self,
        at: &'a Place,
        purpose: Purpose,
    ) -> Result<Option<Looking<'a>>, LowerError> {
        let dir = match self.layers[at.layer].open(&at.trail, purpose) {
            Ok(dir) => dir,
            Err(error) if is_covered(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Looking {
            options: &self.options,
            hidden: &self.hidden,
            dir,
            trail: &at.trail,
            may_hold_whiteouts: at.may_hold_whiteouts,
        }))
    }

    fn root_place(&self, layer: usize) -> Place {
        let root = self.root();
        match root.places.iter().find(|place| place.layer == layer) {
            Some(place) => place.clone(),
            None => Place {
                layer,
                trail: Trail::default(),
                identity: Identity::of(&self.layers[layer].root_stat),
                may_hold_whiteouts: false,
            },
        }
    }
}
