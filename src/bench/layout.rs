//! OCI layouts made of layer directories: what images are pulled and loaded from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use layerfs_driver::store::digest::{Digest, HashingReader};
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{dir, file, host};
use serde_json::{Value, json};

use super::programs::call;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The name of an image in its layout.
pub const TAG: &str = "bench";

/// Whether layers are packed as registries have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// As they are.
    No,
    /// By gzip(1).
    Gzip,
}

/// Makes a layout in `layout`, which is absent, of layer directories, the lowest first.
pub fn make(layout: &Path, layers: &[PathBuf], packed: Packed) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    dir::make_all(&blobs, 0o755)?;
    let mut diff_ids = Vec::new();
    let mut of_layers = Vec::new();
    for layer in layers {
        let archive = layout.join("layer");
        let tar = call("tar").word("-C").word(layer);
        let tar = tar.words("--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf");
        tar.word(&archive).word(".").run()?;
        diff_ids.push(hashed(&archive)?.0);
        let (blob, kind) = match packed {
            Packed::No => (archive, LAYER.to_owned()),
            Packed::Gzip => {
                call("gzip").words("-n -6 -f").word(&archive).run()?;
                (layout.join("layer.gz"), format!("{LAYER}+gzip"))
            }
        };
        let (digest, size) = hashed(&blob)?;
        let here = dir::open_path(layout)?;
        dir::rename(&here, blob.as_path(), &here, blobs.join(digest.hex()).as_path())?;
        of_layers.push(json!({"mediaType": kind, "digest": digest.to_string(), "size": size}));
    }
    let diff_ids: Vec<String> = diff_ids.iter().map(Digest::to_string).collect();
    let config = add(
        &blobs,
        CONFIG,
        &json!({
            "architecture": architecture(), "os": "linux", "config": {"Cmd": ["/bin/end"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }),
    )?;
    let mut manifest = add(
        &blobs,
        MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": of_layers,
        }),
    )?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
    write(&layout.join("index.json"), &json!({"schemaVersion": 2, "manifests": [manifest]}))?;
    write(&layout.join("oci-layout"), &json!({"imageLayoutVersion": "1.0.0"}))
}

/// The architecture as Go names it.
fn architecture() -> String {
    let (_, machine) = host::kernel();
    match machine.as_str() {
        "x86_64" => "amd64".into(),
        "aarch64" => "arm64".into(),
        _ => machine,
    }
}

fn hashed(path: &Path) -> Result<(Digest, u64)> {
    let reader = HashingReader::new(FileReader::new(file::open_read_path(path)?));
    reader.finish().with_context(|| format!("read `{}`", path.display()))
}

/// Adds a blob of JSON, and answers its description.
fn add(blobs: &Path, kind: &str, value: &Value) -> Result<Value> {
    let text = serde_json::to_vec(value).context("write an image as JSON")?;
    let digest = Digest::of(&text);
    write(&blobs.join(digest.hex()), value)?;
    Ok(json!({"mediaType": kind, "digest": digest.to_string(), "size": text.len()}))
}

fn write(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_vec(value).context("write an image as JSON")?;
    let parent = dir::open_path(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    Ok(file::write_all(file::create_new(&parent, name, 0o644)?, &text)?)
}
