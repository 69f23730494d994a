//! The words of `--filter`: KEY=VALUE each, whichever verb has them.

use anyhow::{Result, bail};
use regex_lite::Regex;

use crate::session::Misused;

/// Reads each word with the keys that the verb has; one that is none of them was not understood. `value` reads what stands behind the
/// key, and says what would be right.
pub fn read<K: Copy, V>(
    words: &[String],
    keys: &[(&str, K)],
    value: impl Fn(K, &str) -> Result<V>,
) -> Result<Vec<V>> {
    let read = |word: &String| {
        one(word, keys, &value).map_err(|error| {
            anyhow::Error::from(Misused::of(format!("--filter `{word}`: {error}")))
        })
    };
    words.iter().map(read).collect()
}

fn one<K: Copy, V>(
    word: &str,
    keys: &[(&str, K)],
    value: impl Fn(K, &str) -> Result<V>,
) -> Result<V> {
    let known = || keys.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((name, said)) = word.split_once('=') else {
        bail!("write KEY=VALUE; the keys are {}", known());
    };
    let Some((_, key)) = keys.iter().find(|(known, _)| *known == name) else {
        bail!("there is no key `{name}`; the keys are {}", known());
    };
    value(*key, said)
}

/// Whether something fits the words: of one key any, of several keys all. `key` answers none for those that all have to fit, as labels
/// have with docker.
pub fn fit<F, K: PartialEq>(
    filters: &[F],
    key: impl Fn(&F) -> Option<K>,
    fits: impl Fn(&F) -> bool,
) -> bool {
    filters.iter().all(|filter| match key(filter) {
        None => fits(filter),
        own => filters.iter().filter(|other| key(other) == own).any(&fits),
    })
}

/// What a name has to be like: a regular expression, as docker takes one.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads the expression; an error says what is wrong with it.
    pub fn read(said: &str) -> Result<Pattern> {
        match Regex::new(said) {
            Ok(expression) => Ok(Pattern(expression)),
            Err(error) => bail!("it is no regular expression: {error}"),
        }
    }

    /// Whether a name is like that, as it is or with the slash that docker's names begin with.
    pub fn fits(&self, name: &str) -> bool {
        self.0.is_match(name) || self.0.is_match(&format!("/{name}"))
    }
}

/// Yes or no, as docker's filters take them.
pub fn yes_or_no(said: &str) -> Result<bool> {
    match said {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => bail!("write true or false"),
    }
}

/// Whether one of these labels is `NAME` or `NAME=VALUE`, whichever was said.
pub fn has_label<'a>(mut labels: impl Iterator<Item = (&'a str, &'a str)>, said: &str) -> bool {
    let (name, value) =
        said.split_once('=').map_or((said, None), |(name, value)| (name, Some(value)));
    labels.any(|(has, with)| has == name && value.is_none_or(|value| value == with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_by_expressions_with_and_without_dockers_slash() {
        let names = ["web", "web-1", "my.web", "myxweb", "db"];
        for (said, expected) in [
            ("web", &names[..4]),
            ("^web", &["web", "web-1"]),
            ("/web", &["web", "web-1"]),
            ("^/web", &["web", "web-1"]),
            ("web$", &["web", "my.web", "myxweb"]),
            ("^web$", &["web"]),
            ("^/web$", &["web"]),
            ("/web$", &["web"]),
            ("y.w", &["my.web", "myxweb"]),
            (r"y\.w", &["my.web"]),
            ("^web$|^db$", &["web", "db"]),
            ("^(web|db)$", &["web", "db"]),
            ("-1|d", &["web-1", "db"]),
            ("web.+", &["web-1"]),
            ("", &names),
            ("^$", &[]),
            ("WEB", &[]),
        ] {
            let pattern = Pattern::read(said).unwrap();
            let found: Vec<&str> = names.into_iter().filter(|name| pattern.fits(name)).collect();
            assert_eq!(found, expected, "{said}");
        }
        for said in ["*web", "(web", "[web", r"web\"] {
            let told = Pattern::read(said).unwrap_err().to_string();
            assert!(told.starts_with("it is no regular expression: "), "{said}: {told}");
            assert_eq!(told.lines().count(), 1, "{said}: {told}");
        }
    }

    #[test]
    fn of_one_key_any_word_is_enough_and_without_a_key_each_is_needed() {
        let fit = |words: &[(Option<u8>, bool)]| super::fit(words, |word| word.0, |word| word.1);
        assert!(fit(&[]) && fit(&[(Some(1), false), (Some(1), true), (Some(2), true)]));
        assert!(!fit(&[(Some(1), true), (Some(2), false)]));
        assert!(fit(&[(None, true), (None, true)]) && !fit(&[(None, true), (None, false)]));
    }

    #[test]
    fn a_label_is_asked_for_with_and_without_its_value() {
        let has = |said| has_label([("a", "b=c"), ("d", "")].into_iter(), said);
        assert!(has("a") && has("a=b=c") && has("d") && has("d="));
        assert!(!has("b") && !has("a=b") && !has("") && !has("a="));
    }
}
