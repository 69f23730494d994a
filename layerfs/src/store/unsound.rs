//! Telling damage, which a repair may act on, from a look that failed, after which nothing is known.

use std::os::fd::OwnedFd;

use super::digest::{Digest, Hasher};
use super::error::StoreError;
use super::frame::FrameError;
use super::index::IndexError;
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, SysError};

/// Why a file of the store was not found sound.
#[derive(Debug)]
pub(super) enum Unsound {
    /// It is not what it should be.
    Damaged(String),
    /// This process could not look: it has no descriptor or memory left, no right, or is too old.
    Unread(StoreError),
}

/// Parts what is known of the file from what ends the check.
pub(super) fn settle<T>(look: Result<T, Unsound>) -> Result<Result<T, String>, StoreError> {
    match look {
        Ok(sound) => Ok(Ok(sound)),
        Err(Unsound::Damaged(reason)) => Ok(Err(reason)),
        Err(Unsound::Unread(error)) => Err(error),
    }
}

/// Reads an object to its end: its size where its digest is what its name says, else what is wrong.
pub(super) fn object_state(room: &OwnedFd, digest: &Digest) -> Result<u64, Unsound> {
    let fd = file::open_read(room, digest.hex().as_str(), Symlinks::Stop)?;
    file::advise_sequential(&fd)?;
    let mut hasher = Hasher::new();
    let mut buf = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let len = file::read(&fd, &mut buf)?;
        if len == 0 {
            break;
        }
        hasher.update(&buf[..len]);
        size += len as u64;
    }
    let found = hasher.finish();
    if found == *digest {
        Ok(size)
    } else {
        Err(Unsound::Damaged(format!("its digest is {}", found.hex())))
    }
}

/// Whether an error tells of the file that was read, and not of this process or of the machine.
pub(super) fn tells_of_the_file(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged { .. } | StoreError::NewerRecord { .. } => true,
        StoreError::Call { source, .. } => speaks_of_the_file(source),
        _ => false,
    }
}

/// The answers that speak of the file. Any other speaks of this process or of the machine.
fn speaks_of_the_file(error: &SysError) -> bool {
    const ANSWERS: [Errno; 8] = [
        Errno::NOENT,
        Errno::IO,
        Errno::UCLEAN,
        Errno::BADMSG,
        Errno::LOOP,
        Errno::ISDIR,
        Errno::NOTDIR,
        Errno::FBIG,
    ];
    ANSWERS.contains(&error.errno())
}

impl From<SysError> for Unsound {
    fn from(source: SysError) -> Self {
        if speaks_of_the_file(&source) {
            return Unsound::Damaged(source.to_string());
        }
        Unsound::Unread(StoreError::Call { deed: "check the store".into(), source })
    }
}

impl From<FrameError> for Unsound {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Call(source) => source.into(),
            // What a newer layerfs wrote is no damage.
            FrameError::Version { .. } => {
                Unsound::Unread(StoreError::Frame { layer: "being checked".into(), source: error })
            }
            FrameError::Damaged(_) => Unsound::Damaged(error.to_string()),
        }
    }
}

impl From<IndexError> for Unsound {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Call(source) if !speaks_of_the_file(&source) => source.into(),
            // What a newer layerfs wrote is no damage.
            IndexError::Version { .. } => {
                Unsound::Unread(StoreError::Index { what: "check the store".into(), source: error })
            }
            IndexError::Call(_)
            | IndexError::Magic
            | IndexError::Damaged(_)
            | IndexError::TooLarge(_)
            | IndexError::TooManyFiles
            | IndexError::TooMuchText => Unsound::Damaged(error.to_string()),
        }
    }
}

impl From<StoreError> for Unsound {
    fn from(error: StoreError) -> Self {
        let reason = match &error {
            // Without the advice to ask fsck.
            StoreError::Damaged { what, reason } => format!("{what}: {reason}"),
            other => other.to_string(),
        };
        let found = match error {
            newer @ StoreError::NewerRecord { .. } => Unsound::Unread(newer),
            StoreError::Root { source, .. }
            | StoreError::NoLocks { source, .. }
            | StoreError::Call { source, .. } => source.into(),
            StoreError::Index { source, .. } => source.into(),
            _ => Unsound::Damaged(String::new()),
        };
        match found {
            Unsound::Damaged(_) => Unsound::Damaged(reason),
            unread @ Unsound::Unread(_) => unread,
        }
    }
}
