//! What a container is to be: plain data, complete, decided by the caller.

use std::ffi::CString;
use std::path::PathBuf;

use crate::capability::Capabilities;
use crate::seccomp::Filters;

/// Whether something can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can be changed.
    ReadWrite,
    /// Every change is refused.
    ReadOnly,
}

/// Which network a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Its own: a loopback, nothing else.
    None,
    /// The host's.
    Host,
}

/// Where a program's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nowhere: it is at its end.
    Nothing,
    /// From the caller.
    Caller,
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

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// What `hostname` says in it.
    pub hostname: String,
    /// What runs in it.
    pub process: Process,
    /// What is shown as the source of its root.
    pub source: String,
    /// Whether its root can be changed.
    pub root: Access,
    /// What of the host it shows, in the order in which it is mounted.
    pub volumes: Vec<Volume>,
    /// Files made for this container, each shown at its target: `/etc/hosts` and the like.
    pub files: Vec<Volume>,
    /// Which of root's rights it has.
    pub capabilities: Capabilities,
    /// Which system calls it may make.
    pub filters: Filters,
    /// Which network it sees.
    pub network: Network,
    /// Standard input.
    pub input: Input,
    /// Standard streams.
    pub streams: Streams,
}
