//! The words of `--device`: devices of the host's, where a container has them, and what it may do with them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::file::{self, FileType, Symlinks};
use layerfs_driver::sys::{SysError, dir};
use layerfs_runtime::cgroup::DeviceRule;
use layerfs_runtime::spec::{Device, DeviceKind};

use super::volumes;

/// What may be done with a device where nothing is said.
const ALL: &str = "rwm";

/// What a container has of its own below `/dev`, and what is none of the host's devices.
const ITS_OWN: [&str; 14] = [
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "console",
    "ptmx",
    "pts",
    "shm",
    "mqueue",
    "fd",
    "core",
    "hugepages",
];

/// No directory of devices is deeper.
const DEPTH_MAX: usize = 16;

/// The devices of a container, and what it may do with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Each.
    pub devices: Vec<Device>,
    /// What may be done.
    pub rules: Vec<DeviceRule>,
}

impl Given {
    /// All of the host's.
    pub fn all() -> Result<Given> {
        let mut given = Given::default();
        let any = |kind| DeviceRule { kind, numbers: None, access: ALL.into() };
        let dev = Path::new("/dev");
        let deed = "list the devices of the host";
        for name in names(dev).context(deed)? {
            if !ITS_OWN.contains(&name.as_str()) {
                given.find(&dev.join(&name), &dev.join(&name), (ALL, 1)).context(deed)?;
            }
        }
        given.rules = vec![any(DeviceKind::Character), any(DeviceKind::Block)];
        Ok(given)
    }

    /// Reads `HOST[:CONTAINER][:rwm]`, and finds what it means.
    pub fn add(&mut self, said: &str) -> Result<()> {
        let what = format!("--device `{said}`");
        let (host, inside, access) = parts(said);
        if !is_access(access) {
            bail!("{what}: `{access}` is neither a place nor some of r, w and m");
        }
        if !Path::new(host).is_absolute() {
            bail!("{what}: name the device by its whole path, such as /dev/sda");
        }
        let inside = volumes::target(inside, &what)?;
        let before = self.devices.len();
        self.find(Path::new(host), &inside, (access, 0)).context(what.clone())?;
        if self.devices.len() == before {
            bail!("{what}: `{host}` is no device, and none is in it");
        }
        Ok(())
    }

    /// A device, or those in a directory, which links lead to only where they were named.
    fn find(&mut self, host: &Path, inside: &Path, (access, depth): (&str, usize)) -> Result<()> {
        let stat = match depth {
            0 => file::stat_path(host)?,
            _ => match file::stat_at(dir::open_path("/")?, host, Symlinks::Stop) {
                // It was there when its directory was listed, and is gone by now.
                Err(error) if error.is_absent() => return Ok(()),
                stat => stat?,
            },
        };
        let kind = match file::type_of(&stat) {
            FileType::CharacterDevice => DeviceKind::Character,
            FileType::BlockDevice => DeviceKind::Block,
            FileType::Directory if depth < DEPTH_MAX => {
                let mut names = match names(host) {
                    Err(error) if depth > 0 && error.is_absent() => return Ok(()),
                    names => names?,
                };
                names.sort();
                return names.iter().try_for_each(|name| {
                    self.find(&host.join(name), &inside.join(name), (access, depth + 1))
                });
            }
            _ => return Ok(()),
        };
        let numbers = file::device_numbers(&stat);
        self.rules.push(DeviceRule { kind, numbers: Some(numbers), access: access.to_owned() });
        self.devices.push(Device {
            source: host.to_owned(),
            target: inside.to_owned(),
            kind,
            numbers,
            mode: stat.st_mode & 0o777,
            owner: (stat.st_uid, stat.st_gid),
        });
        Ok(())
    }
}

fn names(path: &Path) -> Result<Vec<String>, SysError> {
    let listed = dir::list(dir::open_path(path)?)?;
    // What is no text is no device's name.
    Ok(listed.iter().filter_map(|entry| String::from_utf8(entry.name.to_vec()).ok()).collect())
}

/// The place on the host, that in the container, and what may be done; each what it is where nothing is said.
pub fn parts(said: &str) -> (&str, &str, &str) {
    let words: Vec<&str> = said.split(':').collect();
    match words[..] {
        [host] => (host, host, ALL),
        [host, access] if is_access(access) => (host, host, access),
        [host, inside] => (host, inside, ALL),
        [host, inside, access] => (host, inside, access),
        _ => (said, said, ""),
    }
}

fn is_access(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| ALL.as_bytes().contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As one does that was there when its directory was listed.
    #[test]
    fn what_is_gone_from_a_directory_is_passed_over_and_what_was_named_is_not() {
        let gone = Path::new("/dev/no-such");
        let mut given = Given::default();
        given.find(gone, gone, (ALL, 1)).unwrap();
        assert_eq!(given, Given::default());
        assert!(given.find(gone, gone, (ALL, 0)).is_err());
    }

    #[test]
    fn a_device_is_said_in_dockers_ways() {
        for (said, expected) in [
            ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
            ("/dev/a:r", ("/dev/a", "/dev/a", "r")),
            ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
            ("/dev/a:/dev/b:rw", ("/dev/a", "/dev/b", "rw")),
        ] {
            assert_eq!(parts(said), expected, "{said}");
        }
        let added = |said: &str| Given::default().add(said);
        added("/dev/null").unwrap();
        for (said, told) in [
            ("dev/null", "by its whole path"),
            ("/dev/null:null", "begin with /"),
            ("/dev/null:/dev/x:", "neither a place"),
            ("/dev/null:/dev/x:rx", "neither a place"),
            ("/dev/null:/dev/x:r:w", "neither a place"),
            ("/etc/passwd", "is no device"),
            ("/dev/no-such", "No such file"),
        ] {
            let error = format!("{:#}", added(said).unwrap_err());
            assert!(error.contains(told), "{said}: {error}");
            assert!(error.starts_with(&format!("--device `{said}`: ")), "{said}: {error}");
        }
    }
}
