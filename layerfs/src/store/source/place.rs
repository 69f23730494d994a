//! Where the files of a source lie: in a directory or in an archive.

use std::io::{self, Read};
use std::sync::Arc;

use crate::store::digest::Digest;
use crate::sys::file::{self, FileType, Symlinks};
use crate::sys::stream::{FileReader, WindowReader};
use crate::sys::{OwnedFd, SysError};

use super::compression::PEEK_LEN;
use super::error::SourceFault;
use super::member::Members;

/// Bytes of a manifest, an index or a config.
pub(super) const DOCUMENT_LEN_MAX: u64 = 4 << 20;

/// The files of a source.
pub(super) enum Place {
    /// A directory. Links in it are followed: builders link blobs of other directories, and digests say what is right.
    Directory(OwnedFd),
    /// A tar file that is not packed.
    Archive {
        /// The file.
        file: Arc<OwnedFd>,
        /// What is in it.
        members: Members,
    },
}

/// A file that was found in a source.
#[derive(Clone, Debug)]
pub(super) struct Located {
    at: At,
    /// Its size when it was found.
    pub(super) size_bytes: u64,
}

#[derive(Clone, Debug)]
enum At {
    Name(Box<str>),
    Offset(u64),
}

impl Place {
    /// Finds a file; `None` where there is none of that name.
    pub(super) fn locate(&self, name: &str) -> Result<Option<Located>, SourceFault> {
        match self {
            Place::Directory(dir) => {
                let found = open_regular(dir, name).map_err(|source| read_member(name, source))?;
                Ok(found.map(|(_, size_bytes)| Located { at: At::Name(name.into()), size_bytes }))
            }
            Place::Archive { members, .. } => {
                let window = members.find(name.as_bytes())?;
                Ok(window
                    .map(|(offset, size_bytes)| Located { at: At::Offset(offset), size_bytes }))
            }
        }
    }

    /// Reads a file from its start.
    pub(super) fn open(&self, located: &Located) -> Result<Box<dyn Read + Send>, SourceFault> {
        match (self, &located.at) {
            (Place::Directory(dir), At::Name(name)) => {
                let gone = || io::Error::from(io::ErrorKind::NotFound);
                let found = open_regular(dir, name).and_then(|found| found.ok_or_else(gone));
                let (file, _) = found.map_err(|source| read_member(name, source))?;
                Ok(Box::new(FileReader::new(file)))
            }
            (Place::Archive { file, .. }, At::Offset(offset)) => {
                Ok(Box::new(WindowReader::new(Arc::clone(file), *offset, located.size_bytes)))
            }
            (_, at) => Err(read_member(&format!("{at:?}"), io::ErrorKind::InvalidInput.into())),
        }
    }

    /// The bytes of a document, refused by its size before it is read.
    pub(super) fn read(&self, what: &str, located: &Located) -> Result<Vec<u8>, SourceFault> {
        let too_long = |size| SourceFault::CheckLength { what: what.to_owned(), size };
        if located.size_bytes > DOCUMENT_LEN_MAX {
            return Err(too_long(located.size_bytes));
        }
        let mut bytes = Vec::new();
        let mut reader = self.open(located)?.take(DOCUMENT_LEN_MAX + 1);
        let len = reader.read_to_end(&mut bytes).map_err(|source| read_member(what, source))?;
        if len as u64 > DOCUMENT_LEN_MAX { Err(too_long(len as u64)) } else { Ok(bytes) }
    }

    /// The bytes of the document of that name; `None` where there is none.
    pub(super) fn read_named(&self, name: &str) -> Result<Option<Vec<u8>>, SourceFault> {
        match self.locate(name)? {
            Some(located) => self.read(name, &located).map(Some),
            None => Ok(None),
        }
    }

    /// The first bytes of a file: enough to tell how it is packed.
    pub(super) fn peek(&self, what: &str, located: &Located) -> Result<Vec<u8>, SourceFault> {
        let mut head = Vec::with_capacity(PEEK_LEN);
        let mut reader = self.open(located)?.take(PEEK_LEN as u64);
        reader.read_to_end(&mut head).map_err(|source| read_member(what, source))?;
        Ok(head)
    }
}

/// The name of a blob in an OCI layout.
pub(super) fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Opens a regular file and tells its size; `None` where there is none.
fn open_regular(dir: &OwnedFd, name: &str) -> io::Result<Option<(OwnedFd, u64)>> {
    let opened = match file::open_read(dir, name, Symlinks::Follow) {
        Err(error) if error.is_absent() => return Ok(None),
        other => other?,
    };
    match regular_size(&opened)? {
        Some(size) => Ok(Some((opened, size))),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// The size of a regular file; `None` for anything else.
pub(super) fn regular_size(opened: &OwnedFd) -> Result<Option<u64>, SysError> {
    let stat = file::stat(opened)?;
    Ok((file::type_of(&stat) == FileType::RegularFile)
        .then(|| u64::try_from(stat.st_size).unwrap_or(0)))
}

fn read_member(name: &str, source: io::Error) -> SourceFault {
    SourceFault::ReadMember { member: name.to_owned(), source }
}
