//! Where `unsafe` and raw calls may stand: the two `sys` rooms, and test code.

use super::source::{Source, Violation, find_words, is_word, line_of};

const SYS: [&str; 2] = ["layerfs/src/sys/", "runtime/src/sys/"];

/// Words that reach the kernel round `sys`, where they would have no fault point.
const RAW: [&str; 17] = [
    "std::fs",
    "rustix::",
    "nix::",
    "libc::",
    "memmap2::",
    "tempfile::",
    "std::os::unix::fs",
    "std::os::linux::fs",
    "std::os::unix::process",
    "process::Command",
    "current_exe",
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "use rustix",
    "use libc",
];

/// Methods of `Path` that ask the disk.
const ASKING: [&str; 6] = [
    ".exists()",
    ".try_exists()",
    ".canonicalize()",
    ".read_dir()",
    ".symlink_metadata()",
    ".read_link()",
];

/// The same, but with names that other types have too: these receivers hold a kind already read.
const ASKING_TOO: [&str; 4] = [".is_dir()", ".is_file()", ".is_symlink()", ".metadata()"];
const KINDS: [&str; 9] =
    ["kind", "file_type", "entry_type", "mode", "node", "record", "entry", "header", "self"];

fn is_sys(source: &Source) -> bool {
    SYS.iter().any(|room| source.path.starts_with(room))
}

fn outside(source: &Source, rule: &'static str, words: &[&str]) -> Vec<Violation> {
    if is_sys(source) {
        return Vec::new();
    }
    let code = &source.product;
    let at = |word: &&str| {
        find_words(code, word).into_iter().map(|n| (n, word.to_string())).collect::<Vec<_>>()
    };
    let found = words.iter().flat_map(at);
    found
        .map(|(n, word)| {
            source.violation(rule, line_of(code, n), format!("`{word}` stands in `sys` only"))
        })
        .collect()
}

pub fn unsafe_outside_sys(source: &Source) -> Vec<Violation> {
    outside(source, "unsafe", &["unsafe"])
}

pub fn raw_calls_outside_sys(source: &Source) -> Vec<Violation> {
    let mut found = outside(source, "raw_calls", &RAW);
    found.extend(grouped(source));
    found
}

/// Groups of a `use` that hold such a word after the brace: the path before it, and the word.
const GROUPED: [(&str, &str, &str); 2] =
    [("std::{", "fs", "std::fs"), ("process::{", "Command", "process::Command")];

/// `use std::{fs, io}`, `use std::{os::unix::fs}` and `use std::process::{Command, Stdio}`.
fn grouped(source: &Source) -> Vec<Violation> {
    if is_sys(source) {
        return Vec::new();
    }
    let code = &source.product;
    let mut found = Vec::new();
    for (path, word, whole) in GROUPED {
        for at in find_words(code, path) {
            let open = at + path.len() - 1;
            let group = &code[open..super::source::closing(code, open)];
            if !find_words(group, word).is_empty() {
                let what = format!("`{whole}` stands in `sys` only");
                found.push(source.violation("raw_calls", line_of(code, at), what));
            }
        }
    }
    found
}

pub fn path_methods_outside_sys(source: &Source) -> Vec<Violation> {
    let mut found = outside(source, "path_methods", &ASKING);
    if is_sys(source) {
        return found;
    }
    let code = &source.product;
    for method in ASKING_TOO {
        for (at, _) in code.match_indices(method) {
            if !KINDS.contains(&receiver(code, at)) {
                let what = format!("`{method}` of a path stands in `sys` only");
                found.push(source.violation("path_methods", line_of(code, at), what));
            }
        }
    }
    found
}

/// The last word before the dot at `at`; of a call, the name of what is called.
fn receiver(code: &str, at: usize) -> &str {
    let before = code[..at].trim_end();
    let before = before.strip_suffix("()").unwrap_or(before);
    let start = before.bytes().rposition(|b| !is_word(b)).map_or(0, |n| n + 1);
    &before[start..]
}

#[test]
fn unsafe_stands_in_sys() {
    let count = |path, text| unsafe_outside_sys(&Source::new(path, text)).len();
    assert_eq!(count("layerfs/src/store/x.rs", "unsafe { f() }"), 1);
    assert_eq!(count("layerfs/src/sys/x.rs", "unsafe { f() }"), 0);
    assert_eq!(count("runtime/src/sys/x.rs", "unsafe { f() }"), 0);
    assert_eq!(
        count("layerfs/src/store/x.rs", "#[allow(unsafe_code)] // unsafe\nlet x = \"unsafe\";"),
        0
    );
}

#[test]
fn raw_calls_stand_in_sys() {
    let count = |path: &str, text: &str| raw_calls_outside_sys(&Source::new(path, text)).len();
    let store = "layerfs/src/store/x.rs";
    for planted in RAW
        .iter()
        .map(|w| format!("{w} "))
        .chain(["use std::{io, fs};".into(), "use std::{fs::File};".into()])
        .chain([
            "use std::process::{Child, Command};".into(),
            "use std::{process::Command};".into(),
        ])
    {
        assert!(count(store, &planted) >= 1, "{planted}");
        assert_eq!(count("layerfs/src/sys/x.rs", &planted), 0);
        assert_eq!(count("layerfs/tests/x.rs", &planted), 0);
    }
    assert_eq!(count(store, "#[cfg(test)]\nmod tests { use std::fs; }"), 0);
    assert_eq!(count(store, "use std::process::{ExitCode, Stdio}; fn a(c: clap::Command) {}"), 0);
    assert_eq!(count(store, "use std::{io, ffi::OsString}; use crate::sys::fs; // std::fs"), 0);
}

#[test]
fn paths_are_not_asked_outside_sys() {
    let count = |text| path_methods_outside_sys(&Source::new("layerfs/src/store/x.rs", text)).len();
    assert_eq!(count("if path.exists() {}"), 1);
    assert_eq!(count("self.root.is_dir()"), 1);
    assert_eq!(
        count("entry.kind().is_dir() && header.entry_type().is_file() && self.is_symlink()"),
        0
    );
    assert_eq!(
        path_methods_outside_sys(&Source::new(
            "layerfs/src/sys/x.rs",
            "path.exists() || path.is_dir()"
        )),
        []
    );
}
