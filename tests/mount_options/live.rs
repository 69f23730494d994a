//! A place with directories to merge, whose mounts are taken away and whose processes end before it goes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::place::{Place, Run, finished};
use crate::support::{Photo, Scope, machine, photograph, rights};

pub struct Live {
    pub place: Place,
    before: Photo,
}

/// `None` where nothing can be mounted, and the test has been told as skipped.
pub fn live() -> Option<Live> {
    if !rights::have_root() {
        return None;
    }
    if !Path::new("/dev/fuse").exists() {
        rights::skip("no /dev/fuse");
        return None;
    }
    Some(filled(Place::new()))
}

/// The same on a disk, whose file system is the one that most uppers lie on.
pub fn live_on_disk() -> Option<Live> {
    live().map(|_| filled(Place::on_disk()))
}

fn filled(place: Place) -> Live {
    for dir in ["top/d", "base/d", "up", "work", "mnt/in"] {
        std::fs::create_dir_all(place.join(dir)).unwrap();
    }
    for (file, text) in [("top/both", "top"), ("base/both", "base"), ("base/only", "only")] {
        std::fs::write(place.join(file), text).unwrap();
    }
    let before = photograph(&Scope::Below(place.join("")));
    Live { place, before }
}

impl Live {
    /// The command called by another name.
    pub fn named(&self, name: &str, words: &[&str]) -> Command {
        let link = self.place.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_layerfs"), &link).unwrap();
        }
        let like = self.place.command(&[]);
        let mut command = Command::new(link);
        command.args(words).current_dir(self.place.join("")).stdin(std::process::Stdio::null());
        for (key, value) in like.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    pub fn run_named(&self, name: &str, words: &[&str]) -> Run {
        finished(&mut self.named(name, words))
    }

    /// The message of a run that must fail after it waited for what another has: what it waits for, and the same again.
    pub fn refused_after_a_wait(&self, words: &[&str]) -> String {
        let run = self.place.run(words);
        assert_eq!((run.status, &*run.stdout), (Some(1), ""), "{run:?}");
        let lines: Vec<&str> = run.stderr.lines().collect();
        let [waiting, told] = lines[..] else { panic!("not two lines: {run:?}") };
        let why = waiting.strip_prefix("layerfs: waiting at most 10 s: ");
        assert!(why.is_some_and(|why| told.ends_with(why)), "{run:?}");
        told.to_owned()
    }

    pub fn read(&self, file: &str) -> String {
        let path = self.place.join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What `findmnt` says of `mnt`: source, type and options.
    pub fn found(&self) -> [String; 3] {
        let mut asked = Command::new("findmnt");
        asked.args(["-rno", "SOURCE,FSTYPE,OPTIONS"]).arg(self.place.join("mnt"));
        let said = String::from_utf8(asked.output().unwrap().stdout).unwrap();
        let words: Vec<String> = said.split_whitespace().map(String::from).collect();
        words.try_into().unwrap_or_else(|_| panic!("no mount, or two: {said}"))
    }

    /// What a script says on standard output, run by bash in the place. It must complain of nothing, and `cmp` find nothing.
    pub fn shell(&self, script: &str) -> String {
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(script).current_dir(self.place.join(""));
        let output = bash.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains(" differ: "), "{script}: {said}");
        said
    }

    /// The processes that serve `mnt`, or something in it, or are about to.
    pub fn servers(&self) -> Vec<u32> {
        self.servers_of("mnt")
    }

    /// The same of another mount in the place.
    pub fn servers_of(&self, mount: &str) -> Vec<u32> {
        let at = self.place.join(mount);
        let serves = |pid: &u32| {
            let words = machine::command_line(*pid);
            words.contains(" serve --source=") && machine::works_in(*pid, &at)
        };
        machine::pids().into_iter().filter(serves).collect()
    }

    pub fn umount(&self) {
        self.place.said(&["umount", "mnt"]);
    }

    /// Waits for processes that are ending, and compares with what was there before.
    pub fn assert_nothing_left(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let now = photograph(&Scope::Below(self.place.join("")));
            if now.differences(&self.before).is_empty() || Instant::now() > until {
                return now.assert_same(&self.before);
            }
            step();
        }
    }

    /// All names in the place, sorted.
    pub fn names(&self) -> Vec<PathBuf> {
        let mut found = vec![self.place.join("")];
        let mut next = 0;
        while next < found.len() {
            if found[next].is_dir() && !found[next].is_symlink() {
                let entries = std::fs::read_dir(&found[next]).unwrap();
                found.extend(entries.map(|entry| entry.unwrap().path()));
            }
            next += 1;
        }
        found.sort();
        found
    }
}

/// Holds the lock of an upper: stands for a process that still ends after its mount went.
pub struct Holder(Child);

impl Holder {
    /// `None` where there is no `flock`, and the test has been told as skipped.
    pub fn of(upper: &Path) -> Option<Holder> {
        if !rights::have(&["flock"]) {
            return None;
        }
        let mut holder = Command::new("flock");
        holder.arg(upper).args(["sh", "-c", "echo held; read line"]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Some(Holder(holder))
    }

    pub fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Stops processes, and has them go on when it is dropped, however the test ends.
pub struct Stopped(Vec<Pid>);

impl Stopped {
    pub fn stop(pids: &[u32]) -> Stopped {
        assert!(!pids.is_empty(), "nobody serves");
        let pids = pids.iter().map(|pid| Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap());
        let stopped = Stopped(pids.collect());
        for pid in &stopped.0 {
            rustix::process::kill_process(*pid, Signal::STOP).unwrap();
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let goes_on = rustix::process::kill_process(*pid, Signal::CONT);
            assert!(goes_on.is_ok() || std::thread::panicking());
        }
    }
}

/// The time between two looks at what tells nobody that it changed: another's process that ends, a mount that appears.
pub fn step() {
    // tidy: allow(sleep) each look is repeated until it succeeds or the watchdog ends the test
    std::thread::sleep(Duration::from_millis(10));
}

impl Drop for Live {
    /// A test that failed leaves its mount.
    fn drop(&mut self) {
        for at in ["mnt", "top", "kernel", "bind", "ram", "holder/store/m"] {
            let mut umount = Command::new("umount");
            let quiet = umount.arg("-lq").arg(self.place.join(at)).output();
            assert!(quiet.is_ok(), "umount can be started");
        }
    }
}
