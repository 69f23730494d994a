//! Owns what is alike in a user's words for where images come from and where they go: `oci:DIR[:TAG]`,
//! `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::{Errno, file};

/// The words that are known, as messages name them.
pub(in crate::store) const KNOWN: &str =
    "oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]";

/// The form of what stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Transport {
    OciDir,
    OciArchive,
    DockerArchive,
}

/// Which colon begins the tag where no path says it, since nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Colon {
    /// Of a target: a reference as tag holds more of them.
    First,
    /// Of a source: the error then names the path that the user most likely meant.
    Last,
}

impl Transport {
    /// The form that words begin with, and the rest of them; `None` for any other word.
    pub(in crate::store) fn split(words: &[u8]) -> Option<(Transport, &[u8])> {
        let colon = words.iter().position(|byte| *byte == b':')?;
        let transport = match &words[..colon] {
            b"oci" => Transport::OciDir,
            b"oci-archive" => Transport::OciArchive,
            b"docker-archive" => Transport::DockerArchive,
            _ => return None,
        };
        Some((transport, &words[colon + 1..]))
    }
}

/// Parts `PATH[:TAG]`: the longest path that is there is taken.
pub(in crate::store) fn split_path(
    rest: &[u8],
    is_there: impl Fn(&[u8]) -> bool,
    otherwise: Colon,
) -> Result<(PathBuf, Option<String>), String> {
    let whole = (rest, None);
    let colons = rest.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let cuts: Vec<_> = colons.rev().map(|at| (&rest[..at], Some(&rest[at + 1..]))).collect();
    let found = std::iter::once(&whole).chain(&cuts).find(|(path, _)| is_there(path));
    let absent = match otherwise {
        Colon::First => cuts.last(),
        Colon::Last => cuts.first(),
    };
    let (path, tag) = found.or(absent).copied().unwrap_or(whole);
    if path.is_empty() {
        return Err(format!("the path is empty; name {KNOWN}"));
    }
    let tag = match tag.map(std::str::from_utf8) {
        Some(Ok("")) => return Err("the tag after the path is empty".into()),
        Some(Err(_)) => return Err("the tag is not UTF-8".into()),
        Some(Ok(tag)) => Some(tag.to_owned()),
        None => None,
    };
    Ok((PathBuf::from(OsStr::from_bytes(path)), tag))
}

/// Whether a path leads to something. What can not be looked at counts as there: opening it will say why.
pub(in crate::store) fn is_there(path: &[u8]) -> bool {
    match file::stat_path(Path::new(OsStr::from_bytes(path))) {
        Ok(_) => true,
        Err(error) => ![Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG].contains(&error.errno()),
    }
}
