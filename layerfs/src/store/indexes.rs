//! Opening the indexes that the store holds, by the digest that names them.

use std::os::fd::OwnedFd;

use super::digest::Digest;
use super::error::StoreError;
use super::index::{Index, IndexError, Kind};
use super::root::Store;
use crate::sys::file::{self, Symlinks};

impl Store {
    /// The index of a layer.
    pub fn layer_index(&self, diff_id: &Digest) -> Result<Index, StoreError> {
        open(&self.layers, diff_id, Kind::Layer)
            .map_err(|source| missing_or_damaged(format!("layer {}", diff_id.short()), source))
    }

    /// Whether the store can write a layer's archive again.
    pub(super) fn has_frame(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        self.has(&self.frames, &diff_id.hex())
    }

    /// Whether the store has a layer, whoever needs it.
    pub fn has_layer(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        self.has(&self.layers, &diff_id.hex())
    }

    /// The merged tree of a chain of layers.
    pub fn tree(&self, chain_id: &Digest) -> Result<Index, StoreError> {
        let what = || format!("merged tree {}", chain_id.short());
        open(&self.trees, chain_id, Kind::Tree).map_err(|source| missing_or_damaged(what(), source))
    }
}

fn missing_or_damaged(what: String, source: IndexError) -> StoreError {
    if is_absent(&source) {
        StoreError::LayerMissing(what)
    } else {
        StoreError::Index { what, source }
    }
}

/// Opens the index of that name and has it prove that it is the one.
pub(super) fn open(room: &OwnedFd, id: &Digest, kind: Kind) -> Result<Index, IndexError> {
    let index = Index::open(file::open_read(room, id.hex().as_str(), Symlinks::Stop)?)?;
    if index.id() != *id || index.kind() != kind {
        return Err(IndexError::Damaged("it is the index of something else"));
    }
    Ok(index)
}

/// Whether the index is not there, as against there and not readable.
pub(super) fn is_absent(error: &IndexError) -> bool {
    matches!(error, IndexError::Call(call) if call.is_absent())
}
