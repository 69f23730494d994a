//! What a container is to be: plain data, complete, decided by the caller.

use std::ffi::CString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::capability::Capabilities;
use crate::network::Subnet;
use crate::network::programs::Helper;
use crate::seccomp::Filters;
pub use crate::sys::limits::Resource;

/// Whether something can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can be changed.
    ReadWrite,
    /// Every change is refused.
    ReadOnly,
}

/// Which network a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Its own: a loopback, nothing else.
    None,
    /// The host's.
    Host,
    /// Its own, connected with a bridge of the host's.
    Bridge(Connection),
    /// Its own, and a program leads what comes and goes. For containers of a user's own users.
    Helped(Helper),
    /// One that is there already; who starts the container says which.
    Joined,
}

/// How a container is connected with a bridge. The bridge is there before the container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The bridge.
    pub bridge: String,
    /// The host's end of the pair of links.
    pub link: String,
    /// The hardware address of the container's end.
    pub mac: [u8; 6],
    /// Bytes that both carry at once.
    pub mtu: u32,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The range that it is of.
    pub subnet: Subnet,
    /// The bridge's address: the way out.
    pub gateway: Ipv4Addr,
}

/// The ids of the host that a container's own stand for: so many as there are ids of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// What its user 0 and its group 0 are on the host.
    pub first: u32,
}

impl IdRange {
    /// How many ids a range has.
    pub const LEN: u32 = 1 << 16;
}

/// Ids of the host that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSpan {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// The ids of the host that a container's own stand for where a user starts it who is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallersIds {
    /// What its user 0 is: the caller.
    pub user: u32,
    /// What its group 0 is: the caller's.
    pub group: u32,
    /// What its users and its groups from 1 on are: the caller's subordinate ids (`subuid(5)`, `subgid(5)`).
    pub further: Option<(IdSpan, IdSpan)>,
}

/// Whose users those of a container are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// The host's: its root is root of the machine, with few rights.
    Hosts,
    /// Its own, in a user namespace: they are nobody on the host.
    Own(IdRange),
    /// Its own, in a user namespace: its root is the caller, the others are ids that the caller has besides.
    Callers(CallersIds),
}

impl Users {
    /// How many there are, users and groups; `None` where they are the host's.
    pub fn count(self) -> Option<u32> {
        match self {
            Users::Hosts => None,
            Users::Own(_) => Some(IdRange::LEN),
            Users::Callers(CallersIds { further: None, .. }) => Some(1),
            Users::Callers(CallersIds { further: Some((users, groups)), .. }) => {
                Some(users.count.min(groups.count).saturating_add(1))
            }
        }
    }

    /// Whether a process of theirs may have groups beside its own.
    pub fn groups(self) -> Groups {
        match self {
            Users::Callers(CallersIds { further: None, .. }) => Groups::Kept,
            Users::Callers(_) | Users::Own(_) | Users::Hosts => Groups::Set,
        }
    }
}

/// Whether the groups that a process has beside its own can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// They can.
    Set,
    /// They can't: who has no ids but the own could leave a group that something is kept from.
    Kept,
}

/// Whether a program may gain rights by what it executes: set-id bits, capabilities of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gains {
    /// Never.
    Never,
    /// Up to those of the container's root.
    OfFiles,
}

/// Where a program's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nowhere: it is at its end.
    Nothing,
    /// From the caller.
    Caller,
    /// From a pipe that nobody writes to: it never comes to its end.
    Open,
}

/// What a program's standard streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// The caller's, through pipes.
    Caller,
    /// A new terminal, whose other end the caller keeps.
    Terminal,
}

/// A directory or file of the host, shown in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the host, absolute, links resolved.
    pub source: PathBuf,
    /// Where it shows, absolute as the container sees it.
    pub target: PathBuf,
    /// Whether the container may change it.
    pub access: Access,
    /// What is in it when the program starts.
    pub contents: Contents,
}

/// What is in a volume when the program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// What was in it before.
    Own,
    /// A copy of what the container's root has at its place: it is empty until then.
    OfPlace,
}

/// What a mount refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Changes.
    Changes,
    /// Set-id bits and capabilities of files.
    SetIds,
    /// Devices.
    Devices,
    /// Programs.
    Programs,
}

/// A file system in memory, which goes with the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it shows, absolute as the container sees it.
    pub target: PathBuf,
    /// Keys and values of `tmpfs(5)`.
    pub options: Vec<(String, String)>,
    /// What it refuses.
    pub refused: Vec<Refused>,
}

/// A setting of the kernel that the container has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Where it is, below `/proc/sys`.
    pub path: String,
    /// What is written there.
    pub value: String,
}

/// A limit of the first process, which others inherit (`getrlimit(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// What is limited.
    pub resource: Resource,
    /// What holds; `None` for no limit.
    pub soft: Option<u64>,
    /// Up to where a process may raise that; `None` for no limit.
    pub hard: Option<u64>,
}

/// Which kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Of characters.
    Character,
    /// Of blocks: a disk.
    Block,
}

/// A device of the host's that a container has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it is on the host, absolute.
    pub source: PathBuf,
    /// Where it is in the container, absolute as that sees it.
    pub target: PathBuf,
    /// Which kind it is of.
    pub kind: DeviceKind,
    /// Its numbers.
    pub numbers: (u32, u32),
    /// Who may open it: the bits of its mode, without its kind.
    pub mode: u32,
    /// Its user and its group on the host.
    pub owner: (u32, u32),
}

/// What keeps a container from reading and changing the settings of the host's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walls {
    /// Parts of `/proc` and `/sys` can't be read, others not be changed.
    Usual,
    /// Nothing but what its rights don't reach.
    None,
}

/// The program of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The program, looked for in `PATH` where it holds no `/`, and its words. Never empty.
    pub words: Vec<CString>,
    /// `NAME=value`, one each.
    pub environment: Vec<CString>,
    /// Where it starts, absolute as the container sees it; made where it is absent.
    pub directory: PathBuf,
    /// `NAME|UID[:GROUP|GID]`, empty for root.
    pub user: String,
}

/// For how long a further process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// For as long as its caller, at most.
    OfCaller,
    /// For as long as the container, at most.
    OfContainer,
}

/// A further process in a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSpec {
    /// What runs. Its directory has to be there.
    pub process: Process,
    /// Which of root's rights the container has.
    pub capabilities: Capabilities,
    /// Which system calls it may make.
    pub filters: Filters,
    /// Limits of its processes.
    pub resource_limits: Vec<ResourceLimit>,
    /// Standard input.
    pub input: Input,
    /// Standard streams; the null device where nobody waits for its end.
    pub streams: Streams,
    /// For how long it runs.
    pub lifetime: Lifetime,
}

/// What the first process of a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The program itself.
    Program,
    /// One of ours, which hands signals on to the program and takes away what has ended.
    Init,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// What `hostname` says in it.
    pub hostname: String,
    /// What runs in it.
    pub process: Process,
    /// What its first process is.
    pub first: First,
    /// What is shown as the source of its root.
    pub source: String,
    /// Whether its root can be changed.
    pub root: Access,
    /// What of the host it shows, in the order in which it is mounted.
    pub volumes: Vec<Volume>,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Bytes that `/dev/shm` has room for.
    pub shm_bytes: u64,
    /// Devices of the host's that it has.
    pub devices: Vec<Device>,
    /// What it can't reach of the kernel's settings.
    pub walls: Walls,
    /// Files made for this container, each shown at its target: `/etc/hosts` and the like.
    pub files: Vec<Volume>,
    /// Whose users its own are.
    pub users: Users,
    /// Whether its programs may gain rights.
    pub gains: Gains,
    /// Which of root's rights it has.
    pub capabilities: Capabilities,
    /// Which system calls it may make.
    pub filters: Filters,
    /// Settings of the kernel.
    pub sysctls: Vec<Sysctl>,
    /// Limits of its processes.
    pub resource_limits: Vec<ResourceLimit>,
    /// How soon the kernel ends its processes where memory runs out, -1000 to 1000; as the caller's where nothing is said.
    pub oom_score_adj: Option<i16>,
    /// Which network it sees.
    pub network: Network,
    /// Standard input.
    pub input: Input,
    /// Standard streams.
    pub streams: Streams,
}
