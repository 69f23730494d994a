//! How many processors this process may run on.

use super::{SysError, call};

/// The processors in this process's affinity mask; at least 1.
pub fn count() -> Result<u32, SysError> {
    let mask = call("sched_getaffinity", String::new, || rustix::thread::sched_getaffinity(None))?;
    Ok(mask.count().max(1))
}
