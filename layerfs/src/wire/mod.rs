//! The kernel's FUSE protocol: requests taken apart, answers put together, and the threads that carry both.
//!
//! It knows no file system. [`Answer`] is who answers.

pub mod form;
mod handshake;
mod kernel;
mod listing;
mod patience;
mod reply;
mod request;
mod serve;
mod wakeful;

pub use handshake::{Agreed, Offer, TRANSFER_MAX, Wishes, offer};
pub use kernel::{Drop, Kernel};
pub use listing::{Entry, Listing};
pub use reply::Reply;
pub use request::{Ask, Asked};
pub use serve::{Answer, Connection, Lead};
