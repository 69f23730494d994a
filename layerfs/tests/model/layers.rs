//! Owns what a generated layer holds, and how layers become one tree in the model.

use super::fault::Fault;
use super::ops::{Mode, XattrName};
use super::pattern::Pattern;
use super::tree::{Body, Inode, InodeId, Model, Moment, Names, ROOT};
use super::tree_path::TreePath;

/// One layer. Each directory stands before what is in it, each file before its hard links, each path once.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub entries: Vec<LayerEntry>,
}

#[derive(Clone, Debug)]
pub struct LayerEntry {
    pub path: TreePath,
    pub node: LayerNode,
    pub meta: Meta,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerNode {
    Folder(Below),
    Regular(Data),
    Pointer(TreePath),
    Pipe,
    /// The character device 1:3.
    Null,
    /// One more name of a file of the same layer; its meta says nothing.
    Name(TreePath),
    Whiteout,
}

/// What becomes of a directory's names in lower layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    Merged,
    /// The directory is opaque.
    Hidden,
}

/// Contents of a file in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    pub pattern: Pattern,
    /// Start and end of zeros that are a hole where a writer can make one.
    pub hole: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Meta {
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub xattr: Option<(XattrName, Pattern)>,
}

impl Meta {
    /// The root directory's in every layer, and in an upper that is mounted over them.
    pub const ROOT: Meta =
        Meta { mode: Mode(0o755), uid: 0, gid: 0, mtime: (1_000_000_000, 1), xattr: None };
}

impl Data {
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = self.pattern.bytes();
        if let Some((start, end)) = self.hole {
            bytes[start..end].fill(0);
        }
        bytes
    }
}

/// Whether marks do their work or stand in the tree as they stand on a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    Obeyed,
    Kept,
}

impl Model {
    /// The tree that a union of the layers shows, the lowest layer first.
    pub fn folded(layers: &[Layer], fault: Fault) -> Model {
        let mut model = Model::empty(fault);
        model.describe(ROOT, Meta::ROOT);
        for layer in layers {
            for entry in &layer.entries {
                model.lay(entry, Marks::Obeyed);
            }
        }
        model
    }

    /// One layer as its directory on a disk: devices 0:0 for whiteouts, `trusted.overlay.opaque` for opaque directories.
    pub fn on_disk(layer: &Layer) -> Model {
        let mut model = Model::empty(Fault::None);
        model.describe(ROOT, Meta::ROOT);
        for entry in &layer.entries {
            model.lay(entry, Marks::Kept);
        }
        model
    }

    /// The layers without the whiteouts that hide nothing.
    pub fn without_stray_whiteouts(layers: &[Layer]) -> Vec<Layer> {
        let mut model = Model::empty(Fault::None);
        let mut kept = layers.to_vec();
        for layer in &mut kept {
            layer.entries.retain(|entry| {
                let hides = model.resolve(&entry.path).is_ok();
                model.lay(entry, Marks::Obeyed);
                hides || entry.node != LayerNode::Whiteout
            });
        }
        kept
    }

    fn lay(&mut self, entry: &LayerEntry, marks: Marks) {
        let (directory, name) = self.parent(&entry.path).expect("a layer holds its directories");
        let body = match &entry.node {
            LayerNode::Folder(below) => return self.lay_folder(entry, *below, marks),
            LayerNode::Whiteout if marks == Marks::Kept => Body::CharDevice { major: 0, minor: 0 },
            LayerNode::Whiteout => {
                if self.fault != Fault::WhiteoutIgnored {
                    self.hide(directory, name);
                }
                return;
            }
            LayerNode::Name(first) => {
                let id = self.resolve(first).expect("a file stands before its hard links");
                self.hide(directory, name);
                return self.attach(directory, name, id);
            }
            LayerNode::Regular(data) => Body::File(data.bytes()),
            LayerNode::Pointer(target) => Body::Symlink(target.clone()),
            LayerNode::Pipe => Body::Fifo,
            LayerNode::Null => Body::CharDevice { major: 1, minor: 3 },
        };
        self.place(entry, body);
    }

    fn place(&mut self, entry: &LayerEntry, body: Body) {
        let (directory, name) = self.parent(&entry.path).expect("a layer holds its directories");
        let there = self.child(directory, name).is_some_and(|id| self.inode(id).is_directory());
        if there && self.fault == Fault::FileUnderDirectory {
            return;
        }
        self.hide(directory, name);
        let id = self.add(Inode::new(body, 0));
        self.describe(id, entry.meta);
        self.attach(directory, name, id);
    }

    fn lay_folder(&mut self, entry: &LayerEntry, below: Below, marks: Marks) {
        let (directory, name) = self.parent(&entry.path).expect("a layer holds its directories");
        let there = self.child(directory, name).filter(|id| self.inode(*id).is_directory());
        match there {
            Some(id) if self.fault != Fault::LowerMetaWins => self.describe(id, entry.meta),
            Some(_) => {}
            None => self.place(entry, Body::Directory(Names::new())),
        }
        if below == Below::Merged {
            return;
        }
        let id = self.child(directory, name).expect("it was there or has been placed");
        if marks == Marks::Kept {
            self.inode_mut(id).xattrs.insert(XattrName::OverlayOpaque, b"y".to_vec());
        } else if self.fault != Fault::OpaqueIgnored {
            self.hide_all(id);
        }
    }

    fn hide_all(&mut self, directory: InodeId) {
        let names: Vec<Vec<u8>> = self.names_mut(directory).keys().cloned().collect();
        for name in names {
            self.hide(directory, &name);
        }
    }

    /// Takes away what lower layers have at a name. A file's other names stay, and this one still counts on its disk.
    fn hide(&mut self, directory: InodeId, name: &[u8]) {
        let Some(id) = self.child(directory, name) else { return };
        if self.inode(id).is_directory() {
            self.hide_all(id);
        }
        self.inode_mut(id).hidden += 1;
        self.detach(directory, name);
    }

    fn describe(&mut self, id: InodeId, meta: Meta) {
        let inode = self.inode_mut(id);
        (inode.mode, inode.uid, inode.gid) = (meta.mode.0, meta.uid, meta.gid);
        if matches!(inode.body, Body::Symlink(_)) {
            inode.mode = 0o777;
        }
        inode.mtime = Moment::At(meta.mtime.0, meta.mtime.1);
        inode.xattrs = meta.xattr.iter().map(|(name, value)| (*name, value.bytes())).collect();
        let takes_user = matches!(inode.body, Body::Directory(_) | Body::File(_));
        inode.xattrs.retain(|name, _| takes_user || !name.is_user());
    }
}
