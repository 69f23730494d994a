//! Owns the archives of this room's tests: headers and records made byte by byte, wrong ones included.

/// A header under construction; its checksum is set last.
#[derive(Clone)]
pub(super) struct Head(pub(super) [u8; 512]);

impl Head {
    /// A header in ustar's layout.
    pub(super) fn new(type_byte: u8, name: &[u8]) -> Head {
        let mut head = Head([0; 512]);
        head =
            head.put(0, name).put(100, b"0000644\0").put(108, b"0001750\0").put(116, b"0000144\0");
        head.0[156] = type_byte;
        head.size(0).put(136, b"00000001750\0").put(257, b"ustar\x0000")
    }

    /// A header in GNU's layout.
    pub(super) fn gnu(type_byte: u8, name: &[u8]) -> Head {
        Head::new(type_byte, name).put(257, b"ustar  \0")
    }

    /// A header in the layout of the seventh edition.
    pub(super) fn v7(type_byte: u8, name: &[u8]) -> Head {
        Head::new(type_byte, name).put(257, &[0; 8])
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Head {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn size(self, size: u64) -> Head {
        self.put(124, &long_number(size))
    }

    pub(super) fn link(self, target: &[u8]) -> Head {
        self.put(157, target)
    }

    /// Device numbers, seven octal digits each.
    pub(super) fn device(self, major: u32, minor: u32) -> Head {
        self.put(329, format!("{major:07o}\0{minor:07o}\0").as_bytes())
    }

    /// The block, with the checksum that its bytes have.
    pub(super) fn block(mut self) -> [u8; 512] {
        self = self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|&b| u32::from(b)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes()).0
    }
}

/// An archive under construction.
#[derive(Clone, Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn head(mut self, head: Head) -> Tar {
        self.0.extend(head.block());
        self
    }

    /// Bytes, filled up to whole blocks.
    pub(super) fn data(mut self, bytes: &[u8]) -> Tar {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A header with its size, and the data.
    pub(super) fn with(self, head: Head, bytes: &[u8]) -> Tar {
        self.head(head.size(bytes.len() as u64)).data(bytes)
    }

    pub(super) fn file(self, name: &[u8], bytes: &[u8]) -> Tar {
        self.with(Head::new(b'0', name), bytes)
    }

    /// A pax header of the given records.
    pub(super) fn pax(self, type_byte: u8, records: &[(&str, &[u8])]) -> Tar {
        let body: Vec<u8> = records.iter().flat_map(|(k, v)| record(k.as_bytes(), v)).collect();
        self.with(Head::new(type_byte, b"PaxHeaders/x"), &body)
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.data(&[0; 1024]).0
    }
}

/// A field of 12 bytes: octal where that is long enough, else base-256.
pub(super) fn long_number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        field[4..].copy_from_slice(&value.to_be_bytes());
        field[0] = 0x80;
    }
    field
}

/// A pax record, whose length counts itself.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len += 1;
    }
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}
