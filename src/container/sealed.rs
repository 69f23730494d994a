//! This very program, out of reach of what it starts.

use anyhow::{Context, Result};

/// Makes sure that a container can't reach the file of this program for writing, by `/proc/PID/exe` of a process that
/// still is this program: runs it again from a read-only mount of its file, once.
pub fn make_sure() -> Result<()> {
    layerfs_runtime::seal().context("run this program from a read-only mount of it")
}
