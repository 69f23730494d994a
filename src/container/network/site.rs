//! The bridge of a run directory: its name, its range of addresses, the table of its rules.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, bail};
use layerfs_runtime::network::{self, Bridge, Dropped, Routes, Subnet, Until};

/// So many run directories have a bridge at the same time.
const BRIDGES_MAX: u32 = 32;

/// Bits that the addresses of one bridge share: a bridge has room for 1,023 ports.
const PREFIX_LEN: u8 = 22;

/// A bridge, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The bridge's name.
    pub bridge: String,
    /// The name of the table of rules.
    pub table: String,
    /// The containers' addresses.
    pub subnet: Subnet,
    /// The bridge's own.
    pub gateway: Ipv4Addr,
    /// Bytes that a link carries at once.
    pub mtu: u32,
}

/// Makes sure that the run directory has its bridge, and answers it. Another run directory's is left alone: whose a bridge is
/// says its hardware address, with which it was made.
pub fn make_sure(run: &Path) -> Result<Site> {
    let mac = mac_of(run);
    let mut routes: Option<Routes> = None;
    for number in 0..BRIDGES_MAX {
        let (bridge, table) = names(number);
        let found = network::find(&bridge)?;
        if found.as_ref().is_some_and(|(other, _)| *other != mac) {
            continue;
        }
        let known = found.and_then(|(_, found)| Some((found.address?, found.mtu)));
        let ((gateway, subnet), mtu) = match known {
            Some(known) => known,
            None => {
                let routes = match &routes {
                    Some(routes) => routes,
                    None => routes.insert(network::routes()?),
                };
                (free(routes)?, routes.mtu)
            }
        };
        let made = Bridge { name: bridge.clone(), address: Some((gateway, subnet)), mtu };
        if network::make(&made, mac)? {
            return Ok(Site { bridge, table, subnet, gateway, mtu });
        }
    }
    bail!("there are bridges layerfs0 to layerfs{} of other run directories", BRIDGES_MAX - 1)
}

/// The bridge that the run directory has now; `None` where it has none.
pub fn find(run: &Path) -> Result<Option<Site>> {
    let mac = mac_of(run);
    for (bridge, table) in (0..BRIDGES_MAX).map(names) {
        let found = network::find(&bridge)?.filter(|(other, _)| *other == mac);
        if let Some((_, Bridge { address: Some((gateway, subnet)), mtu, .. })) = found {
            return Ok(Some(Site { bridge, table, subnet, gateway, mtu }));
        }
    }
    Ok(None)
}

/// A bridge that goes, and its rules.
#[derive(Debug)]
#[must_use]
pub struct Going {
    _freed_meanwhile: Option<Dropped>,
    bridge: Option<network::Going>,
}

impl Going {
    /// Waits until nobody finds it any more.
    pub fn end(self) -> Result<()> {
        Ok(self.bridge.map_or(Ok(()), network::Going::end)?)
    }
}

/// Has the rules and the bridge of a run directory taken away, if they are there. Nothing comes by it any more.
pub fn remove(run: &Path, bridge: &str, until: Until) -> Result<Going> {
    let found = network::number_of(bridge)?;
    // By that name another run directory may have its own by now.
    if found.is_some_and(|(_, mac)| mac != mac_of(run)) {
        return Ok(Going { _freed_meanwhile: None, bridge: None });
    }
    let freed = Some(network::drop_table(&table_of(bridge))?);
    let going = found.map(|(index, _)| network::remove(index, bridge, until)).transpose()?;
    Ok(Going { _freed_meanwhile: freed, bridge: going })
}

/// Takes every bridge of a run directory away.
pub fn remove_all(run: &Path) -> Result<()> {
    (0..BRIDGES_MAX).map(names).try_for_each(|(bridge, _)| match network::number_of(&bridge)? {
        Some((_, mac)) if mac == mac_of(run) => remove(run, &bridge, Until::Gone)?.end(),
        _ => Ok(()),
    })
}

fn names(number: u32) -> (String, String) {
    let bridge = format!("layerfs{number}");
    let table = table_of(&bridge);
    (bridge, table)
}

/// `layerfs` for the first.
fn table_of(bridge: &str) -> String {
    match bridge {
        "layerfs0" => "layerfs".to_owned(),
        other => other.to_owned(),
    }
}

/// A range that leads nowhere yet, and the bridge's address in it. Addresses that nobody has but by his own choice
/// (RFC 1918), away from those that others begin with.
fn free(routes: &Routes) -> Result<(Ipv4Addr, Subnet)> {
    let step = 1_u32 << (32 - u32::from(PREFIX_LEN));
    let ranges = [(Ipv4Addr::new(10, 80, 0, 0), 1 << 12), (Ipv4Addr::new(172, 24, 0, 0), 1 << 9)];
    let all = ranges.iter().flat_map(|(first, count)| {
        let first = first.to_bits();
        (0..*count).map(move |number| Ipv4Addr::from_bits(first + number * step))
    });
    for base in all {
        let subnet = Subnet::of(base, PREFIX_LEN);
        if !routes.taken.iter().any(|taken| taken.meets(subnet))
            && let Some(gateway) = subnet.hosts().next()
        {
            return Ok((gateway, subnet));
        }
    }
    bail!(
        "the host routes all of 10.80.0.0/12 and 172.24.0.0/13, from which a bridge takes its addresses; give --network \
         none or host"
    )
}

/// An address that is administered locally, and different for each run directory (FNV-1a).
fn mac_of(run: &Path) -> [u8; 6] {
    let hash =
        run.as_os_str().as_encoded_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    let [a, b, c, d] = hash.to_be_bytes();
    [0x02, 0x6c, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_taken_that_the_host_does_not_route() {
        let subnet = |text: &str, len| Subnet::of(text.parse().unwrap(), len);
        let chosen = |taken: Vec<Subnet>| {
            free(&Routes { taken, mtu: 1500 })
                .map(|(gateway, subnet)| format!("{gateway} {subnet}"))
        };
        assert_eq!(chosen(Vec::new()).unwrap(), "10.80.0.1 10.80.0.0/22");
        assert_eq!(chosen(vec![subnet("10.80.1.1", 32)]).unwrap(), "10.80.4.1 10.80.4.0/22");
        assert_eq!(chosen(vec![subnet("10.80.0.0", 14)]).unwrap(), "10.84.0.1 10.84.0.0/22");
        assert_eq!(chosen(vec![subnet("10.0.0.0", 8)]).unwrap(), "172.24.0.1 172.24.0.0/22");
        let none = chosen(vec![subnet("10.0.0.0", 8), subnet("172.16.0.0", 12)]);
        assert!(none.unwrap_err().to_string().contains("--network none"));
    }

    #[test]
    fn run_directories_are_told_apart() {
        assert_ne!(mac_of(Path::new("/run/layerfs")), mac_of(Path::new("/run/other")));
        assert_eq!(mac_of(Path::new("/run/layerfs"))[0] & 3, 2, "administered locally, no group");
        assert_eq!(names(0), ("layerfs0".into(), "layerfs".into()));
        assert_eq!(names(3), ("layerfs3".into(), "layerfs3".into()));
    }
}
