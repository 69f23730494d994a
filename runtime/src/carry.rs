//! The caller's streams, which a program is not given itself: they are carried through pipes.
//!
//! 1. A program that holds a file can open it again by `/proc/self/fd`, for writing too where it was given for reading:
//!    a mount namespace does not stand in the way. Root of a container, who is root of the host, can change mode and
//!    owner of it as well, of a device or a terminal as of a file. So it gets one end of a pipe that was made for it, and
//!    the supervisor carries the bytes. The null device has nothing to carry: the container's own stands for it.
//! 2. A directory can't be carried, and would lead out of the container.
//! 3. The supervisor waits in one place only, where signals are heard: before it takes or gives, it asks.
//! 4. Where nobody looks, a log takes what comes (`log.rs`).
//! 5. What is set on a stream of the caller's holds for everybody who shares it: nothing is.

use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use layerfs_driver::sys::file::{self, FileType};

use crate::log::Log;
use crate::spec::{ContainerSpec, Input, Streams};
use crate::start::RunError;
use crate::sys::watch::{self, Until};
use crate::sys::{Errno, SysError, channel, exec, signals, stream, terminal};

/// Bytes that are taken at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// Bytes that a pipe takes at once when it says that it takes some (`PIPE_BUF` of `pipe(7)`).
const PIECE: usize = 4096;

/// The numbers of the null device.
pub(crate) const NULL: (u32, u32) = (1, 3);

/// The device that is another terminal each time it is opened.
const NEW_TERMINAL: (u32, u32) = (5, 2);

/// The program's ends, for those of its streams that are carried; the others are the null device.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error: Option<OwnedFd>,
}

/// How much is given at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giving {
    /// Everything: a file takes it all, an end of ours as much as it has room for.
    Whole,
    /// A [`PIECE`], when there is room for it: more might have to wait.
    Pieces,
}

/// One stream under way.
#[derive(Debug)]
struct Carrier {
    from: OwnedFd,
    to: OwnedFd,
    /// Taken, not yet given.
    pending: Vec<u8>,
    direction: Direction,
    giving: Giving,
    /// Whether somebody at the other end of `to` may go. A file has none, and some of the kernel's say that it has gone.
    hangs_up: bool,
    /// The log that takes it, and by which name, instead of `to`.
    log: Option<(Log, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// All that is carried for one container.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    all: Vec<Carrier>,
    /// The end of an input that is never written to.
    _open: Option<OwnedFd>,
}

/// Makes pipes for what has to be carried, and refuses what may not be given.
pub(crate) fn part(spec: &ContainerSpec, log: Option<&Log>) -> Result<(Carriers, Ends), RunError> {
    if spec.streams == Streams::Terminal {
        return Ok(Default::default());
    }
    match log {
        Some(log) => logged(log, spec.input).map_err(RunError::Process),
        None => callers(spec.input),
    }
}

/// The same for a program whose streams are the caller's, with or without input.
pub(crate) fn callers(input: Input) -> Result<(Carriers, Ends), RunError> {
    let (mut carriers, mut ends) = (Vec::new(), Ends::default());
    if input == Input::Caller && is_carried(stdin(), "standard input")? {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::from_caller(stdin(), write).map_err(RunError::Process)?);
        ends.input = Some(read);
    }
    let output = is_carried(stdout(), "standard output")?;
    let error = is_carried(stderr(), "standard error")?;
    if output {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::to_caller(stdout(), read).map_err(RunError::Process)?);
        // Where they are one, they go by one pipe: what was written first comes first.
        if error && is_same(stdout(), stderr()).map_err(RunError::Process)? {
            ends.error = Some(exec::duplicate(&write).map_err(RunError::Process)?);
        }
        ends.output = Some(write);
    }
    if error && ends.error.is_none() {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::to_caller(stderr(), read).map_err(RunError::Process)?);
        ends.error = Some(write);
    }
    Ok((Carriers { all: carriers, _open: None }, ends))
}

/// Both streams of what writes go to the log; there is nothing to read, or nothing yet.
fn logged(log: &Log, input: Input) -> Result<(Carriers, Ends), SysError> {
    let (output, write_output) = channel::pipe()?;
    let (error, write_error) = channel::pipe()?;
    let carriers =
        vec![Carrier::to_log((log, "stdout"), output)?, Carrier::to_log((log, "stderr"), error)?];
    let mut ends = Ends { input: None, output: Some(write_output), error: Some(write_error) };
    let mut open = None;
    if input == Input::Open {
        let (read, write) = channel::pipe()?;
        (ends.input, open) = (Some(read), Some(write));
    }
    Ok((Carriers { all: carriers, _open: open }, ends))
}

fn is_carried(stream: impl AsFd, name: &'static str) -> Result<bool, RunError> {
    let stat = file::stat(stream).map_err(RunError::Process)?;
    match file::type_of(&stat) {
        FileType::Directory => Err(RunError::Stream(name)),
        FileType::CharacterDevice => Ok(file::device_numbers(&stat) != NULL),
        _ => Ok(true),
    }
}

fn is_same(one: impl AsFd, other: impl AsFd) -> Result<bool, SysError> {
    let (one, other) = (file::stat(one)?, file::stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// A terminal or a pipe of the caller's, opened once more to be written to without waiting; `None` where that can't be.
fn unwaiting(stream: impl AsFd, kind: FileType) -> Result<Option<OwnedFd>, SysError> {
    let fits = match kind {
        FileType::Fifo => true,
        FileType::CharacterDevice => {
            terminal::is_terminal(&stream)
                && file::device_numbers(&file::stat(&stream)?) != NEW_TERMINAL
        }
        _ => false,
    };
    if !fits {
        return Ok(None);
    }
    match stream::open_unwaiting(stream) {
        Err(error) => {
            tracing::debug!("a stream is carried in pieces: {error}");
            Ok(None)
        }
        opened => opened,
    }
}

fn is_device(file: impl AsFd) -> Result<bool, SysError> {
    Ok(file::type_of(&file::stat(file)?) == FileType::CharacterDevice)
}

fn is_now(file: impl AsFd, until: Until) -> Result<bool, SysError> {
    Ok(watch::wait(&[(file.as_fd(), until)], Some(Duration::ZERO))?[0])
}

impl Carrier {
    fn from_caller(stream: impl AsFd, pipe: OwnedFd) -> Result<Self, SysError> {
        terminal::never_wait(&pipe)?;
        Ok(Carrier {
            from: exec::duplicate(stream)?,
            to: pipe,
            pending: Vec::new(),
            direction: Direction::In,
            giving: Giving::Whole,
            hangs_up: true,
            log: None,
        })
    }

    fn to_caller(stream: impl AsFd, pipe: OwnedFd) -> Result<Self, SysError> {
        terminal::never_wait(&pipe)?;
        let kind = file::type_of(&file::stat(&stream)?);
        let hangs_up =
            matches!(kind, FileType::Fifo | FileType::Socket | FileType::CharacterDevice);
        let (to, giving) = match unwaiting(&stream, kind)? {
            Some(own) => (own, Giving::Whole),
            None if hangs_up => (exec::duplicate(stream)?, Giving::Pieces),
            None => (exec::duplicate(stream)?, Giving::Whole),
        };
        let (pending, direction) = (Vec::new(), Direction::Out);
        Ok(Carrier { from: pipe, to, pending, direction, giving, hangs_up, log: None })
    }

    fn to_log((log, stream): (&Log, &'static str), pipe: OwnedFd) -> Result<Self, SysError> {
        terminal::never_wait(&pipe)?;
        Ok(Carrier {
            from: pipe,
            to: log.file()?,
            pending: Vec::new(),
            direction: Direction::Out,
            giving: Giving::Whole,
            hangs_up: false,
            log: Some((log.clone(), stream)),
        })
    }

    /// Takes some where nothing is left to give, and gives some.
    fn step(&mut self) -> Result<Step, SysError> {
        if self.pending.is_empty() {
            match self.take()? {
                Step::Moved if self.log.is_some() => return Ok(Step::Moved),
                Step::Moved => {}
                Step::Waiting if self.hangs_up && watch::is_hung_up(&self.to)? => {
                    return Ok(Step::Through);
                }
                other => return Ok(other),
            }
        }
        self.give()
    }

    fn take(&mut self) -> Result<Step, SysError> {
        if !is_now(&self.from, Until::Readable)? {
            return Ok(Step::Waiting);
        }
        let mut bytes = vec![0; CHUNK];
        match file::read(&self.from, &mut bytes) {
            Ok(0) => return Ok(Step::Through),
            Ok(len) => bytes.truncate(len),
            Err(error) if error.errno() == Errno::AGAIN => return Ok(Step::Waiting),
            // A terminal that was taken away, or whose foreground others have. Of a file it is a broken disk.
            Err(error) if error.errno() == Errno::IO && is_device(&self.from)? => {
                return Ok(Step::Through);
            }
            Err(error) => return Err(error),
        }
        match &self.log {
            Some((log, stream)) => log.add(stream, &bytes),
            None => self.pending = bytes,
        }
        Ok(Step::Moved)
    }

    fn give(&mut self) -> Result<Step, SysError> {
        let len_max = match self.giving {
            Giving::Whole => self.pending.len(),
            Giving::Pieces if !is_now(&self.to, Until::Writable)? => return Ok(Step::Waiting),
            Giving::Pieces => self.pending.len().min(PIECE),
        };
        match terminal::write(&self.to, &self.pending[..len_max]) {
            Ok(0) => Ok(Step::Waiting),
            Ok(len) => {
                self.pending.drain(..len);
                Ok(Step::Moved)
            }
            Err(error) if self.is_reader_gone(&error)? => Ok(Step::Through),
            Err(error) => Err(error),
        }
    }

    /// Whether that is what a refused write means. The program's end is let go of then, and it is told by the kernel.
    fn is_reader_gone(&self, error: &SysError) -> Result<bool, SysError> {
        Ok(match error.errno() {
            Errno::PIPE | Errno::CONNRESET => true,
            Errno::IO => self.hangs_up && watch::is_hung_up(&self.to)?,
            _ => false,
        })
    }

    /// What to wait for: room for what was taken, or something to take; then also whether it is still wanted.
    fn wanted(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Until)> {
        let (from, to) = (self.from.as_fd(), self.to.as_fd());
        let (first, then) = match self.pending.is_empty() {
            true => ((from, Until::Readable), self.hangs_up.then_some((to, Until::HungUp))),
            false => ((to, Until::Writable), None),
        };
        std::iter::once(first).chain(then)
    }

    /// Carries out what is in the pipe, unless a signal comes first.
    fn end(mut self, signals: &OwnedFd) -> Result<(), SysError> {
        loop {
            match self.step()? {
                Step::Moved => {}
                Step::Waiting if !self.pending.is_empty() => {
                    let room = (self.to.as_fd(), Until::Writable);
                    watch::wait(&[room, (signals.as_fd(), Until::Readable)], None)?;
                    while let Some(signal) = signals::next(signals)? {
                        if signal != signals::WINDOW {
                            return Ok(());
                        }
                    }
                }
                Step::Waiting | Step::Through => return Ok(()),
            }
        }
    }
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Bytes went on.
    Moved,
    /// There is nothing to take yet, or no room to give.
    Waiting,
    /// Nothing comes any more, or nobody wants it.
    Through,
}

impl Carriers {
    /// What to wait for, each with the number of whose it is.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (usize, (BorrowedFd<'_>, Until))> {
        let numbered = self.all.iter().enumerate();
        numbered.flat_map(|(number, one)| one.wanted().map(move |file| (number, file)))
    }

    /// Carries some of those whose time has come, and lets go of those that are through. Numbers come in their order.
    pub(crate) fn carry(&mut self, numbers: &[usize]) -> Result<(), SysError> {
        let mut numbers = numbers.to_vec();
        numbers.dedup();
        let mut through = Vec::new();
        for number in numbers {
            let Some(carrier) = self.all.get_mut(number) else { continue };
            if carrier.step()? == Step::Through {
                through.push(number);
            }
        }
        for number in through.iter().rev() {
            self.all.remove(*number);
        }
        Ok(())
    }

    /// Carries out what an ended container has left in its pipes, however slow the reader is; a signal ends that. Others
    /// may still hold an end of one, by a socket that it came through: they are not waited for.
    pub(crate) fn end(self, signals: &OwnedFd) -> Result<(), SysError> {
        let out = self.all.into_iter().filter(|carrier| carrier.direction == Direction::Out);
        for carrier in out {
            carrier.end(signals)?;
        }
        Ok(())
    }
}
