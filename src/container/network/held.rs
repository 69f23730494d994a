//! What a container that this process runs holds of the host's network: its ports, its address, its place on the bridge.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::Living;
use layerfs_driver::sys::Errno;
use layerfs_runtime::network::programs::{self as its, Kind};
use layerfs_runtime::network::{self, NetworkError, Reserved, Until};
use layerfs_runtime::spec::{Connection, Network};

use super::lease::{self, Lease, Way};
use super::leases::{Leases, Mine};
use super::mode::{Asked, Mode};
use super::ports::Publish;
use super::site::Site;
use super::words::Wanted;
use super::{programs, site};
use crate::output::message;
use crate::roots::Roots;

/// Ports of the host's that nobody else gets meanwhile.
#[derive(Debug, Default)]
struct Kept {
    ports: Vec<Publish>,
    _sockets: Vec<Reserved>,
}

/// Takes the ports that are asked for, before anything is made. One that is taken is named.
fn keep(ports: &[Publish], leases: &Leases) -> Result<Kept> {
    let mut kept = Kept::default();
    let others = leases.living()?;
    for port in ports {
        let shown = || format!("--publish {}", port.outside());
        if kept.ports.iter().any(|other| other.meets(port)) {
            bail!("{}: it is published twice; give each port once", shown());
        }
        let taken = |lease: &&Lease| lease.ports.iter().any(|other| other.meets(port));
        if let Some(other) = others.iter().find(taken) {
            bail!(
                "{}: the port is taken by the container `{}`; give another one, or end that container",
                shown(),
                other.name
            );
        }
        let reserved = match network::reserve(port.transport, port.host()) {
            Err(error) if error.errno() == Errno::ADDRINUSE => bail!(
                "{}: the port is taken by a program of the host; give another one, or end that program",
                shown()
            ),
            Err(error) if error.errno() == Errno::ADDRNOTAVAIL => {
                bail!("{}: the host has no address {}", shown(), port.host_ip)
            }
            Err(error) if error.errno() == Errno::ACCESS => bail!(
                "{}: root alone takes ports as low as that (net.ipv4.ip_unprivileged_port_start); give one of 1024 or more",
                shown()
            ),
            reserved => reserved.with_context(shown)?,
        };
        kept.ports.push(Publish { host_port: reserved.address.port(), ..*port });
        kept._sockets.push(reserved);
    }
    Ok(kept)
}

/// What a container holds. Dropped, it is given back.
#[derive(Debug)]
pub struct Held {
    network: Network,
    place: Option<Place>,
    _kept: Kept,
}

/// What is written down of it in the run directory.
#[derive(Debug)]
struct Place {
    mine: Mine,
    run: std::path::PathBuf,
}

impl Held {
    /// Gives the container its address and its ports. The bridge and the rules are there when this returns.
    pub fn begin(wanted: &Wanted, living: &Living, roots: &Roots) -> Result<Self> {
        let ports = &wanted.ports[..];
        let without_place = |network| Held { network, place: None, _kept: Kept::default() };
        let asked = match &wanted.mode {
            Mode::None => return Ok(without_place(Network::None)),
            Mode::Host => return Ok(without_place(Network::Host)),
            Mode::Container(_) | Mode::Namespace(..) => return Ok(without_place(Network::Joined)),
            Mode::Helped(kind, _) => return Held::helped(*kind, ports, living, roots),
            Mode::Bridge(asked) => asked,
        };
        let kept = match ports {
            [] => Kept::default(),
            ports => keep(ports, &Leases::hold(run_of(roots)?)?)?,
        };
        match run_of(roots).and_then(|run| connect(&kept.ports, living, run)) {
            Ok((connection, place)) => {
                let network = Network::Bridge(connection);
                Ok(Held { network, place: Some(place), _kept: kept })
            }
            Err(error) if *asked == Asked::ByDefault => {
                message::say(format_args!("the container has no network: {error:#}"));
                Ok(without_place(Network::None))
            }
            Err(error) => Err(error),
        }
    }

    /// The same where a program leads what comes and goes. It takes the ports itself: here they are only looked at, and those that
    /// are left to us chosen.
    fn helped(kind: Kind, ports: &[Publish], living: &Living, roots: &Roots) -> Result<Self> {
        let run = match (&roots.run, ports) {
            (Some(run), _) => run.as_path(),
            // Nothing that anybody would have to know of.
            (None, []) => {
                let network = Network::Helped(programs::helper(kind, ports, "".into())?);
                return Ok(Held { network, place: None, _kept: Kept::default() });
            }
            (None, _) => run_of(roots)?,
        };
        let leases = Leases::hold(run)?;
        leases.release_dead()?;
        let id = living.id().to_string();
        let ports = keep(ports, &leases)?.ports;
        let helper = programs::helper(kind, &ports, programs::socket_of(leases.run(), &id))?;
        let mine = leases.add(Lease {
            version: lease::VERSION,
            id,
            name: living.name().to_owned(),
            host_network: leases.host_network(),
            way: Way::Helper { helper: kind.name().to_owned() },
            address: its::ADDRESS,
            prefix_len: its::PREFIX_LEN,
            gateway: its::GATEWAY,
            ports,
        })?;
        let place = Some(Place { mine, run: run.to_owned() });
        Ok(Held { network: Network::Helped(helper), place, _kept: Kept::default() })
    }

    /// What the container is to see.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Its address, where it has one of its own.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match &self.network {
            Network::Bridge(connection) => Some(connection.address),
            Network::Helped(_) => Some(its::ADDRESS),
            Network::None | Network::Host | Network::Joined => None,
        }
    }

    /// The host, as the container reaches it.
    pub fn host(&self) -> Result<Ipv4Addr> {
        Ok(match &self.network {
            Network::Bridge(connection) => connection.gateway,
            // Its gateway is none of the host's.
            Network::Helped(_) => network::way_out()?.unwrap_or(its::GATEWAY),
            // With the host's network the host is where the container is.
            Network::None | Network::Host | Network::Joined => Ipv4Addr::LOCALHOST,
        })
    }

    /// The container has no network after all: what it would have is given back.
    pub fn lose(&mut self) -> Result<()> {
        self.network = Network::None;
        self.give_back(Until::Gone)
    }

    /// Gives everything back. The container has ended.
    pub fn end(mut self) -> Result<()> {
        self.give_back(Until::Unlisted)
    }

    fn give_back(&mut self, until: Until) -> Result<()> {
        let Some(Place { mine, run }) = self.place.take() else { return Ok(()) };
        Leases::hold(&run)?.release(&mine.lease, until)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.give_back(Until::Gone) {
            message::error(&error);
        }
    }
}

/// Releases what containers have that are dead.
pub fn sweep(roots: &Roots) -> Result<()> {
    let Some(run) = &roots.run else { return Ok(()) };
    Leases::hold_if_there(run)?.map_or(Ok(()), |leases| leases.release_dead())
}

fn run_of(roots: &Roots) -> Result<&Path> {
    roots.run.as_deref().context("no place for what runs; give --runroot DIR")
}

fn connect(ports: &[Publish], living: &Living, run: &Path) -> Result<(Connection, Place)> {
    if network::program().is_none() {
        return Err(NetworkError::NoNft.into());
    }
    let leases = Leases::hold(run)?;
    leases.release_dead()?;
    let connected = site::make_sure(leases.run())
        .and_then(|site| join(&leases, &site, ports, living).map(|mine| (site, mine)));
    let (site, mine) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            // What was made for this one alone.
            if let Err(left) = leases.clear_unused() {
                message::error(&left);
            }
            return Err(error);
        }
    };
    let connection = Connection {
        bridge: site.bridge,
        link: lease::link_of(&mine.lease.id),
        mac: lease::mac_of(mine.lease.address),
        mtu: site.mtu,
        address: mine.lease.address,
        subnet: site.subnet,
        gateway: site.gateway,
    };
    Ok((connection, Place { mine, run: run.to_owned() }))
}

/// Takes an address, and lets the rules say so.
fn join(leases: &Leases, site: &Site, ports: &[Publish], living: &Living) -> Result<Mine> {
    let mut here = leases.here()?;
    let is_free = |address: &std::net::Ipv4Addr| {
        *address != site.gateway && !here.iter().any(|lease| lease.address == *address)
    };
    // In turn, so that one comes back as late as can be: others may still believe that it is who had it before.
    let (last, free) = (leases.last()?, || site.subnet.hosts().filter(is_free));
    let address = free().find(|address| Some(*address) > last).or_else(|| free().next());
    let address = address.with_context(|| {
        format!(
            "every address of {} is taken; end a container, or give --network none",
            site.subnet
        )
    })?;
    let id = living.id().to_string();
    let mine = leases.add(Lease {
        version: lease::VERSION,
        name: living.name().to_owned(),
        host_network: leases.host_network(),
        way: Way::Bridge { bridge: site.bridge.clone(), link: lease::link_of(&id) },
        address,
        prefix_len: site.subnet.prefix_len(),
        gateway: site.gateway,
        ports: ports.to_vec(),
        id,
    })?;
    here.push(mine.lease.clone());
    // Also where it publishes nothing: somebody may have emptied the table.
    if let Err(error) = leases.feed(site, &here) {
        if let Err(left) = leases.release(&mine.lease, Until::Gone) {
            message::error(&left);
        }
        return Err(error);
    }
    Ok(mine)
}
