//! Every crate of Cargo.lock has a licence under which layerfs can be given away.

use serde_json::Value;

const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One line for each crate whose licence expression can't be met with the list.
pub fn not_allowed(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("");
        if !can_be_met(licence) {
            found.push(format!("crate {} has the licence '{licence}'", package["name"]));
        }
    }
    found
}

/// Whether an SPDX expression can be met. `/` is the old way to write `OR`.
fn can_be_met(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    !words.is_empty() && any(&words, &mut at) && at == words.len()
}

fn any(words: &[&str], at: &mut usize) -> bool {
    let mut met = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at);
    }
    met
}

fn all(words: &[&str], at: &mut usize) -> bool {
    let mut met = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at);
    }
    met
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any(words, at);
        *at += 1;
        return met;
    }
    if words.get(*at) != Some(&"WITH") {
        return ALLOWED.contains(word);
    }
    let exception = words.get(*at + 1).unwrap_or(&"");
    *at += 2;
    // An exception only grants more, so the licence alone is enough too.
    ALLOWED.contains(word) || ALLOWED.contains(&format!("{word} WITH {exception}").as_str())
}

#[test]
fn expressions_are_weighed() {
    for fine in [
        "MIT",
        "MIT OR GPL-3.0",
        "MIT/Apache-2.0",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
    ] {
        assert!(can_be_met(fine), "{fine}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0", "SSPL-1.0 / GPL-2.0"]
    {
        assert!(!can_be_met(bad), "{bad}");
    }
    let planted = serde_json::json!({"packages": [{"name": "x", "license": "GPL-3.0"}, {"name": "y", "license": null}, {"name": "z", "license": "MIT"}]});
    assert_eq!(not_allowed(&planted).len(), 2);
}
