//! Hand-written sources for tests: files that become a directory or a tar archive.
#![cfg(test)]

use std::fmt::Write as _;
use std::io::Write as _;

use crate::store::digest::Digest;
use crate::sys::{AsFd, OwnedFd, dir};

use super::error::SourceError;
use super::image::SourceImage;
use super::open::{Pick, Source, Wanted, open, open_path, open_stream};
use super::spec::SourceSpec;

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The files of a source, in order.
#[derive(Clone, Default)]
pub struct Files(pub Vec<(String, Vec<u8>)>);

/// A blob that was added: enough to write its descriptor.
#[derive(Clone, Copy)]
pub struct Added {
    pub digest: Digest,
    pub size: usize,
}

impl Added {
    /// A descriptor, with further JSON fields.
    pub fn descriptor(&self, media: &str, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(",{more}") };
        format!(
            r#"{{"mediaType":"{media}","digest":"{}","size":{}{more}}}"#,
            self.digest, self.size
        )
    }
}

/// The JSON fields of a descriptor for a tag, a full name, a platform.
pub fn tag(tag: &str) -> String {
    format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#)
}

pub fn platform(text: &str) -> String {
    let mut parts = text.split('/');
    let mut json = format!(
        r#""platform":{{"os":"{}","architecture":"{}""#,
        parts.next().unwrap(),
        parts.next().unwrap()
    );
    if let Some(variant) = parts.next() {
        write!(json, r#","variant":"{variant}""#).unwrap();
    }
    json + "}"
}

impl Files {
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), bytes.into()));
    }

    pub fn blob(&mut self, bytes: impl Into<Vec<u8>>) -> Added {
        let bytes = bytes.into();
        let added = Added { digest: Digest::of(&bytes), size: bytes.len() };
        let name = format!("blobs/sha256/{}", added.digest.hex());
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.add(&name, bytes);
        }
        added
    }

    /// A manifest, its config for `on` (os/architecture) and plain layers with these contents.
    pub fn image(&mut self, on: &str, layers: &[&str]) -> Added {
        let config = self.blob(config(on, layers));
        let layers: Vec<_> =
            layers.iter().map(|layer| self.blob(*layer).descriptor(TAR, "")).collect();
        self.manifest(&config.descriptor(CONFIG, ""), &layers)
    }

    pub fn manifest(&mut self, config: &str, layers: &[String]) -> Added {
        let layers = layers.join(",");
        self.blob(format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layers}]}}"#
        ))
    }

    pub fn index(&mut self, entries: &[String]) -> Added {
        self.blob(index_json(entries))
    }

    /// Makes the files an OCI layout with these entries.
    pub fn layout(mut self, entries: &[String]) -> Self {
        self.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.add("index.json", index_json(entries));
        self
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            match bytes.strip_prefix(b"-> ") {
                Some(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    let target = std::str::from_utf8(target).unwrap();
                    builder.append_link(&mut header, name, target).unwrap();
                }
                None => {
                    header.set_size(bytes.len() as u64);
                    header.set_mode(0o644);
                    builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    pub fn write(&self, directory: &std::path::Path) {
        for (name, bytes) in &self.0 {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

fn index_json(entries: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","))
}

pub fn config(on: &str, layers: &[&str]) -> String {
    let ids: Vec<_> =
        layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer.as_bytes()))).collect();
    let (os, architecture) = on.split_once('/').unwrap();
    format!(
        r#"{{"os":"{os}","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
}

/// The architecture of this machine.
pub fn host() -> String {
    Wanted::Host.platform().to_string()
}

/// Another architecture than this machine's.
pub fn other() -> &'static str {
    if host() == "linux/arm64" { "linux/amd64" } else { "linux/arm64" }
}

pub fn asked(platform: &str) -> Wanted {
    Wanted::Asked(platform.parse().unwrap())
}

/// A directory to write sources in, which is the spool too.
pub struct Bench {
    pub scratch: tempfile::TempDir,
    pub spool: OwnedFd,
}

impl Bench {
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("spool")).unwrap();
        let spool = dir::open_path(scratch.path().join("spool").as_path()).unwrap();
        Bench { scratch, spool }
    }

    pub fn layout(&self, name: &str, files: &Files, wanted: Wanted) -> Source {
        let path = self.scratch.path().join(name);
        files.write(&path);
        open(&SourceSpec::OciDir { path, tag: None }, wanted, self.spool.as_fd()).unwrap()
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn docker(&self, files: &Files) -> Result<Source, SourceError> {
        let path = self.file("saved.tar", &files.tar());
        open(&SourceSpec::DockerArchive { path, tag: None }, Wanted::Host, self.spool.as_fd())
    }

    pub fn path(&self, name: &str, bytes: &[u8], wanted: Wanted) -> Result<Source, SourceError> {
        open_path(&self.file(name, bytes), wanted, self.spool.as_fd())
    }

    pub fn stream(&self, bytes: &[u8]) -> Result<Source, SourceError> {
        open_stream(bytes, Wanted::Host, self.spool.as_fd())
    }
}

/// The one line that a user reads.
pub fn line(error: &SourceError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(line, ": {error}").unwrap();
        cause = error.source();
    }
    assert!(!line.contains('\n'), "{line}");
    line
}

pub fn refused(source: &Source, pick: Pick<'_>) -> String {
    line(&source.images(pick).unwrap_err())
}

pub fn one(source: &Source, tag: Option<&str>) -> SourceImage {
    let mut images = source.images(Pick::One(tag)).unwrap();
    assert_eq!(images.len(), 1);
    images.pop().unwrap()
}

pub fn names(image: &SourceImage) -> Vec<String> {
    image.names.iter().map(|name| name.as_given()).collect()
}

/// The stored bytes of every layer.
pub fn contents(source: &Source, image: &SourceImage) -> Vec<Vec<u8>> {
    let read = |layer| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut source.open_blob(layer).unwrap(), &mut bytes).unwrap();
        bytes
    };
    image.layers.iter().map(read).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
