//! Why a container could not be made or its program not be started, and the exit status for that.

use crate::sys::SysError;
use crate::user::UserError;

/// Directories in one another that a way may lead through: a process may have 1024 files open, as a rule.
pub(super) const DEPTH_MAX: usize = 512;

/// What went wrong inside.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The kernel refused a step.
    #[error("{deed}: {source}")]
    Refused {
        /// What was being done.
        deed: String,
        /// The refused call.
        source: SysError,
    },
    /// Something in the image is not what a container needs there.
    #[error("`{path}` in the image is {is}, and a container needs {needs} there")]
    WrongKind {
        /// Where, as the container sees it.
        path: String,
        /// What stands there.
        is: &'static str,
        /// What is needed.
        needs: &'static str,
    },
    /// A place lies outside of the image.
    #[error("`{0}` leads out of the container; give a directory of the image")]
    Outside(String),
    /// A link leads where nothing may be put: on the root, or into what the container has of the kernel.
    #[error(
        "`{path}` leads by a link, of the image or of a volume, to the container's own {own}; name another place, or take the link away"
    )]
    Containers {
        /// Where it begins, as the container sees it.
        path: String,
        /// Where it leads.
        own: String,
    },
    /// There are links without end.
    #[error("`{0}` in the image is more than 40 links after one another, or a circle of them")]
    Links(String),
    /// A place lies too deep: each directory on the way is held open.
    #[error(
        "`{0}` in the image leads through more than {DEPTH_MAX} directories in one another; name another place"
    )]
    Deep(String),
    /// The words for the user.
    #[error(transparent)]
    User(UserError),
    /// A user or a group that the users of a container's own have no id for.
    #[error(
        "`{id}` is no number of a user or a group of this container: it has {count} of its own; root gives it the host's by \
         `--userns host`, other users have more by lines of /etc/subuid and /etc/subgid"
    )]
    Beyond {
        /// The number.
        id: u32,
        /// How many the container has.
        count: u32,
    },
    /// There is no such program.
    #[error("`{0}`: {1}")]
    NotFound(String, &'static str),
    /// There is one, and it can't be started.
    #[error("`{program}` can't be executed: {source}")]
    NotExecutable {
        /// The program.
        program: String,
        /// The refused call.
        source: SysError,
    },
    /// The plan names a step before what it stands on.
    #[error("a step of the plan stands before {0}")]
    Order(&'static str),
    /// The supervisor has gone.
    #[error("the supervisor has ended")]
    Alone,
}

impl SetupError {
    /// The exit status that docker has for it.
    pub fn status(&self) -> u8 {
        match self {
            SetupError::NotFound(..) => 127,
            SetupError::NotExecutable { .. } => 126,
            SetupError::Refused { .. }
            | SetupError::WrongKind { .. }
            | SetupError::Outside(_)
            | SetupError::Containers { .. }
            | SetupError::Links(_)
            | SetupError::Deep(_)
            | SetupError::User(_)
            | SetupError::Beyond { .. }
            | SetupError::Order(_)
            | SetupError::Alone => 125,
        }
    }
}

/// Says what was being done when a call was refused.
pub(super) trait Doing<T> {
    /// Adds the deed.
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, SetupError>;
}

impl<T> Doing<T> for Result<T, SysError> {
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(|source| SetupError::Refused { deed: deed(), source })
    }
}
