//! Who may mount and unmount: told before anything is tried, since the first call that is refused would not say it.

use anyhow::{Result, bail};
use layerfs_driver::sys::host;

/// Refuses who is not root. `verb` is what was to be done.
pub fn need_root(verb: &str) -> Result<()> {
    if host::is_root() {
        return Ok(());
    }
    bail!(
        "`layerfs {verb}` needs root for now: mounts of other users are not there yet; start it as root, by sudo for \
         example"
    )
}
