//! Why a profile can't be used.

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no profile in Docker's form.
    #[error("it is no profile in Docker's form: {0}")]
    Form(#[from] serde_json::Error),
    /// The kernel is to ask another program, and there is none.
    #[error("{0} asks another program what to do with a call, and layerfs has none for that")]
    Notify(&'static str),
    /// A call has no argument of that number.
    #[error("`{call}` has an argument of number {index} in it; they are counted from 0 to 5")]
    Argument {
        /// The system call.
        call: String,
        /// The number.
        index: u8,
    },
    /// There is no filter for this machine's processor.
    #[error("there are no filters of system calls for {0}")]
    Machine(&'static str),
    /// It makes more instructions than the kernel takes.
    #[error("it makes too large a filter: {0}")]
    Size(String),
}
