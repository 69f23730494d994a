//! The kernel's own file systems: `/proc`, `/sys`, `/dev` and what lies in them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use layerfs_driver::sys::file::{self, FileType};

use super::error::{Doing, SetupError};
use super::walk::Made;
use super::way::{self, End};
use super::{files, place};
use crate::carry::NULL;
use crate::cgroup::View;
use crate::plan::System;
use crate::spec::{ContainerSpec, Network, Refused, Tmpfs, Users, Walls};
use crate::sys::SysError;
use crate::sys::inside;
use crate::sys::mounts::{self, Attributes, Depth};

const QUIET: Attributes = Attributes::NO_SUID.and(Attributes::NO_DEV).and(Attributes::NO_EXEC);

/// Devices that everybody may have, with their numbers.
const DEVICES: [(&str, (u32, u32)); 6] = [
    ("null", NULL),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

/// Links that programs expect beside them.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// The group of terminals, on every machine.
const TTY: u32 = 5;

/// Mounts one of them.
pub(super) fn mount(system: System, made: &mut Made<'_>) -> Result<(), SetupError> {
    match system {
        System::Proc => made.proc = Some(top(made, "proc", ("proc", &[]), QUIET)?),
        System::Sys => {
            let attributes = settled(made);
            let spec = made.given.spec;
            made.sys = Some(match (spec.users, &spec.network) {
                // Who mounts a new one needs a network of these users.
                (Users::Own(_), Network::Host | Network::Joined) => {
                    show_sys(made, files::ask(made, showing_sys)?, attributes)?
                }
                (Users::Callers(_), Network::Host | Network::Joined) => {
                    let sys = mounts::clone_path(OsStr::new("/sys")).doing(showing_sys)?;
                    show_sys(made, sys, attributes)?
                }
                _ => top(made, "sys", ("sysfs", &[]), attributes)?,
            });
        }
        System::Cgroups => cgroups(made)?,
        System::Dev => {
            let options = [("mode", "755"), ("size", "65536k")];
            let attributes = Attributes::NO_SUID.and(Attributes::NO_EXEC);
            let dev = top(made, "dev", ("tmpfs", &options), attributes)?;
            match made.given.spec.users {
                Users::Hosts => devices(&dev)?,
                Users::Own(_) | Users::Callers(_) => hosts_devices(&dev)?,
            }
            links(&dev)?;
            made.null = Some(null(&dev)?);
            made.dev = Some(dev);
        }
        System::Terminals => {
            // The group of terminals is root's where there is no other.
            let has_group = made.given.spec.users.count().is_none_or(|count| count > TTY);
            let group = if has_group { TTY.to_string() } else { "0".to_owned() };
            let options =
                [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", &*group)];
            let attributes = Attributes::NO_SUID.and(Attributes::NO_EXEC);
            made.terminals = Some(in_dev(made, "pts", ("devpts", &options), attributes)?);
        }
        System::Memory => {
            let size = made.given.spec.shm_bytes.to_string();
            let options = [("mode", "1777"), ("size", &*size)];
            in_dev(made, "shm", ("tmpfs", &options), QUIET)?;
        }
        System::Queues => {
            in_dev(made, "mqueue", ("mqueue", &[]), QUIET)?;
        }
    }
    Ok(())
}

/// What a file system of the kernel's settings refuses: changes, too, unless nothing is to be kept from root of the host.
fn settled(made: &Made<'_>) -> Attributes {
    match (made.given.spec.walls, made.given.spec.users) {
        (Walls::None, Users::Hosts) => QUIET,
        _ => QUIET.and(Attributes::READ_ONLY),
    }
}

/// Mounts a file system in memory at a place of the user's.
pub(super) fn mount_tmpfs(tmpfs: &Tmpfs, root: &OwnedFd) -> Result<(), SetupError> {
    let deed = || format!("mount a tmpfs on `{}`", tmpfs.target.display());
    let was_there = inside::open(root, tmpfs.target.as_os_str());
    let place = way::find_or_make(root, &tmpfs.target, End::Directory)?;
    match place::kind(&place).doing(deed)? {
        FileType::Directory => {}
        other => {
            return Err(SetupError::WrongKind {
                path: tmpfs.target.display().to_string(),
                is: place::shown(other),
                needs: "a directory",
            });
        }
    }
    // As what it is mounted on, where that was there and nothing else is said; else the kernel's own for such a file system.
    let mode = match was_there {
        Ok(found) => Some(format!("{:o}", inside::stat(&found).doing(deed)?.st_mode & 0o7777)),
        Err(_) => None,
    };
    let is_said = tmpfs.options.iter().any(|(key, _)| key == "mode");
    let mut options: Vec<(&str, &str)> =
        tmpfs.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    options.extend(mode.iter().filter(|_| !is_said).map(|mode| ("mode", mode.as_str())));
    let one = |refused: &Refused| match refused {
        Refused::Changes => Attributes::READ_ONLY,
        Refused::SetIds => Attributes::NO_SUID,
        Refused::Devices => Attributes::NO_DEV,
        Refused::Programs => Attributes::NO_EXEC,
    };
    let attributes = tmpfs.refused.iter().map(one).fold(Attributes::NONE, Attributes::and);
    let mount = new("tmpfs", &options, attributes).doing(deed)?;
    mounts::attach(&mount, &place).doing(deed)
}

/// A kind of file system, and its options.
type Kind<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Mounts a new file system on a directory right in the root.
fn top(
    made: &Made<'_>,
    name: &'static str,
    (kind, options): Kind<'_>,
    attributes: Attributes,
) -> Result<OwnedFd, SetupError> {
    let deed = || format!("mount `/{name}`");
    let place = place::of_system(made.root()?, name)?;
    let making = || match made.given.spec.users {
        Users::Hosts => deed(),
        // The kernel gives them one only where the host's own is seen whole, which it is not in many containers.
        Users::Own(_) => format!(
            "{} for users of the container's own (`--userns host` gives it the host's)",
            deed()
        ),
        Users::Callers(_) => format!(
            "{} for users of the container's own (to be had on the machine itself, or as root; not in a container that hides parts \
             of its own)",
            deed()
        ),
    };
    let mount = new(kind, options, attributes).doing(making)?;
    mounts::attach(&mount, &place).doing(deed)?;
    Ok(mount)
}

/// Mounts a new file system on a new directory in `/dev`.
fn in_dev(
    made: &Made<'_>,
    name: &'static str,
    (kind, options): Kind<'_>,
    attributes: Attributes,
) -> Result<OwnedFd, SetupError> {
    let deed = || format!("mount `/dev/{name}`");
    let dev = made.dev()?;
    inside::make_directory(dev, OsStr::new(name), 0o755).doing(deed)?;
    let place = inside::open_name(dev, name).doing(deed)?;
    let mount = new(kind, options, attributes).doing(deed)?;
    mounts::attach(&mount, &place).doing(deed)?;
    Ok(mount)
}

/// A new file system that is listed by its kind.
fn new(kind: &str, options: &[(&str, &str)], attributes: Attributes) -> Result<OwnedFd, SysError> {
    let mut all = vec![("source", kind)];
    all.extend_from_slice(options);
    mounts::new_filesystem(kind, &all, attributes)
}

fn devices(dev: &OwnedFd) -> Result<(), SetupError> {
    for (name, numbers) in DEVICES {
        inside::make_device(dev, name, numbers).doing(|| format!("make `/dev/{name}`"))?;
    }
    Ok(())
}

/// The same for users of the container's own, who can make no device that could be opened: each is the host's, shown there.
fn hosts_devices(dev: &OwnedFd) -> Result<(), SetupError> {
    for (name, numbers) in DEVICES {
        let deed = || format!("show `/dev/{name}` of the host");
        let path = format!("/dev/{name}");
        let device = mounts::clone_path(OsStr::new(&path)).doing(deed)?;
        let stat = inside::stat(&device).doing(deed)?;
        let is = file::type_of(&stat);
        if (is, file::device_numbers(&stat)) != (FileType::CharacterDevice, numbers) {
            let needs = "that device of the host's";
            return Err(SetupError::WrongKind { path, is: place::shown(is), needs });
        }
        inside::create(dev, OsStr::new(name), 0o666).doing(deed)?;
        let place = inside::open_name(dev, name).doing(deed)?;
        mounts::attach(&device, &place).doing(deed)?;
        let attributes = Attributes::NO_SUID.and(Attributes::NO_EXEC);
        super::walls::restrict(&device, attributes, Depth::One).doing(deed)?;
    }
    Ok(())
}

fn showing_sys() -> String {
    "show the `/sys` of the network".to_owned()
}

/// Shows the `/sys` of a network that is not the users' own.
fn show_sys(made: &Made<'_>, sys: OwnedFd, attributes: Attributes) -> Result<OwnedFd, SetupError> {
    let place = place::of_system(made.root()?, "sys")?;
    mounts::attach(&sys, &place).doing(showing_sys)?;
    super::walls::restrict(&sys, attributes, Depth::All).doing(showing_sys)?;
    Ok(sys)
}

fn links(dev: &OwnedFd) -> Result<(), SetupError> {
    for (name, target) in LINKS {
        inside::make_link(target, dev, name).doing(|| format!("make `/dev/{name}`"))?;
    }
    Ok(())
}

/// The device that was just made, opened while nobody can have put anything in its place.
fn null(dev: &OwnedFd) -> Result<OwnedFd, SetupError> {
    let deed = || "open `/dev/null`".to_owned();
    let null = inside::open_device(dev, "null").doing(deed)?;
    let stat = inside::stat(&null).doing(deed)?;
    match (file::type_of(&stat), file::device_numbers(&stat)) {
        (FileType::CharacterDevice, NULL) => Ok(null),
        (other, _) => Err(SetupError::WrongKind {
            path: "/dev/null".into(),
            is: place::shown(other),
            needs: "the null device",
        }),
    }
}

/// Shows the container its own groups, and no other's.
fn cgroups(made: &Made<'_>) -> Result<(), SetupError> {
    let deed = || "mount `/sys/fs/cgroup`".to_owned();
    let attributes = settled(made);
    let place = match inside::open(made.sys()?, OsStr::new("fs/cgroup")) {
        // A kernel without groups has no such directory.
        Err(error) if error.is_absent() => return Ok(()),
        opened => opened.doing(deed)?,
    };
    match made.given.view {
        // A new `/sys` shows none.
        View::Nothing if !shows_hosts_sys(made.given.spec) => Ok(()),
        View::Nothing => legacy((&[], &[]), &place, attributes),
        View::Namespace { .. } => {
            let mount = new("cgroup2", &[], attributes).doing(deed)?;
            mounts::attach(&mount, &place).doing(deed)
        }
        View::Directory { binds, links } => legacy((binds, links), &place, attributes),
    }
}

/// Whether its `/sys` is the host's, with everything that is mounted below that.
fn shows_hosts_sys(spec: &ContainerSpec) -> bool {
    matches!((spec.users, &spec.network), (Users::Callers(_), Network::Host | Network::Joined))
}

/// One directory for each hierarchy of version 1, and links by which programs find limits where version 2 has them.
fn legacy(
    (groups, links): (&[(String, PathBuf)], &[(String, String)]),
    place: &OwnedFd,
    attributes: Attributes,
) -> Result<(), SetupError> {
    let deed = || "mount `/sys/fs/cgroup`".to_owned();
    let options = [("mode", "755"), ("size", "64k")];
    let top = new("tmpfs", &options, QUIET).doing(deed)?;
    mounts::attach(&top, place).doing(deed)?;
    for (name, path) in groups {
        let deed = || format!("show the group `{}`", path.display());
        inside::make_directory(&top, OsStr::new(name), 0o555).doing(deed)?;
        let place = inside::open_name(&top, name).doing(deed)?;
        let group = mounts::clone_path(path.as_os_str()).doing(deed)?;
        mounts::attach(&group, &place).doing(deed)?;
        super::walls::restrict(&group, attributes, Depth::One).doing(deed)?;
    }
    for (name, target) in links {
        inside::make_link(target, &top, name).doing(deed)?;
    }
    super::walls::restrict(&top, attributes, Depth::One).doing(deed)
}
