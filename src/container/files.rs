//! Files made for one container: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::store::container::Living;
use layerfs_driver::sys::{Errno, dir, file};
use layerfs_runtime::network::programs;
use layerfs_runtime::spec::{Access, Contents, Network, Volume};

use super::network::names::{self, Resolv};
use super::network::words::Dns;
use super::network::{Held, Mode, Wanted};
use crate::output::message;

/// Bytes that the kernel has room for in a host's name.
const HOSTNAME_MAX: usize = 64;

/// What is read of a file of the host's or of another container's, at most: lists of names that nobody shall reach are long.
const FILE_MAX: u64 = 16 << 20;

/// What systemd's resolver on the loopback asks itself.
const SYSTEMD_RESOLV: &str = "/run/systemd/resolve/resolv.conf";

/// The name of the machine that this process sees.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// A host's name as the kernel and `/etc/hosts` take one; docker's for none is empty.
pub fn hostname(word: &str) -> Result<Option<&str>> {
    if word.len() > HOSTNAME_MAX || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
        bail!(
            "--hostname `{}`: a host's name has at most {HOSTNAME_MAX} bytes, no blanks and no control characters",
            word.escape_debug()
        );
    }
    Ok(Some(word).filter(|word| !word.is_empty()))
}

/// The host name of a container: what was said, or that of the network which it does not have for itself.
pub fn hostname_in<'a>(said: Option<&'a str>, mode: &Mode) -> Result<Option<Cow<'a, str>>> {
    match (said, mode) {
        (Some(said), _) => Ok(Some(Cow::Borrowed(said))),
        (None, Mode::Container(other)) => Ok(Some(Cow::Owned(other.hostname.clone()))),
        (None, Mode::Host) => {
            let own = of_host(HOSTNAME)?.unwrap_or_default();
            let own = String::from_utf8_lossy(own.trim_ascii()).into_owned();
            Ok((!own.is_empty()).then_some(Cow::Owned(own)))
        }
        (None, Mode::None | Mode::Bridge(_) | Mode::Helped(..) | Mode::Namespace(..)) => Ok(None),
    }
}

/// Makes them, as they are right in its network. Whoever joins the network of a container sees what that one's say.
pub fn make(
    (living, access): (&Living, Access),
    store: &Store,
    wanted: &Wanted,
    held: &Held,
) -> Result<Vec<Volume>> {
    let own = living.make_dir("etc")?;
    let hostname = living.hostname();
    let other = match &wanted.mode {
        Mode::Container(other) => Some(store.path().join("containers").join(&other.id).join("etc")),
        _ => None,
    };
    let of_other = |name: &str| {
        match &other {
        Some(dir) => of_host(dir.join(name).as_path()).with_context(|| {
            format!(
                "take /etc/{name} of the container whose network is joined; --network ns:/proc/PID/ns/net joins it without"
            )
        }),
        None => Ok(None),
    }
    };
    let hosts = match of_other("hosts")? {
        Some(hosts) => hosts,
        None => hosts(wanted, held, hostname)?,
    };
    let resolv = match of_other("resolv.conf")? {
        Some(resolv) => Some(resolv),
        None => resolv(wanted, held)?,
    };
    let mut files = vec![
        written(&own, access, ("hosts", &hosts))?,
        written(&own, access, ("hostname", format!("{hostname}\n").as_bytes()))?,
    ];
    if let Some(text) = resolv {
        files.push(written(&own, access, ("resolv.conf", &text))?);
    }
    Ok(files)
}

/// Writes what of them is different without a network, in the files of a container that has none after all: its first process has
/// them open, and has not read them yet. It shows a resolv.conf by then: an empty one is what is left of that.
pub fn rewrite(living: &Living, wanted: &Wanted, held: &Held) -> Result<()> {
    let own = living.make_dir("etc")?;
    let hosts = hosts(wanted, held, living.hostname())?;
    let resolv = resolv(wanted, held)?.unwrap_or_default();
    for (name, bytes) in [("hosts", hosts), ("resolv.conf", resolv)] {
        file::open_or_create(&own, name, 0o644)
            .and_then(|file| file::truncate(&file, 0).and_then(|()| file::write_all(&file, &bytes)))
            .with_context(|| format!("change the container's /etc/{name}"))?;
    }
    Ok(())
}

fn hosts(wanted: &Wanted, held: &Held, hostname: &str) -> Result<Vec<u8>> {
    let mut hosts = match (&wanted.mode, held.address()) {
        (Mode::Host, _) => of_host("/etc/hosts")?.unwrap_or_else(|| names::LOOPBACK.into()),
        (_, Some(address)) => format!("{}{address}\t{hostname}\n", names::LOOPBACK).into(),
        (_, None) => format!("{}127.0.1.1\t{hostname}\n", names::LOOPBACK).into(),
    };
    let host = held.host()?;
    hosts.extend(names::lines(&wanted.hosts, host).into_bytes());
    Ok(hosts)
}

/// `None` for what the image says: where no server is reached, and none was said.
fn resolv(wanted: &Wanted, held: &Held) -> Result<Option<Vec<u8>>> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let host = of_host("/etc/resolv.conf")?.map(text);
    if matches!(wanted.mode, Mode::Host) {
        let said = wanted.dns != Dns::default();
        let host = if said { Some(host.unwrap_or_default()) } else { host };
        return Ok(host.map(|host| names::as_host(&host, &wanted.dns).into_bytes()));
    }
    if *held.network() == Network::None && wanted.dns == Dns::default() {
        return Ok(None);
    }
    if let Network::Helped(_) = held.network() {
        let dns = wanted.dns.or_server(programs::SERVER);
        return Ok(Some(names::as_host(&host.unwrap_or_default(), &dns).into_bytes()));
    }
    let real = of_host(SYSTEMD_RESOLV)?.map(text);
    let host = host.unwrap_or_default();
    Ok(Some(match names::resolv(&host, real.as_deref(), &wanted.dns) {
        Resolv::Text(text) => text.into_bytes(),
        Resolv::Unreachable => {
            message::say(
                "no names are resolved in the container: every server of the host's /etc/resolv.conf is on the host's \
                 loopback; give --dns IP",
            );
            Vec::new()
        }
    }))
}

fn written(own: &OwnedFd, access: Access, (name, bytes): (&str, &[u8])) -> Result<Volume> {
    let gone = match dir::unlink(own, name) {
        // One that ran before has it.
        Err(error) if !error.is_absent() => Err(error),
        _ => Ok(()),
    };
    let made = gone
        .and_then(|()| file::create_new(own, name, 0o644))
        .and_then(|file| {
            file::chmod(&file, 0o644)?;
            file::write_all(&file, bytes)
        })
        .and_then(|()| dir::path_of(own));
    let source = made.with_context(|| format!("make the container's /etc/{name}"))?.join(name);
    Ok(Volume { source, target: format!("/etc/{name}").into(), access, contents: Contents::Own })
}

fn of_host(path: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
    match file::open_read_path(path.as_ref()) {
        Err(error) if error.is_absent() => Ok(None),
        opened => match file::read_all(&opened?, FILE_MAX) {
            Err(error) if error.errno() == Errno::FBIG => {
                bail!(
                    "`{}` has more than {} MiB: make it shorter",
                    path.as_ref().display(),
                    FILE_MAX >> 20
                )
            }
            read => Ok(Some(read?)),
        },
    }
}
