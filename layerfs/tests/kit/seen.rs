//! Owns what a union shows: its whole tree, by path.

use std::collections::BTreeMap;

use layerfs_driver::store::digest::Digest;
use layerfs_driver::tree::{Attr, Kind, Name};
use layerfs_driver::union::{NodeId, OpenHow, Union, UnionError};

/// Nothing of the fixture was changed later than this; what a test does is.
const LATE: i64 = 1_600_000_000;

/// When an object's contents changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At that time, which someone set.
    At(i64, u32),
    /// In this test.
    Now,
}

/// One object as it is seen under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub kind: Kind,
    pub permissions: u32,
    pub owner: (u32, u32),
    pub rdev: (u32, u32),
    pub size: u64,
    pub links: u32,
    pub mtime: When,
    pub contents: Option<Digest>,
    pub xattrs: Vec<(String, String)>,
    pub number: u64,
}

/// Everything that a union shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Object>);

impl Tree {
    /// Reads the whole tree; a name that is listed and can't be found is an error of the test.
    pub fn of(union: &Union) -> Tree {
        let mut tree = Tree::default();
        tree.walk(union, (NodeId::ROOT, ""), &[])
            .unwrap_or_else(|error| panic!("the tree can't be read: {error}"));
        tree
    }

    /// The same without what `skipped` names, which is listed and not looked at.
    pub fn without(union: &Union, skipped: &[&str]) -> Tree {
        let mut tree = Tree::default();
        tree.walk(union, (NodeId::ROOT, ""), skipped)
            .unwrap_or_else(|error| panic!("the tree can't be read: {error}"));
        tree
    }

    fn walk(
        &mut self,
        union: &Union,
        (id, path): (NodeId, &str),
        skipped: &[&str],
    ) -> Result<(), UnionError> {
        let attr = union.attr(id)?;
        self.0.insert(path.to_owned(), object(union, id, &attr)?);
        if attr.kind != Kind::Directory {
            return Ok(());
        }
        for (name, ino) in names(union, id, 3)? {
            let below = format!("{path}/{name}");
            if skipped.contains(&&below[1..]) {
                continue;
            }
            let looked = union
                .lookup(id, &name)
                .unwrap_or_else(|error| panic!("{below} is listed, and: {error}"));
            assert_eq!(looked.id.ino().0, ino, "{below} is listed under another number");
            self.walk(union, (looked.id, &below), skipped)?;
            union.forget(looked.id, 1);
        }
        Ok(())
    }

    /// What differs from another tree, leaving out what may.
    pub fn differences(&self, other: &Tree, lenience: Lenience) -> Vec<String> {
        let mut found = Vec::new();
        for path in self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path))) {
            let (one, two) = (self.0.get(path), other.0.get(path));
            let same = match (one, two) {
                (Some(one), Some(two)) => lenience.adjusted(one, two) == *two,
                _ => false,
            };
            if !same {
                found.push(format!("{path}: {one:?}\n   or {two:?}"));
            }
        }
        found
    }

    /// The directories.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, object)| object.kind == Kind::Directory)
            .map(|(path, _)| path.as_str())
    }
}

/// What two trees may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lenience {
    /// In nothing.
    None,
    /// Numbers, for the trees are of two copies of one upper, and the times of directories.
    Times,
    /// Those, and link counts.
    Links,
    /// Those, and the times of files.
    Attempt,
}

impl Lenience {
    fn adjusted(self, one: &Object, two: &Object) -> Object {
        let mut one = one.clone();
        if self != Lenience::None {
            one.number = two.number;
        }
        let has_time = matches!(self, Lenience::Times | Lenience::Links)
            && one.kind == Kind::Directory
            || self == Lenience::Attempt;
        if has_time {
            one.mtime = two.mtime;
        }
        if matches!(self, Lenience::Links | Lenience::Attempt) {
            one.links = two.links;
        }
        one
    }
}

/// The names in a directory and their numbers, read in pieces of `piece` entries.
pub fn names(union: &Union, id: NodeId, piece: usize) -> Result<Vec<(Name, u64)>, UnionError> {
    let mut found: Vec<(Name, u64)> = Vec::new();
    let mut cookie = 0;
    loop {
        let before = found.len();
        union.list(id, cookie, |entry| {
            found.push((entry.name.clone(), entry.ino.0));
            cookie = entry.cookie;
            found.len() < before + piece
        })?;
        if found.len() == before {
            return Ok(found);
        }
    }
}

fn object(union: &Union, id: NodeId, attr: &Attr) -> Result<Object, UnionError> {
    let contents = match attr.kind {
        Kind::File => {
            let handle = union.open(id, OpenHow::Read)?;
            let mut bytes = vec![0; usize::try_from(attr.size).unwrap() + 1];
            let len = union.read(handle, &mut bytes, 0)?;
            union.release(handle);
            Some(Digest::of(&bytes[..len]))
        }
        Kind::Symlink => Some(Digest::of(&union.read_link(id)?)),
        _ => None,
    };
    let mut xattrs = Vec::new();
    for name in union.xattr_names(id)? {
        let value = union.xattr(id, &name)?;
        xattrs.push((name.escape_ascii().to_string(), value.escape_ascii().to_string()));
    }
    xattrs.sort();
    let time = attr.mtime;
    Ok(Object {
        kind: attr.kind,
        permissions: attr.permissions,
        owner: (attr.uid, attr.gid),
        rdev: attr.rdev,
        size: if attr.kind == Kind::Directory { 0 } else { attr.size },
        // A directory counts its subdirectories as long as it is of one side.
        links: if attr.kind == Kind::Directory { 0 } else { attr.nlink },
        mtime: if time.secs > LATE { When::Now } else { When::At(time.secs, time.nanos) },
        contents,
        xattrs,
        number: id.0,
    })
}
