//! One row of a table: an input, and what must come of it.

use layerfs_driver::store::index::{Body, Index, Ordinal, Target};

use super::store::{Said, Victim, text};
use super::tarball::{Entry, tar};
use Want::{Layer, Refused};

/// What must come.
pub enum Want {
    /// Exit status 1 and one line, which holds the file's name and these words.
    Refused(&'static [&'static str]),
    /// Success, and these lines from [`listing`] of the layer.
    Layer(&'static [&'static str]),
}

/// A root file system to be imported.
pub struct Row {
    /// The fact that the row holds.
    pub name: &'static str,
    /// The archive.
    pub archive: Vec<u8>,
    /// What must come.
    pub want: Want,
}

/// A row that must be refused.
pub fn refused(name: &'static str, entries: &[Entry], words: &'static [&'static str]) -> Row {
    Row { name, archive: tar(entries), want: Refused(words) }
}

/// A row whose layer must list so.
pub fn imported(name: &'static str, entries: &[Entry], lines: &'static [&'static str]) -> Row {
    Row { name, archive: tar(entries), want: Layer(lines) }
}

/// Imports each row's archive into one store, and puts together what did not come as it must.
pub fn check_all(rows: &[Row]) {
    let victim = Victim::new();
    let before = victim.picture();
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(reason) = check(&victim, row) {
            wrong.push(format!("{}: {reason}", row.name));
        }
        victim.assert_untouched(row.name, &before);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn check(victim: &Victim, row: &Row) -> Result<(), String> {
    let path = victim.write("hostile.tar", &row.archive);
    let said = victim.run(&["import", "-q", text(&path), "hostile"]);
    match &row.want {
        Refused(words) => said.is_refusal_with(&[&[text(&path)], *words].concat()),
        Layer(lines) => {
            if said.status != Some(0) || !said.stderr.is_empty() {
                return Err(format!("must be imported: {said:?}"));
            }
            let found = layer_listing(victim, "hostile");
            victim.assert_clean(row.name);
            victim.forget("hostile");
            if found == *lines { Ok(()) } else { Err(format!("{found:#?}")) }
        }
    }
}

impl Said {
    /// Exit status 1, no result, and one line that holds all of `words`.
    pub fn is_refusal_with(&self, words: &[&str]) -> Result<(), String> {
        let one_line = self.stderr.ends_with('\n') && self.stderr.lines().count() == 1;
        let readable = !self.stderr.trim_end_matches('\n').contains(|c: char| c.is_control());
        let told = words.iter().all(|word| self.stderr.contains(word));
        if self.status == Some(1) && self.stdout.is_empty() && one_line && readable && told {
            return Ok(());
        }
        Err(format!("must be refused in one line with {words:?}: {self:?}"))
    }
}

/// What the only layer of an image says.
pub fn layer_listing(victim: &Victim, image: &str) -> Vec<String> {
    let store = victim.store();
    let image = store.find(image).unwrap().image;
    let index = store.layer_index(&image.layers[0].diff_id).unwrap();
    listing(&index)
}

/// One line for each entry of an index: `PATH: what it is`, sorted as the index is.
pub fn listing(index: &Index) -> Vec<String> {
    let mut lines = Vec::new();
    list(index, Ordinal::ROOT, "", &mut lines);
    lines
}

fn list(index: &Index, dir: Ordinal, above: &str, lines: &mut Vec<String>) {
    for child in index.children(dir, 0).unwrap() {
        let child = child.unwrap();
        let path = format!("{above}{}", child.name.escape_ascii());
        let Target::Inode(ordinal, _) = child.target else {
            lines.push(format!("{path}: whiteout"));
            continue;
        };
        lines.push(format!("{path}: {}", described(index, ordinal)));
        if matches!(index.inode(ordinal).unwrap().body, Body::Directory { .. }) {
            list(index, ordinal, &format!("{path}/"), lines);
        }
    }
}

fn described(index: &Index, ordinal: Ordinal) -> String {
    let inode = index.inode(ordinal).unwrap();
    let what = match inode.body {
        Body::Directory { opaque: true, .. } => "opaque directory".into(),
        Body::Directory { implied: true, .. } => "implied directory".into(),
        Body::Directory { .. } => "directory".into(),
        Body::Inline => format!("file {}", index.inline(ordinal).unwrap().escape_ascii()),
        Body::Object { .. } => format!("file of {}", inode.size),
        Body::Symlink => format!("-> {}", index.link_target(ordinal).unwrap().escape_ascii()),
        Body::Device { major, minor } => format!("device {major}:{minor}"),
        Body::Special => "special".into(),
    };
    let special = inode.mode & 0o7000;
    let mode =
        if special == 0 { String::new() } else { format!(", mode {:o}", inode.mode & 0o7777) };
    let names = if inode.is_group { format!(", {} names", inode.nlink) } else { String::new() };
    format!("{}{mode}{names}", what.trim_end())
}
