//! A range of addresses.

use std::net::Ipv4Addr;

/// The addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: Ipv4Addr,
    prefix_len: u8,
}

impl Subnet {
    /// The range that an address lies in. A length of more than 32 is one of 32.
    pub fn of(address: Ipv4Addr, prefix_len: u8) -> Self {
        let prefix_len = prefix_len.min(32);
        Subnet { base: Ipv4Addr::from_bits(address.to_bits() & mask(prefix_len)), prefix_len }
    }

    /// How many bits are shared.
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// Whether an address lies in it.
    pub fn has(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix_len) == self.base.to_bits()
    }

    /// Whether an address lies in both.
    pub fn meets(self, other: Subnet) -> bool {
        self.has(other.base) || other.has(self.base)
    }

    /// The addresses that hosts may have: neither the first nor the last.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let (first, last) = (self.base.to_bits(), self.base.to_bits() | !mask(self.prefix_len));
        (first.saturating_add(1)..last).map(Ipv4Addr::from_bits)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}

fn mask(prefix_len: u8) -> u32 {
    u32::MAX.checked_shl(u32::from(32 - prefix_len)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        let (address, len) = text.split_once('/').unwrap();
        Subnet::of(address.parse().unwrap(), len.parse().unwrap())
    }

    #[test]
    fn ranges_that_share_an_address_meet() {
        for (one, other, expected) in [
            ("10.1.0.0/16", "10.1.2.0/24", true),
            ("10.1.2.0/24", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.2.0.0/16", false),
            ("0.0.0.0/0", "10.2.0.0/16", true),
            ("10.2.3.4/32", "10.2.3.4/32", true),
            ("10.2.3.4/32", "10.2.3.5/32", false),
        ] {
            assert_eq!(subnet(one).meets(subnet(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_first_and_the_last_address_are_no_hosts() {
        let hosts: Vec<_> = subnet("10.1.2.9/30").hosts().map(|it| it.to_string()).collect();
        assert_eq!(hosts, ["10.1.2.9", "10.1.2.10"]);
        assert_eq!(subnet("10.1.2.9/30").to_string(), "10.1.2.8/30");
        assert_eq!(subnet("10.80.0.0/22").hosts().count(), 1022);
        assert_eq!(subnet("10.80.0.0/32").hosts().count(), 0);
    }
}
