//! A union over a lower of which something is hidden: the hidden name is free, and nothing of it comes through.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::path::{Path, PathBuf};

use layerfs_driver::lower::{DirStack, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::sys::{Errno, dir};
use layerfs_driver::tree::{MarkSpace, Name};
use layerfs_driver::union::{Caller, Mode, NewNode, NodeId, RenameHow, Union, UnionError};
use layerfs_driver::upper::{Durability, Partial, Records, Upper, UpperOptions, Whiteouts};

const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0o022 };

/// A lower `low` with the directories `low/var/store` and `low/var/cache`, and an upper of its own.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Ground {
        let ground = Ground(tempfile::tempdir().unwrap());
        for dir in ["low/var/store/deep", "low/var/cache", "upper", "work"] {
            std::fs::create_dir_all(ground.at(dir)).unwrap();
        }
        ground
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The union, hiding those.
    fn union(&self, hidden: &[&str]) -> Union {
        let opened = |path: &Path| dir::open_path(path).unwrap();
        let (redirects, wh_names) = (Redirects::Follow, WhNames::Plain);
        let options = StackOptions { space: MarkSpace::User, redirects, wh_names };
        let stack = DirStack::open_paths(&[self.at("low")], options).unwrap();
        let stack = stack.hiding(hidden.iter().map(|path| opened(&self.at(path)))).unwrap();
        let options = UpperOptions {
            space: MarkSpace::User,
            redirects: Redirects::Follow,
            durability: Durability::Volatile,
            wh_names: WhNames::Plain,
            whiteouts: Whiteouts::Auto,
            records: Records::Never,
            partial: Partial::Never,
        };
        let upper = Upper::open(opened(&self.at("upper")), &opened(&self.at("work")), options);
        Union::new(Lower::Dirs(stack), Mode::Writable(upper.unwrap())).unwrap()
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn at(union: &Union, path: &str) -> Result<NodeId, UnionError> {
    path.split('/').try_fold(NodeId::ROOT, |dir, step| Ok(union.lookup(dir, &name(step))?.id))
}

fn listed(union: &Union, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    union
        .list(at(union, path).unwrap(), 0, |entry| {
            names.push(entry.name.to_string());
            true
        })
        .unwrap();
    names.sort();
    names
}

#[test]
fn a_hidden_name_is_free_and_what_is_made_there_is_not_merged_with_it() {
    let ground = Ground::new();
    let hidden = ["low/var/store"];
    let union = ground.union(&hidden);
    let var = at(&union, "var").unwrap();
    assert_eq!(at(&union, "var/store").unwrap_err().errno(), Errno::NOENT);
    assert_eq!(union.rmdir(var, &name("store")).unwrap_err().errno(), Errno::NOENT);
    union.create((var, &name("store")), NewNode::Directory, 0o755, ROOT).unwrap();
    union.create((var, &name("moved")), NewNode::Directory, 0o755, ROOT).unwrap();
    assert_eq!(listed(&union, "var"), ["cache", "moved", "store"]);
    assert!(listed(&union, "var/store").is_empty());
    drop(union);
    let union = ground.union(&[]);
    assert!(listed(&union, "var/store").is_empty(), "a mount that hides nothing merges nothing");
    drop(union);

    let union = ground.union(&hidden);
    let var = at(&union, "var").unwrap();
    union.rmdir(var, &name("store")).unwrap();
    assert_eq!(listed(&union, "var"), ["cache", "moved"]);
    union.rename((var, &name("moved")), (var, &name("store")), RenameHow::Replace).unwrap();
    assert_eq!(listed(&union, "var"), ["cache", "store"]);
    drop(union);
    assert!(listed(&ground.union(&[]), "var/store").is_empty(), "nor with what was moved there");
}

#[test]
fn a_directory_that_shows_nothing_is_empty_and_what_it_hides_stays() {
    let ground = Ground::new();
    let union = ground.union(&["low/var/store"]);
    let var = at(&union, "var").unwrap();
    assert_eq!(union.rmdir(NodeId::ROOT, &name("var")).unwrap_err().errno(), Errno::NOTEMPTY);
    union.rmdir(var, &name("cache")).unwrap();
    union.rmdir(NodeId::ROOT, &name("var")).unwrap();
    assert_eq!(at(&union, "var").unwrap_err().errno(), Errno::NOENT);
    assert!(ground.at("low/var/store/deep").is_dir());
}
