//! The steps that make a container, in their order: a pure function of what it is to be.
//!
//! The order is a promise in itself:
//! 1. Nothing of the container exists before its limits hold.
//! 2. Nothing is mounted before the mounts of this process are private.
//! 3. Devices are made in a file system of ours, never in the image.
//! 4. What the host has to give (volumes, files) is taken before the root is changed, and can't be reached after it.
//! 5. Privileges go last: user, capabilities, descriptors, system calls, and only then the program.

use crate::spec::{
    Access, Connection, ContainerSpec, Device, First, Network, Streams, Sysctl, Tmpfs, Users,
    Volume, Walls,
};

/// A file system of the kernel's that every container has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// `/proc`, of the container's processes.
    Proc,
    /// `/sys`, read-only.
    Sys,
    /// `/sys/fs/cgroup`: the container's own groups.
    Cgroups,
    /// `/dev`, with the devices that everybody may have.
    Dev,
    /// `/dev/pts`, with terminals of its own.
    Terminals,
    /// `/dev/shm`.
    Memory,
    /// `/dev/mqueue`.
    Queues,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// End when the supervisor ends, from here on.
    DieWithParent,
    /// Open the device that the root's server will speak through: the groups will forbid it.
    OpenDevice,
    /// Wait until this process is in the groups that limit it. A supervisor that has ended before says no word, and ends it.
    AwaitLimits,
    /// Be root of the container's own users, which the supervisor has given ids by now.
    BecomeRoot,
    /// See no group but those.
    UnshareCgroups,
    /// Show no mount to the host from here on.
    PrivateMounts,
    /// Mount the root aside, send its device to the process that serves it.
    MountRoot,
    /// Mount a file system of the kernel's.
    MountSystem(System),
    /// Give it devices of the host's.
    GiveDevices(Vec<Device>),
    /// Make part of `/proc` or `/sys` unreadable.
    Mask(&'static str),
    /// Change a setting of the kernel that is the container's own.
    SetSysctl(Sysctl),
    /// Make part of `/proc` unchangeable.
    Protect(&'static str),
    /// Show files made for this container.
    ShowFiles(Vec<Volume>),
    /// Show something of the host's.
    ShowVolume(Volume),
    /// Mount a file system in memory.
    MountTmpfs(Tmpfs),
    /// Find the directory that the program starts in, or make it.
    FindDirectory,
    /// Refuse changes of the root itself.
    ProtectRoot,
    /// Make the mounted root the root.
    Pivot,
    /// Name the machine.
    SetHostname(String),
    /// Bring the loopback up.
    RaiseLoopback,
    /// Give the link that the supervisor has made its address, and route everything through it.
    Connect(Connection),
    /// Begin a session that no terminal of the host controls.
    NewSession,
    /// Part from the session keyring, which is the caller's.
    NewKeyring,
    /// Take a terminal of the container's own, and send its other end out.
    TakeTerminal,
    /// Take what stands for the caller's streams: pipes, or nothing.
    TakeStreams,
    /// Decide who to be, by the image's own lists.
    FindUser,
    /// Let the streams that were made for the container be that user's.
    GiveStreams,
    /// Go where the program starts.
    EnterDirectory,
    /// Keep few capabilities and one user.
    DropPrivileges,
    /// Go on as a child of this process, which becomes the one that stands by the program.
    LeaveInit,
    /// Find the program, and give it its signals.
    FindProgram,
    /// Make no system calls any more but those that the program may make.
    FilterCalls,
    /// Become the program.
    Start,
}

/// Unreadable in every container: what tells about the host, or reaches its hardware.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/devices/system/cpu/*/thermal_throttle",
];

/// Unchangeable in every container: settings of the host's kernel.
const PROTECTED: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The file systems of the kernel's, outer ones first.
const SYSTEMS: [System; 7] = [
    System::Proc,
    System::Sys,
    System::Cgroups,
    System::Dev,
    System::Terminals,
    System::Memory,
    System::Queues,
];

/// The steps that make the container, from its first instruction to its program.
pub fn plan(spec: &ContainerSpec) -> Vec<Step> {
    let mut steps = vec![Step::DieWithParent, Step::OpenDevice, Step::AwaitLimits];
    if spec.users != Users::Hosts {
        steps.push(Step::BecomeRoot);
    }
    steps.extend([Step::UnshareCgroups, Step::PrivateMounts, Step::MountRoot]);
    steps.extend(SYSTEMS.map(Step::MountSystem));
    if !spec.devices.is_empty() {
        steps.push(Step::GiveDevices(spec.devices.clone()));
    }
    if spec.walls == Walls::Usual {
        steps.extend(MASKED.map(Step::Mask));
    }
    // Before they are made unchangeable.
    steps.extend(spec.sysctls.iter().cloned().map(Step::SetSysctl));
    if spec.walls == Walls::Usual {
        steps.extend(PROTECTED.map(Step::Protect));
    }
    steps.extend(mounts(spec));
    steps.push(Step::FindDirectory);
    if spec.root == Access::ReadOnly {
        steps.push(Step::ProtectRoot);
    }
    steps.extend([Step::Pivot, Step::SetHostname(spec.hostname.clone())]);
    match &spec.network {
        // The program has made the rest when the supervisor says that the limits hold.
        Network::None | Network::Helped(_) => steps.push(Step::RaiseLoopback),
        Network::Bridge(connection) => {
            steps.extend([Step::RaiseLoopback, Step::Connect(connection.clone())]);
        }
        Network::Host | Network::Joined => {}
    }
    steps.extend([Step::NewSession, Step::NewKeyring]);
    steps.push(match spec.streams {
        Streams::Terminal => Step::TakeTerminal,
        Streams::Caller => Step::TakeStreams,
    });
    steps.extend([Step::FindUser, Step::GiveStreams, Step::EnterDirectory, Step::DropPrivileges]);
    if spec.first == First::Init {
        steps.push(Step::LeaveInit);
    }
    steps.extend([Step::FindProgram, Step::FilterCalls, Step::Start]);
    steps
}

/// Files of the container's, volumes and file systems in memory, each after what it lies in; the user's after ours.
fn mounts(spec: &ContainerSpec) -> Vec<Step> {
    // All of them lie equally deep.
    let files = spec.files.first().map(|it| (&it.target, Step::ShowFiles(spec.files.clone())));
    let volumes = spec.volumes.iter().map(|it| (&it.target, Step::ShowVolume(it.clone())));
    let tmpfs = spec.tmpfs.iter().map(|it| (&it.target, Step::MountTmpfs(it.clone())));
    let mut all: Vec<_> = files.into_iter().chain(tmpfs).chain(volumes).collect();
    all.sort_by_key(|(target, _)| target.components().count());
    all.into_iter().map(|(_, step)| step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Capabilities;
    use crate::seccomp::Filters;
    use crate::spec::{CallersIds, Contents, First, Gains, IdRange, Input, Process};

    fn spec() -> ContainerSpec {
        let volume = |target: &str| Volume {
            source: "/host".into(),
            target: target.into(),
            access: Access::ReadWrite,
            contents: Contents::Own,
        };
        ContainerSpec {
            hostname: "box".into(),
            process: Process {
                words: vec![c"true".into()],
                environment: Vec::new(),
                directory: "/".into(),
                user: String::new(),
            },
            first: First::Program,
            source: "image".into(),
            root: Access::ReadOnly,
            volumes: vec![volume("/data/cache/deep"), volume("/data")],
            tmpfs: vec![Tmpfs {
                target: "/data/cache".into(),
                options: Vec::new(),
                refused: Vec::new(),
            }],
            shm_bytes: 1 << 20,
            devices: Vec::new(),
            walls: Walls::Usual,
            files: vec![volume("/etc/hosts")],
            users: Users::Hosts,
            gains: Gains::Never,
            capabilities: Capabilities::usual(),
            filters: Filters::default(),
            sysctls: Vec::new(),
            resource_limits: Vec::new(),
            oom_score_adj: None,
            network: Network::None,
            input: Input::Nothing,
            streams: Streams::Caller,
        }
    }

    #[test]
    fn what_is_mounted_comes_after_what_it_lies_in() {
        let targets = mounts(&spec()).into_iter().map(|step| match step {
            Step::ShowVolume(volume) => volume.target,
            Step::ShowFiles(files) => files[0].target.clone(),
            Step::MountTmpfs(tmpfs) => tmpfs.target,
            _ => unreachable!("no other step is a mount of the user's"),
        });
        let expected = ["/data", "/etc/hosts", "/data/cache", "/data/cache/deep"];
        assert!(targets.eq(expected.map(std::path::PathBuf::from)));
    }

    fn place(steps: &[Step], wanted: impl Fn(&Step) -> bool) -> usize {
        steps.iter().position(wanted).unwrap()
    }

    #[test]
    fn limits_hold_before_anything_is_made() {
        let steps = plan(&spec());
        assert_eq!(steps[..3], [Step::DieWithParent, Step::OpenDevice, Step::AwaitLimits]);
    }

    /// The device is opened by who may, and what is mounted belongs to the users of the container.
    #[test]
    fn root_of_the_containers_own_users_opens_nothing_and_mounts_everything() {
        let callers = CallersIds { user: 1000, group: 1000, further: None };
        for users in [Users::Own(IdRange { first: 1 << 30 }), Users::Callers(callers)] {
            let steps = plan(&ContainerSpec { users, ..spec() });
            let root = place(&steps, |step| *step == Step::BecomeRoot);
            assert_eq!(steps[root - 1], Step::AwaitLimits);
            assert!(place(&steps, |step| *step == Step::OpenDevice) < root);
            assert!(root < place(&steps, |step| *step == Step::UnshareCgroups));
            assert!(root < place(&steps, |step| *step == Step::MountRoot));
        }
    }

    #[test]
    fn mounts_are_private_before_the_first_of_ours() {
        let steps = plan(&spec());
        let private = place(&steps, |step| *step == Step::PrivateMounts);
        assert!(private < place(&steps, |step| *step == Step::MountRoot));
        assert!(private < place(&steps, |step| matches!(step, Step::MountSystem(_))));
    }

    #[test]
    fn everything_of_the_host_is_taken_before_the_root_changes() {
        let steps = plan(&spec());
        let pivot = place(&steps, |step| *step == Step::Pivot);
        let last = steps.iter().rposition(|step| {
            matches!(
                step,
                Step::ShowVolume(_) | Step::ShowFiles(_) | Step::Mask(_) | Step::Protect(_)
            )
        });
        assert!(last.unwrap() < pivot);
        assert!(place(&steps, |step| *step == Step::ProtectRoot) < pivot);
    }

    #[test]
    fn what_is_made_in_the_root_is_made_while_it_can_be_changed() {
        let steps = plan(&spec());
        let volume = place(&steps, |step| matches!(step, Step::ShowVolume(_)));
        let directory = place(&steps, |step| *step == Step::FindDirectory);
        let protected = place(&steps, |step| *step == Step::ProtectRoot);
        assert!(volume < directory && directory < protected);
    }

    /// Streams are given to a user who is known, by root, who may read the lists of users; and all of that by who has no key
    /// of the caller's any more.
    #[test]
    fn privileges_go_last() {
        for (streams, taken) in
            [(Streams::Caller, Step::TakeStreams), (Streams::Terminal, Step::TakeTerminal)]
        {
            let steps = plan(&ContainerSpec { streams, ..spec() });
            let last = [
                Step::NewSession,
                Step::NewKeyring,
                taken,
                Step::FindUser,
                Step::GiveStreams,
                Step::EnterDirectory,
                Step::DropPrivileges,
                Step::FindProgram,
                Step::FilterCalls,
                Step::Start,
            ];
            assert_eq!(steps[steps.len() - last.len()..], last);
        }
    }

    #[test]
    fn walls_stand_unless_nothing_is_to_be_kept_from_it() {
        let is_wall = |step: &Step| matches!(step, Step::Mask(_) | Step::Protect(_));
        assert_eq!(plan(&spec()).iter().filter(|step| is_wall(step)).count(), 18);
        assert!(!plan(&ContainerSpec { walls: Walls::None, ..spec() }).iter().any(is_wall));
    }

    /// It has no right that the program has not.
    #[test]
    fn the_init_stays_behind_when_privileges_are_gone() {
        let steps = plan(&ContainerSpec { first: First::Init, ..spec() });
        let last = [
            Step::DropPrivileges,
            Step::LeaveInit,
            Step::FindProgram,
            Step::FilterCalls,
            Step::Start,
        ];
        assert_eq!(steps[steps.len() - last.len()..], last);
    }

    #[test]
    fn a_network_of_others_is_left_as_it_is() {
        for network in [Network::Host, Network::Joined] {
            let spec = ContainerSpec { network, ..spec() };
            let changes = |step: &Step| matches!(step, Step::RaiseLoopback | Step::Connect(_));
            assert!(!plan(&spec).iter().any(changes));
        }
    }

    #[test]
    fn the_network_is_whole_while_there_is_the_right_to_make_it() {
        let address = std::net::Ipv4Addr::new(10, 1, 2, 3);
        let connection = Connection {
            bridge: "bridge".into(),
            link: "link".into(),
            mac: [2; 6],
            mtu: 1500,
            address,
            subnet: crate::network::Subnet::of(address, 24),
            gateway: address,
        };
        let spec = ContainerSpec { network: Network::Bridge(connection.clone()), ..spec() };
        let steps = plan(&spec);
        let connected = place(&steps, |step| *step == Step::Connect(connection.clone()));
        // The supervisor has made the links when it says that the limits hold.
        assert!(place(&steps, |step| *step == Step::AwaitLimits) < connected);
        assert!(place(&steps, |step| *step == Step::RaiseLoopback) < connected);
        assert!(connected < place(&steps, |step| *step == Step::DropPrivileges));
    }

    #[test]
    fn a_writable_root_is_not_protected() {
        let spec = ContainerSpec { root: Access::ReadWrite, ..spec() };
        assert!(!plan(&spec).contains(&Step::ProtectRoot));
    }
}
