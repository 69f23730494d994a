//! Random and damaged archives: an answer, always, and soon.

use super::*;
use proptest::prelude::*;
use std::io::Read;

/// Counts what is read, and gives up on a reader that goes on without consuming anything.
struct Metered<'a> {
    rest: &'a [u8],
    calls: usize,
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.calls += 1;
        self.rest.read(buf)
    }
}

/// Reads to the end or to an error. Each entry costs a block, so more entries than blocks is a loop.
fn exhaust(bytes: &[u8]) {
    let mut reader = ArchiveReader::new(Metered { rest: bytes, calls: 0 });
    let mut buf = [0; 4096];
    let mut steps = 0;
    'entries: while let Ok(Some(entry)) = reader.next_entry() {
        let mut end = 0;
        while let Some(piece) = match reader.next_piece(&mut buf) {
            Ok(piece) => piece,
            Err(_) => break 'entries,
        } {
            assert!(piece.len > 0 && piece.offset >= end, "pieces ascend");
            end = piece.offset + piece.len as u64;
            assert!(end <= entry.size, "pieces stay in the file");
            steps += 1;
        }
        assert!(entry.path.components().len() <= 2048);
        assert!(entry.xattrs.windows(2).all(|w| w[0].name < w[1].name));
        steps += 1;
        assert!(steps <= bytes.len() / 512 + bytes.len(), "a loop");
    }
    let calls = reader.into_inner().calls;
    assert!(calls <= bytes.len() / 64 + 16, "{calls} reads of {} bytes", bytes.len());
}

fn sample() -> Vec<u8> {
    Tar::default()
        .pax(b'g', &[("mtime", b"1.5"), ("SCHILY.xattr.user.g", b"v")])
        .head(Head::new(b'5', b"d/"))
        .pax(b'x', &[("path", b"d/file"), ("SCHILY.xattr.user.a", b"\n\n"), ("uid", b"12")])
        .file(b"f", &[9; 600])
        .with(Head::gnu(b'L', b"././@LongLink"), b"d/long\0")
        .with(Head::gnu(b'K', b"././@LongLink"), b"d/file\0")
        .head(Head::gnu(b'1', b"l").link(b"x"))
        .pax(b'x', &[("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"0,1,50,2")])
        .file(b"s1", b"abc")
        .pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"99"),
            ],
        )
        .file(b"s2", &Tar::default().data(b"1\n5\n3\n").data(b"abc").0[..515])
        .head(
            Head::gnu(b'S', b"s3")
                .put(386, b"00000000000\x0000000000001\x00")
                .put(482, b"\x01")
                .put(483, b"00000001750\0")
                .size(2),
        )
        .data(b"00000000020\x0000000000001\x00")
        .data(b"ab")
        .head(Head::new(b'3', b"dev").device(1, 3))
        .end()
}

#[test]
fn the_sample_is_good_before_it_is_damaged() {
    assert_eq!(read_all(&sample()).unwrap().len(), 7);
}

/// Header blocks whose checksum is made right again after damage, so that damage reaches the fields.
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            let head = build::Head(block.try_into().unwrap());
            block.copy_from_slice(&head.block());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        exhaust(&bytes);
    }

    #[test]
    fn random_headers_are_answered(
        flags in proptest::collection::vec(
            (proptest::sample::select(b"\x0001234567DKLSVgx".to_vec()), any::<[u8; 24]>(), 0..2000u64),
            1..12,
        ),
        at in 0..488usize,
    ) {
        let mut tar = Tar::default();
        for (flag, junk, size) in flags {
            tar = tar.head(Head::gnu(flag, b"n").size(size).put(at, &junk));
            tar = tar.data(&vec![b'1'; usize::try_from(size).unwrap()]);
        }
        exhaust(&tar.end());
    }

    #[test]
    fn damaged_archives_are_answered(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
        whole: bool,
        mended: bool,
    ) {
        let mut bytes = sample();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if mended {
            mend_checksums(&mut bytes);
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        exhaust(&bytes);
    }
}
