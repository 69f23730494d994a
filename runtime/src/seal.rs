//! The program that makes containers, kept from being written by one.
//!
//! A container's first process is this program until it executes its own, and an image can name `/proc/self/exe` as the
//! interpreter of its command. What is reached that way must not lead to the file on the host, opened for writing
//! (CVE-2019-5736): the process runs from a mount of the file that refuses that.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use layerfs_driver::sys::host;

use crate::sys::{SysError, exec, mounts};

/// Says that this has been done once: a file system that does not tell is no reason to do it for ever.
const MARK: &str = "_LAYERFS_SEALED";

/// Returns in a process that runs from a read-only mount, or, before Linux 5.12, which has none by descriptor, from a copy in memory that
/// nobody can change. A user who is not root makes no mounts: who could change the file runs from such a copy, too.
pub fn seal() -> Result<(), SysError> {
    if std::env::var_os(MARK).is_some() || exec::runs_read_only()? {
        return Ok(());
    }
    let words = c_strings(std::env::args_os());
    let mark = OsString::from(format!("{MARK}=1"));
    let environment = std::env::vars_os().map(|(name, value)| {
        let mut line = name;
        line.push(OsStr::new("="));
        line.push(value);
        line
    });
    let environment = c_strings(environment.chain([mark]));
    if !host::is_root() {
        // A container's root is this user: what that one can't change, the container can't.
        return match exec::may_be_changed()? {
            true => exec::again_from_memory(&words, &environment).map(drop),
            false => Ok(()),
        };
    }
    match exec::again_read_only(&words, &environment) {
        Err(error) if mounts::is_missing(&error) => {
            exec::again_from_memory(&words, &environment).map(drop)
        }
        refused => refused.map(drop),
    }
}

/// Words of a process never hold a NUL; one that did would end there.
fn c_strings(words: impl Iterator<Item = OsString>) -> Vec<CString> {
    words.filter_map(|word| CString::new(word.as_bytes()).ok()).collect()
}
