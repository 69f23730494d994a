//! OCI layouts: resolution to the platform, documents, layers.

use crate::store::digest::Digest;
use crate::store::source::fixture::*;
use crate::store::source::{Compression, Pick, Wanted};

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const ATTESTED: &str = r#""annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"os":"unknown","architecture":"unknown"}"#;

/// A layout of one tagged index with an image for this machine, one for another, and an attestation.
fn two_platforms() -> Files {
    let mut files = Files::default();
    let here = files.image(&host(), &["here"]).descriptor(MANIFEST, &platform(&host()));
    let there = files.image(other(), &["there"]).descriptor(MANIFEST, &platform(other()));
    let absent = Added { digest: Digest::of(b"attested"), size: 8 };
    let attested = absent.descriptor(MANIFEST, ATTESTED);
    let nested = files.index(&[attested, there, here]).descriptor(INDEX, "");
    let outer = files.index(&[nested]).descriptor(LIST, &tag("12"));
    files.layout(&[outer])
}

#[test]
fn nested_indexes_resolve_to_the_platform_and_pass_over_attestations() {
    let bench = Bench::new();
    let files = two_platforms();
    let source = bench.layout("debian", &files, Wanted::Host);
    let image = one(&source, None);
    assert_eq!(names(&image), ["debian:12"]);
    assert_eq!(contents(&source, &image), [b"here"]);
    let source = bench.layout("debian", &files, asked(other()));
    assert_eq!(contents(&source, &one(&source, Some("12"))), [b"there"]);
}

#[test]
fn an_attestation_is_passed_over_even_where_it_looks_like_an_image() {
    let marks = [
        format!(
            r#""annotations":{{"vnd.docker.reference.type":"attestation-manifest"}},{}"#,
            platform(&host())
        ),
        platform("unknown/unknown"),
    ];
    for mark in marks {
        let bench = Bench::new();
        let mut files = Files::default();
        let attested = files.image(&host(), &["attested"]).descriptor(MANIFEST, &mark);
        let image = files.image(other(), &["image"]).descriptor(MANIFEST, "");
        let index = files.index(&[attested, image]).descriptor(INDEX, "");
        let source = bench.layout("x", &files.layout(&[index]), Wanted::Host);
        assert_eq!(contents(&source, &one(&source, None)), [b"image"], "{mark}");
    }
}

#[test]
fn the_nearest_variant_is_taken_and_the_first_of_equals() {
    let bench = Bench::new();
    let mut files = Files::default();
    let offered = ["arm/v5", "arm/v7", "arm", "arm/v6", "arm/v8"];
    let entries = offered.map(|variant| {
        let on = format!("linux/{variant}");
        files.image("linux/arm", &[variant]).descriptor(MANIFEST, &platform(&on))
    });
    let index = files.index(&entries).descriptor(INDEX, "");
    let files = files.layout(&[index]);
    for (wanted, want) in [("arm/v7", "arm/v7"), ("arm", "arm/v7"), ("arm/v6", "arm/v6")] {
        let source = bench.layout("x", &files, asked(&format!("linux/{wanted}")));
        assert_eq!(contents(&source, &one(&source, None)), [want.as_bytes()], "{wanted}");
    }
}

#[test]
fn no_image_for_the_platform_lists_what_there_is() {
    let bench = Bench::new();
    let source = bench.layout("x", &two_platforms(), asked("linux/s390x"));
    let error = refused(&source, Pick::One(None));
    assert!(error.contains("no image for linux/s390x"), "{error}");
    assert!(error.contains(&format!("{}, {}", other(), host())), "{error}");
    assert!(refused(&source, Pick::All).contains("linux/s390x"));
}

#[test]
fn an_image_without_a_platform_is_checked_only_when_one_was_asked_for() {
    let bench = Bench::new();
    let mut files = Files::default();
    let entry = files.image(other(), &["a"]).descriptor(MANIFEST, &tag("t"));
    let files = files.layout(&[entry]);
    assert_eq!(names(&one(&bench.layout("x", &files, Wanted::Host), None)), ["x:t"]);
    assert_eq!(names(&one(&bench.layout("x", &files, asked(other())), None)), ["x:t"]);
    let refusal = refused(&bench.layout("x", &files, asked(&host())), Pick::One(None));
    assert!(refusal.contains(&format!("it holds {}", other())), "{refusal}");
}

#[test]
fn the_only_image_of_another_platform_is_loaded_and_not_pulled() {
    let bench = Bench::new();
    let mut files = Files::default();
    let more = format!("{},{}", tag("t"), platform(other()));
    let entry = files.image(other(), &["a"]).descriptor(MANIFEST, &more);
    let source = bench.layout("x", &files.layout(&[entry]), Wanted::Host);
    assert_eq!(source.images(Pick::All).unwrap().len(), 1);
    assert!(refused(&source, Pick::One(None)).contains("no image for"));
}

#[test]
fn platforms_that_an_index_names_and_does_not_hold_are_passed_over() {
    let bench = Bench::new();
    let mut files = Files::default();
    let here = files.image(&host(), &["here"]).descriptor(MANIFEST, &platform(&host()));
    let gone = Added { digest: Digest::of(b"gone"), size: 4 };
    let absent = gone.descriptor(MANIFEST, &platform(other()));
    let index = files.index(&[absent.clone(), here]).descriptor(INDEX, &tag("a"));
    let source = bench.layout("x", &files.clone().layout(&[index]), Wanted::Host);
    assert_eq!(contents(&source, &one(&source, None)), [b"here"]);
    let index = files.index(&[absent]).descriptor(INDEX, &tag("a"));
    let source = bench.layout("y", &files.layout(&[index]), Wanted::Host);
    let error = refused(&source, Pick::All);
    assert!(error.contains(&format!("manifest {} is missing", gone.digest)), "{error}");
}

#[test]
fn entries_without_a_tag_for_several_platforms_are_one_image() {
    let bench = Bench::new();
    let mut files = Files::default();
    let here = files.image(&host(), &["here"]).descriptor(MANIFEST, &platform(&host()));
    let there = files.image(other(), &["there"]).descriptor(MANIFEST, &platform(other()));
    let source = bench.layout("x", &files.layout(&[there, here]), Wanted::Host);
    let images = source.images(Pick::All).unwrap();
    assert_eq!((images.len(), images[0].names.len()), (1, 0));
    assert_eq!(contents(&source, &one(&source, None)), [b"here"]);
}

#[test]
fn artifacts_are_passed_over_and_never_taken_for_images() {
    let bench = Bench::new();
    let mut files = Files::default();
    let image = files.image(&host(), &["a"]).descriptor(MANIFEST, &tag("1"));
    let empty = files.blob("{}");
    let blob = files.blob("signature");
    let signature = blob.descriptor("application/vnd.dev.cosign.simplesigning.v1+json", "");
    let looks = files.manifest(&empty.descriptor(CONFIG, ""), std::slice::from_ref(&signature));
    let config = empty.descriptor("application/vnd.oci.empty.v1+json", "");
    let says = files.manifest(&config, &[signature]);
    let looks = looks.descriptor(MANIFEST, &tag("sha256-1.sig"));
    let says = says.descriptor(MANIFEST, &tag("sha256-2.sbom"));
    let source = bench.layout("x", &files.layout(&[looks, says, image]), Wanted::Host);
    assert_eq!(names(&one(&source, None)), ["x:1"]);
    assert_eq!(source.images(Pick::All).unwrap().len(), 1);
    assert!(refused(&source, Pick::One(Some("sha256-1.sig"))).contains("holds no image"));
}

#[test]
fn layers_know_digest_size_packing_and_history() {
    let bench = Bench::new();
    let mut files = Files::default();
    let (plain, gz, zst) = (files.blob("a"), files.blob(gzip(b"b")), files.blob(zstd(b"c")));
    let ids: Vec<_> = ["a", "b", "c"].map(|text| Digest::of(text.as_bytes()).to_string()).into();
    let config = files.blob(format!(
        r#"{{"rootfs":{{"diff_ids":["{}"]}},"history":[{{"created_by":"one"}},{{"empty_layer":true}},{{}},{{}}]}}"#,
        ids.join("\",\"")
    ));
    // The zstd layer's media type says gzip: the bytes have the last word.
    let layers = [
        plain.descriptor("application/vnd.docker.image.rootfs.diff.tar", ""),
        gz.descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", ""),
        zst.descriptor("application/vnd.oci.image.layer.v1.tar+gzip", ""),
    ];
    let manifest = files.manifest(&config.descriptor(CONFIG, ""), &layers);
    let files = files.layout(&[manifest.descriptor(MANIFEST, "")]);
    let source = bench.layout("x", &files, Wanted::Host);
    let image = one(&source, None);
    let packings: Vec<_> = image.layers.iter().map(|layer| layer.compression).collect();
    assert_eq!(packings, [Compression::Plain, Compression::Gzip, Compression::Zstd]);
    assert_eq!(image.layers[0].blob, Some((plain.digest, 1)));
    assert_eq!(image.layers[1].diff_id, Digest::of(b"b"));
    assert_eq!(image.layers[2].stored_bytes, zst.size as u64);
    assert_eq!(image.layers[0].history.as_ref().unwrap().created_by, "one");
    assert_eq!(image.config.digest, config.digest);
    assert_eq!(image.manifest.unwrap().digest, manifest.digest);
}

#[test]
fn links_to_blobs_of_another_directory_are_followed() {
    let bench = Bench::new();
    let mut files = Files::default();
    let entry = files.image(&host(), &["a"]).descriptor(MANIFEST, "");
    let files = files.layout(&[entry]);
    files.write(&bench.scratch.path().join("real"));
    let source = bench.layout("x", &Files(files.0[3..].to_vec()), Wanted::Host);
    std::os::unix::fs::symlink("../real/blobs", bench.scratch.path().join("x/blobs")).unwrap();
    assert_eq!(contents(&source, &one(&source, None)), [b"a"]);
}
