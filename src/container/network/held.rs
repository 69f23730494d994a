//! What a container that this process runs holds of the host's network: its ports, its address, its place on the bridge.

use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::Living;
use layerfs_driver::sys::Errno;
use layerfs_runtime::network::{self, NetworkError, Reserved};
use layerfs_runtime::spec::{Connection, Network};

use super::lease::{self, Lease};
use super::leases::{Leases, Mine};
use super::mode::{Asked, Mode};
use super::ports::Publish;
use super::site::Site;
use super::words::Wanted;
use super::{rules, site};
use crate::output::message;
use crate::roots::Roots;

/// Ports of the host's that nobody else gets meanwhile.
#[derive(Debug)]
struct Kept {
    ports: Vec<Publish>,
    _sockets: Vec<Reserved>,
}

/// Takes the ports that are asked for, before anything is made. One that is taken is named.
fn keep(wanted: &Wanted, roots: &Roots) -> Result<Kept> {
    let mut kept = Kept { ports: Vec::new(), _sockets: Vec::new() };
    if wanted.ports.is_empty() {
        return Ok(kept);
    }
    let leases = Leases::hold(run_of(roots)?)?;
    let others = leases.living()?;
    for port in &wanted.ports {
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

/// A place on the bridge.
#[derive(Debug)]
struct Place {
    mine: Mine,
    run: std::path::PathBuf,
}

impl Held {
    /// Gives the container its address and its ports. The bridge and the rules are there when this returns.
    pub fn begin(wanted: &Wanted, living: &Living, roots: &Roots) -> Result<Self> {
        let kept = keep(wanted, roots)?;
        let (network, place) = match &wanted.mode {
            Mode::None => (Network::None, None),
            Mode::Host => (Network::Host, None),
            Mode::Container(_) | Mode::Namespace(..) => (Network::Joined, None),
            Mode::Bridge(asked) => {
                match run_of(roots).and_then(|run| connect(&kept.ports, living, run)) {
                    Ok((connection, place)) => (Network::Bridge(connection), Some(place)),
                    Err(error) if *asked == Asked::ByDefault => {
                        message::say(format_args!("the container has no network: {error:#}"));
                        (Network::None, None)
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(Held { network, place, _kept: kept })
    }

    /// What the container is to see.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What it has of the bridge.
    pub fn lease(&self) -> Option<&Lease> {
        self.place.as_ref().map(|place| &place.mine.lease)
    }

    /// Gives everything back. The container has ended.
    pub fn end(mut self) -> Result<()> {
        self.place.take().map_or(Ok(()), give_back)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.place.take().map(give_back) {
            message::error(&error);
        }
    }
}

fn give_back(place: Place) -> Result<()> {
    Leases::hold(&place.run)?.release(&place.mine.lease)
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
        link: mine.lease.link.clone(),
        mac: mine.lease.mac(),
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
        bridge: site.bridge.clone(),
        link: lease::link_of(&id),
        address,
        prefix_len: site.subnet.prefix_len(),
        gateway: site.gateway,
        ports: ports.to_vec(),
        id,
    })?;
    here.push(mine.lease.clone());
    // Also where it publishes nothing: somebody may have emptied the table.
    if let Err(error) = network::feed(&rules::text(site, &here)) {
        leases.release(&mine.lease)?;
        return Err(error.into());
    }
    Ok(mine)
}
