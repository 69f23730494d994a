//! Damaged and hostile sources: each is refused in one line, and none makes a panic.

use std::io::Read;

use proptest::prelude::*;

use crate::store::digest::Digest;
use crate::store::source::fixture::*;
use crate::store::source::spool::spool;
use crate::store::source::{Pick, SourceSpec, Wanted, open, open_stream};
use crate::sys::{AsFd, file};

fn refused_layout(make: impl FnOnce(&mut Files) -> String) -> String {
    let bench = Bench::new();
    let mut files = Files::default();
    let entry = make(&mut files);
    refused(&bench.layout("x", &files.layout(&[entry]), Wanted::Host), Pick::All)
}

fn with_layer(media: &'static str, layer: &'static str) -> impl FnOnce(&mut Files) -> String {
    move |files| {
        let config = files.blob(config(&host(), &[layer]));
        let tar = files.blob("plain").descriptor(TAR, "");
        let layer = files.blob(layer).descriptor(media, "");
        let layers = if media.starts_with("text") { vec![tar, layer] } else { vec![layer] };
        files.manifest(&config.descriptor(CONFIG, ""), &layers).descriptor(MANIFEST, "")
    }
}

#[test]
fn layers_that_can_not_be_taken_are_refused_by_name() {
    let id = Digest::of(b"l").to_string();
    let table = [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "l", "foreign layer"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "l", "foreign layer"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "l", "tar+encrypted`"),
        ("text/plain", "l", "media type `text/plain`"),
    ];
    for (media, layer, reason) in table {
        let error = refused_layout(with_layer(media, layer));
        assert!(error.contains(reason) && error.contains(&id), "{error}");
    }
}

#[test]
fn a_layer_packed_with_xz_is_refused_by_name() {
    let error = refused_layout(|files| {
        let config = files.blob(config(&host(), &["x"]));
        let layer = files.blob(b"\xfd7zXZ\x00rest".as_slice()).descriptor(TAR, "");
        files.manifest(&config.descriptor(CONFIG, ""), &[layer]).descriptor(MANIFEST, "")
    });
    assert!(error.contains("packed with xz"), "{error}");
}

#[test]
fn documents_are_checked_against_the_digest_and_size_that_name_them() {
    type Damage = fn(&mut Vec<u8>);
    let table: &[(&str, Damage, &str)] = &[
        ("\"config\"", |bytes| bytes[1] = b' ', "is corrupt"),
        ("diff_ids", |bytes| bytes[1] = b' ', "is corrupt"),
        ("\"config\"", |bytes| bytes.push(b' '), "that its descriptor says"),
        ("layer", |bytes| bytes.clear(), "that its descriptor says"),
    ];
    for (mark, damage, reason) in table {
        let bench = Bench::new();
        let mut files = Files::default();
        let entry = files.image(&host(), &["layer"]).descriptor(MANIFEST, "");
        let mut files = files.layout(&[entry]);
        let holds = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).starts_with(mark)
                || String::from_utf8_lossy(bytes).contains(mark) && bytes.starts_with(b"{")
        };
        let is_blob = |name: &str| name.starts_with("blobs/");
        let found = files.0.iter_mut().find(|(name, bytes)| {
            is_blob(name) && if *mark == "layer" { bytes == b"layer" } else { holds(bytes) }
        });
        damage(&mut found.unwrap().1);
        let error = refused(&bench.layout("x", &files, Wanted::Host), Pick::All);
        assert!(error.contains(reason), "{mark}: {error}");
    }
}

#[test]
fn missing_blobs_are_named() {
    for what in ["config", "layer"] {
        let bench = Bench::new();
        let mut files = Files::default();
        let entry = files.image(&host(), &["layer"]).descriptor(MANIFEST, "");
        let mut files = files.layout(&[entry]);
        let text = if what == "config" { "diff_ids" } else { "layer" };
        files.0.retain(|(_, bytes)| {
            let bytes = String::from_utf8_lossy(bytes);
            !(if what == "config" { bytes.contains(text) } else { bytes == text })
        });
        let error = refused(&bench.layout("x", &files, Wanted::Host), Pick::All);
        assert!(error.contains(&format!("{what} sha256:")) && error.contains("missing"), "{error}");
    }
}

#[test]
fn documents_that_are_too_large_are_refused_before_they_are_read() {
    let bench = Bench::new();
    let claimed = Added { digest: Digest::of(b"a"), size: 100 << 20 };
    let mut files = Files::default();
    files.add(&format!("blobs/sha256/{}", claimed.digest.hex()), "a");
    let files = files.layout(&[claimed.descriptor(MANIFEST, "")]);
    let error = refused(&bench.layout("x", &files, Wanted::Host), Pick::All);
    assert!(error.contains("has 104857600 bytes, more than the 4194304"), "{error}");
    // A hole of 100 MB: reading it would take time and memory, its size takes none.
    let path = bench.scratch.path().join("x/index.json");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let spec = SourceSpec::OciDir { path: bench.scratch.path().join("x"), tag: None };
    let source = open(&spec, Wanted::Host, bench.spool.as_fd()).unwrap();
    assert!(refused(&source, Pick::All).contains("has 104857600 bytes"));
}

#[test]
fn indexes_that_nest_too_deep_or_hold_themselves_end() {
    let error = refused_layout(|files| {
        let mut entry = files.image(&host(), &["a"]).descriptor(MANIFEST, "");
        for _ in 0..5 {
            entry = files.index(&[entry]).descriptor(INDEX, "");
        }
        entry
    });
    assert!(error.contains("nested more than 4 deep"), "{error}");
    // An index can not hold its own digest; many entries of one index are walked once.
    let bench = Bench::new();
    let mut files = Files::default();
    let mut entry = files.image(&host(), &["a"]).descriptor(MANIFEST, "");
    for _ in 0..4 {
        entry = files.index(&vec![entry; 200]).descriptor(INDEX, "");
    }
    let source = bench.layout("x", &files.layout(&[entry]), Wanted::Host);
    assert_eq!(source.images(Pick::All).unwrap().len(), 1);
}

#[test]
fn descriptors_and_documents_of_other_forms_are_refused() {
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let descriptor = |digest: &str, size: &str| {
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size}}}"#)
    };
    let id = Digest::of(b"x").to_string();
    let table: Vec<(String, &str)> = vec![
        (descriptor(&sha512, "1"), "only sha256"),
        (descriptor("sha256:../../etc/passwd", "1"), "is not a digest"),
        (descriptor("a\\nb", "1"), "is not a digest"),
        (descriptor(&id, "\"1\""), "invalid type"),
        (descriptor(&id, "1"), "is missing"),
    ];
    for (entry, reason) in table {
        let error = refused_layout(|_| entry.clone());
        assert!(error.contains(reason), "{entry}: {error}");
    }
    let bodies = [
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1 is not supported"),
        (r#"{"config":{},"layers":[],"manifests":[]}"#, "at once an index and a manifest"),
        (r#"{"manifests":[]}"#, "not of the type"),
        ("{}", "neither an index nor a manifest"),
        ("[]", "neither an index nor a manifest"),
        ("3", "malformed document"),
        ("", "malformed document"),
    ];
    for (body, reason) in bodies {
        let error = refused_layout(|files| files.blob(body).descriptor(MANIFEST, ""));
        assert!(error.contains(reason), "{body}: {error}");
    }
    let negative = refused_layout(|files| {
        files.blob("x");
        descriptor(&id, "-1")
    });
    assert!(negative.contains("has size -1"), "{negative}");
}

#[test]
fn config_and_manifest_must_speak_of_the_same_layers() {
    let error = refused_layout(|files| {
        let config = files.blob(config(&host(), &["a", "b"]));
        let layer = files.blob("a").descriptor(TAR, "");
        files.manifest(&config.descriptor(CONFIG, ""), &[layer]).descriptor(MANIFEST, "")
    });
    assert!(error.contains("has 1 layers and its config 2 diff ids"), "{error}");
}

#[test]
fn a_layout_of_another_version_or_without_its_files_is_refused() {
    let bench = Bench::new();
    let mut files = Files::default();
    files.add("index.json", r#"{"manifests":[]}"#);
    let error = refused(&bench.layout("a", &files, Wanted::Host), Pick::All);
    assert!(error.contains("not an OCI layout: `oci-layout` is missing"), "{error}");
    for version in ["2.0.0", "10.0", "", "1"] {
        files.add("oci-layout", format!(r#"{{"imageLayoutVersion":"{version}"}}"#));
        let error = refused(&bench.layout("a", &files, Wanted::Host), Pick::All);
        assert!(error.contains("only 1.x"), "{error}");
    }
    files.add("oci-layout", r#"{"imageLayoutVersion":"1.1.0"}"#);
    assert!(refused(&bench.layout("a", &files, Wanted::Host), Pick::All).contains("no image"));
    let error = open(
        &SourceSpec::OciDir { path: bench.scratch.path().join("none"), tag: None },
        Wanted::Host,
        bench.spool.as_fd(),
    );
    assert!(line(&error.err().unwrap()).contains("No such file"));
}

fn docker_of(members: &[(&str, &str)], entry: &str) -> String {
    let bench = Bench::new();
    let mut files = Files::default();
    files.add("manifest.json", format!("[{entry}]"));
    members.iter().for_each(|(name, bytes)| files.add(name, *bytes));
    match bench.docker(&files) {
        Ok(source) => refused(&source, Pick::All),
        Err(error) => line(&error),
    }
}

#[test]
fn docker_archives_that_lie_are_refused() {
    let made = config("linux/amd64", &["a"]);
    let wrong = format!("{}.json", Digest::of(b"other").hex());
    let both = r#"{"Config":"c","Layers":["l"]}"#;
    type Row<'a> = (Vec<(&'a str, &'a str)>, String, &'a str);
    let table: Vec<Row<'_>> = vec![
        (vec![], both.into(), "member `c` is named by manifest.json and missing"),
        (vec![("c", &made)], both.into(), "member `l` is named"),
        (vec![("c", &made), ("l", "-> l")], both.into(), "`l` is a link that leads nowhere"),
        (vec![("c", &made), ("l", "-> m")], both.into(), "`l` is a link that leads nowhere"),
        (vec![("c", &made), ("l", "-> ../../etc/passwd")], both.into(), "leads nowhere"),
        (vec![("c", "{"), ("l", "a")], both.into(), "is malformed"),
        (
            vec![(&wrong, &made), ("l", "a")],
            both.replace("\"c\"", &format!("{wrong:?}")),
            "corrupt",
        ),
        (vec![("c", &made)], r#"{"Config":"c","Layers":null}"#.into(), "has 0 layers"),
        (vec![("c", &made)], "{}".into(), "manifest.json is malformed"),
        (vec![], r#"{"Config":"../c"}"#.into(), "missing"),
    ];
    for (members, entry, reason) in table {
        let error = docker_of(&members, &entry);
        assert!(error.contains(reason), "{entry}: {error}");
    }
}

#[test]
fn a_sparse_member_is_refused_and_its_name_told() {
    let bench = Bench::new();
    let directory = bench.scratch.path().join("sparse");
    std::fs::create_dir(&directory).unwrap();
    let made = config(&host(), &["l"]);
    std::fs::write(directory.join("c"), made).unwrap();
    std::fs::write(directory.join("manifest.json"), r#"[{"Config":"c","Layers":["l"]}]"#).unwrap();
    for (at, len, first) in [(0_u64, 1_u64 << 20, true), (1 << 20, 0, true), (0, 1 << 20, false)] {
        let layer = std::fs::File::create(directory.join("l")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&layer, b"data", at).unwrap();
        layer.set_len((at + 4).max(len)).unwrap();
        for format in ["--format=gnu", "--format=posix"] {
            let tar = bench.scratch.path().join("s.tar");
            let mut command = std::process::Command::new("tar");
            command.args(["--sparse", format, "-C"]).arg(&directory).arg("-cf").arg(&tar);
            command.args(if first {
                ["l", "c", "manifest.json"]
            } else {
                ["c", "manifest.json", "l"]
            });
            assert!(command.status().unwrap().success());
            let bytes = std::fs::read(&tar).unwrap();
            assert!(bytes.len() < 1 << 18, "tar wrote no holes");
            let source = bench.path("s.tar", &bytes, Wanted::Host).unwrap();
            assert!(refused(&source, Pick::All).contains("`l` is a sparse file"));
        }
    }
}

/// At the start, and at the end of the last member, where the end mark of the archive is longer than the hole.
#[test]
fn a_hole_smaller_than_the_padding_is_still_a_hole() {
    for map in ["100,900", "0,900"] {
        a_hole_is_seen(map);
    }
}

fn a_hole_is_seen(map: &str) {
    let bench = Bench::new();
    let mut builder = tar::Builder::new(Vec::new());
    let entries: &[(&str, &[u8])] =
        &[("manifest.json", br#"[{"Config":"c"}]"#), ("c", &[b'x'; 900])];
    for (name, bytes) in entries {
        if *name == "c" {
            let records: [(&str, &[u8]); 4] = [
                ("GNU.sparse.size", b"1000"),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.map", map.as_bytes()),
                ("GNU.sparse.name", b"c"),
            ];
            builder.append_pax_extensions(records).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    let source = bench.path("s.tar", &builder.into_inner().unwrap(), Wanted::Host).unwrap();
    assert!(refused(&source, Pick::All).contains("`c` is a sparse file"));
}

#[test]
fn damaged_packing_and_other_packings_are_refused() {
    let bench = Bench::new();
    let error = |bytes: &[u8]| line(&bench.stream(bytes).err().unwrap());
    let mut files = Files::default();
    files.add("manifest.json", "[]");
    let packed = gzip(&files.tar());
    assert!(error(&packed[..packed.len() - 9]).contains("truncated or corrupt"));
    let packed = zstd(&files.tar());
    assert!(error(&packed[..packed.len() - 4]).contains("truncated or corrupt"));
    assert!(error(b"\xfd7zXZ\x00").contains("packed with xz"));
    assert!(error(b"").contains("not an image archive"));
    assert!(error(&[b'x'; 4096]).contains("scan the archive"));
    assert_eq!(std::fs::read_dir(bench.scratch.path().join("spool")).unwrap().count(), 0);
}

/// Bytes that were asked of a stream.
struct Counted<R> {
    inner: R,
    len: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.len += len as u64;
        Ok(len)
    }
}

/// A small packed file may be a very large stream: what is no archive is told by its first block.
#[test]
fn what_does_not_begin_as_an_archive_is_not_spooled() {
    const LEN: u64 = 64 << 20;
    let bench = Bench::new();
    for (byte, reason) in [(0, "not an image archive"), (b'x', "scan the archive")] {
        let mut stream = Counted { inner: std::io::repeat(byte).take(LEN), len: 0 };
        let opened = open_stream(&mut stream, Wanted::Host, bench.spool.as_fd());
        let error = line(&opened.err().unwrap());
        assert!(error.contains(reason), "{error}");
        assert!(stream.len < 1 << 20, "{} bytes were read", stream.len);
    }
}

#[test]
fn zeros_are_spooled_as_holes() {
    const LEN: u64 = 64 << 20;
    let bench = Bench::new();
    let mut files = Files::default();
    files.add("first", "a member");
    let head = files.tar();
    let stream = head.as_slice().chain(std::io::repeat(0).take(LEN)).chain(b"end".as_slice());
    let spooled = spool(stream, bench.spool.as_fd()).unwrap();
    let stat = file::stat(&spooled).unwrap();
    assert_eq!(u64::try_from(stat.st_size).unwrap(), head.len() as u64 + LEN + 3);
    assert!(stat.st_blocks * 512 < 1 << 20, "{} blocks are taken", stat.st_blocks);
    let mut found = vec![0; head.len()];
    file::read_at(&spooled, &mut found, 0).unwrap();
    assert_eq!(found, head);
    let mut end = [0; 4];
    let len = file::read_at(&spooled, &mut end, head.len() as u64 + LEN - 1).unwrap();
    assert_eq!(&end[..len], b"\0end");
    let only_zeros_at_the_end =
        spool(Read::chain(head.as_slice(), std::io::repeat(0).take(LEN)), bench.spool.as_fd());
    let stat = file::stat(only_zeros_at_the_end.unwrap()).unwrap();
    assert_eq!(u64::try_from(stat.st_size).unwrap(), head.len() as u64 + LEN);
}

/// Takes all images of an archive, whatever comes of it.
fn try_all(bench: &Bench, bytes: &[u8]) {
    match bench.stream(bytes) {
        Err(error) => drop(line(&error)),
        Ok(source) => match source.images(Pick::All) {
            Err(error) => drop(line(&error)),
            Ok(images) => images.iter().for_each(|image| drop(contents(&source, image))),
        },
    }
}

fn sound_archive() -> Vec<u8> {
    let mut files = Files::default();
    let entry = files.image(&host(), &["a", "b"]).descriptor(MANIFEST, &tag("1"));
    let mut files = files.layout(&[entry]);
    let config = Digest::of(config(&host(), &["a", "b"]).as_bytes()).hex();
    files.add("l", "a");
    files.add("m", "-> l");
    files.add(
        "manifest.json",
        format!(r#"[{{"Config":"blobs/sha256/{config}","RepoTags":["a:1"],"Layers":["l","m"]}}]"#),
    );
    files.tar()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_archives_never_panic(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        end in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = sound_archive();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        try_all(&Bench::new(), &bytes);
    }

    #[test]
    fn damaged_documents_never_panic(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>()), 0..4),
        member in 0_usize..6,
        end in any::<proptest::sample::Index>(),
    ) {
        let mut files = Files::default();
        let image = files.image(&host(), &["a"]);
        let index = files.index(&[image.descriptor(MANIFEST, &platform(&host()))]);
        let mut files = files.layout(&[index.descriptor(INDEX, &tag("1"))]);
        files.add("manifest.json", r#"[{"Config":"c","RepoTags":null,"Layers":["l"]}]"#);
        let count = files.0.len();
        let (_, bytes) = &mut files.0[member % count];
        let mut text: Vec<char> = String::from_utf8_lossy(bytes).chars().collect();
        for (at, value) in flips {
            let at = at.index(text.len());
            text[at] = value;
        }
        text.truncate(end.index(text.len()) + 1);
        *bytes = text.into_iter().collect::<String>().into_bytes();
        try_all(&Bench::new(), &files.tar());
    }
}
