//! The processes that serve what is mounted: every process of the lab's namespace but the keeper and the lab itself.

use std::time::Duration;

use anyhow::Result;
use layerfs_driver::sys::{Errno, dir, host};
use layerfs_runtime::apart::{self, Until};
use std::os::fd::AsFd;

/// The keeper's number in its namespace.
const KEEPER: u32 = 1;
/// How long whoever serves may take to end by itself.
const ENDING: Duration = Duration::from_secs(20);
/// How long an ended process may take to go.
const KILLED: Duration = Duration::from_secs(5);

/// Some processes.
#[derive(Debug)]
pub struct Serving(Vec<u32>);

/// Those that live now. One that has ended has no memory, and is passed over.
pub fn now() -> Result<Serving> {
    let own = host::process_id();
    let mut found = Vec::new();
    for entry in dir::list(dir::open_path("/proc")?)? {
        let pid = std::str::from_utf8(&entry.name).ok().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != KEEPER && *pid != own) else { continue };
        if rss_anon(pid).is_some() {
            found.push(pid);
        }
    }
    Ok(Serving(found))
}

impl Serving {
    /// Their numbers.
    pub fn pids(&self) -> &[u32] {
        &self.0
    }

    /// Bytes of memory of their own, of no file; `None` where there is no process.
    pub fn rss_anon(&self) -> Option<u64> {
        self.0.iter().filter_map(|pid| rss_anon(*pid)).reduce(|sum, next| sum + next)
    }

    /// Their open descriptors.
    pub fn descriptors(&self) -> Option<u64> {
        let count = |pid: &u32| {
            Some(dir::list(dir::open_path(of(*pid, "fd").as_str()).ok()?).ok()?.len() as u64)
        };
        self.0.iter().filter_map(count).reduce(|sum, next| sum + next)
    }

    /// Keeps all their threads on one processor.
    pub fn pin(&self, processor: usize) -> Result<()> {
        for pid in &self.0 {
            for task in dir::list(dir::open_path(of(*pid, "task").as_str())?)? {
                let task = std::str::from_utf8(&task.name).ok().and_then(|name| name.parse().ok());
                apart::pin(task, processor)?;
            }
        }
        Ok(())
    }

    /// Waits until they have ended by themselves, and ends those that do not.
    pub fn wait_or_end(&self) -> Result<()> {
        self.wait(ENDING)?;
        self.end()
    }

    /// Ends them.
    pub fn end(&self) -> Result<()> {
        self.0.iter().try_for_each(|pid| apart::kill_now(*pid))?;
        self.wait(KILLED)
    }

    fn wait(&self, limit: Duration) -> Result<()> {
        for pid in &self.0 {
            match apart::open(*pid) {
                Err(error) if error.errno() == Errno::SRCH => {}
                opened => {
                    apart::wait_until(&[(opened?.as_fd(), Until::Readable)], Some(limit))?;
                }
            }
        }
        Ok(())
    }
}

fn of(pid: u32, what: &str) -> String {
    format!("/proc/{pid}/{what}")
}

fn rss_anon(pid: u32) -> Option<u64> {
    field(&status(&of(pid, "status"))?, "RssAnon:").map(|kib| kib * 1024)
}

/// The text of a status file; `None` where its process has gone.
pub fn status(path: &str) -> Option<String> {
    const LEN_MAX: u64 = 1 << 20;
    let file = layerfs_driver::sys::file::open_read_path(path).ok()?;
    let text = layerfs_driver::sys::file::read_all(file, LEN_MAX).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A number of a status file (`proc_pid_status(5)`).
pub fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_descriptors_of_a_process_are_read() {
        let own = Serving(vec![host::process_id()]);
        assert!(own.rss_anon().unwrap() > 10_000);
        assert!(own.descriptors().unwrap() >= 3);
        assert_eq!((Serving(Vec::new()).rss_anon(), rss_anon(u32::MAX)), (None, None));
        assert_eq!(field("RssAnon:\t  12 kB\nRssFile:\t 1 kB\n", "RssFile:"), Some(1));
    }
}
