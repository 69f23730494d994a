//! Owns what is told of a mount whose serving process was killed.

use std::path::{Path, PathBuf};

use layerfs_driver::sys::{Errno, SysError, asked, file};

/// Whether nobody answers for the mount at `at` any more.
pub fn is_dead(at: &Path) -> bool {
    are_dead(vec![at.to_owned()]) == [true]
}

/// The same of several mounts, which are asked together: those that hang answer nobody.
pub fn are_dead(mounts: Vec<PathBuf>) -> Vec<bool> {
    let len = mounts.len();
    let is_dead = |answer| matches!(answer, Some(Err(error)) if is_of_dead(&error));
    match asked::answers(mounts, |at: &PathBuf| file::ask(at.as_path())) {
        Ok(answers) => answers.into_iter().map(is_dead).collect(),
        Err(error) => {
            tracing::debug!("which mounts are dead is not known: {error}");
            vec![false; len]
        }
    }
}

/// Whether it is the answer of the kernel in the place of a process that is gone.
pub fn is_of_dead(error: &SysError) -> bool {
    error.errno() == Errno::NOTCONN
}

/// What is said of it, and the cure.
pub fn cure(at: &Path) -> String {
    format!("the process that served the mount there is gone: `layerfs umount {}`", at.display())
}
