//! Which process serves a mount, and the words it was started with: nothing else says which directories a mount is made of.
//!
//! A process of another user is not believed: whoever reads what its words name would lend that one his rights.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::host;
use layerfs_driver::sys::{OwnedFd, SysError, dir, lock, mount};

use super::holder;
use super::serve::ServeArgs;
use super::users::FuseDevice;
use crate::cli::{self, Verb};

/// The words of a process are no longer.
const WORDS_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The words of the process that serves the mount whose root stands at `at`, as the kernel lists it; `None` where none of
/// this user is seen, as of one in the foreground: that was started with its user's words.
pub fn at(at: &Path) -> Result<Option<ServeArgs>, SysError> {
    let Some(device) = device_at(at)? else { return Ok(None) };
    let mut found = None;
    for entry in dir::list(&dir::open_path("/proc")?)? {
        let Ok(pid) = String::from_utf8_lossy(&entry.name).parse() else { continue };
        // One that ends meanwhile, or may not be looked at, is passed over.
        let Ok(Some(args)) = of_process(pid) else { continue };
        match holder::device_of(pid) {
            Ok(Some(served)) if served == device => return Ok(Some(args)),
            // Before Linux 6.18 nothing but the mountpoint tells.
            Ok(None) if args.mountpoint.as_deref() == Some(at) => {
                if found.replace(args).is_some() {
                    return Ok(None);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// The words of the process that has an upper directory mounted; `None` where none of this user is seen.
pub fn with_upper(upper: &OwnedFd) -> Result<Option<ServeArgs>, SysError> {
    match lock::holder(upper)? {
        Some(pid) if pid != 0 => of_process(pid),
        _ => Ok(None),
    }
}

/// The device of the mount of ours that stands topmost at a place.
pub fn device_at(at: &Path) -> Result<Option<FuseDevice>, SysError> {
    let standing = mount::standing()?.into_iter().rev().find(|mount| mount.at == at);
    let device = standing.and_then(|mount| String::from_utf8(mount.device).ok());
    let number = device.as_deref().and_then(|device| device.strip_prefix("0:")?.parse().ok());
    Ok(number.map(FuseDevice))
}

fn of_process(pid: u32) -> Result<Option<ServeArgs>, SysError> {
    let own = dir::open_path(format!("/proc/{pid}").as_str())?;
    if file::stat(&own)?.st_uid != host::own_ids().0 {
        return Ok(None);
    }
    let words = file::read_all(file::open_read(&own, "cmdline", Symlinks::Stop)?, WORDS_MAX_BYTES)?;
    Ok(parse(&words))
}

/// Reads words that each end with a NUL (proc(5)).
fn parse(words: &[u8]) -> Option<ServeArgs> {
    let words = words.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let words: Vec<OsString> = words.map(|word| OsString::from_vec(word.to_vec())).collect();
    if !words.iter().any(|word| word == "serve") {
        return None;
    }
    match cli::parse(&words).ok()?.verb {
        Verb::Serve(args) => Some(args.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_serving_process_are_read_and_those_of_others_are_not() {
        let words = b"layerfs\0--root=/s\0serve\0--source=x\0--lower=/a \xff\0--lower=/b\0--flag=read-only\0--\0/mnt\0";
        let args = parse(words).unwrap();
        assert_eq!(args.mountpoint.as_deref(), Some(Path::new("/mnt")));
        assert_eq!(args.lower[0].as_os_str().as_encoded_bytes(), b"/a \xff");
        assert_eq!(args.lower.len(), 2);
        for words in [
            &b""[..],
            b"\0",
            b"layerfs\0mount\0-o\0lowerdir=/a\0/mnt\0",
            b"layerfs\0serve\0--frob\0",
            b"layerfs\0ps\0",
            b"cat\0serve\0",
        ] {
            assert!(parse(words).is_none(), "{}", words.escape_ascii());
        }
    }
}
