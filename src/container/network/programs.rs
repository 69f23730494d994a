//! Which program gives the container of a user its network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::{file, fusermount};
use layerfs_runtime::network::programs::{Forward, Helper, Kind};
use layerfs_runtime::network::{self, NetworkError, SOCKET_PATH_MAX};

use super::ports::Publish;

/// The device by which such programs make the container's link.
const TUN: &str = "/dev/net/tun";

/// Where a program is.
pub fn find(kind: Kind) -> Result<PathBuf, NetworkError> {
    fusermount::find_program(kind.name()).ok_or(NetworkError::NoHelper(kind))
}

/// Those that are there.
pub fn found() -> Vec<Kind> {
    Kind::ALL.into_iter().filter(|kind| find(*kind).is_ok()).collect()
}

/// The one that a container has without a word; an error says why there is none.
pub fn usual() -> Result<Kind> {
    let found = found();
    let Some(first) = found.first() else {
        bail!("neither pasta (package passt) nor slirp4netns is in PATH: install one");
    };
    file::open_device(TUN).with_context(|| {
        format!("{} makes its link by {TUN}, which can't be opened", first.name())
    })?;
    // pasta takes over from a link of the host's that leads somewhere.
    let has_way_out = network::way_out()?.is_some();
    let fits = |kind: &&Kind| has_way_out || **kind != Kind::Pasta;
    let usual = found.iter().find(fits).copied();
    usual.context("the host has no way out (a default route of IPv4), which pasta needs")
}

/// What the program is to do. `socket` is a place for its socket.
pub fn helper(kind: Kind, ports: &[Publish], socket: PathBuf) -> Result<Helper> {
    let len = socket.as_os_str().len();
    if kind == Kind::Slirp4netns && !ports.is_empty() && len > SOCKET_PATH_MAX {
        bail!(
            "--publish: the path of the socket `{}`, by which slirp4netns is told of ports, is longer than {SOCKET_PATH_MAX} bytes; \
             give a shorter --runroot, or --network pasta",
            socket.display()
        );
    }
    let forward = |port: &Publish| Forward {
        transport: port.transport,
        outside: port.host(),
        inside: port.port,
    };
    let forwards = ports.iter().map(forward).collect();
    Ok(Helper { kind, program: find(kind)?, forwards, socket })
}

/// The place of that socket, by the container's id: a path of a socket has room for little.
pub fn socket_of(run: &Path, id: &str) -> PathBuf {
    run.join(format!("slirp-{}", id.get(..12).unwrap_or(id)))
}
