//! A source file as the rules see it: its text, and its text with comments, strings and test code blanked out.
//!
//! This is a line scanner, no parser. It knows strings (raw ones too), characters, lifetimes and nested comments, which is
//! enough to find words and braces that are code.

use std::fmt;
use std::path::{Path, PathBuf};

/// A rule broken at a line, counted from 1; line 0 stands for the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// One file of Rust.
pub struct Source {
    /// From the top of the workspace, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of strings as blanks; lines and columns are kept.
    pub code: String,
    /// `code` with everything under `#[cfg(test)]` blanked too; empty for a file of tests.
    pub product: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let code = mask(text);
        let is_test = is_test_file(path) || code.contains("#![cfg(test)]");
        let product = if is_test { String::new() } else { blank_tests(&code) };
        Source { path: path.to_string(), text: text.to_string(), code, product }
    }

    pub fn violation(&self, rule: &'static str, line: usize, what: impl Into<String>) -> Violation {
        Violation { rule, path: self.path.clone(), line, what: what.into() }
    }

    /// Whether the file is code that tests, measures or shows, and none that ships.
    pub fn is_test(&self) -> bool {
        is_test_file(&self.path)
    }
}

fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/');
    path.ends_with("/tests.rs") || parts.any(|p| p == "tests" || p == "benches" || p == "examples")
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1
}

/// Every Rust file of the workspace, in order of path.
pub fn all() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for dir in ["src", "layerfs", "runtime", "tests", "benches", "examples"] {
        collect(&top.join(dir), &mut paths);
    }
    paths.sort();
    let load = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("source files are UTF-8");
        Source::new(&path.strip_prefix(top).expect("it was found below").to_string_lossy(), &text)
    };
    paths.iter().map(load).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("the tree does not change under a test").path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|e| e == "rs") {
            paths.push(path);
        }
    }
}

/// Blanks comments and the insides of strings and characters.
pub fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = match rest[0] {
            b'/' if rest.starts_with(b"//") => line_comment(rest),
            b'/' if rest.starts_with(b"/*") => block_comment(rest),
            b'"' => quoted(rest),
            b'\'' => character(rest),
            b'r' | b'b' | b'c' if at == 0 || !is_word(bytes[at - 1]) => prefixed_string(rest),
            _ => 0,
        };
        for byte in &mut out[at..at + len] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += len.max(1);
    }
    // Blanks replace whole characters or the insides of literals, so what is left is UTF-8.
    String::from_utf8(out).expect("masking keeps UTF-8 whole")
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string that starts with a quote.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of a character; 0 for a lifetime or a label.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|b| *b == b'\'').map_or(0, |n| n + 4);
    }
    // One character of up to four bytes, then the closing quote.
    let close = (2..=5).find(|n| rest.get(*n) == Some(&b'\''));
    let first = std::str::from_utf8(&rest[1..close.unwrap_or(1)]).unwrap_or("");
    if first.chars().count() == 1 { close.map_or(0, |n| n + 1) } else { 0 }
}

/// The length of `r"…"`, `br#"…"#`, `b"…"`, `c"…"`, `b'x'`; 0 for a word.
fn prefixed_string(rest: &[u8]) -> usize {
    let letters = rest.iter().take(2).take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let raw = rest[..letters].contains(&b'r');
    let hashes = if raw { rest[letters..].iter().take_while(|b| **b == b'#').count() } else { 0 };
    match rest.get(letters + hashes) {
        Some(b'"') if raw => {
            let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let body = letters + hashes + 1;
            let found = rest[body..].windows(end.len()).position(|w| w == end);
            found.map_or(rest.len(), |n| body + n + end.len())
        }
        Some(b'"') => letters + quoted(&rest[letters..]),
        Some(b'\'') if rest[0] == b'b' && letters == 1 => letters + character(&rest[letters..]),
        _ => 0,
    }
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Offsets of `needle` in masked code where it is no part of a longer word.
pub fn find_words(code: &str, needle: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let ends_clean = |at: usize| {
        let last = needle.as_bytes()[needle.len() - 1];
        !is_word(last) || bytes.get(at + needle.len()).is_none_or(|b| !is_word(*b))
    };
    let starts_clean =
        |at: usize| !is_word(needle.as_bytes()[0]) || at == 0 || !is_word(bytes[at - 1]);
    code.match_indices(needle)
        .map(|(at, _)| at)
        .filter(|at| starts_clean(*at) && ends_clean(*at))
        .collect()
}

/// The offset just after the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Blanks each item that stands under `#[cfg(test)]` or `#[test]`.
fn blank_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for mark in ["#[cfg(test)]", "#[test]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(mark) {
            for byte in &mut out[start..item_end(code, start)] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
    }
    String::from_utf8(out).expect("only whole items are blanked")
}

/// Where the item that starts with attributes at `start` ends: after its `;`, `,` or closing brace.
fn item_end(code: &str, start: usize) -> usize {
    let bytes = code.as_bytes();
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => return closing(code, at),
            b'(' | b'[' => at = closing(code, at),
            b';' | b',' => return at + 1,
            _ => at += 1,
        }
    }
    code.len()
}

#[test]
fn masking_blanks_what_is_not_code() {
    let text = "a(\"unsafe \\\" {\", r#\"std::fs \"x\" \"#, 'u', '\\'', b\"rustix::\", b'{'); // unsafe\n/* a /* b */ unsafe */ fn f<'a>(x: &'a str) {}";
    let code = mask(text);
    assert_eq!(code.len(), text.len());
    for word in ["unsafe", "std::fs", "rustix", "\""] {
        assert!(!code.contains(word), "{word} in {code}");
    }
    assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
    assert_eq!(mask("let é = 'é'; // ü\nx").lines().count(), 2);
}

#[test]
fn test_items_are_no_product() {
    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\n#[cfg(test)]\nuse x::y;\nfn c() {}\n";
    let source = Source::new("layerfs/src/store/x.rs", text);
    assert!(source.product.contains("fn a()") && source.product.contains("fn c()"));
    assert!(!source.product.contains("fn b()") && !source.product.contains("x::y"));
    assert_eq!(source.product.lines().count(), 6);
    assert!(Source::new("tests/x.rs", text).product.is_empty());
    assert!(Source::new("layerfs/src/store/tests.rs", text).product.is_empty());
}

#[test]
fn a_file_of_tests_may_say_so_itself() {
    let said = Source::new("src/a.rs", "//! A.\n#![cfg(test)]\nuse std::fs;\n");
    assert_eq!(said.product, "");
    assert_ne!(Source::new("src/a.rs", "//! A `#![cfg(test)]`.\nuse std::fs;\n").product, "");
}

#[test]
fn words_are_whole() {
    assert_eq!(find_words("unsafe_op(); unsafe { }", "unsafe"), [13]);
    assert_eq!(find_words("my_rustix::x rustix::y", "rustix::"), [13]);
}
