//! One image, imported into a store of its own.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use layerfs_driver::store::index::{Body, Index, Ordinal};
use layerfs_driver::store::source::{self, Pick, SourceSpec, Wanted};
use layerfs_driver::store::{LayerOutcome, Progress, Repair, RootfsInput, Store, StoreError};

use crate::support::Scratch;

/// A store, and the image that was imported last.
pub struct Imported {
    /// The store.
    pub store: Store,
    /// Holds the store, unless the test does.
    _scratch: Option<Scratch>,
    id: Digest,
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

impl Imported {
    /// Imports into a fresh store, which must then be clean.
    pub fn new(form: &str, source: &Path) -> Imported {
        let scratch = Scratch::new();
        let store = Store::open(&scratch.join("store")).unwrap();
        let mut imported = Imported { store, _scratch: Some(scratch), id: Digest::of(b"") };
        imported.import(form, source);
        imported
    }

    /// Imports a directory into a fresh store at `store`, which must then be clean.
    pub fn of_directory(store: &Path, tree: OwnedFd) -> Result<Imported, StoreError> {
        let store = Store::open(store).unwrap();
        // The store's lock file is made when it is first used, which changes the time of its root.
        store.fsck(Repair::Report).unwrap();
        let id = store.import_rootfs(RootfsInput::Directory(tree), "tree", None, &Silent)?;
        assert_eq!(store.fsck(Repair::Report).unwrap().findings, []);
        Ok(Imported { store, _scratch: None, id })
    }

    /// Imports one more; answers its image.
    pub fn import(&mut self, form: &str, source: &Path) -> Image {
        let transport = match form {
            "docker" => "docker-archive",
            _ if source.is_dir() => "oci",
            _ => "oci-archive",
        };
        let words = format!("{transport}:{}", source.display());
        let spec = SourceSpec::parse(words.as_ref()).unwrap();
        let source = source::open(&spec, Wanted::Host, self.store.spool_dir().as_fd()).unwrap();
        let image = source.images(Pick::One(None)).unwrap().remove(0);
        self.id = self.store.import_image(&source, &image, &[], &Silent).unwrap();
        assert_eq!(self.store.fsck(Repair::Report).unwrap().findings, [], "{words}");
        self.image()
    }

    /// The image that was imported last.
    pub fn image(&self) -> Image {
        self.store.find(&self.id.to_string()).unwrap().image
    }

    /// The files of the store, by their paths in it.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let root = self.store.path().to_path_buf();
        let mut open = vec![root.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(&root).unwrap().to_path_buf());
                }
            }
        }
        found
    }

    fn layers(&self) -> Vec<Index> {
        let layers = self.image().layers;
        layers.iter().map(|layer| self.store.layer_index(&layer.diff_id).unwrap()).collect()
    }

    fn bodies(index: &Index) -> impl Iterator<Item = (Body, u64)> + '_ {
        let inodes =
            (0..index.inode_count()).map(|n| index.inode(Ordinal::from_number(n)).unwrap());
        inodes.map(|inode| (inode.body, inode.size))
    }

    /// Whether some layer has a whiteout.
    pub fn has_whiteout(&self) -> bool {
        // Every entry but whiteouts is a name of an inode; a group's further names are counted off.
        self.layers().iter().any(|index| {
            let inodes = (1..index.inode_count()).map(Ordinal::from_number);
            let names: usize = inodes.map(|ordinal| index.names(ordinal).unwrap().len()).sum();
            index.totals().entries > names as u64
        })
    }

    /// Whether some layer hides what a directory held below.
    pub fn has_opaque(&self) -> bool {
        let is_opaque = |body: &Body| matches!(body, Body::Directory { opaque: true, .. });
        self.layers().iter().any(|index| Self::bodies(index).any(|(body, _)| is_opaque(&body)))
    }

    /// Whether some object takes less on disk than its size, as its index says.
    pub fn has_sparse(&self) -> bool {
        self.layers().iter().any(|index| {
            Self::bodies(index).any(|(body, size)| match body {
                Body::Object { digest, sparse: true } => {
                    let hex = digest.hex();
                    let path = self.store.path().join("objects").join(&hex[..2]).join(&hex);
                    path.metadata().unwrap().blocks() * 512 < size
                }
                _ => false,
            })
        })
    }
}
