//! Platforms: operating system, architecture, variant, and which of several serves best.

use std::fmt;

use super::text::shown;
use crate::sys::host;

/// What an image runs on. Spelled as Go spells it: `linux`, `amd64`, `arm64`, `v8`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The architecture.
    pub architecture: String,
    /// The variant; `None` is the architecture's usual one.
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// Not `OS/ARCHITECTURE[/VARIANT]`.
    #[error("`{0}` is not a platform; write OS/ARCHITECTURE[/VARIANT], such as linux/arm64/v8")]
    Malformed(String),
}

impl Platform {
    /// Reads `linux/arm64/v8`, `linux/amd64`, or an architecture of linux alone.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !parts.iter().all(|part| is_word(part)) {
            return Err(PlatformError::Malformed(shown(text)));
        }
        match parts[..] {
            ["linux" | "windows"] => Err(PlatformError::Malformed(shown(text))),
            [architecture] => Ok(Self::new("linux", architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(PlatformError::Malformed(shown(text))),
        }
    }

    /// The platform of this machine's kernel.
    pub fn host() -> Self {
        Self::new("linux", &host::kernel().1, None)
    }

    /// A platform from its words, in the spelling that images use.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let architecture = architecture.to_ascii_lowercase();
        let (architecture, implied) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", None),
            "i386" | "i486" | "i586" | "i686" => ("386", None),
            "aarch64" | "armv8l" => ("arm64", None),
            "armv7l" | "armhf" => ("arm", Some("v7")),
            "armv6l" | "armel" => ("arm", Some("v6")),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        let variant = variant.filter(|variant| !variant.is_empty()).or(implied);
        let variant = variant.map(str::to_ascii_lowercase);
        Platform {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_owned(),
            variant: variant.filter(|variant| Some(variant.as_str()) != usual(architecture)),
        }
    }

    /// How far what is `offered` lies from what is wanted: 0 is exact, `None` does not serve.
    ///
    /// Variants of amd64, arm and arm64 rise: an older one runs on a newer machine, never the other way.
    pub fn distance(&self, offered: &Platform) -> Option<u32> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        match (self.level(), offered.level()) {
            (Some(wanted), Some(level)) => wanted.checked_sub(level),
            _ => (self.variant == offered.variant).then_some(0),
        }
    }

    /// Whether this stands for "no platform", as attestations have it.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }

    /// The variant as a number that rises: `v8` is 800, `v8.2` is 802.
    fn level(&self) -> Option<u32> {
        let usual = usual(&self.architecture)?;
        let text = self.variant.as_deref().unwrap_or(usual).strip_prefix('v')?;
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let major: u32 = major.parse().ok().filter(|major| *major < 100)?;
        let minor: u32 = minor.parse().ok().filter(|minor| *minor < 100)?;
        Some(major * 100 + minor)
    }
}

/// The variant that is meant where none is written.
fn usual(architecture: &str) -> Option<&'static str> {
    match architecture {
        "amd64" => Some("v1"),
        "arm" => Some("v7"),
        "arm64" => Some("v8"),
        _ => None,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        match &self.variant {
            Some(variant) => write!(f, "/{}", shown(variant)),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = PlatformError;
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Platform::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_in_every_usual_spelling() {
        let table = [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/ARM/v6", "linux/arm/v6"),
            ("armhf", "linux/arm"),
        ];
        for (text, want) in table {
            assert_eq!(Platform::parse(text).unwrap().to_string(), want);
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/a b"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_older_variant_serves_and_a_newer_one_does_not() {
        let distance = |wanted: &str, offered: &str| {
            Platform::parse(wanted).unwrap().distance(&Platform::parse(offered).unwrap())
        };
        assert_eq!(distance("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(distance("linux/amd64", "linux/amd64/v3"), None);
        assert_eq!(distance("linux/amd64/v3", "linux/amd64"), Some(200));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), Some(100));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/amd64", "windows/amd64"), None);
        assert_eq!(distance("linux/riscv64", "linux/riscv64"), Some(0));
    }
}
