//! What containers and mounts changed: told, or made an image.

pub mod commit;
pub mod diff;
mod directories;
mod instruction;
pub mod still;
mod what;
