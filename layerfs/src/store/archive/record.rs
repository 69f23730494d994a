//! Owns the form of pax records: `LEN KEY=VALUE\n`, where LEN counts the whole record and VALUE is any bytes.

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It does not begin with a decimal length and a space.
    #[error("pax record at byte {at} does not begin with its length")]
    Length {
        /// Offset of the record in its header.
        at: usize,
    },
    /// Its length goes past the end of the header or ends inside the record's own key.
    #[error("pax record at byte {at} has a wrong length")]
    OutOfBounds {
        /// Offset of the record in its header.
        at: usize,
    },
    /// Its last byte is no newline, so the length is wrong.
    #[error("pax record at byte {at} does not end in a newline")]
    NoNewline {
        /// Offset of the record in its header.
        at: usize,
    },
    /// It has no `=`, nothing before it, or a NUL in the key.
    #[error("pax record at byte {at} has no key")]
    Key {
        /// Offset of the record in its header.
        at: usize,
    },
}

/// Digits of the longest length: extended headers hold at most 1 MiB.
const LENGTH_DIGITS_MAX: usize = 7;

/// The records of one extended header. Only lengths delimit them: a value that looks like a record, newline and all,
/// stays a value. Ends after the first fault.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { bytes, at: 0 }
    }

    fn record(&mut self) -> Result<(&'a [u8], &'a [u8]), RecordFault> {
        let at = self.at;
        let rest = &self.bytes[at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=LENGTH_DIGITS_MAX).contains(&digits) || rest.get(digits) != Some(&b' ') {
            return Err(RecordFault::Length { at });
        }
        let len = rest[..digits].iter().fold(0, |sum, d| sum * 10 + usize::from(d - b'0'));
        let text = digits + 1;
        if len <= text || len > rest.len() {
            return Err(RecordFault::OutOfBounds { at });
        }
        let Some(body) = rest[text..len].strip_suffix(b"\n") else {
            return Err(RecordFault::NoNewline { at });
        };
        let equals = body.iter().position(|&b| b == b'=').unwrap_or(0);
        if equals == 0 || body[..equals].contains(&0) {
            return Err(RecordFault::Key { at });
        }
        self.at += len;
        Ok((&body[..equals], &body[equals + 1..]))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.at = self.bytes.len();
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

    fn all(bytes: &[u8]) -> Result<Pairs<'_>, RecordFault> {
        Records::new(bytes).collect()
    }

    #[test]
    fn values_hold_any_byte() {
        let records = all(b"12 path=a=b\n20 k=\n15 linkpath=x\n6 e=\n\n").unwrap();
        assert_eq!(records[0], (&b"path"[..], &b"a=b"[..]));
        assert_eq!(records[1], (&b"k"[..], &b"\n15 linkpath=x"[..]));
        assert_eq!(records[2], (&b"e"[..], &b"\n"[..]));
    }

    #[test]
    fn malformed_records_are_refused() {
        for (bytes, fault) in [
            (&b"path=x\n"[..], RecordFault::Length { at: 0 }),
            (b" 9 path=x\n", RecordFault::Length { at: 0 }),
            (b"9path=x\n", RecordFault::Length { at: 0 }),
            (b"-9 path=x\n", RecordFault::Length { at: 0 }),
            (b"00000010 path=x\n", RecordFault::Length { at: 0 }),
            (b"99999999999999999999 path=x\n", RecordFault::Length { at: 0 }),
            (b"5 a=\n\0\0\0", RecordFault::Length { at: 5 }),
            (b"0 path=x\n", RecordFault::OutOfBounds { at: 0 }),
            (b"2 path=x\n", RecordFault::OutOfBounds { at: 0 }),
            (b"99 path=x\n", RecordFault::OutOfBounds { at: 0 }),
            (b"8 path=x\n", RecordFault::NoNewline { at: 0 }),
            (b"10 path=xy", RecordFault::NoNewline { at: 0 }),
            (b"3 \n", RecordFault::Key { at: 0 }),
            (b"7 path\n", RecordFault::Key { at: 0 }),
            (b"5 =x\n", RecordFault::Key { at: 0 }),
            (b"8 p\0h=x\n", RecordFault::Key { at: 0 }),
        ] {
            assert_eq!(all(bytes), Err(fault), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn records_round_trip(pairs: Vec<(String, Vec<u8>)>) {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, value)| (key.replace(['=', '\0'], "") + "k", value))
                .collect();
            let bytes: Vec<u8> =
                pairs.iter().flat_map(|(k, v)| super::super::build::record(k.as_bytes(), v)).collect();
            let read = all(&bytes).unwrap();
            let expected: Vec<_> = pairs.iter().map(|(k, v)| (k.as_bytes(), &v[..])).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Records::new(&bytes).count() <= bytes.len());
        }
    }
}
