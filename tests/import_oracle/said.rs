//! One image told twice in one form: by the script, and by the store.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use layerfs_driver::store::Store;
use layerfs_driver::store::digest::{Digest, Hasher};
use layerfs_driver::store::index::{Body, Index, Inode, Kind, Ordinal, Target};
use serde_json::{Map, Value, json};

/// What the script says.
pub fn by_python(form: &str, source: &Path) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import_oracle/oracle.py");
    let output = Command::new("python3").arg(script).arg(form).arg(source).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", source.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What an index says, in the script's form. Objects are read from the disk, not taken by their names.
pub fn by_index(store: &Store, index: &Index) -> Value {
    let mut telling = Telling { store, index, said: Map::new(), numbers: HashMap::new() };
    telling.entry(b"", Ordinal::ROOT);
    telling.below(b"", Ordinal::ROOT);
    telling.assert_names_lead_back();
    Value::Object(telling.said)
}

struct Telling<'a> {
    store: &'a Store,
    index: &'a Index,
    said: Map<String, Value>,
    /// Numbers and names of the files met, by ordinal.
    numbers: HashMap<Ordinal, (usize, Vec<Vec<u8>>)>,
}

impl Telling<'_> {
    fn below(&mut self, path: &[u8], dir: Ordinal) {
        let index = self.index;
        for child in index.children(dir, 0).unwrap() {
            let child = child.unwrap();
            assert_eq!(index.lookup(dir, child.name).unwrap(), Some(child.target));
            let path =
                if path.is_empty() { child.name.to_vec() } else { [path, child.name].join(&b'/') };
            let Target::Inode(ordinal, _) = child.target else {
                self.said.insert(hex(&path), json!({ "kind": "whiteout" }));
                continue;
            };
            self.entry(&path, ordinal);
            if matches!(index.inode(ordinal).unwrap().body, Body::Directory { .. }) {
                self.below(&path, ordinal);
            }
        }
    }

    fn entry(&mut self, path: &[u8], ordinal: Ordinal) {
        let inode = self.index.inode(ordinal).unwrap();
        let mut entry = self.described(ordinal, &inode);
        if let Body::Directory { opaque, implied } = inode.body {
            for (key, is) in [("opaque", opaque), ("implied", implied)] {
                assert!(!is || self.index.kind() == Kind::Layer, "a merged tree has no marks");
                if is {
                    entry[key] = json!(true);
                }
            }
        } else {
            let fresh = self.numbers.len();
            let (_, names) = self.numbers.entry(ordinal).or_insert((fresh, Vec::new()));
            names.push(path.to_vec());
        }
        self.said.insert(hex(path), entry);
    }

    fn described(&self, ordinal: Ordinal, inode: &Inode) -> Value {
        let index = self.index;
        let mut target = String::new();
        let mut device = json!([]);
        let mut sha256 = String::new();
        let kind = match &inode.body {
            Body::Directory { .. } => "directory",
            Body::Inline => {
                let bytes = index.inline(ordinal).unwrap();
                assert_eq!(bytes.len() as u64, inode.size);
                sha256 = Digest::of(bytes).hex();
                "file"
            }
            Body::Object { digest, .. } => {
                sha256 = self.read(digest, inode.size).hex();
                "file"
            }
            Body::Symlink => {
                target = hex(index.link_target(ordinal).unwrap());
                "symlink"
            }
            Body::Device { major, minor } => {
                device = json!([major, minor]);
                if inode.mode >> 12 == 0o06 { "block" } else { "char" }
            }
            Body::Special => "fifo",
        };
        let xattrs = index.xattrs(ordinal).unwrap();
        let xattrs: Map<String, Value> =
            xattrs.iter().map(|(name, value)| (hex(name), hex(value).into())).collect();
        let size = if kind == "file" { inode.size } else { 0 };
        json!({
            "kind": kind, "mode": inode.mode & 0o7777, "uid": inode.uid, "gid": inode.gid,
            "mtime_ns": inode.mtime.secs * 1_000_000_000 + i64::from(inode.mtime.nanos),
            "size": size, "target": target, "device": device, "xattrs": xattrs, "sha256": sha256,
        })
    }

    fn read(&self, digest: &Digest, size: u64) -> Digest {
        let mut file = File::from(self.store.open_object(digest).unwrap());
        let (mut sum, mut buf, mut total) = (Hasher::new(), vec![0; 1 << 16], 0);
        loop {
            match file.read(&mut buf).unwrap() {
                0 => break,
                len => {
                    sum.update(&buf[..len]);
                    total += len as u64;
                }
            }
        }
        assert_eq!(total, size);
        sum.finish()
    }

    /// Numbers the files by their first paths, and compares the names of each with those that lead to it.
    fn assert_names_lead_back(&mut self) {
        let index = self.index;
        let mut files: Vec<_> = self.numbers.iter().collect();
        // The script sorts paths by components.
        let first = |names: &[Vec<u8>]| names.iter().map(|name| components(name)).min();
        files.sort_by_key(|(_, (_, names))| first(names));
        for (number, (ordinal, (_, names))) in files.into_iter().enumerate() {
            let mut told: Vec<Vec<u8>> = index
                .names(*ordinal)
                .unwrap()
                .into_iter()
                .map(|(dir, name)| [&path_of(index, dir)[..], name].concat())
                .collect();
            let mut walked = names.clone();
            told.sort();
            walked.sort();
            assert_eq!(told, walked, "names of {ordinal}");
            assert_eq!(index.inode(*ordinal).unwrap().nlink as usize, walked.len());
            for name in names {
                self.said[&hex(name)]["file"] = json!(number);
            }
        }
    }
}

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

/// The path of a directory with a slash at its end, by the parents that its record names.
fn path_of(index: &Index, dir: Ordinal) -> Vec<u8> {
    if dir == Ordinal::ROOT {
        return Vec::new();
    }
    let parent = index.inode(dir).unwrap().parent;
    [&path_of(index, parent)[..], index.name(dir).unwrap(), b"/"].concat()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A path for messages.
pub fn readable(path: &str) -> String {
    format!("/{}", bytes(path).escape_ascii())
}
