//! Owns generated layers as tar archives, for the import of an image.

use layerfs_driver::store::archive::{
    ArchiveWriter, Entry, EntryKind, EntryPath, Timestamp, Xattr,
};

use super::layers::{Below, Layer, LayerEntry, LayerNode, Meta};
use super::tame::real;
use super::tree_path::TreePath;

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The layer as OCI writes it: `.wh.NAME` for whiteouts, `.wh..wh..opq` in opaque directories. Holes are zeros.
pub fn archive(layer: &Layer) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    let root = described(&TreePath::root(), EntryKind::Directory, Meta::ROOT);
    writer.entry(&root).unwrap();
    for entry in &layer.entries {
        write(&mut writer, entry);
    }
    writer.finish().unwrap()
}

fn write(writer: &mut ArchiveWriter<Vec<u8>>, entry: &LayerEntry) {
    let LayerEntry { path, node, meta } = entry;
    let kind = match node {
        LayerNode::Folder(_) => EntryKind::Directory,
        LayerNode::Regular(_) => EntryKind::File,
        LayerNode::Pointer(target) => EntryKind::Symlink { target: target.as_bytes().into() },
        LayerNode::Pipe => EntryKind::Fifo,
        LayerNode::Null => EntryKind::CharDevice { major: 1, minor: 3 },
        LayerNode::Name(first) => EntryKind::Hardlink { target: parsed(first) },
        LayerNode::Whiteout => {
            let (parent, name) = path.split().unwrap();
            return mark(writer, &parent.join(&[WHITEOUT_PREFIX, name].concat()));
        }
    };
    let mut written = described(path, kind, *meta);
    let data = match node {
        LayerNode::Regular(data) => data.bytes(),
        _ => Vec::new(),
    };
    written.size = data.len().try_into().unwrap();
    writer.entry(&written).unwrap();
    writer.data(&data).unwrap();
    if *node == LayerNode::Folder(Below::Hidden) {
        mark(writer, &path.join(OPAQUE));
    }
}

/// An empty file whose name is all it says.
fn mark(writer: &mut ArchiveWriter<Vec<u8>>, path: &TreePath) {
    writer.entry(&described(path, EntryKind::File, Meta::ROOT)).unwrap();
}

fn described(path: &TreePath, kind: EntryKind, meta: Meta) -> Entry {
    let takes_user = matches!(kind, EntryKind::Directory | EntryKind::File);
    let xattr = meta.xattr.filter(|(name, _)| takes_user || !name.is_user());
    let xattrs = xattr.iter().map(|(name, value)| Xattr {
        name: name.as_str().as_bytes().into(),
        value: value.bytes().into(),
    });
    Entry {
        path: parsed(path),
        mode: meta.mode.0,
        uid: real(meta.uid),
        gid: real(meta.gid),
        mtime: Timestamp { secs: meta.mtime.0, nanos: meta.mtime.1 },
        size: 0,
        xattrs: if matches!(kind, EntryKind::Hardlink { .. }) {
            Vec::new()
        } else {
            xattrs.collect()
        },
        kind,
    }
}

fn parsed(path: &TreePath) -> EntryPath {
    EntryPath::parse(path.as_bytes()).unwrap()
}
