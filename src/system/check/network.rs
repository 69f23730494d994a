//! The network of containers: the program that writes the rules of a bridge.

use layerfs_runtime::network;

use super::item::{Item, Need};

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
