//! What skopeo and podman write, read back: the same image from every form.

use std::path::Path;
use std::process::Command;

use crate::store::digest::Digest;
use crate::store::source::fixture::*;
use crate::store::source::{Compression, Pick, SourceSpec, Wanted, open};
use crate::sys::AsFd;

/// Whether a tool is there. In CI it must be; elsewhere the test says what it skips.
fn need(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "{tool} is missing");
    if !there {
        println!("skipped: {tool} is missing");
    }
    there
}

fn run(directory: &Path, words: &str) {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let out = command.args(words).current_dir(directory).output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A layout `app` of two images with real, plain layers, tagged `one` and `two`.
fn layout(bench: &Bench) {
    let mut files = Files::default();
    let layer = |name: &str| {
        let mut layer = Files::default();
        layer.add(name, name);
        String::from_utf8(layer.tar()).unwrap()
    };
    let (a, b) = (layer("a"), layer("b"));
    let one = files.image(&host(), &[&a]).descriptor(MANIFEST, &tag("one"));
    let two = files.image(&host(), &[&a, &b]).descriptor(MANIFEST, &tag("two"));
    files.layout(&[one, two]).write(&bench.scratch.path().join("app"));
}

/// Reads all images and checks that every layer is what its digests say.
fn check(bench: &Bench, words: &str, want: &[&[&str]]) {
    let (transport, file) = words.split_once(':').unwrap();
    let path = bench.scratch.path().join(file);
    let words = format!("{transport}:{}", path.display());
    let spec = SourceSpec::parse(words.as_ref()).unwrap();
    let source = open(&spec, Wanted::Host, bench.spool.as_fd()).unwrap();
    let images = source.images(Pick::All).unwrap();
    let found: Vec<_> = images.iter().map(names).collect();
    assert_eq!(found, want, "{words}");
    for image in &images {
        for (bytes, layer) in contents(&source, image).iter().zip(&image.layers) {
            assert!(layer.blob.is_none_or(|(digest, _)| digest == Digest::of(bytes)));
            let plain = match layer.compression {
                Compression::Plain => bytes.clone(),
                Compression::Zstd => zstd::decode_all(bytes.as_slice()).unwrap(),
                Compression::Gzip => {
                    let mut plain = Vec::new();
                    let mut decoder = flate2::read::MultiGzDecoder::new(bytes.as_slice());
                    std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
                    plain
                }
            };
            assert_eq!(layer.diff_id, Digest::of(&plain), "{words}");
        }
    }
}

#[test]
fn skopeo_writes_what_is_read() {
    if !need("skopeo") {
        return;
    }
    let bench = Bench::new();
    layout(&bench);
    let scratch = bench.scratch.path();
    for words in [
        "oci:app:two docker-archive:saved.tar:app:two",
        "oci:app:two oci-archive:app.tar:two",
        "--dest-compress-format=gzip oci:app:two oci:packed:gz",
        "--dest-compress-format=zstd oci:app:two oci:packed:zst",
    ] {
        run(scratch, &format!("skopeo copy --insecure-policy -q {words}"));
    }
    check(&bench, "oci:app", &[&["app:one"], &["app:two"]]);
    check(&bench, "docker-archive:saved.tar", &[&["docker.io/library/app:two"]]);
    check(&bench, "oci-archive:app.tar", &[&["app:two"]]);
    check(&bench, "oci:packed", &[&["packed:gz"], &["packed:zst"]]);
}

#[test]
fn podman_saves_what_is_read() {
    if !need("podman") || !need("skopeo") {
        return;
    }
    let bench = Bench::new();
    layout(&bench);
    let scratch = bench.scratch.path();
    let store = "podman --root store --runroot run --storage-driver vfs";
    for tag in ["one", "two"] {
        let to = format!("docker-archive:{tag}.tar:app:{tag}");
        run(scratch, &format!("skopeo copy --insecure-policy -q oci:app:{tag} {to}"));
        run(scratch, &format!("{store} load -q -i {tag}.tar"));
    }
    run(scratch, &format!("{store} save -q -o docker.tar app:two"));
    run(scratch, &format!("{store} save -q --format oci-archive -o oci.tar app:two"));
    run(scratch, &format!("{store} save -q -m -o both.tar app:one app:two"));
    let (one, two): (&[_], &[_]) = (&["docker.io/library/app:one"], &["docker.io/library/app:two"]);
    check(&bench, "docker-archive:docker.tar", &[two]);
    check(&bench, "oci-archive:oci.tar", &[two]);
    check(&bench, "docker-archive:both.tar", &[one, two]);
}
