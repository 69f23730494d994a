//! Habits that hide failures: ignored tests, results thrown away, sleeping for luck.

use super::source::{Source, Violation, find_words, line_of};

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
