//! Files as a tar archive, and back: what goes between the host and a container.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use layerfs_driver::sys::change::{self, Access, SetTime};
use layerfs_driver::sys::file::{self, FileType, Symlinks};
use layerfs_driver::sys::{Errno, dir};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory, or a link to one.
    Directory,
    /// Something else.
    Other,
    /// Nothing, in a directory that is there.
    Absent,
    /// Nothing, nor what it would lie in.
    Nowhere,
}

/// Who owns what is taken out of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Who takes it out.
    Copier,
    /// Whom the archive says.
    AsTheyAre,
}

const WORDS: [(Kind, &str); 4] = [
    (Kind::Directory, "directory"),
    (Kind::Other, "other"),
    (Kind::Absent, "absent"),
    (Kind::Nowhere, "nowhere"),
];

impl Kind {
    /// Its word, which [`Kind::named`] reads.
    pub fn word(self) -> &'static str {
        WORDS.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind of that word.
    pub fn named(word: &str) -> Option<Kind> {
        WORDS.into_iter().find(|(_, known)| *known == word).map(|(kind, _)| kind)
    }
}

/// What stands there. A link is looked through where it is followed, and where it leads to a directory that is copied into.
pub fn kind(path: &Path, follow: bool) -> Result<Kind> {
    let links = if follow { Symlinks::Follow } else { Symlinks::Stop };
    let here = dir::open_path("/")?;
    match file::stat_at(&here, path, links) {
        Ok(stat) if file::type_of(&stat) == FileType::Directory => Ok(Kind::Directory),
        Ok(_) => Ok(Kind::Other),
        Err(error) if [Errno::NOENT, Errno::NOTDIR].contains(&error.errno()) => {
            let parent = path.parent().unwrap_or(path);
            Ok(if dir::open_path(parent).is_ok() { Kind::Absent } else { Kind::Nowhere })
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes an archive of what stands at `path`, which is called `name` in it.
pub fn write(path: &Path, name: &Path, follow: bool, to: impl Write) -> Result<()> {
    let mut builder = tar::Builder::new(to);
    builder.follow_symlinks(follow && kind(path, false)? != Kind::Directory);
    match kind(path, follow)? {
        Kind::Directory => {
            builder.follow_symlinks(false);
            builder.append_dir_all(name, path)?;
        }
        Kind::Other => builder.append_path_with_name(path, name)?,
        Kind::Absent | Kind::Nowhere => anyhow::bail!("there is nothing"),
    }
    builder.into_inner()?.flush()?;
    Ok(())
}

/// Takes all of an archive out into a directory. No name of it leads out of there.
pub fn read(directory: &Path, owners: Owners, from: impl Read) -> Result<()> {
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners == Owners::AsTheyAre);
    archive.set_unpack_xattrs(false);
    let mut times = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let shown = || format!("take `{}` out", path.display());
        let taken = entry.unpack_in(directory).with_context(shown)?;
        if !taken {
            anyhow::bail!("`{}` would lie outside of the directory", path.display());
        }
        let mode = entry.header().mode()?;
        if entry.header().entry_type().is_file() && mode & 0o7000 != 0 {
            // A change of owner has taken them away.
            let at = change::open_file(dir::open_path(directory)?, path.as_path(), Access::Read);
            at.and_then(|file| file::chmod(file, mode & 0o7777)).with_context(shown)?;
        }
        if entry.header().entry_type().is_dir() {
            times.push((path, entry.header().mtime()?));
        }
    }
    // What was put into a directory has changed its time.
    for (path, mtime) in times.into_iter().rev() {
        archive_time(&directory.join(path), mtime)?;
    }
    Ok(())
}

fn archive_time(path: &Path, mtime: u64) -> Result<()> {
    let Ok(place) = dir::open_path(path) else { return Ok(()) };
    Ok(change::set_times(place, SetTime::Keep, SetTime::At(i64::try_from(mtime)?, 0))?)
}
