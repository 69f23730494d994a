//! Archives that no writer would make: every byte of them is decided here, and nothing is refused.

use crate::support::tar_header;

/// One header and what follows it.
#[derive(Clone)]
pub struct Entry {
    name: Vec<u8>,
    kind: u8,
    link: Vec<u8>,
    data: Vec<u8>,
    mode: u32,
    device: (u32, u32),
    /// What the header claims, where that is not the length of the data.
    claim: Option<u64>,
    /// Records that speak of it, before it.
    pax: Vec<(Vec<u8>, Vec<u8>)>,
}

fn entry(name: impl AsRef<[u8]>, kind: u8) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        kind,
        link: Vec::new(),
        data: Vec::new(),
        mode: 0o644,
        device: (0, 0),
        claim: None,
        pax: Vec::new(),
    }
}

/// A regular file.
pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    Entry { data: data.as_ref().to_vec(), ..entry(name, b'0') }
}

/// A directory.
pub fn dir(name: impl AsRef<[u8]>) -> Entry {
    Entry { mode: 0o755, ..entry(name, b'5') }
}

/// A hard link.
pub fn hard(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { link: target.as_ref().to_vec(), ..entry(name, b'1') }
}

/// A symbolic link.
pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { link: target.as_ref().to_vec(), mode: 0o777, ..entry(name, b'2') }
}

/// A character device.
pub fn device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Entry {
    Entry { device: (major, minor), ..entry(name, b'3') }
}

/// Anything else, by its type byte.
pub fn special(name: impl AsRef<[u8]>, kind: u8) -> Entry {
    entry(name, kind)
}

/// A header that gives every entry after it a record.
#[allow(dead_code, reason = "not every test that makes archives makes this")]
pub fn global(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Entry {
    Entry { data: record(key.as_ref(), value.as_ref()), ..entry("PaxHeaders/g", b'g') }
}

impl Entry {
    /// An extended header with these bytes as its records.
    pub fn records(bytes: &str) -> Entry {
        Entry { data: bytes.into(), ..entry("PaxHeaders/f", b'x') }
    }

    /// The same under another name.
    #[allow(dead_code, reason = "not every test that makes archives does this")]
    pub fn renamed(self, name: impl AsRef<[u8]>) -> Entry {
        Entry { name: name.as_ref().to_vec(), ..self }
    }

    /// The same with other permissions.
    pub fn mode(self, mode: u32) -> Entry {
        Entry { mode, ..self }
    }

    /// The same with a header that claims other than what follows.
    pub fn claims(self, bytes: u64) -> Entry {
        Entry { claim: Some(bytes), ..self }
    }

    /// The same with an extended record before it.
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Entry {
        self.pax.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut pax = self.pax.clone();
        if self.name.len() > 100 {
            pax.push((b"path".to_vec(), self.name.clone()));
        }
        if self.link.len() > 100 {
            pax.push((b"linkpath".to_vec(), self.link.clone()));
        }
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            Entry { data: records, ..entry("PaxHeaders/x", b'x') }.write(out);
        }
        out.extend(self.header());
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }

    fn header(&self) -> [u8; 512] {
        let size = size_field(self.claim.unwrap_or(self.data.len() as u64));
        let link = &self.link[..self.link.len().min(100)];
        let [major, minor] =
            [self.device.0, self.device.1].map(|number| format!("{number:07o}").into_bytes());
        let more: [(usize, &[u8]); 3] = [(157, link), (329, &major), (337, &minor)];
        tar_header(&self.name, (self.kind, self.mode), &size, &more)
    }
}

/// Octal digits, or for what they can't hold GNU's binary form.
fn size_field(size: u64) -> Vec<u8> {
    if size < 1 << 33 {
        return format!("{size:011o}").into_bytes();
    }
    [&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat()
}

/// A pax record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..20).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len);
    let len = len.expect("some number of digits fits");
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// The entries without the blocks that end an archive.
pub fn open_ended(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut out));
    out
}

/// A whole archive.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = open_ended(entries);
    out.resize(out.len() + 1024, 0);
    out
}
