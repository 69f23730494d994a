//! Rules about a file as a whole: its length, its name, its first line, what a `mod.rs` may hold.

use super::source::{Source, Violation, closing, line_of};

const LINES_MAX: usize = 500;

/// Every file opens with the sentence that says what it owns.
pub fn opens_with_its_doc(source: &Source) -> Vec<Violation> {
    let first = source.text.lines().next().unwrap_or("");
    if first.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.violation("opening_doc", 1, "the first line is no `//!` sentence")]
}

/// At most 500 lines that are not tests.
pub fn long_files(source: &Source) -> Vec<Violation> {
    let tests = |code: &&str, product: &&str| !code.trim().is_empty() && product.trim().is_empty();
    let all = source.text.lines().count();
    let tests =
        source.code.lines().zip(source.product.lines()).filter(|(c, p)| tests(c, p)).count();
    if source.is_test() || all - tests <= LINES_MAX {
        return Vec::new();
    }
    vec![source.violation(
        "file_length",
        0,
        format!("{} lines without tests, {LINES_MAX} are allowed", all - tests),
    )]
}

const VAGUE: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "stuff"];

/// No file or module with a name that says nothing, and no `rootfs/rootfs.rs`.
pub fn names(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let parts: Vec<&str> = source.path.trim_end_matches(".rs").split('/').collect();
    for part in parts.iter().filter(|p| VAGUE.contains(p)) {
        found.push(source.violation("vague_name", 0, format!("`{part}` says nothing")));
    }
    if let [.., dir, file] = parts.as_slice()
        && dir == file
    {
        found.push(source.violation(
            "repeated_name",
            0,
            format!("`{dir}/{file}.rs` repeats its room"),
        ));
    }
    for name in VAGUE {
        for at in super::source::find_words(&source.code, &format!("mod {name}")) {
            found.push(source.violation(
                "vague_name",
                line_of(&source.code, at),
                format!("`{name}` says nothing"),
            ));
        }
    }
    found
}

/// `mod.rs` and `lib.rs` hold docs, `mod` and `use` lines and attributes only.
pub fn mod_files_hold_no_code(source: &Source) -> Vec<Violation> {
    let name = source.path.rsplit('/').next().unwrap_or("");
    // A `mod.rs` in tests is held to it as well; `tests.rs` and the like are not.
    if name != "mod.rs" && name != "lib.rs" {
        return Vec::new();
    }
    let code = if source.is_test() { &source.code } else { &source.product };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find(|c: char| !c.is_whitespace()).map(|n| at + n) {
        let end = statement_end(code, start);
        let item = &code[start..end];
        if !item.starts_with('#') && !is_declaration(item) {
            let line = item.lines().next().unwrap_or("");
            found.push(source.violation(
                "code_in_mod_file",
                line_of(code, start),
                format!("`{line}` belongs in a file of its own"),
            ));
        }
        at = end;
    }
    found
}

/// Where the attribute or item at `start` ends.
fn statement_end(code: &str, start: usize) -> usize {
    if code[start..].starts_with('#') {
        return code[start..].find('[').map_or(code.len(), |n| closing(code, start + n));
    }
    let stop = code[start..].find([';', '{']).map_or(code.len(), |n| start + n);
    if !code[stop..].starts_with('{') {
        return (stop + 1).min(code.len());
    }
    let end = closing(code, stop);
    // A grouped `use` goes on to its semicolon.
    if is_declaration(&code[start..]) {
        code[end..].find(';').map_or(end, |n| end + n + 1)
    } else {
        end
    }
}

fn is_declaration(item: &str) -> bool {
    let item = item.strip_prefix("pub").unwrap_or(item).trim_start();
    let item = if item.starts_with('(') { &item[closing(item, 0)..] } else { item }.trim_start();
    // An inline module holds code.
    item.starts_with("use ") || (item.starts_with("mod ") && !item.contains('{'))
}

#[test]
fn a_file_opens_with_a_sentence() {
    assert_eq!(opens_with_its_doc(&Source::new("src/x.rs", "//! Owns x.\n")), []);
    assert_eq!(opens_with_its_doc(&Source::new("src/x.rs", "use x;\n//! Owns x.\n")).len(), 1);
    assert_eq!(opens_with_its_doc(&Source::new("src/x.rs", "// Owns x.\n")).len(), 1);
}

#[test]
fn the_501st_line_is_too_much_and_tests_do_not_count() {
    let lines = |n: usize| "fn a() {}\n".repeat(n);
    let source = |text: &str| Source::new("src/x.rs", text);
    assert_eq!(long_files(&source(&lines(500))), []);
    assert_eq!(long_files(&source(&lines(501))).len(), 1);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(490), lines(200));
    assert_eq!(long_files(&source(&tests)), []);
    let comments = format!("{}{}", lines(400), "// why\n".repeat(101));
    assert_eq!(long_files(&source(&comments)).len(), 1);
}

#[test]
fn names_say_something() {
    assert_eq!(names(&Source::new("src/utils.rs", "")).len(), 1);
    assert_eq!(names(&Source::new("src/helpers/mod.rs", "")).len(), 1);
    assert_eq!(names(&Source::new("src/x.rs", "mod common { }")).len(), 1);
    assert_eq!(names(&Source::new("runtime/src/rootfs/rootfs.rs", "")).len(), 1);
    assert_eq!(names(&Source::new("runtime/src/rootfs/pivot.rs", "mod commonplace;")), []);
}

#[test]
fn a_mod_file_declares() {
    let fine = "//! X.\n#![allow(dead_code)]\n#[cfg(test)]\nmod tests { fn a() {} }\npub mod a;\nmod b;\npub(crate) use a::{B,\n C};\n";
    assert_eq!(mod_files_hold_no_code(&Source::new("layerfs/src/store/mod.rs", fine)), []);
    for planted in [
        "pub mod a;\nfn b() {}\n",
        "pub struct A;\n",
        "mod a { fn b() {} }\n",
        "use a::{b};\nconst C: u8 = 1;\n",
    ] {
        let found = mod_files_hold_no_code(&Source::new("layerfs/src/store/mod.rs", planted));
        assert_eq!(found.len(), 1, "{planted}: {found:?}");
    }
    assert_eq!(mod_files_hold_no_code(&Source::new("layerfs/src/store/a.rs", "fn b() {}")), []);
}
