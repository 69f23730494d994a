//! `photograph`: what a test could leave on the machine, to be compared before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::machine;

/// How long something that is on its way out may still show: a mount does in each namespace that another test made meanwhile, for as
/// long as that test's script runs.
const LINGER_MAX: Duration = Duration::from_secs(40);
/// How often it is looked for meanwhile.
const LINGER_STEP: Duration = Duration::from_millis(50);

/// How much of the machine is in the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything that layerfs could leave anywhere. Right only where no other test runs beside: one test to a file.
    Machine,
    /// What has to do with one directory, so that tests beside do not show.
    Below(PathBuf),
}

/// One picture: lines of text, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    scope: Scope,
    lines: BTreeSet<String>,
}

/// Takes a picture: mounts in all namespaces, processes, descriptors of this process, loop devices; of the whole machine also
/// cgroups, network links, nft tables and run directories.
pub fn photograph(scope: &Scope) -> Photo {
    let mut lines = BTreeSet::new();
    mounts(scope, &mut lines);
    processes(scope, &mut lines);
    descriptors(scope, &mut lines);
    loop_devices(scope, &mut lines);
    if let Scope::Machine = scope {
        cgroups(Path::new("/sys/fs/cgroup"), &mut lines);
        network(&mut lines);
        run_directories(&mut lines);
    }
    Photo { scope: scope.clone(), lines }
}

impl Photo {
    /// The picture in which nothing shows. One that is taken of an unused path is not it: a stranger's command line may hold
    /// that path.
    pub fn empty(scope: &Scope) -> Self {
        Self { scope: scope.clone(), lines: BTreeSet::new() }
    }

    /// What is in this picture and not in `before`, and the other way round, one line each; empty if they are the same.
    pub fn differences(&self, before: &Photo) -> Vec<String> {
        let left = self.lines.difference(&before.lines).map(|l| format!("left behind: {l}"));
        let gone = before.lines.difference(&self.lines).map(|l| format!("gone: {l}"));
        left.chain(gone).collect()
    }

    /// Panics with the differences, if there are any that stay. A process that was told to end, or a loop device that
    /// somebody on the machine looks into, is given a moment.
    #[track_caller]
    pub fn assert_same(&self, before: &Photo) {
        let until = Instant::now() + LINGER_MAX;
        let mut found = self.differences(before);
        while !found.is_empty() && Instant::now() < until {
            // tidy: allow(sleep) nothing tells when a stranger closes a device; what stays is told after the limit
            std::thread::sleep(LINGER_STEP);
            found = photograph(&self.scope).differences(before);
        }
        assert!(
            found.is_empty(),
            "the machine is not as it was ({:?}):\n  {}",
            self.scope,
            found.join("\n  ")
        );
    }
}

fn shows(scope: &Scope, text: &str) -> bool {
    match scope {
        Scope::Machine => text.contains("layerfs"),
        Scope::Below(place) => machine::mentions(text.as_bytes(), place),
    }
}

fn mounts(scope: &Scope, lines: &mut BTreeSet<String>) {
    for (namespace, mount) in machine::mounts_everywhere() {
        let text = format!(
            "mount {} {} {} ({namespace})",
            mount.point.display(),
            mount.kind,
            mount.source
        );
        if shows(scope, &text) {
            lines.insert(text);
        }
    }
}

fn processes(scope: &Scope, lines: &mut BTreeSet<String>) {
    let family = machine::descendants();
    for pid in machine::pids() {
        let command = machine::command_line(pid);
        let ours = match scope {
            Scope::Machine => family.contains(&pid) || command.contains("layerfs "),
            Scope::Below(place) => machine::works_in(pid, place),
        };
        if ours && pid != std::process::id() {
            lines.insert(format!("process {pid} {command}"));
        }
    }
}

fn descriptors(scope: &Scope, lines: &mut BTreeSet<String>) {
    for entry in machine::entries(Path::new("/proc/self/fd")) {
        // The descriptor that lists the directory is gone by the time it is read.
        let Ok(target) = fs::read_link(&entry) else { continue };
        let target = target.display().to_string();
        let ours = matches!(scope, Scope::Machine) || shows(scope, &target);
        if ours && !target.starts_with("/proc/") {
            lines.insert(format!("descriptor {} {target}", entry.display()));
        }
    }
}

fn loop_devices(scope: &Scope, lines: &mut BTreeSet<String>) {
    for device in machine::entries(Path::new("/sys/block")) {
        let Ok(file) = fs::read_to_string(device.join("loop/backing_file")) else { continue };
        let text = format!("loop device {} {}", device.display(), file.trim_end());
        if shows(scope, &text) {
            lines.insert(text);
        }
    }
}

fn cgroups(dir: &Path, lines: &mut BTreeSet<String>) {
    for entry in machine::entries(dir).into_iter().filter(|e| e.is_dir() && !e.is_symlink()) {
        if entry.to_string_lossy().contains("layerfs") {
            lines.insert(format!("cgroup {}", entry.display()));
        }
        cgroups(&entry, lines);
    }
}

fn network(lines: &mut BTreeSet<String>) {
    for link in machine::entries(Path::new("/sys/class/net")) {
        lines.insert(format!("link {}", link.display()));
    }
    // Without the program there can be no table of ours: it is what makes them.
    if let Ok(tables) = Command::new("nft").args(["list", "tables"]).output() {
        lines.extend(String::from_utf8_lossy(&tables.stdout).lines().map(|t| format!("nft {t}")));
    }
}

fn run_directories(lines: &mut BTreeSet<String>) {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    for base in [Some(PathBuf::from("/run")), user].into_iter().flatten() {
        below(&base.join("layerfs"), lines);
    }
}

fn below(dir: &Path, lines: &mut BTreeSet<String>) {
    for entry in machine::entries(dir) {
        lines.insert(format!("run directory {}", entry.display()));
        below(&entry, lines);
    }
}
