//! The network of containers: the program that writes the rules of a bridge, or one that does without.

use layerfs_runtime::network;

use super::item::{Item, Need};
use crate::container::network::programs;

/// `nft`, by which a bridge has its rules.
pub fn nft() -> Item {
    let item = Item::ok("nft", Need::Some, "");
    match network::program() {
        Some(path) => Item { detail: format!("{}", path.display()), ..item },
        None => item.missing(
            "not there: containers have no network but a loopback or the host's",
            "`apt-get install nftables` as root",
        ),
    }
}

/// The program by which the containers of this user, who is not root, have a network.
pub fn of_users() -> Item {
    let item = Item::ok("users' networks", Need::Some, "");
    match programs::usual().and_then(|kind| Ok(programs::find(kind)?)) {
        Ok(path) => Item { detail: format!("{}", path.display()), ..item },
        Err(_) if programs::found().is_empty() => item.missing(
            "neither pasta nor slirp4netns is in PATH: containers have no network but a loopback or the host's",
            "`apt-get install passt` as root",
        ),
        Err(why) => item.limited(
            format!("containers have no network but a loopback or the host's: {why:#}"),
            "mend that, or give --network slirp4netns, host or none",
        ),
    }
}
