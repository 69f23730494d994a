//! Owns the comparison of what two unions show of the same layers and upper.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::subject::{Entry, Facts, Kind, Snapshot};
use super::tree_path::TreePath;

/// Something that the two do not show alike.
#[derive(Debug)]
pub struct Difference {
    /// It is told in the test's failure.
    #[allow(dead_code, reason = "read by Debug")]
    pub told: String,
    /// A name of a copied-up file that the upper does not have, because nothing was done by that name: there the kernel,
    /// where its index is off, goes on showing the lower's file of several names.
    pub is_link: bool,
    /// One of both shows several names of the file.
    pub has_links: bool,
}

/// What the two do not show alike. Link counts and numbers are each one's own affair: overlayfs without an index breaks hard
/// links of the lower. Which names of the upper lead to one file is not, nor which of the lower.
pub fn differences(ours: &Snapshot, theirs: &Snapshot, upper: &Path) -> Vec<Difference> {
    let disorder = ours.disorder.iter().chain(&theirs.disorder).cloned();
    let mut found: Vec<_> =
        disorder.map(|told| Difference { told, is_link: false, has_links: false }).collect();
    let mut others: BTreeMap<_, _> = theirs.entries.iter().map(|at| (&at.path, at)).collect();
    let (own_links, other_links) = (links(ours, upper), links(theirs, upper));
    for entry in &ours.entries {
        let other = others.remove(&entry.path);
        let group = |links: &Links| links.get(&entry.path).cloned();
        let (ours, theirs) = (told(entry), other.map(told));
        let is_same = theirs.as_ref() == Some(&ours);
        if !is_same || group(&own_links) != group(&other_links) {
            let is_link = !is_upper(upper, &entry.path)
                && other.is_some_and(|other| other.facts.links > 1)
                && other.is_some_and(|other| other.facts.kind != Kind::Directory);
            let told = if is_same {
                let (ours, theirs) = (group(&own_links), group(&other_links));
                format!(
                    "{:?}: ours is one file with {ours:?}, the kernel's with {theirs:?}",
                    entry.path
                )
            } else {
                format!("{:?}: ours {ours}, the kernel's {theirs:?}", entry.path)
            };
            let has_links = has_links(entry) || other.is_some_and(has_links);
            found.push(Difference { told, is_link, has_links });
        }
    }
    let only = others.keys().map(|path| format!("{path:?}: only the kernel shows it"));
    found.extend(only.map(|told| Difference { told, is_link: false, has_links: false }));
    found
}

type Links = BTreeMap<TreePath, Vec<TreePath>>;

/// Of every name the names on the same side that lead to the same file.
fn links(shown: &Snapshot, upper: &Path) -> Links {
    let mut files: BTreeMap<(u64, bool), Vec<TreePath>> = BTreeMap::new();
    let key = |entry: &Entry| (entry.number, is_upper(upper, &entry.path));
    let no_directory = || shown.entries.iter().filter(|at| at.facts.kind != Kind::Directory);
    for entry in no_directory() {
        files.entry(key(entry)).or_default().push(entry.path.clone());
    }
    no_directory().map(|entry| (entry.path.clone(), files[&key(entry)].clone())).collect()
}

fn has_links(entry: &Entry) -> bool {
    entry.facts.kind != Kind::Directory && entry.facts.links > 1
}

fn is_upper(upper: &Path, path: &TreePath) -> bool {
    upper.join(OsStr::from_bytes(path.as_bytes())).symlink_metadata().is_ok()
}

fn told(entry: &Entry) -> String {
    let facts = Facts { links: 0, hidden: 0, ..entry.facts.clone() };
    format!("{facts:?} {:?} {} {:?}", entry.mtime, entry.contents, entry.xattrs)
}
