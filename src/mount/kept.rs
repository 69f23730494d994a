//! The directories that keep changes: made where they are absent, and taken back where the mount fails.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::{Errno, dir};

/// What was made for a mount that is not there yet.
#[derive(Debug, Default)]
pub struct Kept {
    made: Vec<PathBuf>,
}

impl Kept {
    /// Makes the last component where it is absent. A parent that is absent is likelier a misspelled one.
    pub fn make(&mut self, role: &str, path: &Path) -> Result<()> {
        match dir::make_path(path, 0o700) {
            Ok(()) => self.made.push(std::path::absolute(path)?),
            Err(error) if error.errno() == Errno::EXIST => {}
            Err(error) if error.is_absent() => bail!(
                "{role} `{}`: the directory that it is to lie in does not exist; make that first",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("{role} `{}`", path.display()));
            }
        }
        Ok(())
    }

    /// Removes what was made and is empty still: what is not may be used by another mount that found it.
    pub fn take_back(self) {
        for path in self.made.iter().rev() {
            if let Err(error) = dir::remove_path(path) {
                tracing::debug!("a directory that was made for the mount stays: {error}");
            }
        }
    }
}
