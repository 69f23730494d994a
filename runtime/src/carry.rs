//! Files of the caller's that are a program's standard streams: carried through pipes.
//!
//! A program that holds a file can open it again by `/proc/self/fd`, for writing too where it was given for reading: a
//! mount namespace does not stand in the way. So it gets one end of a pipe, and the supervisor carries the bytes. A
//! directory can't be carried, and would lead out of the container.

use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use layerfs_driver::sys::file::{self, FileType};

use crate::spec::{ContainerSpec, Input, Streams};
use crate::start::RunError;
use crate::sys::watch::Until;
use crate::sys::{Errno, SysError, channel, exec, terminal};

/// Bytes that are taken at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The program's ends, for those of its streams that are carried.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error: Option<OwnedFd>,
}

/// One stream under way.
#[derive(Debug)]
struct Carrier {
    from: OwnedFd,
    to: OwnedFd,
    /// Taken, not yet given.
    pending: Vec<u8>,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// All that is carried for one container.
#[derive(Debug, Default)]
pub(crate) struct Carriers(Vec<Carrier>);

/// Makes pipes for what has to be carried, and refuses what may not be given.
pub(crate) fn part(spec: &ContainerSpec) -> Result<(Carriers, Ends), RunError> {
    let (mut carriers, mut ends) = (Vec::new(), Ends::default());
    if spec.streams == Streams::Terminal {
        return Ok((Carriers(carriers), ends));
    }
    if spec.input == Input::Caller && is_carried(stdin(), "standard input")? {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::new(stdin(), write, Direction::In).map_err(RunError::Process)?);
        ends.input = Some(read);
    }
    let output = is_carried(stdout(), "standard output")?;
    let error = is_carried(stderr(), "standard error")?;
    if output {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::new(stdout(), read, Direction::Out).map_err(RunError::Process)?);
        // Into one file they go by one pipe: what was written first comes first.
        if error && is_same(stdout(), stderr()).map_err(RunError::Process)? {
            ends.error = Some(exec::duplicate(&write).map_err(RunError::Process)?);
        }
        ends.output = Some(write);
    }
    if error && ends.error.is_none() {
        let (read, write) = channel::pipe().map_err(RunError::Process)?;
        carriers.push(Carrier::new(stderr(), read, Direction::Out).map_err(RunError::Process)?);
        ends.error = Some(write);
    }
    Ok((Carriers(carriers), ends))
}

fn is_carried(stream: impl AsFd, name: &'static str) -> Result<bool, RunError> {
    match file::type_of(&file::stat(stream).map_err(RunError::Process)?) {
        FileType::Directory => Err(RunError::Stream(name)),
        FileType::RegularFile | FileType::BlockDevice | FileType::Unknown => Ok(true),
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::Symlink => {
            Ok(false)
        }
    }
}

fn is_same(one: impl AsFd, other: impl AsFd) -> Result<bool, SysError> {
    let (one, other) = (file::stat(one)?, file::stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

impl Carrier {
    fn new(stream: impl AsFd, pipe: OwnedFd, direction: Direction) -> Result<Self, SysError> {
        terminal::never_wait(&pipe)?;
        let stream = exec::duplicate(stream)?;
        let (from, to) = match direction {
            Direction::In => (stream, pipe),
            Direction::Out => (pipe, stream),
        };
        Ok(Carrier { from, to, pending: Vec::new(), direction })
    }

    /// Takes some or gives some.
    fn step(&mut self) -> Result<Step, SysError> {
        if self.pending.is_empty() {
            let mut bytes = vec![0; CHUNK];
            match terminal::read(&self.from, &mut bytes)? {
                None => return Ok(Step::Through),
                Some(0) => return Ok(Step::Waiting),
                Some(len) => bytes.truncate(len),
            }
            self.pending = bytes;
        }
        match terminal::write(&self.to, &self.pending) {
            Ok(len) => drop(self.pending.drain(..len)),
            // The program reads no more.
            Err(error) if self.direction == Direction::In && error.errno() == Errno::PIPE => {
                return Ok(Step::Through);
            }
            Err(error) => return Err(error),
        }
        Ok(Step::Moved)
    }
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Bytes went on.
    Moved,
    /// There is nothing to take yet.
    Waiting,
    /// Nothing comes any more.
    Through,
}

impl Carriers {
    /// What to wait for, each with its number.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (usize, (BorrowedFd<'_>, Until))> {
        self.0.iter().enumerate().map(|(number, carrier)| match carrier.pending.is_empty() {
            // A file is always ready: the pipe is what may have to be waited for.
            _ if carrier.direction == Direction::In => {
                (number, (carrier.to.as_fd(), Until::Writable))
            }
            true => (number, (carrier.from.as_fd(), Until::Readable)),
            false => (number, (carrier.to.as_fd(), Until::Writable)),
        })
    }

    /// Carries some of those whose time has come, and lets go of those that are through.
    pub(crate) fn carry(&mut self, numbers: &[usize]) -> Result<(), SysError> {
        let mut through = Vec::new();
        for number in numbers {
            let Some(carrier) = self.0.get_mut(*number) else { continue };
            if carrier.step()? == Step::Through {
                through.push(*number);
            }
        }
        for number in through.iter().rev() {
            self.0.remove(*number);
        }
        Ok(())
    }

    /// Carries out what an ended container has left in its pipes. Others may still hold an end of one, by a socket that it
    /// came through: they are not waited for.
    pub(crate) fn end(self) -> Result<(), SysError> {
        for mut carrier in self.0 {
            while carrier.direction == Direction::Out && carrier.step()? == Step::Moved {}
        }
        Ok(())
    }
}
