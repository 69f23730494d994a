//! Containers: who uses an image or a root file system now, or did, each in a directory of its own below `containers/`.
//!
//! 1. The directory is locked (flock, exclusive) by the process that runs the container, for as long as it lives. That
//!    lock is what "running" means: death releases it, however it comes, a reboot too.
//! 2. The name of its record says what becomes of it: `container.json` is *kept* until it is removed by name,
//!    `throwaway.json` goes with its process. A directory that is not locked and has no `container.json` is nothing: not
//!    yet made, never to be kept, or half removed. Whoever sweeps removes it without reading it.
//! 3. The record is the last that is written when a container is made and the first that goes when it is removed. So
//!    whoever sees a record sees a whole container.
//! 4. Being made, or being found dead, needs the lock of `containers/` itself: no sweep sees a directory that is made and
//!    not locked yet, and no two containers get one name.
//!    One that is to be started some time says so in its state, and is not locked until then. To be started it is locked
//!    under the lock of `containers/`, too.
//! 5. Layers that a record names are roots of gc: of every kept container, and of throwaway ones that live.
//!
//! A mount of an image is a throwaway container without a name; `ps` does not show it.

mod create;
mod dead;
mod find;
mod id;
mod living;
mod name;
mod needs;
mod record;
mod remove;
mod restart;
mod sound;
mod state;
mod writable;

pub use create::NewContainer;
pub use dead::{Dead, Settled};
pub use find::Container;
pub(super) use find::is_living;
pub use id::ContainerId;
pub use living::Living;
pub(super) use needs::UsedImage;
pub use record::{Base, Keep};
pub(super) use sound::{mend_state, soundness};
pub use state::{Exited, State};
pub use writable::{Left, Stands, Writable};
