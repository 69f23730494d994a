//! The words of `--filter`: KEY=VALUE each, whichever verb has them.

use anyhow::{Result, bail};

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
    fn a_label_is_asked_for_with_and_without_its_value() {
        let has = |said| has_label([("a", "b=c"), ("d", "")].into_iter(), said);
        assert!(has("a") && has("a=b=c") && has("d") && has("d="));
        assert!(!has("b") && !has("a=b") && !has("") && !has("a="));
    }
}
