//! Docker archives of every generation, OCI archives, packed ones and streams.

use crate::store::digest::Digest;
use crate::store::source::fixture::*;
use crate::store::source::{Compression, Pick, SourceSpec, Wanted, open};
use crate::sys::AsFd;

/// What Docker 24 and older save: layers under the ids of old, one of them a link to another's.
fn docker_24() -> Files {
    let mut files = Files::default();
    let config = config(&host(), &["layer", "layer", "top"]);
    let name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    files.add("aaaa/VERSION", "1.0");
    files.add("aaaa/json", "{}");
    files.add("aaaa/layer.tar", "layer");
    files.add("bbbb/layer.tar", "-> ../aaaa/layer.tar");
    files.add("cccc/layer.tar", "top");
    files.add(&name, config);
    files.add(
        "manifest.json",
        format!(
            r#"[{{"Config":"{name}","RepoTags":["app:1","quay.io/x/app:2"],"Layers":["aaaa/layer.tar","bbbb/layer.tar","cccc/layer.tar"]}}]"#
        ),
    );
    files.add("repositories", r#"{"app":{"1":"cccc"}}"#);
    files
}

/// What Docker 25 and later save: a docker archive and an OCI layout over the same blobs.
fn docker_25(index: impl FnOnce(&mut Files) -> String, repo_tags: &str) -> Files {
    let mut files = Files::default();
    let entry = index(&mut files);
    let mut files = files.layout(&[entry]);
    let config = Digest::of(config(&host(), &["a"]).as_bytes()).hex();
    let layer = Digest::of(b"a").hex();
    files.add(
        "manifest.json",
        format!(
            r#"[{{"Config":"blobs/sha256/{config}","RepoTags":{repo_tags},"Layers":["blobs/sha256/{layer}"],"LayerSources":{{}}}}]"#
        ),
    );
    files
}

fn whole(files: &mut Files) -> String {
    files.image(&host(), &["a"]).descriptor(MANIFEST, &tag("1"))
}

#[test]
fn an_archive_of_docker_24_is_read_through_its_links() {
    let bench = Bench::new();
    let source = bench.docker(&docker_24()).unwrap();
    let image = one(&source, None);
    assert_eq!(contents(&source, &image), [b"layer".as_slice(), b"layer", b"top"]);
    assert_eq!(names(&image), ["app:1", "quay.io/x/app:2"]);
    assert!(image.manifest.is_none() && image.layers.iter().all(|layer| layer.blob.is_none()));
    assert_eq!(names(&one(&source, Some("quay.io/x/app:2"))), ["quay.io/x/app:2"]);
    assert!(refused(&source, Pick::One(Some("app:3"))).contains("no image `app:3`"));
}

#[test]
fn an_archive_of_both_forms_gives_the_manifest_and_the_names_of_both() {
    let bench = Bench::new();
    let files = docker_25(whole, r#"["docker.io/library/app:1"]"#);
    for source in [bench.docker(&files).unwrap(), bench.stream(&files.tar()).unwrap()] {
        let images = source.images(Pick::All).unwrap();
        assert_eq!(images.len(), 1);
        assert!(images[0].manifest.is_some());
        assert!(names(&images[0]).contains(&"docker.io/library/app:1".to_owned()));
        assert_eq!(contents(&source, &one(&source, Some("app:1"))), [b"a"]);
    }
}

#[test]
fn an_index_that_does_not_resolve_leaves_the_docker_archive() {
    let bench = Bench::new();
    // Docker 25.0 wrote manifests without layers, and `null` for the manifests of an image saved by digest.
    let no_layers = |files: &mut Files| {
        let config = files.blob(config(&host(), &["a"]));
        files.blob("a");
        files.manifest(&config.descriptor(CONFIG, ""), &[]).descriptor(MANIFEST, "")
    };
    let files = docker_25(no_layers, "null");
    let image = one(&bench.docker(&files).unwrap(), None);
    assert!(image.manifest.is_none() && image.names.is_empty());
    assert_eq!(image.layers[0].blob, Some((Digest::of(b"a"), 1)));
    let mut files = docker_25(whole, r#"["app:1"]"#);
    let index = files.0.iter_mut().find(|(name, _)| name == "index.json").unwrap();
    index.1 = br#"{"schemaVersion":2,"manifests":null}"#.to_vec();
    assert_eq!(names(&one(&bench.docker(&files).unwrap(), None)), ["app:1"]);
}

/// Names may be short in one form and full in the other.
#[test]
fn what_one_form_refuses_and_the_other_has_is_taken() {
    let containerd =
        |name: &str| format!(r#""annotations":{{"io.containerd.image.name":"{name}"}}"#);
    let archive = |layers: &[&str]| {
        let mut files = Files::default();
        let blobs = ["a", "b"].map(|layer| {
            let config = files.blob(config(&host(), &[layer]));
            (config, files.blob(layer))
        });
        let without_layers = files.manifest(&blobs[0].0.descriptor(CONFIG, ""), &[]);
        let layer = blobs[1].1.descriptor(TAR, "");
        let whole = files.manifest(&blobs[1].0.descriptor(CONFIG, ""), &[layer]);
        let entries = [(without_layers, "app:a"), (whole, "app:b")].map(|(manifest, name)| {
            let name = containerd(&format!("docker.io/library/{name}"));
            manifest.descriptor(MANIFEST, &name)
        });
        let mut files = files.layout(&entries);
        let saved: Vec<_> = blobs.iter().zip(layers).map(|((config, _), layer)| {
            let (config, hex) = (config.digest.hex(), Digest::of(layer.as_bytes()).hex());
            let tag = if *layer == "a" { "app:a" } else { "app:b" };
            format!(r#"{{"Config":"blobs/sha256/{config}","RepoTags":["{tag}"],"Layers":["blobs/sha256/{hex}"]}}"#)
        }).collect();
        files.add("manifest.json", format!("[{}]", saved.join(",")));
        files
    };
    let bench = Bench::new();
    let taken = |layers: &[&str]| -> Vec<Result<String, String>> {
        let found = bench.docker(&archive(layers)).unwrap().each_image().unwrap();
        found
            .iter()
            .map(|one| one.as_ref().map(|image| names(image)[0].clone()).map_err(line))
            .collect()
    };
    // The layout has no layers for `app:a`; manifest.json names a layer for `app:b` that is not there.
    let found = taken(&["a", "lost"]);
    assert_eq!(found, [Ok("docker.io/library/app:b".into()), Ok("app:a".into())]);
    // With `app:a` in neither, it is told once.
    let found = taken(&[]);
    assert_eq!((found.len(), found.iter().filter(|one| one.is_ok()).count()), (2, 1), "{found:?}");
    let told = found.iter().find_map(|one| one.as_ref().err()).unwrap();
    assert!(told.contains("image `app:a`: "), "{told}");
}

#[cfg(feature = "fault")]
#[test]
fn a_failed_call_is_never_taken_for_a_form_that_does_not_resolve() {
    use std::io::Write;

    use crate::sys::Errno;
    use crate::sys::fault::{Plan, with_plan};

    let bench = Bench::new();
    let files = docker_25(whole, r#"["app:1"]"#);
    let path = bench.file("saved.tar.gz", &gzip(&files.tar()));
    let spec = SourceSpec::DockerArchive { path, tag: None };
    let take = || {
        let source = open(&spec, Wanted::Host, bench.spool.as_fd())?;
        source.images(Pick::One(None))
    };
    for errno in [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::INTR] {
        for n in 1.. {
            let (taken, outcome) = with_plan(Plan::Fail { n, errno, call: None }, take);
            match taken {
                Ok(images) => {
                    assert!(errno == Errno::INTR || !outcome.fired, "call {n} failed unseen");
                    assert!(images[0].manifest.is_some());
                    assert_eq!(images[0].names.len(), 2);
                }
                Err(error) => assert!(line(&error).contains("saved.tar.gz: "), "call {n}"),
            }
            if !outcome.fired {
                // Past the harness, which would swallow the output of a test that passes.
                writeln!(std::io::stderr(), "figure: docker archive, {errno:?}: points: {}", n - 1)
                    .unwrap();
                break;
            }
        }
    }
}

#[test]
fn the_containerd_store_saves_packed_layers_and_an_index_that_names_more() {
    let bench = Bench::new();
    let mut files = Files::default();
    let config = files.blob(config(&host(), &["a"]));
    let layer = files.blob(gzip(b"a"));
    let media = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let manifest = files.manifest(&config.descriptor(CONFIG, ""), &[layer.descriptor(media, "")]);
    let gone = Added { digest: Digest::of(b"gone"), size: 4 };
    let entries = [
        gone.descriptor(MANIFEST, &platform(other())),
        manifest.descriptor(MANIFEST, &platform(&host())),
    ];
    let index = files.index(&entries).descriptor(INDEX, &tag("1"));
    let mut files = files.layout(&[index]);
    files.add(
        "manifest.json",
        format!(
            r#"[{{"Config":"blobs/sha256/{}","RepoTags":["app:1"],"Layers":["blobs/sha256/{}"]}}]"#,
            config.digest.hex(),
            layer.digest.hex()
        ),
    );
    let source = bench.stream(&files.tar()).unwrap();
    let image = one(&source, None);
    assert_eq!(names(&image), ["app:1"]);
    assert_eq!(image.layers[0].compression, Compression::Gzip);
    assert_eq!(image.layers[0].blob, Some((layer.digest, layer.size as u64)));
}

#[test]
fn packed_archives_and_streams_are_read_and_leave_nothing_in_the_spool() {
    let bench = Bench::new();
    let tar = docker_24().tar();
    let half = tar.len() / 2;
    let members = [gzip(&tar[..half]), gzip(&tar[half..])].concat();
    let frames = [zstd(&tar[..half]), zstd(&tar[half..])].concat();
    for bytes in [tar, members, frames] {
        for source in
            [bench.path("f", &bytes, Wanted::Host).unwrap(), bench.stream(&bytes).unwrap()]
        {
            let image = one(&source, None);
            assert_eq!(contents(&source, &image)[2], b"top");
            assert_eq!(std::fs::read_dir(bench.scratch.path().join("spool")).unwrap().count(), 0);
        }
    }
}

#[test]
fn an_archive_of_the_other_form_says_how_to_name_it() {
    let bench = Bench::new();
    let path = bench.file("x.tar", &docker_24().tar());
    let spec = SourceSpec::OciArchive { path, tag: None };
    let source = open(&spec, Wanted::Host, bench.spool.as_fd()).unwrap();
    assert!(refused(&source, Pick::All).contains("name it docker-archive:FILE"));
    let mut files = Files::default();
    let entry = whole(&mut files);
    let source = bench.docker(&files.layout(&[entry])).unwrap();
    assert!(refused(&source, Pick::All).contains("name it oci-archive:FILE"));
}

#[test]
fn a_directory_or_an_archive_is_told_by_what_it_is() {
    let bench = Bench::new();
    let mut files = Files::default();
    let entry = whole(&mut files);
    let files = files.layout(&[entry]);
    files.write(&bench.scratch.path().join("dir"));
    for path in ["dir", "dir.tar"] {
        if path == "dir.tar" {
            bench.file(path, &files.tar());
        }
        let path = bench.scratch.path().join(path);
        let source =
            crate::store::source::open_path(&path, Wanted::Host, bench.spool.as_fd()).unwrap();
        assert_eq!(names(&one(&source, None)), ["dir:1"]);
    }
}

#[test]
fn an_asked_platform_is_compared_with_the_config_of_a_docker_archive() {
    let bench = Bench::new();
    let tar = docker_24().tar();
    let source = bench.path("x", &tar, asked(&host())).unwrap();
    assert_eq!(source.images(Pick::All).unwrap().len(), 1);
    let source = bench.path("x", &tar, asked(other())).unwrap();
    assert!(refused(&source, Pick::All).contains(&format!("it holds {}", host())));
}

#[test]
fn entries_of_one_config_are_one_image_with_the_names_of_all() {
    let bench = Bench::new();
    let mut files = docker_24();
    for (name, bytes) in &mut files.0 {
        if name == "manifest.json" {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let entry = text.trim_matches(['[', ']']);
            let alias = entry.replace(r#"["app:1","quay.io/x/app:2"]"#, r#"["app:3"]"#);
            *bytes = format!("[{entry},{alias}]").into_bytes();
        }
    }
    let images = bench.docker(&files).unwrap().images(Pick::All).unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(names(&images[0]), ["app:1", "quay.io/x/app:2", "app:3"]);
}
