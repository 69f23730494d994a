//! Owns what a union that is not mounted may leave: in its work directory, and in this process.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layerfs_driver::sys::{dir, host};
use layerfs_driver::union::Union;

/// The mark of an index entry that counts its group's names, behind a letter.
const COUNT_MARK: &str = "trusted.overlay.layerfs.nlink";

/// A line for everything in a work directory that should not be there.
pub fn leftovers(work: &Path) -> Vec<String> {
    let stays = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name == "#whiteout" || name == "incompat")
    };
    let left = entries(&work.join("work")).into_iter().filter(|path| !stays(path));
    // Made for its first entry.
    let index = work.join("layerfs/index");
    let index = if index.exists() { entries(&index) } else { Vec::new() };
    let nameless = index.into_iter().filter(|path| is_nameless(path));
    left.chain(nameless).map(|path| format!("{} is left", path.display())).collect()
}

fn is_nameless(entry: &Path) -> bool {
    let mut value = [0; 32];
    let len = rustix::fs::lgetxattr(entry, COUNT_MARK, &mut value[..]).unwrap();
    matches!(&value[..len], b"L0" | b"U0")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// How many directories lie below one.
pub fn directories_below(directory: &Path) -> usize {
    let within = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let directories = within.filter(|entry| entry.file_type().unwrap().is_dir());
    directories.map(|entry| 1 + directories_below(&entry.path())).sum()
}

/// How many descriptors of this process lead to something at or below `place`; other tests have their own places.
pub fn descriptors_below(place: &Path) -> usize {
    let open = entries(Path::new("/proc/self/fd"));
    // A descriptor that another test closes meanwhile leads nowhere.
    let targets = open.iter().filter_map(|path| fs::read_link(path).ok());
    let place = place.as_os_str().as_bytes();
    targets.filter(|target| target.as_os_str().as_bytes().starts_with(place)).count()
}

/// Blocks and objects of a bounded upper; nothing of others.
pub fn counted(union: &Union) -> Option<(u64, u64)> {
    union.upper().filter(|upper| upper.is_bounded())?;
    let figures = union.filesystem().unwrap();
    Some((figures.f_blocks - figures.f_bfree, figures.f_files - figures.f_ffree))
}

/// Whether what is there is what was counted. XFS sets room aside behind the end of a file, which counts where it is found.
pub fn is_as_counted(upper: &Path, counted: Option<(u64, u64)>, found: Option<(u64, u64)>) -> bool {
    const XFS: u64 = 0x5846_5342;
    let disk = host::space(dir::open_path(upper).unwrap()).unwrap();
    match (counted, found) {
        (Some((_, objects)), Some((_, found))) if disk.magic == XFS => objects == found,
        (counted, found) => counted == found,
    }
}
