//! What is told of words that were not understood: one line, and the exit status.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::called::Caller;
use crate::cli;
use crate::output::message;

/// The words were not understood.
pub const USAGE: u8 = 2;
/// The same of `run`, `create` and `exec`, whose own statuses those of the command are told from, as docker has it.
pub const USAGE_OF_RUN: u8 = 125;
/// The same of who mounts for another program: mount(8) reads 2 as an error of the system, and fuse-overlayfs ends with
/// nothing else.
pub const USAGE_OF_MOUNTERS: u8 = 1;
/// Something failed.
const FAILED: u8 = 1;
/// What the shell shows for a command that SIGPIPE ended: the reader of our results has gone.
pub const READER_GONE: u8 = 141;

/// Verbs of docker that do not come.
const VERBS_ABSENT: [&str; 4] = ["attach", "build", "buildx", "compose"];

/// Options of docker's `run` and `create` that do not come.
const RUN_OPTIONS_ABSENT: [&str; 12] = [
    "-a",
    "--attach",
    "--detach-keys",
    "--health-cmd",
    "--health-interval",
    "--health-retries",
    "--health-start-period",
    "--health-timeout",
    "--no-healthcheck",
    "--network-alias",
    "--net-alias",
    "--link",
];

/// Verbs of docker that are not there yet.
const VERBS_TO_COME: [&str; 10] = [
    "container",
    "events",
    "export",
    "image",
    "login",
    "logout",
    "prune",
    "search",
    "manifest",
    "version",
];

/// Options of docker's `run` and `create` that are not there yet.
const RUN_OPTIONS_TO_COME: [&str; 28] = [
    "--annotation",
    "--blkio-weight-device",
    "--cgroup-parent",
    "--cgroupns",
    "--cpu-period",
    "--cpu-quota",
    "--device-cgroup-rule",
    "--domainname",
    "--expose",
    "--gpus",
    "--group-add",
    "--ip",
    "--ip6",
    "--ipc",
    "--isolation",
    "--label-file",
    "--log-driver",
    "--log-opt",
    "--mac-address",
    "--memory-swappiness",
    "--oom-kill-disable",
    "--pid",
    "--platform",
    "--runtime",
    "--sig-proxy",
    "--uts",
    "--volume-driver",
    "--volumes-from",
];

/// Global options whose value is the next word.
const WITH_VALUE: [&[u8]; 3] = [b"--root", b"--runroot", b"--log-level"];

/// Clap's paragraphs that help nobody: the last, which only names `--help`, and the advice to pass a misspelled option as
/// an operand, which is the name of an image that there can't be.
const NO_HELP: [&str; 2] = ["For more information", "tip: to pass "];

/// Help and version go to standard output; what was not understood is told on one line.
pub fn tell(error: clap::Error, (words, caller): (&[OsString], Caller)) -> u8 {
    let mut error = without_environment(error, words);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => 0,
            Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => READER_GONE,
            Err(refused) => {
                message::error(
                    &anyhow::Error::new(refused).context("write the results to standard output"),
                );
                FAILED
            }
        },
        // Which of the two it is depends on whether the environment stands for an option.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            message::show(&help_of(words).to_string());
            status((words, caller))
        }
        _ => {
            forget_hidden(&mut error);
            let line = to_come(&error, words).or_else(|| missing_for_run(&error, words));
            message::say(line.unwrap_or_else(|| usage_line(&error.render().to_string())));
            status((words, caller))
        }
    }
}

/// The help of the verb that has verbs of its own, or of all.
fn help_of(words: &[OsString]) -> clap::builder::StyledStr {
    let mut all = cli::command();
    all.build();
    let own = verb(words).and_then(|verb| all.find_subcommand_mut(verb));
    match own {
        Some(own) => own.render_help(),
        None => all.render_help(),
    }
}

/// The exit status of words that were not understood.
pub fn status((words, caller): (&[OsString], Caller)) -> u8 {
    match caller {
        Caller::Mounter => USAGE_OF_MOUNTERS,
        Caller::User
            if making(words).is_some() || verb(words).is_some_and(|verb| verb == "exec") =>
        {
            USAGE_OF_RUN
        }
        Caller::User => USAGE,
    }
}

/// The verb, where it is one that makes a container.
fn making(words: &[OsString]) -> Option<&str> {
    verb(words)?.to_str().filter(|verb| ["run", "create"].contains(verb))
}

/// The verb that the words begin with.
pub fn verb(words: &[OsString]) -> Option<&OsStr> {
    place_of_verb(words).map(|at| words[at].as_os_str())
}

/// Where the verb stands.
pub fn place_of_verb(words: &[OsString]) -> Option<usize> {
    let mut places = words.iter().enumerate().skip(1);
    while let Some((at, word)) = places.next() {
        if WITH_VALUE.contains(&word.as_bytes()) {
            places.next();
        } else if !word.as_bytes().starts_with(b"-") {
            return Some(at);
        }
    }
    None
}

/// The same error as the words alone bring it about; the given one where only the environment does.
fn without_environment(error: clap::Error, words: &[OsString]) -> clap::Error {
    match cli::command_without_environment().try_get_matches_from(words) {
        Ok(_) => error,
        Err(plain) => plain,
    }
}

/// Takes advice back that leads to a verb which no user says.
fn forget_hidden(error: &mut clap::Error) {
    let hidden: Vec<String> = cli::command()
        .get_subcommands()
        .filter(|verb| verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .collect();
    let is_hidden =
        |advice: &String| hidden.iter().any(|verb| advice.split(' ').any(|word| word == verb));
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
        let kept = match error.get(kind) {
            Some(ContextValue::Strings(all)) => {
                let kept: Vec<String> = all.iter().filter(|one| !is_hidden(one)).cloned().collect();
                if kept.is_empty() { ContextValue::None } else { ContextValue::Strings(kept) }
            }
            Some(ContextValue::String(one)) if is_hidden(one) => ContextValue::None,
            _ => continue,
        };
        error.insert(kind, kept);
    }
}

/// A verb or an option of docker's that is to come. Clap would offer the next best.
fn to_come(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(said)) => Some(said.as_str()),
        _ => None,
    };
    const PODMAN: &str =
        "is not there, and does not come: podman has it, with layerfs as its `mount_program`";
    if let Some(verb) = said(ContextKind::InvalidSubcommand) {
        if VERBS_ABSENT.contains(&verb) {
            return Some(format!("`{verb}` {PODMAN}"));
        }
        if VERBS_TO_COME.contains(&verb) {
            return Some(format!("`{verb}` is not there yet; `layerfs --help` lists what is"));
        }
    }
    let option =
        said(ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument);
    let (verb, option) = (making(words)?, option?);
    if RUN_OPTIONS_ABSENT.contains(&option) {
        return Some(format!("`{verb} {option}` {PODMAN}"));
    }
    let option = Some(option).filter(|option| RUN_OPTIONS_TO_COME.contains(option))?;
    Some(format!("`{verb} {option}` is not there yet; `layerfs {verb} --help` lists what is"))
}

/// The first of the words after the options of `run` and `create`, by what it would be.
fn missing_for_run(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let verb = making(words).filter(|_| error.kind() == ErrorKind::MissingRequiredArgument)?;
    let has_rootfs = words.iter().any(|word| word.as_bytes().starts_with(b"--rootfs"));
    let (needed, usage) = if has_rootfs {
        ("a command is needed: a directory has none of its own", "--rootfs DIR COMMAND...")
    } else {
        ("an image is needed", "IMAGE [COMMAND...]")
    };
    Some(format!("{needed}; usage: layerfs {verb} [OPTIONS] {usage}; more with --help"))
}

/// Clap's several lines as one: what is wrong, a tip, the usage.
fn usage_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraphs = text.split("\n\n").map(|lines| {
        // Usages stand one below the other.
        let between = if lines.starts_with("Usage: ") { " or " } else { " " };
        let lines = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let helps = |line: &String| !NO_HELP.iter().any(|start| line.starts_with(start));
        lines.filter(|line| !line.is_empty()).filter(helps).collect::<Vec<_>>().join(between)
    });
    let said: Vec<String> = paragraphs
        .filter(|line| !line.is_empty() && line != "tip:")
        .map(|line| match line.strip_prefix("Usage: ") {
            Some(usage) => format!("usage: {usage}"),
            None => line,
        })
        .collect();
    format!("{}; more with --help", said.join("; "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn told(words: &[&str]) -> String {
        let words = ["layerfs"].iter().chain(words);
        usage_line(&Cli::try_parse_from(words).unwrap_err().render().to_string())
    }

    #[test]
    fn usage_errors_are_one_line_with_the_usage() {
        assert_eq!(
            told(&["layers"]),
            "the following required arguments were not provided: <IMAGE>; usage: layerfs layers <IMAGE>; \
             more with --help"
        );
        let line = told(&["images", "--al"]);
        assert!(
            line.contains(
                "unexpected argument '--al' found; tip: a similar argument exists: '--all'"
            ),
            "{line}"
        );
    }

    #[test]
    fn a_near_option_is_named_and_nothing_that_leads_astray() {
        for (said, near) in [("--memroy", "--memory"), ("--privleged", "--privileged")] {
            let line = told(&["run", said, "x"]);
            let told = format!(
                "unexpected argument '{said}' found; tip: a similar argument exists: '{near}'; usage: "
            );
            assert!(line.starts_with(&told), "{line}");
        }
    }

    #[test]
    fn the_verb_is_the_first_word_that_is_no_option_and_no_value_of_one() {
        let rows = [
            ("layerfs run --root x y", Some("run")),
            ("layerfs --root run images", Some("images")),
            ("layerfs --root=run --log-level debug run -x", Some("run")),
            ("layerfs --help", None),
            ("layerfs", None),
        ];
        for (words, expected) in rows {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(verb(&words), expected.map(OsStr::new), "{words:?}");
        }
    }

    #[test]
    fn what_is_to_come_is_not_there() {
        let command = cli::command();
        let verbs: Vec<&str> = command.get_subcommands().map(|verb| verb.get_name()).collect();
        assert!(VERBS_TO_COME.iter().all(|verb| !verbs.contains(verb)));
    }
}
