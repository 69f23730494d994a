//! Docker's longer words, `container ls` and the like, turned into the verbs that they mean.

use std::ffi::OsString;

use crate::misunderstood::place_of_verb;

/// Verbs of `container` that have another name alone, and those that have the same.
const OF_CONTAINER: [(&str, &[&str]); 24] = [
    ("ls", &["ps"]),
    ("list", &["ps"]),
    ("ps", &["ps"]),
    ("inspect", &["inspect", "--type=container"]),
    ("run", &["run"]),
    ("create", &["create"]),
    ("start", &["start"]),
    ("stop", &["stop"]),
    ("kill", &["kill"]),
    ("restart", &["restart"]),
    ("wait", &["wait"]),
    ("logs", &["logs"]),
    ("rename", &["rename"]),
    ("rm", &["rm"]),
    ("diff", &["diff"]),
    ("commit", &["commit"]),
    ("exec", &["exec"]),
    ("cp", &["cp"]),
    ("top", &["top"]),
    ("stats", &["stats"]),
    ("pause", &["pause"]),
    ("unpause", &["unpause"]),
    ("port", &["port"]),
    ("update", &["update"]),
];

const OF_IMAGE: [(&str, &[&str]); 11] = [
    ("ls", &["images"]),
    ("list", &["images"]),
    ("rm", &["rmi"]),
    ("inspect", &["inspect", "--type=image"]),
    ("history", &["history"]),
    ("import", &["import"]),
    ("load", &["load"]),
    ("pull", &["pull"]),
    ("push", &["push"]),
    ("save", &["save"]),
    ("tag", &["tag"]),
];

/// The words with one verb where there were two. Others stay, for clap to name.
pub fn flat(words: Vec<OsString>) -> Vec<OsString> {
    let Some(at) = place_of_verb(&words) else { return words };
    let (Some(kind), Some(verb)) = (words[at].to_str(), words.get(at + 1)) else { return words };
    let table: &[(&str, &[&str])] = match kind {
        "container" => &OF_CONTAINER,
        "image" => &OF_IMAGE,
        _ => return words,
    };
    let Some((_, own)) = table.iter().find(|(name, _)| verb == *name) else { return words };
    let before = words[..at].iter().cloned();
    let own = own.iter().map(OsString::from);
    before.chain(own).chain(words[at + 2..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat_of(words: &str) -> String {
        let words = words.split(' ').map(OsString::from).collect();
        flat(words).iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn two_verbs_become_one_wherever_the_options_stand() {
        for (said, own) in [
            ("layerfs container ls -a", "layerfs ps -a"),
            ("layerfs --root /x image rm a b", "layerfs --root /x rmi a b"),
            ("layerfs image inspect a", "layerfs inspect --type=image a"),
            ("layerfs container frob", "layerfs container frob"),
            ("layerfs container", "layerfs container"),
            ("layerfs run container ls", "layerfs run container ls"),
            ("layerfs", "layerfs"),
        ] {
            assert_eq!(flat_of(said), own, "{said}");
        }
    }

    #[test]
    fn every_verb_that_is_meant_is_there() {
        let verbs = crate::cli::command();
        for (_, own) in OF_CONTAINER.iter().chain(&OF_IMAGE) {
            let is_there = verbs.get_subcommands().any(|verb| verb.get_name() == own[0]);
            assert!(is_there, "{own:?}");
        }
    }
}
