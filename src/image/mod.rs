//! Verbs on images, one file each, and what several of them share.

pub mod absent;
mod bring;
mod columns;
mod filter;
pub mod history;
pub mod images;
pub mod import;
pub mod inspect;
pub mod layers;
pub mod load;
pub mod pull;
pub mod push;
pub mod rmi;
pub mod save;
mod steps;
pub mod tag;
mod uppers;
