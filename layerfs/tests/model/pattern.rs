//! Owns the bytes that histories write: few to print, different at every place.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// `len` bytes that are a function of `seed`, none of them zero, so that a hole is never taken for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    pub seed: u8,
    pub len: u32,
}

impl Pattern {
    pub fn bytes(self) -> Vec<u8> {
        let mut random = Random::new(self.seed.into());
        let len = usize::try_from(self.len).expect("a u32 fits");
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(random.next().to_le_bytes().map(|byte| byte.max(1)));
        }
        bytes.truncate(len);
        bytes
    }
}
