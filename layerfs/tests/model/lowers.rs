//! Owns the random layers that histories run over.

use super::layers::{Below, Data, Layer, LayerEntry, LayerNode, Meta};
use super::ops::{Mode, XattrName};
use super::pattern::Pattern;
use super::random::Random;
use super::tree_path::TreePath;

/// The names of every tree: few, so that operations meet; one starts with a dot, one is not UTF-8.
pub const POOL: [&[u8]; 6] = [b"a", b"b", b"c", b"d e", b".f", b"\xff\xfeg"];
pub const DEPTH_MAX: usize = 4;
const LAYERS_MAX: usize = 4;
const ENTRIES_MAX: usize = 14;
/// Empty, inline in an image, one page, a byte more, many pages.
const SIZES: [u32; 5] = [0, 1, 4096, 4097, 70_000];
const HOLE: (usize, usize) = (4096, 65_536);

/// What stands at a drawn path.
#[derive(Clone, Copy)]
enum Draw {
    Folder,
    OpaqueFolder,
    Regular,
    Name,
    Pointer,
    Pipe,
    Null,
    Whiteout,
}

const DRAWS: [(usize, Draw); 8] = [
    (20, Draw::Folder),
    (14, Draw::OpaqueFolder),
    (30, Draw::Regular),
    (16, Draw::Name),
    (6, Draw::Pointer),
    (3, Draw::Pipe),
    (3, Draw::Null),
    (16, Draw::Whiteout),
];

/// Up to 4 layers, the lowest first.
pub fn layers(random: &mut Random) -> Vec<Layer> {
    let count = random.below(LAYERS_MAX + 1);
    let mut known = Vec::new();
    let mut layers = Vec::new();
    for _ in 0..count {
        let layer = layer(random, &known);
        known.extend(layer.entries.iter().map(|entry| entry.path.clone()));
        layers.push(layer);
    }
    layers
}

/// `known` holds the paths of lower layers: most of what a layer holds or hides should be there already.
fn layer(random: &mut Random, known: &[TreePath]) -> Layer {
    let mut layer = Layer::default();
    for _ in 0..=random.below(ENTRIES_MAX) {
        let path = if !known.is_empty() && random.percent(60) {
            known[random.below(known.len())].clone()
        } else {
            random_path(random)
        };
        // What a mark or a file hides is most often a directory that holds something.
        let parent = path.split().map(|(parent, _)| parent).filter(|parent| !parent.is_root());
        match parent {
            Some(parent) if random.percent(20) => put(&mut layer, parent, random),
            _ => put(&mut layer, path, random),
        }
    }
    layer
}

/// A path that need not be anywhere.
pub fn random_path(random: &mut Random) -> TreePath {
    let depth = random.weighted(&[(30, 1), (40, 2), (20, 3), (10, DEPTH_MAX)]);
    (0..depth).fold(TreePath::root(), |path, _| path.join(random.pick(&POOL)))
}

/// Adds an entry and the directories above it, unless something stands in the way.
fn put(layer: &mut Layer, path: TreePath, random: &mut Random) {
    if node_at(layer, &path).is_some() {
        return;
    }
    let (parent, _) = path.split().expect("a drawn path has a name");
    let mut above = TreePath::root();
    for name in parent.names() {
        above = above.join(name);
        match node_at(layer, &above) {
            Some(LayerNode::Folder(_)) => {}
            Some(_) => return,
            None => push(layer, above.clone(), LayerNode::Folder(Below::Merged), random),
        }
    }
    if let Some(node) = node(layer, random) {
        push(layer, path, node, random);
    }
}

fn push(layer: &mut Layer, path: TreePath, node: LayerNode, random: &mut Random) {
    let meta = meta(random);
    layer.entries.push(LayerEntry { path, node, meta });
}

fn node_at<'l>(layer: &'l Layer, path: &TreePath) -> Option<&'l LayerNode> {
    layer.entries.iter().find(|entry| entry.path == *path).map(|entry| &entry.node)
}

fn node(layer: &Layer, random: &mut Random) -> Option<LayerNode> {
    Some(match random.weighted(&DRAWS) {
        Draw::Folder => LayerNode::Folder(Below::Merged),
        Draw::OpaqueFolder => LayerNode::Folder(Below::Hidden),
        Draw::Regular => LayerNode::Regular(data(random)),
        Draw::Pointer => LayerNode::Pointer(random_path(random)),
        Draw::Pipe => LayerNode::Pipe,
        Draw::Null => LayerNode::Null,
        Draw::Whiteout => LayerNode::Whiteout,
        Draw::Name => {
            let files: Vec<&LayerEntry> = layer
                .entries
                .iter()
                .filter(|entry| matches!(entry.node, LayerNode::Regular(_)))
                .collect();
            if files.is_empty() {
                return None;
            }
            LayerNode::Name(files[random.below(files.len())].path.clone())
        }
    })
}

fn data(random: &mut Random) -> Data {
    let pattern = pattern(random);
    let sparse = pattern.len > 65_536 && random.percent(50);
    // Between data, or to the end.
    let end = if pattern.seed.is_multiple_of(2) { HOLE.1 } else { pattern.bytes().len() };
    Data { pattern, hole: sparse.then_some((HOLE.0, end)) }
}

/// Bytes of one of the sizes that matter.
pub fn pattern(random: &mut Random) -> Pattern {
    let seed = u8::try_from(random.below(256)).expect("it is below 256");
    Pattern { seed, len: random.pick(&SIZES) }
}

fn meta(random: &mut Random) -> Meta {
    let small = u32::try_from(random.below(3)).expect("it is below 3");
    Meta {
        mode: Mode(random.pick(&[0o644, 0o755, 0o600, 0o4755, 0o2775, 0o1777, 0])),
        uid: random.pick(&[0, 1000]),
        gid: random.pick(&[0, 2000, 65_534]),
        mtime: (random.pick(&[1, 1_200_000_000, 1_300_000_001]), random.pick(&[0, 999_999_999])),
        xattr: random.percent(25).then(|| {
            let name = random.pick(&[XattrName::UserA, XattrName::UserB, XattrName::TrustedA]);
            (name, Pattern { seed: 7, len: small * 20 })
        }),
    }
}
