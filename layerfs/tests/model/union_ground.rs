//! Owns the sides that a history of a union runs on: its layers as an image or as directories, and a new upper.

use std::path::{Path, PathBuf};

use layerfs_driver::lower::{DirStack, ImageTree, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::store::Store;
use layerfs_driver::sys::dir;
use layerfs_driver::tree::MarkSpace;
use layerfs_driver::union::{Mode, Union};
use layerfs_driver::upper::{
    Bounds, Durability, Partial, Records, Upper, UpperError, UpperOptions, Whiteouts,
};

use super::by_node::ByNode;
use super::directory;
use super::history::Start;
use super::image;
use super::layers::Layer;
use super::subject::{DirectoryLinks, HiddenNames, ListedNumbers, Numbers, OrphanLinks, Rules};
use super::tree::Model;
use super::union_nodes::{Memory, Sides, UnionNodes};

/// What the layers become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowers {
    Image,
    Directories,
}

/// A place for one history after the other.
pub struct Ground {
    pub place: PathBuf,
    pub lowers: Lowers,
    pub memory: Memory,
    pub whiteouts: Whiteouts,
    pub partial: Partial,
}

impl Start for Ground {
    type Subject = ByNode<UnionNodes>;

    fn start(&self, layers: &[Layer]) -> ByNode<UnionNodes> {
        let open_lower = match self.lowers {
            Lowers::Image => image(&self.place, layers),
            Lowers::Directories => directories(&self.place, layers, self.whiteouts),
        };
        let (upper, work) = (self.place.join("upper"), self.place.join("work"));
        anew(&upper);
        anew(&work);
        // The merged root shows the attributes of the upper's.
        directory::write(&Model::on_disk(&Layer::default()), &upper);
        self.joined(open_lower)
    }
}

impl Ground {
    /// The union of the directories and of the upper that are there.
    pub fn resume(&self) -> ByNode<UnionNodes> {
        let layers = (0..).map(|number| self.place.join(format!("layer{number}")));
        let mut paths: Vec<PathBuf> = layers.take_while(|path| path.exists()).collect();
        paths.reverse();
        self.joined(opening(paths, self.whiteouts))
    }

    fn joined(&self, open_lower: OpenLower) -> ByNode<UnionNodes> {
        let (upper, work) = (self.place.join("upper"), self.place.join("work"));
        let sides = (upper.clone(), work.clone());
        let forms = (self.whiteouts, self.partial);
        let mount =
            move || Union::new(open_lower(), open_upper(&sides.0, &sides.1, forms)).unwrap();
        let place = self.place.clone();
        let sides = Sides { upper, work, place, mount: Box::new(mount) };
        ByNode::new(UnionNodes::new(sides, self.memory), self.lowers.rules())
    }
}

impl Lowers {
    pub fn rules(self) -> Rules {
        let hidden_names = match self {
            Lowers::Image => HiddenNames::NotCounted,
            // An inode's other names may lie where nothing shows them: they count, as in the kernel's overlayfs.
            Lowers::Directories => HiddenNames::Counted,
        };
        Rules {
            directory_links: DirectoryLinks::Unspecified,
            hidden_names,
            numbers: Numbers::Stable,
            listed_numbers: ListedNumbers::Exact,
            orphan_links: OrphanLinks::None,
        }
    }
}

type OpenLower = Box<dyn Fn() -> Lower>;

/// All histories of a place share a store, so that its directories are made once.
fn image(place: &Path, layers: &[Layer]) -> OpenLower {
    let root = place.join("store");
    let store = Store::open(&root).unwrap();
    let chain = image::import(&store, &place.join("layout"), layers);
    Box::new(move || {
        let store = Store::open(&root).unwrap();
        Lower::Image(ImageTree::open(&store, &chain).unwrap())
    })
}

/// `layer0` is the lowest. Where there is none, an empty one stands for it.
fn directories(place: &Path, layers: &[Layer], whiteouts: Whiteouts) -> OpenLower {
    let empty = [Layer::default()];
    let layers = if layers.is_empty() { &empty[..] } else { layers };
    let mut paths = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let path = place.join(format!("layer{number}"));
        anew(&path);
        directory::write(&Model::on_disk(layer), &path);
        paths.insert(0, path);
    }
    remove(&place.join(format!("layer{}", layers.len())));
    opening(paths, whiteouts)
}

/// The first on top.
fn opening(paths: Vec<PathBuf>, whiteouts: Whiteouts) -> OpenLower {
    Box::new(move || {
        let opened = paths.iter().map(|path| dir::open_path(path.as_path()).unwrap()).collect();
        let (redirects, wh_names) = (Redirects::Follow, wh_names(whiteouts));
        let options = StackOptions { space: MarkSpace::Trusted, redirects, wh_names };
        Lower::Dirs(DirStack::open(opened, options).unwrap())
    })
}

fn open_upper(upper: &Path, work: &Path, (whiteouts, partial): (Whiteouts, Partial)) -> Mode {
    let options = UpperOptions {
        space: MarkSpace::Trusted,
        redirects: Redirects::Follow,
        durability: Durability::Volatile,
        wh_names: wh_names(whiteouts),
        whiteouts,
        records: Records::Never,
        partial,
    };
    let work = dir::open_path(work).unwrap();
    loop {
        match Upper::open(dir::open_path(upper).unwrap(), &work, options) {
            // A process that another test starts has the lock of the last mount until it runs its program; the watchdog ends it.
            Err(UpperError::Busy(_)) => std::thread::yield_now(),
            // Whiteouts that are files of their own count differently once the mount that made them has gone.
            Ok(opened) if whiteouts == Whiteouts::Auto => {
                return Mode::Writable(opened.bounded(UNREACHED).unwrap());
            }
            opened => return Mode::Writable(opened.unwrap()),
        }
    }
}

/// What is counted of an upper is told by that, and nothing is refused.
const UNREACHED: Bounds = Bounds { bytes: Some(1 << 40), inodes: Some(1 << 40) };

/// Names are read as whiteouts where those are made as such.
fn wh_names(whiteouts: Whiteouts) -> WhNames {
    if whiteouts == Whiteouts::Wh { WhNames::Whiteouts } else { WhNames::Plain }
}

fn anew(path: &Path) {
    remove(path);
    std::fs::create_dir_all(path).unwrap();
}

fn remove(path: &Path) {
    if path.exists() {
        std::fs::remove_dir_all(path).unwrap();
    }
}
