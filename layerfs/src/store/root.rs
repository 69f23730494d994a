//! The store's directory: its layout on disk, its format version, the lock between imports and gc.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::error::{During, StoreError};
use crate::sys::change::{self, StatVfs};
use crate::sys::file::Symlinks;
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, SysError, dir, file, mount};

/// The format this build writes, and the latest it knows.
const FORMAT: u32 = 1;

/// An open store. Cheap to share between threads; holds descriptors only.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    root: OwnedFd,
    pub(super) blobs: OwnedFd,
    pub(super) objects: OwnedFd,
    pub(super) layers: OwnedFd,
    /// Of each layer, what its archive is beside the contents of its files; absent in stores of earlier versions.
    pub(super) frames: OwnedFd,
    pub(super) trees: OwnedFd,
    pub(super) images: OwnedFd,
    pub(super) names: OwnedFd,
    pub(super) damaged: OwnedFd,
    pub(super) tmp: OwnedFd,
}

#[derive(Serialize, Deserialize)]
struct LayoutFile {
    format: String,
    version: u32,
}

/// Keeps gc out while held: what was seen under it stays until it is dropped, and after that if it was listed.
#[derive(Debug)]
pub(super) struct Presence(
    #[allow(dead_code, reason = "the lock goes with the descriptor")] OwnedFd,
);

impl Store {
    /// Opens the store at `path`, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Root { path: path.into(), source };
        dir::make_all(path, 0o700).map_err(refused)?;
        let root = dir::open_path(path).map_err(refused)?;
        if file::stat_at(&root, "layout", Symlinks::Stop).is_err_and(|error| error.is_absent()) {
            make_layout(path, &root)?;
        }
        Store::of_root(path, root)
    }

    /// Opens the store at `path`; [`StoreError::NoStore`] where there is none.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Root { path: path.into(), source };
        let root = match dir::open_path(path) {
            Err(error) if error.is_absent() => return Err(StoreError::NoStore(path.into())),
            opened => opened.map_err(refused)?,
        };
        match file::stat_at(&root, "layout", Symlinks::Stop) {
            Err(error) if error.is_absent() => {
                check_empty(path, &root)?;
                Err(StoreError::NoStore(path.into()))
            }
            Err(source) => Err(refused(source)),
            Ok(_) => Store::of_root(path, root),
        }
    }

    fn of_root(path: &Path, root: OwnedFd) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Root { path: path.into(), source };
        check_layout(path, &root)?;
        let open = |name: &str| dir::open(&root, name, Symlinks::Stop).map_err(refused);
        let images = open("images")?;
        let below_images = |name: &str| dir::open(&images, name, Symlinks::Stop).map_err(refused);
        Ok(Store {
            path: path.into(),
            blobs: dir::open(&open("blobs")?, "sha256", Symlinks::Stop).map_err(refused)?,
            objects: open("objects")?,
            layers: open("layers")?,
            frames: open_frames(&root).map_err(refused)?,
            trees: open("trees")?,
            names: below_images("names")?,
            images: below_images("ids")?,
            damaged: open("damaged")?,
            tmp: open("tmp")?,
            root,
        })
    }

    /// The path the store was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store's root directory.
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Keeps gc out until the answer is dropped.
    pub(super) fn presence(&self) -> Result<Presence, StoreError> {
        self.lock(Share::Shared)
    }

    /// Keeps imports from listing or publishing anything until the answer is dropped.
    pub(super) fn solitude(&self) -> Result<Presence, StoreError> {
        self.lock(Share::Exclusive)
    }

    fn lock(&self, share: Share) -> Result<Presence, StoreError> {
        let deed = || "lock the store".to_owned();
        // A descriptor of its own for each holder: a lock belongs to the open file, not to the thread.
        let file = file::open_or_create(&self.root, "lock", 0o600).during(deed)?;
        // The kernel lets shared holders in past an exclusive one that waits, who would wait for ever beside enough of
        // them. So each takes its turn first: who waits for solitude has it, and newcomers wait behind.
        let turn = dir::open(&self.root, ".", Symlinks::Stop).during(deed)?;
        lock::wait(&turn, share).map_err(|source| refused_lock(&self.path, deed(), source))?;
        lock::wait(&file, share).during(deed)?;
        Ok(Presence(file))
    }

    /// The directory that holds an object, and the object's name in it: `objects/ab` and the whole hex digest.
    pub(super) fn object_dir(&self, digest: &Digest) -> Result<(OwnedFd, String), SysError> {
        let hex = digest.hex();
        dir::open(&self.objects, &hex[..2], Symlinks::Stop).map(|fd| (fd, hex))
    }

    /// A handle to the file objects that outlives this one.
    pub fn objects(&self) -> Result<Objects, SysError> {
        dir::open(&self.objects, ".", Symlinks::Stop).map(|dir| Objects { dir, are_shut: false })
    }

    /// Opens a file object for reading; an error of `is_absent` where the store has none of that digest.
    pub fn open_object(&self, digest: &Digest) -> Result<OwnedFd, SysError> {
        open_object(&self.objects, digest)
    }
}

/// The file objects of a store, for whoever reads them long after it was opened.
#[derive(Debug)]
pub struct Objects {
    dir: OwnedFd,
    /// They are reached through a read-only mount.
    are_shut: bool,
}

impl Objects {
    /// The same through a read-only copy of their mount, where this process may make one.
    pub fn shut(self) -> Result<Objects, SysError> {
        let copy = mount::read_only_copy(&self.dir)?;
        Ok(copy.map_or(self, |dir| Objects { dir, are_shut: true }))
    }

    /// Whether nobody can write what is opened here, with whatever rights it is opened again.
    pub fn are_shut(&self) -> bool {
        self.are_shut
    }

    /// Opens a file object for reading; an error of `is_absent` where the store has none of that digest.
    pub fn open(&self, digest: &Digest) -> Result<OwnedFd, SysError> {
        open_object(&self.dir, digest)
    }

    /// Figures of the file system that the objects lie on.
    pub fn filesystem(&self) -> Result<StatVfs, SysError> {
        change::filesystem(&self.dir)
    }
}

fn open_object(objects: &OwnedFd, digest: &Digest) -> Result<OwnedFd, SysError> {
    file::open_read(objects, object_path(digest).as_str(), Symlinks::Stop)
}

/// Opens the directory of the frames, which stores of earlier versions do not have.
fn open_frames(root: &OwnedFd) -> Result<OwnedFd, SysError> {
    match dir::open(root, "frames", Symlinks::Stop) {
        Err(error) if error.is_absent() => {
            dir::make_if_absent(root, "frames", 0o700)?;
            dir::open(root, "frames", Symlinks::Stop)
        }
        opened => opened,
    }
}

/// Where an object lies below `objects/`.
pub(super) fn object_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}/{hex}", &hex[..2])
}

/// What a directory may hold that is no store yet: what is made before the layout file, and what stands in a new file
/// system.
const OURS: [&str; 13] = [
    "blobs",
    "objects",
    "layers",
    "frames",
    "trees",
    "images",
    "containers",
    "damaged",
    "tmp",
    "uppers",
    "volumes",
    "lock",
    "lost+found",
];

/// Refuses a directory that holds other things.
fn check_empty(path: &Path, root: &OwnedFd) -> Result<(), StoreError> {
    let ours = |name: &[u8]| {
        OURS.iter().any(|ours| ours.as_bytes() == name) || super::record::is_aside(name)
    };
    let listed =
        dir::list(root).map_err(|source| StoreError::Root { path: path.into(), source })?;
    if listed.iter().any(|entry| !ours(&entry.name)) {
        return Err(StoreError::NotAStore(path.into()));
    }
    Ok(())
}

/// Makes the directories, then the layout file: a store without it is one whose making did not end.
fn make_layout(path: &Path, root: &OwnedFd) -> Result<(), StoreError> {
    let refused = |source| StoreError::Root { path: path.into(), source };
    check_empty(path, root)?;
    // Now, and not when the first image is half read.
    let probe = dir::open(root, ".", Symlinks::Stop).map_err(refused)?;
    lock::try_take(&probe, Share::Exclusive)
        .map_err(|source| refused_lock(path, "lock the store".into(), source))?;
    drop(probe);
    file::chmod(root, 0o700).map_err(refused)?;
    for name in &OURS[..10] {
        dir::make_if_absent(root, *name, 0o700).map_err(refused)?;
    }
    for name in ["blobs/sha256", "images/ids", "images/names"] {
        dir::make_if_absent(root, name, 0o700).map_err(refused)?;
    }
    let words = LayoutFile { format: "layerfs store".into(), version: FORMAT };
    let text = serde_json::to_vec(&words).map_err(|error| damaged("layout", &error))?;
    super::record::replace(root, "layout", &text).map_err(refused)
}

/// A lock of a directory that was refused: NFS makes an exclusive one of a lock on bytes, for which a file must be open
/// for writing, and a directory can't be.
fn refused_lock(path: &Path, deed: String, source: SysError) -> StoreError {
    if matches!(source.errno(), Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP) {
        return StoreError::NoLocks { path: path.into(), source };
    }
    StoreError::Call { deed, source }
}

fn check_layout(path: &Path, root: &OwnedFd) -> Result<(), StoreError> {
    let refused = |source| StoreError::Root { path: path.into(), source };
    let text =
        file::open_read(root, "layout", Symlinks::Stop).and_then(|fd| file::read_all(fd, 4096));
    let words: LayoutFile = serde_json::from_slice(&text.map_err(refused)?)
        .map_err(|error| damaged("layout", &error))?;
    if words.version > FORMAT {
        return Err(StoreError::Newer { path: path.into(), found: words.version, known: FORMAT });
    }
    Ok(())
}

fn damaged(what: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { what: what.into(), reason: reason.to_string() }
}

#[cfg(all(test, feature = "fault"))]
mod tests {
    use super::*;
    use crate::sys::fault::{Plan, with_plan};

    #[test]
    fn a_file_system_that_does_not_lock_directories_is_refused_when_a_store_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        let plan = Plan::Fail { n: 1, errno: Errno::BADF, call: Some("flock".into()) };
        let (opened, outcome) = with_plan(plan, || Store::open(&path));
        assert!(outcome.fired);
        let line = opened.unwrap_err().to_string();
        assert!(line.contains("as NFS does not: choose a --root on a local disk"), "{line}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        Store::open(&path).unwrap();
    }
}
