//! Images in an OCI layout in a directory, beside what it has already.
//!
//! 1. Whoever writes into a layout holds the lock of its directory, so that no image is lost from the index, and takes away what
//!    killed writers have left of files.
//! 2. A blob is put in place of what has its name: that may be damaged, and this one was proved.
//! 3. The index is replaced last, when all that it names is on disk.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::documents::{self, Blob, CONFIG, LAYOUT, MANIFEST, REF_NAME, Written};
use super::error::ExportError;
use super::image::{Exported, Kept};
use super::pack::{Pack, PackError, pack};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::import::Progress;
use crate::store::record;
use crate::store::reference::Reference;
use crate::store::root::Store;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, SysError, dir, host};

/// Permissions of what others may read.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

impl Store {
    /// Writes images into the layout at `path`, which is made where there is none; `tag` is what the only one is called
    /// there, its names where nothing is said. Where it fails, the layout has the images that it had.
    pub fn write_layout(
        &self,
        images: &[Exported],
        (packing, tag): (Pack, Option<&str>),
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        let kept = Kept::new(self, images, progress)?;
        let mut place = Place::take(path)?;
        let done = place.begin().and_then(|mut layout| {
            let added = layout.add(&kept, images, (packing, tag));
            if added.is_err() {
                layout.take_back();
            }
            added
        });
        if done.is_err() {
            place.take_back();
        }
        done
    }
}

/// The directory of a layout, whose lock is held.
struct Place {
    target: String,
    path: PathBuf,
    root: OwnedFd,
    /// Whether nobody else can be writing: some file systems lock no directories.
    is_locked: bool,
    /// Directories that were not there, the outermost first.
    made_dirs: Vec<&'static str>,
}

impl Place {
    /// Makes the directory where there is none, and waits until nobody else writes into it.
    fn take(path: &Path) -> Result<Self, StoreError> {
        let target = path.display().to_string();
        let call = |source| ExportError::Call { target: target.clone(), source };
        loop {
            let mut made_dirs = Vec::new();
            match dir::make_path(path, DIRECTORY_MODE) {
                Ok(()) => made_dirs.push(""),
                Err(error) if error.errno() == Errno::EXIST => {}
                Err(error) => return Err(call(error).into()),
            }
            let root = dir::open_path(path).map_err(call)?;
            let is_locked = match lock_of(&root, &target) {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!("nobody knows who writes into `{target}`: {error}");
                    false
                }
            };
            // Whoever had the lock and failed may have taken the directory away again.
            let own = file::stat(&root).map_err(call)?;
            match file::stat_path(path) {
                Ok(there) if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) => {
                    let path = path.to_owned();
                    return Ok(Place { target, path, root, is_locked, made_dirs });
                }
                Err(error) if !error.is_absent() => return Err(call(error).into()),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Reads the index, and makes the directories that are missing.
    fn begin(&mut self) -> Result<Layout<'_>, StoreError> {
        let call = |source| ExportError::Call { target: self.target.clone(), source };
        let index = self.index()?;
        for name in ["blobs", "blobs/sha256"] {
            if file::stat_at(&self.root, name, Symlinks::Stop).is_err_and(|error| error.is_absent())
            {
                dir::make(&self.root, name, DIRECTORY_MODE).map_err(call)?;
                self.made_dirs.push(name);
            }
        }
        let blobs = dir::open(&self.root, "blobs/sha256", Symlinks::Stop).map_err(call)?;
        if self.is_locked {
            sweep(&self.root, record::is_aside);
            sweep(&blobs, |name| name.starts_with(ASIDE.as_bytes()));
        }
        // It has the list: that was looked at when it was read.
        let entries = index["manifests"].as_array().cloned().unwrap_or_default();
        Ok(Layout { place: self, blobs, entries, index, made: Vec::new() })
    }

    /// The index that is there, or one without images.
    fn index(&self) -> Result<Value, StoreError> {
        let call = |source| ExportError::Call { target: self.target.clone(), source };
        match file::open_read(&self.root, "index.json", Symlinks::Stop) {
            Err(error) if error.is_absent() => {
                let listed = dir::list(&self.root).map_err(call)?;
                if listed.iter().any(|entry| !is_begun(&entry.name)) {
                    return Err(ExportError::NoLayout(self.target.clone()).into());
                }
                Ok(documents::index(Vec::new()))
            }
            opened => {
                let text = opened.and_then(|file| file::read_all(file, INDEX_MAX)).map_err(call)?;
                Ok(read_index(&text)
                    .map_err(|reason| ExportError::Index { target: self.target.clone(), reason })?)
            }
        }
    }

    /// Removes the directories that were made.
    fn take_back(&self) {
        for name in self.made_dirs.iter().rev() {
            let removed = match *name {
                "" => dir::unlink(&self.root, "oci-layout")
                    .or_else(|error| if error.is_absent() { Ok(()) } else { Err(error) })
                    .and_then(|()| dir::remove_path(&self.path)),
                name => dir::remove(&self.root, name),
            };
            if let Err(error) = removed {
                tracing::debug!("a directory that was made for the layout stays: {error}");
            }
        }
    }
}

/// Waits for the lock of a directory; says so where another has it.
fn lock_of(root: &OwnedFd, target: &str) -> Result<(), SysError> {
    if lock::try_take(root, Share::Exclusive)? {
        return Ok(());
    }
    tracing::warn!("another process writes into `{target}`: waiting until it has done");
    lock::wait(root, Share::Exclusive)
}

/// Removes what killed writers have left under names of that form.
fn sweep(dir: &OwnedFd, is_aside: impl Fn(&[u8]) -> bool) {
    let swept = dir::list(dir).map(|all| {
        let mut left = all.iter().filter(|entry| is_aside(&entry.name));
        left.try_for_each(|entry| dir::unlink(dir, &*entry.name))
    });
    if let Err(error) = swept.and_then(|swept| swept) {
        tracing::warn!("what a killed command left in the layout stays: {error}");
    }
}

/// What the names of blobs begin with that are being written.
const ASIDE: &str = ".layerfs-";

struct Layout<'a> {
    place: &'a Place,
    blobs: OwnedFd,
    /// The entries of the index that was there.
    entries: Vec<Value>,
    index: Value,
    /// Blobs that were not there, by name.
    made: Vec<String>,
}

impl Layout<'_> {
    fn add(
        &mut self,
        kept: &Kept<'_>,
        images: &[Exported],
        (packing, tag): (Pack, Option<&str>),
    ) -> Result<(), StoreError> {
        for exported in images {
            let written = self.image(kept, exported, packing)?;
            match tag {
                Some(tag) => self.enter(&written.manifest, Some(tag)),
                None if exported.names.is_empty() => self.enter(&written.manifest, None),
                None => {
                    let names = exported.names.iter().map(Reference::as_given);
                    names.for_each(|name| self.enter(&written.manifest, Some(&name)));
                }
            }
        }
        self.index["manifests"] = Value::from(std::mem::take(&mut self.entries));
        let text = self.index.to_string();
        if file::stat_at(&self.place.root, "oci-layout", Symlinks::Stop)
            .is_err_and(|error| error.is_absent())
        {
            self.replace("oci-layout", LAYOUT.as_bytes())?;
        }
        file::sync_filesystem(&self.place.root).map_err(|source| self.call(source))?;
        self.replace("index.json", text.as_bytes())
    }

    fn image(
        &mut self,
        kept: &Kept<'_>,
        exported: &Exported,
        packing: Pack,
    ) -> Result<Written, StoreError> {
        let mut layers = Vec::new();
        for layer in &exported.image.layers {
            layers.push(self.layer(kept, &layer.diff_id, packing)?);
        }
        let config = self.document(CONFIG, &kept.config(&exported.image)?)?;
        let manifest = self.document(MANIFEST, &documents::manifest(&config, &layers))?;
        Ok(Written { config, manifest, layers })
    }

    fn layer(
        &mut self,
        kept: &Kept<'_>,
        diff_id: &Digest,
        packing: Pack,
    ) -> Result<Blob, StoreError> {
        let archive = kept.archive(diff_id)?;
        let mut packed = None;
        let name = self.aside(|file| {
            packed = Some(pack(archive, packing, file, kept.progress)?);
            Ok(())
        })?;
        let packed = packed.ok_or(StoreError::Stopped)?;
        let blob = documents::layer_blob(packing, packed);
        self.install(&name, &blob)?;
        Ok(blob)
    }

    fn document(&mut self, media_type: &'static str, bytes: &[u8]) -> Result<Blob, StoreError> {
        let blob = Blob { media_type, digest: Digest::of(bytes), size: bytes.len() as u64 };
        let name = self.aside(|file| file.write_all(bytes).map_err(PackError::Target))?;
        self.install(&name, &blob)?;
        Ok(blob)
    }

    /// Fills a file under a name of no meaning. It goes where that fails.
    fn aside(
        &mut self,
        fill: impl FnOnce(&mut Aside) -> Result<(), PackError>,
    ) -> Result<String, StoreError> {
        let random = host::random_u64().map_err(|source| self.call(source))?;
        let name = format!("{ASIDE}{random:016x}");
        let file = file::create_new(&self.blobs, name.as_str(), FILE_MODE);
        let mut file = Aside(file.map_err(|source| self.call(source))?);
        match fill(&mut file) {
            Ok(()) => Ok(name),
            Err(error) => {
                self.drop_blob(&name);
                Err(match error {
                    PackError::Store(error) => error,
                    PackError::Target(source) => {
                        ExportError::Write { target: self.place.target.clone(), source }.into()
                    }
                })
            }
        }
    }

    fn install(&mut self, name: &str, blob: &Blob) -> Result<(), StoreError> {
        let hex = blob.digest.hex();
        let known = file::stat_at(&self.blobs, hex.as_str(), Symlinks::Stop);
        if known.is_err_and(|error| error.is_absent()) {
            self.made.push(hex.clone());
        }
        let placed = dir::rename(&self.blobs, name, &self.blobs, hex.as_str());
        Ok(placed.map_err(|source| self.call(source))?)
    }

    /// Names an image in the index, in place of what had the name. What has no name is told by its digest.
    fn enter(&mut self, manifest: &Blob, called: Option<&str>) {
        let digest = manifest.digest.to_string();
        self.entries.retain(|entry| {
            let name = entry["annotations"][REF_NAME].as_str();
            name != called || (name.is_none() && entry["digest"] != digest.as_str())
        });
        self.entries.push(documents::entry(manifest, called));
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let replaced = record::replace(&self.place.root, name, bytes)
            .and_then(|()| file::open_read(&self.place.root, name, Symlinks::Stop))
            .and_then(|file| file::chmod(&file, FILE_MODE));
        Ok(replaced.map_err(|source| self.call(source))?)
    }

    fn call(&self, source: SysError) -> ExportError {
        ExportError::Call { target: self.place.target.clone(), source }
    }

    /// Removes what was made: nothing names it.
    fn take_back(&self) {
        for name in &self.made {
            self.drop_blob(name);
        }
    }

    fn drop_blob(&self, name: &str) {
        if let Err(error) = dir::unlink(&self.blobs, name) {
            tracing::warn!("a blob that nothing names stays: {error}");
        }
    }
}

/// Whether a directory that has no index has this of a layout that was begun and not ended.
fn is_begun(name: &[u8]) -> bool {
    matches!(name, b"blobs" | b"oci-layout") || record::is_aside(name)
}

/// An index of a layout is not larger.
const INDEX_MAX: u64 = 16 << 20;

fn read_index(text: &[u8]) -> Result<Value, String> {
    let index: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match index.get("manifests") {
        Some(Value::Array(_)) => Ok(index),
        _ => Err("it has no list of manifests".to_owned()),
    }
}

/// A file under way.
struct Aside(OwnedFd);

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        file::write_all(&self.0, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
