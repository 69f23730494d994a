//! Why a container could not have its network.

use std::path::PathBuf;

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
