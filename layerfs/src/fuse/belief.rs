//! How long the kernel may believe what it was told.
//!
//! All changes of the upper go through this door, and an image never changes: what rests on those alone is believed for
//! long. Plain directories below may be changed by others, of which nobody tells the kernel.

use std::time::Duration;

use super::backing::Written;
use super::door::Door;
use super::faces::Face;
use crate::tree::Attr;
use crate::union::NodeId;
use crate::wire::Drop;

/// For what changes through this door only.
pub const LASTING: Duration = Duration::from_secs(3600);

/// For the attributes of what the kernel writes itself.
const OF_WRITTEN: Duration = Duration::from_secs(1);

impl Door {
    /// Of a node, its name.
    pub(super) fn belief(&self, id: NodeId) -> Duration {
        if self.expects_changes() && self.union.rests_on_lower(id) {
            self.manner.lower_belief
        } else {
            LASTING
        }
    }

    /// Of its attributes, which are told now.
    pub(super) fn belief_in(&self, id: NodeId, attr: &Attr) -> Duration {
        // What is known under two numbers may be changed by either.
        if self.backing.faces.second(id).is_some() {
            return Duration::ZERO;
        }
        let belief = self.belief(id);
        match self.backing.written(id, attr.mtime) {
            Written::No => belief,
            Written::Yes => belief.min(OF_WRITTEN),
            Written::Perhaps => {
                // These attributes were read before: only the next are those of what nobody writes.
                self.backing.look_again(id, || self.union.is_written_elsewhere(id));
                belief.min(OF_WRITTEN)
            }
        }
    }

    /// Of the attributes of a file that was just made. Until it is written there is nothing that a mapping could change, and what
    /// makes it larger the kernel does itself, or is told then.
    pub(super) fn belief_in_new(&self, id: NodeId, is_written: bool) -> Duration {
        if is_written { self.belief(id).min(OF_WRITTEN) } else { self.belief(id) }
    }

    /// Of the absence of a name.
    pub(super) fn belief_in_absence(&self) -> Duration {
        if self.expects_changes() { self.manner.lower_belief } else { LASTING }
    }

    /// Has the kernel ask again for the attributes of a node, after a request whose answer has no room for what it changed.
    /// Told from within the request: the kernel only notes it, and waits for no lock that a request holds as long as no
    /// contents are named.
    pub(super) fn disbelieve(&self, id: NodeId) {
        for face in [Some(Face::first(id)), self.backing.faces.second(id)].into_iter().flatten() {
            if let Err(error) = self.kernel.invalidate(face.0, Drop::Attributes) {
                tracing::warn!("the kernel shows attributes of before a change: {error}");
            }
        }
    }

    /// Has the kernel drop what it keeps of a directory's listings, after a change of its names. It sees by
    /// itself that they are out of date where a listing begins; one that is under way would go on in what another reader left
    /// there before the change, and give a name twice, or one that is gone, or lose one. Told before the change is answered:
    /// until then nobody lists the directory. No request holds a page of a listing while it waits.
    pub(super) fn unlist(&self, dir: NodeId) {
        // Where the kernel is to expect changes it keeps no listings.
        if self.expects_changes() || !self.union.take_shown(dir) {
            return;
        }
        if let Err(error) = self.kernel.invalidate(dir.0, Drop::Contents) {
            tracing::warn!("a listing under way may show what was before a change: {error}");
        }
    }

    /// Whether others may change the lower while it is mounted.
    pub(super) fn expects_changes(&self) -> bool {
        self.manner.lower_belief != LASTING
    }
}
