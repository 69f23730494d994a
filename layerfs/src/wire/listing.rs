//! Listings: entries one behind the other, each padded to 8 bytes, in as much room as the kernel has.

use zerocopy::IntoBytes;

use super::form::{DirentForm, EntryOut};

/// A listing that is being written.
#[derive(Debug)]
pub struct Listing {
    bytes: Vec<u8>,
    room: usize,
}

/// One entry of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub ino: u64,
    /// Where a listing goes on behind it.
    pub cookie: u64,
    /// Its `DT_*` number.
    pub kind: u8,
    pub name: &'a [u8],
}

impl Listing {
    /// An empty one, for an answer of `room` bytes.
    pub fn new(room: u32) -> Self {
        let room = usize::try_from(room).unwrap_or(0);
        Listing { bytes: Vec::with_capacity(room.min(1 << 20)), room }
    }

    /// Adds an entry, with what is known of its node where that is asked for. Answers whether there was room.
    pub fn add(&mut self, plus: Option<&EntryOut>, entry: Entry<'_>) -> bool {
        let bare = size_of::<DirentForm>() + entry.name.len();
        let len = plus.map_or(0, |_| size_of::<EntryOut>()) + bare;
        let end = (self.bytes.len() + len).next_multiple_of(8);
        let Ok(name_len) = u32::try_from(entry.name.len()) else { return false };
        if end > self.room {
            return false;
        }
        if let Some(plus) = plus {
            self.bytes.extend_from_slice(plus.as_bytes());
        }
        self.bytes.extend_from_slice(form_of(entry, name_len).as_bytes());
        self.bytes.extend_from_slice(entry.name);
        self.bytes.resize(end, 0);
        true
    }

    /// The answer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn form_of(entry: Entry<'_>, name_len: u32) -> DirentForm {
    DirentForm { ino: entry.ino, cookie: entry.cookie, name_len, kind: entry.kind.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_and_stop_at_the_room() {
        let entry = Entry { ino: 7, cookie: 1, kind: 8, name: b"abc" };
        let mut listing = Listing::new(70);
        assert!(listing.add(None, entry));
        assert_eq!(listing.bytes().len(), 32);
        assert!(listing.add(None, entry));
        assert!(!listing.add(None, entry), "32 bytes more than 64 are too many");
        assert_eq!(listing.bytes().len(), 64);
        let mut plus = Listing::new(4096);
        assert!(plus.add(Some(&EntryOut::default()), entry));
        assert_eq!(plus.bytes().len(), 160);
    }
}
