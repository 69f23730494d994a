//! Owns random operations of one thread on a few names that all threads share.

use layerfs_driver::sys::Errno;
use layerfs_driver::sys::xattr_at::SetHow;
use layerfs_driver::union::{NewNode, OpenHow, RenameHow, SetAttr, Union, UnionError};

use super::kit::seen::names;
use super::kit::visit::Visit;

const DIRS: [&str; 7] = ["", "d", "d/e", "m", "m/sub", "x", "new"];
const NAMES: [&str; 9] = ["a", "b", "g1", "g3", "one", "small", "plain", "e", "m"];

/// Numbers by the rule of xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn path(&mut self) -> String {
        let dir = DIRS[self.below(DIRS.len())];
        let name = NAMES[self.below(NAMES.len())];
        if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
    }

    fn dir(&mut self) -> String {
        DIRS[1 + self.below(DIRS.len() - 1)].to_owned()
    }
}

/// Does `steps` operations; answers how many were not refused.
pub fn run(union: &Union, seed: u64, steps: usize) -> usize {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut done = 0;
    for _ in 0..steps {
        let visit = Visit::new(union);
        let (deed, result) = step(&visit, &mut dice);
        match result {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(is_refusal(error.errno()), "seed {seed}, {deed}: {error} {error:?}")
            }
        }
    }
    done
}

/// What names that come and go may be answered with.
fn is_refusal(errno: Errno) -> bool {
    [
        Errno::NOENT,
        Errno::EXIST,
        Errno::NOTEMPTY,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::INVAL,
        Errno::PERM,
    ]
    .contains(&errno)
}

fn step(visit: &Visit<'_>, dice: &mut Dice) -> (String, Result<(), UnionError>) {
    let (one, two) = (dice.path(), dice.path());
    let number = dice.below(17);
    let result = match number {
        0 | 1 => visit.make(&one, NewNode::File),
        2 => visit.make(&dice.dir(), NewNode::Directory),
        3 => visit.make(&one, NewNode::Directory),
        4 | 5 => visit.unlink(&one),
        6 => visit.rmdir(&dice.dir()),
        7 => visit.rmdir(&one),
        8 => visit.rename(&one, &two, RenameHow::Replace),
        9 => visit.rename(&dice.dir(), &dice.dir(), RenameHow::Replace),
        10 => visit.rename(&one, &two, RenameHow::Exchange),
        11 => visit.rename(&dice.dir(), &two, RenameHow::Exchange),
        12 => visit.link(&one, &two),
        13 => again_if_stale(|| visit.write(&one, b"written")),
        14 => again_if_stale(|| open_and_unlinked(visit, &one)),
        15 => visit.walk(&dice.dir()).and_then(|dir| names(visit.union(), dir.id, 2)).map(drop),
        _ => changed(visit, &one, dice),
    };
    (format!("{number}: {one} {two}"), result)
}

/// Of an open whose name another file took, or that went, between the lookup and the open: the kernel looks once more, too.
fn again_if_stale(open: impl Fn() -> Result<(), UnionError>) -> Result<(), UnionError> {
    match open() {
        Err(error) if error.errno() == Errno::STALE => open(),
        opened => opened,
    }
}

/// An open file works while its name goes.
fn open_and_unlinked(visit: &Visit<'_>, path: &str) -> Result<(), UnionError> {
    let handle = visit.open(path, OpenHow::Write)?;
    let result = visit.unlink(path);
    visit.union().write(handle, b"orphan", 3)?;
    let mut bytes = [0; 6];
    visit.union().read(handle, &mut bytes, 3)?;
    visit.union().attr_of_open(handle)?;
    visit.union().release(handle);
    result
}

fn changed(visit: &Visit<'_>, path: &str, dice: &mut Dice) -> Result<(), UnionError> {
    let id = visit.walk(path)?.id;
    match dice.below(3) {
        0 => visit
            .union()
            .set_attr(id, &SetAttr { permissions: Some(0o700), ..SetAttr::default() })
            .map(drop),
        1 => visit.union().set_xattr(id, (b"trusted.storm", b"value"), SetHow::Any),
        _ => visit.union().attr(id).map(drop),
    }
}
