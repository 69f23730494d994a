//! `watchdog`: a test that hangs is told, cleared away and failed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{machine, scratch};

/// Guards the test until it is dropped.
#[must_use = "the watch ends when this is dropped"]
pub struct Watchdog {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// Ends this test process after `seconds` unless the guard is dropped before: prints what the started processes are doing,
/// aborts their FUSE connections, kills them, removes the scratch mounts and aborts.
pub fn watchdog(seconds: u64) -> Watchdog {
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let seen = Arc::clone(&ended);
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    let watch = move || {
        let (flag, bell) = &*seen;
        let flag = flag.lock().expect("the flag is only ever set");
        let limit = Duration::from_secs(seconds);
        let (flag, wait) = bell
            .wait_timeout_while(flag, limit, |ended| !*ended)
            .expect("the flag is only ever set");
        if wait.timed_out() && !*flag {
            eprintln!("watchdog: {test} still runs after {seconds} s");
            clear_away();
            std::process::abort();
        }
    };
    Watchdog { ended, thread: Some(std::thread::spawn(watch)) }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let (flag, bell) = &*self.ended;
        *flag.lock().expect("the flag is only ever set") = true;
        bell.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watch does not panic");
        }
    }
}

fn clear_away() {
    let places = scratch::live();
    let mut started = machine::descendants();
    // A daemon has left the family by forking twice; it still works in our places.
    started.extend(
        machine::pids().into_iter().filter(|p| places.iter().any(|d| machine::works_in(*p, d))),
    );
    started.remove(&std::process::id());
    for pid in &started {
        describe(*pid);
    }
    for mount in machine::mounts("self") {
        if mount.kind.starts_with("fuse") && places.iter().any(|p| mount.point.starts_with(p)) {
            abort_connection(&mount.device);
        }
    }
    for pid in started {
        // The shell's own: a minimal system has no program of that name.
        report(Command::new("sh").args(["-c", "kill -9 \"$1\"", "sh", &pid.to_string()]));
    }
    for place in places {
        scratch::unmount_below(&place);
        if let Err(e) = fs::remove_dir_all(&place) {
            eprintln!("watchdog: remove {}: {e}", place.display());
        }
    }
}

/// Prints the command line and, where the kernel lets us, the stack of every thread.
fn describe(pid: u32) {
    eprintln!("watchdog: process {pid}: {}", machine::command_line(pid));
    for task in machine::entries(Path::new(&format!("/proc/{pid}/task"))) {
        let calling = fs::read_to_string(task.join("wchan")).unwrap_or_default();
        let stack = fs::read_to_string(task.join("stack")).unwrap_or_default();
        eprintln!("  thread {} in {calling}\n{stack}", task.display());
    }
}

/// A FUSE connection goes by the minor number of its mount's device.
fn abort_connection(device: &str) {
    let minor = device.split_once(':').map_or(device, |(_, minor)| minor);
    let file = format!("/sys/fs/fuse/connections/{minor}/abort");
    if let Err(e) = fs::write(&file, "1") {
        eprintln!("watchdog: write {file}: {e}");
    }
}

fn report(command: &mut Command) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("watchdog: {command:?}: {}", String::from_utf8_lossy(&output.stderr))
        }
        Err(e) => eprintln!("watchdog: start {command:?}: {e}"),
    }
}
