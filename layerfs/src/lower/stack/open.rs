//! Owns making a stack from directories, and what its mount was told about marks.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::hidden::Hidden;
use super::holders::Holders;
use super::layer::Layer;
use super::node::{Identity, Place, StackNode};
use super::number::Devices;
use super::peek;
use super::subvolumes::Subvolumes;
use super::trail::Trail;
use crate::lower::error::LowerError;
use crate::sys::change::StatVfs;
use crate::sys::host::DoubtfulIds;
use crate::sys::{OwnedFd, SysError, dir};
use crate::tree::{IdMap, Kind, MarkSpace, Redirects, WhNames};

/// Which ids a layer's own mount shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownIds {
    /// Those that are stored.
    Stored,
    /// Those of the same mapping that the union's mount has: it is an id-mapped mount.
    Mapped,
}

/// What the mount says about marks.
#[derive(Clone, Copy, Debug)]
pub struct StackOptions {
    /// Where the marks are.
    pub space: MarkSpace,
    /// Whether redirects are followed.
    pub redirects: Redirects,
    /// What `.wh.` names mean.
    pub wh_names: WhNames,
}

/// Plain directories as one tree, the first on top.
#[derive(Debug)]
pub struct DirStack {
    pub(super) layers: Box<[Layer]>,
    pub(super) options: StackOptions,
    pub(super) devices: Devices,
    pub(super) subvolumes: Subvolumes,
    pub(super) hidden: Hidden,
    pub(super) holders: Holders,
    /// Owners and groups of these ids may be others, whom this user namespace does not know.
    pub(super) doubtful: DoubtfulIds,
    root: Arc<StackNode>,
}

impl DirStack {
    /// Where the marks of its layers are.
    pub(crate) fn space(&self) -> MarkSpace {
        self.options.space
    }

    /// Figures of the file system that the topmost directory lies on.
    pub(crate) fn filesystem(&self) -> Result<StatVfs, SysError> {
        match self.layers.first() {
            Some(layer) => layer.filesystem(),
            None => Err(SysError::of_deed("fstatfs", "there is no layer")),
        }
    }

    /// Makes a stack of directories that are open, the first on top.
    ///
    /// Each is held through a detached copy of its mount where this process may make one, so that nothing that is
    /// mounted below, then or later, belongs to the tree.
    pub fn open(dirs: Vec<OwnedFd>, options: StackOptions) -> Result<DirStack, LowerError> {
        let mut layers = Vec::with_capacity(dirs.len());
        for (number, dir) in dirs.into_iter().enumerate() {
            let refused = |source| LowerError::Call { path: format!("layer {number}"), source };
            let layer = Layer::new(dir).map_err(refused)?;
            let hides = peek::root_hides(&layer, &options)?;
            layers.push(layer);
            if hides {
                break;
            }
        }
        let devices = Devices::new(layers.iter().map(|layer| layer.root_stat.st_dev));
        let root = Arc::new(root_of(&layers, &options, &devices)?);
        Ok(DirStack {
            layers: layers.into(),
            options,
            devices,
            subvolumes: Subvolumes::default(),
            hidden: Hidden::default(),
            holders: Holders::default(),
            doubtful: DoubtfulIds::default(),
            root,
        })
    }

    /// Makes a stack of directories that are named by the user, the first on top. Symlinks in the names are followed.
    pub fn open_paths<P: AsRef<Path>>(
        paths: &[P],
        options: StackOptions,
    ) -> Result<DirStack, LowerError> {
        let open = |path: &P| {
            let path = path.as_ref();
            dir::open_path(path)
                .map_err(|source| LowerError::Call { path: path.display().to_string(), source })
        };
        DirStack::open(paths.iter().map(open).collect::<Result<_, _>>()?, options)
    }

    /// The same, with layers whose mounts already show the ids that this mount is to show: those are turned back, that all
    /// layers speak of owners in one way. `layers` says of which, the first on top.
    pub fn with_shown_ids(mut self, layers: &[ShownIds], ids: &IdMap) -> DirStack {
        for (layer, shown) in self.layers.iter_mut().zip(layers) {
            layer.shown_ids = (*shown == ShownIds::Mapped).then(|| ids.clone());
        }
        self
    }

    /// The same, asking whose an object is that shows one of these ids: owners and groups that this user namespace does not know
    /// become none at all ([`crate::tree::id_map::NONE`]).
    pub fn doubting(self, doubtful: DoubtfulIds) -> DirStack {
        DirStack { doubtful, ..self }
    }

    /// How many layers there are. Those below one whose root hides everything are not counted: nothing is read of them.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn root(&self) -> Arc<StackNode> {
        self.root.clone()
    }
}

/// The merged root. Marks on the roots of layers do not hide anything in the kernel, and neither do they here.
fn root_of(
    layers: &[Layer],
    options: &StackOptions,
    devices: &Devices,
) -> Result<StackNode, LowerError> {
    let top = layers.first().ok_or(LowerError::NoLayers)?;
    let place = |(number, layer): (usize, &Layer)| {
        Ok(Place {
            layer: number,
            trail: Trail::default(),
            identity: Identity::of(&layer.root_stat),
            may_hold_whiteouts: peek::root_may_hold_whiteouts(layer, options)?,
        })
    };
    Ok(StackNode {
        places: layers.iter().enumerate().map(place).collect::<Result<_, LowerError>>()?,
        kind: Kind::Directory,
        links: 1,
        ino: devices.number(top.root_stat.st_dev, top.root_stat.st_ino),
        names: OnceLock::new(),
        above: None,
    })
}
