//! What /proc says about processes and mounts, read leniently: processes end while they are being looked at.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One line of a mountinfo file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    pub point: PathBuf,
    pub device: String,
    pub kind: String,
    pub source: String,
}

/// The mounts in the namespace of `pid` (`self` works), in the order in which they were made.
pub fn mounts(pid: &str) -> Vec<Mount> {
    let text = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    Some(Mount {
        point: PathBuf::from(unescape(left.get(4)?)),
        device: (*left.get(2)?).to_string(),
        kind: (*right.first()?).to_string(),
        source: unescape(right.get(1)?),
    })
}

/// mountinfo writes blanks, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_string(), |text, (code, plain)| text.replace(code, plain))
}

/// The mounts of every mount namespace that can be seen, each namespace asked once.
pub fn mounts_everywhere() -> BTreeSet<(String, Mount)> {
    let mut seen = BTreeSet::new();
    let mut found = BTreeSet::new();
    for pid in pids() {
        let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
        let namespace = namespace.to_string_lossy().into_owned();
        if seen.insert(namespace.clone()) {
            found.extend(mounts(&pid.to_string()).into_iter().map(|m| (namespace.clone(), m)));
        }
    }
    found
}

/// All process ids.
pub fn pids() -> Vec<u32> {
    entries(Path::new("/proc"))
        .iter()
        .filter_map(|p| p.file_name()?.to_str()?.parse().ok())
        .collect()
}

/// What a directory holds; nothing if it is gone.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

/// The command line, with blanks between words.
pub fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_string()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold blanks and parentheses itself.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn dead(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|s| s.rsplit_once(") ").map(|(_, rest)| rest.starts_with('X')))
        .unwrap_or(true)
}

/// Whether `pid` works for a place: its directory, its program or a word of its command line lies there.
pub fn works_in(pid: u32, place: &Path) -> bool {
    let links = ["cwd", "exe", "root"]
        .map(|l| fs::read_link(format!("/proc/{pid}/{l}")).unwrap_or_default());
    links.iter().any(|l| l.starts_with(place)) || mentions(command_line(pid).as_bytes(), place)
}

/// Whether `text` holds the path as written, and not merely a longer name that begins like it.
pub fn mentions(text: &[u8], place: &Path) -> bool {
    let wanted = place.as_os_str().as_bytes();
    let ends = |at: usize| text.get(at).is_none_or(|b| !b.is_ascii_alphanumeric());
    text.windows(wanted.len()).enumerate().any(|(at, w)| w == wanted && ends(at + wanted.len()))
}

/// Children of this process, their children, and so on; not this process.
pub fn descendants() -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = pids().into_iter().filter_map(|p| Some((p, parent(p)?))).collect();
    let mut family = BTreeSet::from([std::process::id()]);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(p, up)| family.contains(up) && !family.contains(p))
            .map(|(p, _)| *p)
            .collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    family.remove(&std::process::id());
    family.retain(|p| !dead(*p));
    family
}
