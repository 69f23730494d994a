//! A container's groups in the tree of version 2: `<id>/` with the leaves `limited/payload/` and `fuse/`.
//!
//! What bounds the whole container stands in `<id>/`: its file system's server works for it, and what it reads and writes
//! there is the container's. What would hurt the server stands in `limited/`: memory and process numbers, freezing and
//! killing. All limits are repeated in `payload/`, which is the root of the container's cgroup namespace, so that they read
//! right inside; the container may write there, and nowhere above.

use std::os::fd::OwnedFd;
use std::path::Path;

use layerfs_driver::sys::Errno;

use super::devices;
use super::error::{CgroupError, WhyNot};
use super::group::{Group, is_gone};
use super::io;
use super::limits::{Limits, PERIOD_US, weight_of_shares};
use super::place::Place;
use super::reserved::{self, LOW};
use super::v1::counted;

/// The controllers that are handed down to a container, where the kernel has them here.
pub(super) const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// What version 2 calls a controller of version 1.
pub(super) fn called(controller: &str) -> &str {
    if controller == "blkio" { "io" } else { controller }
}

pub(super) const CONTROL: &str = "cgroup.subtree_control";
/// Tells which controllers a group has.
pub(super) const CONTROLLERS: &str = "cgroup.controllers";
const LIMITED: &str = "limited";
const PAYLOAD: &str = "payload";
const SERVER: &str = "fuse";

/// The groups of one container.
#[derive(Debug)]
pub struct V2Group {
    /// `<id>/`.
    pub place: Place,
    limited: Option<Group>,
    payload: Option<Group>,
    server: Option<Group>,
    refused: Vec<(&'static str, WhyNot)>,
    /// What keeps devices from its processes, and the flag that needs it.
    guard: Option<(OwnedFd, Option<&'static str>)>,
}

impl V2Group {
    /// Makes `<id>/` below the group at `top`, with the controllers handed down to it. Fails with nothing made.
    pub fn make(top: &Path, id: &str) -> Result<V2Group, CgroupError> {
        let ready = |top: &Group, shared: &Group| {
            hand_down(top)?;
            hand_down(shared).map(drop)
        };
        let place = Place::make(Group::top(top)?, id, ready)?;
        Ok(V2Group::of(place))
    }

    /// Makes the leaves. Where this fails, what there is of them is removed with `<id>/`.
    pub fn make_leaves(&mut self) -> Result<(), CgroupError> {
        self.limited = Some(self.place.own.make_closed(LIMITED)?);
        self.ask_controllers()?;
        let payload = self.limited.as_ref().map(|limited| limited.make(PAYLOAD));
        self.payload = payload.transpose()?;
        self.server = Some(self.place.own.make(SERVER)?);
        Ok(())
    }

    /// Has the controllers handed down from the top on, now for the answers: nothing above can vanish any more.
    pub fn ask_controllers(&mut self) -> Result<(), CgroupError> {
        let above = [self.place.top(), self.place.shared(), &self.place.own];
        for group in above.into_iter().chain(&self.limited) {
            for (name, why) in hand_down(group)? {
                if self.refused.iter().all(|(other, _)| *other != name) {
                    self.refused.push((name, why));
                }
            }
        }
        Ok(())
    }

    /// Finds the groups of a container below the group at `top`; `None` where there are none.
    pub fn find(top: &Path, id: &str) -> Result<Option<V2Group>, CgroupError> {
        let top = match Group::top(top) {
            // What was given to a user goes with the session or the unit that it was given with.
            Err(CgroupError::Call { source, .. }) if is_gone(source.errno()) => return Ok(None),
            top => top?,
        };
        let Some(place) = Place::find(top, id)? else { return Ok(None) };
        let limited = place.own.below(LIMITED)?;
        let payload = limited.as_ref().map(|limited| limited.below(PAYLOAD)).transpose()?.flatten();
        let server = place.own.below(SERVER)?;
        Ok(Some(V2Group { limited, payload, server, ..V2Group::of(place) }))
    }

    fn of(place: Place) -> V2Group {
        V2Group {
            place,
            limited: None,
            payload: None,
            server: None,
            refused: Vec::new(),
            guard: None,
        }
    }

    /// Makes ready what keeps all devices but the usual ones and these from the container's processes. That a program can't be had is an
    /// answer: it depends on the limits whether that matters.
    pub fn make_guard(&mut self, limits: &Limits) -> Result<(), CgroupError> {
        match devices::guard(&limits.devices) {
            Ok(guard) => {
                let needed = limits.needs().find(|(_, controller)| *controller == "devices");
                self.guard = Some((guard, needed.map(|(flag, _)| flag)));
            }
            Err(error) if is_no_program(error.errno()) => {
                tracing::debug!("no program for devices: {error}");
                self.refused.push(("devices", WhyNot::NoProgram(error.errno())));
            }
            Err(source) => {
                let failed = CgroupError::call("keep devices from", self.place.own.path());
                return Err(failed(source));
            }
        }
        Ok(())
    }

    /// Has it hold, where there is one.
    pub fn set_guard(&self) -> Result<(), CgroupError> {
        let (Some(limited), Some((guard, needed))) = (&self.limited, &self.guard) else {
            return Ok(());
        };
        match (devices::set(limited, guard), needed) {
            (Ok(()), _) => Ok(()),
            // A group above may have one that allows no other below it.
            (Err(error), None) if is_no_program(error.errno()) => {
                tracing::debug!("no program for devices: {error}");
                Ok(())
            }
            (Err(error), Some(flag)) if is_no_program(error.errno()) => {
                let why = WhyNot::NoProgram(error.errno());
                Err(CgroupError::NoController { flag, controller: "devices", why })
            }
            (Err(source), _) => Err(CgroupError::call("keep devices from", limited.path())(source)),
        }
    }

    /// Whether the leaves are under this controller. Of devices version 2 has none, but a program.
    pub fn has(&self, controller: &str) -> Result<bool, CgroupError> {
        let Some(limited) = &self.limited else { return Ok(false) };
        match controller {
            "devices" => Ok(self.guard.is_some()),
            _ => Ok(lists(&limited.read(CONTROL)?, called(controller))),
        }
    }

    /// Why the leaves are not under a controller that this tree has.
    pub fn why_not(&self, controller: &str) -> Option<WhyNot> {
        let found = self.refused.iter().find(|(name, _)| *name == called(controller));
        found.map(|(_, why)| why.clone())
    }

    /// The group that limits the container's processes and holds no other; they are below it.
    pub fn limited(&self) -> Option<&Group> {
        self.limited.as_ref()
    }

    /// The leaf of the container's processes.
    pub fn payload(&self) -> Option<&Group> {
        self.payload.as_ref()
    }

    /// The leaf of the server of its file system.
    pub fn server(&self) -> Option<&Group> {
        self.server.as_ref()
    }

    /// Writes those of `limits` whose controllers are here.
    pub fn apply(&self, limits: &Limits) -> Result<(), CgroupError> {
        let (Some(limited), Some(payload), Some(server)) =
            (&self.limited, &self.payload, &self.server)
        else {
            return Ok(());
        };
        let own = &self.place.own;
        let handed = limited.read(CONTROL)?;
        for group in [limited, payload] {
            if let Some(bytes) = limits.memory_bytes.filter(|_| lists(&handed, "memory")) {
                group.set("memory.max", &bytes.to_string())?;
                group.set_if_there("memory.swap.max", &limits.swap_alone())?;
            }
            let sets = [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)];
            for (file, value) in sets {
                if let Some(value) = value.as_ref().filter(|_| lists(&handed, "cpuset")) {
                    group.set(file, value)?;
                }
            }
            if let Some(count) = limits.pids_max.filter(|_| lists(&handed, "pids")) {
                group.set("pids.max", &count.to_string())?;
            }
        }
        if let Some(bytes) = limits.memory_reservation_bytes.filter(|_| lists(&handed, "memory")) {
            self.reserve(&bytes.to_string())?;
        }
        if lists(&handed, "io") {
            // The server's too: what it reads and writes is the container's.
            [own, payload].into_iter().try_for_each(|group| io::apply_v2(group, &limits.io))?;
            if let Some(weight) = limits.io_weight
                && !io::apply_weight(&[own, limited, payload, server], weight, 2)?
            {
                return Err(CgroupError::NoWeight);
            }
        }
        if lists(&handed, "cpu") {
            self.apply_cpu(limits, [own, limited, payload, server])?;
        }
        self.write(&limits.files, [own, limited, payload])
    }

    fn apply_cpu(
        &self,
        limits: &Limits,
        [own, limited, payload, server]: [&Group; 4],
    ) -> Result<(), CgroupError> {
        if let Some(cpus) = limits.cpus {
            let value = format!("{} {PERIOD_US}", cpus.quota_us);
            own.set("cpu.max", &value)?;
            payload.set("cpu.max", &value)?;
        }
        if let Some(shares) = limits.cpu_shares {
            let weight = weight_of_shares(shares).to_string();
            // The server's too: it shall not be outweighed a hundred times by the processes that wait for it.
            [own, limited, payload, server]
                .into_iter()
                .try_for_each(|group| group.set("cpu.weight", &weight))?;
        }
        Ok(())
    }

    /// Writes files of controllers as they were said. What is of the server's, too, is bounded above both.
    fn write(&self, files: &[(String, String)], groups: [&Group; 3]) -> Result<(), CgroupError> {
        let [own, limited, payload] = groups;
        for (file, value) in files {
            let is_both = ["cpu.", "io."].iter().any(|controller| file.starts_with(controller));
            for group in [if is_both { own } else { limited }, payload] {
                group.try_tell(file, value).map_err(|error| match error.errno() {
                    Errno::NOENT | Errno::ACCESS => CgroupError::NoFile { file: file.clone() },
                    errno => {
                        CgroupError::NotTaken { file: file.clone(), value: value.clone(), errno }
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Has memory left to the container where it is short.
    pub fn reserve(&self, bytes: &str) -> Result<(), CgroupError> {
        let groups = [Some(&self.place.own), self.limited(), self.payload()];
        groups.into_iter().flatten().try_for_each(|group| group.set(LOW, bytes))?;
        reserved::add_up(self.place.shared())
    }

    /// Kills for want of memory so far; `None` where this tree does not count them.
    pub fn oom_kills(&self) -> Result<Option<u64>, CgroupError> {
        let Some(limited) = &self.limited else { return Ok(None) };
        let events = limited.read_if_there("memory.events")?;
        Ok(events.and_then(|text| counted(&text, "oom_kill")))
    }
}

/// Hands the wanted controllers that `group` has down to the groups below it. Answers with those that were refused: it
/// depends on the limits whether that matters. Nothing is ever taken away from a group that others use.
fn hand_down(group: &Group) -> Result<Vec<(&'static str, WhyNot)>, CgroupError> {
    let offered = group.read(CONTROLLERS)?;
    let handed = group.read(CONTROL)?;
    let mut refused = Vec::new();
    for name in WANTED {
        if !lists(&offered, name) || lists(&handed, name) {
            continue;
        }
        match group.try_tell(CONTROL, &format!("+{name}")) {
            Ok(()) => {}
            Err(source) if is_an_answer(source.errno()) => {
                let errno = source.errno();
                let why = WhyNot::NotPassedOn { group: group.path().to_path_buf(), errno };
                refused.push((name, why));
            }
            Err(source) => {
                return Err(CgroupError::call("write", &group.path().join(CONTROL))(source));
            }
        }
    }
    Ok(refused)
}

/// Whether a refusal is about this group and controller: processes in the way, no right, a kernel's rule.
fn is_an_answer(errno: Errno) -> bool {
    !is_gone(errno)
        && matches!(
            errno,
            Errno::BUSY | Errno::ACCESS | Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP
        )
}

/// Whether a refusal of a program is about this kernel, its rules, or the groups above.
fn is_no_program(errno: Errno) -> bool {
    is_an_answer(errno) || matches!(errno, Errno::NOSYS | Errno::TOOBIG)
}

/// Whether a list of controllers has one.
pub(super) fn lists(text: &str, controller: &str) -> bool {
    text.split_ascii_whitespace().any(|name| name == controller)
}
