//! Owns listing: the entries of all layers that are merged in a directory, without what is hidden.

use std::collections::BTreeMap;

use super::node::{Identity, Place, StackNode};
use super::open::DirStack;
use super::peek::Looking;
use crate::lower::entry::LowerEntry;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::sys::dir::{Listed, ListedKind};
use crate::tree::wh_names::{WH_OPAQUE, WH_PREFIX};
use crate::tree::{Attr, Ino, Kind, Name, WhNames};

/// The first word of the layers on each name: an entry, or that it is hidden.
type Merged = BTreeMap<Name, Option<(Kind, Ino)>>;

impl DirStack {
    /// The entries of a directory, sorted by name.
    pub(crate) fn list(&self, dir: &StackNode) -> Result<Vec<LowerEntry>, LowerError> {
        if dir.kind != Kind::Directory {
            return Err(LowerError::NotADirectory);
        }
        let mut merged = Merged::new();
        for place in &dir.places {
            self.merge(place, &mut merged)?;
        }
        let shown = merged
            .into_iter()
            .filter_map(|(name, said)| said.map(|(kind, ino)| LowerEntry { name, kind, ino }));
        Ok(shown.collect())
    }

    /// How many entries a directory has.
    pub(crate) fn child_count(&self, dir: &StackNode) -> Result<usize, LowerError> {
        self.list(dir).map(|entries| entries.len())
    }

    /// Adds what one layer says of names that no layer above said anything of.
    fn merge(&self, place: &Place, merged: &mut Merged) -> Result<(), LowerError> {
        let Some(looking) = self.look_for(place, Purpose::List)? else { return Ok(()) };
        let entries = looking.list()?;
        let mut hidden = Vec::new();
        for entry in entries {
            match self.hides(&entry.name) {
                Hides::Nothing => {}
                Hides::Itself => continue,
                Hides::Below(name) => {
                    hidden.push(name);
                    continue;
                }
            }
            let broken = |_| LowerError::Changed(place.trail.shown());
            let name = Name::new(&entry.name).map_err(broken)?;
            if merged.contains_key(&name) {
                continue;
            }
            if let Some(said) = self.said(place, &looking, (&name, &entry))? {
                merged.insert(name, said);
            }
        }
        // After the layer's own entries: such a whiteout never speaks of its own layer.
        for name in hidden.into_iter().chain(looking.hides()?) {
            merged.entry(name).or_insert(None);
        }
        Ok(())
    }

    pub(super) fn hides(&self, name: &[u8]) -> Hides {
        if self.options.wh_names == WhNames::Plain {
            return Hides::Nothing;
        }
        match name.strip_prefix(WH_PREFIX) {
            None => Hides::Nothing,
            Some(_) if name == WH_OPAQUE => Hides::Itself,
            Some(hidden) => Name::new(hidden).map_or(Hides::Itself, Hides::Below),
        }
    }

    /// What a layer's entry says: `Some(None)` that the name is hidden, `None` that it says nothing of it: the entry went
    /// away meanwhile, or is a directory that the mount does not show.
    fn said(
        &self,
        place: &Place,
        looking: &Looking<'_>,
        (name, entry): (&Name, &Listed),
    ) -> Result<Option<Option<(Kind, Ino)>>, LowerError> {
        let layer = &self.layers[place.layer];
        let known = match entry.kind {
            Some(ListedKind::Directory) => Some(Kind::Directory),
            Some(ListedKind::Symlink) => Some(Kind::Symlink),
            // Which may be whiteouts by mark, or something else by their record.
            Some(ListedKind::File) if !place.may_hold_whiteouts && !layer.has_records => {
                Some(Kind::File)
            }
            // A device may be a whiteout, and an unknown type may be anything.
            Some(ListedKind::File | ListedKind::Special) | None => None,
        };
        if let (Some(kind), true) = (known, layer.listing_is_honest) {
            let device = layer.root_stat.st_dev;
            if self.hidden.has(device, entry.ino) {
                return Ok(None);
            }
            let ino = self.number(device, entry.ino);
            return Ok(Some(Some((kind, ino))));
        }
        let Some(stat) = looking.stat(&entry.name)? else { return Ok(None) };
        let attr = Attr::of_stat(&stat);
        if attr.is_whiteout_device() || looking.is_whiteout_by_mark(&entry.name, &attr)? {
            return Ok(Some(None));
        }
        let at = (&looking.dir, &*entry.name);
        let kind = match self.recorded(place.layer, at, (&stat, looking.trail)) {
            // One entry that can't be understood leaves the rest usable.
            Err(LowerError::Record { .. }) => attr.kind,
            attr => attr?.kind,
        };
        let object = Place {
            layer: place.layer,
            trail: place.trail.then(name),
            identity: Identity::of(&stat),
            may_hold_whiteouts: false,
        };
        Ok(Some(Some((kind, self.number_of(&object, kind)?))))
    }
}

/// What a name says by how it begins.
pub(super) enum Hides {
    /// It is a name like others.
    Nothing,
    /// It is never shown.
    Itself,
    /// It is never shown, and hides this name in the layers below.
    Below(Name),
}
