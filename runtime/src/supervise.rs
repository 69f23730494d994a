//! Standing by a running container: signals passed on, its terminal relayed, its end told.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::spec::First;
use crate::start::{RunError, Running};
pub use crate::sys::process::Ended;
use crate::sys::watch::Until;
use crate::sys::{SysError, process, signals, watch};
use crate::terminal::{Relay, Step};

/// So many requests to end, within [`REQUESTS_WITHIN`], to a container that is deaf to them: then it is made to.
const REQUESTS_MAX: usize = 3;

/// Who asks once in a while is not impatient.
const REQUESTS_WITHIN: Duration = Duration::from_secs(2);

/// How long a container whose terminal has hung up may take to end by itself: nobody could see it or steer it any more.
const HANG_UP_MAX: Duration = Duration::from_secs(2);

/// How long the process that serves the root may take to end after the container has.
pub(crate) const SERVER_END_MAX: Duration = Duration::from_secs(10);

/// What has something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Child,
    Server,
    Signals,
    Input,
    Terminal,
    TerminalRoom,
    View,
    Carrier(usize),
}

impl Source {
    fn carrier(self) -> Option<usize> {
        match self {
            Source::Carrier(number) => Some(number),
            _ => None,
        }
    }
}

impl Running {
    /// Stands by until the container has ended, and with it everything that served it. An error ends it, too. `paused` is let go
    /// on where it is made to end: who stands still does not even die.
    pub fn supervise(mut self, paused: Option<&Cgroup>) -> Result<Ended, RunError> {
        let log = self.log.as_ref();
        let relay = self.terminal.take().map(|terminal| Relay::new(terminal, self.input, log));
        let mut relay = match relay.transpose().map_err(RunError::Process) {
            Ok(relay) => relay,
            Err(error) => return Err(self.abandon(paused, error)),
        };
        // What can't be stood by any more ends first: it would go on writing for as long as there is somebody to read.
        let watched = self.watch(&mut relay, paused).map_err(|error| self.abandon(paused, error));
        let last = relay.map_or(Ok(()), |relay| relay.end(&self.signals.taken));
        // What it wrote before it was ended is carried, too.
        let carried = std::mem::take(&mut self.carriers).end(&self.signals.taken);
        let ended = watched?;
        // One that ended without a word may never have had a root: its server waits for none any more.
        self.to_server = None;
        // What ended after its file system had gone did not end of itself.
        if let Some(served) = self.await_server()?
            && served != Ended::Exited(0)
        {
            return Err(RunError::ServerLost(served));
        }
        last.and(carried).map_err(RunError::Process)?;
        Ok(ended)
    }

    fn server_lost(&self) -> RunError {
        let Some(server) = &self.server else { return RunError::ServerEnded };
        match process::how_ended(server) {
            Ok(Some(ended)) => RunError::ServerLost(ended),
            Ok(None) => RunError::ServerEnded,
            Err(error) => RunError::Process(error),
        }
    }

    /// Ends what nobody can stand by any more; answers why.
    fn abandon(&mut self, paused: Option<&Cgroup>, error: RunError) -> RunError {
        let ended = self.end_whatever(paused);
        self.to_server = None;
        let served = self.await_server();
        if let Err(late) = ended.and(served) {
            tracing::warn!("end the container: {late}");
        }
        error
    }

    /// Has it end, and waits for that: without bound where it goes on, else as long as one that stands still for ever is worth.
    fn end_whatever(&self, paused: Option<&Cgroup>) -> Result<(), RunError> {
        let made = self.make_end(paused);
        let limit = made.is_err().then_some(SERVER_END_MAX);
        let child = [(self.child.pidfd.as_fd(), Until::Readable)];
        if watch::wait(&child, limit).map_err(RunError::Process)?[0] {
            self.ended()?;
        }
        made
    }

    /// Takes the relay away where nobody looks at it any more.
    fn watch(
        &mut self,
        relay: &mut Option<Relay>,
        paused: Option<&Cgroup>,
    ) -> Result<Ended, RunError> {
        let (mut requests, mut hung_up) = (Vec::new(), None::<Instant>);
        loop {
            let limit = hung_up.map(|since| HANG_UP_MAX.saturating_sub(since.elapsed()));
            if limit.is_some_and(|limit| limit.is_zero()) {
                hung_up = None;
                self.make_end(paused)?;
                continue;
            }
            let ready = self.ready(relay.as_ref(), limit).map_err(RunError::Process)?;
            let carriers: Vec<usize> = ready.iter().filter_map(|source| source.carrier()).collect();
            self.carriers.carry(&carriers).map_err(RunError::Process)?;
            for source in ready {
                match source {
                    Source::Child => return self.ended(),
                    Source::Carrier(_) => {}
                    Source::Server => return Err(self.server_lost()),
                    Source::Signals => {
                        self.pass_on(relay.as_ref(), &mut requests).map_err(RunError::Process)?;
                        if requests.len() >= REQUESTS_MAX {
                            self.make_end(paused)?;
                        }
                    }
                    Source::Input | Source::Terminal | Source::TerminalRoom | Source::View => {
                        let Some(open) = relay.as_mut() else { continue };
                        let step = match source {
                            Source::Input => open.take_input(),
                            Source::Terminal => open.take_output(),
                            Source::View => open.show(),
                            _ => open.give_input(),
                        };
                        if step.map_err(RunError::Process)? == Step::UserGone {
                            (*relay, hung_up) = (None, Some(Instant::now()));
                        }
                    }
                }
            }
        }
    }

    /// Waits until something has to be done, at most for `limit`. The container's end comes last: what it wrote before is taken first.
    fn ready(
        &self,
        relay: Option<&Relay>,
        limit: Option<Duration>,
    ) -> Result<Vec<Source>, SysError> {
        let mut watched: Vec<(Source, (BorrowedFd<'_>, Until))> =
            vec![(Source::Signals, (self.signals.taken.as_fd(), Until::Readable))];
        if let Some(relay) = relay {
            if let Some(input) = relay.wanted_input() {
                watched.push((Source::Input, (input, Until::Readable)));
            }
            if relay.has_input() {
                watched.push((Source::TerminalRoom, (relay.terminal(), Until::Writable)));
            }
            if let Some(terminal) = relay.wanted_output() {
                watched.push((Source::Terminal, (terminal, Until::Readable)));
            }
            watched.push((Source::View, relay.view()));
        }
        let carried = self.carriers.wanted();
        watched.extend(carried.map(|(number, file)| (Source::Carrier(number), file)));
        watched.push((Source::Child, (self.child.pidfd.as_fd(), Until::Readable)));
        // The server ends when the container's mounts go, which is a moment before the container's end is told.
        let server = self.server.iter();
        watched.extend(server.map(|fd| (Source::Server, (fd.as_fd(), Until::Readable))));
        let files: Vec<_> = watched.iter().map(|(_, file)| *file).collect();
        let ready = watch::wait(&files, limit)?;
        let mut ready: Vec<Source> = watched
            .iter()
            .zip(ready)
            .filter_map(|((source, _), ready)| ready.then_some(*source))
            .collect();
        if ready.contains(&Source::Server) && !ready.contains(&Source::Child) {
            let child = [(self.child.pidfd.as_fd(), Until::Readable)];
            if watch::wait(&child, Some(Duration::from_secs(1)))?[0] {
                ready.insert(0, Source::Child);
            }
        }
        Ok(ready)
    }

    fn pass_on(&self, relay: Option<&Relay>, requests: &mut Vec<Instant>) -> Result<(), SysError> {
        while let Some(signal) = signals::next(&self.signals.taken)? {
            match (signal, relay) {
                (signals::WINDOW, Some(relay)) => relay.resize()?,
                (signals::WINDOW, None) => {}
                _ => process::signal(&self.child.pidfd, signal)?,
            }
            // The first process of a namespace gets only signals that it asked for; an init hands on what it gets.
            if self.first == First::Program
                && matches!(signal, signals::INTERRUPT | signals::TERMINATE)
                && !process::catches(self.child.pid, signal)?
            {
                let now = Instant::now();
                requests.retain(|before| now.duration_since(*before) < REQUESTS_WITHIN);
                requests.push(now);
            }
        }
        Ok(())
    }

    /// Waits until the serving process has ended: its descriptors hold what is about to be removed. Answers how it ended;
    /// `None` where it had to be made to.
    pub(crate) fn await_server(&self) -> Result<Option<Ended>, RunError> {
        let Some(server) = &self.server else { return Ok(None) };
        let watched = [(server.as_fd(), Until::Readable)];
        let ended = watch::wait(&watched, Some(SERVER_END_MAX)).map_err(RunError::Process)?[0];
        if !ended {
            process::signal(server, signals::KILL).map_err(RunError::Process)?;
            return Ok(None);
        }
        process::how_ended(server).map_err(RunError::Process)
    }
}
