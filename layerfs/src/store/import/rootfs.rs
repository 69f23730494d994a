//! Importing a root file system as an image of one layer.

use std::io::Read;
use std::os::fd::OwnedFd;

use serde_json::json;

use super::commit::Whole;
use super::directory;
use super::progress::{LayerOutcome, Progress, Watched};
use super::transaction::Import;
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::layer::{LayerClaim, Shared, stage_layer};
use crate::store::oci::Platform;
use crate::store::reference::Reference;
use crate::store::root::Store;
use crate::sys::host;

/// Where the root file system comes from.
pub enum RootfsInput {
    /// An archive, plain or compressed.
    Archive(Box<dyn Read + Send>),
    /// A directory; what other file systems are mounted below it is left out.
    Directory(OwnedFd),
}

impl Store {
    /// Makes an image of one layer; `origin` goes into its history. Answers its id.
    pub fn import_rootfs(
        &self,
        input: RootfsInput,
        origin: &str,
        name: Option<&Reference>,
        progress: &dyn Progress,
    ) -> Result<Digest, StoreError> {
        let shared = Shared::default();
        let import = Import::begin(self)?;
        let blob: Box<dyn Read + Send> = match input {
            RootfsInput::Archive(archive) => archive,
            RootfsInput::Directory(dir) => directory::archive_of(dir, self.root())?,
        };
        // The diff id is not known before the end: the layer is shown under the digest of its origin.
        let shown = Digest::of(origin.as_bytes());
        progress.begin(&shown, None);
        let watched = Watched { inner: blob, layer: shown, progress, stop: &shared.stop };
        let claim = LayerClaim { what: origin.to_owned(), blob: None, diff_id: None };
        let staged = stage_layer(&claim, watched, import.make_staging(0)?, &import, &shared)?;
        // What writes an archive and fails at once leaves an empty stream, not a file system without files.
        if staged.diff_id == Digest::of(b"") {
            return Err(StoreError::EmptyArchive(origin.to_owned()));
        }
        progress.end(&shown, LayerOutcome::Imported);
        let config = config_of(staged.diff_id, origin);
        let names: Vec<Reference> = name.into_iter().cloned().collect();
        let whole = Whole {
            config: config.as_bytes(),
            manifest: None,
            layers: vec![staged.diff_id],
            names: &names,
        };
        import.commit(vec![staged], &whole)
    }
}

/// The configuration of an image of which nothing is known but its root file system.
fn config_of(diff_id: Digest, origin: &str) -> String {
    let platform = Platform::host();
    let created = crate::store::oci::time::rfc3339(host::now_secs());
    json!({
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
        "history": [{ "created": created, "comment": format!("Imported from {origin}") }],
    })
    .to_string()
}
