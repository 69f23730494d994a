//! Owns copying an upper and its work directory, hard links and marks included: done before every fault, so without a process.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

/// Makes `to` a copy of the directory `from`.
pub fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    one(from, to, &mut HashMap::new());
}

fn one(from: &Path, to: &Path, linked: &mut HashMap<u64, PathBuf>) {
    let meta = std::fs::symlink_metadata(from).unwrap();
    let kind = meta.file_type();
    if meta.nlink() > 1 && !kind.is_dir() {
        if let Some(first) = linked.get(&meta.ino()) {
            return std::fs::hard_link(first, to).unwrap();
        }
        linked.insert(meta.ino(), to.to_owned());
    }
    if kind.is_dir() {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            one(&from.join(&name), &to.join(&name), linked);
        }
    } else if kind.is_symlink() {
        symlink(std::fs::read_link(from).unwrap(), to).unwrap();
    } else if kind.is_file() {
        std::fs::copy(from, to).unwrap();
    } else {
        let kind = match () {
            () if kind.is_char_device() => FileType::CharacterDevice,
            () if kind.is_block_device() => FileType::BlockDevice,
            () if kind.is_fifo() => FileType::Fifo,
            () => FileType::Socket,
        };
        rustix::fs::mknodat(CWD, to, kind, Mode::empty(), meta.rdev()).unwrap();
    }
    rustix::fs::chownat(
        CWD,
        to,
        Some(Uid::from_raw(meta.uid())),
        Some(Gid::from_raw(meta.gid())),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    attributes(from, to);
    if !kind.is_symlink() {
        rustix::fs::chmodat(CWD, to, Mode::from_raw_mode(meta.mode() & 0o7777), AtFlags::empty())
            .unwrap();
    }
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn attributes(from: &Path, to: &Path) {
    let mut names = vec![0_u8; 4096];
    let len = rustix::fs::llistxattr(from, &mut names[..]).unwrap();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::ffi::OsStr::from_bytes(name);
        let mut value = vec![0_u8; 8192];
        let len = rustix::fs::lgetxattr(from, name, &mut value[..]).unwrap();
        rustix::fs::lsetxattr(to, name, &value[..len], XattrFlags::empty()).unwrap();
    }
}
