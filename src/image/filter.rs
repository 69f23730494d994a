//! What `images --filter` chooses: names of images, and images without names.

use anyhow::{Result, bail};
use layerfs_driver::store::reference::Reference;

use crate::filters;

/// What a name of an image is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Dangling,
    Reference,
}

const KEYS: [(&str, Key); 2] = [("dangling", Key::Dangling), ("reference", Key::Reference)];

/// A word of `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Whether there is no name.
    Dangling(bool),
    /// What a name is like: `*` stands for any letters but `/`, `?` for one of them.
    Reference(String),
}

/// Reads the words of `--filter`; one that is none was not understood.
pub fn read(words: &[String]) -> Result<Vec<Filter>> {
    filters::read(words, &KEYS, |key, said| {
        Ok(match key {
            Key::Dangling => Filter::Dangling(filters::yes_or_no(said)?),
            Key::Reference => {
                let means_more = |letter: &char| "[]\\{}".contains(*letter);
                if let Some(letter) = said.chars().find(means_more) {
                    bail!(
                        "`{letter}` is not understood; `*` stands for any letters but `/`, `?` for one"
                    );
                }
                Filter::Reference(said.to_owned())
            }
        })
    })
}

/// Whether a name, or the want of one, fits all of them: of one key any value, of several keys all.
pub fn fits(name: Option<&Reference>, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        let mut same = filters.iter().filter(|other| other.key() == filter.key());
        same.any(|other| other.fits(name))
    })
}

impl Filter {
    fn key(&self) -> Key {
        match self {
            Filter::Dangling(_) => Key::Dangling,
            Filter::Reference(_) => Key::Reference,
        }
    }

    fn fits(&self, name: Option<&Reference>) -> bool {
        match (self, name) {
            (Filter::Dangling(wanted), name) => name.is_none() == *wanted,
            (Filter::Reference(_), None) => false,
            // With its tag, or the repository alone, each as docker shows it.
            (Filter::Reference(pattern), Some(name)) => {
                let is_like = |text: &str| is_like(text.as_bytes(), pattern.as_bytes());
                is_like(&name.to_string()) || is_like(&name.familiar_repository())
            }
        }
    }
}

/// Whether the text is like the pattern. However many stars there are, each letter is looked at once.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    // For each beginning of the pattern, whether what was read of the text so far is like it.
    let mut alike = vec![false; pattern.len() + 1];
    alike[0] = true;
    let pass_stars = |alike: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            alike[at + 1] |= alike[at] && pattern[at] == b'*';
        }
    };
    pass_stars(&mut alike);
    for letter in text {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate().filter(|(at, _)| alike[*at]) {
            match wanted {
                b'*' => next[at] |= *letter != b'/',
                b'?' => next[at + 1] |= *letter != b'/',
                other => next[at + 1] |= other == letter,
            }
        }
        pass_stars(&mut next);
        alike = next;
    }
    alike[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_letters_of_one_part() {
        for (pattern, like, unlike) in [
            ("debian", "debian", "debian2"),
            ("deb*", "debian:bookworm", "some/debian"),
            ("*/debian", "some/debian", "debian"),
            ("*:latest", "x:latest", "a/x:latest"),
            ("d?bian:*", "debian:1", "dbian:1"),
            ("**a*b", "xaxb", "xbxa"),
            ("*", "", "a/b"),
        ] {
            assert!(is_like(like.as_bytes(), pattern.as_bytes()), "{pattern} {like}");
            assert!(!is_like(unlike.as_bytes(), pattern.as_bytes()), "{pattern} {unlike}");
        }
    }

    #[test]
    fn many_stars_are_answered_at_once() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!is_like(&[b'a'; 250], pattern.as_bytes()));
    }
}
