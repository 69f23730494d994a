//! Whole archives through the reader.

use super::build::{Head, Tar};
use super::*;
use std::io::Cursor;

/// All entries with their contents, holes as zeros.
fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ArchiveError> {
    let streamed = read_with(ArchiveReader::new(bytes));
    let seeking = read_with(ArchiveReader::seekable(Cursor::new(bytes)));
    match (&streamed, &seeking) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (a, b) => panic!("reading and seeking differ: {a:?} {b:?}"),
    }
    streamed
}

fn read_with<R: std::io::Read>(
    mut reader: ArchiveReader<R>,
) -> Result<Vec<(Entry, Vec<u8>)>, ArchiveError> {
    let mut all = Vec::new();
    let mut buf = [0; 700];
    while let Some(entry) = reader.next_entry()? {
        let mut contents = vec![0; usize::try_from(entry.size.min(1 << 24)).unwrap()];
        while let Some(piece) = reader.next_piece(&mut buf)? {
            let at = usize::try_from(piece.offset).unwrap();
            contents[at..at + piece.len].copy_from_slice(&buf[..piece.len]);
        }
        all.push((entry, contents));
    }
    assert!(reader.next_entry()?.is_none(), "the end stays the end");
    Ok(all)
}

/// The one line that says why an archive is refused.
fn refusal(bytes: &[u8]) -> String {
    read_all(bytes).unwrap_err().to_string()
}

#[test]
fn every_type_is_read() {
    let bytes = Tar::default()
        .head(Head::new(b'5', b"d/"))
        .file(b"d/f", b"hello")
        .head(Head::new(b'1', b"d/h").link(b"/d/f").size(5))
        .head(Head::new(b'2', b"d/s").link(b"../../etc//passwd"))
        .head(Head::new(b'3', b"d/c").device(4095, 1_048_575))
        .head(Head::new(b'4', b"d/b").device(7, 0))
        .head(Head::new(b'6', b"d/p"))
        .end();
    let read = read_all(&bytes).unwrap();
    let paths: Vec<_> = read.iter().map(|(e, _)| e.path.to_string()).collect();
    assert_eq!(paths, ["d", "d/f", "d/h", "d/s", "d/c", "d/b", "d/p"]);
    let kinds: Vec<_> = read.into_iter().map(|(e, _)| e.kind).collect();
    assert_eq!(kinds[0], EntryKind::Directory);
    assert_eq!(kinds[1], EntryKind::File);
    assert_eq!(kinds[2], EntryKind::Hardlink { target: EntryPath::parse(b"d/f").unwrap() });
    assert_eq!(kinds[3], EntryKind::Symlink { target: b"../../etc//passwd"[..].into() });
    assert_eq!(kinds[4], EntryKind::CharDevice { major: 4095, minor: 1_048_575 });
    assert_eq!(kinds[5], EntryKind::BlockDevice { major: 7, minor: 0 });
    assert_eq!(kinds[6], EntryKind::Fifo);
}

mod extensions;
mod hostile;
mod sparse;

#[test]
fn fields_of_the_header_are_read() {
    let head = Head::new(b'0', b"f").put(100, b"0107755\0").put(136, b"14524444520\0");
    let (entry, _) = read_all(&Tar::default().head(head).end()).unwrap().remove(0);
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o7755, 0o1750, 0o144));
    assert_eq!(entry.mtime, Timestamp { secs: 0o14_524_444_520, nanos: 0 });
    let head = Head::gnu(b'0', b"f").put(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
    let (entry, _) = read_all(&Tar::default().head(head).end()).unwrap().remove(0);
    assert_eq!(entry.mtime, Timestamp { secs: -2, nanos: 0 });
}

#[test]
fn data_is_whole_and_its_position_is_known() {
    let big: Vec<u8> = (0..5000u32).map(|i| i.to_le_bytes()[0]).collect();
    let bytes = Tar::default().file(b"a", b"").file(b"b", &big).file(b"c", b"x").end();
    let read = read_all(&bytes).unwrap();
    assert_eq!(read[1].1, big);
    assert_eq!(read[2].1, b"x");

    let mut reader = ArchiveReader::seekable(Cursor::new(&bytes));
    reader.next_entry().unwrap();
    reader.next_entry().unwrap();
    assert_eq!(reader.data_position(), 1024);
    let mut buf = [0; 100];
    assert_eq!(reader.next_piece(&mut buf).unwrap(), Some(Piece { offset: 0, len: 100 }));
    assert_eq!(reader.next_piece(&mut buf).unwrap(), Some(Piece { offset: 100, len: 100 }));
    let third = reader.next_entry().unwrap().unwrap();
    assert_eq!(third.path.to_string(), "c");
    assert_eq!(reader.data_position(), 1024 + 5120 + 512);
}

#[test]
fn contiguous_files_and_old_directories_are_known() {
    let bytes = Tar::default()
        .with(Head::new(b'7', b"c"), b"data")
        .head(Head::v7(0, b"dir/"))
        .with(Head::v7(0, b"file"), b"old")
        .with(Head::gnu(b'D', b"dump/"), b"Yfile\0\0")
        .with(Head::gnu(b'V', b"label"), b"")
        .head(Head::new(b'0', b"slash/"))
        .end();
    let read = read_all(&bytes).unwrap();
    let seen: Vec<_> =
        read.iter().map(|(e, data)| (e.path.to_string(), e.kind.clone(), data.len())).collect();
    assert_eq!(
        seen,
        [
            ("c".into(), EntryKind::File, 4),
            ("dir".into(), EntryKind::Directory, 0),
            ("file".into(), EntryKind::File, 3),
            ("dump".into(), EntryKind::Directory, 0),
            ("slash".into(), EntryKind::File, 0),
        ]
    );
}

#[test]
fn unknown_types_are_refused_by_their_byte() {
    for type_byte in [b'M', b'N', b'X', b'A', b'8', b' ', 0xff] {
        let refused = refusal(&Tar::default().head(Head::new(type_byte, b"f\n")).end());
        let expected = format!("f\\n (header at byte 0): unknown entry type byte {type_byte:#04x}");
        assert_eq!(refused, expected);
    }
}

/// For links, directories and special files the size field counts nothing.
#[test]
fn a_size_on_an_entry_without_data_is_not_passed_over() {
    let bytes = Tar::default()
        .file(b"f", b"hello")
        .head(Head::new(b'1', b"h").link(b"f").size(5))
        .head(Head::new(b'2', b"s").link(b"f").size(600))
        .head(Head::new(b'5', b"d").size(4096))
        .head(Head::new(b'6', b"p").size(1))
        .pax(b'x', &[("size", b"7")])
        .head(Head::new(b'1', b"h2").link(b"f"))
        .end();
    let read = read_all(&bytes).unwrap();
    assert_eq!(read.len(), 6);
    assert!(read[1..].iter().all(|(entry, _)| entry.size == 0));
}

#[test]
fn the_prefix_is_a_name_in_ustar_and_times_in_gnu() {
    let name = |head: Head| {
        read_all(&Tar::default().head(head).end()).unwrap().remove(0).0.path.to_string()
    };
    assert_eq!(name(Head::new(b'0', b"f").put(345, b"a/b")), "a/b/f");
    assert_eq!(name(Head::gnu(b'0', b"f").put(345, b"00000000001\0")), "f");
    assert_eq!(name(Head::v7(b'0', b"f").put(345, b"a/b")), "f");
    let star = Head::new(b'0', b"f").put(345, b"a").put(476, b"00000000001 ").put(508, b"tar\0");
    assert_eq!(name(star), "a/f");
    let full = Head::new(b'0', &[b'n'; 100]).put(345, &[b'p'; 155]);
    assert_eq!(name(full), format!("{}/{}", "p".repeat(155), "n".repeat(100)));
}

#[test]
fn names_stay_inside_the_root_or_are_refused() {
    let read = |name: &[u8]| read_all(&Tar::default().file(name, b"").end());
    assert_eq!(read(b"/etc/passwd").unwrap()[0].0.path.to_string(), "etc/passwd");
    assert_eq!(read(b"caf\xe9").unwrap()[0].0.path.components()[0].as_bytes(), b"caf\xe9");
    for name in [&b"../x"[..], b"a/../../x", b"a/.."] {
        let refused = read(name).unwrap_err().to_string();
        assert!(refused.ends_with(": path has a .. component"), "{refused}");
    }
    for name in [&b""[..], b"/", b"./"] {
        assert!(
            read(name).unwrap_err().to_string().ends_with("root of the archive is not a directory")
        );
        let root = Tar::default().head(Head::new(b'5', name)).end();
        assert!(read_all(&root).unwrap()[0].0.path.is_root());
    }
}

#[test]
fn link_targets_are_checked_for_what_they_are() {
    let hard = |target: &[u8]| Tar::default().head(Head::new(b'1', b"h").link(target)).end();
    let soft = |target: &[u8]| Tar::default().head(Head::new(b'2', b"s").link(target)).end();
    assert_eq!(
        refusal(&hard(b"../../etc/shadow")),
        "h (header at byte 0): hard link target \"../../etc/shadow\": path has a .. component"
    );
    assert!(refusal(&hard(b"/")).ends_with("hard link to the root of the archive"));
    assert!(refusal(&hard(b"")).ends_with("hard link to the root of the archive"));
    assert!(refusal(&soft(b"")).ends_with("symbolic link without a target"));
    let long = |len: usize| {
        let target = vec![b't'; len];
        let tar =
            Tar::default().with(Head::gnu(b'K', b"././@LongLink"), &[&target[..], b"\0"].concat());
        tar.head(Head::new(b'2', b"s").link(b"t")).end()
    };
    let kind = read_all(&long(4095)).unwrap().remove(0).0.kind;
    assert_eq!(kind, EntryKind::Symlink { target: vec![b't'; 4095].into() });
    assert!(refusal(&long(4096)).ends_with("target is 4096 bytes long, more than 4095"));
}

#[test]
fn numbers_outside_their_meaning_are_refused() {
    let minus = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    for (head, reason) in [
        (Head::new(b'0', b"f").put(124, minus), "size -1 is out of range"),
        (Head::new(b'5', b"f").put(124, minus), "size -1 is out of range"),
        (Head::new(b'x', b"f").put(124, minus), "size -1 is out of range"),
        (
            Head::new(b'0', b"f").put(124, b"\x80\0\0\x01\0\0\0\0\0\0\0\0"),
            "size is too large a number",
        ),
        (
            Head::new(b'0', b"f").put(124, b"00000000008\0"),
            "size is not a number: \"00000000008\\0\"",
        ),
        (Head::new(b'0', b"f").put(108, &minus[..8]), "uid -1 is out of range"),
        (
            Head::new(b'0', b"f").put(108, b"\x80\0\0\0\xff\xff\xff\xff"),
            "uid 4294967295 is out of range",
        ),
        (Head::new(b'0', b"f").put(116, b"\x80\0\0\x01\0\0\0\0"), "gid 4294967296 is out of range"),
        (Head::new(b'0', b"f").put(100, b"rw-r--r-"), "mode is not a number: \"rw-r--r-\""),
        (Head::new(b'3', b"f").device(4096, 0), "device major 4096 is out of range"),
        (Head::new(b'4', b"f").device(0, 1 << 20), "device minor 1048576 is out of range"),
        (Head::v7(b'3', b"f"), "device without device numbers"),
        (Head::new(b'S', b"f"), "old sparse file in a header that is not GNU tar's"),
    ] {
        let refused = refusal(&Tar::default().head(head).end());
        assert_eq!(refused, format!("f (header at byte 0): {reason}"));
    }
    let head = Head::new(b'0', b"f").put(108, b"\x80\0\0\0\xff\xff\xff\xfe");
    assert_eq!(read_all(&Tar::default().head(head).end()).unwrap()[0].0.uid, u32::MAX - 1);
}

#[test]
fn checksums_are_verified_in_both_forms() {
    let mut bytes = Tar::default().file(b"caf\xe9", b"").end();
    let signed: i32 = bytes[..512]
        .iter()
        .enumerate()
        .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { i32::from(b.cast_signed()) })
        .sum();
    bytes[148..156].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
    assert_eq!(read_all(&bytes).unwrap().len(), 1);
    bytes[0] ^= 1;
    let told = "it is not a tar archive, plain or packed with gzip or zstd: header at byte 0: header checksum is ";
    assert!(refusal(&bytes).starts_with(told));
}

#[test]
fn an_archive_ends_at_zero_blocks_or_between_entries() {
    let whole = Tar::default().file(b"a", b"x").file(b"b", b"y");
    for blocks in 0..4 {
        let mut bytes = whole.0.clone();
        bytes.resize(bytes.len() + blocks * 512, 0);
        assert_eq!(read_all(&bytes).unwrap().len(), 2, "{blocks} zero blocks");
    }
    assert!(read_all(b"").unwrap().is_empty());
    let bytes = Tar::default().file(b"a", b"x").data(&[0; 512]).file(b"b", b"y").end();
    assert_eq!(
        refusal(&bytes),
        "a (header at byte 0): lone zero block at byte 1024, and the archive goes on after it"
    );
}

#[test]
fn what_follows_the_end_is_left_to_the_caller() {
    let mut bytes = Tar::default().file(b"a", b"x").end();
    let rest = bytes.len();
    bytes.extend(b"rest of the last record");
    let mut reader = ArchiveReader::new(&bytes[..]);
    while reader.next_entry().unwrap().is_some() {}
    assert_eq!(reader.into_inner(), &bytes[rest..]);
}

#[test]
fn every_cut_inside_an_entry_is_truncation() {
    let whole = Tar::default()
        .pax(b'x', &[("mtime", b"1.5")])
        .file(b"a", &[7; 700])
        .with(Head::gnu(b'L', b"././@LongLink"), b"long\0")
        .file(b"b", b"")
        .0;
    let ends = [0, 2560, whole.len()];
    for len in 0..=whole.len() {
        match read_all(&whole[..len]) {
            Ok(_) => assert!(ends.contains(&len), "a cut at {len} is not seen"),
            Err(e) => assert!(e.to_string().contains("truncated"), "{e}"),
        }
    }
    assert_eq!(
        refusal(&whole[..2000]),
        "a (header at byte 1024): truncated, the archive ends inside its data"
    );
}

#[test]
fn nothing_is_read_after_an_error() {
    let bytes = Tar::default().file(b"../x", b"").file(b"ok", b"").end();
    let mut reader = ArchiveReader::new(&bytes[..]);
    assert!(matches!(reader.next_entry(), Err(ArchiveError::ParsePath { .. })));
    assert!(matches!(reader.next_entry(), Err(ArchiveError::ReadAfterError { .. })));
    assert!(matches!(reader.next_piece(&mut [0]), Err(ArchiveError::ReadAfterError { .. })));
}

#[test]
fn an_error_of_the_stream_keeps_its_source() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(5))
        }
    }
    let bytes = Tar::default().head(Head::new(b'0', b"f").size(9)).0;
    let mut reader = ArchiveReader::new(std::io::Read::chain(&bytes[..], Broken));
    reader.next_entry().unwrap();
    let error = reader.next_piece(&mut [0; 16]).unwrap_err();
    assert_eq!(error.to_string(), "read the archive at f (header at byte 0)");
    let ArchiveError::ReadStream { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.raw_os_error(), Some(5));
}
