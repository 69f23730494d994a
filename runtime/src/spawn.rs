//! A process of ours that begins in the groups it belongs to: this very program, with other words.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use layerfs_driver::sys::again::THIS_PROGRAM;
use layerfs_driver::sys::file;
use layerfs_driver::sys::stream::FileReader;

use crate::cgroup::Entry;
use crate::start::PANIC_STATUS;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{Errno, SysError, channel, program};

/// What the child says that is in its groups.
const WITHIN: u8 = b'w';

/// What it says that can't be the program, before the error's number.
const FAILED: u8 = b'e';

/// No more is said.
const WORDS_MAX: u64 = 16;

/// It, and the other end of its standard output. Dropped, it goes on.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    said: FileReader,
    /// Whether it is in its groups.
    pub is_within: bool,
}

/// Starts this program under the name `called`, with these words and this standard input. Its standard error is this process's own.
/// The caller has one thread.
pub fn spawn(
    called: &str,
    words: &[OsString],
    input: OwnedFd,
    mut entry: Entry<'_>,
) -> Result<Spawned, SysError> {
    let (said, output) = channel::pipe()?;
    let (ours, report) = channel::pipe()?;
    match entry.fork(|group| process::fork_into_group(0, group))? {
        Forked::Child => {
            let _here = EndsHere { status: PANIC_STATUS };
            drop((said, ours));
            // A word that can't be said has it moved once more, or its end has one of its own.
            let tell = |words: &[u8]| drop(file::write_all(&report, words));
            if entry.join() {
                tell(&[WITHIN]);
            }
            let error = program::become_again(called, words, (input, output));
            tell(&[&[FAILED][..], &error.errno().raw_os_error().to_ne_bytes()].concat());
            process::exit_now(PANIC_STATUS)
        }
        Forked::Parent(child) => {
            drop((report, input, output, entry));
            begun(child, said, &ours)
        }
    }
}

/// Waits until the child is its program, or has said why not.
fn begun(child: Child, said: OwnedFd, report: &OwnedFd) -> Result<Spawned, SysError> {
    let heard = file::read_all(report, WORDS_MAX);
    let why = match heard.as_deref() {
        Ok(words @ ([] | [WITHIN])) => {
            let is_within = !words.is_empty();
            return Ok(Spawned { child, said: FileReader::new(said), is_within });
        }
        Ok([.., a, b, c, d]) => {
            let errno = i32::from_ne_bytes([*a, *b, *c, *d]);
            Errno::from_raw_os_error(errno)
        }
        Ok(_) => Errno::IO,
        Err(error) => error.errno(),
    };
    process::signal(&child.pidfd, crate::sys::signals::KILL)?;
    process::wait(&child.pidfd)?;
    Err(SysError::new("execve", format!("{THIS_PROGRAM:?}"), why))
}

impl Spawned {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// What it says on standard output.
    pub fn said(&mut self) -> &mut FileReader {
        &mut self.said
    }

    /// Waits until it has ended, and takes its status away.
    pub fn wait(&mut self) -> Result<(), SysError> {
        process::wait(&self.child.pidfd).map(drop)
    }
}
