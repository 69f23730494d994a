//! The words that layerfs understands: global options and the list of verbs. Each verb's own words stand in its file.

use std::cell::RefCell;
use std::ffi::OsString;
use std::ops::Deref;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench::verb;
use crate::changes::{commit, diff, still};
use crate::container::{
    copier, cp, exec, logs, network, pause, port, ps, rename, rm, start, stats, stop, supervise,
    top, update, volume, wait, words,
};
use crate::image::{history, images, import, inspect, layers, load, pull, push, rmi, save, tag};
use crate::misunderstood::place_of_verb;
use crate::mount::{make, serve, umount};
use crate::output::log::LogLevel;
use crate::system::{check, completion, df, fsck, gc, info, man, verbs};
use crate::upper::normalize;

const ABOUT: &str = "\
layerfs keeps container images as content-addressed, read-only layers, each file once.

Images come from OCI layouts, OCI archives and docker archives; registries are not spoken yet, `skopeo copy` gets an \
image from there. Results go to standard output, messages to standard error. The exit status is 0 when all was done, \
1 when something failed, 2 (of `run` 125) when the words were not understood.";

const EXAMPLES: &str = "\
EXAMPLES:
  Get an image from a registry, and look at it:
    skopeo copy docker://docker.io/library/debian:bookworm oci:debian:bookworm
    layerfs pull oci:debian:bookworm
    layerfs images
    layerfs history debian:bookworm

  Take over what docker has:
    docker save debian:bookworm | layerfs load

  See what this machine can do, and what it lacks:
    layerfs check

ENVIRONMENT:
  LAYERFS_ROOT, LAYERFS_RUNROOT, LAYERFS_LOG stand for --root, --runroot, --log-level.
  NO_COLOR turns colours off.";

/// Clap knows the words after the options as one list only.
const RUN_USAGE: &str = "layerfs run [OPTIONS] IMAGE [COMMAND...]
       layerfs run [OPTIONS] --rootfs DIR COMMAND...";

const CREATE_USAGE: &str = "layerfs create [OPTIONS] IMAGE [COMMAND...]
       layerfs create [OPTIONS] --rootfs DIR COMMAND...";

/// Keep container images as content-addressed layers
#[derive(Debug, Parser)]
#[command(name = "layerfs", bin_name = "layerfs", version, long_about = ABOUT, after_long_help = EXAMPLES)]
#[command(max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Keep images and layers in DIR
    ///
    /// The default is /var/lib/layerfs for root, otherwise $XDG_DATA_HOME/layerfs or ~/.local/share/layerfs.
    #[arg(long, global = true, value_name = "DIR", env = "LAYERFS_ROOT", hide_env_values = true)]
    #[arg(value_parser = clap::builder::OsStringValueParser::new())]
    pub root: Option<OsString>,

    /// Keep what may be gone after a reboot in DIR
    ///
    /// The default is /run/layerfs for root, otherwise $XDG_RUNTIME_DIR/layerfs.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "LAYERFS_RUNROOT",
        hide_env_values = true
    )]
    #[arg(value_parser = clap::builder::OsStringValueParser::new())]
    pub runroot: Option<OsString>,

    /// Say more, or less, of what goes on inside
    #[arg(long, global = true, value_name = "LEVEL", env = "LAYERFS_LOG", hide_env_values = true)]
    #[arg(default_value = "warn")]
    pub log_level: LogLevel,
}

/// The words of a verb. Clap makes those of each verb that [`parse`] does not know to be beside the point: to make them all
/// takes as long as much else of a container's start, and each process of ours would.
#[derive(Debug)]
pub struct Words<A>(pub A);

thread_local! {
    /// The verb that is said, while words are parsed for it alone.
    static SAID: RefCell<Option<OsString>> = const { RefCell::new(None) };
}

/// What the words say.
pub fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let Some(at) = place_of_verb(words) else { return Cli::try_parse_from(words) };
    SAID.set(Some(words[at].clone()));
    let parsed = Cli::try_parse_from(words);
    SAID.set(None);
    // Help, and what is wrong with the words, is told by one who knows all of them.
    parsed.or_else(|_| Cli::try_parse_from(words))
}

fn is_beside_the_point(verb: &clap::Command) -> bool {
    SAID.with_borrow(|said| said.as_ref().is_some_and(|said| said != verb.get_name()))
}

impl<A> Deref for Words<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A: Args> Args for Words<A> {
    fn group_id() -> Option<clap::Id> {
        A::group_id()
    }

    fn augment_args(verb: clap::Command) -> clap::Command {
        if is_beside_the_point(&verb) { verb } else { A::augment_args(verb) }
    }

    fn augment_args_for_update(verb: clap::Command) -> clap::Command {
        A::augment_args_for_update(verb)
    }
}

impl<A: FromArgMatches> FromArgMatches for Words<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches(matches).map(Words)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Everything layerfs can be told to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring an image into the store
    Pull(Words<pull::PullArgs>),
    /// Bring all images of an archive into the store
    Load(Words<load::LoadArgs>),
    /// Write an image to an OCI layout or an archive
    Push(Words<push::PushArgs>),
    /// Write images to an archive, as docker save does
    Save(Words<save::SaveArgs>),
    /// Make an image of one layer from a root file system
    Import(Words<import::ImportArgs>),
    /// List images
    Images(Words<images::ImagesArgs>),
    /// List the layers of an image, and what each takes
    Layers(Words<layers::LayersArgs>),
    /// Show the steps that made an image
    History(Words<history::HistoryArgs>),
    /// Show all that is known of images, as JSON
    Inspect(Words<inspect::InspectArgs>),
    /// Give an image another name
    Tag(Words<tag::TagArgs>),
    /// Remove images, or names of images
    Rmi(Words<rmi::RmiArgs>),
    /// Run a command in a container of its own
    #[command(override_usage = RUN_USAGE)]
    Run(Words<words::RunArgs>),
    /// Run a further command in a container that runs
    Exec(Words<exec::ExecArgs>),
    /// Make a container, to be started some time
    #[command(override_usage = CREATE_USAGE, after_long_help = words::CREATE_EXAMPLES)]
    Create(Words<words::RunArgs>),
    /// Start containers that were made, or have ended
    Start(Words<start::StartArgs>),
    /// End containers: they are asked, and killed when they do not
    Stop(Words<stop::StopArgs>),
    /// Send containers a signal
    Kill(Words<stop::KillArgs>),
    /// Stop containers and start them again
    Restart(Words<stop::RestartArgs>),
    /// Show what containers take of the machine
    Stats(Words<stats::StatsArgs>),
    /// Show the processes of a container
    Top(Words<top::TopArgs>),
    /// Have containers stand still
    Pause(Words<pause::PauseArgs>),
    /// Let containers go on that were paused
    Unpause(Words<pause::UnpauseArgs>),
    /// Change the limits of containers, running or not
    Update(Words<update::UpdateArgs>),
    /// Wait until containers have ended, and print how
    Wait(Words<wait::WaitArgs>),
    /// Show what a container in the background has written
    Logs(Words<logs::LogsArgs>),
    /// Show where the published ports of a container are reached
    Port(Words<port::PortArgs>),
    /// Give a container another name
    Rename(Words<rename::RenameArgs>),
    /// Copy files from a container, or into one
    Cp(Words<cp::CpArgs>),
    /// Work on a container's files: what `cp` starts
    #[command(hide = true)]
    Copier(Words<copier::CopierArgs>),
    /// List the networks that containers can have
    Network(Words<network::verb::NetworkVerbArgs>),
    /// Make, list and remove volumes, which outlive containers
    Volume(Words<volume::VolumeArgs>),
    /// Stand by a container: what `run -d` and `start` start
    #[command(hide = true)]
    Supervise(Words<supervise::SuperviseArgs>),
    /// Mount an image as a merged tree, or list mounts
    Mount(Words<make::MountArgs>),
    /// Take mounts away
    Umount(Words<umount::UmountArgs>),
    /// Work on writable layers
    Upper(Words<normalize::UpperArgs>),
    /// Serve one mount: what `mount` starts
    #[command(hide = true)]
    Serve(Words<serve::ServeArgs>),
    /// List containers
    Ps(Words<ps::PsArgs>),
    /// Remove containers, with what they wrote
    Rm(Words<rm::RmArgs>),
    /// Show what a container or a mount changed
    Diff(Words<diff::DiffArgs>),
    /// Make an image of what a container or a mount changed
    Commit(Words<commit::CommitArgs>),
    /// Keep a container still: what `commit` starts
    #[command(hide = true)]
    Still(Words<still::StillArgs>),
    /// Show what the store takes on disk
    Df(Words<df::DfArgs>),
    /// Remove what nothing uses any more
    Gc(Words<gc::GcArgs>),
    /// Prove that all contents of the store are what they were
    Fsck(Words<fsck::FsckArgs>),
    /// Work on the store as a whole
    System(Words<verbs::SystemArgs>),
    /// Show where things are, and how many
    Info(Words<info::InfoArgs>),
    /// Show what this machine can do, and the cure for what it can't
    Check(Words<check::CheckArgs>),
    /// Measure layerfs beside what else is here
    Bench(Words<verb::BenchArgs>),
    /// Print completions for a shell
    Completion(Words<completion::CompletionArgs>),
    /// Write the manual pages
    #[command(hide = true)]
    Man(Words<man::ManArgs>),
}

/// The command line as clap sees it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The command line without the variables that stand for options: what a message about the user's words goes by, since
/// clap shows an option that the environment gives as if it had to be written.
pub fn command_without_environment() -> clap::Command {
    command().mut_args(|argument| argument.env(None::<&'static str>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_in_the_definitions() {
        command().debug_assert();
    }

    /// To make the words of all verbs takes longer than to start a process.
    #[test]
    fn words_are_made_of_the_verb_that_is_said_alone() {
        SAID.set(Some("run".into()));
        let made = command();
        SAID.set(None);
        for verb in made.get_subcommands() {
            let has_words = verb.get_arguments().next().is_some();
            assert_eq!(has_words, verb.get_name() == "run", "{}", verb.get_name());
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_one_who_knows_all_words() {
        for said in [
            "run --no-such",
            "rum x",
            "run --help",
            "help run",
            "--log-level debug kill",
            "-- run x",
        ] {
            let words: Vec<OsString> =
                ["layerfs"].into_iter().chain(said.split(' ')).map(OsString::from).collect();
            let whole = Cli::try_parse_from(&words).unwrap_err().to_string();
            assert_eq!(parse(&words).unwrap_err().to_string(), whole, "{said}");
        }
        let words = ["layerfs", "--root=run", "kill", "-s", "HUP", "x"].map(OsString::from);
        assert!(matches!(parse(&words).unwrap().verb, Verb::Kill(_)));
    }

    #[test]
    fn every_verb_has_examples_and_says_what_it_does() {
        for verb in command().get_subcommands() {
            let help = verb.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("EXAMPLES:\n"), "{}: {help}", verb.get_name());
            assert!(help.contains(&format!("layerfs {}", verb.get_name())), "{}", verb.get_name());
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn every_option_and_argument_is_explained() {
        for verb in command().get_subcommands() {
            for argument in verb.get_arguments() {
                let name = argument.get_id();
                assert!(argument.get_help().is_some(), "{} {name}", verb.get_name());
            }
        }
    }
}
