//! A live mount against the reference model: random histories by ordinary system calls, remounts in between.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

#[path = "../layerfs/tests/model/mod.rs"]
mod model;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use layerfs_driver::store::Store;
use model::layers::Layer;
use model::ops::Op;
use model::posix::PosixTree;
use model::subject::{
    DirectoryLinks, HiddenNames, ListedNumbers, Numbers, OrphanLinks, Outcome, Rules, Snapshot,
    Subject,
};
use model::tree::Model;
use model::walk;
use rustix::io::Errno;
use support::{Scope, Scratch, photograph, watchdog};

const STEPS: usize = 60;

/// `LAYERFS_SOAK=1` runs ten times as many histories.
fn soak() -> u64 {
    if std::env::var_os("LAYERFS_SOAK").is_some_and(|value| value == "1") { 10 } else { 1 }
}

/// An image mounted by the command.
struct Live {
    place: PathBuf,
    image: String,
    tree: Option<PosixTree>,
}

impl Live {
    /// Imports the layers and mounts them below `place`, whose upper and work directory are made anew.
    fn new(place: &Path, layers: &[Layer]) -> Live {
        for room in ["upper", "work", "layout"] {
            let path = place.join(room);
            if path.exists() {
                std::fs::remove_dir_all(&path).unwrap();
            }
            std::fs::create_dir_all(&path).unwrap();
        }
        std::fs::create_dir_all(place.join("mnt")).unwrap();
        model::directory::write(&Model::on_disk(&Layer::default()), &place.join("upper"));
        let store = Store::open(&place.join("store")).unwrap();
        let chain = model::image::import(&store, &place.join("layout"), layers);
        let images = store.images().unwrap();
        let image = images.iter().find(|image| image.chain_id() == Some(chain)).unwrap();
        let mut live = Live { place: place.into(), image: image.id.hex(), tree: None };
        live.mount();
        live
    }

    fn mount(&mut self) {
        let (upper, work) = (self.place.join("upper"), self.place.join("work"));
        self.layerfs(&[
            "mount",
            "--upper",
            path(&upper),
            "--work",
            path(&work),
            &self.image,
            path(&self.mnt()),
        ]);
        self.tree = Some(PosixTree::open(&self.mnt()));
    }

    fn unmount(&mut self) {
        self.tree = None;
        self.layerfs(&["umount", path(&self.mnt())]);
    }

    fn mnt(&self) -> PathBuf {
        self.place.join("mnt")
    }

    fn layerfs(&self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        let output =
            command.arg("--root").arg(self.place.join("store")).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Drop for Live {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.unmount();
        }
    }
}

impl Subject for Live {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        self.tree.as_mut().unwrap().apply(op)
    }

    fn snapshot(&mut self) -> Snapshot {
        walk::snapshot(&self.mnt())
    }

    fn remount(&mut self) {
        self.unmount();
        self.mount();
    }

    fn rules(&self) -> Rules {
        Rules {
            directory_links: DirectoryLinks::Unspecified,
            hidden_names: HiddenNames::NotCounted,
            numbers: Numbers::Stable,
            listed_numbers: ListedNumbers::Exact,
            orphan_links: OrphanLinks::None,
        }
    }
}

#[test]
fn a_mounted_image_is_the_model() {
    support::need_root!();
    let _watch = watchdog(600 * soak());
    let scratch = Scratch::new();
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    let place = scratch.path().to_owned();
    model::history::run(40_000..40_000 + 60 * soak(), STEPS, &move |layers: &[Layer]| {
        Live::new(&place, layers)
    });
    photograph(&scope).assert_same(&before);
}
