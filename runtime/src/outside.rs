//! What the supervisor does for a container that has users of its own: who they are on the host, and what of the host's they see.
//!
//! 1. Root in there is nobody on the host: it goes to no volume by itself, and can show none with other ids.
//! 2. On disk the ids are those that the container sees: of its own files, which another process serves, and of volumes, whose
//!    mounts turn them. What root in there writes belongs to root, whichever ids the container has.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use layerfs_driver::sys::file;

use crate::build::make_node;
use crate::carry::Ends;
use crate::plan::Step;
use crate::spec::{
    CallersIds, ContainerSpec, Device, IdRange, IdSpan, Network, ResourceLimit, Users, Volume,
};
use crate::start::RunError;
use crate::sys::mounts::Attributes;
use crate::sys::process::Ended;
use crate::sys::program::{self, Program};
use crate::sys::{Errno, SysError, exec, limits, mounts, namespace};

/// What is still to be done for one container.
#[derive(Debug)]
pub(crate) struct Outside<'a> {
    users: Users,
    limits: &'a [ResourceLimit],
    /// `/sys` of a network that is not its users' own, which they can't mount: the first that is asked for.
    sys: Option<OwnedFd>,
    /// The devices that it is given, each by its number in the list: what is asked for next.
    devices: Option<OwnedFd>,
    /// The volumes, in the order of the plan.
    shown: std::vec::IntoIter<&'a Volume>,
}

/// Opens the files made for a container, which its first process has from here on.
pub(crate) fn open_files(spec: &ContainerSpec) -> Result<Vec<OwnedFd>, RunError> {
    let open = |made: &Volume| {
        file::open_read_path(made.source.as_path())
            .map_err(|source| RunError::Untaken { volume: made.source.clone(), source })
    };
    spec.files.iter().map(open).collect()
}

impl<'a> Outside<'a> {
    pub(crate) fn new(spec: &'a ContainerSpec, steps: &'a [Step]) -> Self {
        let shown = steps.iter().filter_map(|step| match step {
            Step::ShowVolume(volume) => Some(volume),
            _ => None,
        });
        Outside {
            users: spec.users,
            limits: &spec.resource_limits,
            sys: None,
            devices: None,
            shown: shown.collect::<Vec<_>>().into_iter(),
        }
    }

    /// Mounts `/sys` of the network that this process is in now, where the container is to see that one.
    pub(crate) fn take_sys(&mut self, network: &Network) -> Result<(), RunError> {
        if let (Users::Own(_), Network::Host | Network::Joined) = (self.users, network) {
            let sys = mounts::new_filesystem("sysfs", &[], Attributes::READ_ONLY);
            self.sys = Some(sys.map_err(RunError::Process)?);
        }
        Ok(())
    }

    /// Makes the devices that it is given, as its root's: those of the host belong to nobody in there, and it can make none.
    pub(crate) fn make_devices(&mut self, devices: &[Device]) -> Result<(), RunError> {
        let Users::Own(range) = self.users else { return Ok(()) };
        if devices.is_empty() {
            return Ok(());
        }
        let attributes = Attributes::NO_SUID.and(Attributes::NO_EXEC);
        let options = [("source", "devices"), ("mode", "755"), ("size", "64k")];
        let made = mounts::new_filesystem("tmpfs", &options, attributes).and_then(|made| {
            for (device, number) in devices.iter().zip(0_u32..) {
                let owner = (range.first, range.first);
                make_node(&made, number.to_string().as_ref(), device, owner)?;
            }
            Ok(made)
        });
        self.devices = Some(made.map_err(RunError::Devices)?);
        Ok(())
    }

    /// The namespaces that its first process is made in. What belongs to IPC belongs to who makes that: root of its own users does,
    /// once it is root.
    pub(crate) fn namespaces(&self) -> i32 {
        match self.users {
            Users::Hosts => namespace::ALWAYS | namespace::IPC,
            Users::Own(_) | Users::Callers(_) => namespace::ALWAYS | namespace::USERS,
        }
    }

    /// Why its first process could not be made.
    pub(crate) fn of_fork(&self, error: SysError) -> RunError {
        // None are allowed, no more of them, or not to who has another root directory; the kernel has none.
        let of_users = [Errno::NOSPC, Errno::USERS, Errno::PERM, Errno::INVAL];
        match self.users {
            Users::Own(_) if of_users.contains(&error.errno()) => RunError::Users(error),
            Users::Callers(_) if of_users.contains(&error.errno()) => RunError::NoUsers(error),
            Users::Own(_) | Users::Callers(_) | Users::Hosts => RunError::Process(error),
        }
    }

    /// Lets its root open by name what was made for its streams, and give them to another user of its own.
    pub(crate) fn give_ends(&self, ends: &Ends) -> Result<(), RunError> {
        match self.users {
            Users::Own(range) => give_ends(ends, range.first),
            // They are root's as they are.
            Users::Hosts | Users::Callers(_) => Ok(()),
        }
    }

    /// Says who its users are on the host, and lets their root set the limits that are asked for: only who has the right to it on
    /// the host may raise one.
    pub(crate) fn give_ids(&self, child: u32) -> Result<(), RunError> {
        if self.users == Users::Hosts {
            return Ok(());
        }
        let mut limits = self.limits.iter();
        limits.try_for_each(|limit| limits::allow(child, limit)).map_err(RunError::Process)?;
        match self.users {
            Users::Hosts => Ok(()),
            Users::Own(range) => {
                namespace::give_ids(child, range.first, IdRange::LEN).map_err(RunError::Users)
            }
            Users::Callers(ids) => give_callers_ids(child, ids),
        }
    }

    /// Takes what it shows next, as its users are to see it.
    pub(crate) fn take_next(&mut self, child: u32) -> Result<OwnedFd, RunError> {
        if let Some(sys) = self.sys.take() {
            return Ok(sys);
        }
        if let Some(devices) = self.devices.take() {
            return Ok(devices);
        }
        let (Users::Own(_), Some(volume)) = (self.users, self.shown.next()) else {
            return Err(RunError::Process(SysError::of_deed(
                "open_tree",
                "more than the plan shows",
            )));
        };
        let mount = mounts::clone_found(volume.source.as_os_str())
            .map_err(|source| RunError::Untaken { volume: volume.source.clone(), source })?;
        let users = namespace::users_of(child).map_err(RunError::Users)?;
        mounts::show_ids(&mount, users).map_err(|source| {
            let volume = volume.source.clone();
            RunError::Unmappable { volume, source }
        })?;
        Ok(mount)
    }
}

/// Says who the users of a child are that has the ids of its caller.
pub(crate) fn give_callers_ids(child: u32, ids: CallersIds) -> Result<(), RunError> {
    let CallersIds { user, group, further } = ids;
    match further {
        None => namespace::give_own_ids(child, (user, group)).map_err(RunError::NoUsers),
        Some((users, groups)) => {
            have_ids_given(child, "newgidmap", group, groups)?;
            have_ids_given(child, "newuidmap", user, users)
        }
    }
}

/// Has one of the programs of `uidmap` say who the users, or the groups, of a child are: 0 is the caller's own id.
fn have_ids_given(
    child: u32,
    name: &'static str,
    own: u32,
    further: IdSpan,
) -> Result<(), RunError> {
    let words = [child, 0, own, 1, 1, further.first, further.count];
    let words = words.map(|number| OsString::from(number.to_string()));
    let program = Program { name: Path::new(name), words: &words, dir: None, environment: &[] };
    let told = program::run(&program).map_err(RunError::Process)?;
    if told.ended == Ended::Exited(0) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&told.errors);
    let words = words.lines().next().map_or_else(|| told.ended.to_string(), str::to_owned);
    // It calls itself by its name.
    let own = words.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
    Err(RunError::Mapper { name, words: own.unwrap_or(&words).to_owned() })
}

/// Gives the program's ends of pipes to the user and the group `id`.
pub(crate) fn give_ends(ends: &Ends, id: u32) -> Result<(), RunError> {
    let mut ends = [&ends.input, &ends.output, &ends.error].into_iter().flatten();
    ends.try_for_each(|end| exec::give_whole(end, id)).map_err(RunError::Process)
}
