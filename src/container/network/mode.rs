//! Which network a container sees: the words of `--network`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::store::container::State;
use layerfs_driver::sys::process::Process;
use layerfs_runtime::network;
use layerfs_runtime::network::programs::Kind;

use crate::container::shown::Doing;

/// Which network.
#[derive(Debug)]
pub enum Mode {
    /// Its own: a loopback and nothing else.
    None,
    /// The host's.
    Host,
    /// Its own, connected with the bridge.
    Bridge(Asked),
    /// Its own, from which a program of the user's leads.
    Helped(Kind, Asked),
    /// That of a container that runs.
    Container(Other),
    /// That of a file.
    Namespace(PathBuf, OwnedFd),
}

/// Whether a network with a way out is what the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was said: without it there is no container.
    ByName,
    /// Nothing was said: where there can be none, the container has a loopback.
    ByDefault,
}

/// A container whose network is joined.
#[derive(Debug)]
pub struct Other {
    /// Its full id.
    pub id: String,
    /// Its host name, which the one that joins it has, too.
    pub hostname: String,
    /// Its network.
    pub network: OwnedFd,
}

impl Mode {
    /// Reads the word; none, or an empty one, is the default.
    pub fn read(word: Option<&str>, store: &Store) -> Result<Self> {
        let word = word.unwrap_or("");
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == word) {
            return Ok(Mode::Helped(kind, Asked::ByName));
        }
        match (word, word.split_once(':')) {
            ("" | "default", _) => Ok(Mode::Bridge(Asked::ByDefault)),
            ("bridge", _) => Ok(Mode::Bridge(Asked::ByName)),
            ("none", _) => Ok(Mode::None),
            ("host", _) => Ok(Mode::Host),
            (_, Some(("container", other))) if !other.is_empty() => {
                let joined = of_container(other, store);
                Ok(Mode::Container(joined.with_context(|| format!("--network `{word}`"))?))
            }
            (_, Some(("ns", path))) if !path.is_empty() => {
                let file = network::of_file(Path::new(path));
                let file = file.with_context(|| format!("--network `{word}`"))?;
                Ok(Mode::Namespace(path.into(), file))
            }
            _ => bail!(
                "--network `{word}`: there are none, host, bridge, pasta, slirp4netns, container:NAME and ns:PATH"
            ),
        }
    }

    /// Docker's word for it.
    pub fn word(&self) -> String {
        match self {
            Mode::None => "none".into(),
            Mode::Host => "host".into(),
            Mode::Bridge(_) => "bridge".into(),
            Mode::Helped(kind, _) => kind.name().into(),
            Mode::Container(other) => format!("container:{}", other.id),
            Mode::Namespace(path, _) => format!("ns:{}", path.display()),
        }
    }

    /// Whether nobody else is in it, and nothing that is changed there is changed for others.
    pub fn is_own(&self) -> bool {
        matches!(self, Mode::None | Mode::Bridge(_) | Mode::Helped(..))
    }

    /// Whether the container is to be without where a program gives it none.
    pub fn is_dispensable(&self) -> bool {
        matches!(self, Mode::Helped(_, Asked::ByDefault))
    }

    /// The network to join.
    pub fn joined(&self) -> Option<&OwnedFd> {
        match self {
            Mode::Container(other) => Some(&other.network),
            Mode::Namespace(_, file) => Some(file),
            Mode::None | Mode::Host | Mode::Bridge(_) | Mode::Helped(..) => None,
        }
    }
}

fn of_container(word: &str, store: &Store) -> Result<Other> {
    let container = store.find_container(word)?;
    let name = &container.name;
    let (Doing::Running { pid }, State::Running { pid_start_ticks, .. }) =
        (Doing::of(&container), &container.state)
    else {
        bail!("container `{name}` does not run; a network is there while its container runs");
    };
    let network = network::of_process(pid);
    // Its number could have come to mean another process just before.
    if Process::find(pid, *pid_start_ticks)?.is_none() {
        bail!("container `{name}` has just ended");
    }
    Ok(Other { id: container.id.hex().into(), hostname: container.hostname, network: network? })
}
