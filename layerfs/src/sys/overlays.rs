//! Which directories the kernel's overlayfs has mounted now as an upper or a work directory: it takes no lock that others
//! could ask for.
//!
//! Its mounts say in `mountinfo` what they were given. A name that was given relative to a directory says nothing here, nor
//! does one that was renamed since. Other mount namespaces are not looked at: each begins with copies of all mounts, and
//! holds them when they are long unmounted where they are used.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::asked;
use super::error::SysError;
use super::file;
use super::mount::{self, unescape};

/// Where in this mount namespace the kernel's overlayfs is mounted that has one of these directories; `None` where no mount
/// is seen that does.
pub fn with(dirs: &[&OwnedFd]) -> Result<Option<PathBuf>, SysError> {
    let sought: Vec<_> = dirs.iter().map(file::stat).collect::<Result<_, _>>()?;
    let table = mount::table()?;
    let overlays = table.split(|byte| *byte == b'\n').filter_map(parse);
    let named: Vec<(PathBuf, PathBuf)> = overlays
        .flat_map(|overlay| overlay.dirs.into_iter().map(move |dir| (dir, overlay.at.clone())))
        .collect();
    // Such a name may lead into a mount of others that does not answer.
    let asked = named.iter().map(|(dir, _)| dir.clone()).collect();
    let found = asked::answers(asked, |dir: &PathBuf| file::stat_path(dir.as_path()))?;
    for ((dir, at), answer) in named.into_iter().zip(found) {
        match answer {
            Some(Ok(found)) => {
                let is = |it: &file::Stat| (it.st_dev, it.st_ino) == (found.st_dev, found.st_ino);
                if sought.iter().any(is) {
                    return Ok(Some(at));
                }
            }
            // Renamed or covered since it was mounted: where it is now is not known.
            Some(Err(error)) => tracing::debug!("a directory of an overlay is not found: {error}"),
            // It is none of those that were just looked at, or is reached by another way than they were.
            None => tracing::debug!("what is mounted over `{}` does not answer", dir.display()),
        }
    }
    Ok(None)
}

/// A mount of the kernel's overlayfs.
struct Overlay {
    at: PathBuf,
    /// Absolute names under which its upper and its work directory may stand.
    dirs: Vec<PathBuf>,
}

/// Reads a line of `mountinfo` (proc(5)): ID PARENT DEVICE ROOT AT OPTIONS [TAGS] - KIND SOURCE OPTIONS.
fn parse(line: &[u8]) -> Option<Overlay> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = words.iter().position(|word| *word == b"-")?;
    if *words.get(dash + 1)? != b"overlay" {
        return None;
    }
    let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
    let at = path(unescape(words.get(4)?));
    // A comma in a name is written as `\054`.
    let options = words.get(dash + 3)?.split(|byte| *byte == b',');
    let given = options.filter_map(|option| {
        let value = [&b"upperdir="[..], b"workdir="].iter().find_map(|it| option.strip_prefix(*it));
        value.map(unescape)
    });
    // What mount(8) was given has a backslash before some characters; what came by a descriptor has not.
    let both = given.flat_map(|given| [without_backslashes(&given), given]);
    let dirs = both.map(path).filter(|path| path.is_absolute()).collect();
    Some(Overlay { at, dirs })
}

/// A name as overlayfs takes it: a backslash makes the next character plain.
fn without_backslashes(given: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(given.len());
    let mut bytes = given.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dirs(options: &str) -> Vec<String> {
        let line = format!("373 342 0:40 / /a\\040b rw shared:1 - overlay overlay {options}");
        let overlay = parse(line.as_bytes()).unwrap();
        assert_eq!(overlay.at, Path::new("/a b"));
        overlay.dirs.iter().map(|dir| dir.display().to_string()).collect()
    }

    #[test]
    fn names_of_uppers_are_read_with_both_kinds_of_escapes() {
        assert_eq!(
            dirs("rw,lowerdir=/l,upperdir=/u\\040v,workdir=/w"),
            ["/u v", "/u v", "/w", "/w"]
        );
        assert_eq!(dirs("rw,upperdir=/a\\134:b"), ["/a:b", "/a\\:b"]);
        assert_eq!(dirs("rw,upperdir=/c\\134\\054d"), ["/c,d", "/c\\,d"]);
        assert_eq!(dirs("rw,upperdir=/e\\134\\134f"), ["/e\\f", "/e\\\\f"]);
        assert_eq!(dirs("rw,upperdir=/end\\134"), ["/end\\", "/end\\"]);
        // Where that was is not known.
        assert_eq!(dirs("rw,lowerdir=l,upperdir=u,workdir=w"), [""; 0]);
        assert_eq!(dirs("ro,lowerdir=/a:/b"), [""; 0]);
        assert!(parse(b"21 1 0:30 / /data rw - ext4 /dev/x rw,upperdir=/u").is_none());
        assert!(parse(b"").is_none());
    }
}
