//! Completing a file of which only metadata was copied up.
//!
//! It is filled where it stands: other names may lead to it. Its mark goes last, when its data is as durable as a copy's:
//! until then the lower has its data, and whoever is stopped on the way is followed by one who fills it again.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::open::Upper;
use super::stage::Contents;
use crate::sys::change::{self, SetTime};
use crate::sys::{SysError, file, xattr};
use crate::tree::{Attr, Mark, Timestamp};

/// Writing a file drops it, whoever writes.
const CAPABILITY: &[u8] = b"security.capability";

impl Upper {
    /// Gives an open file the data that its metadata speaks of, or none, and takes the mark away that its data lies below.
    /// While the mark stands, all that this took is the size, the time, and what a write takes along: where it is refused, they
    /// are given back.
    pub fn complete(
        &self,
        upper: &OwnedFd,
        contents: Option<&dyn Contents>,
    ) -> Result<(), UpperError> {
        let deed = "complete a file that has its data in a lower layer";
        let before = Attr::of_stat(&file::stat(upper).during(deed)?);
        let capability = xattr::get_of(upper, CAPABILITY).during(deed)?;
        // What is filled in takes room, as much as its size says.
        let _spent = self.spending(upper, contents.map_or(0, |_| before.size))?;
        let before = (&before, capability.as_deref());
        let completed = match contents {
            None => file::truncate(upper, 0),
            Some(contents) => contents.fill(upper).and_then(|()| give_back(upper, before)),
        };
        let unmarked = completed.during(deed).and_then(|()| self.unmark(upper));
        // What was filled in takes room, and nobody is shown it while the mark stands.
        let emptied = || match self.is_marked(upper)? {
            true => file::truncate(upper, 0),
            false => Ok(()),
        };
        if unmarked.is_err()
            && let Err(error) = emptied().and_then(|()| give_back(upper, before))
        {
            tracing::warn!("a file that could not be completed is not as it was: {error}");
        }
        unmarked
    }

    fn is_marked(&self, upper: &OwnedFd) -> Result<bool, SysError> {
        Ok(xattr::get_of(upper, &Mark::Metacopy.name(self.space))?.is_some())
    }

    /// Takes the mark away when what it has is on the disk.
    pub fn unmark(&self, upper: &OwnedFd) -> Result<(), UpperError> {
        self.sync(upper)?;
        self.take_mark(upper)
    }

    /// Takes the mark away of a file whose data is on the disk.
    pub fn take_mark(&self, upper: &OwnedFd) -> Result<(), UpperError> {
        let mark = Mark::Metacopy.name(self.space);
        let _measured = self.spending(upper, 0)?;
        xattr::remove(upper, &mark).during("complete a file that has its data in a lower layer")
    }
}

/// Gives a file the size, the set-id bits, the capability and the times that it had.
fn give_back(file: &OwnedFd, (attr, capability): (&Attr, Option<&[u8]>)) -> Result<(), SysError> {
    file::truncate(file, attr.size)?;
    // Whoever is not root loses them by writing.
    if Attr::of_stat(&file::stat(file)?).permissions != attr.permissions {
        file::chmod(file, attr.permissions)?;
    }
    if let Some(value) = capability {
        xattr::set(file, CAPABILITY, value)?;
    }
    let at = |time: Timestamp| SetTime::At(time.secs, time.nanos);
    change::set_times(file, at(attr.atime), at(attr.mtime))
}
