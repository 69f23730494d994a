//! Facts about this process and this machine that no descriptor tells.

use std::os::fd::AsFd;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{SysError, call};

/// Whether the process may do what root may: effective user id 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets the process have as many descriptors as it may, and write files as large as it may: a stack of many directories
/// holds a descriptor for each, and whoever writes has limits of his own.
pub fn raise_limits() -> Result<(), SysError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, name) in [(Resource::Nofile, "NOFILE"), (Resource::Fsize, "FSIZE")] {
        let limit = getrlimit(resource);
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        call("setrlimit", || name.to_owned(), || setrlimit(resource, wanted))?;
    }
    Ok(())
}

/// How many descriptors the process may have now.
pub fn descriptors_max() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The process id, as it stands in names of temporary directories.
pub fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

/// Random bytes from the kernel.
pub fn random_u64() -> Result<u64, SysError> {
    let mut bytes = [0_u8; 8];
    let flags = rustix::rand::GetRandomFlags::empty();
    call("getrandom", String::new, || rustix::rand::getrandom(&mut bytes, flags))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Seconds since 1970 and nanoseconds; 0 where the clock stands before.
pub fn now() -> (i64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// Seconds since 1970; 0 where the clock stands before.
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970; 0 where the clock stands before.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The kernel's release (`6.18.0`) and machine (`x86_64`).
pub fn kernel() -> (String, String) {
    let names = rustix::system::uname();
    (names.release().to_string_lossy().into_owned(), names.machine().to_string_lossy().into_owned())
}

/// Size and free space of a file system.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// All bytes.
    pub total_bytes: u64,
    /// Bytes a process without privilege may still take.
    pub free_bytes: u64,
    /// The file system's magic number (`statfs(2)`).
    pub magic: u64,
}

/// Size and free space of the file system that holds `file`.
pub fn space(file: impl AsFd) -> Result<Space, SysError> {
    let stat = call("fstatfs", String::new, || rustix::fs::fstatfs(&file))?;
    let block = u64::try_from(stat.f_bsize).unwrap_or(0);
    Ok(Space {
        total_bytes: stat.f_blocks.saturating_mul(block),
        free_bytes: stat.f_bavail.saturating_mul(block),
        magic: u64::try_from(stat.f_type).unwrap_or(0),
    })
}
