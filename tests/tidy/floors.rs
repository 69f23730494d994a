//! The floors: calls and `use` go down only, between packages and between the rooms of the storage driver.

use super::source::{Source, Violation, find_words, is_word, line_of};

/// What each package may not name, because it stands above it.
const ABOVE: [(&str, &[&str]); 2] =
    [("layerfs/", &["layerfs_runtime", "layerfs"]), ("runtime/", &["layerfs"])];

/// The rooms of the driver with their floors; rooms of one floor do not know each other.
const ROOMS: [(&str, u32); 9] = [
    ("sys", 0),
    ("wire", 1),
    ("store", 1),
    ("tree", 2),
    ("lower", 3),
    ("upper", 3),
    ("union", 4),
    ("changes", 4),
    ("fuse", 5),
];

/// A package names only packages below it.
pub fn packages(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (_, names) in ABOVE.iter().filter(|(dir, _)| source.path.starts_with(dir)) {
        for name in *names {
            for at in find_words(&source.product, &format!("{name}::")) {
                // `crate::layerfs::` would be a module, and `self.layerfs` a field.
                if !source.product[..at].ends_with("::") {
                    found.push(source.violation(
                        "floors",
                        line_of(&source.product, at),
                        format!("`{name}` stands above this package"),
                    ));
                }
            }
        }
    }
    found
}

fn floor(room: &str) -> Option<u32> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// A room names only rooms below it; every room is on a floor.
pub fn rooms(source: &Source) -> Vec<Violation> {
    let Some(inside) = source.path.strip_prefix("layerfs/src/") else { return Vec::new() };
    let modules: Vec<&str> =
        inside.trim_end_matches(".rs").split('/').filter(|m| *m != "mod").collect();
    let room = modules[0];
    if room == "lib" {
        return Vec::new();
    }
    let Some(own) = floor(room) else {
        return vec![source.violation(
            "floors",
            0,
            format!("`{room}` is on no floor; the list is in tests/tidy/floors.rs"),
        )];
    };
    let mut found = Vec::new();
    for (at, named) in named_from_the_top(&source.product, modules.len()) {
        let wrong = named != room && floor(&named).is_some_and(|other| other >= own);
        if wrong {
            let what = format!("`{room}` names `{named}`, which is not below it");
            found.push(source.violation("floors", line_of(&source.product, at), what));
        }
    }
    found
}

/// The first word of each path that starts at the top of the crate: after `crate::`, or after as many `super::` as the file
/// is deep. Groups in braces are looked into.
fn named_from_the_top(code: &str, depth: usize) -> Vec<(usize, String)> {
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    for start in ["crate::", climb.as_str()] {
        for at in find_words(code, start) {
            let more = code[..at].ends_with("super::");
            if !more {
                found.extend(first_words(code, at + start.len()));
            }
        }
    }
    found
}

fn first_words(code: &str, at: usize) -> Vec<(usize, String)> {
    if !code[at..].starts_with('{') {
        return vec![(at, word(code, at))];
    }
    let mut found = Vec::new();
    let mut depth = 0_i32;
    for (n, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(byte, b'{' | b',') {
            let skip = code[n + 1..].len() - code[n + 1..].trim_start().len();
            found.push((n + 1 + skip, word(code, n + 1 + skip)));
        }
    }
    found
}

fn word(code: &str, at: usize) -> String {
    code[at..]
        .chars()
        .take_while(|c| c.is_ascii() && is_word(u8::try_from(*c).unwrap_or(b' ')))
        .collect()
}

#[test]
fn a_package_does_not_name_the_one_above() {
    let count = |path, text| packages(&Source::new(path, text)).len();
    assert_eq!(count("layerfs/src/store/x.rs", "use layerfs_runtime::Container;"), 1);
    assert_eq!(count("runtime/src/x.rs", "layerfs::image::pull()"), 1);
    assert_eq!(count("runtime/src/x.rs", "use layerfs_driver::store::Store;"), 0);
    assert_eq!(count("src/x.rs", "use layerfs_runtime::Container;"), 0);
}

#[test]
fn a_room_names_rooms_below_it_only() {
    let count = |path, text| rooms(&Source::new(path, text)).len();
    assert_eq!(count("layerfs/src/store/x.rs", "use crate::union::Node;"), 1);
    assert_eq!(count("layerfs/src/store/x.rs", "use crate::{sys::open, union::{Node, fuse}};"), 1);
    assert_eq!(count("layerfs/src/store/x.rs", "fn f() { super::super::fuse::mount() }"), 1);
    assert_eq!(
        count("layerfs/src/store/deep/x.rs", "fn f() { super::super::super::fuse::mount() }"),
        1
    );
    assert_eq!(
        count("layerfs/src/store/deep/x.rs", "use super::super::union;"),
        0,
        "a module of the store"
    );
    assert_eq!(count("layerfs/src/upper/x.rs", "use crate::lower::Lower;"), 1);
    assert_eq!(count("layerfs/src/sys/x.rs", "use crate::store::Digest;"), 1);
    assert_eq!(count("layerfs/src/tree/x.rs", "use crate::lower::Lower;"), 1);
    assert_eq!(count("layerfs/src/lower/x.rs", "use crate::{tree::Attr, store::Digest};"), 0);
    assert_eq!(count("layerfs/src/fuse/x.rs", "use crate::{union::Node, sys, store::Digest};"), 0);
    assert_eq!(
        count(
            "layerfs/src/store/x.rs",
            "use crate::store::index; use crate::sys::open; // crate::union"
        ),
        0
    );
    assert_eq!(count("layerfs/src/tools/x.rs", ""), 1);
}
