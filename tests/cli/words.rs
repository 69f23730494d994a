//! Words that are understood, words that are not, and where output can't go.

use std::process::Stdio;

use crate::place::{Place, finished};

const VERBS: [&str; 29] = [
    "network",
    "update",
    "port",
    "system",
    "exec",
    "top",
    "stats",
    "pause",
    "unpause",
    "pull",
    "load",
    "import",
    "images",
    "layers",
    "history",
    "inspect",
    "tag",
    "rmi",
    "mount",
    "umount",
    "upper",
    "ps",
    "rm",
    "df",
    "gc",
    "fsck",
    "info",
    "check",
    "completion",
];

#[test]
fn every_verb_explains_itself_with_examples() {
    let place = Place::new();
    let list = place.said(&["--help"]);
    for verb in VERBS {
        assert!(list.contains(&format!("\n  {verb} ")), "{verb} in {list}");
        let help = place.said(&[verb, "--help"]);
        assert!(
            help.contains("EXAMPLES:\n") && help.contains(&format!("layerfs {verb}")),
            "{help}"
        );
        assert!(place.said(&[verb, "-h"]).contains("Usage: "), "{verb}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let expected = format!("layerfs {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Place::new().said(&["--version"]), expected);
}

#[test]
fn words_that_are_not_understood_end_with_2_and_one_line() {
    let place = Place::new();
    let rows: [(&[&str], &str); 11] = [
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["layers"], "were not provided: <IMAGE>"),
        (&["inspect"], "were not provided: <NAME>..."),
        (&["images", "--jsno"], "a similar argument exists: '--json'"),
        (&["images", "--json", "-q"], "cannot be used with"),
        (&["images", "a", "b"], "unexpected argument 'b'"),
        (&["--log-level", "loud", "info"], "possible values: error, warn, info, debug, trace"),
        (&["completion", "tcsh"], "possible values: bash"),
        (&["help", "frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["inspect", "-F", "{{.Id}}", "x"], "unexpected argument '-F' found; usage: "),
        (
            &["inspect", "-f", "{{Id}}", "x"],
            "`{{Id}}`: `Id` is not understood: a field begins with a dot",
        ),
    ];
    for (words, expected) in rows {
        let line = place.run(words).refusal(2);
        assert!(line.contains(expected), "{words:?}: {line}");
        assert!(
            !line.contains("--root"),
            "the environment's option is not the user's word: {line}"
        );
    }
    assert!(!place.join("store").exists(), "words that are not understood make no store");
}

#[test]
fn help_of_a_verb_can_be_asked_for_in_two_ways() {
    let place = Place::new();
    assert_eq!(place.said(&["help"]), place.said(&["--help"]));
    assert_eq!(place.said(&["help", "pull"]), place.said(&["pull", "--help"]));
}

#[test]
fn verbs_to_come_are_told_from_misspelled_ones() {
    let place = Place::new();
    for verb in ["events", "container"] {
        let line = place.run(&[verb, "debian", "/mnt"]).refusal(2);
        assert_eq!(line, format!("`{verb}` is not there yet; `layerfs --help` lists what is"));
    }
    let podman =
        "is not there, and does not come: podman has it, with layerfs as its `mount_program`";
    for verb in ["attach", "build"] {
        let line = place.run(&[verb, "debian", "/mnt"]).refusal(2);
        assert_eq!(line, format!("`{verb}` {podman}"));
    }
    let line = place.run(&["run", "--health-cmd", "true", "debian"]).refusal(125);
    assert_eq!(line, format!("`run --health-cmd` {podman}"));
    for verb in ["system", "volume", "network"] {
        let told = place.run(&[verb]);
        assert!(told.stderr.contains(&format!("Usage: layerfs {verb} ")), "{told:?}");
    }
}

/// What README says is not there yet.
#[test]
fn what_is_listed_as_to_come_is_told_so() {
    let place = Place::new();
    let text = include_str!("../../README.md");
    let (_, list) = text.split_once("Not there yet, and told so where they are said: ").unwrap();
    let (list, _) = list.split_once(". ").unwrap();
    let words: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    assert!(words.len() > 10, "{words:?}");
    for word in words {
        let word = word.strip_prefix("run ").unwrap_or(word);
        let (said, status) = match word.starts_with('-') {
            true => (vec!["run", word, "x", "debian"], 125),
            false => (vec![word], 2),
        };
        let line = place.run(&said).refusal(status);
        assert!(line.contains(&format!("{word}` is not there yet; ")), "{word}: {line}");
    }
}

#[test]
fn dockers_longer_words_mean_the_same() {
    let place = Place::new();
    for (long, short) in [
        ("container ls --help", "ps --help"),
        ("image rm --help", "rmi --help"),
        ("container update --help", "update --help"),
        ("ps --all=true --quiet=false", "ps --all"),
    ] {
        let said = |words: &str| place.said(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(said(long), said(short));
    }
}

#[test]
fn no_verb_is_offered_that_users_do_not_say() {
    let place = Place::new();
    for words in [&["serv"][..], &["serve2"], &["mann"], &["--lower", "x"], &["help", "serv"]] {
        let line = place.run(words).refusal(2);
        assert!(!line.contains("'serve'") && !line.contains("'man'"), "{words:?}: {line}");
    }
    assert!(place.run(&["image"]).stderr.contains("not there yet"));
    assert!(place.run(&["imagess"]).stderr.contains("'images'"));
}

/// The statuses below 125 are those of the command.
#[test]
fn words_of_run_that_are_not_understood_end_with_125() {
    let place = Place::new();
    for option in ["--gpus", "--ipc", "--pid", "--ip"] {
        for verb in ["run", "create"] {
            let line = place.run(&[verb, "--rm", option, "debian"]).refusal(125);
            assert_eq!(
                line,
                format!(
                    "`{verb} {option}` is not there yet; `layerfs {verb} --help` lists what is"
                )
            );
        }
    }
    assert!(place.run(&["run", "-dit", "debian"]).refusal(125).contains("no store at"));
    let usage = "frob' found; usage: layerfs run [OPTIONS] IMAGE [COMMAND...] or layerfs run [OPTIONS] --rootfs DIR";
    let rows: [(&[&str], &str); 8] = [
        (&["create"], "an image is needed; usage: layerfs create [OPTIONS] IMAGE [COMMAND...]"),
        (&["create", "--frob", "debian"], "unexpected argument '--frob' found"),
        (&["create", "--userns", "keep-id", "debian"], "possible values: auto, host"),
        (&["run"], "an image is needed; usage: layerfs run [OPTIONS] IMAGE [COMMAND...]"),
        (&["run", "--frob"], usage),
        (&["run", "--frob", "debian"], "unexpected argument '--frob' found"),
        (&["run", "--userns", "keep-id", "debian"], "possible values: auto, host"),
        (&["run", "--rm", "--rootfs", "."], "a command is needed"),
    ];
    for (words, expected) in rows {
        let line = place.run(words).refusal(125);
        assert!(line.contains(expected), "{words:?}: {line}");
    }
    let help = place.said(&["run", "--help"]);
    let limits = help.split("\nLimits:").nth(1).unwrap();
    assert!(
        !limits.contains("IMAGE") && help.contains("\nArguments:\n  <IMAGE|COMMAND>..."),
        "{help}"
    );
}

/// Docker's words that ask for what is done anyway.
#[test]
fn words_about_pulls_and_restarts_are_taken_where_they_change_nothing() {
    let place = Place::new();
    for verb in ["run", "create"] {
        for words in ["-q", "--quiet", "--pull never", "--pull=missing", "--restart no"] {
            let words = [verb].into_iter().chain(words.split(' ')).chain(["debian"]);
            let line = place.run(&words.collect::<Vec<_>>()).refusal(125);
            assert!(line.starts_with("no store at"), "{line}");
        }
        for (words, told) in [
            (["--pull", "always"], "nothing is pulled here; say `layerfs pull` first"),
            (["--pull", "often"], "there are never and missing"),
            (
                ["--restart", "unless-stopped"],
                "nothing starts a container again by itself; `layerfs start` does",
            ),
        ] {
            let line = place.run(&[verb, words[0], words[1], "debian"]).refusal(125);
            assert!(line.contains(told), "{line}");
        }
    }
}

#[test]
fn a_variable_that_is_not_understood_is_told() {
    let line = finished(Place::new().command(&["info"]).env("LAYERFS_LOG", "loud")).refusal(2);
    assert!(line.contains("invalid value 'loud' for '--log-level <LEVEL>'"), "{line}");
}

#[test]
fn no_words_are_answered_with_the_help_and_2() {
    let run = Place::new().run(&[]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("Commands:"), "{run:?}");
}

#[test]
fn a_reader_that_goes_ends_the_command_quietly() {
    let place = Place::new();
    place.pull_small("small");
    for words in [&["images"][..], &["images", "--json"], &["completion", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let mut command = place.command(words);
        let child =
            command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the command starts");
        let output = child.wait_with_output().expect("the command is waited for");
        assert_eq!(output.status.code(), Some(141), "{words:?}");
        assert_eq!(output.stderr, b"", "{words:?}");
    }
}

#[test]
fn results_that_can_not_be_written_are_a_failure() {
    let place = Place::new();
    place.pull_small("small");
    let line = "layerfs: write the results to standard output: No space left on device\n";
    for words in ["images", "--help"] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let full = full.expect("/dev/full is there");
        let output = place.command(&[words]).stdout(full).output().expect("the command starts");
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{words}");
    }
}

#[test]
fn the_store_is_where_the_words_say_before_the_environment() {
    let place = Place::new();
    let other = place.join("other");
    let words = ["info", "--root", other.to_str().expect("the path is ASCII")];
    assert!(place.said(&words).contains(&format!("Root: {}\n", other.display())));
    assert!(!place.join("store").exists());
    assert!(place.said(&["info"]).contains(&format!("Root: {}\n", place.join("store").display())));
}

#[test]
fn a_store_that_can_not_be_had_is_one_line() {
    let place = Place::new();
    std::fs::write(place.join("file"), b"").expect("the place is ours");
    std::fs::create_dir(place.join("full")).expect("the place is ours");
    std::fs::write(place.join("full/thing"), b"").expect("the place is ours");
    for (root, expected) in
        [("file", "Not a directory"), ("full", "is not empty and not a layerfs store")]
    {
        let line =
            finished(place.command(&["images"]).env("LAYERFS_ROOT", place.join(root))).refusal(1);
        assert!(line.contains(expected), "{line}");
    }
}

/// `--root "$UNSET"` must not mean the default store.
#[test]
fn an_empty_word_for_a_place_is_refused() {
    let place = Place::new();
    for (option, variable) in [("--root", "LAYERFS_ROOT"), ("--runroot", "LAYERFS_RUNROOT")] {
        for words in [[option, "", "images"], ["images", option, ""]] {
            for said in ["", "/set"] {
                let line = finished(place.command(&words).env(variable, said)).refusal(2);
                assert_eq!(line, format!("{option} is empty: name a directory, or leave it out"));
            }
        }
    }
}

#[test]
fn empty_variables_say_nothing() {
    let place = Place::new();
    let mut command = place.command(&["info"]);
    command.env("LAYERFS_LOG", "").env("LAYERFS_RUNROOT", "").env("XDG_RUNTIME_DIR", "");
    assert_eq!(finished(&mut command).status, Some(0));
}
