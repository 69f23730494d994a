//! The words of `layerfs run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::limits::LimitArgs;
use super::network::NetworkArgs;
use super::security::SecurityArgs;
use super::volumes::Shown;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs run --rm debian:bookworm cat /etc/os-release
  layerfs run --rm -it debian:bookworm bash
  layerfs run --rm --memory 50m --cpus 0.5 debian:bookworm sh -c 'cat /sys/fs/cgroup/memory.max'
  layerfs run --name web -v ./site:/srv:ro -p 8080:8000 debian:bookworm python3 -m http.server -d /srv
  layerfs run --rm --rootfs / bash
  layerfs run -d --name job debian:bookworm sh -c 'sleep 60; echo done'
  layerfs logs -f job

The network is `bridge` unless said otherwise: an address of its own and a way out, which `nft` is needed for; without it, \
and with --network none, a loopback and nothing else. For who is not root `pasta` or `slirp4netns` does the same. \
Changes are kept with the container, which `layerfs ps -a` lists and `layerfs rm` removes; with --rm they go when it ends. A directory given by --rootfs is never \
changed: the container works on a copy that is made as it writes.

The exit status is that of the command, 128 and the signal's number where a signal ended it, 125 where the container \
could not be made, 126 where the command can't be executed, 127 where there is no such command.";

/// What stands below the help of `create`.
pub const CREATE_EXAMPLES: &str = "\
EXAMPLES:
  layerfs create --name web debian:bookworm python3 -m http.server
  layerfs start web

All options are those of `layerfs run`. The container's id is printed; it runs when `layerfs start` says so.";

/// Whose users those of a container are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum UsersWord {
    /// Its own, in a user namespace
    #[default]
    Auto,
    /// The host's
    Host,
}

/// The words of `layerfs run`.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[command(after_long_help = EXAMPLES, disable_help_flag = true)]
#[serde(default)]
pub struct RunArgs {
    /// Print help; -h is --hostname, as docker has it
    #[arg(long, action = clap::ArgAction::HelpLong)]
    #[serde(skip)]
    pub help: Option<bool>,
    /// Remove the container when it ends, and its volumes that nobody named
    #[arg(long)]
    pub rm: bool,
    /// Leave it in the background, and print its id
    #[arg(short, long)]
    pub detach: bool,
    /// Pass standard input on; in the background it stays open, and nothing comes
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    pub tty: bool,
    /// Print nothing of a pull; taken for docker's sake, nothing is pulled here
    #[arg(short, long)]
    #[serde(skip)]
    pub quiet: bool,
    /// When to pull the image: `missing` and `never` change nothing, `layerfs pull` brings one
    #[arg(long, value_name = "WHEN", value_parser = pull)]
    #[serde(skip)]
    pub pull: Option<String>,
    /// When to start it again by itself: `no` is all there is
    #[arg(long, value_name = "WHEN", value_parser = restart)]
    #[serde(skip)]
    pub restart: Option<String>,
    /// Call the container so
    #[arg(long)]
    pub name: Option<String>,
    /// Write its id into a new file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// Signal by which `stop` asks it to end; the image's own, or TERM, where nothing is said
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// How long `stop` waits for its end; -1 waits without end
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stop_timeout: Option<i64>,
    /// Note a word about the container
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub label: Vec<String>,
    /// What `hostname` says in it; the default is its short id
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// Set a variable; without a value, the caller's own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// Set the variables that a file has a line each for; those of --env come after them
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Start in this directory, made where it is missing
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    pub user: Option<String>,
    /// Run this instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Whose users its own are: `auto`, which is usual, gives it ids of its own, which nobody has on the host, or
    /// those of the user who is not root; `host` is usual with --privileged
    #[arg(long, value_enum)]
    pub userns: Option<UsersWord>,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Show a directory or file of the host, or a volume by its name, at a place in the container; a place alone has a
    /// volume without a name
    #[arg(short, long, value_name = "[SOURCE|NAME:]TARGET[:ro]")]
    pub volume: Vec<String>,
    /// The same in docker's longer words: type=bind|volume|tmpfs,source=…,target=…
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub mount: Vec<String>,
    /// Change a setting of the kernel that the container has of its own
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// Mount a file system in memory at a place in the container
    #[arg(long, value_name = "TARGET[:OPTION,...]")]
    pub tmpfs: Vec<String>,
    /// Have a process of ours be its first, which hands signals on and takes away what has ended
    #[arg(long)]
    pub init: bool,
    /// Refuse changes of the container's root
    #[arg(long)]
    pub read_only: bool,
    /// Work on a copy of this directory instead of an image; no word is an image then
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<OsString>,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub security: SecurityArgs,
    /// What was shown by volumes and mounts when it was made, in no user's words.
    #[arg(skip)]
    pub shown: Vec<Shown>,
    /// Variables that the caller had not when it was made.
    #[arg(skip)]
    pub unset: Vec<OsString>,
    /// Name or id of the image, then the command and its words
    #[arg(value_name = "IMAGE|COMMAND", help_heading = None::<&str>, required = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

/// Docker's words for when an image is pulled that change nothing where none is.
fn pull(word: &str) -> Result<String, &'static str> {
    match word {
        "never" | "missing" => Ok(word.to_owned()),
        "always" => Err("nothing is pulled here; say `layerfs pull` first, and leave --pull out"),
        _ => Err("there are never and missing"),
    }
}

/// Docker's word for a container that nobody starts again.
fn restart(word: &str) -> Result<String, &'static str> {
    match word {
        "no" => Ok(word.to_owned()),
        _ => Err(
            "nothing starts a container again by itself; `layerfs start` does when it is called, and `no` is taken",
        ),
    }
}

impl RunArgs {
    /// Whose users its own are.
    pub fn users(&self) -> UsersWord {
        match (self.userns, self.security.is_privileged()) {
            (Some(said), _) => said,
            (None, true) => UsersWord::Host,
            (None, false) => UsersWord::Auto,
        }
    }
}
