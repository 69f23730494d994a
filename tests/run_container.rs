//! `layerfs run`: what a container sees, what holds it, how it ends, and that nothing of it is left. Every test runs the
//! real command on a real tree.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

mod support;

#[path = "run_container/bounded.rs"]
mod bounded;
#[path = "run_container/caller.rs"]
mod caller;
#[path = "run_container/carried.rs"]
mod carried;
#[path = "run_container/configured.rs"]
mod configured;
#[path = "run_container/console.rs"]
mod console;
#[path = "run_container/copied.rs"]
mod copied;
#[path = "run_container/cycle.rs"]
mod cycle;
#[path = "run_container/cycles.rs"]
mod cycles;
#[path = "run_container/demo.rs"]
mod demo;
#[path = "run_container/detached.rs"]
mod detached;
#[path = "run_container/devices.rs"]
mod devices;
#[path = "run_container/ended.rs"]
mod ended;
#[path = "run_container/exec.rs"]
mod exec;
#[path = "run_container/hostile.rs"]
mod hostile;
#[path = "run_container/image.rs"]
mod image;
#[path = "run_container/init.rs"]
mod init;
#[path = "run_container/limited.rs"]
mod limited;
#[path = "run_container/links.rs"]
mod links;
#[path = "run_container/lost.rs"]
mod lost;
#[path = "run_container/memory.rs"]
mod memory;
#[path = "run_container/paused.rs"]
mod paused;
#[path = "run_container/place.rs"]
mod place;
#[path = "run_container/planted.rs"]
mod planted;
#[path = "run_container/poisoned.rs"]
mod poisoned;
#[path = "run_container/probed.rs"]
mod probed;
#[path = "run_container/raced.rs"]
mod raced;
#[path = "run_container/ranges.rs"]
mod ranges;
#[path = "run_container/rebooted.rs"]
mod rebooted;
#[cfg(feature = "fault")]
#[path = "run_container/refused.rs"]
mod refused;
#[path = "run_container/rights.rs"]
mod rights;
#[path = "run_container/sealed.rs"]
mod sealed;
#[path = "run_container/seen.rs"]
mod seen;
#[path = "run_container/shown.rs"]
mod shown;
#[path = "run_container/stats.rs"]
mod stats;
#[path = "run_container/streams.rs"]
mod streams;
#[path = "run_container/top.rs"]
mod top;
#[path = "run_container/updated.rs"]
mod updated;
#[path = "run_container/userns.rs"]
mod userns;
#[path = "run_container/volumes.rs"]
mod volumes;
