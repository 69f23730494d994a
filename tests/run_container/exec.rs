//! `layerfs exec`: a further process is what the first one is, ends when it should, and is no way out.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::console::Window;
use crate::place::{Place, Ran, ran};
use crate::sealed::{Attack, assert_held};
use crate::support::{machine, need, need_root};

/// A container that runs, called `box`.
pub struct Up<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Up<'a> {
    /// Whatever comes after the options is run by it once it has said so.
    pub fn new(place: &'a Place, options: &[&str], then: &str) -> Up<'a> {
        Up::of(place, &[options, &["--rootfs", "/"]].concat(), then)
    }

    /// The same where the options say what its files come from.
    pub fn of(place: &'a Place, options: &[&str], then: &str) -> Up<'a> {
        let script = format!("echo ready; {then}");
        let words = [&["run", "--rm", "--name", "box"], options, &["sh", "-c", &script]].concat();
        let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Up { place, child }
    }

    /// One that does nothing.
    pub fn idle(place: &'a Place) -> Up<'a> {
        Up::new(place, &[], "exec sleep 1000")
    }

    /// `layerfs exec OPTIONS box WORDS`.
    pub fn command(&self, options: &[&str], words: &[&str]) -> Command {
        self.place.command(&[&["exec"], options, &["box"], words].concat())
    }

    pub fn exec(&self, options: &[&str], words: &[&str]) -> Ran {
        ran(self.command(options, words).output().unwrap())
    }

    pub fn script(&self, options: &[&str], script: &str) -> Ran {
        self.exec(options, &["sh", "-c", script])
    }

    /// Ends it, and answers how `run` did.
    pub fn end(self) -> i32 {
        assert_eq!(self.place.layerfs(&["rm", "-f", "box"]).said(), "box\n");
        self.ended()
    }

    /// How `run` ended, of one that was made to.
    pub fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Its first process, as the host numbers it.
    pub fn pid(&self) -> u32 {
        let said = self.place.layerfs(&["inspect", "box"]).said();
        let all: serde_json::Value = serde_json::from_str(&said).unwrap();
        u32::try_from(all[0]["State"]["Pid"].as_u64().unwrap()).unwrap()
    }
}

/// A test that fails leaves no container behind.
impl Drop for Up<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// A further process that says `ready`, then does that; and what it prints.
fn started(up: &Up<'_>, options: &[&str], then: &str) -> (Child, BufReader<ChildStdout>) {
    let script = format!("echo ready; {then}");
    let mut command = up.command(options, &["sh", "-c", &script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

/// The processes of those words, as the host numbers them.
fn running(words: &str) -> Vec<u32> {
    machine::pids().into_iter().filter(|pid| machine::command_line(*pid) == words).collect()
}

/// The one process of those words, once it is there.
fn appears(words: &str) -> u32 {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let [pid] = running(words)[..] {
            return pid;
        }
        assert!(Instant::now() < until, "`{words}` does not appear");
        std::thread::yield_now();
    }
}

/// Waits until no process has those words.
#[track_caller]
fn assert_ends(words: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while !running(words).is_empty() {
        assert!(Instant::now() < until, "`{words}` goes on");
        std::thread::yield_now();
    }
}

/// What is compared of two processes, by a shell inside.
const RIGHTS: &str = "cd /proc/$p; for n in user pid mnt uts ipc net cgroup; do readlink ns/$n; done; cat cgroup limits; \
                      grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid|Groups|CoreDumping)' status; cat oom_score_adj";

#[test]
fn a_further_process_has_the_namespaces_groups_rights_and_limits_of_the_first() {
    need_root!();
    let place = Place::new();
    let rows: [&[&str]; 4] = [
        &[],
        &[
            "--cap-add",
            "NET_RAW",
            "--cap-drop",
            "CHOWN",
            "--ulimit",
            "nofile=100:200",
            "--oom-score-adj",
            "500",
        ],
        &["--security-opt", "seccomp=unconfined", "--memory", "64m", "--pids-limit", "9"],
        &["-u", "1000:100", "--network", "host", "--ulimit", "core=0"],
    ];
    for options in rows {
        // Programs of a further process gain nothing by what they execute, whether those of the first may or not.
        let options = [options, &["--security-opt", "no-new-privileges"]].concat();
        let up = Up::new(&place, &options, "exec sleep 1000");
        let script = format!("(p=1; {RIGHTS}); echo and; p=$$; {RIGHTS}");
        let said = up.script(&[], &script).said();
        let (first, further) = said.split_once("and\n").unwrap();
        assert_eq!(first, further, "{options:?}");
        assert!(first.contains("pid:[") && first.contains("Max open files"), "{first}");
        // From the host: the very groups, and the namespaces.
        let (mut child, _out) = started(&up, &[], "exec sleep 98765");
        let (one, other) = (up.pid(), appears("sleep 98765"));
        let groups = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert_eq!(groups(one), groups(other), "{options:?}");
        assert!(groups(one).contains("/payload"), "{}", groups(one));
        for kind in ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"] {
            let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            assert_eq!(of(one), of(other), "{kind} {options:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        up.end();
    }
    place.assert_nothing_left();
}

#[test]
fn a_profile_that_a_container_was_made_with_is_kept_as_it_was() {
    need_root!();
    let place = Place::new();
    let profile = place.join("profile.json");
    let forbids = |call: &str| {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{call}","{call}at"],"action":"SCMP_ACT_ERRNO","errnoRet":122}}]}}"#
        );
        std::fs::write(&profile, text).unwrap();
    };
    forbids("mkdir");
    let option = format!("seccomp={}", profile.display());
    let up = Up::new(&place, &["--security-opt", &option], "exec sleep 1000");
    forbids("unlink");
    let ran = up.script(&[], "mkdir /new; : > /file; rm /file && echo removed");
    assert!(ran.err.contains("Disk quota exceeded") && ran.out == "removed\n", "{ran:?}");
    assert_eq!(up.exec(&[], &["true"]).said(), "");
    let shown = place.layerfs(&["inspect", "box"]).said();
    assert!(!shown.contains("SCMP_ACT") && !shown.contains("\"Rights\""), "{shown}");
    up.end();
    // One that is started later has what it was made with, too.
    forbids("mkdir");
    let script = "mkdir /new; exec sleep 1000";
    let words = [
        "create",
        "--name",
        "late",
        "--security-opt",
        &option,
        "--rootfs",
        "/",
        "sh",
        "-c",
        script,
    ];
    place.layerfs(&words).said();
    std::fs::remove_file(&profile).unwrap();
    assert_eq!(place.layerfs(&["start", "late"]).said(), "late\n");
    let ran = place.layerfs(&["exec", "late", "mkdir", "/other"]);
    assert!(ran.err.contains("Disk quota exceeded"), "{ran:?}");
    let log = place.layerfs(&["logs", "late"]);
    assert!(log.err.contains("Disk quota exceeded"), "{log:?}");
    assert_eq!(place.layerfs(&["rm", "-f", "late"]).said(), "late\n");
    place.assert_nothing_left();
}

#[test]
fn a_further_process_is_within_the_limit_of_memory() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let up = Up::new(&place, &["--memory", "50m"], "exec sleep 1000");
    let hog = up.exec(&[], &["python3", "-c", "len(bytearray(200 << 20))"]);
    assert_eq!(hog.status, 137, "{hog:?}");
    assert_eq!(up.exec(&[], &["cat", "/sys/fs/cgroup/memory.max"]).said(), "52428800\n");
    up.end();
    place.assert_nothing_left();
}

#[test]
fn variables_user_and_directory_are_the_containers_and_then_the_words() {
    need_root!();
    let place = Place::new();
    let options = ["-e", "A=first", "-e", "B=first", "-w", "/tmp", "-u", "1000:100"];
    let up = Up::new(&place, &[&options[..], &["--hostname", "there"]].concat(), "exec sleep 1000");
    let show = "echo $A $B $C $HOSTNAME in $(pwd) as $(id -u):$(id -g), ${TERM-none}";
    assert_eq!(up.script(&[], show).said(), "first first there in /tmp as 1000:100, none\n");
    let file = place.join("env");
    std::fs::write(&file, "C=file\nB=file\n").unwrap();
    let file_words = file.display().to_string();
    let options =
        ["-e", "B=words", "--env-file", &file_words, "-u", "0", "-w", "/usr", "-e", "TERM=dumb"];
    let said = up.script(&options, show).said();
    assert_eq!(said, "first words file there in /usr as 0:0, dumb\n");
    // The user is one of the image's, with its home.
    assert_eq!(up.script(&["-u", "daemon"], "echo $HOME $(id -un)").said(), "/usr/sbin daemon\n");
    std::fs::remove_file(&file).unwrap();
    up.end();
    place.assert_nothing_left();
}

#[test]
fn a_terminal_is_the_containers_own_and_has_the_users_size() {
    need_root!();
    need!("setsid", "stty");
    let place = Place::new();
    let up = Up::idle(&place);
    let window = Window::new(37, 91);
    let script = "tty; stty size; echo $TERM; ps -o tpgid= -p $$ | grep -qw $$ && echo controls; \
                  trap 'stty size' WINCH; trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    let mut child = window.start(&up.command(&["-it"], &["sh", "-c", script]));
    for line in ["/dev/pts/0\n", "37 91\n", "xterm\n", "controls\n", "ready\n"] {
        assert_eq!(window.line(), line);
    }
    window.resize(50, 132);
    assert_eq!(window.line(), "50 132\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    // What is typed is read, and what is not asked for is not.
    let script = "stty -echo; echo ready; read line; echo got $line";
    let mut child = window.start(&up.command(&["-it"], &["sh", "-c", script]));
    assert_eq!(window.line(), "ready\n");
    window.types(b"words\r");
    assert_eq!(window.line(), "got words\n");
    assert!(child.wait().unwrap().success());
    up.end();
    place.assert_nothing_left();
}

#[test]
fn streams_are_carried() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    let mut cat = up.command(&["-i"], &["sh", "-c", "cat; echo done >&2"]);
    let mut child =
        cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through").unwrap();
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, "through", "done\n"));
    let said = up.script(&[], "readlink /proc/self/fd/0; cat | wc -c").said();
    assert_eq!(said, "/dev/null\n0\n");
    up.end();
    place.assert_nothing_left();
}

#[test]
fn the_exit_status_is_the_commands_or_says_what_went_wrong() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    assert_eq!(up.script(&[], "exit 3").status, 3);
    assert_eq!(up.script(&[], "kill -9 $$").status, 137);
    for (status, options, words, told) in [
        (
            127,
            &[][..],
            &["no-such-program"][..],
            "`no-such-program`: no such program in the container's PATH",
        ),
        (126, &[], &["/etc/passwd"], "`/etc/passwd` can't be executed"),
        (125, &["-u", "no-such-user"], &["true"], "user `no-such-user` is not in"),
        (125, &["-w", "/no/such"], &["true"], "start in `/no/such`: "),
        (125, &["-w", "/etc/passwd"], &["true"], "`/etc/passwd` in the image is a regular file"),
        (125, &["-w", "tmp"], &["true"], "it has to begin with /"),
        (125, &["--privileged"], &["true"], "--privileged: a process has the rights"),
        (125, &["--no-such-option"], &["true"], "--no-such-option"),
        (125, &["-d", "-t"], &["true"], "cannot be used with"),
    ] {
        let ran = up.exec(options, words);
        assert_eq!((ran.status, ran.err.lines().count()), (status, 1), "{options:?}: {ran:?}");
        assert!(ran.err.starts_with("layerfs: ") && ran.err.contains(told), "{ran:?}");
    }
    assert_eq!(up.exec(&[], &[]).status, 125);
    up.end();
    let absent = place.layerfs(&["exec", "box", "true"]);
    assert!(absent.status == 125 && absent.err.contains("box"), "{absent:?}");
    assert_eq!(place.layerfs(&["run", "--name", "over", "--rootfs", "/", "true"]).status, 0);
    let over = place.layerfs(&["exec", "over", "true"]);
    let told = "layerfs: container `over` does not run; `layerfs start over` starts it\n";
    assert_eq!((over.status, over.err.as_str()), (125, told));
    assert_eq!(place.layerfs(&["rm", "over"]).said(), "over\n");
    place.assert_nothing_left();
}

#[test]
fn no_descriptor_of_the_host_comes_along() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    // The fourth is the listing's own.
    assert_eq!(up.script(&[], "ls /proc/self/fd | xargs").said(), "0 1 2 3\n");
    let window = Window::new(24, 80);
    let mut child = window.start(&up.command(&["-it"], &["sh", "-c", "echo $(ls /proc/self/fd)"]));
    assert_eq!(window.line(), "0 1 2 3\n");
    assert!(child.wait().unwrap().success());
    for who in ["self", "1", "thread-self"] {
        for number in 0..20 {
            let directory = format!("/proc/{who}/fd/{number}");
            let ran = up.exec(&["-w", &directory], &["pwd"]);
            assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
        }
    }
    up.end();
    place.assert_nothing_left();
}

#[test]
fn a_further_process_can_not_change_the_program_that_brought_it() {
    need_root!();
    need!("cc");
    let place = Place::new();
    let attack = Attack::new(&place);
    let root = attack.root.path.display().to_string();
    for users in ["host", "auto"] {
        let words = ["--userns", users, "-v", "/usr:/usr:ro", "--rootfs", &root];
        let up = Up::of(&place, &words, "exec sleep 1000");
        for program in ["/proc/self/exe", "/script"] {
            let said = attack.exec(&place, program).said();
            assert_held(&attack, (program, users), &said);
        }
        up.end();
    }
    place.assert_nothing_left();
}

/// Looks at every process that appears, as often as it can, and tells what it may learn of one that has more rights than
/// itself, or that is still the program of the host's.
const WATCHER: &str = r#"
import os, sys
mine = [l for l in open("/proc/self/status") if l.startswith("CapPrm")]
print("ready", flush=True)
seen, found = 0, set()
while not os.path.exists("/over"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in (1, os.getpid()): continue
        try:
            status = open(f"/proc/{pid}/status").read()
            seen += 1
            if mine[0] not in status: found.add("rights: " + status)
            for link in ("exe", "cwd", "root", "fd/0", "fd/3", "fd/4"):
                if "Name:\tlayerfs" not in status: break
                try: told = link + " " + os.readlink(f"/proc/{pid}/{link}")
                except PermissionError: continue
                # It may be its program by now.
                status = open(f"/proc/{pid}/status").read()
                if "Name:\tlayerfs" in status: found.add(told)
        except (FileNotFoundError, ProcessLookupError): pass
print(seen > 0, *sorted(found), sep="\n", flush=True)
"#;

#[test]
fn what_is_on_the_way_in_shows_nothing_and_has_no_more_rights() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let up = Up::idle(&place);
    let mut watcher = up.command(&[], &["python3", "-c", WATCHER]);
    let mut watcher = watcher.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(watcher.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    for _ in 0..60 {
        assert_eq!(up.exec(&[], &["true"]).said(), "");
    }
    assert_eq!(up.exec(&[], &["touch", "/over"]).said(), "");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "True\n");
    assert!(watcher.wait().unwrap().success());
    up.end();
    place.assert_nothing_left();
}

#[test]
fn a_further_process_ends_with_the_container() {
    need_root!();
    let place = Place::new();
    for options in [&[][..], &["-u", "1000"]] {
        let up = Up::idle(&place);
        let (mut child, _out) = started(&up, options, "exec sleep 87654");
        appears("sleep 87654");
        up.end();
        assert_eq!(child.wait().unwrap().code(), Some(137));
        assert_ends("sleep 87654");
    }
    place.assert_nothing_left();
}

/// By the kernel's word, and, where a change of its user has taken that back, by the process that waits for it.
#[test]
fn a_further_process_ends_with_the_command_that_brought_it() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let up = Up::idle(&place);
    let other = "exec python3 -c 'import os; os.setgid(100); os.setuid(1000); print(\"changed\", flush=True); \
                 os.execvp(\"sleep\", [\"sleep\", \"76543\"])'";
    for then in ["echo changed; exec sleep 76543", other] {
        let (mut child, mut out) = started(&up, &[], then);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "changed\n");
        appears("sleep 76543");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ends("sleep 76543");
    }
    // One that ends by a signal asks the program.
    let asked = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let (mut child, mut out) = started(&up, &[], asked);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    up.end();
    place.assert_nothing_left();
}

#[test]
fn a_detached_process_goes_on_as_a_child_of_the_first_and_ends_with_the_container() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    let script = "grep PPid /proc/$$/status > /told; readlink /proc/$$/fd/* | sort -u >> /told; mv /told /done; exec sleep 65432";
    assert_eq!(up.script(&["-d"], script).said(), "");
    let told = up.script(&[], "while ! cat /done 2>/dev/null; do sleep 0.05; done").said();
    assert_eq!(told.lines().take(2).collect::<Vec<_>>(), ["PPid:\t1", "/dev/null"], "{told}");
    appears("sleep 65432");
    let missing = up.exec(&["-d"], &["no-such-program"]);
    assert_eq!((missing.status, missing.err.lines().count()), (127, 1), "{missing:?}");
    up.end();
    assert_ends("sleep 65432");
    place.assert_nothing_left();
}

/// As docker has it: the caller is not waited for.
#[test]
fn a_detached_process_has_no_input_even_where_that_is_asked_for() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    let script = "{ readlink /proc/$$/fd/0; cat; echo ended; } >/part; mv /part /whole";
    let mut command = up.command(&["-di"], &["sh", "-c", script]);
    assert_eq!(ran(command.stdin(Stdio::piped()).output().unwrap()).said(), "");
    let told = up.script(&[], "while ! cat /whole 2>/dev/null; do sleep 0.05; done").said();
    assert_eq!(told, "/dev/null\nended\n");
    up.end();
    place.assert_nothing_left();
}

/// The kernel ends no container before somebody has taken note of the end of each of its processes.
#[test]
fn a_command_that_is_stopped_holds_no_container_up() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    let (mut child, _out) = started(&up, &[], "exec sleep 54321");
    appears("sleep 54321");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    assert_eq!(up.end(), 137);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(137));
    place.assert_nothing_left();
}

/// Whatever comes first, the command ends and says how.
#[test]
fn a_container_that_ends_meanwhile_is_told() {
    need_root!();
    let place = Place::new();
    for _ in 0..12 {
        let up = Up::idle(&place);
        let mut commands: Vec<Child> = (0..4)
            .map(|_| {
                let mut command = up.command(&[], &["true"]);
                command.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        up.end();
        for child in commands.drain(..) {
            let ran = ran(child.wait_with_output().unwrap());
            assert!([0, 125, 137].contains(&ran.status), "{ran:?}");
            assert_eq!(ran.err.lines().count(), usize::from(ran.status == 125), "{ran:?}");
        }
    }
    place.assert_nothing_left();
}

/// Who is in a container beside its first process.
#[cfg(feature = "fault")]
struct Beside {
    first: u32,
    namespace: std::path::PathBuf,
}

#[cfg(feature = "fault")]
impl Beside {
    fn new(up: &Up<'_>) -> Beside {
        let first = up.pid();
        let namespace = std::fs::read_link(format!("/proc/{first}/ns/pid")).unwrap();
        Beside { first, namespace }
    }

    /// Nobody is, after a moment for who is about to end. The first process may not take note of its children's ends.
    fn assert_nobody(&self, case: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        let there = |pid: &u32| {
            let namespace = std::fs::read_link(format!("/proc/{pid}/ns/pid"));
            let is_inside = *pid != self.first && namespace.is_ok_and(|own| own == self.namespace);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            is_inside && status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        while machine::pids().iter().any(there) {
            assert!(Instant::now() < until, "somebody is left: {case}");
            std::thread::yield_now();
        }
        assert!(machine::pids().contains(&self.first), "the container has ended: {case}");
    }
}

#[cfg(feature = "fault")]
#[test]
fn a_refused_call_of_exec_is_told_and_leaves_the_container_as_it_was() {
    each_call_is_refused(&[]);
}

#[cfg(feature = "fault")]
#[test]
fn a_refused_call_of_exec_with_a_terminal_is_told_and_leaves_the_container_as_it_was() {
    each_call_is_refused(&["-t"]);
}

#[cfg(feature = "fault")]
#[test]
fn a_refused_call_of_a_detached_exec_is_told_and_leaves_the_container_as_it_was() {
    each_call_is_refused(&["-d"]);
}

/// The n-th call fails, for every n: the command says so, nothing of it is left inside, and the container goes on.
#[cfg(feature = "fault")]
fn each_call_is_refused(options: &[&str]) {
    need_root!();
    need!("timeout");
    let place = Place::new();
    let up = Up::idle(&place);
    let report = place.join("report");
    let beside = Beside::new(&up);
    let mut fired = 0;
    for n in 1.. {
        std::fs::write(&report, "").unwrap();
        let mut command = Command::new("timeout");
        let inner = up.command(options, &["true"]);
        command.args(["-k", "5", "20"]).arg(inner.get_program()).args(inner.get_args());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("LAYERFS_FAULT", format!("fail:{n}:EIO"));
        command.env("LAYERFS_FAULT_REPORT", &report).stdin(Stdio::null());
        let ran = ran(command.output().unwrap());
        let case = format!("{options:?} {n}: {ran:?}");
        // What fails before the verb is known is told as of any.
        let early = ran.status == 1 && ran.err.contains("/proc/self/ns/user");
        assert!(early || [0, 125, 126].contains(&ran.status), "{case}");
        assert!(ran.status == 0 || ran.err.lines().count() == 1, "{case}");
        beside.assert_nobody(&case);
        // A call that fails in the process that enters is told by no report of its own.
        let here = std::fs::read_to_string(&report).unwrap().contains("fired=1");
        if !here && ran.status == 0 && n > 300 {
            break;
        }
        fired += u32::from(here || ran.status != 0);
    }
    crate::support::figure(format_args!("{fired} calls refused"));
    assert!(fired > 150, "{fired}");
    std::fs::remove_file(&report).unwrap();
    up.end();
    place.assert_nothing_left();
}

/// Root of a container may lower its own limits, and by them nobody else's.
#[test]
fn limits_that_the_first_process_has_changed_are_no_further_processes() {
    need_root!();
    let place = Place::new();
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    let changed = "ulimit -S -n 50; ulimit -H -n 60; ulimit -f 8; ulimit -s 1024; echo changed > /dev/shm/done; exec sleep 1000";
    let up = Up::new(&place, &options, changed);
    let limits = "cat /dev/shm/done; grep -E 'open files|file size|core|stack' /proc/self/limits";
    let mut said = up.script(&[], limits).out;
    while !said.starts_with("changed") {
        said = up.script(&[], limits).out;
    }
    let own = place.script(&options, "grep -E 'open files|file size|core|stack' /proc/self/limits");
    assert_eq!(said.strip_prefix("changed\n").unwrap(), own.said());
    up.end();
    place.assert_nothing_left();
}
