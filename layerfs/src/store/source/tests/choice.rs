//! Names, tags, and the choice among several images.

use crate::store::source::fixture::*;
use crate::store::source::{Pick, Wanted};

fn containerd(name: &str, tag: &str) -> String {
    format!(
        r#""annotations":{{"io.containerd.image.name":"{name}","org.opencontainers.image.ref.name":"{tag}"}}"#
    )
}

/// Two images: one with a bare tag and an alias of it, one with full names.
fn several() -> Files {
    let mut files = Files::default();
    let (first, second) = (files.image(&host(), &["1"]), files.image(&host(), &["2"]));
    let entries = [
        first.descriptor(MANIFEST, &tag("11")),
        first.descriptor(MANIFEST, &tag("old")),
        second.descriptor(MANIFEST, &containerd("docker.io/library/app:12", "12")),
    ];
    files.layout(&entries)
}

#[test]
fn several_tags_and_none_asked_for_is_an_error_that_lists_them() {
    let bench = Bench::new();
    let source = bench.layout("debian", &several(), Wanted::Host);
    let error = refused(&source, Pick::One(None));
    assert!(error.contains("several images"), "{error}");
    assert!(error.contains("11, old, docker.io/library/app:12"), "{error}");
}

#[test]
fn an_image_is_asked_for_by_tag_name_or_digest() {
    let bench = Bench::new();
    let source = bench.layout("debian", &several(), Wanted::Host);
    let second = one(&source, Some("12")).manifest.unwrap().digest.to_string();
    let table: &[(&str, &str, &[&str])] = &[
        ("11", "1", &["debian:11"]),
        ("old", "1", &["debian:old"]),
        ("debian:11", "1", &["debian:11"]),
        ("12", "2", &["docker.io/library/app:12"]),
        ("app:12", "2", &["docker.io/library/app:12"]),
        ("docker.io/library/app:12", "2", &["docker.io/library/app:12"]),
        (&second, "2", &["docker.io/library/app:12"]),
    ];
    for (asked, layer, want) in table {
        let image = one(&source, Some(asked));
        assert_eq!(names(&image), *want, "{asked}");
        assert_eq!(contents(&source, &image), [layer.as_bytes()], "{asked}");
    }
    let error = refused(&source, Pick::One(Some("13")));
    assert!(error.contains("no image `13`; it holds 11, old, docker.io/library/app:12"), "{error}");
}

#[test]
fn all_images_are_taken_once_with_all_their_names() {
    let bench = Bench::new();
    let source = bench.layout("debian", &several(), Wanted::Host);
    let images = source.images(Pick::All).unwrap();
    let found: Vec<_> = images.iter().map(names).collect();
    assert_eq!(found, [vec!["debian:11", "debian:old"], vec!["docker.io/library/app:12"]]);
}

#[test]
fn two_tags_of_one_image_leave_nothing_to_choose() {
    let bench = Bench::new();
    let mut files = Files::default();
    let image = files.image(&host(), &["1"]);
    let entries = ["a", "b"].map(|text| image.descriptor(MANIFEST, &tag(text)));
    let source = bench.layout("x", &files.layout(&entries), Wanted::Host);
    assert_eq!(names(&one(&source, None)), ["x:a", "x:b"]);
}

#[test]
fn a_tag_that_two_images_share_is_no_choice() {
    let bench = Bench::new();
    let mut files = Files::default();
    let (a, b) = (files.image(&host(), &["1"]), files.image(&host(), &["2"]));
    let entries = [
        a.descriptor(MANIFEST, &containerd("docker.io/library/a:latest", "latest")),
        b.descriptor(MANIFEST, &containerd("docker.io/library/b:latest", "latest")),
    ];
    let source = bench.layout("x", &files.layout(&entries), Wanted::Host);
    assert!(refused(&source, Pick::One(Some("latest"))).contains("several images"));
    assert_eq!(contents(&source, &one(&source, Some("b"))), [b"2"]);
}

#[test]
fn bare_tags_join_the_base_name_where_that_is_a_valid_name() {
    let bench = Bench::new();
    let mut files = Files::default();
    let image = files.image(&host(), &["1"]);
    let files = files.layout(&[image.descriptor(MANIFEST, &tag("bookworm"))]);
    for (base, want) in [("debian", Some("debian:bookworm")), ("Debian", None), ("a b", None)] {
        let source = bench.layout(base, &files, Wanted::Host);
        assert_eq!(names(&one(&source, Some("bookworm"))), want.into_iter().collect::<Vec<_>>());
    }
    let source = bench.path("debian.tar.gz", &gzip(&files.tar()), Wanted::Host).unwrap();
    assert_eq!(names(&one(&source, None)), ["debian:bookworm"]);
    let source = bench.stream(&files.tar()).unwrap();
    assert!(names(&one(&source, None)).is_empty());
}

#[test]
fn annotations_that_are_no_names_give_none() {
    let bench = Bench::new();
    let mut files = Files::default();
    let image = files.image(&host(), &["1"]);
    let pinned = format!("docker.io/a/b@{}", image.digest);
    for text in ["NOT/valid:x", "a b", pinned.as_str(), "-"] {
        let files = files.clone().layout(&[image.descriptor(MANIFEST, &tag(text))]);
        let source = bench.layout("x", &files, Wanted::Host);
        assert!(names(&one(&source, None)).is_empty(), "{text}");
        assert_eq!(one(&source, Some(text)).layers.len(), 1, "{text}");
    }
}
