//! From the words of the command line to an exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use layerfs_driver::sys::fault;
use layerfs_driver::sys::host::{self, Rights};

use crate::called::Caller;
use crate::cli::{Cli, Global, Verb};
use crate::output::results::{Results, ResultsError};
use crate::output::{log, message};
use crate::roots::{self, Roots, Said, Who};
use crate::session::{Misused, Outcome, Session};
use crate::{bench, changes, cli, container, image, misunderstood, mount, system, upper};

/// Something failed.
const FAILED: u8 = 1;

/// Verbs that always run out of a container's reach.
const CONTAINING: [&str; 3] = ["run", "exec", "start"];

/// Does what the words say, and answers the exit status.
pub fn run(words: &[OsString], caller: Caller) -> ExitCode {
    // What would be parsed once more afterwards is not parsed before. Where this fails the verb says so.
    let verb = misunderstood::verb(words).and_then(|verb| verb.to_str());
    if verb.is_some_and(|verb| CONTAINING.contains(&verb)) {
        drop(container::run::may_contain());
    }
    let status = match cli::parse(words) {
        Ok(cli) => {
            let ended = said_a_place(&cli, words).and_then(|()| in_session(cli));
            status_of(&ended, (words, caller))
        }
        Err(error) => misunderstood::tell(error, (words, caller)),
    };
    fault::report();
    ExitCode::from(status)
}

/// Prints what another name's help says, and answers the exit status.
pub fn print(text: &str) -> ExitCode {
    let mut results = Results::new();
    let printed = results.line(text).and_then(|()| results.flush());
    ExitCode::from(status_of(
        &printed.map(|()| Outcome::Done).map_err(Into::into),
        (&[], Caller::User),
    ))
}

fn in_session(cli: Cli) -> Result<Outcome> {
    let level = cli.global.log_level;
    log::start(level);
    layerfs_driver::sys::signal::heed_children()?;
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
        return Err(Misused::of("--root is empty: name a directory, or leave it out").into());
    }
    if is_empty(plain.get_one("runroot")) {
        return Err(Misused::of("--runroot is empty: name a directory, or leave it out").into());
    }
    Ok(())
}

fn roots_of(global: Global) -> Result<Roots> {
    // Root of a user namespace has the files of whoever made it.
    let rights = host::rights()?;
    let who = if rights == Rights::Root { Who::Root } else { Who::User };
    // mount(8) gives the helpers that it starts for users no HOME. Root of a namespace is called root by the list of
    // users, whose home is another's.
    let home = |name: &str| match (name, rights) {
        ("HOME", Rights::User) => std::env::home_dir().map(OsString::from),
        _ => None,
    };
    let variable = |name: &str| std::env::var_os(name).or_else(|| home(name));
    Ok(roots::decide(Said { store: global.root, run: global.runroot }, who, variable))
}

fn dispatch(verb: &Verb, session: &Session, results: &mut Results) -> Result<Outcome> {
    match verb {
        Verb::Pull(args) => image::pull::run(args, session, results),
        Verb::Load(args) => image::load::run(args, session, results),
        Verb::Push(args) => image::push::run(args, session, results),
        Verb::Save(args) => image::save::run(args, session),
        Verb::Import(args) => image::import::run(args, session, results),
        Verb::Images(args) => image::images::run(args, session, results),
        Verb::Layers(args) => image::layers::run(args, session, results),
        Verb::History(args) => image::history::run(args, session, results),
        Verb::Inspect(args) => image::inspect::run(args, session, results),
        Verb::Tag(args) => image::tag::run(args, session),
        Verb::Rmi(args) => image::rmi::run(args, session, results),
        Verb::Exec(args) => container::exec::run(args, session),
        Verb::Run(args) => container::run::run(args, session, results),
        Verb::Create(args) => container::run::create(args, session, results),
        Verb::Start(args) => container::start::run(args, session, results),
        Verb::Stop(args) => container::stop::run(args, session, results),
        Verb::Kill(args) => container::stop::kill(args, session, results),
        Verb::Restart(args) => container::stop::restart(args, session, results),
        Verb::Stats(args) => container::stats::run(args, session, results),
        Verb::Top(args) => container::top::run(args, session, results),
        Verb::Pause(args) => container::pause::run(args, session, results),
        Verb::Unpause(args) => container::pause::unpause(args, session, results),
        Verb::Update(args) => container::update::run(args, session, results),
        Verb::Wait(args) => container::wait::run(args, session, results),
        Verb::Logs(args) => container::logs::run(args, session, results),
        Verb::Port(args) => container::port::run(args, session, results),
        Verb::Rename(args) => container::rename::run(args, session),
        Verb::Cp(args) => container::cp::run(args, session),
        Verb::Copier(args) => container::copier::run_in_background(args, results),
        Verb::Network(args) => container::network::verb::run(args, session, results),
        Verb::Volume(args) => container::volume::run(args, session, results),
        Verb::Supervise(args) => container::supervise::run_in_background(args, session),
        Verb::Mount(args) => mount::make::run(args, session, results),
        Verb::Umount(args) => mount::umount::run(args, results),
        Verb::Upper(args) => upper::normalize::run(args, session),
        Verb::Serve(args) => mount::serve::run_in_background(args, session),
        Verb::Ps(args) => container::ps::run(args, session, results),
        Verb::Rm(args) => container::rm::run(args, session, results),
        Verb::Diff(args) => changes::diff::run(args, session, results),
        Verb::Commit(args) => changes::commit::run(args, session, results),
        Verb::Still(args) => changes::still::run_in_background(args),
        Verb::System(args) => system::verbs::run(args, session, results),
        Verb::Df(args) => system::df::run(args, session, results),
        Verb::Gc(args) => system::gc::run(args, session, results),
        Verb::Fsck(args) => system::fsck::run(args, session, results),
        Verb::Info(args) => system::info::run(args, session, results),
        Verb::Check(args) => system::check::run(args, session, results),
        Verb::Bench(args) => bench::verb::run(args, results),
        Verb::Completion(args) => system::completion::run(args, results),
        Verb::Man(args) => system::man::run(args),
    }
}

fn status_of(ended: &Result<Outcome>, said: (&[OsString], Caller)) -> u8 {
    match ended {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::SomeFailed) => FAILED,
        Ok(Outcome::Status(status)) => *status,
        Err(error) if error.downcast_ref().is_some_and(ResultsError::is_reader_gone) => {
            misunderstood::READER_GONE
        }
        Err(error) => {
            message::error(error);
            if error.is::<Misused>() { misunderstood::status(said) } else { FAILED }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_log_level_of_the_environment_says_nothing() {
        let cli = cli::parse(&["layerfs", "--log-level", "", "info"].map(OsString::from)).unwrap();
        assert_eq!(cli.global.log_level, log::LogLevel::Warn);
    }
}
