//! What a tree shows, entry by entry: read through the lower side, or through the kernel.
#![allow(dead_code, reason = "each test file uses the part it needs")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layerfs_driver::lower::{Lower, LowerNode};
use layerfs_driver::tree::{Kind, Name};

/// A tree by path; the root is the empty one.
pub type Tree = BTreeMap<String, Seen>;

/// One entry. Times other than mtime, blocks and the link count of directories are each side's own.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    There(Box<Entry>),
    /// Asking for it is an error, and not absence.
    Broken,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub owner: (u32, u32),
    pub rdev: (u32, u32),
    pub nlink: u64,
    pub size: u64,
    pub mtime: (i64, u32),
    /// A file's bytes, a link's target.
    pub contents: Vec<u8>,
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Compared where both sides number alike.
    pub ino: u64,
}

impl Entry {
    /// Whether a rule about directories applies.
    fn is_directory(&self) -> bool {
        self.mode >> 12 == 0o04
    }
}

/// Everything that a lower tree shows. On the way the listing must agree with lookups: names, types and numbers.
pub fn of_lower(lower: &Lower) -> Tree {
    of_lower_asked(lower, 0)
}

/// The same, where each directory is asked for so many names before that it does not have.
pub fn of_lower_asked(lower: &Lower, misses: usize) -> Tree {
    let mut tree = Tree::new();
    let root = lower.root();
    tree.insert(String::new(), seen(lower, &root));
    below(lower, (&root, ""), misses, &mut tree);
    tree
}

fn below(lower: &Lower, (dir, path): (&LowerNode, &str), misses: usize, tree: &mut Tree) {
    for number in 0..misses {
        let name = Name::new(format!("nobody has {number}").as_bytes()).unwrap();
        assert!(lower.lookup(dir, &name).unwrap().is_none());
    }
    let listed = lower.list(dir).unwrap();
    assert_eq!(lower.child_count(dir).unwrap(), listed.len());
    assert!(listed.is_sorted_by(|a, b| a.name < b.name), "{path}: {listed:?}");
    for entry in listed {
        let path = format!("{path}/{}", entry.name.as_bytes().escape_ascii());
        let (node, at_hand) = match lower.lookup_seen(dir, &entry.name) {
            Ok(node) => node.unwrap_or_else(|| panic!("{path} is listed and absent")),
            Err(_) => {
                tree.insert(path, Seen::Broken);
                continue;
            }
        };
        assert_eq!(lower.ino(&node), entry.ino, "{path}: number");
        let attr = lower.attr(&node).unwrap();
        assert_eq!(attr.kind, entry.kind, "{path}: type");
        assert!(at_hand.is_none_or(|at_hand| at_hand == attr), "{path}: attributes at hand");
        check_ways(lower, dir, &entry.name, &node);
        tree.insert(path.clone(), seen(lower, &node));
        if entry.kind == Kind::Directory {
            below(lower, (&node, &path), misses, tree);
        }
    }
}

/// The node is found again by its path and by its names.
fn check_ways(lower: &Lower, dir: &LowerNode, name: &Name, node: &LowerNode) {
    let by_path = lower.at_path(&lower.path(node).unwrap()).unwrap().expect("a path leads back");
    assert_eq!(lower.ino(&by_path), lower.ino(node));
    let names = lower.names(node).unwrap();
    let here = |(at, other): &(LowerNode, Name)| lower.ino(at) == lower.ino(dir) && other == name;
    assert!(names.iter().any(here), "{name}: {names:?}");
    // An image tells every name; of a file in a directory only its link count says that there are more.
    let has_more = match lower {
        Lower::Image(_) => names.len() > 1,
        Lower::Dirs(_) => {
            let attr = lower.attr(node).unwrap();
            attr.kind != Kind::Directory && attr.nlink > 1
        }
    };
    assert_eq!(lower.is_group(node).unwrap(), has_more);
    let origin = lower.origin(node).unwrap().expect("every node has an origin");
    assert_eq!(lower.ino_of_origin(&origin), Some(lower.ino(node)));
}

fn seen(lower: &Lower, node: &LowerNode) -> Seen {
    let attr = lower.attr(node).unwrap();
    let contents = match attr.kind {
        Kind::File => match lower.open(node) {
            Ok(file) => {
                // Of a file whose data lies below, the data may be longer than the metadata says.
                let mut bytes = vec![0; 64 * 1024];
                let len = file.read_at(&mut bytes, 0).unwrap();
                bytes.truncate(len);
                bytes
            }
            Err(_) => return Seen::Broken,
        },
        Kind::Symlink => lower.read_link(node).unwrap().into(),
        _ => Vec::new(),
    };
    let pairs = lower.xattrs(node).unwrap();
    for (name, value) in &pairs {
        assert_eq!(lower.xattr(node, name).unwrap().as_ref(), Some(value));
    }
    let mut entry = Entry {
        mode: attr.mode(),
        owner: (attr.uid, attr.gid),
        rdev: attr.rdev,
        nlink: attr.nlink.into(),
        size: attr.size,
        mtime: (attr.mtime.secs, attr.mtime.nanos),
        contents,
        xattrs: pairs.into_iter().map(|(name, value)| (shown(&name), value.into())).collect(),
        ino: lower.ino(node).0,
    };
    level(&mut entry);
    Seen::There(Box::new(entry))
}

/// Everything that the kernel shows below a directory; an error where it can't list one.
pub fn of_directory(root: &Path) -> std::io::Result<Tree> {
    let mut tree = Tree::new();
    tree.insert(String::new(), seen_at(root).expect("the root is there"));
    walk(root, "", &mut tree)?;
    Ok(tree)
}

fn walk(dir: &Path, path: &str, tree: &mut Tree) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{path}/{}", entry.file_name().as_bytes().escape_ascii());
        // The kernel lists whiteouts of directories that are not merged, and then says that they are absent.
        let Some(seen) = seen_at(&entry.path()) else { continue };
        let descend = matches!(&seen, Seen::There(entry) if entry.is_directory());
        tree.insert(path.clone(), seen);
        if descend {
            walk(&entry.path(), &path, tree)?;
        }
    }
    Ok(())
}

fn seen_at(path: &Path) -> Option<Seen> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(_) => return Some(Seen::Broken),
    };
    let kind = meta.mode() >> 12;
    let contents = match kind {
        0o10 => match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(_) => return Some(Seen::Broken),
        },
        0o12 => std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let device = |number| (rustix::fs::major(number), rustix::fs::minor(number));
    let mut entry = Entry {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        rdev: device(meta.rdev()),
        nlink: meta.nlink(),
        size: meta.size(),
        mtime: (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap()),
        contents,
        xattrs: xattrs(path),
        ino: meta.ino(),
    };
    level(&mut entry);
    Some(Seen::There(Box::new(entry)))
}

/// Size and link count of a directory are not compared: merging changes neither into anything of meaning.
fn level(entry: &mut Entry) {
    if entry.is_directory() {
        (entry.size, entry.nlink) = (0, 0);
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found = Vec::new();
    for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(len);
        found.push((shown(name), value));
    }
    found.sort();
    found
}

fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
