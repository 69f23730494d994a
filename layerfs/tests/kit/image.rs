//! Images made of archives of directories, imported into a store of their own.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use layerfs_driver::lower::{ImageTree, Lower};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::source::{Pick, SourceSpec, Wanted, open};
use layerfs_driver::store::{LayerOutcome, Progress, RootfsInput, Store, chain_id};

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

/// A store with one image in it.
pub struct Imported {
    pub scratch: tempfile::TempDir,
    pub store: Store,
    pub chain: Digest,
}

impl Imported {
    pub fn lower(&self) -> Lower {
        Lower::Image(ImageTree::open(&self.store, &self.chain).unwrap())
    }

    pub fn store_path(&self, path: &str) -> PathBuf {
        self.scratch.path().join("store").join(path)
    }
}

/// Imports an archive as an image of one layer.
pub fn of_archive(archive: tar::Builder<Vec<u8>>) -> Imported {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let input = RootfsInput::Archive(Box::new(Cursor::new(archive.into_inner().unwrap())));
    let id = store.import_rootfs(input, "test", None, &Silent).unwrap();
    let images = store.images().unwrap();
    let chain = images.iter().find(|image| image.id == id).unwrap().layers[0].diff_id;
    Imported { scratch, store, chain }
}

/// Imports directories, the first on top, as an image whose layers are archives of them.
pub fn of_directories(layers: &[PathBuf]) -> Imported {
    let scratch = tempfile::tempdir().unwrap();
    let layout = scratch.path().join("layout");
    let mut blobs = Blobs { dir: layout.join("blobs/sha256") };
    std::fs::create_dir_all(&blobs.dir).unwrap();
    let archives: Vec<Vec<u8>> = layers.iter().rev().map(|layer| archive(layer)).collect();
    let diff_ids: Vec<Digest> = archives.iter().map(|bytes| Digest::of(bytes)).collect();
    let config = blobs.add("config.v1", config(&diff_ids).as_bytes());
    let described: Vec<String> =
        archives.iter().map(|bytes| blobs.add("layer.v1.tar", bytes)).collect();
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, described.join(","));
    let manifest = blobs.add("manifest.v1", manifest.as_bytes());
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
    std::fs::write(layout.join("index.json"), index).unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let spec = SourceSpec::OciDir { path: layout, tag: None };
    let spool = std::fs::File::open(scratch.path()).unwrap();
    let source = open(&spec, Wanted::Host, std::os::fd::AsFd::as_fd(&spool)).unwrap();
    let images = source.images(Pick::All).unwrap();
    store.import_image(&source, &images[0], &[], &Silent).unwrap();
    Imported { scratch, store, chain: chain_id(diff_ids.iter()).unwrap() }
}

struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    /// Writes a blob; answers its descriptor.
    fn add(&mut self, media: &str, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        std::fs::write(self.dir.join(digest.hex()), bytes).unwrap();
        let suffix = if media.ends_with("tar") { "" } else { "+json" };
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{media}{suffix}","digest":"{digest}","size":{}}}"#,
            bytes.len()
        )
    }
}

fn config(diff_ids: &[Digest]) -> String {
    let platform = Wanted::Host.platform().to_string();
    let (os, architecture) = platform.split_once('/').unwrap();
    let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(
        r#"{{"os":"{os}","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
}

fn archive(dir: &Path) -> Vec<u8> {
    let done = Command::new("tar")
        .args(["--create", "--format=posix", "--numeric-owner", "--sparse"])
        .args(["--xattrs", "--xattrs-include=user.*", "--directory"])
        .arg(dir)
        .arg(".")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}
