//! Images in one tar file: an OCI layout, or what `docker save` of Docker from 25 on writes.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::documents::{self, Blob, CONFIG, LAYOUT, MANIFEST, Written};
use super::error::ExportError;
use super::image::{Exported, Kept};
use super::pack::{Pack, PackError, pack};
use crate::store::archive::{ArchiveWriter, Entry, EntryKind, EntryPath, Timestamp};
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::import::Progress;
use crate::store::root::Store;
use crate::store::source::spool::unnamed;
use crate::sys::stream::WindowReader;
use crate::sys::{AsFd, file};

/// What kind of archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveForm {
    /// Docker's, whose layers are not packed.
    Docker,
    /// An OCI layout, whose layers are packed so, and what its only image is called there; its names where nothing is said.
    Oci(Pack, Option<String>),
}

impl Store {
    /// Writes images as one archive to `out`, which messages call `target`.
    pub fn write_archive(
        &self,
        images: &[Exported],
        form: &ArchiveForm,
        (out, target): (&mut dyn Write, &str),
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        let kept = Kept::new(self, images, progress)?;
        let mut archive = Archive {
            kept: &kept,
            store: self,
            out: ArchiveWriter::new(out),
            target,
            paths: HashSet::new(),
            layers: HashMap::new(),
        };
        archive.directory("blobs")?;
        archive.directory("blobs/sha256")?;
        let packing = match form {
            ArchiveForm::Docker => Pack::Plain,
            ArchiveForm::Oci(packing, _) => *packing,
        };
        let mut written = Vec::new();
        for exported in images {
            written.push((exported, archive.image(exported, packing)?));
        }
        archive.lists(&written, form)?;
        let finished = archive.out.finish().and_then(|out| out.flush());
        finished.map_err(|source| write_error(target, source).into())
    }
}

fn write_error(target: &str, source: io::Error) -> ExportError {
    ExportError::Write { target: target.to_owned(), source }
}

struct Archive<'a, W: Write> {
    kept: &'a Kept<'a>,
    store: &'a Store,
    out: ArchiveWriter<W>,
    target: &'a str,
    /// What was written already: images share blobs.
    paths: HashSet<String>,
    layers: HashMap<Digest, Blob>,
}

impl<W: Write> Archive<'_, W> {
    fn image(&mut self, exported: &Exported, packing: Pack) -> Result<Written, StoreError> {
        let mut layers = Vec::new();
        for layer in &exported.image.layers {
            let blob = match self.layers.get(&layer.diff_id) {
                Some(known) => known.clone(),
                None => self.layer(&layer.diff_id, packing)?,
            };
            self.layers.insert(layer.diff_id, blob.clone());
            layers.push(blob);
        }
        let config = self.document(CONFIG, &self.kept.config(&exported.image)?)?;
        let manifest = self.document(MANIFEST, &documents::manifest(&config, &layers))?;
        Ok(Written { config, manifest, layers })
    }

    fn layer(&mut self, diff_id: &Digest, packing: Pack) -> Result<Blob, StoreError> {
        let archive = self.kept.archive(diff_id)?;
        if packing == Pack::Plain {
            let blob = documents::layer_blob(packing, (*diff_id, archive.len_bytes()));
            self.begin(&blob.path(), blob.size)?;
            pack(archive, packing, Data(&mut self.out), self.kept.progress)
                .map_err(|error| self.failed(error))?;
            return Ok(blob);
        }
        // An entry begins with its size, which is known when all is packed.
        let what = || "make a file for a packed layer".to_owned();
        let spool = unnamed(self.store.spool_dir().as_fd()).during(what)?;
        let packed =
            pack(archive, packing, Spool(&spool, 0), self.kept.progress).map_err(|error| {
                match error {
                    PackError::Store(error) => error,
                    PackError::Target(source) => {
                        StoreError::Stream { what: "pack a layer".into(), source }
                    }
                }
            })?;
        let blob = documents::layer_blob(packing, packed);
        if self.paths.contains(&blob.path()) {
            return Ok(blob);
        }
        self.begin(&blob.path(), blob.size)?;
        let mut spool = WindowReader::new(Arc::new(spool), 0, blob.size);
        let copied = io::copy(&mut spool, &mut Data(&mut self.out));
        copied.map_err(|source| write_error(self.target, source))?;
        Ok(blob)
    }

    fn failed(&self, error: PackError) -> StoreError {
        match error {
            PackError::Store(error) => error,
            PackError::Target(source) => write_error(self.target, source).into(),
        }
    }

    fn document(&mut self, media_type: &'static str, bytes: &[u8]) -> Result<Blob, StoreError> {
        let blob = Blob { media_type, digest: Digest::of(bytes), size: bytes.len() as u64 };
        if !self.paths.contains(&blob.path()) {
            self.file(&blob.path(), bytes)?;
        }
        Ok(blob)
    }

    fn lists(
        &mut self,
        written: &[(&Exported, Written)],
        form: &ArchiveForm,
    ) -> Result<(), StoreError> {
        let mut entries: Vec<Value> = Vec::new();
        let (mut saved, mut repositories) = (Vec::new(), Map::new());
        for (exported, image) in written {
            let names = &exported.names;
            match form {
                ArchiveForm::Docker => {
                    entries.extend(
                        some(names).map(|name| documents::entry_of_docker(&image.manifest, name)),
                    );
                    saved.push(documents::saved(image, names));
                    documents::add_repositories(&mut repositories, image, names);
                }
                ArchiveForm::Oci(_, Some(tag)) => {
                    entries.push(documents::entry(&image.manifest, Some(tag)));
                }
                ArchiveForm::Oci(_, None) => {
                    let entry = |name: Option<&_>| {
                        let called = name.map(crate::store::reference::Reference::as_given);
                        documents::entry(&image.manifest, called.as_deref())
                    };
                    entries.extend(some(names).map(entry));
                }
            }
        }
        self.file("index.json", documents::index(entries).to_string().as_bytes())?;
        if *form == ArchiveForm::Docker {
            self.file("manifest.json", Value::from(saved).to_string().as_bytes())?;
        }
        self.file("oci-layout", LAYOUT.as_bytes())?;
        if *form == ArchiveForm::Docker && !repositories.is_empty() {
            self.file("repositories", Value::Object(repositories).to_string().as_bytes())?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.begin(path, bytes.len() as u64)?;
        Ok(self.out.data(bytes).map_err(|source| write_error(self.target, source))?)
    }

    fn begin(&mut self, path: &str, size: u64) -> Result<(), StoreError> {
        self.paths.insert(path.to_owned());
        self.entry(path, EntryKind::File, size)
    }

    fn directory(&mut self, path: &str) -> Result<(), StoreError> {
        self.entry(path, EntryKind::Directory, 0)
    }

    fn entry(&mut self, path: &str, kind: EntryKind, size: u64) -> Result<(), StoreError> {
        let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
        let parsed = EntryPath::parse(path.as_bytes())
            .map_err(|fault| write_error(self.target, io::Error::other(fault)))?;
        let entry = Entry {
            path: parsed,
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size,
            xattrs: Vec::new(),
        };
        Ok(self.out.entry(&entry).map_err(|source| write_error(self.target, source))?)
    }
}

/// Each name, or once that there is none.
fn some<T>(names: &[T]) -> impl Iterator<Item = Option<&T>> {
    names.iter().map(Some).chain(names.is_empty().then_some(None))
}

/// The data of the present entry.
struct Data<'a, W: Write>(&'a mut ArchiveWriter<W>);

impl<W: Write> Write for Data<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file and the offset that is written next.
struct Spool<'a>(&'a crate::sys::OwnedFd, u64);

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        file::write_all_at(self.0, bytes, self.1)?;
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
