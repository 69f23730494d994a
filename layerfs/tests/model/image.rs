//! Owns generated layers as an image in a store, and the snapshot of its merged tree.

use std::os::fd::AsFd;
use std::path::Path;

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::index::{Body, Index, Ordinal, Target};
use layerfs_driver::store::oci::Platform;
use layerfs_driver::store::source::{self, SourceSpec, Wanted};
use layerfs_driver::store::{LayerOutcome, Progress, Store, chain_id};
use rustix::fs::FileType;
use serde_json::{Value, json};

use super::archive::archive;
use super::layers::Layer;
use super::subject::{Entry, Facts, Kind, Snapshot, hex, sha256};
use super::tree::Moment;
use super::tree_path::TreePath;

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

/// Imports the layers, the lowest first, by way of an OCI layout in the directory `layout`, made anew. Where there is no
/// layer, an empty one stands for it. Answers the chain id.
pub fn import(store: &Store, layout: &Path, layers: &[Layer]) -> Digest {
    let diff_ids = write_layout(layout, layers);
    let spec = SourceSpec::parse(format!("oci:{}", layout.display()).as_ref()).unwrap();
    let source = source::open(&spec, Wanted::Host, store.spool_dir().as_fd()).unwrap();
    for image in source.images(spec.pick()).unwrap() {
        store.import_image(&source, &image, &[], &Silent).unwrap();
    }
    chain_id(diff_ids.iter()).expect("there is a layer")
}

fn write_layout(layout: &Path, layers: &[Layer]) -> Vec<Digest> {
    if layout.exists() {
        std::fs::remove_dir_all(layout).unwrap();
    }
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        (digest, bytes.len())
    };
    let empty = [Layer::default()];
    let layers = if layers.is_empty() { &empty[..] } else { layers };
    let stored: Vec<(Digest, usize)> = layers.iter().map(|layer| blob(&archive(layer))).collect();
    let diff_ids: Vec<Digest> = stored.iter().map(|(digest, _)| *digest).collect();
    let described = |kind: &str, (digest, size): (Digest, usize)| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
    };
    let platform = Platform::host();
    let config = json!({
        "architecture": platform.architecture, "os": platform.os, "config": {},
        "rootfs": { "type": "layers",
            "diff_ids": diff_ids.iter().map(Digest::to_string).collect::<Vec<_>>() },
    });
    let config = blob(config.to_string().as_bytes());
    let blobs: Vec<Value> = stored.iter().map(|it| described("layer.v1.tar", *it)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", config), "layers": blobs,
    });
    let manifest = described("manifest.v1+json", blob(manifest.to_string().as_bytes()));
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    diff_ids
}

/// What a merged tree says of itself, without a mount.
pub fn snapshot(index: &Index) -> Snapshot {
    let mut snapshot = Snapshot::default();
    visit(index, Ordinal::ROOT, TreePath::root(), &mut snapshot);
    snapshot.entries.sort_by(|a, b| a.path.cmp(&b.path));
    snapshot
}

fn visit(index: &Index, ordinal: Ordinal, path: TreePath, snapshot: &mut Snapshot) {
    let entry = entry(index, ordinal, path.clone());
    let is_directory = entry.facts.kind == Kind::Directory;
    snapshot.entries.push(entry);
    if !is_directory {
        return;
    }
    for child in index.children(ordinal, 0).unwrap() {
        let child = child.unwrap();
        let path = path.join(child.name);
        match child.target {
            Target::Inode(ordinal, _) => visit(index, ordinal, path, snapshot),
            Target::Whiteout => snapshot.disorder.push(format!("{path:?} is a whiteout")),
        }
    }
}

fn entry(index: &Index, ordinal: Ordinal, path: TreePath) -> Entry {
    let inode = index.inode(ordinal).unwrap();
    let (kind, contents) = match &inode.body {
        Body::Directory { .. } => (Kind::Directory, String::new()),
        Body::Inline => (Kind::File, sha256(index.inline(ordinal).unwrap())),
        Body::Object { digest, .. } => (Kind::File, digest.hex()),
        Body::Symlink => (Kind::Symlink, hex(index.link_target(ordinal).unwrap())),
        Body::Device { major, minor } => {
            let (major, minor) = (*major, *minor);
            match FileType::from_raw_mode(inode.mode) {
                FileType::BlockDevice => (Kind::Block { major, minor }, String::new()),
                _ => (Kind::Char { major, minor }, String::new()),
            }
        }
        Body::Special => match FileType::from_raw_mode(inode.mode) {
            FileType::Socket => (Kind::Socket, String::new()),
            _ => (Kind::Fifo, String::new()),
        },
    };
    let named =
        |(name, value): (&[u8], &[u8])| (String::from_utf8_lossy(name).into_owned(), hex(value));
    let mut xattrs: Vec<_> = index.xattrs(ordinal).unwrap().into_iter().map(named).collect();
    xattrs.sort();
    let facts = Facts {
        kind,
        // The index keeps what an archive says of a link's mode. Linux links have all bits, and a union has to show them.
        mode: if kind == Kind::Symlink { 0o777 } else { inode.mode & 0o7777 },
        uid: inode.uid,
        gid: inode.gid,
        links: inode.nlink.into(),
        hidden: 0,
        size: inode.size,
    };
    let mtime = Moment::At(inode.mtime.secs, inode.mtime.nanos);
    let (number, generation) = (ordinal.number().into(), None);
    Entry { path, facts, mtime, contents, xattrs, number, generation }
}
