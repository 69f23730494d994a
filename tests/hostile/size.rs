//! Layers of very many or very deep entries: time grows with the input and no faster.

use std::io::Write;

use super::row::layer_listing;
use super::store::{Victim, text};
use super::tarball::{Entry, dir, file, open_ended, tar};
use crate::support::watchdog;

/// Processor time of importing an archive, which must succeed.
fn cpu_secs(victim: &Victim, archive: &[u8]) -> f64 {
    let path = victim.write("many.tar", archive);
    let said = victim.measured(&["import", "-q", text(&path), "many"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    said.cpu_secs
}

/// Five times the input takes less than twelve times as long; a quadratic import would take 25 times.
fn grows_linearly(what: &str, archive: impl Fn(usize) -> Vec<u8>) {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let few = cpu_secs(&victim, &archive(20_000));
    let many = cpu_secs(&victim, &archive(100_000));
    assert!(many < 12.0 * few, "{what}: 20,000 took {few} s, 100,000 took {many} s");
    victim.assert_clean(what);
    victim.forget("many");
}

fn many(count: usize, entry: impl Fn(usize) -> Entry) -> Vec<u8> {
    tar(&(0..count).map(entry).collect::<Vec<_>>())
}

#[test]
fn opaque_marks_of_one_directory_take_linear_time() {
    grows_linearly("marks of one directory", |count| {
        let below: Vec<Entry> = (0..1000).map(|n| file(format!("d/{n}"), "")).collect();
        let marks: Vec<Entry> = (0..count).map(|_| file("d/.wh..wh..opq", "")).collect();
        tar(&[below, marks].concat())
    });
}

#[test]
fn opaque_marks_of_many_directories_take_linear_time() {
    grows_linearly("marks of many", |count| {
        many(count, |n| file(format!("{}/{n}/.wh..wh..opq", n % 100), ""))
    });
}

#[test]
fn whiteouts_of_one_directory_take_linear_time() {
    grows_linearly("whiteouts", |count| many(count, |n| file(format!("d/.wh.{n}"), "")));
}

#[test]
fn entries_that_replace_each_other_take_linear_time() {
    grows_linearly("replaced", |count| {
        many(count, |n| if n % 2 == 0 { dir("d/e") } else { file("d/e", "x") })
    });
}

#[test]
fn hard_links_of_one_file_take_linear_time() {
    use super::tarball::hard;
    grows_linearly("links", |count| {
        many(count, |n| if n == 0 { file("f", "x") } else { hard(format!("h{n}"), "f") })
    });
}

#[test]
fn a_tree_2000_deep_is_imported_and_one_3000_deep_refused() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let nested = |depth: usize| tar(&[file("d/".repeat(depth) + "f", "deepest")]);
    let path = victim.write("deep.tar", &nested(2000));
    let said = victim.run(&["import", "-q", text(&path), "deep"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    victim.assert_clean("2000 deep");
    victim.forget("deep");
    let path = victim.write("deep.tar", &nested(3000));
    let said = victim.run(&["import", "-q", text(&path), "deep"]);
    said.is_refusal_with(&[text(&path), "d/d/d/d", "more than 2048 components"]).unwrap();
    victim.assert_untouched("3000 deep", &before);
}

#[test]
fn two_layers_2000_deep_are_merged() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let nested = |name: &str| tar(&[file("d/".repeat(2000) + name, name)]);
    let mut layout = super::layout::Layout::new(&victim.path("layout"));
    let layers = [nested("lower"), nested("upper")];
    layout.set_layers(&layers, &layers);
    let place = format!("oci:{}", text(&victim.path("layout")));
    let said = victim.run(&["pull", "-q", "--name", "deep", &place]);
    assert_eq!(said.status, Some(0), "{said:?}");
    victim.assert_clean("two layers");
}

/// Streams `count` entries, so that the test holds none of them.
fn stream(out: &mut dyn Write, count: usize, entry: impl Fn(usize) -> Entry) {
    for first in (0..count).step_by(1000) {
        let some: Vec<Entry> = (first..count.min(first + 1000)).map(&entry).collect();
        out.write_all(&open_ended(&some)).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
}

/// Imports a million files with what `contents` gives each; its peak is told and not bounded.
fn a_million(what: &str, victim: &Victim, contents: impl Fn(usize) -> String + Sync) {
    let _watch = watchdog(300);
    let said = victim.fed(&["import", "-q", "-", "million"], |out| {
        stream(out, 1_000_000, |n| file(format!("{}/{n}", n / 1000), contents(n)));
    });
    assert_eq!(said.status, Some(0), "{said:?}");
    println!("1,000,000 {what}: {} MiB at its peak", said.peak_kib >> 10);
    assert_eq!(layer_listing(victim, "million").len(), 1_001_000);
    if std::env::var_os("LAYERFS_SOAK").is_some() {
        victim.assert_clean(what);
    }
}

#[test]
fn a_million_empty_files_are_imported() {
    a_million("empty files", &Victim::new(), |_| String::new());
}

#[test]
fn a_million_small_files_are_imported() {
    if std::env::var_os("LAYERFS_SOAK").is_some() {
        a_million("small files", &Victim::on_disk(), |n| format!("contents of {n}"));
    }
}
