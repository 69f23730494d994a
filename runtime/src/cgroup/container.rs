//! All groups of one container: made together, found again by the container's id, removed together.

use std::path::{Path, PathBuf};

use layerfs_driver::sys::Errno;
use layerfs_driver::sys::host::{self, Rights};

use super::delegated::Delegation;
use super::error::{CgroupError, WhyNot};
use super::group::Group;
use super::host::Host;
use super::limits::{Limits, Swap};
use super::place::Place;
use super::reserved;
use super::v1::V1Group;
use super::v2::{self, V2Group};
use super::words;

/// No id is longer.
const ID_LEN_MAX: usize = 128;

/// The groups of one container in every hierarchy that takes some. Dropping it removes nothing: [`Cgroup::remove`] does.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) id: Box<str>,
    pub(super) v1: Vec<V1Group>,
    pub(super) v2: Option<V2Group>,
}

impl Cgroup {
    /// Makes the groups of a container and sets its limits. A hierarchy that this user may not write to is passed over,
    /// unless a limit needs it. Where this fails, nothing that it made is left.
    pub fn create(id: &str, limits: &Limits) -> Result<Cgroup, CgroupError> {
        Cgroup::create_on(&Host::read()?, id, limits)
    }

    /// The same where the host's hierarchies are known already.
    pub fn create_on(host: &Host, id: &str, limits: &Limits) -> Result<Cgroup, CgroupError> {
        let mut cgroup = Cgroup { id: checked(id)?, v1: Vec::new(), v2: None };
        match cgroup.make(host, limits) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                if let Err(left) = cgroup.remove() {
                    tracing::warn!("{left}");
                }
                Err(error)
            }
        }
    }

    /// Finds what groups a container has; none at all is no error. `below` is where those of version 2 were made, as was noted of it;
    /// `None` for right in the hierarchy.
    pub fn find(id: &str, below: Option<&Path>) -> Result<Cgroup, CgroupError> {
        let host = Host::read()?;
        let id = checked(id)?;
        let mut v1 = Vec::new();
        for hierarchy in &host.v1 {
            v1.extend(V1Group::find(hierarchy, &id)?);
        }
        let v2 = match (noted(below)?, &host.v2) {
            (Some(group), _) => V2Group::find(group, &id)?,
            (None, Some(mount)) => V2Group::find(mount, &id)?,
            (None, None) => None,
        };
        Ok(Cgroup { id, v1, v2 })
    }

    /// Whether it has no groups at all.
    pub fn is_none(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none()
    }

    /// Moves a process of the container into its groups, with all its threads.
    pub fn add_payload(&self, pid: u32) -> Result<(), CgroupError> {
        let leaf = self.v2.as_ref().and_then(V2Group::payload);
        let of_v1 = self.v1.iter().filter_map(V1Group::payload);
        of_v1.chain(leaf).try_for_each(|group| group.add(pid)).map_err(out_of_reach)
    }

    /// Keeps from its processes, and those that come, the devices that it was not given, where version 1's controller does not. They
    /// have opened what they need to be made.
    pub fn guard_devices(&self) -> Result<(), CgroupError> {
        self.v2.iter().try_for_each(V2Group::set_guard)
    }

    /// Moves the server of the container's file system to where its reading and writing is the container's, and nothing
    /// else of it is.
    pub fn add_server(&self, pid: u32) -> Result<(), CgroupError> {
        let leaf = self.v2.as_ref().and_then(V2Group::server);
        let of_v1 = self.v1.iter().find(|group| self.is_servers(group));
        // The container's own group, not one beside it: a limit of version 1's block I/O holds in one group only.
        let of_v1 = of_v1.and_then(V1Group::payload);
        of_v1.into_iter().chain(leaf).try_for_each(|group| group.add(pid))
    }

    /// How many of the container's processes the kernel killed for want of memory. 0 where nobody counts them.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        for group in &self.v1 {
            if let Some(count) = group.oom_kills()? {
                return Ok(count);
            }
        }
        let of_v2 = self.v2.as_ref().map(V2Group::oom_kills).transpose()?.flatten();
        Ok(of_v2.unwrap_or(0))
    }

    /// Whether the server is in this group too: that of block I/O alone, where another tells the payload apart.
    pub(super) fn is_servers(&self, group: &V1Group) -> bool {
        group.controllers == ["blkio"] && self.v1.len() > 1
    }

    /// The groups below which are processes of the container and no other.
    pub(super) fn payload_groups(&self) -> impl Iterator<Item = &Group> {
        let of_v1 = self.v1.iter().filter(|group| !self.is_servers(group));
        let of_v2 = self.v2.as_ref().and_then(V2Group::limited);
        of_v1.map(|group| &group.place.own).chain(of_v2)
    }

    /// All groups that are the container's whole, its server among them.
    pub(super) fn places(&self) -> impl DoubleEndedIterator<Item = &Place> {
        let of_v2 = self.v2.iter().map(|group| &group.place);
        self.v1.iter().map(|group| &group.place).chain(of_v2)
    }

    fn make(&mut self, host: &Host, limits: &Limits) -> Result<(), CgroupError> {
        let mut closed: Vec<PathBuf> = Vec::new();
        for hierarchy in &host.v1 {
            let made = V1Group::make(hierarchy, &self.id);
            self.v1.extend(unless_closed(made, &hierarchy.mount, &mut closed)?);
        }
        if let Some(top) = host.top() {
            let made = V2Group::make(top, &self.id);
            self.v2 = unless_closed(made, top, &mut closed)?;
        }
        self.v1.iter_mut().try_for_each(V1Group::make_payload)?;
        self.v2.iter_mut().try_for_each(V2Group::make_leaves)?;
        if limits.guards_devices() && !self.v1.iter().any(|group| group.has("devices")) {
            self.v2.iter_mut().try_for_each(|group| group.make_guard(limits))?;
        }
        self.check(host, limits, &closed)?;
        self.v1.iter().try_for_each(|group| group.apply(limits))?;
        self.v2.iter().try_for_each(|group| group.apply(limits))
    }

    /// Refuses limits that can't hold here: their controller is missing, or processors that they name are.
    pub(super) fn check(
        &self,
        host: &Host,
        limits: &Limits,
        closed: &[PathBuf],
    ) -> Result<(), CgroupError> {
        for (flag, controller) in limits.needs() {
            if !self.has(controller)? {
                let why = self.why_not(host, controller, closed)?;
                return Err(CgroupError::NoController { flag, controller, why });
            }
        }
        self.check_swap(limits)?;
        if let (Some((file, _)), None) = (limits.files.first(), &self.v2) {
            return Err(CgroupError::NoFile { file: file.clone() });
        }
        if let (Some(bytes), Some(group), Some(mount)) =
            (limits.memory_reservation_bytes, &self.v2, &host.v2)
            && group.has("memory")?
        {
            reserved::tell_less_above(group.place.top(), mount, bytes)?;
        }
        for (flag, asked, file) in limits.sets() {
            let of_v1 = self.v1.iter().find(|group| group.has("cpuset"));
            let there = match (of_v1, &self.v2) {
                (Some(group), _) => group.place.shared().read(file)?,
                (None, Some(group)) => group.place.shared().read(&format!("{file}.effective"))?,
                (None, None) => continue,
            };
            Cgroup::check_set((flag, asked), &there)?;
        }
        Ok(())
    }

    /// Refuses processors or memory nodes that are not among those that are there.
    pub(super) fn check_set(
        (flag, asked): (&'static str, &str),
        there: &str,
    ) -> Result<(), CgroupError> {
        let there = there.trim().to_owned();
        match words::list(&format!("{there},{asked}")) == words::list(&there) {
            true => Ok(()),
            false => Err(CgroupError::NotThere { flag, asked: asked.to_owned(), there }),
        }
    }

    /// Refuses a limit of swap where nobody counts it. Where none was asked for a line tells what a limit of memory lacks.
    fn check_swap(&self, limits: &Limits) -> Result<(), CgroupError> {
        if limits.memory_bytes.is_none() || limits.swap == Some(Swap::Any) {
            return Ok(());
        }
        let of_v1 = self.v1.iter().find(|group| group.has("memory")).map(|group| &group.place.own);
        let of_v2 = self.v2.as_ref().and_then(V2Group::limited);
        let file = match (of_v1, of_v2) {
            (Some(group), _) => group.read_if_there("memory.memsw.limit_in_bytes")?,
            (None, Some(group)) => group.read_if_there("memory.swap.max")?,
            (None, None) => return Ok(()),
        };
        match (file, limits.swap) {
            (Some(_), _) => Ok(()),
            (None, Some(_)) => Err(CgroupError::NoSwap),
            (None, None) => {
                tracing::warn!(
                    "--memory: this kernel does not count the swap of control groups, so that the container may use any beside its memory; \
                     boot with swapaccount=1, or say `--memory-swap -1` where that is as it shall be"
                );
                Ok(())
            }
        }
    }

    fn has(&self, controller: &str) -> Result<bool, CgroupError> {
        if self.v1.iter().any(|group| group.has(controller)) {
            return Ok(true);
        }
        self.v2.as_ref().map_or(Ok(false), |group| group.has(controller))
    }

    pub(super) fn why_not(
        &self,
        host: &Host,
        controller: &str,
        closed: &[PathBuf],
    ) -> Result<WhyNot, CgroupError> {
        if let Some(why) = self.v2.as_ref().and_then(|group| group.why_not(controller)) {
            return Ok(why);
        }
        let of_v1 = host.v1.iter().find(|hierarchy| hierarchy.controllers.contains(&controller));
        if of_v1.is_none()
            && let Some(why) = self.why_not_given(host, controller)?
        {
            return Ok(why);
        }
        let mount = of_v1.map(|hierarchy| &hierarchy.mount).or(host.v2.as_ref());
        Ok(match mount.filter(|mount| closed.contains(mount)) {
            Some(mount) => WhyNot::NotPermitted(mount.clone()),
            None => host.why_absent(controller),
        })
    }

    /// Of a controller that the tree of version 2 has, and this user was not given.
    fn why_not_given(&self, host: &Host, controller: &str) -> Result<Option<WhyNot>, CgroupError> {
        let Some(mount) = &host.v2 else { return Ok(None) };
        let offered = Group::top(mount)?.read(v2::CONTROLLERS)?;
        if !v2::lists(&offered, v2::called(controller)) {
            return Ok(None);
        }
        Ok(match (&self.v2, &host.delegation) {
            (Some(group), _) => {
                let top = group.place.top().path();
                (top != mount).then(|| WhyNot::NotGiven(top.to_path_buf()))
            }
            (None, Delegation::Nothing) => Some(WhyNot::NotDelegated),
            (None, Delegation::Alone(group) | Delegation::Occupied(group)) => {
                Some(WhyNot::Occupied(group.clone()))
            }
            (None, Delegation::Below(group)) => Some(WhyNot::NotPermitted(group.clone())),
            (None, Delegation::Whole) => None,
        })
    }
}

/// What was noted of a container, unless root asks, who has noted nothing: a user's store would tell root where to end processes.
fn noted(below: Option<&Path>) -> Result<Option<&Path>, CgroupError> {
    let Some(group) = below else { return Ok(None) };
    let rights = host::rights().map_err(CgroupError::call("look at", Path::new("/proc/self")))?;
    Ok((rights != Rights::Root).then_some(group))
}

/// Who may write to a group may not move every process there.
fn out_of_reach(error: CgroupError) -> CgroupError {
    match error {
        CgroupError::Call { deed: "write", path, source } if source.errno() == Errno::ACCESS => {
            let group = path.parent().unwrap_or(&path);
            CgroupError::OutOfReach(group.to_path_buf())
        }
        other => other,
    }
}

/// `None`, remembered, where the answer is that this user may make no group there.
fn unless_closed<T>(
    made: Result<T, CgroupError>,
    mount: &Path,
    closed: &mut Vec<PathBuf>,
) -> Result<Option<T>, CgroupError> {
    match made {
        Err(CgroupError::Call { source, .. })
            if matches!(source.errno(), Errno::ACCESS | Errno::PERM | Errno::ROFS) =>
        {
            tracing::debug!("no groups in {}: {source}", mount.display());
            closed.push(mount.to_path_buf());
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// An id that names a directory and nothing else.
fn checked(id: &str) -> Result<Box<str>, CgroupError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !id.is_empty() && id.len() <= ID_LEN_MAX && !id.starts_with('.');
    match fits && id.bytes().all(is_plain) {
        true => Ok(id.into()),
        false => Err(CgroupError::BadId(id.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_swap_that_nobody_counts_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let limited = dir.path().join("layerfs/id/limited");
        std::fs::create_dir_all(limited.join("payload")).unwrap();
        std::fs::write(limited.join(v2::CONTROL), "memory\n").unwrap();
        let cgroup = || Cgroup {
            id: "id".into(),
            v1: Vec::new(),
            v2: V2Group::find(dir.path(), "id").unwrap(),
        };
        let check = |swap| {
            let limits = Limits { memory_bytes: Some(1 << 20), swap, ..Limits::default() };
            cgroup().check(&Host::default(), &limits, &[]).map_err(|error| error.to_string())
        };
        for bytes in [0, 1 << 20] {
            let told = check(Some(Swap::Bytes(bytes))).unwrap_err();
            assert!(told.starts_with("--memory-swap: this kernel does not count"), "{told}");
        }
        // Any swap is what there is; without a word a line tells.
        assert_eq!((check(Some(Swap::Any)), check(None)), (Ok(()), Ok(())));
        std::fs::write(limited.join("memory.swap.max"), "max\n").unwrap();
        assert_eq!(check(Some(Swap::Bytes(0))), Ok(()));
    }
}
