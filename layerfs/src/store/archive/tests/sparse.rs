//! Sparse files in their four forms.

use super::*;

type Map = [(u64, u64)];

/// The contents that a map and its stored bytes stand for.
fn expand(map: &Map, stored: &[u8], size: u64) -> Vec<u8> {
    let mut contents = vec![0; usize::try_from(size).unwrap()];
    let mut from = 0;
    for &(offset, len) in map {
        let (at, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
        contents[at..at + len].copy_from_slice(&stored[from..from + len]);
        from += len;
    }
    contents
}

fn slots(map: &Map) -> Vec<u8> {
    map.iter().flat_map(|(o, l)| format!("{o:011o}\0{l:011o}\0").into_bytes()).collect()
}

fn old_head(map: &Map, size: u64, stored: usize) -> Head {
    Head::gnu(b'S', b"sparse")
        .put(386, &slots(&map[..map.len().min(4)]))
        .put(482, &[u8::from(map.len() > 4)])
        .put(483, &build::long_number(size))
        .size(stored as u64)
}

fn old(map: &Map, size: u64, stored: &[u8]) -> Tar {
    let mut tar = Tar::default().head(old_head(map, size, stored.len()));
    let mut rest = &map[map.len().min(4)..];
    while !rest.is_empty() {
        let (block, after) = rest.split_at(rest.len().min(21));
        let mut bytes = slots(block);
        bytes.resize(504, 0);
        bytes.push(u8::from(!after.is_empty()));
        tar = tar.data(&bytes);
        rest = after;
    }
    tar.data(stored)
}

fn pax_00(map: &Map, size: u64, stored: &[u8]) -> Tar {
    let mut records = vec![
        ("GNU.sparse.size".to_string(), size),
        ("GNU.sparse.numblocks".to_string(), map.len() as u64),
    ];
    for &(offset, len) in map {
        records.push(("GNU.sparse.offset".to_string(), offset));
        records.push(("GNU.sparse.numbytes".to_string(), len));
    }
    let body: Vec<u8> = records
        .iter()
        .flat_map(|(k, v)| build::record(k.as_bytes(), v.to_string().as_bytes()))
        .collect();
    Tar::default().with(Head::new(b'x', b"h"), &body).file(b"sparse", stored)
}

fn pax_01(map: &Map, size: u64, stored: &[u8]) -> Tar {
    let numbers: Vec<_> = map.iter().map(|(o, l)| format!("{o},{l}")).collect();
    pax_with(&numbers.join(","), map.len(), size, stored)
}

fn pax_with(list: &str, count: usize, size: u64, stored: &[u8]) -> Tar {
    Tar::default()
        .pax(
            b'x',
            &[
                ("GNU.sparse.size", size.to_string().as_bytes()),
                ("GNU.sparse.numblocks", count.to_string().as_bytes()),
                ("GNU.sparse.name", b"sparse"),
                ("GNU.sparse.map", list.as_bytes()),
            ],
        )
        .file(b"GNUSparseFile.1/sparse", stored)
}

fn pax_10(map: &Map, size: u64, stored: &[u8]) -> Tar {
    let lines: String = map.iter().map(|(o, l)| format!("{o}\n{l}\n")).collect();
    pax_10_with(&format!("{}\n{lines}", map.len()), size, stored)
}

fn pax_10_with(lines: &str, size: u64, stored: &[u8]) -> Tar {
    let data = [&Tar::default().data(lines.as_bytes()).0[..], stored].concat();
    Tar::default()
        .pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"sparse"),
                ("GNU.sparse.realsize", size.to_string().as_bytes()),
            ],
        )
        .file(b"GNUSparseFile.1/sparse", &data)
}

type Form = fn(&Map, u64, &[u8]) -> Tar;
const FORMS: [Form; 4] = [old, pax_00, pax_01, pax_10];

#[test]
fn all_forms_give_the_same_file() {
    for segments in [0usize, 1, 3, 4, 5, 25, 26, 100, 300] {
        let mut map: Vec<(u64, u64)> =
            (0..segments as u64).map(|i| (i * 1000 + i % 7, 1 + i * 13 % 900)).collect();
        let size = segments as u64 * 1000 + 77;
        map.push((size, 0));
        let stored: Vec<u8> =
            (0..map.iter().map(|s| s.1).sum()).map(|i: u64| i.to_le_bytes()[0] | 1).collect();
        for form in FORMS {
            let read = read_all(&form(&map, size, &stored).file(b"next", b"n").end()).unwrap();
            assert_eq!((read[0].0.path.to_string().as_str(), read[0].0.size), ("sparse", size));
            assert!(read[0].1 == expand(&map, &stored, size), "{segments} segments");
            assert_eq!(read[1].1, b"n");
        }
    }
}

#[test]
fn pieces_leave_holes_out() {
    let bytes = pax_10(&[(10, 3), (5000, 2)], 1 << 40 >> 4, b"abcde").end();
    let mut reader = ArchiveReader::new(&bytes[..]);
    assert_eq!(reader.next_entry().unwrap().unwrap().size, 1 << 36);
    assert_eq!(reader.data_position(), 512 + 512 + 512 + 512, "the map is no contents");
    let mut buf = [0; 2];
    let mut pieces = Vec::new();
    while let Some(piece) = reader.next_piece(&mut buf).unwrap() {
        pieces.push((piece.offset, buf[..piece.len].to_vec()));
    }
    assert_eq!(pieces, [(10, b"ab".to_vec()), (12, b"c".to_vec()), (5000, b"de".to_vec())]);
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn bad_maps_are_refused_in_every_form() {
    for form in FORMS {
        for (map, size, stored, reason) in [
            (&[(0, 2), (1, 2)][..], 10, &b"abcd"[..], "sparse map does not ascend at offset 1"),
            (&[(5, 2), (1, 2)], 10, b"abcd", "sparse map does not ascend at offset 1"),
            (&[(9, 2)], 10, b"ab", "sparse map goes past the size of the file, 10"),
            (&[(0, 3)], 10, b"ab", "sparse map has 3 bytes of data, but the archive stores 2"),
            (&[(0, 1)], 10, b"ab", "sparse map has 1 bytes of data, but the archive stores 2"),
            (
                &[(0, 1)],
                (1 << 33) - 1 + (257 << 30),
                b"a",
                "sparse map claims 284541583358 bytes of holes, more than 256 GiB",
            ),
        ] {
            let refused = refusal(&form(map, size, stored).end());
            assert_eq!(refused.split(": ").last(), Some(reason));
            assert!(refused.starts_with("sparse (header at byte "), "{refused}");
        }
    }
}

#[test]
fn an_old_header_claims_holes_in_base_256_too() {
    let head = old_head(&[], 0, 0).put(483, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    let refused = refusal(&Tar::default().head(head).end());
    assert!(
        refused.ends_with("claims 9223372036854775807 bytes of holes, more than 256 GiB"),
        "{refused}"
    );
}

#[test]
fn a_list_must_be_pairs_of_as_many_numbers_as_announced() {
    for (list, count, reason) in [
        ("0,1,2", 1, "sparse map has 3 numbers, but announces 4"),
        ("0,1", 2, "sparse map has 2 numbers, but announces 4"),
        ("0,x", 1, "sparse map holds something else than a number: \"x\""),
        ("0,1,", 1, "sparse map has 3 numbers, but announces 4"),
        ("0,-1", 1, "sparse map holds something else than a number: \"-1\""),
    ] {
        let refused = refusal(&pax_with(list, count, 10, b"a").end());
        assert!(refused.ends_with(reason), "{list}: {refused}");
    }
}

#[test]
fn a_map_in_the_data_must_be_lines_within_the_data() {
    for (lines, reason) in [
        (
            "1\n0\n1",
            "sparse map holds something else than a number: \"1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\"",
        ),
        ("x\n", "sparse map holds something else than a number: \"x\""),
        ("\n", "sparse map holds something else than a number: \"\""),
        (
            "99999999999999999999\n",
            "sparse map holds something else than a number: \"99999999999999999999\"",
        ),
        ("1048577\n", "sparse map has more than 1048576 segments"),
    ] {
        let refused = refusal(&pax_10_with(lines, 10, b"a").end());
        assert!(refused.ends_with(reason), "{lines}: {refused}");
    }
    let lines = format!("200\n{}", "0\n0\n".repeat(127));
    let refused = refusal(&pax_10_with(&lines[..512], 10, b"").end());
    assert!(refused.ends_with("sparse map is longer than the stored data"), "{refused}");
}

#[test]
fn records_must_say_one_thing_about_sparseness() {
    let map = ("GNU.sparse.map", &b"0,1"[..]);
    for (records, reason) in [
        (&[map][..], "sparse file without its real size"),
        (&[("GNU.sparse.size", b"5")], "sparse map has 0 bytes of data, but the archive stores 1"),
        (
            &[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0")],
            "unknown sparse format \"2\".\"0\"",
        ),
        (&[("GNU.sparse.major", b"1")], "unknown sparse format \"1\".\"\""),
        (
            &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), map],
            "two sparse maps for one file",
        ),
        (
            &[map, ("GNU.sparse.offset", b"0"), ("GNU.sparse.numbytes", b"1")],
            "two sparse maps for one file",
        ),
        (
            &[("GNU.sparse.offset", b"0"), ("GNU.sparse.offset", b"1")],
            "pax record \"GNU.sparse.offset\" is out of place or not a number: \"1\"",
        ),
        (
            &[("GNU.sparse.numbytes", b"1")],
            "pax record \"GNU.sparse.numbytes\" is out of place or not a number: \"1\"",
        ),
        (
            &[("GNU.sparse.offset", b"7")],
            "pax record \"GNU.sparse.offset\" is out of place or not a number: \"7\"",
        ),
    ] {
        let refused = refusal(&Tar::default().pax(b'x', records).file(b"f", b"a").end());
        assert!(refused.ends_with(reason), "{refused}");
    }
    let tar = Tar::default().pax(b'x', &[map]).head(old_head(&[(0, 1)], 5, 1)).data(b"a");
    assert!(refusal(&tar.end()).ends_with("two sparse maps for one file"));
}

#[test]
fn a_cut_inside_a_continued_map_is_truncation() {
    let map: Vec<_> = (0..30).map(|i| (i * 10, 1)).collect();
    let bytes = old(&map, 400, &[7; 30]).0;
    assert_eq!(
        refusal(&bytes[..700]),
        "sparse (header at byte 0): truncated, the archive ends inside its sparse map"
    );
}

/// Two bytes of map per segment are all that an attacker pays, so the bound must hold before the list grows.
#[test]
fn segments_are_bounded_while_they_are_read() {
    let mut tar = Tar::default().head(old_head(&[(0, 0); 5], 10, 0));
    let mut block = slots(&[(0, 0); 21]);
    block.resize(504, 0);
    block.push(1);
    block.resize(512, 0);
    for _ in 0..(1 << 20) / 21 + 1 {
        tar.0.extend(&block);
    }
    assert!(refusal(&tar.0).ends_with("sparse map has more than 1048576 segments"));
}

/// Reads entries and none of their contents.
fn count(bytes: &[u8]) -> Result<u32, ArchiveError> {
    let mut reader = ArchiveReader::new(bytes);
    let mut count = 0;
    while reader.next_entry()?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn holes_of_many_files_do_not_add_up_without_bound() {
    let mut tar = Tar::default();
    for _ in 0..2 {
        tar.0.extend(old(&[(0, 1)], (128 << 30) + 1, b"x").0);
    }
    assert_eq!(count(&tar.clone().end()).unwrap(), 2);
    tar.0.extend(old(&[(0, 1)], 2, b"x").0);
    let refused = count(&tar.end()).unwrap_err().to_string();
    assert!(refused.ends_with("bytes of holes together, more than 256 GiB"), "{refused}");
}
