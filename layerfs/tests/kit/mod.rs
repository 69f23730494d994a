//! What the suites of the union share: what it is mounted from, what is done with it, what it shows.

#![allow(dead_code, reason = "each suite uses a part")]

pub mod copy;
pub mod deeds;
pub mod forms;
pub mod ground;
pub mod image;
pub mod seen;
pub mod task;
pub mod visit;
pub mod way;
