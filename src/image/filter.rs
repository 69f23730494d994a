//! What `images --filter` chooses: names of images, and images without names.

use anyhow::{Result, bail};
use layerfs_driver::store::reference::Reference;
use regex_lite::Regex;

use crate::filters;

/// What a name of an image is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Dangling,
    Reference,
}

const KEYS: [(&str, Key); 2] = [("dangling", Key::Dangling), ("reference", Key::Reference)];

/// A word of `--filter`.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Whether there is no name.
    Dangling(bool),
    /// What a name is like: `*` stands for any letters but `/`, `?` for one of them.
    Reference(Regex),
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
                Filter::Reference(like(said)?)
            }
        })
    })
}

/// Whether a name, or the want of one, fits all of them: of one key any value, of several keys all.
pub fn fits(name: Option<&Reference>, filters: &[Filter]) -> bool {
    filters::fit(filters, |filter| Some(filter.key()), |filter| filter.fits(name))
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
                pattern.is_match(&name.to_string()) || pattern.is_match(&name.familiar_repository())
            }
        }
    }
}

/// What a whole name has to be.
fn like(said: &str) -> Result<Regex> {
    let parts = said.chars().map(|letter| match letter {
        '*' => "[^/]*".to_owned(),
        '?' => "[^/]".to_owned(),
        other => regex_lite::escape(other.encode_utf8(&mut [0; 4])),
    });
    Ok(Regex::new(&format!("^{}$", parts.collect::<String>()))?)
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
            let expression = super::like(pattern).unwrap();
            assert!(expression.is_match(like), "{pattern} {like}");
            assert!(!expression.is_match(unlike), "{pattern} {unlike}");
        }
    }

    #[test]
    fn many_stars_are_answered_at_once() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!like(&pattern).unwrap().is_match(&"a".repeat(250)));
    }
}
