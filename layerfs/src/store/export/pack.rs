//! Owns the packing of what is written: gzip, zstd or none, with the digests of both sides.

use std::io::{self, Read, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder;

use crate::store::digest::{Digest, Hasher};
use crate::store::error::StoreError;
use crate::store::frame::LayerArchive;
use crate::store::import::{LayerOutcome, Progress};

/// Bytes taken at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pack {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Pack {
    /// The media type of a layer that is packed so.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Pack::Plain => "application/vnd.oci.image.layer.v1.tar",
            Pack::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Pack::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Why a layer was not packed.
pub(super) enum PackError {
    /// The store does not give it.
    Store(StoreError),
    /// The target does not take it.
    Target(io::Error),
}

/// Counts and hashes what passes.
struct Counted<W> {
    inner: W,
    hasher: Hasher,
    len_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What takes unpacked bytes.
enum Packer<W: Write> {
    Plain(Counted<W>),
    Gzip(GzEncoder<Counted<W>>),
    Zstd(Encoder<'static, Counted<W>>),
}

impl<W: Write> Packer<W> {
    fn new(pack: Pack, out: W) -> io::Result<Self> {
        let out = Counted { inner: out, hasher: Hasher::new(), len_bytes: 0 };
        Ok(match pack {
            Pack::Plain => Packer::Plain(out),
            // No time and no name: the same archive gives the same bytes.
            Pack::Gzip => Packer::Gzip(GzBuilder::new().write(out, flate2::Compression::default())),
            Pack::Zstd => Packer::Zstd(Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Packer::Plain(out) => out.write_all(bytes),
            Packer::Gzip(out) => out.write_all(bytes),
            Packer::Zstd(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<(Digest, u64)> {
        let out = match self {
            Packer::Plain(out) => out,
            Packer::Gzip(out) => out.finish()?,
            Packer::Zstd(out) => out.finish()?,
        };
        Ok((out.hasher.finish(), out.len_bytes))
    }
}

/// Writes a layer's archive, packed. Answers digest and length of what was written, and has proved the archive
/// itself. The progress is that of the unpacked bytes.
pub(super) fn pack(
    mut archive: LayerArchive,
    pack: Pack,
    out: impl Write,
    progress: &dyn Progress,
) -> Result<(Digest, u64), PackError> {
    let layer = archive.diff_id();
    progress.begin(&layer, Some(archive.len_bytes()));
    let stream = |source| {
        let what = format!("layer {}", layer.short());
        PackError::Store(StoreError::Stream { what, source })
    };
    let mut packer = Packer::new(pack, out).map_err(PackError::Target)?;
    let (mut hasher, mut buf) = (Hasher::new(), vec![0; PIECE_BYTES]);
    loop {
        let len = archive.read(&mut buf).map_err(stream)?;
        if len == 0 {
            break;
        }
        hasher.update(&buf[..len]);
        packer.write_all(&buf[..len]).map_err(PackError::Target)?;
        progress.advance(&layer, len as u64);
    }
    let found = hasher.finish();
    if found != layer {
        let layer = layer.short().to_string();
        return Err(PackError::Store(StoreError::ArchiveChanged { layer, found }));
    }
    let packed = packer.finish().map_err(PackError::Target)?;
    progress.end(&layer, LayerOutcome::Written);
    Ok(packed)
}
