//! One life of a container: from its record to its first process, and to what is left when that has ended.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use layerfs_driver::store::container::{Exited, Keep, Living, State};
use layerfs_driver::store::{Fill, Store, StoreError};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::process::start_ticks;
use layerfs_runtime::cgroup::{Cgroup, CgroupError, Room};
use layerfs_runtime::spec::{Contents, First, Network, Users, Volume};
use layerfs_runtime::{ContainerSpec, Ended, Log, Request, RunError, Running, Signals, Without};

use super::asked::{Asked, From, config_of, root_of, said};
use super::ids::Taken;
use super::network::words::say_none;
use super::network::{Held, Wanted};
use super::process::process;
use super::server::{self, Started};
use super::supervise::words_of;
use super::volumes::Copies;
use super::words::{RunArgs, UsersWord};
use super::{exits, files, ids, oom, subordinate, sysctls, volume};
use crate::mount::owners::Owners;
use crate::mount::serve::{Flag, ServeArgs};
use crate::output::message;
use crate::session::Session;

/// How long a container believes what it has seen of a directory of the host's.
const LIVE_TIMEOUT_MS: u64 = 1_000;

/// What a container was before it was to live.
#[derive(Debug)]
pub enum Before {
    /// Nothing: it was made for this life.
    Nothing,
    /// A container that was in this state.
    Was(State),
}

/// How one is to live.
pub struct Life<'a> {
    /// The words it was made with.
    pub args: &'a RunArgs,
    /// What they ask for.
    pub asked: &'a Asked<'a>,
    /// This run of the command.
    pub session: &'a Session,
    /// Its store.
    pub store: &'a Store,
    /// What it was before.
    pub before: Before,
}

impl Life<'_> {
    /// Has it live, and answers its exit status. `ready` is called when its program runs and that is known to all.
    pub fn live(&self, mut living: Living, log: Option<Log>, ready: impl FnOnce()) -> Result<u8> {
        let (volumes, fills) = match self.volumes() {
            Ok(volumes) => volumes,
            Err(error) => {
                self.put_back(living, &error);
                return Err(error);
            }
        };
        // Not before: until there is something to clear up, a signal ends this command as any other, also where it waits.
        let signals = match Signals::take() {
            Ok(signals) => signals,
            Err(error) => return Err(self.take_back(living, error.into())),
        };
        let mut held = match Held::begin(&self.asked.network, &living, self.session.roots()) {
            Ok(held) => held,
            Err(error) => return Err(self.take_back(living, error)),
        };
        // Room is made until all of it is over.
        let (cgroup, _room) = match self.cgroup(&mut living) {
            Ok(made) => made,
            Err(error) => {
                return Err(match error.downcast_ref() {
                    // Of another one: a sweep would end it.
                    Some(CgroupError::Exists(_)) => {
                        self.put_back(living, &error);
                        error
                    }
                    _ => self.take_back(living, error),
                });
            }
        };
        let (users, ids) = match self.users(&living) {
            Ok(users) => users,
            Err(error) => return Err(self.take_back(living, error)),
        };
        let made = self.make((&living, &held), volumes, users).and_then(|(spec, serve)| {
            let place = match users {
                Users::Hosts => dir::path_of(living.dir())?.join("work"),
                // Its root may not go there; in a mount namespace of its own this does as well.
                Users::Own(_) | Users::Callers(_) => "/".into(),
            };
            let (mut server, channel) = server::start(&serve, self.session, cgroup.server_entry())?;
            let spec = &spec;
            let moved = server.to_move().map_or(Ok(()), |pid| cgroup.move_server(pid));
            let started = moved.map_err(RunError::Limits).and_then(|()| {
                let (cgroup, place) = (&cgroup, place.as_path());
                let wanted = &self.asked.network;
                let mut alone = Alone { living: &living, wanted, held: &mut held };
                layerfs_runtime::start(Request {
                    spec,
                    cgroup,
                    place,
                    server: channel,
                    signals,
                    held: ids.as_ref(),
                    network: wanted.mode.joined(),
                    without: wanted.mode.is_dispensable().then_some(&mut alone as _),
                    log,
                })
            });
            begun(started, &mut server).map(|running| (running, server))
        });
        match made {
            Ok((running, server)) => {
                let parts = (living, cgroup, fills);
                self.watch((running, held), server, parts, ready)
            }
            Err(error) => Err(self.take_back(living, error)),
        }
    }

    /// What was said of its memory, when it was made or since.
    fn memory_word(&self, living: &Living) -> Option<String> {
        let now = self.store.find_container(living.id().hex()).map_err(anyhow::Error::from);
        let now = now.and_then(|container| words_of(&container));
        let now = now.inspect_err(|error| tracing::debug!("the limits of a container: {error:#}"));
        let limits = now.map_or_else(|_| self.args.limits.clone(), |words| words.limits);
        limits.memory_word().map(str::to_owned)
    }

    /// Whose its users are, and what is to be held for as long as they are.
    fn users(&self, living: &Living) -> Result<(Users, Option<OwnedFd>)> {
        match (self.args.users(), host::rights()?) {
            (UsersWord::Host, _) => Ok((Users::Hosts, None)),
            (UsersWord::Auto, Rights::Root) => {
                let Taken { range, held } = ids::take(self.session, living.id())?;
                Ok((Users::Own(range), Some(held)))
            }
            (UsersWord::Auto, Rights::User | Rights::Namespace(_)) => {
                Ok((Users::Callers(subordinate::of_caller()?), None))
            }
        }
    }

    /// Its groups. Those of an earlier life that could not be removed when that ended go first, as do those by which limits were tried.
    fn cgroup(&self, living: &mut Living) -> Result<(Cgroup, Room)> {
        let room = Room::find()?;
        let below = room.host().given();
        if matches!(self.before, Before::Was(_)) {
            Cgroup::sweep(living.id().hex(), living.groups_below())?;
            if below.is_some() {
                Cgroup::sweep(living.id().hex(), below)?;
            }
        }
        living.note_groups_below(below)?;
        let cgroup = Cgroup::create_on(room.host(), living.id().hex(), &self.asked.limits)?;
        Ok((cgroup, room))
    }

    /// Stands by until it has ended, and says how it did.
    fn watch(
        &self,
        (running, held): (Running, Held),
        mut server: Started,
        (living, cgroup, fills): (Living, Cgroup, Vec<Fill>),
        ready: impl FnOnce(),
    ) -> Result<u8> {
        let (pid, started_ms) = (running.pid(), host::now_ms());
        let known = fills
            .into_iter()
            .try_for_each(Fill::done)
            .map_err(anyhow::Error::from)
            .and_then(|()| say_running(&living, (pid, started_ms), &held));
        // What can't be told of, and so not be ended by anybody, ends here; a volume that is not whole is no place to write.
        let ended = match &known {
            Ok(()) => {
                ready();
                running.supervise(Some(&cgroup))
            }
            Err(_) => running.kill().and_then(|()| running.supervise(Some(&cgroup))),
        };
        let ended = ended.map_err(anyhow::Error::from).and_then(|ended| known.map(|()| ended));
        if let Err(error) = cgroup.kill_all() {
            tracing::warn!("end what is left of the container: {error}");
        }
        server.reap();
        told(held.end());
        let oom_kills = cgroup.oom_kills().unwrap_or_else(|error| {
            tracing::warn!("whether memory ran out is not known: {error}");
            0
        });
        let removed = cgroup.remove().map_err(|error| message::error(&error.into()));
        if let Ok(ended) = ended {
            oom::tell(oom_kills, ended, living.name(), self.memory_word(&living));
        }
        let exit_code = ended.as_ref().map_or_else(status_of, |ended| exit_status(*ended));
        if self.asked.keep == Keep::Throwaway {
            exits::note(self.session.roots(), living.id(), exit_code);
            // By its record the next command finds its groups; those of a kept one go with it.
            if removed.is_err() {
                living.leave();
                return ended.map(exit_status);
            }
        }
        let (id, keep) = (living.id().clone(), self.asked.keep);
        let exited = Exited {
            exit_code,
            oom_killed: oom_kills > 0,
            started_ms: Some(started_ms),
            finished_ms: host::now_ms(),
            error: ended.as_ref().err().map(message::line_of).unwrap_or_default(),
        };
        told(self.end(living, exited));
        if keep == Keep::Throwaway {
            exits::forget(self.store, self.session.roots(), &id);
        }
        ended.map(exit_status)
    }

    /// Takes away what was made of a container that never ran. While its groups can't be removed its record stays.
    fn take_back(&self, living: Living, error: anyhow::Error) -> anyhow::Error {
        match Cgroup::sweep(living.id().hex(), living.groups_below()) {
            Ok(()) => self.put_back(living, &error),
            Err(left) => {
                message::error(&left.into());
                living.leave();
            }
        }
        error
    }

    /// Leaves a container that could not be started as it was before, and says why in its state.
    pub fn put_back(&self, living: Living, error: &anyhow::Error) {
        told(match &self.before {
            Before::Nothing => self.with_volumes(living, Living::discard),
            // Of one that goes when it has run the state is not kept.
            Before::Was(State::Idle) if self.asked.keep == Keep::Throwaway => living.set_aside(),
            Before::Was(state) => {
                let exited = Exited {
                    exit_code: status_of(error),
                    oom_killed: false,
                    started_ms: state.started_ms(),
                    finished_ms: host::now_ms(),
                    error: message::line_of(error),
                };
                self.end(living, exited)
            }
        });
    }

    /// Ends a container. Its volumes that nobody named go with a throwaway.
    fn end(&self, living: Living, exited: Exited) -> Result<(), StoreError> {
        match self.asked.keep {
            Keep::Kept => living.end(exited),
            Keep::Throwaway => self.with_volumes(living, |living| living.end(exited)),
        }
    }

    /// Removes a container with its volumes that nobody named: these go out of their place first, for its record is all that tells of
    /// them.
    fn with_volumes(
        &self,
        living: Living,
        removal: impl FnOnce(Living) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let unnamed = self.asked.volumes.iter().filter(|mounted| mounted.is_anonymous);
        let names: Vec<String> = unnamed.filter_map(|mounted| mounted.name.clone()).collect();
        let going = volume::take_anonymous(self.store, living.id(), &names);
        let removed = removal(living);
        // What is left of them is told, and is no failure of the container.
        told(going.remove(self.store).map(drop));
        removed
    }

    /// What of the host is shown, and the volumes among it held until they are filled. Volumes are made where they are not
    /// there yet: after the container's record, which keeps them from being removed.
    fn volumes(&self) -> Result<(Vec<Volume>, Vec<Fill>)> {
        let mut shown: Vec<Volume> =
            self.asked.volumes.iter().map(|mounted| mounted.volume.clone()).collect();
        // In one order everywhere, so that two that start do not wait for each other; and each once.
        let named = self.asked.volumes.iter().zip(0..).filter_map(|(mounted, at)| {
            let name = mounted.name.as_deref()?;
            let labels = if mounted.is_anonymous { volume::unnamed() } else { BTreeMap::new() };
            Some((name, (at, mounted.copies == Copies::Yes, labels)))
        });
        let mut fills = Vec::new();
        let mut named: Vec<(&str, (usize, bool, BTreeMap<String, String>))> = named.collect();
        named.sort();
        named.dedup_by_key(|(name, _)| *name);
        for (name, (at, copies, labels)) in named {
            self.store.make_volume(name, labels)?;
            if let Some(fill) = self.store.fill_volume(name, copies)? {
                shown[at].source.clone_from(&fill.path);
                shown[at].contents = Contents::OfPlace;
                fills.push(fill);
            }
        }
        Ok((shown, fills))
    }

    /// How its root is served, whatever it consists of.
    fn flags(&self, users: Users) -> Vec<Flag> {
        let mut flags = vec![Flag::NoSuid, Flag::NoDev, Flag::Everyone];
        if self.asked.keep == Keep::Throwaway {
            flags.push(Flag::Volatile);
        }
        flags.extend_from_slice(server::flags_for(users));
        flags
    }

    /// The directories and files of the container, and how it is to be run and served.
    fn make(
        &self,
        (living, held): (&Living, &Held),
        volumes: Vec<Volume>,
        users: Users,
    ) -> Result<(ContainerSpec, ServeArgs)> {
        let (args, asked) = (self.args, self.asked);
        let upper = dir::path_of(living.make_dir("upper")?)?;
        let work = dir::path_of(living.make_dir("work")?)?;
        let files = files::make((living, root_of(args)), self.store, &asked.network, held)?;
        let source = match &asked.from {
            From::Image { called, .. } => called.clone(),
            From::Rootfs(path) => path.to_string_lossy().into_owned(),
        };
        let (said, config) = (said(args, asked), config_of(&asked.from));
        let spec = ContainerSpec {
            hostname: living.hostname().to_owned(),
            process: process(&said, &config, living.hostname(), asked.streams)?,
            first: if args.init { First::Init } else { First::Program },
            source: source.clone(),
            root: root_of(args),
            volumes,
            tmpfs: asked.tmpfs.clone(),
            shm_bytes: asked.shm_bytes,
            sysctls: sysctls::with_usual(&asked.sysctls, held.network(), users),
            resource_limits: asked.resource_limits.clone(),
            oom_score_adj: args.limits.oom_score_adj(),
            devices: asked.devices.devices.clone(),
            walls: args.security.walls(),
            files,
            users,
            gains: args.security.gains(args.users()),
            capabilities: asked.capabilities,
            filters: asked.filters.clone(),
            network: held.network().clone(),
            input: asked.input,
            streams: asked.streams,
        };
        let mut flags = self.flags(users);
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
            hide: if args.rootfs.is_some() { hidden(self.session) } else { Vec::new() },
            timeout_ms,
            upper: Some(upper),
            work: Some(work),
            source,
            flags,
            propagation: None,
            owners: Owners::default(),
            bounds: asked.bounds,
            labels: Vec::new(),
            log: None,
            verbose: false,
        };
        Ok((spec, serve))
    }
}

/// A container that has no network after all.
#[derive(Debug)]
struct Alone<'a> {
    living: &'a Living,
    wanted: &'a Wanted,
    held: &'a mut Held,
}

impl Without for Alone<'_> {
    fn network(&mut self, name: &str, words: &str) {
        say_none(format_args!("{name}: {words}"));
        told(self.held.lose());
        told(files::rewrite(self.living, self.wanted, self.held));
    }
}

/// Places of this run that a container on a directory must not see.
pub fn hidden(session: &Session) -> Vec<PathBuf> {
    let roots = session.roots();
    let hidden = [roots.store.as_ref(), roots.run.as_ref()].into_iter().flatten();
    hidden.filter(|path| dir::open_path(path.as_path()).is_ok()).cloned().collect()
}

/// The container that was begun. A step of its own may have failed for want of its server, which knows why.
fn begun(started: Result<Running, RunError>, server: &mut Started) -> Result<Running> {
    let error = match started {
        Ok(running) => return Ok(running),
        Err(error) => error,
    };
    let words = match error {
        RunError::ServerEnded | RunError::Setup { .. } => server.last_words(),
        _ => None,
    };
    server.reap();
    Err(words.map_or_else(|| error.into(), |words| anyhow!("{words}")))
}

fn say_running(living: &Living, (pid, started_ms): (u32, u64), held: &Held) -> Result<()> {
    let pid_start_ticks = start_ticks(pid)?.unwrap_or_default();
    let has_no_network = *held.network() == Network::None;
    let running = State::Running { pid, pid_start_ticks, started_ms, has_no_network };
    Ok(living.set_state(&running)?)
}

/// Says what went wrong beside the container, whose own end is the answer.
fn told(beside: Result<(), impl Into<anyhow::Error>>) {
    if let Err(error) = beside {
        message::error(&error.into());
    }
}

/// The exit status that tells of a container that could not be made or watched.
pub fn status_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(RunError::Setup { status, .. }) => *status,
        Some(RunError::Interrupted(signal)) => 128_u8.saturating_add(*signal),
        _ => 125,
    }
}

pub fn exit_status(ended: Ended) -> u8 {
    match ended {
        Ended::Exited(status) => status,
        Ended::Killed(signal) => 128_u8.saturating_add(signal),
    }
}
