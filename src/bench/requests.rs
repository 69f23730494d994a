//! How many requests a serving process answers: counted by strace(1) at the device, in a run of their own that is not timed.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use layerfs_driver::sys::{dir, file};
use layerfs_runtime::apart::{self, Child, EndsHere, Forked, Until};

use super::programs::call;
use super::serving::{self, Serving};

/// How often it is looked whether strace has begun, and how many times.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 500;
const REPORT_LEN_MAX: u64 = 1 << 20;
/// The calls by which requests are taken from the device.
const TAKING: [&str; 3] = ["read", "readv", "splice"];

/// A count that goes on.
#[derive(Debug)]
pub struct Counting {
    tracer: Child,
    of: u32,
    report: PathBuf,
}

/// Begins to count what the processes answer.
pub fn begin(serving: &Serving, report: &Path) -> Result<Counting> {
    let [pid] = *serving.pids() else { bail!("there is not one process that serves") };
    let strace = || {
        let strace = call("strace").words("-f -c -P /dev/fuse -o").word(report);
        strace.word("-p").word(pid.to_string()).run()
    };
    let tracer = match apart::fork_into(apart::NOTHING)? {
        Forked::Child => {
            let _ends = EndsHere { status: 1 };
            apart::exit_now(u8::from(strace().is_err()));
        }
        Forked::Parent(child) => child,
    };
    for _ in 0..LOOKS_MAX {
        if is_traced(pid) {
            return Ok(Counting { tracer, of: pid, report: report.to_path_buf() });
        }
        if apart::wait_until(&[(tracer.pidfd.as_fd(), Until::Readable)], Some(LOOK))?[0] {
            bail!("strace ended before it counted");
        }
    }
    bail!("strace did not begin to count")
}

/// Whether every thread of a process is traced.
fn is_traced(pid: u32) -> bool {
    let Ok(tasks) = dir::open_path(format!("/proc/{pid}/task").as_str()).and_then(dir::list) else {
        return false;
    };
    tasks.iter().all(|task| {
        let task = String::from_utf8_lossy(&task.name);
        tracer_of(&format!("/proc/{pid}/task/{task}/status")).is_some()
    })
}

fn tracer_of(status: &str) -> Option<u32> {
    let tracer = serving::field(&serving::status(status)?, "TracerPid:")?;
    u32::try_from(tracer).ok().filter(|tracer| *tracer != 0)
}

impl Counting {
    /// Ends the count, and answers how many requests there were.
    pub fn end(self) -> Result<u64> {
        if let Some(strace) = tracer_of(&format!("/proc/{}/status", self.of)) {
            apart::signal(apart::open(strace)?, apart::TERMINATE)?;
        }
        apart::wait(&self.tracer.pidfd)?;
        let report = file::read_all(file::open_read_path(self.report.as_path())?, REPORT_LEN_MAX)?;
        Ok(taken(&String::from_utf8_lossy(&report)))
    }
}

/// Reads the table of `strace -c`: share, seconds, microseconds a call, calls, errors where there are some, name.
fn taken(report: &str) -> u64 {
    let mut sum = 0;
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (calls, errors) = match words[..] {
            [_, _, _, calls, name] if TAKING.contains(&name) => (calls, "0"),
            [_, _, _, calls, errors, name] if TAKING.contains(&name) => (calls, errors),
            _ => continue,
        };
        let number = |word: &str| word.parse::<u64>().unwrap_or(0);
        sum += number(calls).saturating_sub(number(errors));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_reads_that_were_no_errors() {
        let report = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.000100           1       100        20 read
  5.00    0.000100           1        70           writev
  5.00    0.000100           1         7           splice
------ ----------- ----------- --------- --------- ----------------
100.00    0.000300           1       177        20 total
";
        assert_eq!((taken(report), taken("")), (87, 0));
    }
}
