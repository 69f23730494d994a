//! Mounts of plain directories, the words of `-o`, and the names that other programs call layerfs by.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "mount_options/acl.rs"]
mod acl;
#[path = "mount_options/awake.rs"]
mod awake;
#[path = "mount_options/beside.rs"]
mod beside;
#[path = "mount_options/callers.rs"]
mod callers;
#[path = "mount_options/changing.rs"]
mod changing;
#[path = "mount_options/dead.rs"]
mod dead;
#[path = "mount_options/effects.rs"]
mod effects;
#[path = "mount_options/fstab.rs"]
mod fstab;
#[path = "mount_options/in_kernel.rs"]
mod in_kernel;
#[path = "mount_options/kept.rs"]
mod kept;
#[allow(dead_code, reason = "the images of other tests")]
#[path = "cli/layout.rs"]
mod layout;
#[path = "mount_options/live.rs"]
mod live;
#[path = "mount_options/lived.rs"]
mod lived;
#[path = "mount_options/marks.rs"]
mod marks;
#[path = "mount_options/named.rs"]
mod named;
#[path = "mount_options/normalized.rs"]
mod normalized;
#[path = "mount_options/numbers.rs"]
mod numbers;
#[path = "mount_options/owners.rs"]
mod owners;
#[path = "mount_options/page.rs"]
mod page;
#[path = "mount_options/partial.rs"]
mod partial;
#[allow(dead_code, reason = "what other tests ask of the command")]
#[path = "cli/place.rs"]
mod place;
#[path = "mount_options/posix.rs"]
mod posix;
#[path = "mount_options/private.rs"]
mod private;
#[path = "mount_options/refused.rs"]
mod refused;
#[path = "mount_options/remounted.rs"]
mod remounted;
#[path = "mount_options/requests.rs"]
mod requests;
#[path = "mount_options/served.rs"]
mod served;
#[path = "mount_options/unmarked.rs"]
mod unmarked;
#[path = "mount_options/volatile.rs"]
mod volatile;
#[path = "mount_options/waiting.rs"]
mod waiting;
#[path = "mount_options/whiteouts.rs"]
mod whiteouts;
