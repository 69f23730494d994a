//! Ids of containers.

use serde::{Deserialize, Serialize};

use crate::sys::{SysError, host};

/// Digits of an id.
const LEN: usize = 64;
/// Digits that are shown.
const SHORT_LEN: usize = 12;

/// 64 lower-case hexadecimal digits, random. The name of the container's directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ContainerId(Box<str>);

impl ContainerId {
    /// A new id.
    pub(super) fn random() -> Result<Self, SysError> {
        let mut hex = String::with_capacity(LEN);
        for _ in 0..LEN / 16 {
            hex.push_str(&format!("{:016x}", host::random_u64()?));
        }
        Ok(ContainerId(hex.into()))
    }

    /// Reads a whole id; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == LEN && is_digits(text)).then(|| ContainerId(text.into()))
    }

    /// All its digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The digits that tables show.
    pub fn short(&self) -> &str {
        &self.0[..SHORT_LEN]
    }
}

impl TryFrom<String> for ContainerId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        ContainerId::parse(&text).ok_or("an id is 64 lower-case hexadecimal digits")
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text could be an id or the beginning of one.
pub(super) fn is_digits(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !text.is_empty() && text.len() <= LEN && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits_and_no_two_are_the_same() {
        let (one, two) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(ContainerId::parse(one.hex()), Some(one.clone()));
        assert_eq!(one.short().len(), 12);
        for broken in
            ["", "ab", &one.hex()[1..], &format!("{one}0"), &one.hex().replace(|_| true, "G")]
        {
            assert_eq!(ContainerId::parse(broken), None, "{broken}");
        }
    }
}
