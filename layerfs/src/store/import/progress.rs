//! What an import or an export tells while it runs.

use crate::store::digest::Digest;

/// Is told of each layer, from several threads at once.
pub trait Progress: Sync {
    /// A layer is begun; its blob has that many bytes, where the source says so.
    fn begin(&self, layer: &Digest, stored_bytes: Option<u64>);
    /// That many more bytes of the blob were read, or of the archive written.
    fn advance(&self, layer: &Digest, stored_bytes: u64);
    /// The layer is done.
    fn end(&self, layer: &Digest, outcome: LayerOutcome);
}

/// What became of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerOutcome {
    /// It was read and unpacked.
    Imported,
    /// The store had it.
    AlreadyHere,
    /// It was written to where it goes.
    Written,
}

/// Counts the bytes of a blob as they are read, and ends the stream where the import was told to stop.
pub(super) struct Watched<'a, R> {
    pub inner: R,
    pub layer: Digest,
    pub progress: &'a dyn Progress,
    pub stop: &'a std::sync::atomic::AtomicBool,
}

impl<R: std::io::Read> std::io::Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::Error::other("the import was stopped"));
        }
        let len = self.inner.read(buf)?;
        self.progress.advance(&self.layer, len as u64);
        Ok(len)
    }
}
