//! How much the changes of a mount may take: the words for it, and what the driver is told.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::upper;
use layerfs_runtime::cgroup::words;

/// Less bounds nothing that could be used: each directory takes a block.
const BYTES_MIN: u64 = 64 << 10;

/// What the changes of a mount may take; `None` for any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Bounds {
    /// Bytes that changes may take
    #[arg(long, value_name = "BYTES")]
    pub size_bytes: Option<u64>,
    /// Files and directories that changes may make
    #[arg(long, value_name = "NUMBER")]
    pub inodes: Option<u64>,
}

impl Bounds {
    /// Takes `size` or `inodes` with its value; answers whether it is one of these. `said` is the word as it stands in messages.
    pub fn take(&mut self, (key, value): (&str, &str), said: &str) -> Result<bool> {
        match key {
            "size" => self.size_bytes = Some(size(value, said)?),
            "inodes" => self.inodes = Some(inodes(value, said)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the words of `--storage-opt`.
    pub fn of_words(words: &[String]) -> Result<Bounds> {
        let mut bounds = Bounds::default();
        for (key, value) in pairs(words) {
            let said = match value {
                "" => format!("--storage-opt `{key}`"),
                value => format!("--storage-opt `{key}={value}`"),
            };
            if !bounds.take((key, value), &said)? {
                bail!("{said}: there are `size=`, such as size=10g, and `inodes=`");
            }
        }
        Ok(bounds)
    }

    /// Whether there are any.
    pub fn is_any(self) -> bool {
        self != Bounds::default()
    }

    /// The words of the serving process.
    pub fn words(self) -> impl Iterator<Item = OsString> {
        let word = |option: &str, value: Option<u64>| {
            value.map(|value| OsString::from(format!("{option}={value}")))
        };
        let words = [word("--size-bytes", self.size_bytes), word("--inodes", self.inodes)];
        words.into_iter().flatten()
    }

    /// What the driver is told.
    pub fn of_upper(self) -> upper::Bounds {
        upper::Bounds { bytes: self.size_bytes, inodes: self.inodes }
    }
}

/// Keys and values of the words of `--storage-opt`: one a word, or several with commas between; of those that say the same the last counts.
pub fn pairs(words: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let parts = words.iter().flat_map(|word| word.split(','));
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn size(value: &str, said: &str) -> Result<u64> {
    let bytes = words::bytes(value)
        .ok()
        .with_context(|| format!("{said}: bytes, or a number with k, m, g or t, such as 10g"))?;
    if bytes < BYTES_MIN {
        bail!("{said}: at least {}k", BYTES_MIN >> 10);
    }
    Ok(bytes)
}

fn inodes(value: &str, said: &str) -> Result<u64> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{said}: how many files and directories, 1 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Bounds> {
        Bounds::of_words(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn both_are_read_and_the_last_word_wins() {
        let both = Bounds { size_bytes: Some(20 << 20), inodes: Some(500) };
        assert_eq!(read(&["size=1g", "inodes=500", "size=20m"]).unwrap(), both);
        assert_eq!(read(&["size=20m,inodes=500"]).unwrap(), both);
        assert_eq!(read(&[]).unwrap(), Bounds::default());
        let words: Vec<OsString> = both.words().collect();
        assert_eq!(words, ["--size-bytes=20971520", "--inodes=500"]);
        assert_eq!(Bounds::default().words().count(), 0);
    }

    #[test]
    fn what_is_none_is_told_in_one_line() {
        for (word, told) in [
            ("size=", "--storage-opt `size`: bytes, or a number with k, m, g or t, such as 10g"),
            ("size=x", "--storage-opt `size=x`: bytes, or a number"),
            ("size=50%", "--storage-opt `size=50%`: bytes, or a number"),
            ("size=-1", "--storage-opt `size=-1`: bytes, or a number"),
            ("size=0", "--storage-opt `size=0`: bytes, or a number"),
            ("size=63k", "--storage-opt `size=63k`: at least 64k"),
            ("inodes=0", "--storage-opt `inodes=0`: how many files and directories, 1 or more"),
            ("inodes=1k", "--storage-opt `inodes=1k`: how many"),
            ("size", "--storage-opt `size`: bytes"),
            ("size=1g,", "--storage-opt ``: there are"),
            (
                "quota=1g",
                "--storage-opt `quota=1g`: there are `size=`, such as size=10g, and `inodes=`",
            ),
        ] {
            let error = format!("{:#}", read(&[word]).unwrap_err());
            assert!(error.starts_with(told) && !error.contains('\n'), "{word}: {error}");
        }
    }
}
