//! Staging one layer: its blob read, proved and unpacked, its index written aside. Whoever publishes it syncs it first.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::OwnedFd;

use super::contents::{Contents, Reliance, Staged};
use super::shared::Shared;
use super::stream;
use super::tree::LayerOrigin;
use super::turn::Turn;
use super::unpack::unpack;
use crate::store::archive::ArchiveReader;
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::frame::{self, Recorded, Recorder};
use crate::store::index::{Index, IndexError, Kind, write_index};
use crate::sys::file::{self, Symlinks};
use crate::sys::{SysError, dir};

/// What is known of a layer before it is read.
pub(in crate::store) struct LayerClaim {
    /// How messages name it.
    pub what: String,
    /// Digest and length in bytes of the blob, where the source names them.
    pub blob: Option<(Digest, u64)>,
    /// Digest of the archive in the blob; `None` where this import gives it.
    pub diff_id: Option<Digest>,
}

/// An empty directory to stage one layer in, and its name in that of the import.
pub(in crate::store) struct StagingDir {
    /// The name.
    pub name: String,
    /// The directory.
    pub fd: OwnedFd,
}

/// A layer that is staged whole: its objects as `0`, `1`, …, its index as `index` and its frame as `frame` in the directory. Holds no
/// descriptor: an image may have more layers than a process may have files open.
pub(in crate::store) struct StagedLayer {
    /// Digest of the archive.
    pub diff_id: Digest,
    /// The staging directory's name.
    pub dir: String,
    /// The objects that are staged in it, in archive order.
    pub objects: Vec<Staged>,
    /// The objects that the store had already.
    pub relied_on: Vec<Digest>,
}

/// Reads `blob` to its end and stages what it holds in `staging`. Nothing is synced.
pub(in crate::store) fn stage_layer<R: Read + Send>(
    claim: &LayerClaim,
    blob: R,
    staging: StagingDir,
    reliance: &dyn Reliance,
    shared: &Shared,
) -> Result<StagedLayer, StoreError> {
    let what = || claim.what.clone();
    let StagingDir { name, fd: dir } = staging;
    let layer = |source| StoreError::Layer { what: what(), source };
    let turn = Turn::of(&shared.turns);
    let recorder = recorder_in(&dir).during(what)?;
    let mut contents =
        Contents::new(&dir, reliance, shared, &recorder).map_err(|error| layer(error.into()))?;
    let (tree, found) = std::thread::scope(|scope| {
        let (archive, digests) = stream::inflate(scope, blob, &turn);
        let archive = Recorded { inner: archive, recorder: &recorder };
        let mut archive = ArchiveReader::new(archive);
        let tree = unpack(&mut archive, &mut contents, shared, &turn).map_err(layer)?;
        // Bytes after the end mark belong to the diff id.
        let mut archive = archive.into_inner();
        std::io::copy(&mut archive, &mut std::io::sink())
            .map_err(|source| StoreError::Stream { what: what(), source })?;
        let (blob, archive) = digests.join();
        let (diff_id, _) = archive.ok_or(StoreError::Stopped)?;
        Ok::<_, StoreError>((tree, Found { diff_id, blob }))
    })?;
    let diff_id = prove(claim, &found)?;
    let index = file::create_new(&dir, "index", 0o400).during(what)?;
    let root = tree.root();
    let mut origin =
        LayerOrigin { tree: &tree, contents: |handle, size| contents.inline(handle, size) };
    write_index(&mut origin, root, index, (Kind::Layer, diff_id)).during(what)?;
    let (objects, relied_on) = contents.into_staged();
    end_frame((&dir, &objects), recorder, diff_id, reliance).during(what)?;
    Ok(StagedLayer { diff_id, dir: name, objects, relied_on })
}

/// The frame's name in the staging directory, and that of one that is written once more.
pub(in crate::store) const FRAME: &str = "frame";
const REWRITTEN: &str = "frame.new";

fn recorder_in(dir: &OwnedFd) -> Result<Recorder, SysError> {
    Recorder::new(file::create_new(dir, FRAME, 0o400)?).map_err(frame::call_of)
}

/// Ends the frame of a layer whose index is written. An object that the archive has and the index has not is one that a
/// later entry replaced: nothing would keep it, so its bytes go into the frame.
fn end_frame(
    (dir, staged): (&OwnedFd, &[Staged]),
    recorder: Recorder,
    diff_id: Digest,
    reliance: &dyn Reliance,
) -> Result<(), IndexError> {
    let read = |name: &str| file::open_read(dir, name, Symlinks::Stop);
    let named = recorder.finish(diff_id).map_err(frame::call_of)?;
    let index = Index::open(read("index")?)?;
    let has: HashSet<Digest> = index.objects()?.map(|(digest, _)| digest).collect();
    if named.iter().all(|digest| has.contains(digest)) {
        return Ok(());
    }
    let open = |digest: &Digest| {
        let number = staged.iter().find(|object| object.digest == *digest);
        let opened = match number {
            Some(object) => read(&object.number.to_string()),
            None => reliance.open(digest),
        };
        Ok(opened?)
    };
    let into = file::create_new(dir, REWRITTEN, 0o400)?;
    frame::rewrite(read(FRAME)?, into, &has, open).map_err(frame::call_of)?;
    Ok(dir::rename(dir, REWRITTEN, dir, FRAME)?)
}

/// The digests of what was read.
struct Found {
    diff_id: Digest,
    blob: Option<(Digest, u64)>,
}

/// Compares what was claimed with what was found.
fn prove(claim: &LayerClaim, found: &Found) -> Result<Digest, StoreError> {
    if let Some((expected, len)) = claim.blob {
        let (digest, found_len) = found.blob.ok_or(StoreError::Stopped)?;
        if found_len != len {
            return Err(StoreError::Length {
                what: claim.what.clone(),
                expected: len,
                found: found_len,
            });
        }
        if digest != expected {
            return Err(StoreError::Mismatch { what: claim.what.clone(), expected, found: digest });
        }
    }
    match claim.diff_id {
        Some(expected) if expected != found.diff_id => {
            let what = format!("{}, unpacked", claim.what);
            Err(StoreError::Mismatch { what, expected, found: found.diff_id })
        }
        _ => Ok(found.diff_id),
    }
}
