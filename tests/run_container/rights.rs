//! What a container may do: capabilities, system calls, as they were asked for.

use crate::place::Place;
use crate::support::{need, need_root};

/// Asks for calls that reach the host, and says how each was answered.
const CALLS: &str = r#"
import ctypes, errno, platform, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == 'x86_64'
def call(x86, arm, *args):
    ctypes.set_errno(0)
    done = libc.syscall(x86 if X86 else arm, *args)
    return 'done' if done >= 0 else errno.errorcode[ctypes.get_errno()]
print('keyctl', call(250, 219, 0, -3, 0))
print('unshare', call(272, 97, 0x10000000))
print('clone3', call(435, 435, 0, 0))
print('bpf', call(321, 280, 0, 0, 0))
print('io_uring_setup', call(425, 425, 1, 0))
print('personality', call(135, 92, 0x0040000))
print('of tomorrow', call(600, 600))
for family in 38, 40:
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print(family, 'done')
    except OSError as error:
        print(family, errno.errorcode[error.errno])
threads = [threading.Thread(target=lambda: None) for _ in range(4)]
[it.start() for it in threads]; [it.join() for it in threads]
print('threads', len(threads))
"#;

fn status(place: &Place, options: &[&str], keys: &str) -> String {
    place.script(options, &format!("grep -E '^({keys}):' /proc/self/status | xargs")).said()
}

#[test]
fn system_calls_that_reach_the_host_are_refused_and_programs_do_without() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let asked = |options: &[&str]| {
        let words = [&["run", "--rm"], options, &["--rootfs", "/", "python3", "-c", CALLS]];
        place.layerfs(&words.concat()).said()
    };
    assert_eq!(
        asked(&[]),
        "keyctl EPERM\nunshare EPERM\nclone3 ENOSYS\nbpf EPERM\nio_uring_setup EPERM\npersonality EPERM\nof tomorrow ENOSYS\n38 EPERM\n40 EPERM\n\
         threads 4\n"
    );
    let free = asked(&["--security-opt", "seccomp=unconfined"]);
    assert!(free.starts_with("keyctl done\nunshare done\nclone3 EINVAL\n"), "{free}");
    for (users, gains_none) in [("auto", 0), ("host", 1)] {
        let seen = status(&place, &["--userns", users], "Seccomp|NoNewPrivs");
        assert_eq!(seen, format!("NoNewPrivs: {gains_none} Seccomp: 2\n"));
    }
    let free = ["--security-opt", "seccomp=unconfined"];
    assert_eq!(status(&place, &free, "Seccomp"), "Seccomp: 0\n");
    place.assert_nothing_left();
}

/// An ELF header of 32 bits, one segment, and the call of `exit(2)` by `int 0x80`.
#[cfg(target_arch = "x86_64")]
fn program_of_32_bits() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    // xor ebx, ebx; mov eax, 1; int 0x80
    let code = [0x31, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80];
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    // Elf32_Ehdr behind its kind and machine; then Elf32_Phdr: all of it loaded, readable and executable.
    elf.extend([1, BASE + 84, 52, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    elf.extend([52_u16, 32, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    let len = 84 + u32::try_from(code.len()).unwrap();
    elf.extend([1, 0, BASE, BASE, len, len, 5, 0x1000].into_iter().flat_map(u32::to_le_bytes));
    elf.extend(code);
    elf
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_of_32_bits_is_ended_by_sigsys_where_calls_are_filtered() {
    need_root!();
    let place = Place::new();
    let program = place.join("program");
    std::fs::write(&program, program_of_32_bits()).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let volume = format!("{}:/mnt", program.parent().unwrap().display());
    let ran = |options: &[&str]| {
        let words = [&["run", "--rm", "-v", &volume], options, &["--rootfs", "/", "/mnt/program"]];
        place.layerfs(&words.concat()).status
    };
    let free = ran(&["--security-opt", "seccomp=unconfined"]);
    // A kernel without such programs can't execute it.
    assert!([0, 126].contains(&free), "{free}");
    if free == 0 {
        assert_eq!(ran(&[]), 128 + 31);
    }
    std::fs::remove_file(&program).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_profile_of_the_users_is_obeyed() {
    need_root!();
    let place = Place::new();
    let profile = place.join("profile.json");
    let write = |text: &str| std::fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    // As Docker's documentation has one, with the number of an error of its own.
    write(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
            "syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":122},
                        {"names":["a_call_of_tomorrow"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    let ran = place.script(&["--security-opt", &option], "mkdir /new 2>&1; : > /file && echo done");
    assert!(ran.out.contains("Disk quota exceeded") && ran.out.ends_with("done\n"), "{ran:?}");
    // What comes after the filter is the program's own alone: nothing of ours needs to be allowed but to become it.
    let mine = ["umask", "faccessat", "faccessat2", "rt_sigaction", "rt_sigprocmask", "seccomp"];
    write(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["chroot"],"action":"SCMP_ACT_KILL_PROCESS"}},
            {{"names":{mine:?},"action":"SCMP_ACT_ERRNO"}}]}}"#
    ));
    let words = ["run", "--rm", "--security-opt", &option, "--rootfs", "/", "echo", "done"];
    assert_eq!(place.layerfs(&words).said(), "done\n");
    for (text, told) in [
        ("no JSON", "no profile in Docker's form"),
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "asks another program"),
    ] {
        write(text);
        let ran = place.script(&["--security-opt", &option], "true");
        assert_eq!(ran.status, 125, "{ran:?}");
        assert!(ran.err.contains(told) && ran.err.contains(&option), "{ran:?}");
    }
    std::fs::remove_file(&profile).unwrap();
    let ran = place.script(&["--security-opt", &option], "true");
    assert!(ran.status == 125 && ran.err.contains("does not exist"), "{ran:?}");
    place.assert_nothing_left();
}

#[test]
fn capabilities_are_given_and_taken_by_name() {
    need_root!();
    let place = Place::new();
    let sets = |options: &[&str]| status(&place, options, "CapEff|CapBnd");
    let both = |bits: u64| format!("CapEff: {bits:016x} CapBnd: {bits:016x}\n");
    const USUAL: u64 = 0x8004_05fb;
    assert_eq!(sets(&["--cap-add", "NET_RAW,cap_mknod"]), both(USUAL | 1 << 13 | 1 << 27));
    assert_eq!(sets(&["--cap-drop", "chown", "--cap-drop", "KILL"]), both(USUAL & !(1 | 1 << 5)));
    assert_eq!(sets(&["--cap-drop", "ALL"]), both(0));
    assert_eq!(sets(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]), both(1));
    let has = std::fs::read_to_string("/proc/self/status").unwrap();
    let has = has.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
    let has = u64::from_str_radix(has.trim(), 16).unwrap();
    assert_eq!(sets(&["--cap-add", "all", "--cap-drop", "SYS_TIME"]), both(has & !(1 << 25)));
    // What it is for goes with it.
    let mounts = "mount -t tmpfs none /mnt && unshare --user true && echo done";
    assert_eq!(place.script(&["--cap-add", "SYS_ADMIN"], mounts).said(), "done\n");
    let ran =
        place.script(&["--user", "1000", "--cap-add", "SYS_ADMIN"], "mount -t tmpfs none /mnt");
    assert_ne!(ran.status, 0, "another user has them in its bounding set alone");
    place.assert_nothing_left();
}

#[test]
fn settings_of_the_kernel_are_the_containers_own() {
    need_root!();
    let place = Place::new();
    let setting = |path: &str| std::fs::read_to_string(format!("/proc/sys/{path}")).unwrap();
    let paths = ["net/ipv4/ip_forward", "kernel/shmmni", "fs/mqueue/queues_max"];
    let before = paths.map(setting);
    let options = [
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.shmmni=77",
        "--sysctl",
        "fs.mqueue.queues_max=9",
    ];
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmni fs/mqueue/queues_max; echo 0 > net/ipv4/ip_forward";
    let ran = place.script(&options, script);
    assert_eq!(ran.out, "1\n77\n9\n", "{ran:?}");
    assert!(ran.err.contains("Read-only file system"), "{ran:?}");
    assert_eq!(paths.map(setting), before, "the host's");
    for (option, told) in [
        ("net.ipv4.no_such_thing=1", "set `net/ipv4/no_such_thing`: openat2"),
        ("kernel.shmmni=much", "Invalid argument"),
        ("vm.overcommit_memory=1", "no container has that of its own"),
    ] {
        let ran = place.script(&["--sysctl", option], "true");
        assert!(ran.status == 125 && ran.err.contains(told), "{ran:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn what_is_asked_of_rights_and_can_not_be_is_told() {
    need_root!();
    let place = Place::new();
    for (options, told) in [
        (["--cap-add", "NET_RAY"], "--cap-add `NET_RAY` is no capability"),
        (["--cap-drop", ""], "--cap-drop `` is no capability"),
        (["--security-opt", "seccomp"], "`seccomp` is not known"),
        (["--security-opt", "selinux=x"], "`selinux=x` is not known"),
        (["--security-opt", "no-new-privileges=false"], "leave it out"),
    ] {
        let ran = place.script(&options, "true");
        assert_eq!(ran.status, 125, "{ran:?}");
        assert!(ran.err.contains(told) && ran.err.lines().count() == 1, "{ran:?}");
    }
    for option in ["no-new-privileges", "no-new-privileges:true", "apparmor=unconfined"] {
        place.script(&["--security-opt", option], "true").said();
    }
    place.assert_nothing_left();
}
