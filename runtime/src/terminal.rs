//! The relay between the user's terminal and the container's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use layerfs_driver::sys::file;

use crate::spec::Input;
use crate::sys::terminal::{self, Modes};
use crate::sys::{Errno, SysError, exec, watch};

/// Bytes that are taken at a time.
const CHUNK: usize = 16 << 10;

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
}

impl Relay {
    /// Begins to carry.
    pub(crate) fn new(master: OwnedFd, input: Input) -> Result<Self, SysError> {
        terminal::never_wait(&master)?;
        let (stdin, output) =
            (exec::duplicate(std::io::stdin())?, exec::duplicate(std::io::stdout())?);
        let user = match (input, terminal::is_terminal(&stdin)) {
            (Input::Caller, true) => {
                let modes = terminal::make_raw(&stdin)?;
                Some((exec::duplicate(&stdin)?, modes))
            }
            _ => None,
        };
        let input = (input == Input::Caller).then_some(stdin);
        let relay = Relay { master, open: true, input, pending: Vec::new(), user, output };
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

    pub(crate) fn is_open(&self) -> bool {
        self.open
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

    /// Shows the user what the container wrote.
    pub(crate) fn take_output(&mut self) -> Result<Step, SysError> {
        let mut bytes = [0; CHUNK];
        match terminal::read(&self.master, &mut bytes)? {
            Some(0) => Ok(Step::Waiting),
            Some(len) => match file::write_all(&self.output, &bytes[..len]) {
                Ok(()) => Ok(Step::Moved),
                Err(error) if self.is_user_gone(&error)? => Ok(Step::UserGone),
                Err(error) => Err(error),
            },
            None => {
                self.open = false;
                Ok(Step::Waiting)
            }
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

    /// Shows what is left, and gives the user's terminal its modes back.
    pub(crate) fn end(mut self) -> Result<(), SysError> {
        while self.open && self.take_output()? == Step::Moved {}
        Ok(())
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
