//! Ending what is in a container's groups, and removing them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use layerfs_driver::sys::{Errno, SysError};

use super::container::Cgroup;
use super::error::CgroupError;
use super::frozen::Frozen;
use super::group::Group;
use super::reserved;
use super::v2::V2Group;
use crate::sys::kill::kill_now;

/// How long killed processes may take to end: one that waits for a disk ends with its wait.
const END_MAX: Duration = Duration::from_secs(10);
/// How long a server that lost its last process may take to end by itself, before it is killed.
const SERVER_END_MAX: Duration = Duration::from_secs(2);
/// How long an empty group may be busy: until the last dead process is taken note of by its parent.
const REMOVE_MAX: Duration = Duration::from_secs(2);
/// How long freezing may take; who can't be frozen is killed all the same.
const FREEZE_MAX: Duration = Duration::from_millis(500);

impl Cgroup {
    /// Kills every process of the container, whatever it forks meanwhile, and waits until they are gone. The server of its
    /// file system lives on.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        let groups: Vec<&Group> = self.payload_groups().collect();
        let until = Instant::now() + END_MAX;
        loop {
            let pids = members(&groups)?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(busy(groups[0].path().to_path_buf(), &pids, END_MAX));
            }
            self.kill_once(&groups)?;
            pause();
        }
    }

    /// The container's processes, the server of its file system not among them.
    pub fn members(&self) -> Result<BTreeSet<u32>, CgroupError> {
        members(&self.payload_groups().collect::<Vec<_>>())
    }

    /// Removes the container's groups, which must be empty, with those that it made below. Groups of others are never
    /// touched.
    pub fn remove(&self) -> Result<(), CgroupError> {
        // One that stays does not keep the others.
        let answers: Vec<Result<(), CgroupError>> =
            self.places().map(|place| removed(&place.own, || place.try_remove(&self.id))).collect();
        let left =
            self.v2.as_ref().map_or(Ok(()), |group| reserved::add_up_again(group.place.shared()));
        answers.into_iter().chain([left]).collect()
    }

    /// Does both for a container whose command was killed: ends the server too, and knows nothing but the id, and where
    /// its groups were made.
    pub fn sweep(id: &str, below: Option<&Path>) -> Result<(), CgroupError> {
        let cgroup = Cgroup::find(id, below)?;
        cgroup.kill_all()?;
        let groups: Vec<&Group> = cgroup.places().map(|place| &place.own).collect();
        let (mut is_told, started) = (false, Instant::now());
        loop {
            let pids = members(&groups)?;
            if pids.is_empty() {
                return cgroup.remove();
            }
            if started.elapsed() >= END_MAX {
                return Err(busy(groups[0].path().to_path_buf(), &pids, END_MAX));
            }
            // The mount went with the last process: the server notices, puts things in order and ends.
            if !is_told && started.elapsed() >= SERVER_END_MAX {
                pids.iter().try_for_each(|pid| kill(*pid))?;
                is_told = true;
            }
            pause();
        }
    }

    /// Stops every process of the container until the answer is ended or dropped, where something can; the server of its
    /// file system goes on. Waits for whoever else has it stopped: who ends first would let it go under the other.
    pub fn paused(&self) -> Result<Paused<'_>, CgroupError> {
        let to_freeze = self.to_freeze();
        to_freeze.iter().try_for_each(|frozen| frozen.group.lock())?;
        self.freeze().map(Paused)
    }

    /// One round: with version 2's own means where there are some, else frozen, killed one by one, and thawed.
    fn kill_once(&self, groups: &[&Group]) -> Result<(), CgroupError> {
        if let Some(limited) = self.v2.as_ref().and_then(V2Group::limited) {
            match limited.try_tell("cgroup.kill", "1") {
                // Whoever left the leaf but not the other groups is met below.
                Ok(()) if self.v1.is_empty() => return Ok(()),
                Ok(()) => {}
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(CgroupError::call("kill all in", limited.path())(error)),
            }
        }
        let frozen = self.freeze()?;
        let killed = members(groups).and_then(|pids| pids.iter().try_for_each(|pid| kill(*pid)));
        // Thawed whatever happened: a frozen process does not even die.
        frozen.iter().try_for_each(Frozen::thaw).and(killed)
    }

    /// Stops the payload from forking while it is killed, where something can.
    fn freeze(&self) -> Result<Vec<Frozen<'_>>, CgroupError> {
        let all = self.to_freeze();
        for frozen in &all {
            if let Err(error) = frozen.freeze(FREEZE_MAX) {
                all.iter().try_for_each(Frozen::thaw)?;
                return Err(error);
            }
        }
        Ok(all)
    }

    /// The groups that can be frozen.
    fn to_freeze(&self) -> Vec<Frozen<'_>> {
        let freezers = self.v1.iter().filter(|group| group.has("freezer"));
        let mut all: Vec<_> = freezers.map(|group| Frozen::of_v1(&group.place.own)).collect();
        let of_v2 = if all.is_empty() { Frozen::of_v2 } else { Frozen::of_v2_beside };
        all.extend(self.v2.as_ref().and_then(V2Group::limited).map(of_v2));
        all
    }
}

/// Processes that stand still.
pub struct Paused<'a>(Vec<Frozen<'a>>);

impl Paused<'_> {
    /// Lets them go on, each group whatever becomes of the others.
    pub fn end(mut self) -> Result<(), CgroupError> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), CgroupError> {
        // What was paused below stays so.
        let ends = |frozen: Frozen<'_>| frozen.thaw_own().and(frozen.group.unlock());
        let ended: Vec<Result<(), CgroupError>> = self.0.drain(..).map(ends).collect();
        ended.into_iter().collect()
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.let_go() {
            tracing::error!("the container stays paused: {error}");
        }
    }
}

fn kill(pid: u32) -> Result<(), CgroupError> {
    kill_now(pid).map_err(CgroupError::call("end process", &PathBuf::from(pid.to_string())))
}

fn members(groups: &[&Group]) -> Result<BTreeSet<u32>, CgroupError> {
    let mut found = BTreeSet::new();
    for group in groups {
        found.extend(group.pids()?);
    }
    Ok(found)
}

/// Tries `remove` until it is done, or busy for too long.
fn removed(own: &Group, remove: impl Fn() -> Result<(), SysError>) -> Result<(), CgroupError> {
    let path = || own.path().to_path_buf();
    let until = Instant::now() + REMOVE_MAX;
    loop {
        match remove() {
            Err(error) if error.errno() == Errno::BUSY && Instant::now() < until => pause(),
            Err(error) if error.errno() == Errno::BUSY => {
                return Err(busy(path(), &own.pids()?, REMOVE_MAX));
            }
            other => return other.map_err(CgroupError::call("remove cgroup", &path())),
        }
    }
}

fn busy(path: PathBuf, pids: &BTreeSet<u32>, waited: Duration) -> CgroupError {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let who = match pids.is_empty() {
        true => "a dead process whose parent does not wait for it".to_owned(),
        false => format!("process {}", pids.join(", ")),
    };
    CgroupError::Busy { path, who, waited_ms: waited.as_millis().try_into().unwrap_or(u64::MAX) }
}

/// Until the next look.
pub(super) fn pause() {
    // tidy: allow(sleep) version 1 tells nobody when a group becomes empty or a dead process is waited for
    std::thread::sleep(Duration::from_millis(1));
}
