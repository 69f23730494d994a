//! The network of a container: links and addresses by netlink, rules by `nft`, namespaces that others made.
//!
//! Two sides make one: the host's has the bridge, the rules and one end of each pair (`bridge.rs`, `pair.rs`, `rules.rs`), and
//! is made by the supervisor; the container's has the other end, and is set up by its first process (`inside.rs`), which has
//! every right in its own network and needs none in the host's. Who is not root makes no links of the host's: a program does all of
//! it from the container's side (`programs.rs`, `helped.rs`).

mod bridge;
mod error;
pub(crate) mod helped;
mod inside;
mod joined;
mod pair;
mod ports;
pub mod programs;
mod removal;
mod routes;
mod rules;
mod subnet;
mod talk;
mod tracked;

pub use bridge::{Bridge, find, make, number_of, remove};
pub use error::NetworkError;
pub(crate) use inside::set_up;
pub use joined::{host_network, of_file, of_process};
pub(crate) use pair::connect;
pub use pair::{disconnect, shut};
pub use ports::{Reserved, SOCKET_PATH_MAX, Transport, reserve, way_out};
pub use removal::{Going, Until};
pub use routes::{Routes, routes};
pub use rules::{Dropped, drop_table, feed, generation, is_there, program};
pub use subnet::Subnet;
pub use tracked::{Connections, forget_connections};
