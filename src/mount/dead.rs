//! Owns what is told of a mount whose serving process was killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use layerfs_driver::sys::{Errno, SysError, file};

/// A process that serves answers long before this; one that does not is busy, and alive.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Whether nobody answers for the mount at `at` any more.
pub fn is_dead(at: &Path) -> bool {
    let (told, answer) = std::sync::mpsc::channel();
    let root = PathBuf::from(at);
    // In a thread that may be left behind: what hangs answers nobody.
    std::thread::spawn(move || told.send(file::ask(root.as_path())));
    matches!(answer.recv_timeout(ANSWER_MAX), Ok(Err(error)) if is_of_dead(&error))
}

/// Whether it is the answer of the kernel in the place of a process that is gone.
pub fn is_of_dead(error: &SysError) -> bool {
    error.errno() == Errno::NOTCONN
}

/// What is said of it, and the cure.
pub fn cure(at: &Path) -> String {
    format!("the process that served the mount there is gone: `layerfs umount {}`", at.display())
}
