//! `// tidy: allow(rule) reason`: excuses the line it stands on, or the one below the comments and attributes it stands in.
//! For a rule about the whole file it may stand anywhere. One without a reason, or that excuses nothing, is a violation.

use super::source::{Source, Violation};

struct Exception {
    rule: String,
    reason: String,
    line: usize,
    /// The line that it excuses.
    covers: usize,
}

/// What is left of `found`, and a line of text for each exception that was used.
pub fn apply(source: &Source, found: Vec<Violation>) -> (Vec<Violation>, Vec<String>) {
    let exceptions = read(source);
    let mut used = vec![false; exceptions.len()];
    let mut left = Vec::new();
    for violation in found {
        let covers = |e: &Exception| {
            e.rule == violation.rule && (violation.line == 0 || e.covers == violation.line)
        };
        match exceptions.iter().position(covers) {
            Some(index) => used[index] = true,
            None => left.push(violation),
        }
    }
    for (exception, used) in exceptions.iter().zip(&used) {
        if exception.reason.len() < 10 {
            left.push(source.violation(
                "exception_reason",
                exception.line,
                "an exception says why",
            ));
        } else if !used {
            left.push(source.violation(
                "exception_unused",
                exception.line,
                format!("nothing here breaks {}", exception.rule),
            ));
        }
    }
    let told = exceptions.iter().zip(&used).filter(|(_, used)| **used);
    let told = told
        .map(|(e, _)| format!("{}:{}: {}: {}", source.path, e.line, e.rule, e.reason))
        .collect();
    (left, told)
}

fn read(source: &Source) -> Vec<Exception> {
    let code: Vec<&str> = source.code.lines().collect();
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let Some((before, after)) = line.split_once("// tidy: allow(") else { continue };
        // In a string, or in the doc that tells how it is written, it is none.
        if before.contains('"') || before.contains('`') || before.contains("//") {
            continue;
        }
        let Some((rule, reason)) = after.split_once(')') else { continue };
        let covers =
            if before.trim().is_empty() { next_code_line(&code, index + 1) } else { index + 1 };
        found.push(Exception {
            rule: rule.into(),
            reason: reason.trim().into(),
            line: index + 1,
            covers,
        });
    }
    found
}

/// The first line from `index` on that is neither blank, comment nor attribute; counted from 1.
fn next_code_line(code: &[&str], index: usize) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("#[");
    code.iter().skip(index).position(is_code).map_or(0, |n| index + n + 1)
}

#[test]
fn an_exception_covers_its_line_and_no_other() {
    let text = "//! x\n// tidy: allow(rule) because the kernel wants it\n#[inline]\nfn a() {}\nfn b() {}\n";
    let source = Source::new("src/x.rs", text);
    let found = |line| vec![source.violation("rule", line, "")];
    assert_eq!(apply(&source, found(4)).0, []);
    assert_eq!(apply(&source, found(4)).1.len(), 1);
    assert_eq!(apply(&source, found(5)).0.len(), 2, "the violation and the unused exception");
    let same_line = Source::new("src/x.rs", "fn a() {} // tidy: allow(rule) because it is so\n");
    assert_eq!(apply(&same_line, vec![same_line.violation("rule", 1, "")]).0, []);
}

#[test]
fn an_exception_without_reason_is_refused() {
    let source = Source::new("src/x.rs", "fn a() {} // tidy: allow(rule)\n");
    let (left, _) = apply(&source, vec![source.violation("rule", 1, "")]);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].rule, "exception_reason");
}
