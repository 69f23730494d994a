//! How long the kernel may believe what it was told.
//!
//! All changes of the upper go through this door, and an image never changes: what rests on those alone is believed for
//! long. Plain directories below may be changed by others, of which nobody tells the kernel.

use std::time::Duration;

use super::door::Door;
use crate::union::NodeId;

/// For what changes through this door only.
pub const LASTING: Duration = Duration::from_secs(3600);

impl Door {
    /// Of a node, its attributes and its name.
    pub(super) fn belief(&self, id: NodeId) -> Duration {
        if self.expects_changes() && self.union.rests_on_lower(id) {
            self.lower_belief
        } else {
            LASTING
        }
    }

    /// Of the absence of a name.
    pub(super) fn belief_in_absence(&self) -> Duration {
        if self.expects_changes() { self.lower_belief } else { LASTING }
    }

    /// Whether others may change the lower while it is mounted.
    pub(super) fn expects_changes(&self) -> bool {
        self.lower_belief != LASTING
    }
}
