//! Why a container could not have its network.

use std::path::PathBuf;

use super::programs::Kind;
use crate::sys::SysError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused something.
    #[error("{deed}: {source}")]
    Refused {
        /// What was being done.
        deed: String,
        /// The refused call, or the refused message.
        source: SysError,
    },
    /// `nft` is not there.
    #[error(
        "the program `nft` is not there, and a bridge needs it: install the package nftables, or give --network none or host"
    )]
    NoNft,
    /// `nft` refused the rules.
    #[error("nft did not take the rules of the bridge: {0}")]
    Rules(String),
    /// A program that gives users their network is not there.
    #[error(
        "the program `{}` is not in PATH: install the package {}, or give --network none or host",
        .0.name(),
        .0.package()
    )]
    NoHelper(Kind),
    /// It is there, and gave the container none.
    #[error(
        "{name} gives the container no network: {words}; --network none does without, --network host gives it the host's"
    )]
    Helper {
        /// What the program is called.
        name: &'static str,
        /// Why, in its own words.
        words: String,
    },
    /// A file is no network namespace.
    #[error(
        "`{0}` is no network namespace; give one that `ip netns add NAME` made, as /run/netns/NAME"
    )]
    NoNamespace(PathBuf),
}

/// Says what was being done when something was refused.
pub(super) trait Doing<T> {
    /// Adds the deed.
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, NetworkError>;
}

impl<T> Doing<T> for Result<T, SysError> {
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError::Refused { deed: deed(), source })
    }
}
