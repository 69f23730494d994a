//! Network namespaces that others made.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::error::{Doing, NetworkError};
use crate::sys::namespace;

/// The network that a process sees. The caller makes sure that the number still means that process.
pub fn of_process(pid: u32) -> Result<OwnedFd, NetworkError> {
    of_file(Path::new(&format!("/proc/{pid}/ns/net")))
}

/// The network that a file stands for, such as those of `ip netns`.
pub fn of_file(path: &Path) -> Result<OwnedFd, NetworkError> {
    let file = namespace::open(path).doing(|| format!("open the network `{}`", path.display()))?;
    match namespace::is_network(&file) {
        Ok(true) => Ok(file),
        _ => Err(NetworkError::NoNamespace(path.to_owned())),
    }
}

/// The number by which the network of this process is told from others.
pub fn host_network() -> Result<u64, NetworkError> {
    let deed = || "look which network this is".to_owned();
    let file = namespace::open(Path::new("/proc/self/ns/net")).doing(deed)?;
    Ok(crate::sys::inside::stat(&file).doing(deed)?.st_ino)
}
