//! The processors that a process may run on: how many, which, and one of them alone.

use rustix::thread::CpuSet;

use super::{Errno, SysError, call};

/// The processors in this process's affinity mask; at least 1.
pub fn count() -> Result<u32, SysError> {
    Ok(mask()?.count().max(1))
}

/// The first processor that this process may run on.
pub fn first() -> Result<usize, SysError> {
    let mask = mask()?;
    Ok((0..CpuSet::MAX_CPU).find(|cpu| mask.is_set(*cpu)).unwrap_or(0))
}

fn mask() -> Result<CpuSet, SysError> {
    call("sched_getaffinity", String::new, || rustix::thread::sched_getaffinity(None))
}

/// Keeps a thread, by its number, on one processor; `None` for the calling one. What it starts later stays there, too.
pub fn pin(thread: Option<u32>, processor: usize) -> Result<(), SysError> {
    let number = thread.and_then(|thread| i32::try_from(thread).ok());
    let pid = number.and_then(rustix::process::Pid::from_raw);
    let mut mask = CpuSet::new();
    mask.set(processor);
    let shown = || format!("{thread:?}, {processor}");
    let set = || match (thread, pid) {
        (Some(_), None) => Err(Errno::SRCH),
        _ => rustix::thread::sched_setaffinity(pid, &mask),
    };
    call("sched_setaffinity", shown, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_pinned_may_run_there_alone() {
        let pinned = std::thread::spawn(|| {
            let last = (0..CpuSet::MAX_CPU).rfind(|cpu| mask().unwrap().is_set(*cpu)).unwrap();
            pin(None, last).unwrap();
            (count().unwrap(), first().unwrap(), last)
        });
        let (count, first, last) = pinned.join().unwrap();
        assert_eq!((count, first), (1, last));
        assert_eq!(pin(Some(u32::MAX), 0).unwrap_err().errno(), Errno::SRCH);
    }
}
