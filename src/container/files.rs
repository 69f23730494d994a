//! Files made for one container: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::Living;
use layerfs_driver::sys::{dir, file};
use layerfs_runtime::spec::{Access, Contents, Network, Volume};

/// Bytes that the kernel has room for in a host's name.
const HOSTNAME_MAX: usize = 64;

/// What is read of a file of the host's, at most.
const FILE_MAX: u64 = 1 << 20;

const LOOPBACK: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
";

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

/// Makes them. With the host's network they say what the host's say.
pub fn make(living: &Living, network: Network) -> Result<Vec<Volume>> {
    let own = living.make_dir("etc")?;
    let hostname = living.hostname();
    let hosts = match network {
        Network::None => format!("{LOOPBACK}127.0.1.1\t{hostname}\n").into_bytes(),
        Network::Host => of_host("/etc/hosts")?.unwrap_or_else(|| LOOPBACK.into()),
    };
    let mut files = vec![
        written(&own, "hosts", &hosts)?,
        written(&own, "hostname", format!("{hostname}\n").as_bytes())?,
    ];
    if network == Network::Host
        && let Some(text) = of_host("/etc/resolv.conf")?
    {
        files.push(written(&own, "resolv.conf", &text)?);
    }
    Ok(files)
}

fn written(own: &OwnedFd, name: &str, bytes: &[u8]) -> Result<Volume> {
    let gone = match dir::unlink(own, name) {
        // One that ran before has it, and may have changed it.
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
    Ok(Volume {
        source,
        target: format!("/etc/{name}").into(),
        access: Access::ReadWrite,
        contents: Contents::Own,
    })
}

fn of_host(path: &str) -> Result<Option<Vec<u8>>> {
    match file::open_read_path(path) {
        Err(error) if error.is_absent() => Ok(None),
        opened => Ok(Some(file::read_all(&opened?, FILE_MAX)?)),
    }
}
