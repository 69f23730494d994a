//! Proving the store by digest, and setting aside what is damaged so that importing again mends it.
//!
//! Repair never invents bytes. A damaged object is set aside together with the layers that have it, since a layer in
//! the store is one that needs no import; a damaged tree is folded again; a name that leads nowhere goes.
//!
//! A check takes as long as it takes to read the whole store, and nobody waits for it: locks are held for one layer,
//! tree or image at a time, and for an object only to set it aside. What gc takes meanwhile is passed over. What a newer
//! layerfs wrote is no damage: it is told, and left as it is.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use super::chain::chain_id;
use super::container::{self, ContainerId};
use super::digest::Digest;
use super::error::{During, StoreError};
use super::fold::merge_layers;
use super::image::{ImageRecord, UnreadName, file_name};
use super::index::{self, Index, Kind};
use super::root::{Presence, Store};
use super::unsound::{Unsound, object_state, settle};
use super::{frame, indexes, record, strangers, uppers};
use crate::sys::file::{self, Symlinks};
use crate::sys::{dir, host};

/// Whether damage is only told, or also set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Change nothing.
    Report,
    /// Set damaged files aside, fold trees again, remove names that lead nowhere.
    SetAside,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
    /// Whether it was set aside or made again.
    pub mended: bool,
    /// Whether it is whole again already: made anew from what the store has, and not only set aside.
    pub whole: bool,
}

/// What was checked and found.
#[derive(Clone, Debug, Default)]
pub struct FsckReport {
    /// Objects checked.
    pub objects: u64,
    /// Layers checked.
    pub layers: u64,
    /// Merged trees checked.
    pub trees: u64,
    /// Images checked.
    pub images: u64,
    /// Containers and mounts checked.
    pub containers: u64,
    /// What is wrong, in the order found.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Checks every object and index by digest, and that every image has all it needs.
    pub fn fsck(&self, repair: Repair) -> Result<FsckReport, StoreError> {
        let mut check =
            Check { store: self, repair, sizes: HashMap::new(), report: FsckReport::default() };
        check.strangers()?;
        check.objects()?;
        check.layers()?;
        check.frames()?;
        check.trees()?;
        check.images()?;
        check.names()?;
        check.containers()?;
        check.uppers()?;
        Ok(check.report)
    }
}

/// The size of an object that is whole, else what is wrong with it.
type ObjectState = Result<u64, String>;

struct Check<'s> {
    store: &'s Store,
    repair: Repair,
    /// The objects that are whole, and their sizes.
    sizes: HashMap<Digest, u64>,
    report: FsckReport,
}

impl Check<'_> {
    /// Keeps what is looked at now as it is. Repair takes files away that an import may be about to rely on; a check only
    /// wants gc to wait.
    fn kept(&self) -> Result<Presence, StoreError> {
        match self.repair {
            Repair::Report => self.store.presence(),
            Repair::SetAside => self.store.solitude(),
        }
    }

    fn objects(&mut self) -> Result<(), StoreError> {
        for pair in strangers::object_dirs(self.store)?.own {
            let deed = || "open a directory of objects".to_owned();
            let room =
                dir::open(&self.store.objects, pair.as_str(), Symlinks::Stop).during(deed)?;
            for digest in strangers::objects(&room, &pair)?.digests {
                self.object(&room, &digest)?;
            }
        }
        Ok(())
    }

    /// What is no part of the store. Nobody relies on it, so no lock is needed to take it out.
    fn strangers(&mut self) -> Result<(), StoreError> {
        for stranger in self.store.strangers()? {
            if self.is_there(self.store.root(), &stranger.path)? {
                let told = (stranger.shown(), stranger.reason());
                self.damaged(self.store.root(), &stranger.path, told)?;
            }
        }
        Ok(())
    }

    fn object(&mut self, room: &OwnedFd, digest: &Digest) -> Result<(), StoreError> {
        // Reading takes long, and needs no lock: the bytes of an open file stay.
        let Some(mut state) = self.settled_object(room, digest)? else { return Ok(()) };
        self.report.objects += 1;
        let _solitude;
        if state.is_err() && self.repair == Repair::SetAside {
            _solitude = self.store.solitude()?;
            // An import may have brought it whole meanwhile.
            let Some(now) = self.settled_object(room, digest)? else { return Ok(()) };
            state = now;
        }
        match state {
            Ok(size) => {
                self.sizes.insert(*digest, size);
                Ok(())
            }
            Err(reason) => {
                let hex = digest.hex();
                self.damaged(room, hex.as_bytes(), (format!("object {hex}"), reason))
            }
        }
    }

    /// What an object is; `None` where gc has taken it.
    fn settled_object(
        &self,
        room: &OwnedFd,
        digest: &Digest,
    ) -> Result<Option<ObjectState>, StoreError> {
        let state = settle(object_state(room, digest))?;
        if state.is_err() && !self.is_there(room, digest.hex().as_bytes())? {
            return Ok(None);
        }
        Ok(Some(state))
    }

    fn is_there(&self, room: &OwnedFd, name: &[u8]) -> Result<bool, StoreError> {
        match file::stat_at(room, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(false),
            stat => stat.during(|| "check the store".into()).map(|_| true),
        }
    }

    fn layers(&mut self) -> Result<(), StoreError> {
        for diff_id in strangers::files(&self.store.layers)?.digests {
            let _kept = self.kept()?;
            let name = diff_id.hex();
            if !self.is_there(&self.store.layers, name.as_bytes())? {
                continue;
            }
            self.report.layers += 1;
            let state = settle(self.index_state(&self.store.layers, &diff_id, Kind::Layer))?;
            if let Err(reason) = state {
                let told = (format!("layer {name}"), reason);
                self.damaged(&self.store.layers, name.as_bytes(), told)?;
            }
        }
        Ok(())
    }

    /// Frames of layers that are there; others are nobody's until gc takes them.
    fn frames(&mut self) -> Result<(), StoreError> {
        for diff_id in strangers::files(&self.store.frames)?.digests {
            let _kept = self.kept()?;
            let name = diff_id.hex();
            if !self.is_there(&self.store.frames, name.as_bytes())? {
                continue;
            }
            // What is wrong with the layer itself was told.
            let sizes = indexes::open(&self.store.layers, &diff_id, Kind::Layer)
                .and_then(|index| Ok(index.objects()?.collect::<HashMap<Digest, u64>>()));
            let Ok(sizes) = settle(sizes.map_err(Unsound::from))? else { continue };
            let state = frame::check(self.store, &diff_id, |digest| sizes.get(digest).copied());
            if let Err(reason) = settle(state.map_err(Unsound::from))? {
                let told = (format!("frame of layer {name}"), reason);
                self.damaged(&self.store.frames, name.as_bytes(), told)?;
            }
        }
        Ok(())
    }

    fn trees(&mut self) -> Result<(), StoreError> {
        for chain in strangers::files(&self.store.trees)?.digests {
            let _kept = self.kept()?;
            let name = chain.hex();
            if !self.is_there(&self.store.trees, name.as_bytes())? {
                continue;
            }
            self.report.trees += 1;
            let state = settle(self.index_state(&self.store.trees, &chain, Kind::Tree))?;
            if let Err(reason) = state {
                let told = (format!("merged tree {name}"), reason);
                self.damaged(&self.store.trees, name.as_bytes(), told)?;
            }
        }
        Ok(())
    }

    fn images(&mut self) -> Result<(), StoreError> {
        for id in self.store.image_ids()? {
            let _kept = self.kept()?;
            let record = match self.store.image_record(&id) {
                Ok(None) => continue,
                record => record,
            };
            self.report.images += 1;
            let what = format!("image {}", id.short());
            if let Err(newer @ StoreError::NewerRecord { .. }) = &record {
                self.find(&what, newer.to_string(), false);
                continue;
            }
            match settle(record.map_err(Unsound::from))? {
                Ok(None) => {}
                Ok(Some(image)) => self.image(&what, &image)?,
                Err(reason) => {
                    let name = id.hex();
                    self.damaged(&self.store.images, name.as_bytes(), (what, reason))?;
                }
            }
        }
        Ok(())
    }

    fn image(&mut self, what: &str, image: &ImageRecord) -> Result<(), StoreError> {
        for digest in &image.manifests {
            if let Err(reason) = settle(self.store.blob(digest).map_err(Unsound::from))? {
                let mended = self.blob_aside(what, digest)?;
                self.find(what, reason, mended);
            }
        }
        if let Err(reason) = settle(self.store.blob(&image.id).map_err(Unsound::from))? {
            // Without its configuration it is no image: nobody could use it, or say which one is to be removed.
            self.blob_aside(what, &image.id)?;
            let name = image.id.hex();
            return self.damaged(&self.store.images, name.as_bytes(), (what.to_owned(), reason));
        }
        let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
        self.stack(what, &diff_ids)
    }

    /// Checks that all layers of a stack and their merged tree are there.
    fn stack(&mut self, what: &str, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let mut layers = Vec::new();
        for diff_id in diff_ids {
            match settle(self.store.layer_index(diff_id).map_err(Unsound::from))? {
                Ok(index) => layers.push(index),
                Err(reason) => self.find(what, reason, false),
            }
        }
        let Some(chain) = chain_id(diff_ids.iter()) else { return Ok(()) };
        let tree = settle(self.store.tree(&chain).map_err(Unsound::from))?;
        if tree.is_err() && layers.len() == diff_ids.len() {
            let reason = "its merged tree is missing".to_owned();
            match self.repair {
                Repair::SetAside => {
                    self.fold_again(&layers, chain)?;
                    self.found_made_anew(what, reason);
                }
                Repair::Report => self.find(what, reason, false),
            }
        }
        Ok(())
    }

    /// Checks what each container says of itself, and that what it is made of is there. One without a record, and a
    /// throwaway that died, are nothing.
    fn containers(&mut self) -> Result<(), StoreError> {
        for (id, dir) in self.store.container_dirs()? {
            let state = settle(container::soundness(&id, &dir))?;
            let what = format!("container {}", id.short());
            match state {
                Ok(None) => {}
                Ok(Some(diff_ids)) => {
                    self.report.containers += 1;
                    self.stack(&what, &diff_ids)?;
                }
                Err(reason) => {
                    self.report.containers += 1;
                    self.broken_container(&id, &dir, (what, reason))?;
                }
            }
        }
        Ok(())
    }

    /// A container whose state can't be read has ended, nobody knows how. One whose record can't be read is set aside
    /// whole, with what it wrote. Unless it runs.
    fn broken_container(
        &mut self,
        id: &ContainerId,
        dir: &OwnedFd,
        (what, reason): (String, String),
    ) -> Result<(), StoreError> {
        if container::is_living(dir).during(|| format!("look after {what}"))? {
            self.find(
                &what,
                format!("{reason}; it runs: `layerfs fsck --repair` once it has ended"),
                false,
            );
            return Ok(());
        }
        if self.repair == Repair::SetAside && container::mend_state(id, dir)? {
            self.found_made_anew(&what, reason);
            return Ok(());
        }
        let containers = self.store.open_containers()?;
        self.damaged(&containers, id.hex().as_bytes(), (what, reason))
    }

    fn names(&mut self) -> Result<(), StoreError> {
        let _kept = self.kept()?;
        // A record and its names are removed one after the other.
        let _records = self.store.lock_records()?;
        let names = self.store.all_names()?;
        for UnreadName { file, why } in names.unread {
            let what = format!("images/names/{file}");
            if let StoreError::NewerRecord { .. } = why {
                self.find(&what, why.to_string(), false);
            } else if let Err(reason) = settle::<()>(Err(why.into()))? {
                self.damaged(&self.store.names, file.as_bytes(), (what, reason))?;
            }
        }
        for (name, id) in names.sound {
            let record = self.store.image_record(&id);
            if matches!(record, Err(StoreError::NewerRecord { .. })) {
                continue;
            }
            let record = settle(record.map_err(Unsound::from))?;
            if record.is_ok_and(|record| record.is_some()) {
                continue;
            }
            let mended = self.repair == Repair::SetAside;
            if mended {
                let file = file_name(&name.canonical());
                record::remove(&self.store.names, &file).during(|| format!("untag `{name}`"))?;
            }
            self.find(&format!("name {name}"), format!("there is no image {}", id.short()), mended);
        }
        Ok(())
    }

    /// Where users' own uppers lie. Whether they are there is no matter of the store's.
    fn uppers(&mut self) -> Result<(), StoreError> {
        let Some(room) = self.store.open_uppers()? else { return Ok(()) };
        for (name, why) in uppers::unread(&room)? {
            let what = format!("uppers/{name}");
            if let StoreError::NewerRecord { .. } = why {
                self.find(&what, why.to_string(), false);
            } else if let Err(reason) = settle::<()>(Err(why.into()))? {
                self.damaged(&room, name.as_bytes(), (what, reason))?;
            }
        }
        Ok(())
    }

    /// Checks an index, and that the store has each of its objects, whole.
    fn index_state(&self, room: &OwnedFd, id: &Digest, kind: Kind) -> Result<(), Unsound> {
        let index = indexes::open(room, id, kind)?;
        index::check(&index)?;
        for (digest, size) in index.objects()? {
            match self.sizes.get(&digest) {
                Some(found) if *found == size => {}
                Some(found) => {
                    let reason = format!("object {} has {found} bytes, not {size}", digest.hex());
                    return Err(Unsound::Damaged(reason));
                }
                None => self.late_object(&digest, size)?,
            }
        }
        Ok(())
    }

    /// Checks an object that was not there, or not whole, when the objects were checked: an import may have brought
    /// it since, together with the layer that has it.
    fn late_object(&self, digest: &Digest, size: u64) -> Result<(), Unsound> {
        let look = || {
            let (room, _) = self.store.object_dir(digest)?;
            object_state(&room, digest)
        };
        match look() {
            Ok(found) if found == size => Ok(()),
            Err(unread @ Unsound::Unread(_)) => Err(unread),
            Ok(_) | Err(Unsound::Damaged(_)) => {
                Err(Unsound::Damaged(format!("object {} is missing or damaged", digest.hex())))
            }
        }
    }

    fn fold_again(&self, layers: &[Index], chain: Digest) -> Result<(), StoreError> {
        let what = || format!("merged tree {}", chain.short());
        let aside = format!("{:016x}.new", host::random_u64().during(what)?);
        let tree = file::create_new(&self.store.trees, aside.as_str(), 0o400).during(what)?;
        let folded = merge_layers(layers, chain, tree).during(what);
        let synced = folded.and_then(|_| file::sync_filesystem(&self.store.trees).during(what));
        let placed = synced.and_then(|()| {
            dir::rename(&self.store.trees, aside.as_str(), &self.store.trees, chain.hex().as_str())
                .during(what)
        });
        if placed.is_err() {
            dir::unlink(&self.store.trees, aside.as_str()).during(what)?;
        }
        placed
    }

    fn damaged(
        &mut self,
        room: &OwnedFd,
        name: &[u8],
        (what, reason): (String, String),
    ) -> Result<(), StoreError> {
        let mended = self.repair == Repair::SetAside;
        if mended {
            self.set_aside(room, name, &what)?;
        }
        self.find(&what, reason, mended);
        Ok(())
    }

    /// Sets a damaged blob aside, where that is wanted and it is there at all. Answers whether it was.
    fn blob_aside(&self, what: &str, digest: &Digest) -> Result<bool, StoreError> {
        let name = digest.hex();
        let wanted =
            self.repair == Repair::SetAside && self.is_there(&self.store.blobs, name.as_bytes())?;
        if wanted {
            self.set_aside(&self.store.blobs, name.as_bytes(), what)?;
        }
        Ok(wanted)
    }

    fn set_aside(&self, room: &OwnedFd, name: &[u8], what: &str) -> Result<(), StoreError> {
        let deed = || format!("set {what} aside");
        let random = host::random_u64().during(deed)?;
        let aside = format!("{}.{random:016x}", name_aside(name));
        dir::rename(room, name, &self.store.damaged, aside.as_str()).during(deed)
    }

    fn find(&mut self, what: &str, reason: String, mended: bool) {
        self.report.findings.push(Finding { what: what.to_owned(), reason, mended, whole: false });
    }

    fn found_made_anew(&mut self, what: &str, reason: String) {
        let finding = Finding { what: what.to_owned(), reason, mended: true, whole: true };
        self.report.findings.push(finding);
    }
}

/// What a file is called where it is set aside, before random digits: the end of its path, which may hold any byte and be
/// as long as a name can be, printed and cut to a part of a name.
fn name_aside(path: &[u8]) -> String {
    const LEN_MAX: usize = 200;
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let mut shown = name.escape_ascii().to_string();
    shown.truncate(LEN_MAX);
    shown
}
