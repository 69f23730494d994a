//! Archives that can not be read by position: unpacked into a file without a name.

use std::io::{self, Read};

use crate::store::archive::{HEAD_LEN, begins_archive};
use crate::sys::{BorrowedFd, Errno, OwnedFd, SysError, dir, file, host};

use super::compression::{Compression, PEEK_LEN};
use super::error::SourceFault;
use super::frames::Frames;

const CHUNK_LEN: usize = 128 * 1024;
const NAME_TRIES: usize = 16;

/// Copies a stream, unpacked where it is packed, into a file that goes when its descriptor closes.
pub(super) fn spool(
    mut reader: impl Read,
    directory: BorrowedFd<'_>,
) -> Result<OwnedFd, SourceFault> {
    let mut head = Vec::with_capacity(PEEK_LEN);
    let peeked = reader.by_ref().take(PEEK_LEN as u64).read_to_end(&mut head);
    peeked.map_err(SourceFault::ReadStream)?;
    let compression = Compression::of(&head).map_err(SourceFault::UnpackArchive)?;
    let stream = io::BufReader::with_capacity(CHUNK_LEN, io::Cursor::new(head).chain(reader));
    let file = unnamed(directory).map_err(SourceFault::WriteSpool)?;
    match compression {
        Compression::Plain => fill(&file, stream)?,
        Compression::Gzip => fill(&file, flate2::bufread::MultiGzDecoder::new(stream))?,
        Compression::Zstd => {
            fill(&file, Frames::new(stream, |_| {}).map_err(SourceFault::ReadStream)?)?;
        }
    }
    Ok(file)
}

/// Writes a stream to an empty file. Of one that does not begin as an archive only the beginning is written, which says
/// what is wrong: a small packed file may be a very large stream. Zeros are left out, and read as zeros.
fn fill(file: &OwnedFd, mut stream: impl Read) -> Result<(), SourceFault> {
    let mut head = Vec::with_capacity(HEAD_LEN);
    let begun = stream.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head);
    begun.map_err(SourceFault::ReadStream)?;
    file::write_all_at(file, &head, 0).map_err(SourceFault::WriteSpool)?;
    if !begins_archive(&head) {
        return Ok(());
    }
    let mut offset = head.len() as u64;
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let len = match stream.read(&mut chunk) {
            Ok(0) => return file::truncate(file, offset).map_err(SourceFault::WriteSpool),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SourceFault::ReadStream(error)),
        };
        if chunk[..len].iter().any(|byte| *byte != 0) {
            let written = file::write_all_at(file, &chunk[..len], offset);
            written.map_err(SourceFault::WriteSpool)?;
        }
        offset += len as u64;
    }
}

/// A file without a name. Some file systems have no such files; there a name is made and removed at once.
pub(in crate::store) fn unnamed(directory: BorrowedFd<'_>) -> Result<OwnedFd, SysError> {
    match file::create_unnamed(directory) {
        Err(error) if file::has_no_unnamed(&error) => named(directory)?.ok_or(error),
        other => other,
    }
}

/// A file whose name was made and removed; `None` where all names that were tried are taken.
fn named(directory: BorrowedFd<'_>) -> Result<Option<OwnedFd>, SysError> {
    for _ in 0..NAME_TRIES {
        let name = format!("spool-{}-{:016x}", host::process_id(), host::random_u64()?);
        match file::create_new(directory, name.as_str(), 0o600) {
            Ok(made) => {
                return match dir::unlink(directory, name.as_str()) {
                    // A sweep of the directory was faster.
                    Err(error) if !error.is_absent() => Err(error),
                    _ => Ok(Some(made)),
                };
            }
            Err(error) if error.errno() == Errno::EXIST => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sys::AsFd;

    /// An import that begins sweeps the directory, and takes a file with a name for one that was left there.
    #[test]
    fn a_spool_that_a_sweep_unlinked_first_is_as_good() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = dir::open_path(scratch.path()).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for entry in dir::list(&directory).unwrap() {
                        if let Err(error) = dir::unlink(&directory, &*entry.name) {
                            assert!(error.is_absent(), "{error}");
                        }
                    }
                }
            });
            let made = (0..5000).try_for_each(|_| {
                let file = named(directory.as_fd())?.unwrap();
                file::write_all(&file, b"x")
            });
            is_over.store(true, Ordering::Relaxed);
            made.unwrap();
        });
        assert!(dir::list(&directory).unwrap().is_empty());
    }
}
