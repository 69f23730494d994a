//! Writing an archive: ustar headers, and pax records for what they can't say.
//!
//! The bytes are a function of the entries alone, so that the same tree gives the same digest everywhere: numbers that
//! fit stand in the header, and records come in one fixed order.

use std::io::{self, Write};

use super::entry::{Entry, EntryKind, Timestamp};
use super::path::EntryPath;

const BLOCK: usize = 512;
/// The largest number of the header's 12-digit fields, and of its 8-digit fields.
const LARGE_MAX: u64 = 0o77_777_777_777;
const SMALL_MAX: u64 = 0o7_777_777;

/// Writes entries to a stream, each followed by its data.
pub struct ArchiveWriter<W: Write> {
    out: W,
    /// Bytes of the present entry's data that are still to come.
    left: u64,
    padding: usize,
}

impl<W: Write> ArchiveWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        ArchiveWriter { out, left: 0, padding: 0 }
    }

    /// Writes the headers of an entry. A file's data, `entry.size` bytes, must follow.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.end_data()?;
        let path = path_bytes(&entry.path, &entry.kind);
        let target = target_of(&entry.kind);
        let records = records_of(entry, &path, &target);
        if !records.is_empty() {
            let mut header = header_of(b"@pax", b"", b'x');
            put(&mut header, records.len() as u64, 124, 12);
            self.block(&header)?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut header = header_of(&path, &target, type_of(&entry.kind));
        put(&mut header, entry.mode.into(), 100, 8);
        put(&mut header, u64::from(entry.uid).min(SMALL_MAX), 108, 8);
        put(&mut header, u64::from(entry.gid).min(SMALL_MAX), 116, 8);
        put(&mut header, entry.size.min(LARGE_MAX), 124, 12);
        put(&mut header, u64::try_from(entry.mtime.secs).unwrap_or(0).min(LARGE_MAX), 136, 12);
        if let EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } =
            entry.kind
        {
            put(&mut header, major.into(), 329, 8);
            put(&mut header, minor.into(), 337, 8);
        }
        self.block(&header)?;
        self.left = entry.size;
        self.padding = padding_after(entry.size);
        Ok(())
    }

    /// Writes a piece of the present entry's data.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let over = || io::Error::other("more data than the entry's size");
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(over)?;
        self.out.write_all(bytes)
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_data()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn end_data(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("less data than the entry's size"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&[0; BLOCK][..padding])
    }

    fn pad(&mut self, len: u64) -> io::Result<()> {
        self.out.write_all(&[0; BLOCK][..padding_after(len)])
    }

    /// Writes a header block under its checksum: the sum of its bytes with the field itself as spaces.
    fn block(&mut self, header: &[u8; BLOCK]) -> io::Result<()> {
        let mut block = *header;
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        put(&mut block, sum, 148, 7);
        self.out.write_all(&block)
    }
}

/// A ustar header with zeros for numbers.
fn header_of(path: &[u8], target: &[u8], kind: u8) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let fields = [(0, 100, path), (157, 100, target), (257, 8, b"ustar\x0000")];
    for (start, len, bytes) in fields {
        let fitting = &bytes[..bytes.len().min(len)];
        header[start..start + fitting.len()].copy_from_slice(fitting);
    }
    for (start, len) in [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (329, 8), (337, 8)] {
        put(&mut header, 0, start, len);
    }
    header[156] = kind;
    header
}

/// Puts an octal number into a field: zeros in front, a NUL behind.
fn put(header: &mut [u8; BLOCK], number: u64, start: usize, len: usize) {
    let digits = format!("{number:0width$o}\0", width = len - 1);
    header[start..start + len].copy_from_slice(digits.as_bytes());
}

/// What the header can't say, as pax records.
fn records_of(entry: &Entry, path: &[u8], target: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    let plain = |bytes: &[u8]| bytes.len() <= 100 && bytes.is_ascii();
    if !plain(path) {
        record(&mut records, b"path", path);
    }
    if !plain(target) {
        record(&mut records, b"linkpath", target);
    }
    let numbers = [("uid", u64::from(entry.uid), SMALL_MAX), ("gid", entry.gid.into(), SMALL_MAX)];
    for (key, number, max) in numbers.into_iter().chain([("size", entry.size, LARGE_MAX)]) {
        if number > max {
            record(&mut records, key.as_bytes(), number.to_string().as_bytes());
        }
    }
    let in_header = u64::try_from(entry.mtime.secs).is_ok_and(|secs| secs <= LARGE_MAX);
    if !in_header || entry.mtime.nanos != 0 {
        record(&mut records, b"mtime", decimal(entry.mtime).as_bytes());
    }
    for xattr in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &*xattr.name].concat(), &xattr.value);
    }
    records
}

/// Appends `LEN KEY=VALUE\n`, where LEN counts all of it, its own digits too.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(format!("{len} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with their fraction. Nanoseconds count forward, also before 1970: -0.25 is -1 s and 750,000,000 ns.
fn decimal(time: Timestamp) -> String {
    if time.nanos == 0 {
        return time.secs.to_string();
    }
    let (sign, secs, nanos) = match time.secs {
        0.. => ("", time.secs.unsigned_abs(), time.nanos),
        _ => ("-", time.secs.unsigned_abs() - 1, 1_000_000_000 - time.nanos),
    };
    let text = format!("{sign}{secs}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

fn path_bytes(path: &EntryPath, kind: &EntryKind) -> Vec<u8> {
    let mut bytes = joined(path);
    if matches!(kind, EntryKind::Directory) {
        bytes.extend_from_slice(if bytes.is_empty() { b"./" } else { b"/" });
    }
    bytes
}

fn joined(path: &EntryPath) -> Vec<u8> {
    let names: Vec<&[u8]> = path.components().iter().map(super::path::Name::as_bytes).collect();
    names.join(&b'/')
}

fn target_of(kind: &EntryKind) -> Vec<u8> {
    match kind {
        EntryKind::Symlink { target } => target.to_vec(),
        EntryKind::Hardlink { target } => joined(target),
        _ => Vec::new(),
    }
}

fn type_of(kind: &EntryKind) -> u8 {
    match kind {
        EntryKind::File => b'0',
        EntryKind::Hardlink { .. } => b'1',
        EntryKind::Symlink { .. } => b'2',
        EntryKind::CharDevice { .. } => b'3',
        EntryKind::BlockDevice { .. } => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

fn padding_after(len: u64) -> usize {
    let over = usize::try_from(len % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::Xattr;
    use super::super::reader::ArchiveReader;
    use super::*;

    fn kinds() -> impl Strategy<Value = EntryKind> {
        let target = prop::collection::vec(1..=255_u8, 1..300).prop_map(Vec::into_boxed_slice);
        prop_oneof![
            Just(EntryKind::Directory),
            Just(EntryKind::File),
            Just(EntryKind::Fifo),
            target.prop_map(|target| EntryKind::Symlink { target }),
            paths().prop_map(|target| EntryKind::Hardlink { target }),
            (0..4096_u32, 0..1_048_576_u32)
                .prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
            (0..4096_u32, 0..1_048_576_u32)
                .prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
        ]
    }

    fn paths() -> impl Strategy<Value = EntryPath> {
        let byte = any::<u8>().prop_filter("part of a name", |byte| !b"/\0.".contains(byte));
        let name = prop::collection::vec(byte, 1..=120);
        prop::collection::vec(name, 1..4)
            .prop_map(|names| EntryPath::parse(&names.join(&b'/')).unwrap())
    }

    fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
        let pair = ("user\\.[a-z]{1,20}", prop::collection::vec(any::<u8>(), 0..80));
        prop::collection::btree_map(pair.0, pair.1, 0..3).prop_map(|pairs| {
            let xattr = |(name, value): (String, Vec<u8>)| Xattr {
                name: name.into_bytes().into(),
                value: value.into(),
            };
            pairs.into_iter().map(xattr).collect()
        })
    }

    fn entries() -> impl Strategy<Value = (Entry, Vec<u8>)> {
        let owners = (0..u32::MAX, 0..u32::MAX);
        let mtime = (-5_000_000_000..500_000_000_000_i64, 0..1_000_000_000_u32);
        let contents = prop::collection::vec(any::<u8>(), 0..2000);
        (paths(), kinds(), 0..0o10000_u32, owners, mtime, xattrs(), contents).prop_map(
            |(path, kind, mode, (uid, gid), (secs, nanos), xattrs, contents)| {
                let contents = if kind == EntryKind::File { contents } else { Vec::new() };
                let (size, mtime) = (contents.len() as u64, Timestamp { secs, nanos });
                (Entry { path, kind, mode, uid, gid, mtime, size, xattrs }, contents)
            },
        )
    }

    #[test]
    fn a_size_that_no_header_can_say_stands_in_a_record() {
        for size in [LARGE_MAX, LARGE_MAX + 1, 9 << 30, u64::MAX >> 1] {
            let mut writer = ArchiveWriter::new(Vec::new());
            let entry = Entry {
                path: EntryPath::parse(b"large").unwrap(),
                kind: EntryKind::File,
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: Timestamp::default(),
                size,
                xattrs: Vec::new(),
            };
            writer.entry(&entry).unwrap();
            let head = writer.out;
            let read = ArchiveReader::new(head.as_slice()).next_entry().unwrap().unwrap();
            assert_eq!(read, entry);
            let said = format!("size={size}\n");
            let has_record = head.windows(said.len()).any(|window| window == said.as_bytes());
            assert_eq!(has_record, size > LARGE_MAX);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in prop::collection::vec(entries(), 0..8)) {
            let mut writer = ArchiveWriter::new(Vec::new());
            for (entry, contents) in &entries {
                writer.entry(entry).unwrap();
                writer.data(contents).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let mut reader = ArchiveReader::new(bytes.as_slice());
            for (entry, contents) in &entries {
                prop_assert_eq!(&reader.next_entry().unwrap().unwrap(), entry);
                let mut buf = vec![0; 4096];
                let mut read = Vec::new();
                while let Some(piece) = reader.next_piece(&mut buf).unwrap() {
                    read.extend_from_slice(&buf[..piece.len]);
                }
                prop_assert_eq!(&read, contents);
            }
            prop_assert!(reader.next_entry().unwrap().is_none());
        }
    }
}
