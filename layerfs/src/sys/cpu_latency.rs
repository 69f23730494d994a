//! How long an idle processor may take to wake: what the kernel calls the latency of its idle states, and a limit to it (PM QoS).

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::error::SysError;

const DEVICE: &str = "/dev/cpu_dma_latency";
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";
/// The lightest state that halts; 0 is to go on looking for work.
const LIGHTEST: &str = "/sys/devices/system/cpu/cpu0/cpuidle/state1/latency";
/// The driver of virtual machines whose processors can look for work before they halt. What it says of its one state, one
/// microsecond, is not what it takes to be woken by the machine below.
const LOOKS_FIRST: &str = "haltpoll";
/// So many processors of a virtual machine may be kept from halting, at most: they take those of the machine below.
const KEPT_MAX: usize = 8;

/// The limit, in microseconds, by which no processor sleeps deeper than it has to. `None` where the kernel has no such limits, or too
/// many processors would be kept from halting.
pub fn lightest() -> Option<i32> {
    let driver = read(DRIVER)?;
    if driver.trim_end() == LOOKS_FIRST {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        return (processors <= KEPT_MAX).then_some(0);
    }
    read(LIGHTEST)?.trim_end().parse().ok()
}

fn read(path: &str) -> Option<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 64];
    let len = rustix::io::read(&file, &mut bytes).ok()?;
    std::str::from_utf8(&bytes[..len]).ok().map(str::to_owned)
}

/// A limit, while this lives. The kernel takes it back however the process ends.
#[derive(Debug)]
pub struct Limit(#[expect(dead_code, reason = "closing it ends the limit")] OwnedFd);

impl Limit {
    /// Sets a limit, in microseconds, for all processors of the machine. For root of the machine alone.
    pub fn new(micros: i32) -> Result<Self, SysError> {
        let refused = |call| move |errno| SysError::new(call, DEVICE, errno);
        let device = rustix::fs::open(DEVICE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(refused("open"))?;
        rustix::io::write(&device, &micros.to_ne_bytes()).map_err(refused("write"))?;
        Ok(Limit(device))
    }
}
