//! How a mount ends before its users let it go: by a signal to its process, or by a failure of that.

use layerfs_driver::fuse::{Mount, TakenAway};
use layerfs_driver::sys::signal;

/// The status of a process that left its mount to itself.
const LEFT: i32 = 1;

/// Waits, in a thread that ends with the process, for signals that tell it to end. At the first the mount goes out of
/// the tree and is served until its last user leaves. At the next, or where it can't be taken away since another mount
/// stands on top of it, the process leaves: the kernel refuses the users from then on, and what is left in the store
/// the next command sweeps.
pub fn follow_signals(mount: Mount) {
    std::thread::spawn(move || {
        let mut is_detached = false;
        while signal::wait_for_end().is_ok() {
            tracing::debug!("told to end");
            if is_detached || take_away(&mount) == TakenAway::Covered {
                std::process::exit(LEFT);
            }
            is_detached = true;
        }
    });
}

/// Takes a mount away; one that can't be is left, and told.
pub fn take_away(mount: &Mount) -> TakenAway {
    mount.take_away().unwrap_or_else(|error| {
        tracing::error!("{error}");
        TakenAway::Covered
    })
}
