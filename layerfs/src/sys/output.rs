//! Owns what a command writes for others to read: a file that appears when it is whole, or standard output.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::error::{SysError, call};
use super::file::{self, FileType, Symlinks};
use super::lock::{self, Share};
use super::{change, dir, host};

/// Permissions of a file that is made, before the umask.
const MODE: u32 = 0o666;

/// Where bytes go. Dropped before [`Target::finish`], a file is as if it had never been begun.
#[derive(Debug)]
pub struct Target {
    file: OwnedFd,
    aside: Option<Aside>,
}

/// A file that is being written, and has no name yet, or another where its file system knows no files without one. Whoever
/// writes one with a name holds its lock, by which others know that it is not left over.
#[derive(Debug)]
struct Aside {
    dir: OwnedFd,
    /// The name that it has meanwhile.
    name: Option<Box<[u8]>>,
    last: Box<[u8]>,
}

impl Target {
    /// A file that takes its name when it is whole, in place of what has that name. What is there and no regular file, such
    /// as `/dev/null` or a fifo, is written into.
    pub fn file(path: &Path) -> Result<Target, SysError> {
        let (path, mode) = match replaced(path)? {
            Replaced::Path(path, mode) => (path, mode),
            Replaced::Nothing => {
                return Ok(Target { file: file::open_append_path(path, MODE)?, aside: None });
            }
        };
        let (parent, last) = parts(&path)?;
        let dir = dir::open_path(parent.as_path())?;
        sweep(&dir, &last);
        let mut aside = Aside { dir, name: None, last };
        let file = match file::create_unnamed_with(&aside.dir, MODE) {
            // It gets its name by a way through /proc.
            Ok(_) if file::stat_path("/proc/self/fd").is_err() => aside.create()?,
            Err(error) if file::has_no_unnamed(&error) => aside.create()?,
            made => made?,
        };
        // Who could not read the old one is not to read the new one.
        if let Some(mode) = mode {
            file::chmod(&file, mode)?;
        }
        Ok(Target { file, aside: Some(aside) })
    }

    /// The standard output of this process.
    pub fn standard_output() -> Result<Target, SysError> {
        let dup = || rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3);
        Ok(Target { file: call("dup", || "stdout".to_owned(), dup)?, aside: None })
    }

    /// Makes the file appear, its contents on disk.
    pub fn finish(mut self) -> Result<(), SysError> {
        let Some(aside) = &mut self.aside else { return Ok(()) };
        file::sync(&self.file)?;
        aside.install(&self.file)?;
        file::sync(&aside.dir)
    }
}

impl Aside {
    /// A file under another name, which nobody takes for left over.
    fn create(&mut self) -> Result<OwnedFd, SysError> {
        loop {
            let name = aside_name(&self.last)?;
            let file = file::create_new(&self.dir, &*name, MODE)?;
            self.name = Some(name.clone());
            hold(&file);
            // A sweep may have come between the two.
            match file::stat_at(&self.dir, &*name, Symlinks::Stop) {
                Err(error) if error.is_absent() => self.name = None,
                found => return found.map(|_| file),
            }
        }
    }

    /// Gives the file its name. No call replaces a name by a file that has none: that one gets another before.
    fn install(&mut self, file: &OwnedFd) -> Result<(), SysError> {
        if self.name.is_none() {
            match change::link_open(file, &self.dir, &*self.last) {
                Err(error) if error.errno() == Errno::EXIST => {}
                linked => return linked,
            }
            let name = aside_name(&self.last)?;
            hold(file);
            change::link_open(file, &self.dir, &*name)?;
            self.name = Some(name);
        }
        if let Some(name) = &self.name {
            dir::rename(&self.dir, &**name, &self.dir, &*self.last)?;
        }
        self.name = None;
        Ok(())
    }
}

/// Takes the lock of a file that is written under another name. Where there are no locks, nobody finds it left over.
fn hold(file: &OwnedFd) {
    if let Err(error) = lock::try_take(file, Share::Exclusive) {
        tracing::debug!("a file that is written has no lock: {error}");
    }
}

/// What the names begin with that files have before they get the name `last`: what is so long that no suffix fits is cut.
fn aside_prefix(last: &[u8]) -> Vec<u8> {
    [b".", &last[..last.len().min(200)], b"."].concat()
}

fn aside_name(last: &[u8]) -> Result<Box<[u8]>, SysError> {
    let random = format!("{:016x}", host::random_u64()?);
    Ok([&*aside_prefix(last), random.as_bytes()].concat().into())
}

/// Removes what killed writers of this file have left: under a name of that form, and locked by nobody.
fn sweep(dir: &OwnedFd, last: &[u8]) {
    let prefix = aside_prefix(last);
    let is_aside = |name: &[u8]| {
        let random = name.strip_prefix(&*prefix);
        random.is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
    };
    let remove = |name: &[u8]| -> Result<(), SysError> {
        let file = file::open_read(dir, name, Symlinks::Stop)?;
        let is_file = file::type_of(&file::stat(&file)?) == FileType::RegularFile;
        if is_file && lock::try_take(&file, Share::Exclusive)? {
            dir::unlink(dir, name)
        } else {
            Ok(())
        }
    };
    let swept = dir::list(dir).map(|all| {
        all.iter().filter(|entry| is_aside(&entry.name)).try_for_each(|entry| remove(&entry.name))
    });
    if let Err(error) = swept.and_then(|swept| swept) {
        tracing::debug!("what may be left of a file that was begun stays: {error}");
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        file::write_all(&self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && let Err(error) = dir::unlink(&self.dir, &**name)
        {
            tracing::warn!("what was begun of a file is left: {error}");
        }
    }
}

/// What a file that is written takes the place of.
enum Replaced {
    /// The regular file that the path leads to, with its permissions, or what is not there yet.
    Path(PathBuf, Option<u32>),
    /// What is there is written into: it is no regular file, or has no name.
    Nothing,
}

/// Links are followed: `/dev/stdout` is one, and stays.
fn replaced(path: &Path) -> Result<Replaced, SysError> {
    let there = match file::stat_path(path) {
        Err(error) if error.is_absent() => return Ok(Replaced::Path(path.to_owned(), None)),
        stat => stat?,
    };
    if file::type_of(&there) != FileType::RegularFile {
        return Ok(Replaced::Nothing);
    }
    let own = dir::path_of(file::open_place(path)?)?;
    let is_it = match file::stat_path(own.as_path()) {
        Ok(stat) => (stat.st_dev, stat.st_ino) == (there.st_dev, there.st_ino),
        Err(_) => false,
    };
    let mode = there.st_mode & 0o777;
    Ok(if is_it { Replaced::Path(own, Some(mode)) } else { Replaced::Nothing })
}

/// The directory of a path, and the last name.
fn parts(path: &Path) -> Result<(PathBuf, Box<[u8]>), SysError> {
    use std::os::unix::ffi::OsStrExt;
    let refused = || SysError::new("open", path.display().to_string(), Errno::ISDIR);
    let last = path.file_name().ok_or_else(refused)?.as_bytes().into();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole_and_a_dropped_one_never_was() {
        use std::os::unix::fs::PermissionsExt;

        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let private = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, private).unwrap();
        let mut target = Target::file(&path).unwrap();
        target.write_all(b"half").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(target);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        let mut target = Target::file(&path).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        let mut null = Target::file(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.finish().unwrap();
        Target::file(scratch.path()).unwrap_err();
        // A link stays, and leads to the new file.
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("out", &link).unwrap();
        let mut target = Target::file(&link).unwrap();
        target.write_all(b"through").unwrap();
        target.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"through");
    }
}
