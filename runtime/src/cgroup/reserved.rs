//! Memory that is left to containers where memory is short (`memory.low` of version 2).
//!
//! 1. The kernel leaves a group no more than the groups above it have (Control Group v2, "Memory"): what stands in `payload/` alone is
//!    for nothing. So all groups of the container have it, and the directory that is shared has what all containers together have.
//! 2. Not more than that: what is not asked for by one the kernel gives to the others (`memory_recursiveprot`).
//! 3. What is above belongs to others. Where one of those has less, memory is left to the container only where the groups below that one
//!    are short of it. That is told.

use std::path::Path;

use super::error::CgroupError;
use super::group::{Group, is_gone};
use super::place::TRIES_MAX;
use crate::sys::Errno;

pub(super) const LOW: &str = "memory.low";
/// The kernel's word for all.
const ALL: &str = "max";

/// What a group is left: nothing where it is gone, or memory is not handed down to it.
fn low_of(group: &Group) -> Result<u64, CgroupError> {
    match group.read(LOW) {
        Err(CgroupError::Call { source, .. }) if is_gone(source.errno()) => Ok(0),
        Ok(text) if text.trim() == ALL => Ok(u64::MAX),
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(error) => Err(error),
    }
}

/// What all containers in the shared directory are left together.
fn together(shared: &Group) -> Result<u64, CgroupError> {
    let mut sum = 0_u64;
    for name in shared.children()? {
        // An id of ours, or none of ours.
        let Ok(name) = std::str::from_utf8(&name) else { continue };
        if let Some(container) = shared.below(name)? {
            sum = sum.saturating_add(low_of(&container)?);
        }
    }
    Ok(sum)
}

/// Has the shared directory have what all containers in it have together. Whoever changes one of them does so next, and looks again
/// after that: so the last one who writes has seen all.
pub fn add_up(shared: &Group) -> Result<(), CgroupError> {
    let mut sum = together(shared)?;
    for _ in 0..TRIES_MAX {
        let word = if sum == u64::MAX { ALL.to_owned() } else { sum.to_string() };
        match shared.tell(LOW, &word) {
            Err(CgroupError::Call { source, .. }) if is_gone(source.errno()) => return Ok(()),
            told => told?,
        }
        let now = together(shared)?;
        if now == sum {
            break;
        }
        sum = now;
    }
    Ok(())
}

/// The same where a container is gone, which may have had some.
pub fn add_up_again(shared: &Group) -> Result<(), CgroupError> {
    if low_of(shared)? == 0 { Ok(()) } else { add_up(shared) }
}

/// Tells of the first group above that has less than is asked for. The top of the tree, which is mounted at `mount`, has no such file: it
/// has all.
pub fn tell_less_above(top: &Group, mount: &Path, bytes: u64) -> Result<(), CgroupError> {
    for path in top.path().ancestors().take_while(|path| path.starts_with(mount)) {
        let text = match Group::top(path).and_then(|group| group.read_if_there(LOW)) {
            // What this user may not look at it is not told of.
            Err(CgroupError::Call { source, .. }) if source.errno() == Errno::ACCESS => continue,
            text => text?,
        };
        let Some(text) = text else { continue };
        if text.trim() != ALL && text.trim().parse().unwrap_or(0_u64) < bytes {
            tracing::warn!(
                "--memory-reservation: {} is left {} bytes itself, so that no more is left to the container where memory is short above it; \
                 whoever manages that group can have more left to it (MemoryLow= of systemd)",
                path.display(),
                text.trim()
            );
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_has_what_all_in_it_have_together() {
        let dir = tempfile::tempdir().unwrap();
        for (name, low) in [("one", "20971520\n"), ("two", "1048576\n"), ("three", "0\n")] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(LOW), low).unwrap();
        }
        // Memory is not handed down to it.
        std::fs::create_dir(dir.path().join("four")).unwrap();
        let shared = Group::top(dir.path()).unwrap();
        let read = || std::fs::read_to_string(dir.path().join(LOW)).unwrap();
        // Where nothing is left nothing has to be added up.
        std::fs::write(dir.path().join(LOW), "0").unwrap();
        add_up_again(&shared).unwrap();
        assert_eq!(read(), "0");
        add_up(&shared).unwrap();
        assert_eq!(read(), "22020096");
        std::fs::write(dir.path().join("one").join(LOW), "max\n").unwrap();
        std::fs::write(dir.path().join(LOW), "8").unwrap();
        add_up_again(&shared).unwrap();
        assert_eq!(read(), ALL);
    }
}
