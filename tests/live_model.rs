//! A live mount against the reference model: random histories by ordinary system calls, remounts in between.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

#[path = "live_model/beside.rs"]
mod beside;
#[path = "live_model/committed.rs"]
mod committed;
#[path = "../layerfs/tests/model/mod.rs"]
mod model;
#[path = "live_model/rootless.rs"]
mod rootless;
mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use beside::Beside;
use committed::Committed;
use layerfs_driver::store::Store;
use model::history::Case;
use model::layers::Layer;
use model::ops::Op;
use model::posix::PosixTree;
use model::subject::{Outcome, Rules, Snapshot, Subject};
use model::tree::Model;
use model::union_ground::Lowers;
use model::walk;
use rustix::io::Errno;
use support::{Scope, Scratch, photograph, watchdog};

/// One at a time: a child that another test starts holds this one's descriptors for a moment, and an unmount is refused.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const STEPS: usize = 60;

/// `LAYERFS_SOAK=1` runs ten times as many histories.
fn soak() -> u64 {
    if std::env::var_os("LAYERFS_SOAK").is_some_and(|value| value == "1") { 10 } else { 1 }
}

/// Layers mounted by the command, as an image or as directories, with an upper.
struct Live {
    place: PathBuf,
    lowers: Lowers,
    /// The words that name the lowers.
    words: Vec<String>,
    tree: Option<PosixTree>,
}

impl Live {
    /// Makes the layers below `place`, whose upper and work directory are made anew, and mounts them there.
    fn new(place: &Path, lowers: Lowers, layers: &[Layer]) -> Live {
        for room in ["upper", "work"] {
            anew(&place.join(room));
        }
        std::fs::create_dir_all(place.join("mnt")).unwrap();
        model::directory::write(&Model::on_disk(&Layer::default()), &place.join("upper"));
        let words = match lowers {
            Lowers::Image => image(place, layers),
            Lowers::Directories => directories(place, layers),
        };
        let mut live = Live { place: place.into(), lowers, words, tree: None };
        live.mount();
        live
    }

    fn mount(&mut self) {
        let mut words = vec!["mount"];
        words.extend(self.words.iter().map(String::as_str));
        let mnt = self.mnt();
        words.push(path(&mnt));
        self.layerfs(&words);
        self.tree = Some(PosixTree::open(&mnt));
    }

    fn unmount(&mut self) {
        self.tree = None;
        self.layerfs(&["umount", path(&self.mnt())]);
    }

    fn mnt(&self) -> PathBuf {
        self.place.join("mnt")
    }

    fn layerfs(&self, words: &[&str]) {
        let mut command = Command::new(rootless::program());
        let output =
            command.arg("--root").arg(self.place.join("store")).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The words that mount an image of these layers with the upper of `place`.
fn image(place: &Path, layers: &[Layer]) -> Vec<String> {
    anew(&place.join("layout"));
    let store = Store::open(&place.join("store")).unwrap();
    let chain = model::image::import(&store, &place.join("layout"), layers);
    let images = store.images().unwrap();
    let image = images.iter().find(|image| image.chain_id() == Some(chain)).unwrap();
    let (upper, work) = (place.join("upper"), place.join("work"));
    ["--upper", path(&upper), "--work", path(&work), &image.id.hex()].map(String::from).into()
}

/// The words that mount directories with the contents of these layers and the upper of `place`.
fn directories(place: &Path, layers: &[Layer]) -> Vec<String> {
    let empty = [Layer::default()];
    let layers = if layers.is_empty() { &empty[..] } else { layers };
    let mut lowers = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let lower = place.join(format!("layer{number}"));
        anew(&lower);
        model::directory::write(&Model::on_disk(layer), &lower);
        lowers.insert(0, path(&lower).to_owned());
    }
    let (lowers, at) = (lowers.join(":"), place.display());
    vec!["-o".into(), format!("lowerdir={lowers},upperdir={at}/upper,workdir={at}/work")]
}

fn anew(path: &Path) {
    if path.exists() {
        std::fs::remove_dir_all(path).unwrap();
    }
    std::fs::create_dir_all(path).unwrap();
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
        rootless::rules(self.lowers.rules())
    }
}

/// Histories of ordinary system calls on what `start` mounts below a scratch directory, in which nothing is left.
fn histories<S: Subject>(seeds: Range<u64>, start: impl Fn(&Path, &[Layer]) -> S) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watch = watchdog(600 * soak());
    let scratch = Scratch::new();
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    let place = scratch.path().to_owned();
    let seeds = seeds.start..seeds.start + (seeds.end - seeds.start) * soak();
    model::history::run(seeds, STEPS, &move |layers: &[Layer]| start(&place, layers));
    photograph(&scope).assert_same(&before);
}

#[test]
fn a_mounted_image_is_the_model() {
    support::need_root!();
    histories(40_000..40_200, |place, layers| Live::new(place, Lowers::Image, layers));
}

#[test]
fn mounted_directories_are_the_model() {
    support::need_root!();
    histories(41_000..41_200, |place, layers| Live::new(place, Lowers::Directories, layers));
}

/// Each operation goes to all three, and what they answer and show is compared directly, the model aside.
#[test]
fn mounted_directories_are_a_plain_directory_and_kernel_overlayfs() {
    support::need_root!();
    support::need!("unshare");
    histories(42_000..42_060, |place, layers| Beside::new(place, Lowers::Directories, layers));
}

#[test]
fn a_mounted_image_is_a_plain_directory_and_kernel_overlayfs() {
    support::need_root!();
    support::need!("unshare");
    histories(43_000..43_060, |place, layers| Beside::new(place, Lowers::Image, layers));
}

/// Whatever was changed, and wherever it came to lie: an image of the changes shows what the mount shows.
#[test]
fn an_image_of_what_was_changed_is_the_mount() {
    support::need_root!();
    histories(44_000..44_030, |place, layers| Committed::new(place, Lowers::Image, layers));
}

/// The same of directories: the layer of the changes, on an image of the directories, shows what the mount shows.
#[test]
fn the_layer_of_what_was_changed_of_directories_is_the_mount() {
    support::need_root!();
    support::need!("python3");
    histories(45_000..45_030, |place, layers| Committed::new(place, Lowers::Directories, layers));
}

/// The comparison is not blind: where one of the three goes another way, it is told.
#[test]
fn one_that_differs_from_the_others_is_found() {
    support::need_root!();
    support::need!("unshare");
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let case = Case::random(42_000, 0);
    let lies: [(&str, fn(&mut Beside)); 2] = [
        ("plain", |beside| std::fs::write(beside.plain_root().join("lie"), "").unwrap()),
        ("layerfs", |beside| std::fs::write(beside.live_root().join("lie"), "").unwrap()),
    ];
    for (name, lie) in lies {
        let mut beside = Beside::new(scratch.path(), Lowers::Directories, &case.layers);
        assert_eq!(beside.snapshot().disorder, [""; 0]);
        lie(&mut beside);
        let found = beside.snapshot().disorder;
        assert!(!found.is_empty(), "a file that only {name} has is not found");
    }
}
