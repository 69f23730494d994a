//! The leases of a run directory: one file for each container, all under one lock.
//!
//! A file is locked for as long as the process that runs its container lives, so that whoever comes next knows the dead ones.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::lock::{self, Share};
use layerfs_driver::sys::{Errno, SysError};
use layerfs_runtime::network::{self, Connections, Until};

use super::lease::{Lease, Way};
use super::site::Site;
use super::{programs, rules, site};
use crate::output::message;
use crate::owner;

/// The directory in the run directory.
const DIR: &str = "network";

/// The file that whoever reads or writes holds.
const LOCK: &str = "lock";

/// What a file is called until it is whole.
const UNFINISHED: &str = "new";

/// The file that says which address was given last.
const LAST: &str = "last";

/// The file that says which rules were written last, and by which change.
const RULES: &str = "rules";

/// Bytes of an address, at most.
const ADDRESS_LEN_MAX: u64 = 15;

/// Bytes of a lease, at most: 65,535 ports of each kind.
const LEN_MAX: u64 = 32 << 20;

/// The leases, held: nobody else reads or changes them.
#[derive(Debug)]
pub struct Leases {
    run: PathBuf,
    dir: OwnedFd,
    host_network: u64,
    _lock: OwnedFd,
}

/// A lease of a container that this process runs.
#[derive(Debug)]
pub struct Mine {
    /// What it says.
    pub lease: Lease,
    _file: OwnedFd,
}

/// Which change of rules was the last; `None` where the kernel does not say.
fn generation() -> Option<u32> {
    let generation = network::generation();
    generation.inspect_err(|error| tracing::debug!("{error}")).ok()
}

/// Has the kernel forget the connections of a container that nothing leads to any more. One without these messages forgets by itself, in
/// some minutes. Who comes to an address that publishes nothing comes to that address, whoever has it.
fn forget_connections(lease: &Lease) {
    let which = if lease.ports.is_empty() { Connections::Begun } else { Connections::All };
    if let Err(error) = network::forget_connections(lease.address, which) {
        tracing::debug!("{error}");
    }
}

/// A file of the directory.
struct Found {
    lease: Option<Lease>,
    name: String,
    is_dead: bool,
}

impl Leases {
    /// Waits until they are had. The directory is made where it is absent.
    pub fn hold(run: &Path) -> Result<Self> {
        let place = run.join(DIR);
        let deed = || format!("hold the leases of addresses in `{}`", place.display());
        let whole = owner::open_run(run)?;
        let dir = owner::open_below(&whole, DIR, run)?;
        let file = file::open_or_create(&dir, LOCK, 0o600).with_context(deed)?;
        lock::wait(&file, Share::Exclusive).with_context(deed)?;
        let run = dir::path_of(&whole).with_context(deed)?;
        Ok(Leases { run, dir, host_network: network::host_network()?, _lock: file })
    }

    /// The same where there are some; a run directory that never had any is left alone.
    pub fn hold_if_there(run: &Path) -> Result<Option<Self>> {
        match dir::open_path(run.join(DIR).as_path()) {
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("open the run directory `{}`", run.display()))
            }
            Ok(_) => Leases::hold(run).map(Some),
        }
    }

    /// The run directory.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The number of the network that plays the host.
    pub fn host_network(&self) -> u64 {
        self.host_network
    }

    /// Those of containers that live, in this network.
    pub fn living(&self) -> Result<Vec<Lease>> {
        let all = self.found()?.into_iter().filter(|found| !found.is_dead);
        Ok(all.filter_map(|found| found.lease).filter(|lease| self.is_here(lease)).collect())
    }

    /// Whether it is of the network that this process is in.
    fn is_here(&self, lease: &Lease) -> bool {
        lease.host_network == self.host_network
    }

    /// Which address was given last, whoever had it; `None` where that is not known.
    pub fn last(&self) -> Result<Option<Ipv4Addr>> {
        let text = match file::open_read(&self.dir, LAST, Symlinks::Stop) {
            Err(error) if error.is_absent() => return Ok(None),
            opened => match file::read_all(&opened?, ADDRESS_LEN_MAX) {
                // What is no address says nothing.
                Err(error) if error.errno() == Errno::FBIG => return Ok(None),
                text => text?,
            },
        };
        Ok(str::from_utf8(&text).ok().and_then(|text| text.parse().ok()))
    }

    fn note_last(&self, address: Ipv4Addr) -> Result<()> {
        let deed = || format!("write down that {address} is given");
        self.put(LAST, address.to_string().as_bytes()).with_context(deed).map(drop)
    }

    /// Writes a file, whole, and locked from the start. Of one that is refused nothing is there.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<OwnedFd, SysError> {
        let put = self.unfinished().and_then(|file| {
            lock::wait(&file, Share::Exclusive)?;
            file::write_all(&file, bytes)?;
            dir::rename(&self.dir, UNFINISHED, &self.dir, name)?;
            Ok(file)
        });
        if put.is_err()
            && let Err(left) = self.clear_unfinished()
        {
            tracing::debug!("what could not be written whole stays until the next sweep: {left}");
        }
        put
    }

    /// Takes away what is not whole: who holds the leases writes none, and whoever did was refused something, or killed.
    fn clear_unfinished(&self) -> Result<(), SysError> {
        match dir::unlink(&self.dir, UNFINISHED) {
            Err(error) if error.is_absent() => Ok(()),
            done => done,
        }
    }

    /// Has the kernel take the rules of these leases. `nft` takes longer than a container's start, and is left out where the table
    /// says all of it: no rule of this network has changed since it was written.
    pub fn feed(&self, site: &Site, leases: &[Lease]) -> Result<()> {
        let text = rules::text(site, leases);
        let before = generation();
        let fed = self.fed().unwrap_or_else(|error| {
            tracing::debug!("which rules there are is not known: {error:#}");
            None
        });
        if fed.is_some_and(|fed| before.is_some_and(|now| fed == self.note_of(now, &text)))
            && network::is_there(&site.table)?
        {
            return Ok(());
        }
        network::feed(&text)?;
        // Where more than one change was made, not all is known of them. An older note is of no change that comes.
        if let (Some(before), Some(now)) = (before, generation())
            && now == before.wrapping_add(1)
            && let Err(error) = self.put(RULES, &self.note_of(now, &text))
        {
            tracing::debug!("which rules there are is not written down: {error}");
        }
        Ok(())
    }

    fn note_of(&self, generation: u32, rules: &str) -> Vec<u8> {
        format!("{} {generation}\n{rules}", self.host_network).into_bytes()
    }

    /// What was noted of the rules that were written last.
    fn fed(&self) -> Result<Option<Vec<u8>>> {
        match file::open_read(&self.dir, RULES, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(None),
            opened => Ok(Some(file::read_all(&opened?, LEN_MAX)?)),
        }
    }

    fn unfinished(&self) -> Result<OwnedFd, SysError> {
        self.clear_unfinished()?;
        file::create_new(&self.dir, UNFINISHED, 0o600)
    }

    /// Writes one, whole, and locked from the start.
    pub fn add(&self, lease: Lease) -> Result<Mine> {
        let deed = || format!("write the lease of container {}", lease.name);
        // First: who is killed in between has had its turn. By a program all have one address.
        if let Way::Bridge { .. } = lease.way {
            self.note_last(lease.address)?;
        }
        let file = self.put(&lease.id, &serde_json::to_vec(&lease)?).with_context(deed)?;
        Ok(Mine { lease, _file: file })
    }

    /// Takes away what a container has of the bridge, and with the last one the bridge. Its lease goes last: as long as it is
    /// there, whoever comes next finds what is left.
    pub fn release(&self, lease: &Lease, until: Until) -> Result<()> {
        match &lease.way {
            Way::Bridge { bridge, link } if self.is_here(lease) => {
                self.leave_bridge(lease, (bridge, link), until)?;
            }
            Way::Bridge { .. } => {}
            // The program has ended with who ran the container, whatever ended that.
            Way::Helper { .. } => self.remove_socket(&lease.id)?,
        }
        self.forget(&lease.id)
    }

    fn leave_bridge(
        &self,
        lease: &Lease,
        (bridge, link): (&str, &str),
        until: Until,
    ) -> Result<()> {
        let publishes = !lease.ports.is_empty();
        let others: Vec<_> =
            self.here()?.into_iter().filter(|other| other.id != lease.id).collect();
        if others.is_empty() {
            // The bridge goes before the link, through which nothing comes then: in the other order each waits for processors that
            // still look at the one before.
            network::shut(link)?;
            let going = site::remove(&self.run, bridge, until)?;
            forget_connections(lease);
            going.end()?;
            network::disconnect(link, until, None)?;
            self.forget(RULES)
        } else if publishes {
            network::disconnect(link, until, None)?;
            let site = site::make_sure(&self.run)?;
            self.feed(&site, &others)?;
            // Last: nothing that comes now is tracked anew.
            forget_connections(lease);
            Ok(())
        } else {
            // Nobody waits for that: the address comes back last.
            Ok(network::disconnect(link, until, Some(lease.address))?)
        }
    }

    /// One that its program has told of its ports is gone already.
    fn remove_socket(&self, id: &str) -> Result<()> {
        let socket = programs::socket_of(&self.run, id);
        let Some(name) = socket.file_name() else { return Ok(()) };
        match dir::open_path(self.run.as_path()).and_then(|run| dir::unlink(run, name)) {
            Err(error) if error.is_absent() => Ok(()),
            done => done.with_context(|| format!("remove the socket `{}`", socket.display())),
        }
    }

    /// All on a bridge of this network, dead ones too: until those are released, they have what they say.
    pub fn here(&self) -> Result<Vec<Lease>> {
        let all = self.found()?.into_iter().filter_map(|found| found.lease);
        let on_bridge = |lease: &Lease| matches!(lease.way, Way::Bridge { .. });
        Ok(all.filter(|lease| self.is_here(lease) && on_bridge(lease)).collect())
    }

    /// Releases those of containers that are dead. One that can't be has its line, and is tried again by the next sweep.
    pub fn release_dead(&self) -> Result<()> {
        self.clear_unfinished().context("remove a lease that is not whole")?;
        for found in self.found()?.into_iter().filter(|found| found.is_dead) {
            let released = match &found.lease {
                Some(lease) => self.release(lease, Until::Gone),
                // Cut by a full disk or a power cut: it was never believed.
                None => self.forget(&found.name),
            };
            if let Err(error) = released {
                message::error(&error);
            }
        }
        self.clear_unused()
    }

    /// Takes away a bridge that nobody has a lease of: whoever made it got no further. Root alone makes one.
    pub fn clear_unused(&self) -> Result<()> {
        let may_be = host::rights()? == Rights::Root && self.here()?.is_empty();
        if !may_be {
            return Ok(());
        }
        site::remove_all(&self.run)?;
        self.forget(RULES)
    }

    fn forget(&self, name: &str) -> Result<()> {
        match dir::unlink(&self.dir, name) {
            Err(error) if error.is_absent() => Ok(()),
            done => done.with_context(|| format!("remove `{name}` of the leases")),
        }
    }

    fn found(&self) -> Result<Vec<Found>> {
        let deed = || format!("read the leases of addresses in `{}`", self.run.join(DIR).display());
        let mut all = Vec::new();
        for listed in dir::list(&self.dir).with_context(deed)? {
            let Ok(name) = std::str::from_utf8(&listed.name) else { continue };
            if ![LOCK, UNFINISHED, LAST, RULES].contains(&name) {
                all.push(self.found_as(name).with_context(deed)?);
            }
        }
        Ok(all)
    }

    fn found_as(&self, name: &str) -> Result<Found, SysError> {
        let file = file::open_read(&self.dir, name, Symlinks::Stop)?;
        let is_dead = lock::try_take(&file, Share::Exclusive)?;
        let lease = Lease::read(&file::read_all(&file, LEN_MAX)?);
        Ok(Found { lease, name: name.to_owned(), is_dead })
    }
}
