//! What a container has of the host's network: the form of a file of the run directory, described in `docs/format.md`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::ports::Publish;

/// What a container has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The version of this form.
    pub version: u32,
    /// The container.
    pub id: String,
    /// Its name, for who asks for the same port.
    pub name: String,
    /// The inode number of the network that plays the host.
    pub host_network: u64,
    /// What leads there.
    #[serde(flatten)]
    pub way: Way,
    /// Its address.
    pub address: Ipv4Addr,
    /// How many bits of that are the range's.
    pub prefix_len: u8,
    /// The way out: the bridge's address.
    pub gateway: Ipv4Addr,
    /// Its ports, each of the host's known.
    pub ports: Vec<Publish>,
}

/// What leads to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Way {
    /// A bridge of the host's.
    Bridge {
        /// The bridge.
        bridge: String,
        /// The host's end of its pair of links.
        link: String,
    },
    /// A program of the user's.
    Helper {
        /// What it is called.
        helper: String,
    },
}

/// The version that is written.
pub const VERSION: u32 = 1;

impl Lease {
    /// Its hardware address on a bridge: a table that still knows the last one who had this address is right.
    pub fn mac(&self) -> Option<[u8; 6]> {
        match self.way {
            Way::Bridge { .. } => Some(mac_of(self.address)),
            Way::Helper { .. } => None,
        }
    }

    /// Reads one; `None` where it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|lease: &Lease| lease.version == VERSION)
    }
}

/// The hardware address of who has an address of a bridge.
pub fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The name of the host's end of a container's pair of links: the kernel has room for 15 bytes.
pub fn link_of(id: &str) -> String {
    format!("lf{}", id.get(..12).unwrap_or(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(way: Way) -> Lease {
        Lease {
            version: VERSION,
            id: "ab".repeat(32),
            name: "web".into(),
            host_network: 1,
            way,
            address: Ipv4Addr::new(10, 1, 2, 3),
            prefix_len: 22,
            gateway: Ipv4Addr::new(10, 1, 0, 1),
            ports: super::super::ports::read("80:80/udp").unwrap(),
        }
    }

    fn on_bridge() -> Lease {
        let link = link_of(&"ab".repeat(32));
        assert!(link.len() < 16);
        lease(Way::Bridge { bridge: "layerfs0".into(), link })
    }

    #[test]
    fn a_lease_that_is_cut_or_of_another_version_is_none() {
        for lease in [on_bridge(), lease(Way::Helper { helper: "pasta".into() })] {
            let text = serde_json::to_string(&lease).unwrap();
            assert_eq!(Lease::read(text.as_bytes()), Some(lease.clone()));
            for len in 0..text.len() {
                assert_eq!(Lease::read(&text.as_bytes()[..len]), None, "{len}");
            }
            let other = text.replace("\"version\":1", "\"version\":2");
            assert_eq!(Lease::read(other.as_bytes()), None);
        }
        assert_eq!(on_bridge().mac(), Some([2, 0x42, 10, 1, 2, 3]));
    }

    /// Who runs a container may be older than who lists it.
    #[test]
    fn a_bridge_is_told_as_it_was_before_there_were_programs() {
        let text = serde_json::to_string(&on_bridge()).unwrap();
        let expected = r#""host_network":1,"bridge":"layerfs0","link":"lfabababababab","address":"10.1.2.3","prefix_len":22"#;
        assert!(text.contains(expected), "{text}");
    }
}
