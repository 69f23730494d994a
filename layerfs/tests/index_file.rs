//! An index file: what it says is what the archive said, and one changed byte is found.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::io::Cursor;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::index::{self, Body, Index, IndexError, Kind, Ordinal, Target};
use layerfs_driver::store::{LayerOutcome, Progress, RootfsInput, Store};

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

/// A store with one layer, and the layer's diff id.
fn store_with(archive: tar::Builder<Vec<u8>>) -> (tempfile::TempDir, Store, Digest) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let input = RootfsInput::Archive(Box::new(Cursor::new(archive.into_inner().unwrap())));
    let id = store.import_rootfs(input, "test", None, &Silent).unwrap();
    let images = store.images().unwrap();
    let image = images.iter().find(|image| image.id == id).unwrap();
    let diff_id = image.layers[0].diff_id;
    (scratch, store, diff_id)
}

fn entry(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o640);
    header.set_uid(1000);
    header.set_gid(2000);
    header.set_mtime(1_700_000_000);
    header
}

fn file(archive: &mut tar::Builder<Vec<u8>>, path: &str, contents: &[u8]) {
    let mut header = entry(tar::EntryType::Regular, contents.len() as u64);
    archive.append_data(&mut header, path, contents).unwrap();
}

fn sample() -> tar::Builder<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut entry(tar::EntryType::Directory, 0), "etc/", &[][..]).unwrap();
    file(&mut archive, "etc/hostname", b"layerfs\n");
    file(&mut archive, "usr/share/large", &vec![7; 10_000]);
    file(&mut archive, "usr/share/empty", b"");
    archive
        .append_link(&mut entry(tar::EntryType::Symlink, 0), "etc/mtab", "../proc/mounts")
        .unwrap();
    archive.append_link(&mut entry(tar::EntryType::Link, 0), "hardlink", "etc/hostname").unwrap();
    file(&mut archive, ".wh.gone", b"");
    archive
}

fn inode_at(index: &Index, path: &str) -> Ordinal {
    path.split('/').fold(Ordinal::ROOT, |dir, name| {
        match index.lookup(dir, name.as_bytes()).unwrap() {
            Some(Target::Inode(ordinal, _)) => ordinal,
            other => panic!("{path}: {other:?}"),
        }
    })
}

#[test]
fn an_index_says_what_the_archive_said() {
    let (_scratch, store, diff_id) = store_with(sample());
    let layer = store.layer_index(&diff_id).unwrap();
    assert_eq!(layer.kind(), Kind::Layer);
    assert_eq!(layer.lookup(Ordinal::ROOT, b"gone").unwrap(), Some(Target::Whiteout));
    let hostname = inode_at(&layer, "etc/hostname");
    let inode = layer.inode(hostname).unwrap();
    assert_eq!((inode.mode, inode.uid, inode.gid, inode.nlink), (0o100_640, 1000, 2000, 2));
    assert_eq!((inode.mtime.secs, inode.body), (1_700_000_000, Body::Inline));
    assert_eq!(layer.inline(hostname).unwrap(), b"layerfs\n");
    assert_eq!(inode_at(&layer, "hardlink"), hostname);
    let names: Vec<&[u8]> =
        layer.names(hostname).unwrap().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, [&b"hardlink"[..], b"hostname"]);
    assert_eq!(layer.link_target(inode_at(&layer, "etc/mtab")).unwrap(), b"../proc/mounts");
    let large = layer.inode(inode_at(&layer, "usr/share/large")).unwrap();
    assert_eq!(large.body, Body::Object { digest: Digest::of(&vec![7; 10_000]), sparse: false });
    let implied = layer.inode(inode_at(&layer, "usr")).unwrap();
    assert_eq!(implied.body, Body::Directory { opaque: false, implied: true });
    index::check(&layer).unwrap();
}

#[test]
fn the_merged_tree_of_one_layer_has_no_whiteouts() {
    let (_scratch, store, diff_id) = store_with(sample());
    let tree = store.tree(&diff_id).unwrap();
    assert_eq!(tree.lookup(Ordinal::ROOT, b"gone").unwrap(), None);
    let root: Vec<&[u8]> =
        tree.children(Ordinal::ROOT, 0).unwrap().map(|child| child.unwrap().name).collect();
    assert_eq!(root, [&b"etc"[..], b"hardlink", b"usr"]);
    assert_eq!(tree.inline(inode_at(&tree, "hardlink")).unwrap(), b"layerfs\n");
    index::check(&tree).unwrap();
}

#[test]
fn a_lookup_finds_every_name_and_no_other() {
    let mut archive = tar::Builder::new(Vec::new());
    // Names that share their first bytes, are prefixes of each other, or hold bytes above 127.
    let names: Vec<String> =
        (0..500).map(|n| format!("name{}", "é".repeat(n % 7)) + &n.to_string()).collect();
    for name in &names {
        file(&mut archive, &format!("d/{name}"), name.as_bytes());
    }
    let (_scratch, store, diff_id) = store_with(archive);
    let tree = store.tree(&diff_id).unwrap();
    let dir = inode_at(&tree, "d");
    for name in &names {
        assert_eq!(tree.inline(inode_at(&tree, &format!("d/{name}"))).unwrap(), name.as_bytes());
        assert_eq!(tree.lookup(dir, format!("{name}x").as_bytes()).unwrap(), None);
    }
    assert_eq!(tree.lookup(dir, b"").unwrap(), None);
    assert_eq!(tree.lookup(dir, &[0xff; 300]).unwrap(), None);
}

/// Every byte, under all the values that matter for one: all bits turned, and one bit turned.
#[test]
fn one_changed_byte_anywhere_is_refused() {
    let (scratch, store, diff_id) = store_with(sample());
    let path = object_path(&scratch, "layers", &diff_id);
    let good = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for (position, byte) in good.iter().enumerate() {
        for flip in [0xff, 0x01] {
            file.write_all_at(&[byte ^ flip], position as u64).unwrap();
            let checked = store.layer_index(&diff_id).map(|index| index::check(&index));
            assert!(!matches!(checked, Ok(Ok(()))), "byte {position} of {} may change", good.len());
        }
        file.write_all_at(&[*byte], position as u64).unwrap();
    }
    index::check(&store.layer_index(&diff_id).unwrap()).unwrap();
}

#[test]
fn a_cut_file_is_refused_at_every_length() {
    let (scratch, store, diff_id) = store_with(sample());
    let path = object_path(&scratch, "layers", &diff_id);
    let good = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for len in (1..good.len()).step_by(7) {
        std::fs::write(&path, &good[..len]).unwrap();
        store.layer_index(&diff_id).expect_err("a cut index");
    }
}

#[test]
fn an_index_cut_while_it_is_mapped_answers_an_error_and_nobody_dies() {
    let (scratch, store, diff_id) = store_with(sample());
    let layer = store.layer_index(&diff_id).unwrap();
    let path = object_path(&scratch, "layers", &diff_id);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    let error = layer.inode(Ordinal::ROOT).unwrap_err();
    assert!(matches!(error, IndexError::Damaged(_)), "{error}");
}

fn object_path(scratch: &tempfile::TempDir, room: &str, digest: &Digest) -> PathBuf {
    scratch.path().join("store").join(room).join(digest.hex())
}

#[test]
fn attributes_of_one_inode_are_read_without_those_of_others() {
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..100 {
        let value = format!("{number}").repeat(10_000);
        archive.append_pax_extensions([("SCHILY.xattr.user.a", value.as_bytes())]).unwrap();
        file(&mut archive, &format!("f{number:02}"), b"");
    }
    let (scratch, store, diff_id) = store_with(archive);
    let path = object_path(&scratch, "layers", &diff_id);
    // The objects and links are empty here: the last bytes before the table of checksums are attributes of the last.
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all_at(b"damage", len - 40 * 32).unwrap();
    let index = store.layer_index(&diff_id).unwrap();
    let first = inode_at(&index, "f00");
    let (name, value) = index.xattrs(first).unwrap()[0];
    assert_eq!((name, value.len()), (&b"user.a"[..], 10_000));
    let last = inode_at(&index, "f99");
    assert!(matches!(index.xattrs(last), Err(IndexError::Damaged(_))));
}
