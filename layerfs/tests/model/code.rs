//! Owns a history as Rust code, ready to stand in a test file under a name of its own.

use std::fmt::{Debug, Write};

use super::history::Case;

/// A test that replays the case; `start` has to become the subject it failed on.
pub fn test(case: &Case) -> String {
    let layers: Vec<String> = case
        .layers
        .iter()
        .map(|layer| format!("Layer {{ entries: {} }}", list(&layer.entries, 12)))
        .collect();
    let mut text = String::new();
    let ops = list(&case.ops, 8);
    writeln!(text, "#[test]\nfn name_the_fact_here() {{\n    use model::words::*;").unwrap();
    writeln!(text, "    let case = Case {{\n        seed: 0,\n        layers: vec![").unwrap();
    for layer in layers {
        writeln!(text, "            {layer},").unwrap();
    }
    writeln!(text, "        ],\n        ops: {ops},").unwrap();
    writeln!(text, "        tree_every: {},\n    }};", case.tree_every).unwrap();
    writeln!(text, "    replay(&case, &start);\n}}").unwrap();
    text
}

fn list(items: &[impl Debug], indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut text = "vec![\n".to_string();
    for item in items {
        writeln!(text, "{margin}    {item:?},").unwrap();
    }
    text + &margin + "]"
}
