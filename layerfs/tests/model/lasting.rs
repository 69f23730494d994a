//! Owns files that last through a history, whose names are not in its pool, and changes of their metadata.

use super::layers::{Data, Layer, LayerEntry, LayerNode, Meta};
use super::ops::{Mode, Op, RenameFlag, Stamp};
use super::pattern::Pattern;
use super::subject::{Entry, Kind, Snapshot};
use super::tree_path::TreePath;

/// Adds files, some with two names, to half of a layer's directories: random layers have few that last. Histories do not
/// know their names, and move them with their directories.
pub fn add_files(layer: &mut Layer) {
    let folders = layer.entries.iter().filter(|entry| matches!(entry.node, LayerNode::Folder(_)));
    let paths = std::iter::once(TreePath::root()).chain(folders.map(|folder| folder.path.clone()));
    let mut added = Vec::new();
    for (count, path) in paths.enumerate().filter(|(count, _)| count % 2 == 0) {
        let at = |name: &str| path.join(format!("{name} {count}").as_bytes());
        let pattern = Pattern { seed: 3, len: 5000 };
        let data = LayerNode::Regular(Data { pattern, hole: None });
        for (name, node) in
            [("own", data.clone()), ("one", data), ("two", LayerNode::Name(at("one")))]
        {
            added.push(LayerEntry { path: at(name), node, meta: Meta::ROOT });
        }
    }
    layer.entries.extend(added);
}

/// Changes of files that leave their data as it is: histories alone make few of them.
pub fn metadata_changes(shown: &Snapshot, salt: usize) -> Vec<Op> {
    let files = shown.entries.iter().filter(|at| at.facts.kind == Kind::File);
    let change = |(count, entry): (usize, &Entry)| {
        let path = entry.path.clone();
        let (parent, _) = path.split().unwrap();
        let other = parent.join(format!("moved {salt} {count}").as_bytes());
        match count % 5 {
            0 => Op::Chmod { path, mode: Mode(0o640) },
            1 => Op::Chown { path, uid: Some(7), gid: None },
            2 => Op::Rename { from: path, to: other, flag: RenameFlag::Plain },
            3 => Op::Link { from: path, to: other },
            _ => Op::Utimens { path, stamp: Stamp::Past(77, 7) },
        }
    };
    files.enumerate().map(change).collect()
}
