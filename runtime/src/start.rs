//! Starting a container: its first process made, put within its limits, and watched until it has become its program.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use layerfs_driver::sys::SysError;

use crate::around::Around;
use crate::build::{self, Given};
use crate::carry::{self, Carriers};
use crate::cgroup::{Cgroup, CgroupError};
use crate::keeper;
use crate::log::Log;
use crate::network::helped::{self, Helped};
use crate::network::{self, NetworkError};
use crate::outside::{Outside, open_files};
use crate::plan::plan;
use crate::served;
use crate::signals::Signals;
use crate::spec::{ContainerSpec, First, Input, Network};
use crate::supervise::{Ended, SERVER_END_MAX};
use crate::sys::namespace::Visit;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{channel as ends, namespace, signals, watch};

/// How long a program may take until the container has its network.
const HELPER_START_MAX: Duration = Duration::from_secs(20);

/// The exit status of a first process that panics: like any container that could not be made.
pub(crate) const PANIC_STATUS: u8 = 125;

/// The process that serves the root.
#[derive(Debug)]
pub struct Server {
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// The end of a channel whose other end it has: the root's device goes through it.
    pub channel: OwnedFd,
}

impl Server {
    /// A started process of ours that has not been waited for, and our end of its channel.
    pub fn new(pid: u32, channel: OwnedFd) -> Result<Self, RunError> {
        Ok(Server { pidfd: process::open(pid).map_err(RunError::Serving)?, channel })
    }
}

/// What is to be done for a container that has no network after all.
pub trait Without: std::fmt::Debug {
    /// Does it, before anything of the container can look. `name` is the program that gives it none, `words` why.
    fn network(&mut self, name: &str, words: &str);
}

/// What a container is made of.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it is to be.
    pub spec: &'a ContainerSpec,
    /// What limits it.
    pub cgroup: &'a Cgroup,
    /// A directory to attach its root at; only the container sees it there.
    pub place: &'a Path,
    /// Who serves its root.
    pub server: Server,
    /// The signals to pass on.
    pub signals: Signals,
    /// What the process that serves its root is to hold until that goes.
    pub held: Option<&'a OwnedFd>,
    /// The network to join, where it is to be one that is there already.
    pub network: Option<&'a OwnedFd>,
    /// Where a program gives it no network, it is to be without one, and this is told; nothing where that is an error.
    pub without: Option<&'a mut dyn Without>,
    /// What takes its output where nobody looks; the caller's streams are left alone then.
    pub log: Option<Log>,
}

/// Why a container could not be started, or not be watched.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A call on processes or channels was refused.
    #[error("start the container: {0}")]
    Process(#[source] SysError),
    /// What is to serve its root can't be reached.
    #[error("start the process that serves the container's file system: {0}")]
    Serving(#[source] SysError),
    /// Signals can't be passed on to it.
    #[error("take over the signals that are sent to this command: {0}")]
    Signals(#[source] SysError),
    /// The kernel gives it no users of its own.
    #[error("give the container users of its own: {0}; `--userns host` gives it the host's")]
    Users(#[source] SysError),
    /// The kernel gives it none to a user.
    #[error(
        "give the container users of its own: {0}; the kernel may keep user namespaces from users (user.max_user_namespaces, \
         kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns of sysctl(8)): let it allow them, or run \
         as root"
    )]
    NoUsers(#[source] SysError),
    /// A program that gives ids did not.
    #[error(
        "give the container the ids that /etc/subuid and /etc/subgid say: {name}: {words}; it has to be as the package uidmap \
         installs it, and ids that the lists give to this user"
    )]
    Mapper {
        /// The program.
        name: &'static str,
        /// What it said.
        words: String,
    },
    /// What is to be shown can't be shown to them.
    #[error(
        "volume `{}`: {}, or one that is mounted in it, can't be shown with ids of the container's own users: {source}; \
         `--userns host` gives it the host's",
        volume.display(),
        if crate::sys::mounts::is_missing(source) { "no file system of this kernel" } else { "its file system" }
    )]
    Unmappable {
        /// Where it is on the host.
        volume: PathBuf,
        /// The refused call.
        source: SysError,
    },
    /// What is to be shown can't be had.
    #[error("take `{}` of the host: {source}", volume.display())]
    Untaken {
        /// Where it is on the host.
        volume: PathBuf,
        /// The refused call.
        source: SysError,
    },
    /// A device that it is given can't be made.
    #[error("give the container devices (--device): {0}")]
    Devices(#[source] SysError),
    /// It can't be put within its limits.
    #[error(transparent)]
    Limits(CgroupError),
    /// It can't be connected.
    #[error(transparent)]
    Network(NetworkError),
    /// The kernel is not to be told so how soon it ends the container's processes.
    #[error(
        "--oom-score-adj: {0}; less than this command's own (/proc/self/oom_score_adj) takes CAP_SYS_RESOURCE"
    )]
    OomScore(#[source] SysError),
    /// The container's first process said why.
    #[error("{reason}")]
    Setup {
        /// The exit status: 125, 126 or 127.
        status: u8,
        /// What it said.
        reason: String,
    },
    /// A stream that the container may not have.
    #[error("{0} is a directory: a container could leave by it")]
    Stream(&'static str),
    /// The process that serves the root ended first.
    #[error("the process that serves the container's file system has ended")]
    ServerEnded,
    /// The process that serves the root ended while the program ran.
    #[error("the container has lost its file system: the process that serves it {0}")]
    ServerLost(Ended),
    /// The container has ended.
    #[error("the container has ended")]
    ContainerEnded,
    /// It stands still, and so would whoever enters it.
    #[error("the container is paused; `layerfs unpause` lets it go on")]
    Paused,
    /// The process that was to go inside ended without a word.
    #[error("the process that was to enter the container was killed")]
    Entering,
    /// A signal asked to end before the program ran.
    #[error("ended by signal {0} before the program ran")]
    Interrupted(u8),
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Running {
    pub(crate) child: Child,
    /// The process around it; none around a further one.
    pub(crate) _around: Option<Around>,
    /// Who tells how it ended, where it is another's child.
    pub(crate) told: Option<OwnedFd>,
    /// The process that serves its root; none where others stand by that one.
    pub(crate) server: Option<OwnedFd>,
    /// Held until the end: by its closing the serving process knows that this process is gone, or that nothing comes.
    pub(crate) to_server: Option<OwnedFd>,
    pub(crate) signals: Signals,
    pub(crate) input: Input,
    /// The other end of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// What carries the caller's streams.
    pub(crate) carriers: Carriers,
    pub(crate) log: Option<Log>,
    pub(crate) oom_score_adj: Option<i16>,
    pub(crate) first: First,
    /// What stands by the program that gives it its network.
    pub(crate) helped: Option<Helped>,
}

/// Which network a container is to have, and what is done where it can't.
type Networked<'a> = (&'a Network, Option<&'a mut dyn Without>);

/// A channel to the process that serves a root, its end the second; both close on exec.
pub fn channel() -> Result<(OwnedFd, OwnedFd), RunError> {
    ends::pair().map_err(RunError::Serving)
}

/// Makes the container, and returns when its program runs. The caller has one thread.
pub fn start(request: Request<'_>) -> Result<Running, RunError> {
    let Request { spec, cgroup, place, server, signals, network, without, log, held } = request;
    let Server { pidfd: server, channel } = server;
    let steps = plan(spec);
    let view = cgroup.view();
    let (carriers, ends) = carry::part(spec, log.as_ref())?;
    let mut outside = Outside::new(spec, &steps);
    outside.give_ends(&ends)?;
    let (ours, report) = ends::pair().map_err(RunError::Process)?;
    let own_network = match spec.network {
        Network::None | Network::Bridge(_) | Network::Helped(_) => namespace::NETWORK,
        Network::Host | Network::Joined => 0,
    };
    // The child begins in it: everything of a network that is made for it later fits.
    let joined = network.map(Visit::begin).transpose().map_err(RunError::Process)?;
    outside.take_sys(&spec.network)?;
    outside.make_devices(&spec.devices)?;
    let namespaces = outside.namespaces() | own_network;
    let mut entry = cgroup.payload_entry();
    let around = Around::start(spec.users).map_err(RunError::Process)?;
    let files = open_files(spec)?;
    match around.fork_within(namespaces, &mut entry).map_err(|error| outside.of_fork(error))? {
        Forked::Child => {
            let _here = EndsHere { status: PANIC_STATUS };
            around.leave();
            if let Some(visit) = joined {
                visit.stay();
            }
            drop((ours, carriers));
            let server = Some(channel);
            let given = Given { spec, view: &view, place, report, ends, server, files, entry };
            build::walk(&steps, given)
        }
        Forked::Parent(child) => {
            drop((report, ends, files, entry));
            let back = joined.map_or(Ok(()), Visit::end);
            let handed = back
                .and_then(|()| served::hand_first(&channel, &child.pidfd))
                .and_then(|()| held.map_or(Ok(()), |held| served::hand_held(&channel, held)))
                .map_err(RunError::Process);
            let mut running = Running {
                child,
                _around: Some(around),
                told: None,
                server: Some(server),
                to_server: Some(channel),
                signals,
                input: spec.input,
                terminal: None,
                carriers,
                log,
                oom_score_adj: spec.oom_score_adj,
                first: spec.first,
                helped: None,
            };
            let network = (&spec.network, without);
            match handed.and_then(|()| running.settle(cgroup, (&mut outside, network), &ours)) {
                Ok(()) => Ok(running),
                Err(error) => {
                    running.give_up(&error)?;
                    Err(error)
                }
            }
        }
    }
}

impl Running {
    /// Ends it at once. Whoever stands by is told as of any end.
    pub fn kill(&self) -> Result<(), RunError> {
        process::signal(&self.child.pidfd, signals::KILL).map_err(RunError::Process)
    }

    /// The container's first process, as the host numbers it.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Puts the first process within its limits, lets it go on, and waits until it is its program.
    fn settle(
        &mut self,
        cgroup: &Cgroup,
        (outside, (network, mut without)): (&mut Outside<'_>, Networked<'_>),
        report: &OwnedFd,
    ) -> Result<(), RunError> {
        // The program whose word is awaited that the container has its network.
        let mut awaited = None;
        loop {
            let ready = self.await_word(report, awaited.as_ref())?;
            let is_late = !ready.contains(&true);
            // First: what is being made is not worth its end any more.
            if ready[0] {
                self.heed_signals()?;
            } else if ready[1] {
                match ends::receive(report, build::MESSAGE_MAX).map_err(RunError::Process)? {
                    // It closed on exec, or with the process, which then tells by its status.
                    None => return Ok(()),
                    Some((_, Some(terminal))) => self.terminal = Some(terminal),
                    Some((words, None)) if [build::OPENED, build::WITHIN].contains(&&words[..]) => {
                        self.limit(cgroup, outside, words == build::WITHIN)?;
                        awaited = self.connect(network)?;
                        if awaited.is_none() {
                            ends::send(report, b"g", None).map_err(RunError::Process)?;
                        }
                    }
                    Some((words, None)) if words == build::ASKED => {
                        let mount = outside.take_next(self.child.pid)?;
                        ends::send(report, b"m", Some(mount.as_fd())).map_err(RunError::Process)?;
                    }
                    Some((words, None)) => return Err(said(&words)),
                }
            } else if ready[2] {
                return Err(RunError::ServerEnded);
            } else if let Some(helped) = awaited.take() {
                let heard =
                    if is_late { Err(helped.late(HELPER_START_MAX)) } else { helped.hear() };
                match (heard, &mut without) {
                    (Ok(()), _) => self.helped = Some(helped),
                    (Err(NetworkError::Helper { name, words }), Some(without)) => {
                        // Whatever it has made of a network goes before others can look.
                        drop(helped);
                        without.network(name, &words);
                    }
                    (Err(error), _) => return Err(RunError::Network(error)),
                }
                ends::send(report, b"g", None).map_err(RunError::Process)?;
            }
        }
    }

    /// Waits for a signal, for a word of the first process, for the server's end, or for that of who is awaited, and not for that
    /// without end: nothing is ready where it comes too late.
    fn await_word(
        &self,
        report: &OwnedFd,
        awaited: Option<&Helped>,
    ) -> Result<Vec<bool>, RunError> {
        let server = self.server.as_ref().ok_or(RunError::ServerEnded)?;
        let always = [&self.signals.taken, report, server];
        let watched = always.into_iter().chain(awaited.map(Helped::channel));
        let watched: Vec<_> = watched.map(|fd| (fd.as_fd(), watch::Until::Readable)).collect();
        watch::wait(&watched, awaited.map(|_| HELPER_START_MAX)).map_err(RunError::Process)
    }

    /// Gives the first process its ids and puts it within its limits, unless it is there.
    fn limit(
        &self,
        cgroup: &Cgroup,
        outside: &Outside<'_>,
        is_within: bool,
    ) -> Result<(), RunError> {
        outside.give_ids(self.child.pid)?;
        if !is_within {
            cgroup.move_payload(self.child.pid).map_err(RunError::Limits)?;
        }
        cgroup.guard_devices().map_err(RunError::Limits)?;
        self.oom_score_adj.map_or(Ok(()), |score| {
            process::set_oom_score(self.child.pid, score).map_err(RunError::OomScore)
        })
    }

    /// Connects it with the network; answers the program that is still to do so.
    fn connect(&self, network: &Network) -> Result<Option<Helped>, RunError> {
        match network {
            Network::Bridge(connection) => {
                network::connect(connection, self.child.pid).map(|()| None)
            }
            Network::Helped(helper) => helped::start(helper, self.child.pid).map(Some),
            Network::None | Network::Host | Network::Joined => Ok(None),
        }
        .map_err(RunError::Network)
    }

    /// Nothing runs yet that a signal could be passed on to.
    fn heed_signals(&self) -> Result<(), RunError> {
        while let Some(signal) = signals::next(&self.signals.taken).map_err(RunError::Process)? {
            if signal != signals::WINDOW {
                return Err(RunError::Interrupted(u8::try_from(signal).unwrap_or(u8::MAX)));
            }
        }
        Ok(())
    }

    /// Ends what was being made. The first process may wait for an answer of the server's that never comes, and a server
    /// that does nothing more would be waited for without end; one that still waits for its device is told that none comes.
    fn give_up(&mut self, error: &RunError) -> Result<(), RunError> {
        process::signal(&self.child.pidfd, signals::KILL).map_err(RunError::Process)?;
        let server = self.server.as_ref().ok_or(RunError::ServerEnded)?;
        if matches!(error, RunError::Interrupted(_)) {
            process::signal(server, signals::KILL).map_err(RunError::Process)?;
        }
        process::wait(&self.child.pidfd).map_err(RunError::Process)?;
        self.to_server = None;
        let watched = [server.as_fd(), self.signals.taken.as_fd()];
        let watched = watched.map(|fd| (fd, watch::Until::Readable));
        // It may have words to say. Whoever does not want to wait for them sends a signal.
        if !watch::wait(&watched, Some(SERVER_END_MAX)).map_err(RunError::Process)?[0] {
            process::signal(server, signals::KILL).map_err(RunError::Process)?;
        }
        Ok(())
    }

    /// Kills it, with everything in its namespaces.
    pub(crate) fn make_end(&self, paused: Option<&Cgroup>) -> Result<(), RunError> {
        process::signal(&self.child.pidfd, signals::KILL).map_err(RunError::Process)?;
        paused.map_or(Ok(()), Cgroup::unpause).map_err(RunError::Limits)
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&self) -> Result<Ended, RunError> {
        match &self.told {
            Some(told) => keeper::told(told),
            None => process::wait(&self.child.pidfd),
        }
        .map_err(RunError::Process)
    }
}

pub(crate) fn said(words: &[u8]) -> RunError {
    let (status, reason) =
        words.split_first().map_or((125, &[][..]), |(first, rest)| (*first, rest));
    RunError::Setup { status, reason: String::from_utf8_lossy(reason).into_owned() }
}
