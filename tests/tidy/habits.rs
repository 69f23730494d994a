//! Habits that hide failures: ignored tests, results thrown away, sleeping for luck, figures that nobody sees.

use super::source::{Source, Violation, closing, find_words, line_of};

fn each(source: &Source, code: &str, rule: &'static str, words: &[&str]) -> Vec<Violation> {
    let at = |word: &&str| {
        find_words(code, word).into_iter().map(|n| (n, word.to_string())).collect::<Vec<_>>()
    };
    let found = words.iter().flat_map(at);
    found.map(|(n, word)| source.violation(rule, line_of(code, n), format!("`{word}`"))).collect()
}

/// A test that can't run says why and returns; it is never ignored.
pub fn ignored_tests(source: &Source) -> Vec<Violation> {
    each(source, &source.code, "ignored_test", &["#[ignore", "ignore ="])
}

/// No result is thrown away outside tests.
pub fn hushed_results(source: &Source) -> Vec<Violation> {
    each(source, &source.product, "hushed_result", &["let _ =", "let _:", ".ok();"])
}

/// Nothing sleeps, tests included: what is waited for is waited on.
pub fn sleeping(source: &Source) -> Vec<Violation> {
    each(
        source,
        &source.code,
        "sleep",
        &["thread::sleep", "use std::thread::{sleep", "sleep(Duration"],
    )
}

/// What says how much a test has tried.
const FIGURES: [&str; 5] = ["points", "deaths", "killed", "seeds", "seed:"];

/// What a proof counts is written past the harness, which swallows what a test prints that passes.
pub fn swallowed_figures(source: &Source) -> Vec<Violation> {
    if !source.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for word in ["println!", "eprintln!"] {
        for at in find_words(&source.code, word) {
            let open = at + word.len();
            let words = &source.text[open..closing(&source.code, open)];
            if FIGURES.iter().any(|figure| words.contains(figure)) {
                let what = format!("`{word}` is swallowed in a run that passes: `support::figure`");
                found.push(source.violation("figures", line_of(&source.code, at), what));
            }
        }
    }
    found
}

#[test]
fn planted_figures_are_found() {
    let count = |path, text: &str| swallowed_figures(&Source::new(path, text)).len();
    for line in
        ["eprintln!(\"points: {n}\");", "println!(\"{n} deaths\")", "eprintln!(\"seed: {n}\")"]
    {
        assert_eq!(count("tests/x.rs", line), 1, "{line}");
        assert_eq!(count("layerfs/tests/x.rs", line), 1, "{line}");
        assert_eq!(count("src/x.rs", line), 0, "{line}");
    }
    assert_eq!(count("tests/x.rs", "figure(format_args!(\"points: {n}\"));"), 0);
    assert_eq!(count("tests/x.rs", "eprintln!(\"{error}\"); // points"), 0);
}

#[test]
fn planted_habits_are_found() {
    let source = |text| Source::new("layerfs/src/store/x.rs", text);
    assert_eq!(ignored_tests(&source("#[test]\n#[ignore]\nfn a() {}")).len(), 1);
    assert_eq!(
        ignored_tests(&Source::new("tests/x.rs", "#[ignore = \"slow\"]\nfn a() {}")).len(),
        2
    );
    assert_eq!(ignored_tests(&source("// #[ignore]\n")), []);
    assert_eq!(hushed_results(&source("let _ = f();")).len(), 1);
    assert_eq!(hushed_results(&source("f().ok();")).len(), 1);
    assert_eq!(hushed_results(&source("let x = f().ok()?; let _guard = g();")), []);
    assert_eq!(hushed_results(&source("#[cfg(test)]\nmod tests { fn a() { let _ = f(); } }")), []);
    assert_eq!(sleeping(&source("std::thread::sleep(d)")).len(), 1);
    assert_eq!(sleeping(&Source::new("tests/x.rs", "sleep(Duration::from_secs(1))")).len(), 1);
    assert_eq!(sleeping(&Source::new("tests/x.rs", "Command::new(\"sleep\")")), []);
}
