//! The relay between the user's terminal and the container's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::log::Log;
use crate::spec::Input;
use crate::sys::terminal::{self, Modes};
use crate::sys::watch::Until;
use crate::sys::{Errno, SysError, exec, signals, watch};

/// Bytes that are taken at a time.
const CHUNK: usize = 16 << 10;

/// Bytes that a pipe takes without a wait where it is said to take any: `PIPE_BUF`.
const SHOWN_AT_ONCE: usize = 4096;

/// Gives a container's terminal the size of the user's, which is the one that is looked at, or else that which is typed on.
/// Where the standard streams are neither, it stays as it is.
pub(crate) fn follow_size(terminal: impl AsFd) -> Result<(), SysError> {
    let (stdout, stdin) = (std::io::stdout(), std::io::stdin());
    let users = [stdout.as_fd(), stdin.as_fd()];
    match users.into_iter().find(|users| terminal::is_terminal(users)) {
        Some(users) => terminal::set_size(terminal, terminal::size(users)?),
        None => Ok(()),
    }
}

/// Carries bytes both ways. While it lives, the user's terminal passes every key on as it is.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Our end of the container's terminal.
    master: OwnedFd,
    /// Whether somebody may still write to it.
    open: bool,
    /// The user's input, while there is any to take.
    input: Option<OwnedFd>,
    /// Taken from the user, not yet given.
    pending: Vec<u8>,
    /// The user's terminal, and the modes it gets back.
    user: Option<(OwnedFd, Modes)>,
    output: OwnedFd,
    /// Taken from the container, not yet shown.
    unseen: Vec<u8>,
    /// What takes it where nobody looks.
    log: Option<Log>,
}

impl Relay {
    /// Begins to carry; into the log where there is one.
    pub(crate) fn new(master: OwnedFd, input: Input, log: Option<&Log>) -> Result<Self, SysError> {
        terminal::never_wait(&master)?;
        let stdin = exec::duplicate(std::io::stdin())?;
        let output = log.map_or_else(|| exec::duplicate(std::io::stdout()), Log::file)?;
        let log = log.cloned();
        let user = match (input, terminal::is_terminal(&stdin)) {
            (Input::Caller, true) => {
                let modes = terminal::make_raw(&stdin)?;
                Some((exec::duplicate(&stdin)?, modes))
            }
            _ => None,
        };
        let input = (input == Input::Caller).then_some(stdin);
        let (pending, unseen) = (Vec::new(), Vec::new());
        let relay = Relay { master, open: true, input, pending, user, output, unseen, log };
        relay.resize()?;
        Ok(relay)
    }

    /// Gives the container's terminal the size that the user's has now.
    pub(crate) fn resize(&self) -> Result<(), SysError> {
        follow_size(&self.master)
    }

    pub(crate) fn terminal(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// The container's terminal, while what it says is wanted: not before the last of it is shown.
    pub(crate) fn wanted_output(&self) -> Option<BorrowedFd<'_>> {
        (self.open && self.unseen.is_empty()).then(|| self.master.as_fd())
    }

    /// What the user looks at, and what of it is waited for: that it takes what there is to show, or that it goes.
    pub(crate) fn view(&self) -> (BorrowedFd<'_>, Until) {
        let until = if self.unseen.is_empty() { Until::HungUp } else { Until::Writable };
        (self.output.as_fd(), until)
    }

    /// Where the user's bytes come from, while they are wanted: not before the last ones are given.
    pub(crate) fn wanted_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| self.pending.is_empty()).map(AsFd::as_fd)
    }

    pub(crate) fn has_input(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes what the user typed.
    pub(crate) fn take_input(&mut self) -> Result<Step, SysError> {
        let Some(input) = &self.input else { return Ok(Step::Waiting) };
        let mut bytes = [0; CHUNK];
        match terminal::read(input, &mut bytes)? {
            Some(len) => self.pending.extend_from_slice(&bytes[..len]),
            // A terminal that refuses to be read from is there all the same: this command is in the background.
            None if self.user.is_some() && watch::is_hung_up(input)? => return Ok(Step::UserGone),
            None => self.input = None,
        }
        self.give_input()
    }

    /// Gives the container as much of it as it takes now.
    pub(crate) fn give_input(&mut self) -> Result<Step, SysError> {
        if self.pending.is_empty() {
            return Ok(Step::Waiting);
        }
        let len = terminal::write(&self.master, &self.pending)?;
        self.pending.drain(..len);
        Ok(Step::Moved)
    }

    /// Takes what the container wrote.
    pub(crate) fn take_output(&mut self) -> Result<Step, SysError> {
        let mut bytes = [0; CHUNK];
        let Some(len) = terminal::read(&self.master, &mut bytes)? else {
            self.open = false;
            return Ok(Step::Waiting);
        };
        match &self.log {
            Some(log) => log.add("stdout", &bytes[..len]),
            None => self.unseen.extend_from_slice(&bytes[..len]),
        }
        Ok(if len == 0 { Step::Waiting } else { Step::Moved })
    }

    /// Shows the user as much of it as its terminal or pipe, which is ready for some, takes now. A reader that stands still
    /// is not waited for: signals are to be passed on meanwhile.
    pub(crate) fn show(&mut self) -> Result<Step, SysError> {
        if self.unseen.is_empty() {
            let gone = watch::is_hung_up(&self.output)?;
            return Ok(if gone { Step::UserGone } else { Step::Waiting });
        }
        let len = self.unseen.len().min(SHOWN_AT_ONCE);
        match terminal::write(&self.output, &self.unseen[..len]) {
            Ok(len) => {
                self.unseen.drain(..len);
                Ok(Step::Moved)
            }
            Err(error) if self.is_user_gone(&error)? => Ok(Step::UserGone),
            Err(error) => Err(error),
        }
    }

    /// Whether that is what a refused write means: a pipe without a reader, a terminal that was taken away. Of a file,
    /// `EIO` is a broken disk; of a terminal that is there, that this command is in the background.
    fn is_user_gone(&self, error: &SysError) -> Result<bool, SysError> {
        Ok(match error.errno() {
            Errno::PIPE | Errno::CONNRESET => true,
            Errno::IO => watch::is_hung_up(&self.output)?,
            _ => false,
        })
    }

    /// Shows what is left, unless the user does not want it any more, and gives the user's terminal its modes back.
    pub(crate) fn end(mut self, signals: impl AsFd) -> Result<(), SysError> {
        loop {
            while !self.unseen.is_empty() {
                let view = self.view();
                let ready = watch::wait(&[(signals.as_fd(), Until::Readable), view], None)?;
                if ready[0] && signals::asks_to_end(&signals)? {
                    return Ok(());
                }
                if ready[1] && self.show()? == Step::UserGone {
                    return Ok(());
                }
            }
            if !self.open || self.take_output()? != Step::Moved {
                return Ok(());
            }
        }
    }
}

/// What came of taking or giving some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes went on.
    Moved,
    /// There is nothing to take yet.
    Waiting,
    /// Nobody looks any more. The container's terminal hangs up when the relay is dropped, as the kernel has it: who is on
    /// it gets SIGHUP, and can neither read nor write.
    UserGone,
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((user, modes)) = &self.user
            && terminal::is_terminal(user)
            && let Err(error) = terminal::set_modes(user, modes)
        {
            tracing::warn!("the terminal keeps its raw modes (`stty sane` mends it): {error}");
        }
    }
}
