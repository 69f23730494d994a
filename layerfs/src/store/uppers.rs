//! Where uppers of the users' own lie that were mounted over an image: who removes the image can look whether one needs it.
//!
//! 1. A record says where to look, and nothing of what is found there: the upper itself says over which layers it was made,
//!    and only it knows whether data of its files lies in them.
//! 2. It is written before the mount can be changed, once, and named by the digest of its bytes, which proves it.
//! 3. It is forgotten when its upper is not there any more, by a collection that is asked for. Nobody makes one meanwhile:
//!    remembering takes presence, forgetting solitude.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::error::{During, StoreError};
use super::root::Store;
use super::{record, strangers};
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, SysError, dir};

/// The directory of the records, which stores of earlier versions do not have.
const ROOM: &str = "uppers";

/// The form that this build writes, and the latest it knows.
const VERSION: u32 = 1;

/// An upper that a mount of an image had, as it was said to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnUpper {
    /// The upper, absolute and without links.
    pub upper: PathBuf,
    /// Its work directory.
    pub work: PathBuf,
}

impl OwnUpper {
    /// Whether it does not lie there any more: it was removed or moved, or its disk is not mounted.
    pub fn is_absent(&self) -> bool {
        let gone = |error: SysError| [Errno::NOENT, Errno::NOTDIR].contains(&error.errno());
        dir::open_path(self.upper.as_path()).is_err_and(gone)
    }

    /// The words of its record, each ended by a NUL: no path holds one.
    fn encode(&self, chain: &Digest) -> Vec<u8> {
        let (version, chain) = (VERSION.to_string(), chain.hex());
        let paths = [&self.upper, &self.work].map(|path| path.as_os_str().as_bytes());
        let words = [version.as_bytes(), chain.as_bytes(), paths[0], paths[1]];
        words.iter().flat_map(|word| word.iter().copied().chain([0])).collect()
    }
}

/// Reads a record that is called `name`.
fn decode(name: &str, bytes: &[u8]) -> Result<(Digest, OwnUpper), StoreError> {
    let what = || format!("{ROOM}/{name}");
    let damaged = |reason: &str| StoreError::Damaged { what: what(), reason: reason.to_owned() };
    if Digest::of(bytes).hex() != name {
        return Err(damaged("its digest is another"));
    }
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    // What is no text is neither a number nor a chain id.
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let Ok(version) = text(words[0]).parse() else {
        return Err(damaged("it does not begin with a version"));
    };
    record::check_version(what, version, VERSION)?;
    let [_, chain, upper, work, b""] = words[..] else {
        return Err(damaged("it has not four words"));
    };
    let chain = Digest::from_hex(&text(chain));
    let chain = chain.ok_or_else(|| damaged("it names no chain id"))?;
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    Ok((chain, OwnUpper { upper: path(upper), work: path(work) }))
}

impl Store {
    /// Remembers an upper that is about to be mounted over the layers of that chain id.
    pub fn remember_upper(
        &self,
        chain: &Digest,
        (upper, work): (&Path, &Path),
    ) -> Result<(), StoreError> {
        let deed = || format!("remember the upper directory `{}`", upper.display());
        let bytes = OwnUpper { upper: upper.into(), work: work.into() }.encode(chain);
        let name = Digest::of(&bytes).hex();
        let _presence = self.presence()?;
        let room = match self.open_uppers()? {
            Some(room) => room,
            None => {
                dir::make_if_absent(self.root(), ROOM, 0o700).during(deed)?;
                file::sync(self.root()).during(deed)?;
                dir::open(self.root(), ROOM, Symlinks::Stop).during(deed)?
            }
        };
        match file::stat_at(&room, name.as_str(), Symlinks::Stop) {
            Err(error) if error.is_absent() => record::replace(&room, &name, &bytes).during(deed),
            stat => stat.map(drop).during(deed),
        }
    }

    /// The uppers that were mounted over the layers of that chain id, as far as it is known; they may be gone, or others by
    /// now.
    pub fn uppers_over(&self, chain: &Digest) -> Result<Vec<OwnUpper>, StoreError> {
        let Some(room) = self.open_uppers()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (_, read) in all(&room)? {
            let (over, upper) = read?;
            found.extend((over == *chain).then_some(upper));
        }
        found.sort_by(|one, other| one.upper.cmp(&other.upper));
        Ok(found)
    }

    /// Forgets uppers that are not there any more.
    pub fn forget_absent_uppers(&self) -> Result<(), StoreError> {
        let Some(room) = self.open_uppers()? else { return Ok(()) };
        // Whoever has the disks of users answer late makes nobody else wait.
        let is_absent = |read: &Result<(Digest, OwnUpper), StoreError>| {
            read.as_ref().is_ok_and(|(_, upper)| upper.is_absent())
        };
        let absent: Vec<_> = all(&room)?.into_iter().filter(|(_, read)| is_absent(read)).collect();
        if absent.is_empty() {
            return Ok(());
        }
        let _solitude = self.solitude()?;
        for (name, _) in absent.iter().filter(|(_, read)| is_absent(read)) {
            dir::unlink(&room, name.as_str()).during(|| "forget an upper directory".into())?;
        }
        Ok(())
    }

    /// The directory of the records; `None` where there is none yet.
    pub(super) fn open_uppers(&self) -> Result<Option<OwnedFd>, StoreError> {
        match dir::open(self.root(), ROOM, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(None),
            opened => opened.map(Some).during(|| "open the records of upper directories".into()),
        }
    }
}

/// What each record says, by its file's name.
type Read = (String, Result<(Digest, OwnUpper), StoreError>);

fn all(room: &OwnedFd) -> Result<Vec<Read>, StoreError> {
    let mut found = Vec::new();
    for digest in strangers::files(room)?.digests {
        let name = digest.hex();
        let read = match record::read(room, &name) {
            Err(error) if error.is_absent() => continue,
            read => read.during(|| format!("{ROOM}/{name}")),
        };
        let read = read.and_then(|bytes| decode(&name, &bytes));
        found.push((name, read));
    }
    Ok(found)
}

/// The records that say nothing to this build, and why.
pub(super) fn unread(room: &OwnedFd) -> Result<Vec<(String, StoreError)>, StoreError> {
    let all = all(room)?.into_iter();
    Ok(all.filter_map(|(name, read)| read.err().map(|why| (name, why))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_no_changed_byte_of_it_is() {
        let odd = OsString::from_vec(b"/up \xff\n".to_vec());
        let upper = OwnUpper { upper: odd.into(), work: "/work".into() };
        let chain = Digest::of(b"chain");
        let bytes = upper.encode(&chain);
        let name = Digest::of(&bytes).hex();
        assert_eq!(decode(&name, &bytes).unwrap(), (chain, upper));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&name, &changed).is_err(), "byte {at}");
        }
        let named = |bytes: &[u8]| decode(&Digest::of(bytes).hex(), bytes).unwrap_err();
        let newer = [b"2", &bytes[1..]].concat();
        assert!(matches!(named(&newer), StoreError::NewerRecord { found: 2, .. }));
        for bytes in [&b""[..], b"1\0", &bytes[..bytes.len() - 1], &[&bytes[..], b"x\0"].concat()] {
            let error = named(bytes);
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}
