//! Owns the values of options: directories, seconds, ids, switches, labels.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use layerfs_driver::tree::{IdRange, Ids};

use super::said::Whiteout;
use super::split::{split, unescape};
use crate::mount::bounds::Bounds;

/// A year is for ever, as far as a mount is concerned.
const TIMEOUT_MAX_SECS: f64 = 366.0 * 24.0 * 3600.0;

/// Directories between colons.
pub fn lowers(value: &[u8]) -> Result<Vec<PathBuf>> {
    if value.is_empty() {
        bail!("lowerdir= names no directory");
    }
    split(value, b':').into_iter().map(|part| directory("lowerdir", part)).collect()
}

/// One directory.
pub fn directory(key: &str, value: &[u8]) -> Result<PathBuf> {
    if value.is_empty() && key == "lowerdir" {
        bail!(
            "lowerdir= holds an empty name, as before the data-only layers of overlayfs, which layerfs does not read"
        );
    }
    if value.is_empty() {
        bail!("{key}= holds an empty name");
    }
    Ok(OsString::from_vec(unescape(value)).into())
}

/// Seconds.
pub fn timeout(value: &[u8]) -> Result<Duration> {
    let secs = text(value).and_then(|text| text.parse::<f64>().ok());
    match secs {
        Some(secs) if secs >= 0.0 => Ok(Duration::from_secs_f64(secs.min(TIMEOUT_MAX_SECS))),
        _ => bail!("option `timeout={}`: seconds, as `1` or `0.5`", shown(value)),
    }
}

/// `size` or `inodes`: how much changes may take.
pub fn bound(bounds: &mut Bounds, key: &[u8], value: &[u8]) -> Result<bool> {
    let said = format!("option `{}={}`", shown(key), shown(value));
    bounds.take((text(key).unwrap_or(""), text(value).unwrap_or("")), &said)
}

/// What whiteouts are made as; `None` for what can be had.
pub fn whiteout(value: &[u8]) -> Result<Option<Whiteout>> {
    match value {
        b"auto" => Ok(None),
        b"device" => Ok(Some(Whiteout::Device)),
        b"xattr" => Ok(Some(Whiteout::Xattr)),
        b"wh" => Ok(Some(Whiteout::Wh)),
        _ => bail!("option `whiteout={}`: `auto`, `device`, `xattr` or `wh`", shown(value)),
    }
}

/// `STORED:SHOWN:LEN`, once or more, with colons between; fuse-overlayfs's users begin with one.
pub fn id_ranges(key: &str, value: &[u8]) -> Result<Vec<IdRange>> {
    let deed = || format!("option `{key}={}`", shown(value));
    let numbers: Option<Vec<u32>> = text(value).and_then(|text| {
        let words = text.strip_prefix(':').unwrap_or(text).split(':');
        words.map(|word| word.parse().ok()).collect()
    });
    let whole = numbers.filter(|numbers| numbers.len() % 3 == 0);
    let Some(numbers) = whole else {
        bail!("{}: three numbers, as `0:100000:65536`, or several such", deed());
    };
    let range = |three: &[u32]| IdRange { stored: three[0], shown: three[1], len: three[2] };
    let ranges: Vec<IdRange> = numbers.chunks_exact(3).map(range).collect();
    Ids::new(&ranges).with_context(deed)?;
    Ok(ranges)
}

/// The id of a user or a group.
pub fn id(key: &str, value: &[u8]) -> Result<u32> {
    let id = text(value).and_then(|text| text.parse().ok()).filter(|id| *id != u32::MAX);
    id.with_context(|| format!("option `{key}={}`: the number of a user or a group", shown(value)))
}

/// A label of a security module, in the quotes that the kernel takes it in.
pub fn label(key: &str, value: &[u8]) -> Result<String> {
    let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    match text(bare).filter(|label| !label.is_empty() && !label.contains(['"', '\0'])) {
        Some(label) => Ok(format!("{key}=\"{label}\"")),
        None => bail!("option `{key}={}`: a label, as `system_u:object_r:tmp_t:s0`", shown(value)),
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Bytes for a message.
pub fn shown(value: &[u8]) -> std::ffi::os_str::Display<'_> {
    OsStr::from_bytes(value).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_three_numbers_each() {
        let range = |stored, shown, len| IdRange { stored, shown, len };
        let read = |value: &str| id_ranges("uidmapping", value.as_bytes());
        for value in ["0:100000:65536", ":0:100000:65536"] {
            assert_eq!(read(value).unwrap(), [range(0, 100_000, 65_536)], "{value}");
        }
        assert_eq!(read("0:5:1:1:100:7").unwrap(), [range(0, 5, 1), range(1, 100, 7)]);
        for value in
            ["", ":", "0:1", "0:1:2:", "a:1:2", "0:1:2:3", "0:1:-2", "0:1:4294967296", "0 :1:2"]
        {
            let told = read(value).unwrap_err().to_string();
            assert_eq!(
                told,
                format!(
                    "option `uidmapping={value}`: three numbers, as `0:100000:65536`, or several such"
                )
            );
        }
        assert!(read("0:1:2:1:9:1").is_err() && read("0:1:0").is_err());
    }

    #[test]
    fn labels_stand_in_quotes() {
        for value in ["a:b", "\"a:b\""] {
            assert_eq!(label("context", value.as_bytes()).unwrap(), "context=\"a:b\"");
        }
        for value in ["", "\"", "\"a", "\"a\"b\"", "\"\""] {
            assert!(label("context", value.as_bytes()).is_err(), "{value}");
        }
    }
}
