//! From the words of the command line to an exit status.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use layerfs_driver::sys::{fault, host};

use crate::cli::{Cli, Global, Verb};
use crate::output::results::{Results, ResultsError};
use crate::output::{log, message};
use crate::roots::{self, Roots, Said, Who};
use crate::session::{Misused, Outcome, Session};
use crate::{cli, container, image, mount, system};

/// Something failed.
const FAILED: u8 = 1;
/// The words were not understood.
const USAGE: u8 = 2;
/// What the shell shows for a command that SIGPIPE ended: the reader of our results has gone.
const READER_GONE: u8 = 141;
/// Verbs that the README announces.
const TO_COME: [&str; 1] = ["exec"];
/// Clap's paragraphs that help nobody: the last, which only names `--help`, and the advice to pass a misspelled option as
/// an operand, which is the name of an image that there can't be.
const NO_HELP: [&str; 2] = ["For more information", "tip: to pass "];

/// Does what the words say, and answers the exit status.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let status = match Cli::try_parse_from(&words) {
        Ok(cli) => status_of(&said_a_place(&cli, &words).and_then(|()| in_session(cli))),
        Err(error) => misunderstood(&without_environment(error, &words)),
    };
    fault::report();
    ExitCode::from(status)
}

fn in_session(cli: Cli) -> Result<Outcome> {
    let level = cli.global.log_level;
    log::start(level);
    let session = Session::new(roots_of(cli.global)?, level);
    let mut results = Results::new();
    let outcome = dispatch(&cli.verb, &session, &mut results);
    // What was said before a failure is a result all the same. The failure itself is the more telling of two.
    let flushed = results.flush();
    let outcome = outcome?;
    flushed?;
    Ok(outcome)
}

/// Refuses an empty word for a place: `--root "$UNSET"` would mean the default one. An empty variable says nothing.
fn said_a_place(cli: &Cli, words: &[OsString]) -> Result<()> {
    let is_empty = |said: Option<&OsString>| said.is_some_and(|said| said.is_empty());
    if !is_empty(cli.global.root.as_ref()) && !is_empty(cli.global.runroot.as_ref()) {
        return Ok(());
    }
    let plain = cli::command_without_environment().try_get_matches_from(words)?;
    if is_empty(plain.get_one("root")) {
        return Err(Misused("--root is empty: name a directory, or leave it out").into());
    }
    if is_empty(plain.get_one("runroot")) {
        return Err(Misused("--runroot is empty: name a directory, or leave it out").into());
    }
    Ok(())
}

fn roots_of(global: Global) -> Result<Roots> {
    let who = if host::is_root() { Who::Root } else { Who::User };
    roots::decide(Said { store: global.root, run: global.runroot }, who, |name| {
        std::env::var_os(name)
    })
}

fn dispatch(verb: &Verb, session: &Session, results: &mut Results) -> Result<Outcome> {
    match verb {
        Verb::Pull(args) => image::pull::run(args, session, results),
        Verb::Load(args) => image::load::run(args, session, results),
        Verb::Import(args) => image::import::run(args, session, results),
        Verb::Images(args) => image::images::run(args, session, results),
        Verb::Layers(args) => image::layers::run(args, session, results),
        Verb::History(args) => image::history::run(args, session, results),
        Verb::Inspect(args) => image::inspect::run(args, session, results),
        Verb::Tag(args) => image::tag::run(args, session),
        Verb::Rmi(args) => image::rmi::run(args, session, results),
        Verb::Run(args) => container::run::run(args, session),
        Verb::Mount(args) => mount::make::run(args, session, results),
        Verb::Umount(args) => mount::umount::run(args),
        Verb::Serve(args) => mount::serve::run_in_background(args, session),
        Verb::Ps(args) => container::ps::run(args, session, results),
        Verb::Rm(args) => container::rm::run(args, session, results),
        Verb::Df(args) => system::df::run(args, session, results),
        Verb::Gc(args) => system::gc::run(args, session, results),
        Verb::Fsck(args) => system::fsck::run(args, session, results),
        Verb::Info(args) => system::info::run(args, session, results),
        Verb::Check(args) => system::check::run(args, session, results),
        Verb::Completion(args) => system::completion::run(args, results),
        Verb::Man(args) => system::man::run(args),
    }
}

fn status_of(ended: &Result<Outcome>) -> u8 {
    match ended {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::SomeFailed) => FAILED,
        Ok(Outcome::Status(status)) => *status,
        Err(error) if error.downcast_ref().is_some_and(ResultsError::is_reader_gone) => READER_GONE,
        Err(error) => {
            message::error(error);
            if error.is::<Misused>() { USAGE } else { FAILED }
        }
    }
}

/// The same error as the words alone bring it about; the given one where only the environment does.
fn without_environment(error: clap::Error, words: &[OsString]) -> clap::Error {
    match cli::command_without_environment().try_get_matches_from(words) {
        Ok(_) => error,
        Err(plain) => plain,
    }
}

/// Help and version go to standard output; what was not understood is told on one line.
fn misunderstood(error: &clap::Error) -> u8 {
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
            message::show(&cli::command().render_help().to_string());
            USAGE
        }
        _ => {
            message::say(match to_come(error) {
                Some(verb) => {
                    format!("`{verb}` is not there yet; `layerfs --help` lists what is")
                }
                None => usage_line(&error.render().to_string()),
            });
            USAGE
        }
    }
}

/// The verb that was asked for, where it is one of those to come. Clap would offer `import` for `mount`.
fn to_come(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(verb)) if TO_COME.contains(&verb.as_str()) => Some(verb),
        _ => None,
    }
}

/// Clap's several lines as one: what is wrong, a tip, the usage.
fn usage_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraphs =
        text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
    let said: Vec<String> = paragraphs
        .filter(|line| !line.is_empty() && !NO_HELP.iter().any(|start| line.starts_with(start)))
        .map(|line| match line.strip_prefix("Usage: ") {
            Some(usage) => format!("usage: {usage}"),
            None => line,
        })
        .collect();
    format!("{}; more with --help", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_empty_log_level_of_the_environment_says_nothing() {
        let cli = Cli::try_parse_from(["layerfs", "--log-level", "", "info"]).unwrap();
        assert_eq!(cli.global.log_level, log::LogLevel::Warn);
    }
}
