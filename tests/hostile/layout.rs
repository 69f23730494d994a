//! An OCI layout in a directory, sealed by its digests, for rows to break one thing of it.

use std::fs;
use std::path::{Path, PathBuf};

use layerfs_driver::store::digest::Digest;
use serde_json::{Value, json};

use super::packing::gzip;
use super::tarball::{dir, file, tar};

const OCI: &str = "application/vnd.oci.image.";

/// A layout of one image of two layers.
pub struct Layout {
    /// Where it lies.
    pub dir: PathBuf,
    /// Its configuration; what it changes counts after [`Layout::seal`].
    pub config: Value,
    /// Its manifest, likewise.
    pub manifest: Value,
    /// `index.json`, likewise.
    pub index: Value,
}

/// A descriptor of some bytes.
pub fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes).to_string();
    json!({ "mediaType": format!("{OCI}{kind}"), "digest": digest, "size": bytes.len() })
}

/// The layers of the image: archives.
pub fn layers() -> Vec<Vec<u8>> {
    vec![tar(&[dir("d"), file("d/f", "below")]), tar(&[file("d/g", [9; 6000]), file(".wh.x", "")])]
}

impl Layout {
    /// Writes a layout that holds together.
    pub fn new(dir: &Path) -> Layout {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut layout = Layout {
            dir: dir.into(),
            config: json!({ "architecture": "amd64", "os": "linux", "config": {} }),
            manifest: json!({ "schemaVersion": 2, "mediaType": format!("{OCI}manifest.v1+json") }),
            index: json!({ "schemaVersion": 2 }),
        };
        layout.set_layers(&layers().iter().map(|layer| gzip(layer)).collect::<Vec<_>>(), &layers());
        layout
    }

    /// Takes other layers: the packed bytes, and the archives that are in them.
    pub fn set_layers(&mut self, packed: &[Vec<u8>], archives: &[Vec<u8>]) {
        let diff_ids: Vec<_> = archives.iter().map(|layer| Digest::of(layer).to_string()).collect();
        self.config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let blobs = packed.iter().map(|blob| self.put("layer.v1.tar+gzip", blob));
        self.manifest["layers"] = blobs.collect();
        self.seal();
    }

    /// Writes a blob; answers its descriptor.
    pub fn put(&self, kind: &str, bytes: &[u8]) -> Value {
        let descriptor = descriptor(kind, bytes);
        fs::write(self.blob(&descriptor), bytes).unwrap();
        descriptor
    }

    /// The file of a blob.
    pub fn blob(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        self.dir.join("blobs/sha256").join(digest.split_once(':').unwrap().1)
    }

    /// Writes configuration, manifest and index, each naming the one before.
    pub fn seal(&mut self) {
        self.manifest["config"] = self.put("config.v1+json", self.config.to_string().as_bytes());
        self.seal_manifest();
    }

    /// Writes manifest and index, the configuration's descriptor as it stands.
    pub fn seal_manifest(&mut self) {
        let entry = self.put("manifest.v1+json", self.manifest.to_string().as_bytes());
        self.index["manifests"] = json!([entry]);
        self.seal_index();
    }

    /// Writes the index as it stands.
    pub fn seal_index(&self) {
        fs::write(self.dir.join("index.json"), self.index.to_string()).unwrap();
    }

    /// The file of the first layer.
    pub fn layer(&self) -> PathBuf {
        self.blob(&self.manifest["layers"][0])
    }
}
