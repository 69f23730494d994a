//! What the store takes on disk: in all, and layer by layer.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use super::container::{UsedImage, is_living};
use super::digest::Digest;
use super::error::{During, StoreError};
use super::image::Image;
use super::import::{Listed, Room};
use super::root::{Store, object_path};
use super::strangers;
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, SysError, deep, dir};

/// One layer of an image, and what it shares with the other layers in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerUsage {
    /// Digest of the layer's archive.
    pub diff_id: Digest,
    /// Bytes of file contents in it.
    pub size: u64,
    /// Names in it, whiteouts included.
    pub files: u64,
    /// Bytes that only this layer needs: its index with the small files in it, its frame, and objects no other layer has.
    pub own_bytes: u64,
    /// Bytes of objects that other layers in the store have, too.
    pub shared_bytes: u64,
}

/// What the store holds and takes, in bytes as `du` counts them (allocated blocks, directories included).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images.
    pub images: u64,
    /// Layers.
    pub layers: u64,
    /// Merged trees.
    pub trees: u64,
    /// File objects.
    pub objects: u64,
    /// Bytes of file objects.
    pub object_bytes: u64,
    /// Bytes of layer indexes and frames.
    pub index_bytes: u64,
    /// Bytes of merged trees.
    pub tree_bytes: u64,
    /// Bytes of manifests and configurations.
    pub blob_bytes: u64,
    /// Bytes of everything else: records, imports under way, what fsck set aside, volumes half made or half removed.
    pub other_bytes: u64,
    /// Images that containers or mounts use.
    pub active_images: u64,
    /// Bytes that removing every other image would free.
    pub reclaimable_bytes: u64,
    /// Containers.
    pub containers: u64,
    /// Those that a process runs.
    pub living_containers: u64,
    /// Bytes of containers and mounts: their records and writable layers.
    pub container_bytes: u64,
    /// Bytes of those that no process runs.
    pub dead_container_bytes: u64,
    /// Volumes.
    pub volumes: u64,
    /// Those that a container names, running or not.
    pub active_volumes: u64,
    /// Bytes of volumes: their records and what they hold.
    pub volume_bytes: u64,
    /// Bytes of those that no container names.
    pub unused_volume_bytes: u64,
}

impl Usage {
    /// All bytes but those of containers and volumes.
    pub fn image_bytes(&self) -> u64 {
        self.object_bytes + self.index_bytes + self.tree_bytes + self.blob_bytes + self.other_bytes
    }
}

impl Store {
    /// What each layer of an image takes, lowest first.
    pub fn layer_usage(&self, image: &Image) -> Result<Vec<LayerUsage>, StoreError> {
        let users = self.users_of_objects()?;
        let mut usage = Vec::new();
        for layer in &image.layers {
            let what = || format!("layer {}", layer.diff_id.short());
            let index = self.layer_index(&layer.diff_id)?;
            let totals = index.totals();
            let frame = self.frame_bytes(&layer.diff_id).during(what)?;
            let (mut own_bytes, mut shared_bytes) = (index.file_bytes() + frame.1, 0);
            for (digest, size) in index.objects().during(what)? {
                match users.get(&digest) {
                    Some(count) if *count > 1 => shared_bytes += size,
                    _ => own_bytes += size,
                }
            }
            index.intact().during(what)?;
            let (diff_id, size, files) = (layer.diff_id, totals.content_bytes, totals.entries);
            usage.push(LayerUsage { diff_id, size, files, own_bytes, shared_bytes });
        }
        Ok(usage)
    }

    /// What the whole store holds and takes.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let deed = || "measure the store".to_owned();
        let objects = Measured::of(&self.objects).during(deed)?;
        let layers = Measured::of(&self.layers).during(deed)?;
        let frames = Measured::of(&self.frames).during(deed)?;
        let trees = Measured::of(&self.trees).during(deed)?;
        let blobs = Measured::of(&self.blobs).during(deed)?;
        let own = self.own_bytes().during(deed)?;
        let parts = [objects.bytes, layers.bytes, frames.bytes, trees.bytes, blobs.bytes];
        let files: u64 =
            [objects, layers, frames, trees, blobs].iter().map(|part| part.file_bytes).sum();
        let (images, used) = (self.image_ids()?, self.used_images()?);
        let active = images.iter().filter(|id| used.iter().any(|image| image.id == **id)).count();
        let usage = Usage {
            images: images.len() as u64,
            layers: layers.files,
            trees: trees.files,
            objects: objects.files,
            object_bytes: objects.bytes,
            index_bytes: layers.bytes + frames.bytes,
            tree_bytes: trees.bytes,
            blob_bytes: blobs.bytes,
            other_bytes: own.saturating_sub(parts.iter().sum()),
            active_images: active as u64,
            reclaimable_bytes: files.saturating_sub(self.bytes_of(&used)?),
            ..Usage::default()
        };
        self.with_containers(usage)
    }

    /// Adds what containers and volumes are and take.
    fn with_containers(&self, mut usage: Usage) -> Result<Usage, StoreError> {
        let deed = || "measure the containers".to_owned();
        for (_, dir) in self.container_dirs()? {
            let bytes = Measured::of(&dir).during(deed)?.bytes;
            usage.container_bytes += bytes;
            if !is_living(&dir).during(deed)? {
                usage.dead_container_bytes += bytes;
            }
        }
        let containers = self.containers()?;
        for container in &containers {
            usage.containers += 1;
            usage.living_containers += u64::from(container.is_living);
        }
        let named = containers.iter().flat_map(|one| &one.volumes).map(String::as_str);
        self.with_volumes(usage, &named.collect())
    }

    /// Adds what volumes are and take; containers name those in `named`.
    fn with_volumes(&self, mut usage: Usage, named: &HashSet<&str>) -> Result<Usage, StoreError> {
        let deed = || "measure the volumes".to_owned();
        for (name, dir) in self.volume_dirs()? {
            let bytes = Measured::of(&dir).during(deed)?.bytes;
            let Some(name) = name else {
                usage.other_bytes += bytes;
                continue;
            };
            let is_active = named.contains(name.as_str());
            usage.volumes += 1;
            usage.active_volumes += u64::from(is_active);
            usage.volume_bytes += bytes;
            usage.unused_volume_bytes += if is_active { 0 } else { bytes };
        }
        Ok(usage)
    }

    /// Bytes of the store but for what lies below `containers/` and `volumes/`, whose own directories count.
    fn own_bytes(&self) -> Result<u64, SysError> {
        let mut bytes = allocated(&file::stat(self.root())?);
        for entry in dir::list(self.root())? {
            let opened = match dir::open(self.root(), &*entry.name, Symlinks::Stop) {
                Err(error) if error.is_absent() => continue,
                Err(error) if error.errno() == Errno::NOTDIR => {
                    bytes += allocated(&file::stat_at(self.root(), &*entry.name, Symlinks::Stop)?);
                    continue;
                }
                opened => opened?,
            };
            bytes += match &*entry.name {
                b"containers" | b"volumes" => allocated(&file::stat(&opened)?),
                _ => Measured::of(&opened)?.bytes,
            };
        }
        Ok(bytes)
    }

    /// Bytes of all that these images need: what removing all others would not free.
    fn bytes_of(&self, images: &[UsedImage]) -> Result<u64, StoreError> {
        let mut needed: HashSet<Listed> = images.iter().flat_map(UsedImage::listed).collect();
        for image in images {
            needed.extend(self.manifests_of(&image.id)?);
        }
        self.add_objects(&mut needed)?;
        let mut bytes = 0;
        for Listed { room, digest } in needed {
            let path = match room {
                Room::Objects => object_path(&digest),
                Room::Layers | Room::Trees | Room::Blobs => digest.hex(),
            };
            match file::stat_at(self.room(room), path.as_str(), Symlinks::Stop) {
                Err(error) if error.is_absent() => {}
                stat => bytes += allocated(&stat.during(|| "measure an image".into())?),
            }
            if room == Room::Layers {
                bytes += self.frame_bytes(&digest).during(|| "measure an image".into())?.0;
            }
        }
        Ok(bytes)
    }

    /// What the frame of a layer takes on disk, and its length; zeros where there is none.
    fn frame_bytes(&self, diff_id: &Digest) -> Result<(u64, u64), SysError> {
        match file::stat_at(&self.frames, diff_id.hex().as_str(), Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok((0, 0)),
            stat => {
                let stat = stat?;
                Ok((allocated(&stat), u64::try_from(stat.st_size).unwrap_or(0)))
            }
        }
    }

    /// How many layers of the store have each object.
    fn users_of_objects(&self) -> Result<HashMap<Digest, u32>, StoreError> {
        let mut users = HashMap::new();
        for diff_id in strangers::files(&self.layers)?.digests {
            let index = match self.layer_index(&diff_id) {
                Err(StoreError::LayerMissing(_)) => continue,
                index => index?,
            };
            let what = || format!("layer {}", diff_id.short());
            for (object, _) in index.objects().during(what)? {
                *users.entry(object).or_insert(0) += 1;
            }
            index.intact().during(what)?;
        }
        Ok(users)
    }
}

/// Bytes on disk of a directory and all below it.
pub(super) fn allocated_below(dir: &OwnedFd) -> Result<u64, SysError> {
    Ok(Measured::of(dir)?.bytes)
}

/// Files and allocated bytes below a directory.
#[derive(Clone, Copy, Default)]
struct Measured {
    files: u64,
    /// Of files and directories.
    bytes: u64,
    /// Of files alone.
    file_bytes: u64,
}

impl Measured {
    /// Counts a directory and all below it, a file with several names once. What goes away meanwhile is not counted.
    fn of(dir: &OwnedFd) -> Result<Self, SysError> {
        let mut sum = Measured { bytes: allocated(&file::stat(dir)?), ..Measured::default() };
        let mut linked = HashSet::new();
        deep::look_through(dir, |stat| {
            // Of a file with one name nothing has to be remembered.
            if stat.st_nlink > 1
                && file::type_of(stat) != file::FileType::Directory
                && !linked.insert((stat.st_dev, stat.st_ino))
            {
                return;
            }
            sum.bytes += allocated(stat);
            if file::type_of(stat) != file::FileType::Directory {
                sum.files += 1;
                sum.file_bytes += allocated(stat);
            }
        })?;
        Ok(sum)
    }
}

fn allocated(stat: &file::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}
