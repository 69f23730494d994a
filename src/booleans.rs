//! Docker's `--rm=true` and `--rm=false`, for every option that takes no value: the plain option, or none.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::cli;
use crate::misunderstood::place_of_verb;

/// The words that stand for yes and for no, as Go reads them.
const YES: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];
const NO: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];

/// The words without such values. What is not understood stays, for clap to name.
pub fn plain(words: Vec<OsString>) -> Vec<OsString> {
    // Most have none, and need not know what options there are.
    let has_value = |word: &OsString| word.to_str().and_then(said).is_some();
    let Some(at) = place_of_verb(&words).filter(|_| words.iter().any(has_value)) else {
        return words;
    };
    let all = cli::command();
    let Some(mut verb) = words[at].to_str().and_then(|word| all.find_subcommand(word)) else {
        return words;
    };
    let mut plain: Vec<Word> =
        words[..=at].iter().map(|word| Word { text: word.clone(), options: vec![] }).collect();
    let mut rest = words[at + 1..].iter();
    while let Some(word) = rest.next() {
        let text = word.to_str().unwrap_or_default();
        if text == "--" {
            plain.push(Word { text: word.clone(), options: vec![] });
            break;
        }
        let options = options_of(text, verb, &all);
        match (said(text), options.last()) {
            (Some((option, answer)), Some(last)) if is_flag(last) => {
                let last = *last;
                // What is said last counts.
                plain = plain.into_iter().filter_map(|word| word.without(last)).collect();
                let whole = Word { text: option.into(), options };
                plain.extend(if answer { Some(whole) } else { whole.without(last) });
            }
            _ => {
                let takes_next = takes_next(text, &options);
                plain.push(Word { text: word.clone(), options });
                if takes_next {
                    let value = rest.next().cloned();
                    plain.extend(value.map(|text| Word { text, options: vec![] }));
                }
                if text.starts_with('-') {
                    continue;
                }
                match verb.find_subcommand(text) {
                    Some(inner) => verb = inner,
                    // Whatever comes now is another program's.
                    None if verb.get_positionals().any(Arg::is_trailing_var_arg_set) => break,
                    None => {}
                }
            }
        }
    }
    plain.into_iter().map(|word| word.text).chain(rest.cloned()).collect()
}

/// A word, and the options that it names, as [`options_of`] finds them.
struct Word<'a> {
    text: OsString,
    options: Vec<&'a Arg>,
}

impl Word<'_> {
    /// The same without an option that takes no value; `None` where it names nothing else.
    fn without(mut self, gone: &Arg) -> Option<Self> {
        while let Some(at) = self.options.iter().position(|one| one.get_id() == gone.get_id()) {
            let text = self.text.to_str().filter(|text| !text.starts_with("--"))?;
            // Letters stand after a dash, in the order of their options.
            let letters: String = text
                .chars()
                .enumerate()
                .filter(|(place, _)| *place != at + 1)
                .map(|it| it.1)
                .collect();
            if letters == "-" {
                return None;
            }
            self.text = letters.into();
            self.options.remove(at);
        }
        Some(self)
    }
}

/// An option and the answer that stands with it.
fn said(word: &str) -> Option<(&str, bool)> {
    let (option, value) = word.split_once('=').filter(|(option, _)| option.starts_with('-'))?;
    let answer = YES.contains(&value);
    (answer || NO.contains(&value)).then_some((option, answer))
}

/// The options that a word names, up to the first that takes a value.
fn options_of<'a>(word: &str, verb: &'a Command, all: &'a Command) -> Vec<&'a Arg> {
    let known = || verb.get_arguments().chain(all.get_arguments());
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    if let Some(long) = name.strip_prefix("--") {
        return known().find(|arg| is_called(arg, long)).into_iter().collect();
    }
    let mut found = Vec::new();
    for letter in name.strip_prefix('-').unwrap_or_default().chars() {
        let Some(arg) = known().find(|arg| arg.get_short() == Some(letter)) else { break };
        found.push(arg);
        if !is_flag(arg) {
            break;
        }
    }
    found
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether that is a long name of it.
fn is_called(arg: &Arg, long: &str) -> bool {
    arg.get_long() == Some(long)
        || arg.get_all_aliases().is_some_and(|others| others.contains(&long))
}

/// Whether the word names these options and holds nothing else.
fn is_whole(word: &str, options: &[&Arg]) -> bool {
    match word.strip_prefix("--") {
        Some(_) => !word.contains('='),
        None => word.chars().skip(1).count() == options.len(),
    }
}

/// Whether the value of the last option is the next word.
fn takes_next(word: &str, options: &[&Arg]) -> bool {
    let takes = |last: &&Arg| !is_flag(last) && !last.is_require_equals_set();
    options.last().is_some_and(takes) && is_whole(word, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(words: &str) -> String {
        let words = words.split(' ').map(OsString::from).collect();
        plain(words).iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_without_a_value_take_yes_and_no_before_other_programs_words() {
        for (said, expected) in [
            ("layerfs run --rm=true --init=1 x", "layerfs run --rm --init x"),
            ("layerfs run --rm=false -d=true x", "layerfs run -d x"),
            ("layerfs run --rm --rm=false x --rm=false", "layerfs run x --rm=false"),
            ("layerfs run -d --rm --detach=false x", "layerfs run --rm x"),
            ("layerfs run -it=true x", "layerfs run -it x"),
            // The last one counts, also of letters that stand together.
            ("layerfs run -dit --detach=false x true", "layerfs run -it x true"),
            ("layerfs run --detach=false -dit x", "layerfs run -dit x"),
            ("layerfs run -d -i -d=false x", "layerfs run -i x"),
            ("layerfs run -di -t --interactive=0 -d=0 x", "layerfs run -t x"),
            ("layerfs run -dite A=1 -hbush -d=false x", "layerfs run -ite A=1 -hbush x"),
            ("layerfs run -dhdid -d=false x", "layerfs run -hdid x"),
            ("layerfs run -e -d -d=false x", "layerfs run -e -d x"),
            ("layerfs run - -d=false x", "layerfs run - x"),
            ("layerfs run --rm=true -- x --rm=true", "layerfs run --rm -- x --rm=true"),
            // These are values.
            ("layerfs run -e --rm=true x", "layerfs run -e --rm=true x"),
            ("layerfs run --env A=true -eB=true x", "layerfs run --env A=true -eB=true x"),
            ("layerfs run --name=true --rm=true x", "layerfs run --name=true --rm x"),
            ("layerfs run --userns=host --rm=true x", "layerfs run --userns=host --rm x"),
            ("layerfs exec -t=true box a --rm=true", "layerfs exec -t box a --rm=true"),
            ("layerfs ps --all=true web -q=true", "layerfs ps --all web -q"),
            ("layerfs volume prune --force=true", "layerfs volume prune --force"),
            // Second names, and values that stand in the same word.
            ("layerfs run --net none --init=true x", "layerfs run --net none --init x"),
            ("layerfs run --dns-opt a --rm=1 x y", "layerfs run --dns-opt a --rm x y"),
            ("layerfs run -hbush --rm=true x", "layerfs run -hbush --rm x"),
            ("layerfs run -ecache --rm=true x", "layerfs run -ecache --rm x"),
            ("layerfs run -ite A --rm=true x", "layerfs run -ite A --rm x"),
            ("layerfs run -e --rm --rm=true x", "layerfs run -e --rm --rm x"),
            ("layerfs run -e --rm --rm --rm=false x", "layerfs run -e --rm x"),
            ("layerfs run -it=false x", "layerfs run -i x"),
            ("layerfs commit -p --all=true x", "layerfs commit -p --all=true x"),
            // For clap to name.
            ("layerfs run --frob=true x", "layerfs run --frob=true x"),
            ("layerfs run --rm=maybe x", "layerfs run --rm=maybe x"),
            ("layerfs frob --rm=true", "layerfs frob --rm=true"),
        ] {
            assert_eq!(plain_of(said), expected, "{said}");
        }
    }
}
