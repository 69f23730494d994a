//! A further process in a container that runs: brought inside, and watched until it has become its program.
//!
//! Three processes have a part in it: the command, one that keeps, and the program. The one that keeps is the parent of the
//! program.
//! 1. It ends the program when the command is gone, in whatever way: the kernel's promise to do that is taken back by a program
//!    that changes its user.
//! 2. It takes note of the program's end at once. A command that is stopped (Ctrl-Z) would not, and a container does not end
//!    before somebody has taken note of the end of each of its processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use layerfs_driver::sys::host;

use crate::build::{self, Joining};
use crate::carry::{self, Carriers};
use crate::cgroup::Cgroup;
use crate::keeper::{self, Keeper};
use crate::outside;
use crate::plan_exec::plan_exec;
use crate::signals::Signals;
use crate::spec::{ExecSpec, First, Lifetime, Streams};
use crate::start::{RunError, Running, said};
use crate::supervise::Ended;
use crate::sys::join::Others;
use crate::sys::process::{self, Child};
use crate::sys::{Errno, SysError, channel, limits, namespace, signals, watch};
use crate::terminal::follow_size;

/// How often it is looked whether the container has been paused, which holds still whoever is on the way into it.
const PAUSED_EVERY: Duration = Duration::from_millis(200);

/// Where a further process goes.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// What it is to be.
    pub spec: &'a ExecSpec,
    /// What limits the container.
    pub cgroup: &'a Cgroup,
    /// The number of the container's first process.
    pub first_pid: u32,
    /// That process, which had this number when it was opened.
    pub first: BorrowedFd<'a>,
    /// The signals to pass on.
    pub signals: Signals,
}

/// A program that was brought inside.
#[derive(Debug)]
pub struct Inside {
    running: Running,
    keeper: Child,
}

/// On the way in.
struct Entering<'a> {
    request: ExecRequest<'a>,
    report: OwnedFd,
    keeper: Keeper,
    inside: Option<Child>,
    terminal: Option<OwnedFd>,
}

/// Starts the program, and returns when it runs. The caller has one thread.
pub fn exec(request: ExecRequest<'_>) -> Result<Inside, RunError> {
    let spec = request.spec;
    let others = Others::of(request.first_pid).map_err(|error| gone(&request, error))?;
    if has_ended(request.first)? {
        return Err(RunError::ContainerEnded);
    }
    let (carriers, ends) = match (spec.streams, spec.lifetime) {
        (Streams::Caller, Lifetime::OfCaller) => carry::callers(spec.input)?,
        (Streams::Terminal, _) | (_, Lifetime::OfContainer) => Default::default(),
    };
    let mut ids = None;
    if others.have_users() {
        let root = namespace::root_of(request.first_pid).map_err(|error| gone(&request, error))?;
        // What this process has made is its own already.
        if root != host::own_ids().0 {
            outside::give_ends(&ends, root)?;
        }
        let known = namespace::ids_of(request.first_pid);
        ids = Some(known.map_err(|error| gone(&request, error))?);
    }
    let (ours, report) = channel::pair().map_err(RunError::Process)?;
    let entry = request.cgroup.payload_entry();
    let given = Joining { spec, first: request.first, others, ids, entry, report, ends };
    let (keeper, (report, carriers)) =
        keeper::start(&plan_exec(spec), given, (ours, carriers)).map_err(RunError::Process)?;
    let mut entering = Entering { request, report, keeper, inside: None, terminal: None };
    match entering.settle() {
        Ok(inside) => entering.settled(inside, carriers),
        Err(error) => {
            entering.give_up(&error)?;
            Err(error)
        }
    }
}

/// A container that ends while it is looked at is no broken machine.
fn gone(request: &ExecRequest<'_>, error: SysError) -> RunError {
    match has_ended(request.first) {
        Ok(true) => RunError::ContainerEnded,
        Ok(false) => RunError::Process(error),
        Err(other) => other,
    }
}

fn has_ended(first: BorrowedFd<'_>) -> Result<bool, RunError> {
    let first = [(first, watch::Until::Readable)];
    Ok(watch::wait(&first, Some(Duration::ZERO)).map_err(RunError::Process)?[0])
}

impl Entering<'_> {
    /// Leads the process inside, and waits until it is its program.
    fn settle(&mut self) -> Result<Child, RunError> {
        loop {
            let taken = self.request.signals.taken.as_fd();
            let watched = [taken, self.report.as_fd(), self.request.first];
            let watched = watched.map(|fd| (fd, watch::Until::Readable));
            let ready = watch::wait(&watched, Some(PAUSED_EVERY)).map_err(RunError::Process)?;
            if ready[0] {
                self.heed_signals()?;
            } else if ready[1] {
                let message = channel::receive(&self.report, build::MESSAGE_MAX);
                match message.map_err(RunError::Process)? {
                    Some((words, descriptor)) => self.heard(&words, descriptor)?,
                    // It closed on exec, or with the process, which then tells by its status.
                    None => return self.inside.take().map_or_else(|| Err(self.lost()), Ok),
                }
            } else if ready[2] {
                return Err(RunError::ContainerEnded);
            } else if self.request.cgroup.is_paused().map_err(RunError::Limits)? {
                return Err(RunError::Paused);
            }
        }
    }

    /// Who is inside may be led by others who are: from there only a reason to end is taken.
    fn heard(&mut self, words: &[u8], descriptor: Option<OwnedFd>) -> Result<(), RunError> {
        // Who has ended meanwhile has said why, which is heard next.
        let go_on = |report: &OwnedFd| match channel::send(report, b"g", None) {
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Ok(()),
            sent => sent,
        };
        match (words, descriptor) {
            (build::OPENED | build::WITHIN, None) if self.inside.is_none() => {
                if words == build::OPENED {
                    let enters = self.keeper.enters;
                    self.request.cgroup.move_payload(enters).map_err(RunError::Limits)?;
                }
                self.follow_oom_score()?;
                // Inside, only who has the right to it on the host could.
                let enters = self.keeper.enters;
                let mut limits = self.request.spec.resource_limits.iter();
                let allowed = limits.try_for_each(|limit| limits::allow(enters, limit));
                allowed.map_err(RunError::Process)?;
                go_on(&self.report).map_err(RunError::Process)
            }
            (build::TERMINAL, Some(terminal)) if self.inside.is_none() => {
                // The program does not run before this one lets it.
                follow_size(&terminal).map_err(RunError::Process)?;
                self.terminal = Some(terminal);
                Ok(())
            }
            (words, Some(pidfd)) if words.starts_with(build::INSIDE) && self.inside.is_none() => {
                let pid = words[build::INSIDE.len()..].try_into().map_or(0, u32::from_ne_bytes);
                self.keeper.hand(&pidfd).map_err(RunError::Process)?;
                self.inside = Some(Child { pid, pidfd });
                go_on(&self.report).map_err(RunError::Process)
            }
            (words, _) => Err(said(words)),
        }
    }

    /// Where memory runs out it is ended as soon as the first process.
    fn follow_oom_score(&self) -> Result<(), RunError> {
        let first = process::oom_score(self.request.first_pid);
        let first = first.map_err(|error| gone(&self.request, error))?;
        if process::oom_score(self.keeper.enters).map_err(RunError::Process)? == first {
            return Ok(());
        }
        process::set_oom_score(self.keeper.enters, first).map_err(RunError::OomScore)
    }

    /// Nothing runs yet that a signal could be passed on to.
    fn heed_signals(&self) -> Result<(), RunError> {
        let taken = &self.request.signals.taken;
        while let Some(signal) = signals::next(taken).map_err(RunError::Process)? {
            if signal != signals::WINDOW {
                return Err(RunError::Interrupted(u8::try_from(signal).unwrap_or(u8::MAX)));
            }
        }
        Ok(())
    }

    /// Why the process that was to enter ended without a word.
    fn lost(&self) -> RunError {
        match has_ended(self.request.first) {
            Ok(true) => RunError::ContainerEnded,
            Ok(false) => RunError::Entering,
            Err(error) => error,
        }
    }

    /// What runs, with all that stands by it.
    fn settled(self, inside: Child, carriers: Carriers) -> Result<Inside, RunError> {
        let Entering { request, keeper, terminal, .. } = self;
        let running = Running {
            helped: None,
            child: inside,
            _around: None,
            told: Some(keeper.channel),
            server: None,
            to_server: None,
            signals: request.signals,
            input: request.spec.input,
            terminal,
            carriers,
            log: None,
            oom_score_adj: None,
            first: First::Program,
        };
        Ok(Inside { running, keeper: keeper.child })
    }

    /// Ends what was on the way. Who stands still with a paused container ends when that goes on, and is not waited for.
    fn give_up(self, error: &RunError) -> Result<(), RunError> {
        let Keeper { child, channel, .. } = self.keeper;
        // By that it knows.
        drop(channel);
        match error {
            RunError::Paused => Ok(()),
            _ => process::wait(&child.pidfd).map(drop).map_err(RunError::Process),
        }
    }
}

impl Inside {
    /// Stands by until the program has ended; of one that outlives its caller, until it is a child of the container's.
    pub fn supervise(self) -> Result<Ended, RunError> {
        // In a paused container it ends when that goes on.
        let ended = self.running.supervise(None);
        process::wait(&self.keeper.pidfd).map_err(RunError::Process)?;
        ended
    }
}
