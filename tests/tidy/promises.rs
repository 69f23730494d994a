//! Tests that the documents name: each of them exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::source::{Source, Violation, line_of};

/// So many words make a name of a test; outside tables shorter ones may be anything else.
const WORDS: usize = 5;

/// Every document below `docs`, as path and text.
fn documents() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut left = vec![top.join("docs")];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).expect("the documents are there") {
            let path = entry.expect("the tree does not change under a test").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                let name = path.strip_prefix(top).expect("it was found below").to_string_lossy();
                let text = std::fs::read_to_string(&path).expect("documents are UTF-8");
                found.push((name.into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Names of tests in the documents that no function of the workspace has.
pub fn tests_that_do_not_exist(sources: &[Source]) -> Vec<Violation> {
    let functions: BTreeSet<&str> = sources.iter().flat_map(|s| functions(&s.code)).collect();
    let documents = documents();
    documents.iter().flat_map(|(path, text)| absent(path, text, &functions)).collect()
}

fn absent(path: &str, text: &str, functions: &BTreeSet<&str>) -> Vec<Violation> {
    let cited = cited(text).into_iter().filter(|(_, name)| !functions.contains(name));
    let told = |(line, name): (usize, &str)| Violation {
        rule: "promise",
        path: path.to_string(),
        line,
        what: format!("there is no test `{name}`"),
    };
    cited.map(told).collect()
}

fn functions(code: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = move |rest: &'_ str| rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    code.split("fn ").skip(1).map(move |rest| &rest[..name(rest)])
}

/// What the columns of tests name, and what stands elsewhere and has as many words as a test's name.
fn cited(text: &str) -> Vec<(usize, &str)> {
    let mut found = BTreeSet::new();
    // A name may stand in a paragraph that is broken anywhere but in it.
    for name in names(text, WORDS) {
        found.insert((line_of(text, offset(text, name)), name));
    }
    let mut columns: Option<Vec<usize>> = None;
    for (at, line) in text.lines().enumerate() {
        if !line.starts_with('|') {
            columns = None;
            continue;
        }
        let cells = cells(line);
        let Some(columns) = &columns else {
            let of_tests = |(_, cell): &(usize, &str)| cell.trim() == "Test";
            columns = Some(cells.into_iter().enumerate().filter(of_tests).map(|c| c.0).collect());
            continue;
        };
        for cell in columns.iter().filter_map(|column| cells.get(*column)) {
            found.extend(names(cell, 2).map(|name| (at + 1, name)));
        }
    }
    found.into_iter().collect()
}

/// The cells of a row; a bar after a backslash is text.
fn cells(line: &str) -> Vec<&str> {
    let bars: Vec<usize> = line
        .match_indices('|')
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || line.as_bytes()[at - 1] != b'\\')
        .collect();
    bars.windows(2).map(|pair| &line[pair[0] + 1..pair[1]]).collect()
}

/// What stands between backticks and is such a name, of at least so many words.
fn names(text: &str, words: usize) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = move |name: &&str| {
        name.split('_').count() >= words
            && name.split('_').all(|p| !p.is_empty() && p.chars().all(is_part))
    };
    text.split('`').skip(1).filter(is_name)
}

fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

#[test]
fn planted_names_of_tests_are_found() {
    let text = "`none_at_all` and (`no_test_of_so_many_words`,\n`a_test_of_so_many_words`)\n\n\
                | What | Test |\n|---|---|\n| `not_read` a \\| b | `short_one`, `is_there`, `make it` |\n\n\
                | What | Why |\n|---|---|\n| x | `not_read` |\n";
    let functions: BTreeSet<&str> =
        functions("async fn is_there() {}\nfn a_test_of_so_many_words<T>(x: T)").collect();
    let found = absent("docs/x.md", text, &functions);
    let found: Vec<(usize, &str)> = found.iter().map(|v| (v.line, v.what.as_str())).collect();
    let told = |name: &str| format!("there is no test `{name}`");
    let (long, short) = (told("no_test_of_so_many_words"), told("short_one"));
    assert_eq!(found, [(1, long.as_str()), (6, short.as_str())]);
}
