//! `run --init`: a first process of ours, which hands signals on, takes away what has ended, and shows nothing of the host.

use std::process::Stdio;

use crate::console::Window;
use crate::exec::Up;
use crate::place::{Place, ran};
use crate::support::{need, need_root};

/// A host's secret where the command could have it from.
const SECRET: &str = "a-secret-of-the-host";

#[test]
fn the_first_process_shows_nothing_of_the_host_and_holds_nothing() {
    need_root!();
    let place = Place::new();
    for users in ["auto", "host"] {
        let words = ["run", "--rm", "-i", "--init", "--cap-add", "SYS_PTRACE", "--userns", users];
        let script = "test $$ = 2 && tr '\\0' ' ' </proc/1/cmdline && cat /proc/1/comm && ls -A /proc/1/fd
            tr '\\0' '\\n' </proc/1/environ; readlink /proc/1/exe
            grep -E '^(Seccomp|NoNewPrivs|CapEff|CapBnd|Uid)' /proc/1/status >/tmp/1
            grep -E '^(Seccomp|NoNewPrivs|CapEff|CapBnd|Uid)' /proc/self/status >/tmp/2; cmp /tmp/1 /tmp/2
            python3 - <<'END'
import re
memory = open('/proc/1/mem', 'rb')
for line in open('/proc/1/maps'):
    first, last = (int(n, 16) for n in line.split()[0].split('-'))
    if '[v' in line: continue
    memory.seek(first)
    held = memory.read(last - first)
    if b'a-secret-of-' + b'the-host' in held or b'LAYERFS_' in held: print('secret', line)
try: open('/proc/1/exe', 'wb'); print('written')
except OSError as error: print(error.errno in (1, 26))
END";
        let words = [&words[..], &["--rootfs", "/", "sh", "-c", script]].concat();
        let mut command = place.command(&words);
        command.env("SECRET", SECRET).stdin(Stdio::null());
        let ran = ran(command.output().unwrap());
        assert_eq!(
            ran.said(),
            "layerfs-init 2 layerfs-init\n/memfd:layerfs-init (deleted)\nTrue\n",
            "{users}"
        );
    }
    place.assert_nothing_left();
}

/// Nothing of it is in the image, and nothing of it has to be.
#[test]
fn an_image_of_one_program_has_an_init() {
    need_root!();
    need!("busybox");
    let place = Place::new();
    let root = place.join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::copy("/bin/busybox", root.join("busybox")).unwrap();
    let words = ["run", "--rm", "--init", "--rootfs", root.to_str().unwrap(), "/busybox"];
    let said = place.layerfs(&[&words[..], &["cat", "/proc/1/comm"]].concat()).said();
    assert_eq!(said, "layerfs-init\n");
    std::fs::remove_dir_all(root).unwrap();
    place.assert_nothing_left();
}

#[test]
fn what_has_ended_is_taken_away_and_the_programs_end_is_the_containers() {
    need_root!();
    let place = Place::new();
    // Orphans, which a shell as first process would not wait for.
    let script = "for n in 1 2 3 4 5; do (sh -c 'exit 3' & exec true); done
        n=0; while grep -qs '^State:.Z' /proc/[0-9]*/status; do n=$((n+1)); test $n -lt 2000 || exit 9; done
        (sleep 1000 &); exit 7";
    let ran = place.script(&["--init"], script);
    assert_eq!((ran.status, ran.err.as_str()), (7, ""), "{ran:?}");
    assert_eq!(place.script(&["--init"], "kill -SEGV $$").status, 139);
    let absent = ["run", "--rm", "--init", "--rootfs", "/", "/no/such"];
    let absent = place.layerfs(&absent);
    assert_eq!(absent.status, 127, "{absent:?}");
    assert_eq!(absent.err, "layerfs: `/no/such`: no such file in the container\n");
    place.assert_nothing_left();
}

#[test]
fn signals_are_handed_on_and_a_program_that_asked_for_none_ends_by_them() {
    need_root!();
    let place = Place::new();
    // Without an init this one would hear nothing: process 1 gets what it asked for alone.
    let up = Up::new(&place, &["--init"], "exec sleep 1000");
    let said = place.layerfs(&["inspect", "--format", "{{.HostConfig.Init}}", "box"]).said();
    assert_eq!(said, "true\n");
    assert_eq!(place.layerfs(&["kill", "-s", "TERM", "box"]).said(), "box\n");
    assert_eq!(up.ended(), 143);
    // As often as it is asked for: the third in two seconds ends none that hears.
    let heard = "n=0; trap 'n=$((n+1)); echo $n >/dev/shm/n; test $n -lt 4 || exit 5' INT; while :; do :; done";
    let up = Up::new(&place, &["--init", "--userns", "host"], heard);
    for n in 1..5 {
        assert_eq!(place.layerfs(&["kill", "-s", "INT", "box"]).said(), "box\n");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let counted = format!("test $(cat /dev/shm/n 2>/dev/null || echo 0) -ge {n}");
        while n < 4 && up.script(&[], &counted).status != 0 {
            assert!(std::time::Instant::now() < until, "{n} is not heard");
        }
    }
    assert_eq!(up.ended(), 5);
    place.assert_nothing_left();
}

#[test]
fn a_terminal_is_the_programs_and_what_is_typed_comes_once() {
    need_root!();
    need!("setsid", "stty");
    let place = Place::new();
    let window = Window::new(24, 80);
    let script = "stty -echo; trap 'echo heard' INT; echo ready; n=0
        while ! read a; do n=$((n+1)); done; echo got $a after $n; tty; exit 3";
    let run = ["run", "--rm", "-it", "--init", "--rootfs", "/", "sh", "-c", script];
    let mut child = window.start(&place.command(&run));
    assert_eq!(window.line(), "ready\n");
    window.types(b"\x03");
    assert_eq!(window.line(), "heard\n");
    window.types(b"word\n");
    let said = window.line();
    assert!(said.starts_with("got word after "), "{said}");
    assert_eq!(window.line(), "/dev/pts/0\n");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    place.assert_nothing_left();
}

/// Until it is executed, it is a copy of the command with all that one knows: for half a second here.
#[test]
fn nothing_of_the_container_runs_before_its_init_does() {
    need_root!();
    need!("strace");
    let place = Place::new();
    let script = "tr '\\0' '\\n' </proc/1/environ; cat /proc/1/comm";
    let words = ["run", "--rm", "--init", "--userns", "host", "--rootfs", "/", "sh", "-c", script];
    let called = place.command(&words);
    let mut command = std::process::Command::new("strace");
    let slow = "inject=execveat:delay_enter=500000";
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=execveat", "-e", slow]);
    command.arg(called.get_program()).args(called.get_args());
    command.envs(called.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = ran(command.env("SECRET", SECRET).stdin(Stdio::null()).output().unwrap());
    assert_eq!(ran.said(), "layerfs-init\n");
    place.assert_nothing_left();
}

#[test]
fn without_its_init_a_container_does_not_begin() {
    need_root!();
    let place = Place::new();
    let profile = place.join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["execveat"],"action":"SCMP_ACT_ERRNO","errnoRet":12}]}"#;
    std::fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    let run = ["run", "--rm", "--init", "--security-opt", &option, "--rootfs", "/", "echo", "ran"];
    let ran = place.layerfs(&run);
    assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
    let why = "start the init of the container (--init): execveat(";
    assert!(ran.err.contains(why) && ran.err.contains("Cannot allocate memory"), "{ran:?}");
    place.assert_nothing_left();
}

/// What an init may not hear of, it does not wait for.
#[test]
fn an_init_that_may_not_wait_for_its_children_ends() {
    need_root!();
    need!("timeout");
    let place = Place::new();
    let profile = place.join("profile.json");
    let option = format!("seccomp={}", profile.display());
    for (call, status) in [("wait4", 125), ("rt_sigtimedwait", 3)] {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{call}"],"action":"SCMP_ACT_ERRNO"}}]}}"#
        );
        std::fs::write(&profile, text).unwrap();
        let run = ["run", "--rm", "--init", "--security-opt", &option, "--rootfs", "/"];
        let called = place.command(&[&run[..], &["sh", "-c", "exit 3"]].concat());
        let mut command = std::process::Command::new("timeout");
        command.args(["-k", "5", "20"]).arg(called.get_program()).args(called.get_args());
        command.envs(called.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = ran(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(ran.status, status, "{call}: {ran:?}");
    }
    place.assert_nothing_left();
}
