//! What `--filter name=` asks for: the regular expressions of docker's scripts, as far as names can differ by them.
//!
//! Names are made of letters, digits, `_`, `.` and `-`, and docker has a `/` before them. A word is found anywhere in a name, behind `^`
//! at its beginning, before `$` at its end; `|` stands between words of which one is enough. What else means something in a regular
//! expression is an error: it would find nothing, and say nothing.

use anyhow::{Result, bail};

/// What a name has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    begins: bool,
    ends: bool,
}

impl Pattern {
    /// Reads the expression; an error says what is understood.
    pub fn read(said: &str) -> Result<Pattern> {
        said.split('|').map(word).collect::<Result<_>>().map(Pattern)
    }

    /// Whether a name is like that.
    pub fn fits(&self, name: &str) -> bool {
        self.0.iter().any(|word| match (word.begins, word.ends) {
            (true, true) => name == word.text,
            (true, false) => name.starts_with(&word.text),
            (false, true) => name.ends_with(&word.text),
            (false, false) => name.contains(&word.text),
        })
    }
}

fn word(said: &str) -> Result<Word> {
    let (begins, rest) = said.strip_prefix('^').map_or((false, said), |rest| (true, rest));
    // Nothing stands before docker's slash.
    let (begins, rest) = rest.strip_prefix('/').map_or((begins, rest), |rest| (true, rest));
    let (ends, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    if let Some(other) = rest.chars().find(|letter| !is_of_name(*letter)) {
        bail!(
            "`{}` is not understood: names have letters, digits, `_`, `.` and `-`, each of which means itself; `^` or `^/` stands for \
             the beginning, `$` for the end, `|` between names of which one is enough",
            other.escape_default()
        );
    }
    Ok(Word { text: rest.to_owned(), begins, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_anywhere_and_with_an_anchor_at_its_end() {
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
            ("y.w", &["my.web"]),
            ("^web$|^db$", &["web", "db"]),
            ("-1|d", &["web-1", "db"]),
            ("", &names),
            ("^", &names),
            ("^$", &[]),
            ("WEB", &[]),
        ] {
            let pattern = Pattern::read(said).unwrap();
            let found: Vec<&str> = names.into_iter().filter(|name| pattern.fits(name)).collect();
            assert_eq!(found, expected, "{said}");
        }
    }

    #[test]
    fn what_means_more_in_a_regular_expression_is_told() {
        for said in ["web*", "we+", "w?b", "[w]eb", "(web)", "we{2}", r"\bweb", "a^b", "a$b", "a/b"]
        {
            let told = Pattern::read(said).unwrap_err().to_string();
            assert!(told.contains("is not understood: names have"), "{said}: {told}");
        }
    }
}
