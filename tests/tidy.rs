//! The red lines of STYLE.md and the floors of ARCHITECTURE.md, checked on every source file of the workspace.
//!
//! A rule is a function from text to violations, tested beside it with a planted one: a rule that can't fail does not exist.
//! An exception stands in the file, on the line or above it, with its reason: `// tidy: allow(rule) why`. All are printed.

#[path = "tidy/exceptions.rs"]
mod exceptions;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/functions.rs"]
mod functions;
#[path = "tidy/habits.rs"]
mod habits;
#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/promises.rs"]
mod promises;
#[path = "tidy/raw_calls.rs"]
mod raw_calls;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/workspace.rs"]
mod workspace;

use std::io::Write;

use source::{Source, Violation};

type Rule = fn(&Source) -> Vec<Violation>;

/// Every rule about a source file.
const RULES: [Rule; 15] = [
    files::opens_with_its_doc,
    files::long_files,
    files::names,
    files::mod_files_hold_no_code,
    functions::long_functions,
    functions::many_parameters,
    floors::packages,
    floors::rooms,
    raw_calls::unsafe_outside_sys,
    raw_calls::raw_calls_outside_sys,
    raw_calls::path_methods_outside_sys,
    habits::ignored_tests,
    habits::hushed_results,
    habits::sleeping,
    habits::swallowed_figures,
];

#[test]
fn every_source_file_is_tidy() {
    let sources = source::all();
    assert!(sources.len() > 5, "only {} source files were found", sources.len());
    let mut told = Vec::new();
    let mut excused = Vec::new();
    for source in &sources {
        let found = RULES.iter().flat_map(|rule| rule(source)).collect();
        let (left, used) = exceptions::apply(source, found);
        told.extend(left);
        excused.extend(used);
    }
    // Past the harness, which would swallow the output of a test that passes.
    for line in &excused {
        writeln!(std::io::stderr(), "tidy exception: {line}").expect("standard error takes a line");
    }
    let lines: Vec<String> = told.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} lines are not tidy:\n  {}", lines.len(), lines.join("\n  "));
}

#[test]
fn the_workspace_is_as_it_is_written_down() {
    let metadata = workspace::metadata();
    let mut told = workspace::members_missing_from_default(&metadata);
    told.extend(workspace::publishable(&metadata));
    told.extend(workspace::unlisted_dependencies(&metadata));
    told.extend(licences::not_allowed(&metadata));
    assert!(told.is_empty(), "the workspace is not tidy:\n  {}", told.join("\n  "));
}

#[test]
fn every_test_that_a_document_names_exists() {
    let told = promises::tests_that_do_not_exist(&source::all());
    let lines: Vec<String> = told.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "documents name tests that are not there:\n  {}", lines.join("\n  "));
}
