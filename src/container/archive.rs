//! Files as a tar archive, and back: what goes between the host and a container.
//!
//! Either side may be anybody's, and change while it is read.
//! 1. What is written is walked by open directories, no link is followed but one that was named, and of a file goes exactly what
//!    its header says: one that grows meanwhile can't put more entries into the archive.
//! 2. What is read is taken out by open directories, too. A name that leads up, or through a link, or that is another than the one
//!    that was asked for, is refused; a file is its maker's alone until all of it is there.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::change::{self, Access, SetTime, Special};
use layerfs_driver::sys::file::{self, FileType, Stat, Symlinks};
use layerfs_driver::sys::stream::{FileReader, FileWriter};
use layerfs_driver::sys::{Errno, SysError, dir};
use tar::{EntryType, Header};

use crate::output::message;

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
    /// Who takes it out; set-id bits go, which were another's.
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

/// What stands there. A link is looked through where it is followed.
pub fn kind(path: &Path, follow: bool) -> Result<Kind> {
    let links = if follow { Symlinks::Follow } else { Symlinks::Stop };
    let here = dir::open_path("/")?;
    match file::stat_at(&here, path, links) {
        Ok(stat) if file::type_of(&stat) == FileType::Directory => Ok(Kind::Directory),
        Ok(_) => Ok(Kind::Other),
        Err(error) if is_none(&error) => match dir::open_path(path.parent().unwrap_or(path)) {
            Ok(_) => Ok(Kind::Absent),
            Err(error) if is_none(&error) => Ok(Kind::Nowhere),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn is_none(error: &SysError) -> bool {
    [Errno::NOENT, Errno::NOTDIR].contains(&error.errno())
}

/// Writes an archive of what stands at `path`, which is called `name` in it.
pub fn write(path: &Path, name: &Path, follow: bool, to: impl Write) -> Result<()> {
    let mut builder = tar::Builder::new(to);
    if kind(path, follow)? == Kind::Directory {
        let top = dir::open_path(path)?;
        let stat = file::stat(&top)?;
        directory(&mut builder, name, &stat)?;
        tree(&mut builder, top, name)?;
    } else {
        let (Some(parent), Some(own)) = (path.parent(), path.file_name()) else {
            bail!("`{}` has no name", path.display());
        };
        if follow {
            regular(&mut builder, file::open_read_path(path)?, name)?;
        } else {
            one(&mut builder, dir::open_path(parent)?, own.as_bytes(), name)?;
        }
    }
    builder.into_inner()?.flush()?;
    Ok(())
}

/// All below a directory. As many directories are open as it is deep.
fn tree(builder: &mut tar::Builder<impl Write>, top: OwnedFd, name: &Path) -> Result<()> {
    let left = dir::list(&top)?;
    let mut levels = vec![(top, name.to_owned(), left)];
    while let Some((from, path, left)) = levels.last_mut() {
        let Some(entry) = left.pop() else {
            levels.pop();
            continue;
        };
        let below = path.join(OsStr::from_bytes(&entry.name));
        let stat = match file::stat_at(&*from, &*entry.name, Symlinks::Stop) {
            Err(error) if error.is_absent() => continue,
            stat => stat?,
        };
        if file::type_of(&stat) == FileType::Directory {
            let inner = dir::open(&*from, &*entry.name, Symlinks::Stop)?;
            directory(builder, &below, &file::stat(&inner)?)?;
            let left = dir::list(&inner)?;
            levels.push((inner, below, left));
        } else {
            one(builder, from, &entry.name, &below)?;
        }
    }
    Ok(())
}

fn header(kind: EntryType, stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

fn directory(builder: &mut tar::Builder<impl Write>, name: &Path, stat: &Stat) -> Result<()> {
    Ok(builder.append_data(&mut header(EntryType::Directory, stat), name, io::empty())?)
}

/// An open file: what stands at its name may be another by now.
fn regular(builder: &mut tar::Builder<impl Write>, opened: OwnedFd, name: &Path) -> Result<()> {
    let stat = file::stat(&opened)?;
    if file::type_of(&stat) != FileType::RegularFile {
        bail!("`{}` is no regular file", name.display());
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut header = header(EntryType::Regular, &stat);
    header.set_size(size);
    // No more than was said, and no less.
    let bytes = FileReader::new(opened).chain(io::repeat(0)).take(size);
    Ok(builder.append_data(&mut header, name, bytes)?)
}

/// What is no directory.
fn one(
    builder: &mut tar::Builder<impl Write>,
    from: impl AsFd,
    own: &[u8],
    name: &Path,
) -> Result<()> {
    let stat = file::stat_at(&from, own, Symlinks::Stop)?;
    match file::type_of(&stat) {
        FileType::RegularFile => {
            regular(builder, change::open_file(&from, own, Access::Read)?, name)?;
        }
        FileType::Symlink => {
            let target = dir::read_link(&from, own)?;
            let target = Path::new(OsStr::from_bytes(&target));
            builder.append_link(&mut header(EntryType::Symlink, &stat), name, target)?;
        }
        FileType::Fifo => {
            builder.append_data(&mut header(EntryType::Fifo, &stat), name, io::empty())?;
        }
        _ => message::say(format_args!(
            "`{}` is left out: sockets and devices are not copied",
            name.display()
        )),
    }
    Ok(())
}

/// Takes all of an archive out into a directory: what is called `only` and what is below that, where that is said.
pub fn read(directory: &Path, only: Option<&Path>, owners: Owners, from: impl Read) -> Result<()> {
    let top = dir::open_path(directory)?;
    let mut archive = tar::Archive::new(from);
    let mut times = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = names(&entry.path()?)?;
        if let Some(only) = only.filter(|only| *only != Path::new("."))
            && !path.starts_with(only)
        {
            bail!("`{}` stands in the archive, and is not what was asked for", path.display());
        }
        let shown = || format!("take `{}` out", path.display());
        take(&top, &path, owners, &mut entry).with_context(shown)?;
        if entry.header().entry_type().is_dir() {
            times.push((path, entry.header().mtime()?));
        }
    }
    // What was put into a directory has changed its time.
    for (path, mtime) in times.into_iter().rev() {
        let place = go(&top, &path)?;
        change::set_times(place, SetTime::Keep, SetTime::At(i64::try_from(mtime)?, 0))?;
    }
    Ok(())
}

/// A path of names alone, below the directory: a root or dots before it say nothing.
fn names(path: &Path) -> Result<PathBuf> {
    let mut names = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                bail!("`{}` would lie outside of the directory", path.display())
            }
        }
    }
    Ok(names)
}

/// The directory at a path of names, reached by no link.
fn go(top: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    let mut here = dir::open(top, ".", Symlinks::Stop)?;
    for name in path.iter() {
        here = dir::open(&here, name.as_bytes(), Symlinks::Stop)?;
    }
    Ok(here)
}

fn take<R: Read>(
    top: &OwnedFd,
    path: &Path,
    owners: Owners,
    entry: &mut tar::Entry<'_, R>,
) -> Result<()> {
    let kind = entry.header().entry_type();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        // The directory itself.
        return Ok(());
    };
    let (parent, name) = (go(top, parent)?, name.as_bytes());
    let of_mode = if owners == Owners::AsTheyAre { 0o7777 } else { 0o1777 };
    let mode = entry.header().mode()? & of_mode;
    let mtime = SetTime::At(i64::try_from(entry.header().mtime()?)?, 0);
    if !kind.is_dir() {
        match dir::unlink(&parent, name) {
            Err(error) if !error.is_absent() => return Err(error.into()),
            _ => {}
        }
    }
    let ids = (entry.header().uid()?, entry.header().gid()?);
    // Of what was made, for who owns the directory may put something else at its name.
    let own = |made: &OwnedFd| -> Result<()> {
        if owners == Owners::AsTheyAre {
            let (uid, gid) = (u32::try_from(ids.0)?, u32::try_from(ids.1)?);
            change::chown_held(made, Some(uid), Some(gid))?;
        }
        Ok(())
    };
    let made = |kind| held((&parent, name), kind);
    match kind {
        EntryType::Directory => {
            dir::make_if_absent(&parent, name, 0o700)?;
            let dir = dir::open(&parent, name, Symlinks::Stop)?;
            own(&dir)?;
            file::chmod(dir, mode)?;
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().context("a link leads nowhere")?;
            change::make_symlink(&target, &parent, name)?;
            own(&made(FileType::Symlink)?)?;
        }
        EntryType::Link => {
            let target = names(&entry.link_name()?.context("a link leads nowhere")?)?;
            let (Some(at), Some(old)) = (target.parent(), target.file_name()) else {
                bail!("a link leads to a directory");
            };
            change::link(go(top, at)?, old.as_bytes(), &parent, name)?;
        }
        EntryType::Fifo => {
            change::make_special(&parent, name, Special::Fifo, 0o600)?;
            let fifo = made(FileType::Fifo)?;
            own(&fifo)?;
            change::chmod_held(fifo, mode)?;
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut to = FileWriter::new(file::create_new(&parent, name, 0o600)?);
            io::copy(entry, &mut to)?;
            own(to.as_owned())?;
            file::chmod(to.as_owned(), mode)?;
            change::set_times(to.as_owned(), SetTime::Keep, mtime)?;
        }
        _ => bail!("it is a device, or of no known kind: leave it out"),
    }
    Ok(())
}

/// What stands under a name, which was made there as of that kind.
fn held((parent, name): (&OwnedFd, &[u8]), kind: FileType) -> Result<OwnedFd> {
    let held = file::hold(parent, name)?;
    match file::type_of(&file::stat(&held)?) == kind {
        true => Ok(held),
        false => bail!("something else was put there meanwhile"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn forged(entries: &[(&str, EntryType, u32, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, mode, link) in entries {
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1);
            header.set_size(0);
            if !link.is_empty() {
                header.set_link_name(link).unwrap();
            }
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_comes_out_of_an_archive_stays_in_its_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let canary = scratch.path().join("canary");
        std::fs::write(&canary, b"").unwrap();
        std::fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o600)).unwrap();
        let into = scratch.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let file = EntryType::Regular;
        let path = canary.to_str().unwrap().to_owned();
        let up = [("../canary", file, 0o6777, "")];
        let through = [
            ("link", EntryType::Symlink, 0o777, scratch.path().to_str().unwrap()),
            ("link/canary", file, 0o6777, ""),
        ];
        let hard = [("hard", EntryType::Link, 0o6777, "../canary")];
        let device = [("device", EntryType::Char, 0o666, "")];
        for entries in [&up[..], &through, &hard, &device] {
            assert!(
                read(&into, None, Owners::AsTheyAre, &*forged(entries)).is_err(),
                "{entries:?}"
            );
        }
        // A root before a name says nothing.
        read(&into, None, Owners::AsTheyAre, &*forged(&[(&path, file, 0o6777, "")])).unwrap_err();
        read(&into, None, Owners::Copier, &*forged(&[("/own", file, 0o6755, "")])).unwrap();
        let own = std::fs::metadata(into.join("own")).unwrap();
        assert_eq!(own.mode() & 0o7777, 0o755, "set-id bits go with their owner");
        let other = forged(&[("asked", file, 0o644, ""), (".bashrc", file, 0o644, "")]);
        let told = read(&into, Some(Path::new("asked")), Owners::Copier, &*other).unwrap_err();
        assert!(told.to_string().contains("not what was asked for"), "{told}");
        assert!(!into.join(".bashrc").exists());
        let canary = std::fs::metadata(&canary).unwrap();
        assert_eq!((canary.mode() & 0o7777, canary.len()), (0o600, 0));
    }

    #[test]
    fn a_file_that_grows_while_it_is_written_adds_no_entry() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
        std::fs::create_dir(&into).unwrap();
        let tail = forged(&[(".bashrc", EntryType::Regular, 0o644, "")]);
        std::fs::write(&from, vec![0; 512]).unwrap();
        // Each write of the archive finds the file longer than its header says.
        struct Growing(Vec<u8>, PathBuf, Vec<u8>);
        impl Write for Growing {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let mut file = std::fs::OpenOptions::new().append(true).open(&self.1)?;
                file.write_all(&self.2)?;
                self.0.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut archive = Growing(Vec::new(), from.clone(), tail);
        write(&from, Path::new("copy"), false, &mut archive).unwrap();
        read(&into, None, Owners::Copier, &*archive.0).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(&into).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["copy"]);
    }
}
