//! Extended headers: pax records and GNU long names.

use super::*;
use crate::store::archive::build::record;

fn first(tar: Tar) -> Entry {
    read_all(&tar.end()).unwrap().remove(0).0
}

fn xattrs(entry: &Entry) -> Vec<(&[u8], &[u8])> {
    entry.xattrs.iter().map(|x| (&*x.name, &*x.value)).collect()
}

#[test]
fn records_override_the_header() {
    let tar = Tar::default().pax(
        b'x',
        &[
            ("path", b"./real/name"),
            ("uid", b"4294967294"),
            ("gid", b"2000000"),
            ("mtime", b"-1.5"),
            ("size", b"5"),
            ("atime", b"no time at all"),
            ("hdrcharset", b"BINARY"),
            ("LIBARCHIVE.xattr.user.a", b"!!"),
            ("SCHILY.xattr.user.z", b"1"),
            ("SCHILY.xattr.user.a", b"2"),
        ],
    );
    let bytes =
        tar.head(Head::new(b'0', b"fake").size(600)).data(b"hello").file(b"next", b"").end();
    let read = read_all(&bytes).unwrap();
    let entry = &read[0].0;
    assert_eq!(entry.path.to_string(), "real/name");
    assert_eq!((entry.uid, entry.gid), (4_294_967_294, 2_000_000));
    assert_eq!(entry.mtime, Timestamp { secs: -2, nanos: 500_000_000 });
    assert_eq!(read[0].1, b"hello", "the record's size is the one that counts");
    assert_eq!(xattrs(entry), [(&b"user.a"[..], &b"2"[..]), (b"user.z", b"1")]);
    assert_eq!(read[1].0.path.to_string(), "next");
    assert_eq!((read[1].0.uid, read[1].0.xattrs.len()), (0o1750, 0), "records are for one entry");
}

#[test]
fn a_capability_with_a_newline_byte_survives() {
    let capability = b"\x01\0\0\x02\x0a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::default()
        .pax(b'x', &[("SCHILY.xattr.security.capability", capability), ("path", b"ping")]);
    let entry = first(tar.file(b"f", b""));
    assert_eq!(xattrs(&entry), [(&b"security.capability"[..], &capability[..])]);
    assert_eq!(entry.path.to_string(), "ping");
}

#[test]
fn a_value_that_looks_like_a_record_injects_nothing() {
    let value = b"x\n15 linkpath=x\n11 path=zzz\n";
    let tar = Tar::default().pax(b'x', &[("SCHILY.xattr.user.a", value), ("comment", value)]);
    let entry = first(tar.head(Head::new(b'2', b"s").link(b"right")));
    assert_eq!(entry.kind, EntryKind::Symlink { target: b"right"[..].into() });
    assert_eq!(entry.path.to_string(), "s");
    assert_eq!(xattrs(&entry), [(&b"user.a"[..], &value[..])]);
}

#[test]
fn the_last_of_equal_keys_holds() {
    let tar = Tar::default().pax(b'x', &[("path", b"one"), ("path", b"two")]);
    assert_eq!(first(tar.file(b"f", b"")).path.to_string(), "two");
}

#[test]
fn global_records_hold_until_overridden_or_taken_back() {
    let bytes = Tar::default()
        .pax(
            b'g',
            &[("uid", b"7"), ("mtime", b"9"), ("SCHILY.xattr.user.g", b"v"), ("comment", b"c")],
        )
        .file(b"a", b"")
        .pax(b'x', &[("uid", b"8"), ("SCHILY.xattr.user.x", b"w")])
        .file(b"b", b"")
        .pax(b'x', &[("uid", b""), ("SCHILY.xattr.user.g", b"")])
        .file(b"c", b"")
        .pax(b'g', &[("uid", b""), ("mtime", b"10")])
        .file(b"d", b"")
        .end();
    let read = read_all(&bytes).unwrap();
    let uids: Vec<_> = read.iter().map(|(e, _)| (e.uid, e.mtime.secs)).collect();
    assert_eq!(uids, [(7, 9), (8, 9), (0o1750, 9), (0o1750, 10)]);
    let names: Vec<_> = read.iter().map(|(e, _)| e.xattrs.len()).collect();
    assert_eq!(names, [1, 2, 0, 1]);
}

#[test]
fn an_attribute_may_be_empty_where_no_global_one_is_meant() {
    let entry = first(Tar::default().pax(b'x', &[("SCHILY.xattr.user.e", b"")]).file(b"f", b""));
    assert_eq!(xattrs(&entry), [(&b"user.e"[..], &b""[..])]);
}

#[test]
fn an_empty_record_leaves_the_header_in_force() {
    let entry = first(Tar::default().pax(b'x', &[("path", b""), ("uid", b"")]).file(b"f", b""));
    assert_eq!((entry.path.to_string().as_str(), entry.uid), ("f", 0o1750));
}

#[test]
fn gnu_long_names_and_links_are_read() {
    let (name, link) = (b"n/".repeat(150), b"l/".repeat(300));
    let tar = Tar::default()
        .with(Head::gnu(b'K', b"././@LongLink"), &[&link[..], b"\0"].concat())
        .with(Head::gnu(b'L', b"././@LongLink"), &[&name[..], b"\0"].concat())
        .head(Head::gnu(b'2', &name[..100]).link(&link[..100]));
    let entry = first(tar);
    assert_eq!(entry.path.components().len(), 150);
    assert_eq!(entry.kind, EntryKind::Symlink { target: link.into() });
    // Without a NUL, as some writers do, and with something behind one.
    let tar = Tar::default().with(Head::gnu(b'L', b"././@LongLink"), b"plain");
    assert_eq!(first(tar.file(b"f", b"")).path.to_string(), "plain");
    let tar = Tar::default().with(Head::gnu(b'L', b"././@LongLink"), b"plain\0more\0");
    assert_eq!(first(tar.file(b"f", b"")).path.to_string(), "plain");
}

#[test]
fn a_long_name_holds_over_a_global_path() {
    let tar = Tar::default()
        .pax(b'g', &[("path", b"global")])
        .with(Head::gnu(b'L', b"././@LongLink"), b"long\0")
        .file(b"f", b"");
    let read = read_all(&tar.file(b"g", b"").end()).unwrap();
    assert_eq!(read[0].0.path.to_string(), "long");
    assert_eq!(read[1].0.path.to_string(), "global");
}

#[test]
fn what_readers_take_differently_is_refused() {
    let long = |tar: Tar| tar.with(Head::gnu(b'L', b"././@LongLink"), b"long\0");
    let pax = |tar: Tar| tar.pax(b'x', &[("path", b"p")]);
    for (tar, reason) in [
        (pax(pax(Tar::default())), "two pax extended headers for one entry"),
        (long(long(Tar::default())), "two GNU long name headers for one entry"),
        (long(pax(Tar::default())), "both a GNU long name and a pax path for one entry"),
        (pax(long(Tar::default())), "both a GNU long name and a pax path for one entry"),
        (Tar::default().pax(b'g', &[("size", b"5")]), "global header sets \"size\""),
        (
            Tar::default().pax(b'g', &[("GNU.sparse.map", b"0,5")]),
            "global header sets \"GNU.sparse.map\"",
        ),
    ] {
        let refused = refusal(&tar.file(b"f", b"").end());
        assert!(refused.ends_with(reason), "{refused}");
    }
}

#[test]
fn bad_values_are_refused() {
    let long_name = format!("SCHILY.xattr.{}", "n".repeat(256));
    let large = vec![0; (1 << 16) + 1];
    for (key, value, reason) in [
        ("path", &b"a\0b"[..], "pax path holds a NUL byte"),
        ("linkpath", b"a\0b", "pax linkpath holds a NUL byte"),
        ("GNU.sparse.name", b"a\0b", "pax GNU.sparse.name holds a NUL byte"),
        ("size", b"-1", "size is not a number: \"-1\""),
        ("size", b"0x10", "size is not a number: \"0x10\""),
        ("size", b"9223372036854775808", "size 9223372036854775808 is out of range"),
        ("size", b"99999999999999999999", "size is too large a number"),
        ("uid", b"4294967295", "uid 4294967295 is out of range"),
        ("gid", b"-1", "gid is not a number: \"-1\""),
        ("mtime", b"soon", "mtime is not a number: \"soon\""),
        ("path", b"../x", "path has a .. component"),
        (
            "SCHILY.xattr.",
            b"v",
            "name of extended attribute \"\" is empty, longer than 255 bytes, or holds a NUL byte",
        ),
        (&long_name, b"v", "is empty, longer than 255 bytes, or holds a NUL byte"),
        ("SCHILY.xattr.user.a", &large, "\"user.a\" is 65537 bytes long, more than 64 KiB"),
    ] {
        let refused = refusal(&Tar::default().pax(b'x', &[(key, value)]).file(b"f", b"").end());
        assert!(refused.ends_with(reason), "{key}: {refused}");
    }
    let tar = Tar::default().with(Head::new(b'x', b"h"), b"9 path=x").file(b"f", b"");
    assert!(refusal(&tar.end()).starts_with("h (header at byte 0): pax record at byte 0 "));
    let tar = Tar::default().with(Head::gnu(b'L', b"h"), b"\0").file(b"f", b"");
    assert!(refusal(&tar.end()).ends_with("GNU long name is empty"));
}

#[test]
fn attributes_are_bounded_as_the_kernel_bounds_their_list() {
    let records = |count: u32| -> Vec<u8> {
        let key = |i: u32| format!("SCHILY.xattr.user.{i:0249}");
        (0..count).flat_map(|i| record(key(i).as_bytes(), b"v")).collect()
    };
    let tar = |count| Tar::default().with(Head::new(b'x', b"h"), &records(count)).file(b"f", b"");
    assert_eq!(first(tar(256)).xattrs.len(), 256);
    assert!(refusal(&tar(258).end()).ends_with("are longer than 64 KiB together"));
}

#[test]
fn an_extended_header_is_refused_by_its_claim() {
    for type_byte in [b'x', b'g', b'L', b'K'] {
        let bytes =
            Tar::default().head(Head::new(type_byte, b"h").size(10 << 30)).data(&[0; 9000]).0;
        assert_eq!(
            refusal(&bytes),
            "h (header at byte 0): extended header claims 10737418240 bytes, more than 1 MiB"
        );
    }
    let full = record(b"comment", &vec![b'c'; (1 << 20) - 17]);
    assert_eq!(full.len(), 1 << 20);
    let tar = Tar::default().with(Head::new(b'x', b"h"), &full).file(b"f", b"");
    assert_eq!(read_all(&tar.end()).unwrap().len(), 1);
}

#[test]
fn global_headers_do_not_add_up_without_bound() {
    let mut tar = Tar::default();
    for i in 0..20 {
        let key = format!("SCHILY.xattr.user.{i}");
        tar = tar.pax(b'g', &[(key.as_str(), &[0; 60_000])]);
    }
    assert!(refusal(&tar.file(b"f", b"").end()).ends_with("global headers hold more than 128 KiB"));
}

#[test]
fn an_extended_header_needs_an_entry() {
    for end in [0, 512, 1024] {
        let bytes = Tar::default().pax(b'x', &[("path", b"p")]).data(&vec![0; end]).0;
        let refused = refusal(&bytes);
        assert!(
            refused.ends_with("truncated, the archive ends inside its extended header"),
            "{refused}"
        );
    }
}
