//! Names of containers: which are valid, and one for whoever did not choose.

use crate::store::error::{During, StoreError};
use crate::sys::host;

/// The longest name, in bytes: it has to fit wherever a file name does.
const LEN_MAX: usize = 255;
/// How many pairs of words are drawn before a number follows them.
const TRIES_MAX: u32 = 8;

const HOW: [&str; 40] = [
    "able", "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever",
    "cool", "crisp", "deep", "eager", "early", "fair", "fine", "firm", "fresh", "gentle", "glad",
    "golden", "green", "happy", "keen", "kind", "lively", "lucky", "mellow", "merry", "neat",
    "plain", "proud", "quick", "quiet", "silver", "steady", "sunny", "swift", "warm",
];

const WHAT: [&str; 40] = [
    "agate",
    "alder",
    "aspen",
    "badger",
    "basalt",
    "beaver",
    "birch",
    "cedar",
    "chalk",
    "cliff",
    "coral",
    "crane",
    "delta",
    "dune",
    "falcon",
    "fern",
    "fjord",
    "flint",
    "gravel",
    "harbor",
    "heron",
    "island",
    "jasper",
    "juniper",
    "lagoon",
    "larch",
    "lynx",
    "maple",
    "marble",
    "marten",
    "meadow",
    "otter",
    "pebble",
    "quartz",
    "reef",
    "ridge",
    "sandstone",
    "slate",
    "sparrow",
    "willow",
];

/// Refuses what docker refuses: anything but `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(super) fn check(name: &str) -> Result<(), StoreError> {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric();
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let bytes = name.as_bytes();
    let valid = (2..=LEN_MAX).contains(&bytes.len())
        && bytes.first().is_some_and(is_first)
        && bytes.iter().all(|byte| is_rest(*byte));
    if valid { Ok(()) } else { Err(StoreError::ContainerName(name.into())) }
}

/// Two words, and a number where `is_taken` says that the words alone are.
pub(super) fn invent(is_taken: impl Fn(&str) -> bool) -> Result<String, StoreError> {
    for tries in 0.. {
        let random = host::random_u64().during(|| "invent a name for a container".into())?;
        let pick = |words: &[&'static str; 40], shift: u32| {
            usize::try_from((random >> shift) % 40).map_or("", |index| words[index])
        };
        let mut name = format!("{}_{}", pick(&HOW, 0), pick(&WHAT, 16));
        if tries >= TRIES_MAX {
            name.push_str(&(random >> 48).to_string());
        }
        if !is_taken(&name) {
            return Ok(name);
        }
    }
    // 105 million names are taken: the directory could not hold as many.
    Err(StoreError::ContainerName(String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_docker_takes() {
        for valid in ["ab", "web-1", "0.x", "A_b.c-d", "a".repeat(255).as_str()] {
            check(valid).unwrap();
        }
        for broken in
            ["", "a", "-ab", ".ab", "_ab", "a b", "a/b", "ä1", "a\n", "a".repeat(256).as_str()]
        {
            let error = check(broken).unwrap_err().to_string();
            assert!(error.contains("at least two"), "{error}");
        }
    }

    #[test]
    fn every_word_makes_a_valid_name() {
        for (how, what) in HOW.iter().zip(WHAT) {
            check(&format!("{how}_{what}")).unwrap();
        }
        check(&invent(|_| false).unwrap()).unwrap();
    }

    #[test]
    fn a_taken_pair_of_words_gets_a_number() {
        let name = invent(|name| !name.ends_with(|last: char| last.is_ascii_digit())).unwrap();
        check(&name).unwrap();
    }
}
