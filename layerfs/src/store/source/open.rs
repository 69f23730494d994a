//! Opening a source, telling its form, and handing out its images.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::store::oci::Platform;
use crate::sys::{BorrowedFd, Errno, OwnedFd, dir, file, stream::FileReader};

use super::compression::{Compression, PEEK_LEN};
use super::cursor::Cursor;
use super::docker::{DockerArchive, pick_among};
use super::error::{SourceError, SourceFault};
use super::gather::{Found, Refused, merge, whole};
use super::image::{SourceImage, SourceLayer};
use super::layout::Layout;
use super::member::Members;
use super::place::{Place, regular_size};
use super::spec::{SourceSpec, shown_bytes};
use super::spool::spool;

/// The platform whose image is taken where there are several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This machine's: images that say no platform are taken too.
    Host,
    /// The one that the user asked for: an image must be for it.
    Asked(Platform),
}

/// Which images of a source are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick<'a> {
    /// One: that of this tag, reference or digest, or the only one there is.
    One(Option<&'a str>),
    /// All of them.
    All,
}

/// An opened source. May be read by several threads at once.
pub struct Source {
    shown: String,
    form: Form,
    place: Place,
    /// The name that bare tags are joined to.
    base: Option<String>,
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Oci,
    Docker,
    /// Docker 25 and later write both into one archive.
    Both,
}

/// What an archive must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Oci,
    Docker,
    Either,
}

impl Wanted {
    /// The platform meant.
    pub fn platform(&self) -> Platform {
        match self {
            Wanted::Host => Platform::host(),
            Wanted::Asked(platform) => platform.clone(),
        }
    }
}

/// Opens what the user's words name. A packed archive is unpacked into a file without a name in `spool_dir`.
pub fn open(
    spec: &SourceSpec,
    wanted: Wanted,
    spool_dir: BorrowedFd<'_>,
) -> Result<Source, SourceError> {
    let opened = match spec {
        SourceSpec::OciDir { path, .. } => directory(path),
        SourceSpec::OciArchive { path, .. } => archive_at(path, spool_dir, Expected::Oci),
        SourceSpec::DockerArchive { path, .. } => archive_at(path, spool_dir, Expected::Docker),
    };
    named(spec.path(), opened, wanted)
}

/// Opens a directory or an archive of any form, told by what is in it.
pub fn open_path(
    path: &Path,
    wanted: Wanted,
    spool_dir: BorrowedFd<'_>,
) -> Result<Source, SourceError> {
    let opened = match directory(path) {
        Err(SourceFault::OpenSource(error)) if error.errno() == Errno::NOTDIR => {
            archive_at(path, spool_dir, Expected::Either)
        }
        other => other,
    };
    named(path, opened, wanted)
}

/// Opens an archive that comes as a stream: unpacked into a file without a name in `spool_dir`.
pub fn open_stream(
    reader: impl Read,
    wanted: Wanted,
    spool_dir: BorrowedFd<'_>,
) -> Result<Source, SourceError> {
    let shown = "standard input";
    let opened = spool(reader, spool_dir).and_then(|file| archive(file, Expected::Either));
    let (place, form) = opened.map_err(|fault| fault.of(shown))?;
    Ok(Source { shown: shown.to_owned(), form, place, base: None, wanted })
}

impl Source {
    /// The images that are picked, in the order of the source. Where one of them can't be taken, none is.
    pub fn images(&self, pick: Pick<'_>) -> Result<Vec<SourceImage>, SourceError> {
        let picked = match pick {
            Pick::One(asked) => self.one(asked).map(|image| vec![image]),
            Pick::All => self.all().and_then(whole),
        };
        picked.map_err(|fault| fault.of(&self.shown))
    }

    /// Each image of the source, in its order, or why it can't be taken.
    pub fn each_image(&self) -> Result<Vec<Result<SourceImage, SourceError>>, SourceError> {
        let told = |refused: Refused| match refused.names.first() {
            Some(name) => refused.fault.of(&format!("{}: image `{name}`", self.shown)),
            None => refused.fault.of(&self.shown),
        };
        let found = self.all().map_err(|fault| fault.of(&self.shown))?;
        Ok(found.into_iter().map(|found| found.map_err(told)).collect())
    }

    fn one(&self, asked: Option<&str>) -> Result<SourceImage, SourceFault> {
        match self.form {
            Form::Oci => self.layout().one(asked),
            Form::Docker => self.docker().one(asked),
            Form::Both => pick_among(both(&self.layout(), &self.docker())?, asked),
        }
    }

    fn all(&self) -> Result<Vec<Found>, SourceFault> {
        match self.form {
            Form::Oci => self.layout().all(),
            Form::Docker => self.docker().all(),
            Form::Both => both(&self.layout(), &self.docker()),
        }
    }

    fn layout(&self) -> Layout<'_> {
        Layout { place: &self.place, base: self.base.as_deref(), wanted: &self.wanted }
    }

    fn docker(&self) -> DockerArchive<'_> {
        DockerArchive { place: &self.place, wanted: &self.wanted }
    }

    /// Reads a layer's stored blob from its start. Nothing is checked: whoever reads it hashes it.
    pub fn open_blob(&self, layer: &SourceLayer) -> Result<Box<dyn Read + Send>, SourceError> {
        self.place.open(&layer.located).map_err(|fault| fault.of(&self.shown))
    }

    /// The source as messages name it.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// Prefers the layout, which has manifests, where it resolves: Docker 25.0 wrote some that do not. What can not be read
/// is no answer, and never taken for a form that does not resolve.
fn both(layout: &Layout<'_>, docker: &DockerArchive<'_>) -> Result<Vec<Found>, SourceFault> {
    match (readable(layout.all())?, readable(docker.all())?) {
        (Ok(oci), Ok(saved)) => merge(oci, saved),
        (Ok(oci), Err(fault)) => {
            tracing::debug!("manifest.json does not resolve, index.json does: {fault}");
            Ok(oci)
        }
        (Err(fault), saved) => {
            tracing::debug!("index.json does not resolve, trying manifest.json: {fault}");
            saved
        }
    }
}

/// The same, unless something of it could not be read: then that is the answer.
fn readable(
    form: Result<Vec<Found>, SourceFault>,
) -> Result<Result<Vec<Found>, SourceFault>, SourceFault> {
    let found = match form {
        Err(fault) if fault.is_of_reading() => return Err(fault),
        Err(fault) => return Ok(Err(fault)),
        Ok(found) => found,
    };
    let mut read = Vec::new();
    for one in found {
        match one {
            Err(refused) if refused.fault.is_of_reading() => return Err(refused.fault),
            one => read.push(one),
        }
    }
    Ok(Ok(read))
}

fn named(
    path: &Path,
    opened: Result<(Place, Form), SourceFault>,
    wanted: Wanted,
) -> Result<Source, SourceError> {
    let shown = shown_bytes(path.as_os_str().as_bytes());
    let (place, form) = opened.map_err(|fault| fault.of(&shown))?;
    let base = base_of(path, &place).map_err(|fault| fault.of(&shown))?;
    Ok(Source { shown, form, place, base, wanted })
}

/// The name that bare tags are joined to: the user's for the directory or file, and where the words end in dots the
/// directory's own.
fn base_of(path: &Path, place: &Place) -> Result<Option<String>, SourceFault> {
    let text = |name: &OsStr| name.to_str().map(str::to_owned);
    match (place, path.file_name()) {
        (Place::Directory(_), Some(name)) => Ok(text(name)),
        (Place::Directory(dir), None) => {
            let path = dir::path_of(dir).map_err(SourceFault::OpenSource)?;
            Ok(path.file_name().and_then(text))
        }
        (Place::Archive { .. }, name) => {
            Ok(name.and_then(text).map(|name| without_suffixes(&name).to_owned()))
        }
    }
}

fn without_suffixes(name: &str) -> &str {
    let suffixes = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".oci.tar", ".oci"];
    let stems = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
    stems.min_by_key(|stem| stem.len()).unwrap_or(name)
}

fn directory(path: &Path) -> Result<(Place, Form), SourceFault> {
    let dir = dir::open_path(path).map_err(SourceFault::OpenSource)?;
    Ok((Place::Directory(dir), Form::Oci))
}

fn archive_at(
    path: &Path,
    spool_dir: BorrowedFd<'_>,
    expected: Expected,
) -> Result<(Place, Form), SourceFault> {
    let file = file::open_read_path(path).map_err(SourceFault::OpenSource)?;
    if regular_size(&file).map_err(SourceFault::OpenSource)?.is_none() {
        return Err(SourceFault::OpenIrregular);
    }
    let mut head = [0; PEEK_LEN];
    let len = file::read_at(&file, &mut head, 0).map_err(SourceFault::OpenSource)?;
    match Compression::of(&head[..len]).map_err(SourceFault::UnpackArchive)? {
        Compression::Plain => archive(file, expected),
        Compression::Gzip | Compression::Zstd => {
            archive(spool(FileReader::new(file), spool_dir)?, expected)
        }
    }
}

/// Scans an archive that is not packed and tells its form.
fn archive(file: OwnedFd, expected: Expected) -> Result<(Place, Form), SourceFault> {
    let file = Arc::new(file);
    let members = Members::scan(BufReader::with_capacity(4096, Cursor::new(&file)))?;
    let is_oci = members.holds("oci-layout") && members.holds("index.json");
    let is_docker = members.holds("manifest.json");
    let form = match (expected, is_oci, is_docker) {
        (Expected::Oci, _, _) | (Expected::Either, true, false) => Form::Oci,
        (Expected::Docker | Expected::Either, true, true) => Form::Both,
        (Expected::Docker, _, _) | (Expected::Either, false, true) => Form::Docker,
        (Expected::Either, false, false) => {
            let form = "an image archive";
            let cure = "; write one with `docker save`, `podman save` or `skopeo copy`";
            return Err(SourceFault::MissMember { form, member: "manifest.json", cure });
        }
    };
    Ok((Place::Archive { file, members }, form))
}
