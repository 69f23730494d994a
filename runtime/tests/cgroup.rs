//! Limits are kept by the kernel of this machine, whatever versions of cgroups it has, and nothing of a container stays.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there
#![allow(clippy::print_stdout)] // and says what it leaves

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use layerfs_runtime::cgroup::{Cgroup, CgroupError, Cpus, DeviceRule, Host, Limits, View};
use layerfs_runtime::spec::DeviceKind;
use support::{need_root, rights, watchdog};

const MIB: u64 = 1 << 20;

fn new_id() -> String {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

/// Groups that a test which fails does not leave behind.
struct Ours {
    cgroup: Cgroup,
    id: String,
}

impl std::ops::Deref for Ours {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Err(error) = Cgroup::sweep(&self.id, None)
        {
            println!("{error}");
        }
    }
}

/// Groups of a container of the test's own; `None`, told as skipped, where this machine lacks a controller.
fn create(id: &str, limits: &Limits) -> Option<Ours> {
    match Cgroup::create(id, limits) {
        Err(error @ CgroupError::NoController { .. }) => {
            rights::skip(&error.to_string());
            None
        }
        made => {
            let cgroup = made.unwrap_or_else(|error| panic!("{error}"));
            Some(Ours { cgroup, id: id.to_owned() })
        }
    }
}

/// A process that does nothing before it is told: it can be moved into groups first. Ended when dropped.
struct Held(Child);

impl Held {
    fn start(script: &str) -> Held {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("read go; {script}")]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Held(shell.spawn().unwrap())
    }

    fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for a line that the script prints.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Waits until somebody has ended it; answers with which signal.
    fn ended(mut self) -> Option<i32> {
        self.0.wait().unwrap().signal()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        assert!(killed.is_ok() || std::thread::panicking(), "{killed:?}");
    }
}

/// Directories of any hierarchy that bear the id.
fn traces(id: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, id: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend((entry.file_name() == id).then(|| entry.path()));
                walk(&entry.path(), id, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), id, &mut found);
    found
}

/// Where a control file is that the container finds below its /sys/fs/cgroup.
fn place(cgroup: &Cgroup, name: &str) -> Option<PathBuf> {
    match cgroup.view() {
        View::Nothing => None,
        View::Namespace { payload } => Some(payload.join(name)),
        View::Directory { binds, links } => {
            let link = links.iter().find(|(link, _)| link == name);
            let target = link.map_or(name, |(_, target)| target.as_str());
            let (dir, file) = target.split_once('/')?;
            let dir = links.iter().find(|(link, _)| link == dir).map_or(dir, |(_, real)| real);
            Some(binds.iter().find(|(name, _)| name == dir)?.1.join(file))
        }
    }
}

fn seen(cgroup: &Cgroup, name: &str) -> Option<String> {
    fs::read_to_string(place(cgroup, name)?).ok().map(|text| text.trim().to_owned())
}

/// The groups at which the container's cgroup namespace is rooted.
fn roots(cgroup: &Cgroup) -> Vec<PathBuf> {
    match cgroup.view() {
        View::Nothing => Vec::new(),
        View::Namespace { payload } => vec![payload],
        View::Directory { binds, .. } => binds.into_iter().map(|(_, path)| path).collect(),
    }
}

/// A file by version 2's name, or by version 1's where its controller is there.
fn seen_first(cgroup: &Cgroup, [second, first]: [&str; 2]) -> String {
    // On a mixed host version 2's tree stands beside the others.
    let names = [first, second, &format!("unified/{second}")];
    names.iter().find_map(|name| seen(cgroup, name)).unwrap_or_else(|| panic!("none of {names:?}"))
}

fn counted(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(key));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn limits_read_inside_as_they_were_asked() {
    need_root!();
    let _watch = watchdog(120);
    let limits = Limits {
        memory_bytes: Some(50 * MIB),
        cpus: Some(Cpus { quota_us: 50_000 }),
        cpu_shares: Some(2048),
        pids_max: Some(64),
        ..Limits::default()
    };
    let id = new_id();
    let Some(cgroup) = create(&id, &limits) else { return };
    assert_eq!(seen(&cgroup, "memory.max").unwrap(), "52428800");
    assert!(seen(&cgroup, "memory.current").unwrap().parse::<u64>().is_ok());
    assert_eq!(seen(&cgroup, "pids.max").unwrap(), "64");
    let quota = seen_first(&cgroup, ["cpu.max", "cpu/cpu.cfs_quota_us"]);
    assert!(quota == "50000 100000" || quota == "50000", "{quota}");
    // On the curve through 100 at 1024, 2048 lies a little below twice that.
    let weight = seen_first(&cgroup, ["cpu.weight", "cpu/cpu.shares"]);
    assert!(weight == "2048" || weight == "174", "{weight}");
    if let View::Directory { links, .. } = cgroup.view() {
        assert!(links.iter().all(|(link, _)| link != "cgroup.controllers"));
    }
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn a_hog_is_killed_at_its_memory_limit_and_counted() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let limits = Limits { memory_bytes: Some(50 * MIB), ..Limits::default() };
    let Some(cgroup) = create(&id, &limits) else { return };
    let mut hog = Held::start("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    cgroup.add_payload(hog.0.id()).unwrap();
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    hog.go();
    assert_eq!(hog.0.wait().unwrap().signal(), Some(9));
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
    let mut modest = Held::start("exec dd if=/dev/zero of=/dev/null bs=20M count=1");
    cgroup.add_payload(modest.0.id()).unwrap();
    modest.go();
    assert!(modest.0.wait().unwrap().success(), "20 MB fit into 50");
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn a_file_of_version_2_is_written_or_an_error() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    // Version 1 has no such file.
    let has_memory = |mount: PathBuf| {
        fs::read_to_string(mount.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"))
    };
    let is_there = Host::read().unwrap().v2.is_some_and(has_memory);
    let file = |value: &str| ("memory.oom.group".to_owned(), value.to_owned());
    let limits = |value| Limits {
        memory_bytes: is_there.then_some(50 * MIB),
        files: vec![file(value)],
        ..Limits::default()
    };
    if !is_there {
        let error = Cgroup::create(&id, &limits("1")).unwrap_err();
        assert!(
            matches!(&error, CgroupError::NoFile { file } if file == "memory.oom.group"),
            "{error}"
        );
        assert!(traces(&id).is_empty());
        return;
    }
    let error = Cgroup::create(&id, &limits("no")).unwrap_err().to_string();
    assert!(
        error.starts_with("--cgroup-conf `memory.oom.group=no`: the kernel does not take"),
        "{error}"
    );
    let Some(cgroup) = create(&id, &limits("1")) else { return };
    assert_eq!(seen_first(&cgroup, ["memory.oom.group"; 2]), "1");
    let mut hog = Held::start("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    let other = Held::start("exec sleep 1000");
    cgroup.add_payload(hog.0.id()).unwrap();
    cgroup.add_payload(other.0.id()).unwrap();
    hog.go();
    assert_eq!((hog.ended(), other.ended()), (Some(9), Some(9)));
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

/// A root of a container may write to everything that its cgroup namespace shows: it makes a user namespace, and mounts it.
#[test]
fn a_container_does_not_lift_its_own_limits() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let limits = Limits { memory_bytes: Some(50 * MIB), pids_max: Some(4), ..Limits::default() };
    let Some(cgroup) = create(&id, &limits) else { return };
    let mut hog = Held::start("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    cgroup.add_payload(hog.0.id()).unwrap();
    let memory = place(&cgroup, "memory.max").unwrap();
    let lift = |name: &str| {
        let file = memory.with_file_name(name);
        let value = if name.ends_with("in_bytes") { "-1" } else { "max" };
        if file.exists() {
            fs::write(file, value).unwrap();
        }
    };
    // Memory and swap together are never less than memory alone.
    lift("memory.memsw.limit_in_bytes");
    lift("memory.limit_in_bytes");
    lift("memory.swap.max");
    lift("memory.max");
    fs::write(place(&cgroup, "pids.max").unwrap(), "max").unwrap();
    assert_ne!(seen(&cgroup, "memory.max").unwrap(), "52428800");
    hog.go();
    assert_eq!(hog.0.wait().unwrap().signal(), Some(9));
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
    let mut shell =
        Held::start("for n in 1 2 3 4 5 6 7 8; do sleep 1000 >/dev/null 2>&1 & done; exit 0");
    cgroup.add_payload(shell.0.id()).unwrap();
    shell.go();
    assert!(!shell.0.wait().unwrap().success(), "8 processes where 4 may be");
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn processor_time_is_throttled_at_the_quota() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let limits = Limits { cpus: Some(Cpus { quota_us: 10_000 }), ..Limits::default() };
    let Some(cgroup) = create(&id, &limits) else { return };
    let mut busy = Held::start("while :; do :; done");
    cgroup.add_payload(busy.0.id()).unwrap();
    let throttled = || counted(&seen_first(&cgroup, ["cpu.stat", "cpu/cpu.stat"]), "nr_throttled");
    assert_eq!(throttled(), 0);
    busy.go();
    // However slow the machine is: the watchdog ends what never comes.
    while throttled() == 0 {
        // tidy: allow(sleep) nothing tells of it; each look is repeated until it is so
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(busy);
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn processes_beyond_the_limit_can_not_be_forked() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let limits = Limits { pids_max: Some(4), ..Limits::default() };
    let Some(cgroup) = create(&id, &limits) else { return };
    let mut shell =
        Held::start("for n in 1 2 3 4 5 6 7 8; do sleep 1000 >/dev/null 2>&1 & done; exit 0");
    cgroup.add_payload(shell.0.id()).unwrap();
    shell.go();
    assert!(!shell.0.wait().unwrap().success());
    let events = seen_first(&cgroup, ["pids.events", "pids/pids.events"]);
    assert!(counted(&events, "max") > 0, "{events}");
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn killing_ends_what_forks_and_hides_and_spares_the_server() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let mut server = Held::start("exec sleep 1000");
    cgroup.add_server(server.0.id()).unwrap();
    server.go();
    // A daemon that left its session, and a family that replaces each dead child.
    let mut payload = Held::start(
        "setsid sleep 1000 >/dev/null 2>&1 & echo ready; while :; do sleep 1000 >/dev/null 2>&1 & wait; done",
    );
    cgroup.add_payload(payload.0.id()).unwrap();
    payload.go();
    assert_eq!(payload.line(), "ready");
    cgroup.kill_all().unwrap();
    assert_eq!(payload.0.wait().unwrap().signal(), Some(9));
    assert!(server.is_alive());
    drop(server);
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn the_server_is_in_the_group_of_block_io_only() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let server = Held::start("exit 0");
    cgroup.add_server(server.0.id()).unwrap();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", server.0.id())).unwrap();
    for line in groups.lines().filter(|line| line.contains(&id)) {
        let in_its_leaf = line.starts_with("0::") && line.ends_with(&format!("/{id}/fuse"));
        assert!(in_its_leaf || line.contains(":blkio:"), "{line}");
    }
    assert!(groups.contains(&id), "{groups}");
    drop(server);
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

#[test]
fn devices_that_were_not_given_can_not_be_opened() {
    need_root!();
    let _watch = watchdog(120);
    // By version 1's controller where it is there, and by a program where version 2 is alone.
    let here = Host::read().unwrap();
    let mut second = here.clone();
    second.v1.clear();
    let fuse = |access: &str| DeviceRule {
        kind: DeviceKind::Character,
        numbers: Some((10, 229)),
        access: access.into(),
    };
    // As many as a directory of devices has, of which each is one more thing to look at.
    let many = || {
        let other = |number: u32| DeviceRule {
            kind: if number.is_multiple_of(2) { DeviceKind::Character } else { DeviceKind::Block },
            numbers: Some((200 + number % 50, number)),
            access: if number.is_multiple_of(3) { "rwm".into() } else { "r".into() },
        };
        (0..1500).map(other).chain([fuse("rw")]).collect::<Vec<_>>()
    };
    let second = Some(second).filter(|host| host.v2.is_some());
    for host in [here].into_iter().chain(second) {
        for (devices, expected) in [
            (vec![], "refused refused refused "),
            (vec![fuse("r")], "opened refused refused "),
            (vec![fuse("r"), fuse("w")], "opened opened opened "),
            (many(), "opened opened opened "),
        ] {
            let id = new_id();
            let limits = Limits { devices, makes_devices: true, ..Limits::default() };
            let cgroup = match Cgroup::create_on(&host, &id, &limits) {
                Err(error @ CgroupError::NoController { .. }) => {
                    rights::skip(&error.to_string());
                    continue;
                }
                made => Ours { cgroup: made.unwrap(), id: id.clone() },
            };
            let mut shell = Held::start(
                "for given in null zero full random urandom; do (: </dev/$given) || exit 2; done; \
                 for how in '<' '>' '<>'; do (eval \": $how/dev/fuse\") 2>/dev/null && printf 'opened ' || printf 'refused '; done; echo",
            );
            cgroup.add_payload(shell.0.id()).unwrap();
            cgroup.guard_devices().unwrap();
            shell.go();
            assert_eq!(shell.line(), expected);
            assert_eq!(shell.0.wait().unwrap().code(), Some(0));
            cgroup.remove().unwrap();
            assert!(traces(&id).is_empty());
        }
    }
}

#[test]
fn a_sweep_knows_nothing_but_the_id_and_clears_everything() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let mut payload = Held::start("exec sleep 1000");
    let mut server = Held::start("exec sleep 1000");
    cgroup.add_payload(payload.0.id()).unwrap();
    cgroup.add_server(server.0.id()).unwrap();
    drop(cgroup);
    assert!(!traces(&id).is_empty());
    // Dead processes hold their groups until somebody waits for them.
    let reaper = std::thread::spawn(move || {
        (payload.0.wait().unwrap().signal(), server.0.wait().unwrap().signal())
    });
    Cgroup::sweep(&id, None).unwrap();
    assert_eq!(reaper.join().unwrap(), (Some(9), Some(9)));
    assert!(traces(&id).is_empty());
    Cgroup::sweep(&id, None).unwrap();
}

#[test]
fn groups_that_a_container_made_go_with_it() {
    need_root!();
    let _watch = watchdog(120);
    for swept in [false, true] {
        let id = new_id();
        let Some(cgroup) = create(&id, &Limits::default()) else { return };
        for root in roots(&cgroup) {
            fs::create_dir_all(root.join("evil/deep/er")).unwrap();
            fs::create_dir_all(root.join("other")).unwrap();
        }
        if swept {
            let payload = Held::start("exec sleep 1000");
            cgroup.add_payload(payload.0.id()).unwrap();
            for root in roots(&cgroup) {
                let deep = root.join("evil/deep");
                // A group of version 1 takes nobody without processors; in version 2 those below have no such file.
                for file in ["cpuset.cpus", "cpuset.mems"].map(Path::new) {
                    for below in ["evil", "evil/deep"].map(|group| root.join(group).join(file)) {
                        if below.exists() {
                            fs::write(below, fs::read(root.join(file)).unwrap()).unwrap();
                        }
                    }
                }
                fs::write(deep.join("cgroup.procs"), payload.0.id().to_string()).unwrap();
            }
            let reaper = std::thread::spawn(move || payload.ended());
            Cgroup::sweep(&id, None).unwrap();
            assert_eq!(reaper.join().unwrap(), Some(9));
        } else {
            cgroup.remove().unwrap();
        }
        assert!(traces(&id).is_empty(), "{:?}", traces(&id));
    }
}

#[test]
fn a_group_that_is_in_use_stays_and_says_by_whom() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let payload = Held::start("exit 0");
    cgroup.add_payload(payload.0.id()).unwrap();
    let error = cgroup.remove().unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", payload.0.id())), "{error}");
    assert!(!error.contains('\n'));
    drop(payload);
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
}

/// A user's record would have root end whatever processes it names.
#[test]
fn root_is_not_led_to_groups_by_what_was_noted_of_a_container() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let place = tempfile::tempdir().unwrap();
    let limited = place.path().join("layerfs").join(&id).join("limited");
    fs::create_dir_all(&limited).unwrap();
    let child = Held::start("exit 0");
    for dir in [limited.parent().unwrap(), &limited] {
        fs::write(dir.join("cgroup.procs"), format!("{}\n", child.0.id())).unwrap();
    }
    assert_eq!(Cgroup::find(&id, Some(place.path())).unwrap().members().unwrap().len(), 0);
    Cgroup::sweep(&id, Some(place.path())).unwrap();
    assert!(limited.exists() && traces(&id).is_empty());
    drop(cgroup);
}

#[test]
fn an_id_that_is_taken_or_no_name_is_refused() {
    need_root!();
    let _watch = watchdog(120);
    let id = new_id();
    let Some(cgroup) = create(&id, &Limits::default()) else { return };
    let again = Cgroup::create(&id, &Limits::default()).unwrap_err();
    assert!(matches!(again, CgroupError::Exists(_)), "{again}");
    assert!(!traces(&id).is_empty(), "the first one's groups stay");
    cgroup.remove().unwrap();
    assert!(traces(&id).is_empty());
    for bad in ["", ".", "..", "a/b", "a\nb", ".hidden", "ü", &"x".repeat(129)] {
        let error = Cgroup::create(bad, &Limits::default()).unwrap_err();
        assert!(matches!(error, CgroupError::BadId(_)), "{bad:?}: {error}");
    }
}

#[test]
fn without_any_hierarchy_only_limits_are_refused() {
    let bare = Host::default();
    let cgroup = Cgroup::create_on(&bare, &new_id(), &Limits::default()).unwrap();
    assert_eq!(cgroup.view(), View::Nothing);
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    cgroup.add_payload(std::process::id()).unwrap();
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    let makes = Limits { makes_devices: true, ..Limits::default() };
    let error = Cgroup::create_on(&bare, &new_id(), &makes).unwrap_err().to_string();
    assert!(error.starts_with("--cap-add MKNOD with --userns host needs the devices controller"));
    let limits = Limits { pids_max: Some(1), ..Limits::default() };
    let error = Cgroup::create_on(&bare, &new_id(), &limits).unwrap_err().to_string();
    assert_eq!(
        error,
        "--pids-limit needs the pids controller of cgroups: no mounted hierarchy has it; \
         mount cgroups as root (`mount -t cgroup2 none /sys/fs/cgroup`) or leave the limit out"
    );
}

#[test]
fn containers_that_come_and_go_together_do_not_disturb_each_other() {
    need_root!();
    let _watch = watchdog(120);
    let come_and_go = || {
        for _ in 0..40 {
            let id = new_id();
            let limits = Limits::default();
            let cgroup = Cgroup::create(&id, &limits).unwrap_or_else(|error| panic!("{error}"));
            cgroup.remove().unwrap_or_else(|error| panic!("{error}"));
            assert!(traces(&id).is_empty());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(come_and_go);
        }
    });
}

#[cfg(feature = "fault")]
mod faults {
    use layerfs_driver::sys::Errno;
    use layerfs_driver::sys::fault::{Plan, with_plan};

    use super::*;

    /// Some two thousand containers, also where the processors are emulated.
    const FAULTS_MAX_SECONDS: u64 = 600;
    const ERRNOS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::INTR];

    fn limits() -> Limits {
        Limits {
            memory_bytes: Some(50 * MIB),
            cpus: Some(Cpus { quota_us: 50_000 }),
            cpu_shares: Some(512),
            pids_max: Some(64),
            memory_reservation_bytes: Some(20 * MIB),
            cpuset_cpus: Some("0".into()),
            ..Limits::default()
        }
    }

    /// Runs `deed` with its first, second, … call failing until none fails any more; answers how many there were.
    fn each_call(errno: Errno, mut deed: impl FnMut(Plan) -> bool) -> u64 {
        for n in 1.. {
            if !deed(Plan::Fail { n, errno, call: None }) {
                return n - 1;
            }
        }
        unreachable!("the loop has no end of its own")
    }

    #[test]
    fn a_creation_that_fails_at_any_call_leaves_no_group() {
        need_root!();
        let _watch = watchdog(FAULTS_MAX_SECONDS);
        let Some(probe) = create(&new_id(), &limits()) else { return };
        probe.remove().unwrap();
        for errno in ERRNOS {
            let points = each_call(errno, |plan| {
                let id = new_id();
                let shown = format!("{plan:?}");
                let (made, outcome) = with_plan(plan, || Cgroup::create(&id, &limits()));
                match made {
                    Ok(cgroup) => {
                        let ignored = errno == Errno::INTR || !outcome.fired;
                        assert!(ignored, "{shown}: a failed call went unnoticed");
                        cgroup.remove().unwrap();
                    }
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
                assert_eq!(traces(&id), Vec::<PathBuf>::new(), "{shown}");
                outcome.fired
            });
            support::figure(format_args!("create: points: {points}, with {errno:?}"));
            assert!(points > 20, "{points}");
        }
    }

    #[test]
    fn a_sweep_that_fails_at_any_call_can_be_repeated() {
        need_root!();
        let _watch = watchdog(FAULTS_MAX_SECONDS);
        for errno in ERRNOS {
            let points = each_call(errno, |plan| {
                let id = new_id();
                let cgroup = Cgroup::create(&id, &Limits::default()).unwrap();
                let mut payload = Held::start("exec sleep 1000");
                cgroup.add_payload(payload.0.id()).unwrap();
                let reaper = std::thread::spawn(move || payload.0.wait().unwrap().signal());
                let (_, outcome) = with_plan(plan, || Cgroup::sweep(&id, None));
                Cgroup::sweep(&id, None).unwrap();
                assert_eq!(reaper.join().unwrap(), Some(9));
                assert_eq!(traces(&id), Vec::<PathBuf>::new());
                outcome.fired
            });
            support::figure(format_args!("sweep: points: {points}, with {errno:?}"));
            assert!(points > 10, "{points}");
        }
    }
}
