//! Where a directory stands in its file system, whichever mount it is reached by: what tells that one lies in another.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::error::SysError;
use super::mount::{self, unescape};
use super::{dir, file};

/// A directory's path from the root of its file system. Two mounts of one file system, bind mounts too, give the same.
#[derive(Clone, Debug)]
pub struct Standing {
    mount: Vec<u8>,
    device: Vec<u8>,
    path: PathBuf,
}

impl Standing {
    /// Whether this is `other` or lies below it, in the same file system. What another mount covers it with lies
    /// elsewhere.
    pub fn is_within(&self, other: &Standing) -> bool {
        self.device == other.device && self.path.starts_with(&other.path)
    }

    /// Whether both are one directory, by whichever mounts.
    pub fn is(&self, other: &Standing) -> bool {
        self.is_within(other) && other.is_within(self)
    }

    /// An order in which what lies in a directory stands after it, and nothing that lies elsewhere between.
    pub fn order(&self, other: &Standing) -> std::cmp::Ordering {
        (&self.device, &self.path).cmp(&(&other.device, &other.path))
    }

    /// Whether both were reached by one mount: only then a rename goes from one to the other.
    pub fn shares_mount_with(&self, other: &Standing) -> bool {
        self.mount == other.mount
    }
}

/// The mounts of this process's namespace at one moment, by number.
pub struct MountTable(Vec<u8>);

impl MountTable {
    /// Reads the table.
    pub fn read() -> Result<MountTable, SysError> {
        mount::table().map(MountTable)
    }

    /// Where an open directory stands.
    pub fn standing(&self, dir: impl AsFd) -> Result<Standing, SysError> {
        let id = mount_id(&dir)?;
        let path = dir::path_of(&dir)?;
        let lines = self.0.split(|byte| *byte == b'\n');
        let found = lines.filter_map(Line::parse).find(|line| line.id == id);
        let standing = found.and_then(|line| line.standing(&path));
        standing.ok_or_else(|| {
            SysError::of_deed("mountinfo", format!("{path:?} is on no mount of this namespace"))
        })
    }

    /// The device of the file system that holds an open file, as the kernel's tables name it: that of its files may be
    /// another, as on btrfs. `None` where it is on no mount of this namespace.
    pub fn device_of(&self, file: impl AsFd) -> Result<Option<(u32, u32)>, SysError> {
        let id = mount_id(file)?;
        let mut lines = self.0.split(|byte| *byte == b'\n').filter_map(Line::parse);
        Ok(lines.find(|line| line.id == id).and_then(|line| numbers(line.device)))
    }

    /// Whether the mount that an open file was reached by shows other owners than are stored (`mount_setattr(2)`).
    pub fn is_id_mapped(&self, file: impl AsFd) -> Result<bool, SysError> {
        let id = mount_id(file)?;
        let mut lines = self.0.split(|byte| *byte == b'\n').filter_map(Line::parse);
        Ok(lines.find(|line| line.id == id).is_some_and(|line| line.has(b"idmapped")))
    }
}

/// `MAJOR:MINOR`.
fn numbers(device: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A mount, told from every other for as long as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountId(Vec<u8>);

impl MountId {
    /// The mount that an open file was reached by. The mount's file system is not asked.
    pub fn of(file: impl AsFd) -> Result<MountId, SysError> {
        mount_id(file).map(MountId)
    }
}

/// The number of the mount that an open file was reached by (proc(5), fdinfo).
fn mount_id(file: impl AsFd) -> Result<Vec<u8>, SysError> {
    const INFO_MAX_BYTES: u64 = 1024 * 1024;
    let path = format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd());
    let info = file::read_all(file::open_read_path(path.as_str())?, INFO_MAX_BYTES)?;
    let mut lines = info.split(|byte| *byte == b'\n');
    let id = lines.find_map(|line| line.strip_prefix(b"mnt_id:"));
    let id = id.ok_or_else(|| SysError::of_deed("fdinfo", "it names no mount"))?;
    Ok(id.trim_ascii().to_vec())
}

/// A line of `mountinfo` (proc(5)): ID PARENT DEVICE ROOT AT OPTIONS …
struct Line<'a> {
    id: &'a [u8],
    device: &'a [u8],
    root: PathBuf,
    at: PathBuf,
    options: &'a [u8],
}

impl Line<'_> {
    fn parse(line: &[u8]) -> Option<Line<'_>> {
        let mut words = line.split(|byte| *byte == b' ');
        let path = |word| PathBuf::from(OsString::from_vec(unescape(word)));
        let (id, _parent, device) = (words.next()?, words.next()?, words.next()?);
        let (root, at) = (path(words.next()?), path(words.next()?));
        Some(Line { id, device, root, at, options: words.next().unwrap_or_default() })
    }

    fn has(&self, option: &[u8]) -> bool {
        self.options.split(|byte| *byte == b',').any(|word| word == option)
    }

    fn standing(&self, path: &Path) -> Option<Standing> {
        let below = path.strip_prefix(&self.at).ok()?;
        Some(Standing {
            mount: self.id.to_vec(),
            device: self.device.to_vec(),
            path: self.root.join(below),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(line: &str, path: &str) -> Option<Standing> {
        Line::parse(line.as_bytes())?.standing(Path::new(path))
    }

    #[test]
    fn a_bind_mount_stands_where_its_directory_does() {
        let whole = standing("21 1 0:30 / /data rw - ext4 /dev/x rw", "/data/lower/sub").unwrap();
        let bind = standing("22 1 0:30 /lower /b\\040c rw - ext4 /dev/x rw", "/b c/sub").unwrap();
        let other = standing("23 1 0:31 / /data rw - ext4 /dev/y rw", "/data/lower/sub").unwrap();
        assert!(whole.is(&bind) && !whole.shares_mount_with(&bind));
        assert!(!other.is_within(&whole));
        let lower = standing("21 1 0:30 / /data rw - ext4 /dev/x rw", "/data/lower").unwrap();
        assert!(bind.is_within(&lower) && !lower.is_within(&bind) && lower.is_within(&lower));
        let near = standing("21 1 0:30 / /data rw - ext4 /dev/x rw", "/data/lower2").unwrap();
        assert!(!near.is_within(&lower));
    }

    #[test]
    fn an_id_mapped_mount_says_so() {
        let has = |options: &str| {
            let line = format!("21 1 0:30 / /data {options} shared:1 - ext4 /dev/x rw,idmapped");
            Line::parse(line.as_bytes()).unwrap().has(b"idmapped")
        };
        assert!(has("rw,relatime,idmapped") && !has("rw,relatime") && !has("rw,idmappedx"));
        let root = file::open_place("/").unwrap();
        assert!(!MountTable::read().unwrap().is_id_mapped(root).unwrap());
    }

    #[test]
    fn a_mount_is_told_from_others() {
        let of = |path: &str| MountId::of(file::open_place(path).unwrap()).unwrap();
        assert_ne!(of("/proc"), of("/"));
        assert_eq!(of("/proc"), of("/proc/self"));
    }

    #[test]
    fn an_open_directory_stands_within_its_parent() {
        let (outer, table) = (tempfile::tempdir().unwrap(), MountTable::read().unwrap());
        let inner = outer.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let standing = |path: &Path| table.standing(dir::open_path(path).unwrap()).unwrap();
        assert!(standing(&inner).is_within(&standing(outer.path())));
        assert!(!standing(outer.path()).is_within(&standing(&inner)));
        assert!(!standing(Path::new("/proc")).is_within(&standing(outer.path())));
    }
}
