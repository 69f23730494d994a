//! Completing a file of which only metadata was copied up.
//!
//! It is filled where it stands: other names may lead to it. Its mark goes last, when its data is as durable as a copy's:
//! until then the lower has its data, and whoever is stopped on the way is followed by one who fills it again.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::open::Upper;
use super::stage::Contents;
use crate::sys::change::{self, SetTime};
use crate::sys::{file, xattr};
use crate::tree::{Attr, Mark, Timestamp};

/// Writing a file drops it, whoever writes.
const CAPABILITY: &[u8] = b"security.capability";

impl Upper {
    /// Gives an open file the data that its metadata speaks of, or none, and takes the mark away that its data lies below.
    /// While the mark stands, all that emptying took is the size: where it is refused, that is given back.
    pub fn complete(
        &self,
        upper: &OwnedFd,
        contents: Option<&dyn Contents>,
    ) -> Result<(), UpperError> {
        let deed = "complete a file that has its data in a lower layer";
        let before = Attr::of_stat(&file::stat(upper).during(deed)?);
        let completed = self.complete_from(upper, contents, &before);
        if completed.is_err()
            && contents.is_none()
            && let Err(error) = file::truncate(upper, before.size)
        {
            tracing::warn!("a file that could not be emptied has lost its size: {error}");
        }
        completed
    }

    fn complete_from(
        &self,
        upper: &OwnedFd,
        contents: Option<&dyn Contents>,
        before: &Attr,
    ) -> Result<(), UpperError> {
        let deed = "complete a file that has its data in a lower layer";
        let capability = xattr::get_of(upper, CAPABILITY).during(deed)?;
        match contents {
            Some(contents) => {
                contents.fill(upper).during(deed)?;
                file::truncate(upper, before.size).during(deed)?;
            }
            None => file::truncate(upper, 0).during(deed)?,
        }
        if let Some(value) = capability {
            xattr::set(upper, CAPABILITY, &value).during(deed)?;
        }
        if contents.is_some() {
            let at = |time: Timestamp| SetTime::At(time.secs, time.nanos);
            change::set_times(upper, at(before.atime), at(before.mtime)).during(deed)?;
        }
        self.sync(upper)?;
        xattr::remove(upper, &Mark::Metacopy.name(self.space)).during(deed)
    }
}
