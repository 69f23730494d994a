//! SHA-256 digests: parsing, printing, computing.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 digest. Prints as OCI writes it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest that layerfs takes.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The algorithm is one that OCI knows and layerfs does not.
    #[error("digest `{0}`: only sha256 digests are supported")]
    Algorithm(String),
    /// Not `sha256:` and 64 hexadecimal digits.
    #[error("`{0}` is not a digest (`sha256:` and 64 lower-case hexadecimal digits)")]
    Malformed(String),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// A digest from its 32 bytes, as the index files hold it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `sha256:HEX`.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        match text.split_once(':') {
            Some(("sha256", hex)) => {
                Self::from_hex(hex).ok_or_else(|| DigestError::Malformed(text.into()))
            }
            Some((algorithm, hex)) if is_algorithm(algorithm) && hex.len() >= 32 => {
                Err(DigestError::Algorithm(text.into()))
            }
            _ => Err(DigestError::Malformed(text.into())),
        }
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest(bytes))
    }

    /// The 64 hexadecimal digits, without the algorithm: the form of file names.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }

    /// The first 12 hexadecimal digits: how people see ids.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

fn is_algorithm(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+._-".contains(&byte)
        })
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        Digest::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Digest::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A digest being computed.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// The hasher of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes in `len_bytes` zeros: a hole.
    pub fn update_zeros(&mut self, mut len_bytes: u64) {
        const ZEROS: &[u8] = &[0; 64 * 1024];
        while len_bytes > 0 {
            let len = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(ZEROS.len());
            self.0.update(&ZEROS[..len]);
            len_bytes -= len as u64;
        }
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Passes a stream on and computes its digest and length on the way.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    len_bytes: u64,
}

impl<R: io::Read> HashingReader<R> {
    /// Starts at the stream's present position.
    pub fn new(inner: R) -> Self {
        HashingReader { inner, hasher: Hasher::new(), len_bytes: 0 }
    }

    /// Reads what is left, then gives digest and length of everything read.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut buf = vec![0; 64 * 1024];
        while io::Read::read(&mut self, &mut buf)? > 0 {}
        Ok((self.hasher.finish(), self.len_bytes))
    }
}

impl<R: io::Read> io::Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.update(&buf[..len]);
        self.len_bytes += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_print_as_they_are_read() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::parse(text).unwrap(), Digest::of(b""));
    }

    #[test]
    fn other_algorithms_and_malformed_digests_are_two_errors() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        assert!(matches!(Digest::parse(&sha512), Err(DigestError::Algorithm(_))));
        let upper = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        for bad in ["", "sha256:", "sha256:abc", upper, "e3b0c44298fc1c149afbf4c8996fb924"] {
            assert!(matches!(Digest::parse(bad), Err(DigestError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_hole_hashes_as_zeros() {
        let mut holes = Hasher::new();
        holes.update_zeros(100_000);
        assert_eq!(holes.finish(), Digest::of(&vec![0; 100_000]));
    }
}
