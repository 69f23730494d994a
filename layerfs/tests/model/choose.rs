//! Owns which operation comes next: random, and mostly about what is there, so that operations meet.

use super::fault::Fault;
use super::layers::Layer;
use super::lowers::{DEPTH_MAX, POOL, pattern, random_path};
use super::ops::{
    Access, Creation, Mode, Op, Place, RenameFlag, SLOTS, Space, Special, Stamp, XattrHow,
    XattrName,
};
use super::pattern::Pattern;
use super::random::Random;
use super::subject::Subject;
use super::tree::{Body, Model};
use super::tree_path::TreePath;

#[derive(Clone, Copy)]
enum Draw {
    Create,
    Mkdir,
    Symlink,
    Mknod,
    Link,
    Unlink,
    Rmdir,
    Rename,
    Contents,
    Attribute,
    Xattr,
    Open,
    Held,
    Close,
    Remount,
}

const DRAWS: [(usize, Draw); 15] = [
    (10, Draw::Create),
    (8, Draw::Mkdir),
    (3, Draw::Symlink),
    (3, Draw::Mknod),
    (7, Draw::Link),
    (10, Draw::Unlink),
    (6, Draw::Rmdir),
    (18, Draw::Rename),
    (11, Draw::Contents),
    (7, Draw::Attribute),
    (6, Draw::Xattr),
    (5, Draw::Open),
    (13, Draw::Held),
    (2, Draw::Close),
    (2, Draw::Remount),
];

const MODES: [u32; 6] = [0o644, 0o755, 0o600, 0o4755, 0o2775, 0o1777];
const OFFSETS: [u64; 6] = [0, 1, 4095, 4096, 69_999, 100_000];

/// `steps` operations over the fold of the layers.
pub fn operations(random: &mut Random, layers: &[Layer], steps: usize) -> Vec<Op> {
    let mut model = Model::folded(layers, Fault::None);
    let mut ops = Vec::new();
    for _ in 0..steps {
        let op = operation(random, &model);
        // A refused operation is as good a step as one that works, and leaves the model as it was.
        if model.apply(&op).is_ok() || random.percent(60) {
            ops.push(op);
        } else {
            let second = operation(random, &model);
            drop(model.apply(&second));
            ops.push(second);
        }
    }
    ops
}

fn operation(random: &mut Random, model: &Model) -> Op {
    let draw = random.weighted(&DRAWS);
    match draw {
        Draw::Create | Draw::Mkdir | Draw::Symlink | Draw::Mknod => made(draw, random, model),
        Draw::Link => Op::Link { from: there(random, model), to: anywhere(random, model) },
        Draw::Unlink => Op::Unlink { path: mostly(Want::File, random, model) },
        Draw::Rmdir => Op::Rmdir { path: mostly(Want::Directory, random, model) },
        Draw::Rename => renamed(random, model),
        Draw::Contents => contents(random, model),
        Draw::Attribute => attribute(random, model),
        Draw::Xattr => xattr(random, model),
        Draw::Open => opened(random, model),
        Draw::Held => held(random, model),
        Draw::Close => Op::Close { slot: random.below(SLOTS) },
        Draw::Remount => Op::Remount,
    }
}

fn opened(random: &mut Random, model: &Model) -> Op {
    let path = mostly(Want::File, random, model);
    let access = random.weighted(&[
        (3, Access::Reading),
        (1, Access::Writing),
        (3, Access::Both),
        (1, Access::Appending),
    ]);
    Op::Open { slot: random.below(SLOTS), path, access }
}

fn made(draw: Draw, random: &mut Random, model: &Model) -> Op {
    let path = anywhere(random, model);
    let mode = Mode(random.pick(&MODES));
    match draw {
        Draw::Mkdir => Op::Mkdir { path, mode },
        Draw::Symlink => Op::Symlink { path, target: random_path(random) },
        Draw::Mknod => {
            let special = random.pick(&[
                Special::Fifo,
                Special::Socket,
                Special::NullDevice,
                Special::WhiteoutDevice,
            ]);
            Op::Mknod { path, special, mode }
        }
        _ => {
            let how = random.pick(&[Creation::Exclusive, Creation::OrOpen, Creation::OrEmpty]);
            Op::Create { path, how, mode }
        }
    }
}

fn renamed(random: &mut Random, model: &Model) -> Op {
    let flag = random.weighted(&[
        (60, RenameFlag::Plain),
        (10, RenameFlag::NoReplace),
        (25, RenameFlag::Exchange),
        (5, RenameFlag::Whiteout),
    ]);
    let to = match flag {
        RenameFlag::Exchange => there(random, model),
        _ => anywhere(random, model),
    };
    Op::Rename { from: there(random, model), to, flag }
}

fn contents(random: &mut Random, model: &Model) -> Op {
    let path = mostly(Want::File, random, model);
    let offset = random.pick(&OFFSETS);
    match random.below(10) {
        0..=2 => Op::Write { path, place: Place::End, data: pattern(random) },
        3..=5 => Op::Write { path, place: Place::Offset(offset), data: pattern(random) },
        6..=7 => Op::Truncate { path, len: offset },
        8 => Op::Fallocate { path, deed: Space::Extend, offset, len: 4096 },
        _ => Op::Fallocate { path, deed: Space::Punch, offset, len: 5000 },
    }
}

fn attribute(random: &mut Random, model: &Model) -> Op {
    let path = there_or_root(random, model);
    match random.below(3) {
        0 => Op::Chmod { path, mode: Mode(random.pick(&MODES)) },
        1 => {
            let uid = random.pick(&[None, Some(0), Some(1000)]);
            Op::Chown { path, uid, gid: random.pick(&[None, Some(0), Some(2000)]) }
        }
        _ => {
            let past =
                Stamp::Past(random.pick(&[2, 1_400_000_000]), random.pick(&[0, 123_456_789]));
            Op::Utimens { path, stamp: random.pick(&[past, past, Stamp::Now]) }
        }
    }
}

fn xattr(random: &mut Random, model: &Model) -> Op {
    let path = there_or_root(random, model);
    let name = random.pick(&XattrName::ALL);
    let having = known(model, |path| !xattrs(model, path).is_empty());
    let (path, name) = if !having.is_empty() && random.percent(40) {
        let path = having[random.below(having.len())].clone();
        let names = xattrs(model, &path);
        (path, random.pick(&names))
    } else {
        (path, name)
    };
    if random.percent(35) {
        return Op::RemoveXattr { path, name };
    }
    let seed = u8::try_from(random.below(256)).expect("it is below 256");
    let value = Pattern { seed, len: random.pick(&[0, 1, 1, 40, 200]) };
    let how =
        random.pick(&[XattrHow::Any, XattrHow::Any, XattrHow::MustBeNew, XattrHow::MustExist]);
    Op::SetXattr { path, name, value, how }
}

fn held(random: &mut Random, model: &Model) -> Op {
    let full: Vec<usize> = (0..SLOTS).filter(|slot| model.held[*slot].is_some()).collect();
    if full.is_empty() && random.percent(80) {
        return opened(random, model);
    }
    let slot = if full.is_empty() { random.below(SLOTS) } else { random.pick(&full) };
    let offset = random.pick(&OFFSETS);
    match random.below(8) {
        0..=1 => Op::HeldWrite { slot, offset, data: pattern(random) },
        2..=4 => Op::HeldRead { slot, offset, len: random.pick(&[1, 4096, 200_000]) },
        5 => Op::HeldTruncate { slot, len: offset },
        _ => Op::HeldStat { slot },
    }
}

fn there_or_root(random: &mut Random, model: &Model) -> TreePath {
    if random.percent(8) { TreePath::root() } else { there(random, model) }
}

/// Any path that exists, most often.
fn there(random: &mut Random, model: &Model) -> TreePath {
    mostly(Want::Anything, random, model)
}

/// What an operation is for; some draws ignore it, so that it meets other things too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Anything,
    File,
    Directory,
}

fn mostly(want: Want, random: &mut Random, model: &Model) -> TreePath {
    if random.percent(12) {
        return random_path(random);
    }
    let want = if random.percent(15) { Want::Anything } else { want };
    let is_held = |id| model.held.iter().flatten().any(|held| held.inode == id);
    let held = random.percent(15);
    let wanted = |path: &TreePath| {
        let id = model.resolve(path).expect("a known path is there");
        let fits = match want {
            Want::Anything => true,
            Want::File => matches!(model.inode(id).body, Body::File(_)),
            Want::Directory => model.inode(id).is_directory(),
        };
        if held { is_held(id) } else { fits }
    };
    let paths = known(model, wanted);
    if paths.is_empty() {
        return random_path(random);
    }
    paths[random.below(paths.len())].clone()
}

fn xattrs(model: &Model, path: &TreePath) -> Vec<XattrName> {
    let id = model.resolve(path).expect("a known path is there");
    model.inode(id).xattrs.keys().copied().collect()
}

/// Most often a pool name in a directory that exists.
fn anywhere(random: &mut Random, model: &Model) -> TreePath {
    if random.percent(25) {
        return there(random, model);
    }
    let mut directories = known(model, |path| path.depth() < DEPTH_MAX);
    directories.retain(|path| model.resolve(path).and_then(|id| model.enter(id)).is_ok());
    directories.push(TreePath::root());
    directories[random.below(directories.len())].join(random.pick(&POOL))
}

/// The paths of the model but the root, none deeper than a history goes.
fn known(model: &Model, wanted: impl Fn(&TreePath) -> bool) -> Vec<TreePath> {
    let paths = model.paths().into_iter().map(|(path, _)| path);
    paths.filter(|path| !path.is_root() && path.depth() <= DEPTH_MAX && wanted(path)).collect()
}
