//! `layerfs run`: a command in a container of its own.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Exited, Keep, Living, State};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::process::start_ticks;
use layerfs_runtime::cgroup::{Cgroup, CgroupError};
use layerfs_runtime::{ContainerSpec, Ended, Request, RunError, Running, Signals};

use super::asked::{Asked, From, asked, config_of, new_container, root_of, said};
use super::network::{self, Held};
use super::process::process;
use super::server::{self, Started};
use super::sweep::sweep;
use super::words::RunArgs;
use super::{files, oom, sealed};
use crate::mount::owners::Owners;
use crate::mount::serve::{Flag, ServeArgs};
use crate::output::message;
use crate::session::{Misused, Outcome, Session};

/// How long a container believes what it has seen of a directory of the host's.
const LIVE_TIMEOUT_MS: u64 = 1_000;

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
    sweep(&store, session.roots())?;
    let kept = network::keep(&asked.network, session.roots())?;
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
    let made = Held::begin(&asked.network, kept, &living, roots).and_then(|held| {
        let (spec, serve) = make(args, &asked, (&living, &store, &held), hidden)?;
        let joined = asked.network.mode.joined();
        let begun = begin((&spec, joined), &serve, &living, &cgroup, (session, signals))?;
        Ok((begun, held))
    });
    let (ended, started_ms) = match made {
        Ok(((running, server), held)) => {
            let watched = watch(running, server, &living, &cgroup);
            told(held.end());
            watched
        }
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

/// The directories and files of the container, and how it is to be run and served.
fn make(
    args: &RunArgs,
    asked: &Asked<'_>,
    (living, store, held): (&Living, &Store, &Held),
    hidden: Vec<PathBuf>,
) -> Result<(ContainerSpec, ServeArgs)> {
    let upper = dir::path_of(living.make_dir("upper")?)?;
    let work = dir::path_of(living.make_dir("work")?)?;
    let files = files::make(living, store, &asked.network, held)?;
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
        network: held.network().clone(),
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
    (spec, joined): (&ContainerSpec, Option<&OwnedFd>),
    serve: &ServeArgs,
    living: &Living,
    cgroup: &Cgroup,
    (session, signals): (&Session, Signals),
) -> Result<(Running, Started)> {
    let (mut server, channel) = server::start(serve, session)?;
    // Something must lie under the root, and this is looked for by nobody in there.
    let place = dir::path_of(living.dir())?.join("work");
    let started = cgroup.add_server(server.pid()).map_err(RunError::Limits).and_then(|()| {
        layerfs_runtime::start(Request {
            spec,
            cgroup,
            place: &place,
            server: channel,
            signals,
            network: joined,
        })
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
