//! Owns the plain directory that proves the model: the folded tree on tmpfs or on whatever holds the directory.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::directory;
use super::fault::Fault;
use super::layers::Layer;
use super::ops::{Op, RenameFlag, Special};
use super::posix::PosixTree;
use super::subject::{
    DirectoryLinks, HiddenNames, ListedNumbers, Numbers, OrphanLinks, Outcome, Rules, Snapshot,
    Subject,
};
use super::tree::Model;
use super::walk;

/// A directory that holds the fold of some layers.
pub struct PlainDir {
    root: PathBuf,
    tree: PosixTree,
}

impl PlainDir {
    /// Makes the directory `root` anew.
    pub fn new(root: &Path, layers: &[Layer]) -> PlainDir {
        if root.exists() {
            std::fs::remove_dir_all(root).unwrap();
        }
        std::fs::create_dir(root).unwrap();
        directory::write(&Model::folded(layers, Fault::None), root);
        PlainDir { root: root.to_path_buf(), tree: PosixTree::open(root) }
    }
}

impl Subject for PlainDir {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        self.tree.apply(op)
    }

    fn snapshot(&mut self) -> Snapshot {
        walk::snapshot(&self.root)
    }

    fn remount(&mut self) {
        self.tree.close_all();
    }

    fn rules(&self) -> Rules {
        Rules {
            directory_links: DirectoryLinks::Counted,
            hidden_names: HiddenNames::NotCounted,
            numbers: Numbers::Stable,
            listed_numbers: ListedNumbers::Exact,
            orphan_links: OrphanLinks::None,
        }
    }

    fn passes_over(&self, op: &Op) -> Option<&'static str> {
        match op {
            Op::Mknod { special: Special::WhiteoutDevice, .. } => {
                Some("a plain directory can have a device 0:0")
            }
            Op::Rename { flag: RenameFlag::Whiteout, .. } => {
                Some("a plain directory can be told to leave a whiteout")
            }
            _ => None,
        }
    }
}
