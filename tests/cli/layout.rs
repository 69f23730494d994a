//! OCI layouts written by the tests: small tar archives, a configuration, a manifest, an index.

use std::fs;
use std::path::Path;

use layerfs_driver::store::digest::Digest;
use serde_json::{Value, json};

use crate::support::{octal, tar_header};

/// A layout with one image for each tag.
pub struct Layout {
    blobs: Vec<Vec<u8>>,
    manifests: Vec<Value>,
}

/// One image to be written.
pub struct Image<'a> {
    pub tag: Option<&'a str>,
    pub layers: Vec<Vec<u8>>,
    pub history: Value,
    pub created: &'a str,
}

/// Contents too long to be kept inside an index.
pub fn big(letter: u8) -> Vec<u8> {
    vec![letter; 10_000]
}

/// Three layers: `a` of 10,000 bytes and `b` of 5; `c` of 10,000 bytes; a whiteout of `b`.
pub fn three_layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[("a", &big(b'a')), ("b", b"hello")]),
        tar(&[("c", &big(b'c'))]),
        tar(&[(".wh.b", b"")]),
    ]
}

impl Layout {
    pub fn new() -> Self {
        Layout { blobs: Vec::new(), manifests: Vec::new() }
    }

    /// One image of three layers and four steps, tag `1`.
    pub fn small() -> Self {
        let history = json!([
            { "created": "2020-01-01T00:00:00Z", "created_by": "ADD a b" },
            { "created": "2020-01-02T00:00:00Z", "created_by": "ADD c", "comment": "a remark" },
            { "created": "2020-01-03T00:00:00Z", "created_by": "ENV X=1", "empty_layer": true },
            { "created": "2020-01-04T00:00:00.5+01:00", "created_by": "RM \u{1b}[31mb\n\tand more than forty-five characters" },
        ]);
        let image = Image {
            tag: Some("1"),
            layers: three_layers(),
            history,
            created: "2020-01-04T00:00:00Z",
        };
        Layout::new().with(&image)
    }

    /// The same with one more image.
    pub fn with(mut self, image: &Image) -> Self {
        let diff_ids: Vec<String> =
            image.layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let layers = image.layers.iter();
        let layers =
            layers.map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", layer.clone()));
        let layers: Vec<Value> = layers.collect();
        let config = json!({
            "created": image.created,
            "author": "the tests",
            "architecture": architecture(),
            "os": "linux",
            "config": { "Env": ["X=1"], "Cmd": ["/bin/true"], "Unknown": { "kept": true } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": image.history,
        });
        let config =
            self.blob("application/vnd.oci.image.config.v1+json", config.to_string().into());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
        });
        let mut described =
            self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into());
        if let Some(tag) = image.tag {
            described["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        }
        self.manifests.push(described);
        self
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let described = json!({
            "mediaType": media_type,
            "digest": Digest::of(&bytes).to_string(),
            "size": bytes.len(),
        });
        self.blobs.push(bytes);
        described
    }

    /// The ids of the images, in hexadecimal digits.
    pub fn ids(&self) -> Vec<String> {
        self.images().into_iter().map(|(id, _)| id).collect()
    }

    /// Leaves out the images of other ids. What only they have stays.
    pub fn keep(&mut self, ids: &[String]) -> &Self {
        let images = self.images();
        let mut keeps = images.iter().map(|(id, _)| ids.contains(id));
        self.manifests.retain(|_| keeps.next() == Some(true));
        self
    }

    /// The digests of the manifests of these ids.
    pub fn digests(&self, ids: &[String]) -> Vec<String> {
        let images: std::collections::HashMap<_, _> = self.images().into_iter().collect();
        ids.iter().map(|id| images[id].clone()).collect()
    }

    /// Id and digest of the manifest of each image.
    fn images(&self) -> Vec<(String, String)> {
        let blobs: std::collections::HashMap<String, &Vec<u8>> =
            self.blobs.iter().map(|bytes| (Digest::of(bytes).to_string(), bytes)).collect();
        let of = |entry: &Value| {
            let digest = entry["digest"].as_str().expect("a descriptor has a digest");
            let manifest: Value =
                serde_json::from_slice(blobs[digest]).expect("a manifest is JSON");
            let id = manifest["config"]["digest"].as_str().expect("a manifest has a config");
            (id.trim_start_matches("sha256:").to_owned(), digest.to_owned())
        };
        self.manifests.iter().map(of).collect()
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into()),
        ];
        let blob =
            |bytes: &Vec<u8>| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.clone());
        files.extend(self.blobs.iter().map(blob));
        files
    }

    /// Writes the layout as a directory.
    pub fn write(&self, dir: &Path) {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("the place is ours");
        for (name, bytes) in self.files() {
            fs::write(dir.join(name), bytes).expect("the place is ours");
        }
    }

    /// An archive of this form, in which a blob is missing: `oci`, `docker`, or `both`.
    pub fn archive_without(&self, blob: &[u8], form: &str) -> Vec<u8> {
        let mut files = self.files();
        let lost = format!("blobs/sha256/{}", Digest::of(blob).hex());
        files.retain(|(name, _)| *name != lost);
        if form != "oci" {
            files.push(("manifest.json".to_owned(), self.saved().to_string().into()));
        }
        if form == "docker" {
            files.retain(|(name, _)| name != "oci-layout" && name != "index.json");
        }
        archive_of(&files)
    }

    /// The index without anything that it names.
    pub fn index_alone(&self) -> Vec<u8> {
        archive_of(&self.files()[..2])
    }

    /// What `docker save` writes about the same images into `manifest.json`, each called `all:TAG`.
    fn saved(&self) -> Value {
        let name = |blob: &Value| {
            let digest = blob["digest"].as_str().expect("a descriptor has a digest");
            format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
        };
        let entry = |manifest: &Value| {
            let tag = &manifest["annotations"]["org.opencontainers.image.ref.name"];
            let bytes = self
                .blobs
                .iter()
                .find(|bytes| manifest["digest"] == json!(Digest::of(bytes).to_string()));
            let body: Value = serde_json::from_slice(bytes.expect("the layout has the manifest"))
                .expect("a manifest is JSON");
            let layers: Vec<_> =
                body["layers"].as_array().into_iter().flatten().map(name).collect();
            let tags = [format!("all:{}", tag.as_str().expect("each has a tag"))];
            json!({ "Config": name(&body["config"]), "RepoTags": tags, "Layers": layers })
        };
        self.manifests.iter().map(entry).collect()
    }

    /// The layout as one archive.
    pub fn archive(&self) -> Vec<u8> {
        archive_of(&self.files())
    }
}

fn archive_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    tar(&files.collect::<Vec<_>>())
}

/// A ustar archive of regular files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        let size = octal(bytes.len());
        archive.extend(tar_header(name.as_bytes(), (b'0', 0o644), &size, &[(136, b"00000000000")]));
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
