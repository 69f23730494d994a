//! `layerfs run`: a command in a container of its own.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use layerfs_driver::store::container::{Base, Exited, Keep, Living, NewContainer, State};
use layerfs_driver::store::oci::RunConfig;
use layerfs_driver::store::{Store, image::Image};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::process::start_ticks;
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::cgroup::{Cgroup, CgroupError, Limits};
use layerfs_runtime::seccomp::Filters;
use layerfs_runtime::spec::{
    Access, Input, Network, ResourceLimit, Streams, Sysctl, Tmpfs, Volume,
};
use layerfs_runtime::{ContainerSpec, Ended, Request, RunError, Running, Signals};

use super::details::Noted;
use super::limits::LimitArgs;
use super::process::{Said, process, read_environment};
use super::security::SecurityArgs;
use super::server::{self, Started};
use super::sweep::sweep;
use super::{files, oom, sealed, sysctls, tmpfs, volumes};
use crate::image::absent::find_to_use;
use crate::mount::owners::Owners;
use crate::mount::serve::{Flag, ServeArgs};
use crate::output::message;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs run --rm debian:bookworm cat /etc/os-release
  layerfs run --rm -it debian:bookworm bash
  layerfs run --rm --memory 50m --cpus 0.5 debian:bookworm sh -c 'cat /sys/fs/cgroup/memory.max'
  layerfs run --name web -v ./site:/srv:ro --network host debian:bookworm python3 -m http.server
  layerfs run --rm --rootfs / bash

The network is `none` unless said otherwise: a loopback and nothing else. Changes are kept with the container, which \
`layerfs ps -a` lists and `layerfs rm` removes; with --rm they go when it ends. A directory given by --rootfs is never \
changed: the container works on a copy that is made as it writes.

The exit status is that of the command, 128 and the signal's number where a signal ended it, 125 where the container \
could not be made, 126 where the command can't be executed, 127 where there is no such command.";

/// How long a container believes what it has seen of a directory of the host's.
const LIVE_TIMEOUT_MS: u64 = 1_000;

/// Which network a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NetworkWord {
    /// Its own: a loopback and nothing else
    None,
    /// The host's
    Host,
}

/// The words of `layerfs run`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RunArgs {
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// Call the container so
    #[arg(long)]
    name: Option<String>,
    /// What `hostname` says in it; the default is its short id
    #[arg(long)]
    hostname: Option<String>,
    /// Set a variable; without a value, the caller's own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the variables that a file has a line each for; those of --env come after them
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Start in this directory, made where it is missing
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    user: Option<String>,
    /// Run this instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Which network it sees
    #[arg(long, visible_alias = "net", value_enum, default_value = "none")]
    network: NetworkWord,
    /// Show a directory or file of the host at a place in the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<String>,
    /// Change a setting of the kernel that the container has of its own
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Mount a file system in memory at a place in the container
    #[arg(long, value_name = "TARGET[:OPTION,...]")]
    tmpfs: Vec<String>,
    /// Refuse changes of the container's root
    #[arg(long)]
    read_only: bool,
    /// Work on a copy of this directory instead of an image; no word is an image then
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    security: SecurityArgs,
    /// Name or id of the image, then the command and its words
    #[arg(value_name = "IMAGE [COMMAND", required = true, trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// What a container's files come from.
enum From {
    Image { image: Box<Image>, called: String },
    Rootfs(PathBuf),
}

/// What was asked for, understood and checked as far as can be without making anything.
struct Asked<'a> {
    from: From,
    words: &'a [OsString],
    environment: Vec<OsString>,
    hostname: Option<&'a str>,
    volumes: Vec<Volume>,
    tmpfs: Vec<Tmpfs>,
    shm_bytes: u64,
    sysctls: Vec<Sysctl>,
    limits: Limits,
    resource_limits: Vec<ResourceLimit>,
    capabilities: Capabilities,
    filters: Filters,
    keep: Keep,
    input: Input,
    streams: Streams,
    network: Network,
}

/// Runs the command, and answers as it ended.
pub fn run(args: &RunArgs, session: &Session) -> Result<Outcome> {
    let ended =
        need_root().and_then(|()| sealed::make_sure()).and_then(|()| contain(args, session));
    match ended {
        Ok(status) => Ok(Outcome::Status(status)),
        Err(error) if error.is::<Misused>() => Err(error),
        Err(error) => {
            message::error(&error);
            Ok(Outcome::Status(status_of(&error)))
        }
    }
}

/// Said before anything is tried: the first call that is refused would not say it.
fn need_root() -> Result<()> {
    if host::rights()? == Rights::Root {
        return Ok(());
    }
    bail!(
        "`layerfs run` needs root for now: user namespaces, which give other users containers, are not there yet; \
         start it as root, by sudo for example"
    )
}

fn status_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(RunError::Setup { status, .. }) => *status,
        Some(RunError::Interrupted(signal)) => 128_u8.saturating_add(*signal),
        _ => 125,
    }
}

fn contain(args: &RunArgs, session: &Session) -> Result<u8> {
    // A container on a directory needs no image, and may be the first that is kept there.
    let store = if args.rootfs.is_some() { session.store_to_fill()? } else { session.store()? };
    let asked = asked(args, &store)?;
    sweep(&store)?;
    let living = store.create_container(new_container(args, &asked)?)?;
    // Not before: until there is something to clear up, a signal ends this command as any other, also where it waits.
    let signals = Signals::take()?;
    let id = living.id().to_string();
    let cgroup = match Cgroup::create(&id, &asked.limits) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            match error {
                // Of another one: a sweep would end it.
                CgroupError::Exists(_) => told(living.discard()),
                _ => take_back(living),
            }
            return Err(error.into());
        }
    };
    let roots = session.roots();
    let hidden = [roots.store.as_ref(), roots.run.as_ref()].into_iter().flatten();
    let hidden = hidden.filter(|path| dir::open_path(path.as_path()).is_ok()).cloned().collect();
    let made = make(args, &asked, &living, hidden)
        .and_then(|(spec, serve)| begin(&spec, &serve, &living, &cgroup, (session, signals)));
    let (ended, started_ms) = match made {
        Ok((running, server)) => watch(running, server, &living, &cgroup),
        Err(error) => {
            take_back(living);
            return Err(error);
        }
    };
    let oom_kills = cgroup.oom_kills().unwrap_or_else(|error| {
        tracing::warn!("whether memory ran out is not known: {error}");
        0
    });
    let removed = cgroup.remove().map_err(|error| message::error(&error.into()));
    if let Ok(ended) = ended {
        oom::tell(oom_kills, ended, living.name(), &args.limits);
    }
    // By its record the next command finds its groups; those of a kept one go with it.
    if removed.is_err() && asked.keep == Keep::Throwaway {
        living.leave();
        return ended.map(exit_status);
    }
    told(living.end(Exited {
        exit_code: ended.as_ref().map_or_else(status_of, |ended| exit_status(*ended)),
        oom_killed: oom_kills > 0,
        started_ms: Some(started_ms),
        finished_ms: host::now_ms(),
        error: ended.as_ref().err().map(message::line_of).unwrap_or_default(),
    }));
    ended.map(exit_status)
}

/// Says what went wrong beside the container, whose own end is the answer.
fn told(beside: Result<(), impl Into<anyhow::Error>>) {
    if let Err(error) = beside {
        message::error(&error.into());
    }
}

fn asked<'a>(args: &'a RunArgs, store: &Store) -> Result<Asked<'a>> {
    let mut environment = read_environment(&args.env_file)?;
    environment.extend_from_slice(&args.env);
    let limits = args.limits.limits()?;
    let capabilities = args.security.capabilities()?;
    let filters = args.security.filters(capabilities)?;
    let volumes: Vec<Volume> =
        args.volume.iter().map(|words| volumes::read(words)).collect::<Result<_>>()?;
    let in_memory: Vec<Tmpfs> =
        args.tmpfs.iter().map(|words| tmpfs::read(words)).collect::<Result<_>>()?;
    tmpfs::refuse_twice(&volumes, &in_memory)?;
    if args.tty && args.interactive && !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        bail!("-it: standard input is no terminal; leave -t out, or -i");
    }
    let network = match args.network {
        NetworkWord::None => Network::None,
        NetworkWord::Host => Network::Host,
    };
    let (from, words) = match &args.rootfs {
        Some(path) => (From::Rootfs(rootfs(path)?), &args.words[..]),
        None => {
            let (first, rest) = args.words.split_first().context("an image is needed")?;
            let called = first.to_str().context("the image's name is not UTF-8")?;
            (
                From::Image {
                    image: Box::new(find_to_use(store, called)?.image),
                    called: called.to_owned(),
                },
                rest,
            )
        }
    };
    Ok(Asked {
        from,
        words,
        environment,
        hostname: args.hostname.as_deref().map_or(Ok(None), files::hostname)?,
        volumes,
        tmpfs: in_memory,
        shm_bytes: args.limits.shm_bytes()?,
        sysctls: args
            .sysctl
            .iter()
            .map(|words| sysctls::read(words, network))
            .collect::<Result<_>>()?,
        limits,
        resource_limits: args.limits.of_processes()?,
        capabilities,
        filters,
        keep: if args.rm { Keep::Throwaway } else { Keep::Kept },
        input: if args.interactive { Input::Caller } else { Input::Nothing },
        streams: if args.tty { Streams::Terminal } else { Streams::Caller },
        network,
    })
}

fn rootfs(path: &std::path::Path) -> Result<PathBuf> {
    let shown = || format!("--rootfs `{}`: give a directory that is there", path.display());
    Ok(dir::path_of(dir::open_path(path).with_context(shown)?)?)
}

/// The image's configuration; that of a directory says nothing.
fn config_of(from: &From) -> Cow<'_, RunConfig> {
    match from {
        From::Image { image, .. } => match &image.config.config {
            Some(config) => Cow::Borrowed(config),
            None => Cow::default(),
        },
        From::Rootfs(_) => Cow::default(),
    }
}

fn said<'a>(args: &'a RunArgs, asked: &'a Asked<'a>) -> Said<'a> {
    Said {
        words: asked.words,
        entrypoint: args.entrypoint.as_deref(),
        environment: &asked.environment,
        directory: args.workdir.as_deref(),
        user: args.user.as_deref(),
    }
}

fn root_of(args: &RunArgs) -> Access {
    if args.read_only { Access::ReadOnly } else { Access::ReadWrite }
}

fn new_container(args: &RunArgs, asked: &Asked<'_>) -> Result<NewContainer> {
    let base = match &asked.from {
        From::Image { image, called } => Base::image(image, called),
        From::Rootfs(path) => Base::rootfs(path),
    };
    let (said, config) = (said(args, asked), config_of(&asked.from));
    let noted = Noted {
        process: &process(&said, &config, "", asked.streams)?,
        entrypoint_len: said.entrypoint_len(&config),
        terminal: asked.streams == Streams::Terminal,
        limits: &asked.limits,
        network: asked.network,
        root: root_of(args),
        volumes: &asked.volumes,
        sysctls: &asked.sysctls,
        tmpfs: &args.tmpfs,
        shm_bytes: asked.shm_bytes,
        resource_limits: &asked.resource_limits,
        security: &args.security,
    };
    Ok(NewContainer {
        name: args.name.clone(),
        base,
        command: noted.command(),
        hostname: asked.hostname.map(str::to_owned),
        keep: asked.keep,
        details: noted.details(),
    })
}

/// The directories and files of the container, and how it is to be run and served.
fn make(
    args: &RunArgs,
    asked: &Asked<'_>,
    living: &Living,
    hidden: Vec<PathBuf>,
) -> Result<(ContainerSpec, ServeArgs)> {
    let upper = dir::path_of(living.make_dir("upper")?)?;
    let work = dir::path_of(living.make_dir("work")?)?;
    let files = files::make(living, asked.network)?;
    let source = match &asked.from {
        From::Image { called, .. } => called.clone(),
        From::Rootfs(path) => path.to_string_lossy().into_owned(),
    };
    let (said, config) = (said(args, asked), config_of(&asked.from));
    let spec = ContainerSpec {
        hostname: living.hostname().to_owned(),
        process: process(&said, &config, living.hostname(), asked.streams)?,
        source: source.clone(),
        root: root_of(args),
        volumes: asked.volumes.clone(),
        tmpfs: asked.tmpfs.clone(),
        shm_bytes: asked.shm_bytes,
        sysctls: asked.sysctls.clone(),
        resource_limits: asked.resource_limits.clone(),
        files,
        capabilities: asked.capabilities,
        filters: asked.filters.clone(),
        network: asked.network,
        input: asked.input,
        streams: asked.streams,
    };
    let mut flags = vec![Flag::NoSuid, Flag::NoDev, Flag::Everyone];
    if asked.keep == Keep::Throwaway {
        flags.push(Flag::Volatile);
    }
    let (image, lower, timeout_ms) = match &asked.from {
        From::Image { image, .. } => {
            flags.extend([Flag::Partial, Flag::Blocks]);
            (Some(image.id.to_string()), Vec::new(), None)
        }
        // It lives on while the container does.
        From::Rootfs(path) => (None, vec![path.clone()], Some(LIVE_TIMEOUT_MS)),
    };
    let serve = ServeArgs {
        mountpoint: None,
        image,
        lower,
        // The container's own writable layer lies there, and everybody else's.
        hide: if args.rootfs.is_some() { hidden } else { Vec::new() },
        timeout_ms,
        upper: Some(upper),
        work: Some(work),
        source,
        flags,
        propagation: None,
        owners: Owners::default(),
        labels: Vec::new(),
        log: None,
        verbose: false,
    };
    Ok((spec, serve))
}

fn begin(
    spec: &ContainerSpec,
    serve: &ServeArgs,
    living: &Living,
    cgroup: &Cgroup,
    (session, signals): (&Session, Signals),
) -> Result<(Running, Started)> {
    let (mut server, channel) = server::start(serve, session)?;
    // Something must lie under the root, and this is looked for by nobody in there.
    let place = dir::path_of(living.dir())?.join("work");
    let started = cgroup.add_server(server.pid()).map_err(RunError::Limits).and_then(|()| {
        layerfs_runtime::start(Request { spec, cgroup, place: &place, server: channel, signals })
    });
    match started {
        Ok(running) => Ok((running, server)),
        Err(error) => {
            // A step of the container's own may fail for want of its server, which knows why.
            let words = match error {
                RunError::ServerEnded | RunError::Setup { .. } => server.last_words(),
                _ => None,
            };
            server.reap();
            Err(words.map_or_else(|| error.into(), |words| anyhow!("{words}")))
        }
    }
}

/// Stands by until it has ended. Answers how, and when it began.
fn watch(
    running: Running,
    mut server: Started,
    living: &Living,
    cgroup: &Cgroup,
) -> (Result<Ended>, u64) {
    let started_ms = host::now_ms();
    let pid = running.pid();
    told(start_ticks(pid).map_err(anyhow::Error::from).and_then(|ticks| {
        let pid_start_ticks = ticks.unwrap_or_default();
        Ok(living.set_state(&State::Running { pid, pid_start_ticks, started_ms })?)
    }));
    let ended = running.supervise();
    if let Err(error) = cgroup.kill_all() {
        tracing::warn!("end what is left of the container: {error}");
    }
    server.reap();
    (ended.map_err(anyhow::Error::from), started_ms)
}

/// Takes away what was made of a container that never ran. While its groups can't be removed its record stays.
fn take_back(living: Living) {
    match Cgroup::sweep(living.id().hex()) {
        Ok(()) => told(living.discard()),
        Err(error) => {
            message::error(&error.into());
            living.leave();
        }
    }
}

fn exit_status(ended: Ended) -> u8 {
    match ended {
        Ended::Exited(status) => status,
        Ended::Killed(signal) => 128_u8.saturating_add(signal),
    }
}
