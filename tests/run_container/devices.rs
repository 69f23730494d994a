//! `run --device` and `--privileged`: devices of the host's that a container is given, and one from which nothing is kept.

use std::path::Path;

use layerfs_runtime::cgroup::{Cgroup, Host, Limits};
use rustix::fs::{CWD, FileType, Mode, makedev};

use crate::exec::Up;
use crate::place::Place;
use crate::support::{need, need_root, rights};

const USERS: [&[&str]; 2] = [&[], &["--userns", "host"]];

/// Whether it can be opened for reading and for writing, and how it is refused.
const OPEN: &str = r#"
import errno, os, sys
for path in sys.argv[1:]:
    for how in os.O_RDONLY, os.O_WRONLY:
        try:
            os.close(os.open(path, how))
            print('opened', end=' ')
        except OSError as error:
            print(errno.errorcode[error.errno], end=' ')
print()
"#;

fn opened(place: &Place, options: &[&str], paths: &[&str]) -> String {
    let words = [&["run", "--rm"], options, &["--rootfs", "/", "python3", "-c", OPEN], paths];
    place.layerfs(&words.concat()).said()
}

#[test]
fn a_device_that_is_given_can_be_opened_and_no_other() {
    need_root!();
    need!("python3");
    let place = Place::new();
    for users in USERS {
        let given =
            |options: &[&str], paths: &[&str]| opened(&place, &[users, options].concat(), paths);
        // Here, and at another place, below /dev and not.
        assert_eq!(given(&["--device", "/dev/fuse"], &["/dev/fuse"]), "opened opened \n");
        let elsewhere =
            ["--device", "/dev/fuse:/dev/own/fuse", "--device", "/dev/fuse:/opt/x/fuse"];
        let found = given(&elsewhere, &["/dev/own/fuse", "/opt/x/fuse", "/dev/fuse"]);
        assert_eq!(found, "opened opened opened opened ENOENT ENOENT \n");
        // What it has of its own stays.
        assert_eq!(given(&["--device", "/dev/null"], &["/dev/null"]), "opened opened \n");
        let script = "stat -c '%t:%T %F %u:%g' /dev/fuse; ls -A /dev | grep -c layerfs; grep -c -- '/.layerfs ' /proc/self/mountinfo";
        let said = place.script(&[users, &["--device", "/dev/fuse"]].concat(), script);
        assert_eq!(said.out, "a:e5 character special file 0:0\n0\n0\n", "{said:?}");
    }
    place.assert_nothing_left();
}

/// As the host has it: root of the container's own users is not root of the host, to whom alone it would open.
#[test]
fn a_device_belongs_to_root_of_the_container_and_keeps_its_mode() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let node = place.join("zero");
    rustix::fs::mknodat(CWD, &node, FileType::CharacterDevice, Mode::from(0o600), makedev(1, 5))
        .unwrap();
    let said = format!("{}:/dev/mine", node.display());
    for users in USERS {
        let options = [users, &["--device", &said]].concat();
        let script = "stat -c '%a %u:%g' /dev/mine; head -c 3 /dev/mine | od -An -tx1";
        assert_eq!(place.script(&options, script).said(), "600 0:0\n 00 00 00\n");
        let other = [&options[..], &["--user", "33"]].concat();
        assert_eq!(opened(&place, &other, &["/dev/mine"]), "EACCES EACCES \n");
    }
    std::fs::remove_file(node).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_device_that_is_given_to_be_read_can_not_be_written() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let ran = place.script(&["--device", "/dev/fuse:r"], "true");
    if ran.status == 125 {
        let told = "--device with less than rwm needs the devices";
        assert!(ran.err.contains(told), "{ran:?}");
        rights::skip(&ran.err);
        return;
    }
    for users in USERS {
        for (access, found) in
            [("r", "opened EPERM \n"), ("w", "EPERM opened \n"), ("rw", "opened opened \n")]
        {
            let said = format!("/dev/fuse:{access}");
            assert_eq!(
                opened(&place, &[users, &["--device", &said]].concat(), &["/dev/fuse"]),
                found
            );
        }
    }
    place.assert_nothing_left();
}

/// As where version 2 of cgroups is alone: nobody has a controller of devices there.
#[test]
fn a_device_that_a_container_makes_can_not_be_opened() {
    need_root!();
    need!("python3", "unshare");
    let place = Place::new();
    let alone =
        "mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let make = |node: &str, numbers: &str| {
        format!(
            "mknod {node} {numbers} && if (: <{node}) 2>/dev/null; then echo opened; else echo refused; fi"
        )
    };
    // A disk's first partition or nothing at all, the memory of the machine, a way into its file systems; and what all may have.
    let made = [
        make("/dev/disk", "b 8 1"),
        make("/dev/memory", "c 1 1"),
        make("/dev/fuse", "c 10 229"),
        make("/dev/again", "c 1 3"),
    ];
    let words = |options: &[&str]| {
        let said = made.join("; ");
        let users = ["--userns", "host", "--cap-add", "MKNOD"];
        [
            &["run", "--rm", "--network", "none"],
            &users[..],
            options,
            &["--rootfs", "/", "sh", "-c", &said],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<String>>()
    };
    for (options, expected) in [
        (&[][..], "refused\nrefused\nrefused\nopened\n"),
        (&["--device", "/dev/fuse:/dev/other:r"], "refused\nrefused\nopened\nopened\n"),
    ] {
        let words = words(options);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(place.layerfs(&words).said(), expected);
        let command = place.command(&words);
        let mut apart = std::process::Command::new("unshare");
        apart.args(["-m", "sh", "-c", alone, "sh"]).arg(command.get_program());
        apart.args(command.get_args());
        for (name, value) in command.get_envs() {
            apart.env(name, value.unwrap_or_default());
        }
        assert_eq!(crate::place::ran(apart.output().unwrap()).said(), expected);
    }
    place.assert_nothing_left();
}

/// Its program allows no other below.
#[test]
fn a_group_above_that_forbids_programs_is_no_reason_not_to_run() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let mut host = Host::read().unwrap();
    host.v1.clear();
    let Some(mount) = host.v2.clone() else { return };
    let id = format!("test-{}", std::process::id());
    let above = mount.join(&id);
    std::fs::create_dir(&above).unwrap();
    let lone = [
        // r0 = 1; exit
        (0xb7_u8, 0_u8, 0_i16, 1_i32),
        (0x95, 0, 0, 0),
    ];
    forbid_programs_below(&above, &lone);
    host.v2 = Some(above.clone());
    let cgroup = Cgroup::create_on(&host, &id, &Limits::default()).unwrap();
    cgroup.guard_devices().unwrap();
    cgroup.remove().unwrap();
    let limits = Limits { makes_devices: true, ..Limits::default() };
    let cgroup = Cgroup::create_on(&host, &id, &limits).unwrap();
    let error = cgroup.guard_devices().unwrap_err().to_string();
    assert!(
        error.starts_with("--cap-add MKNOD with --userns host needs the devices controller"),
        "{error}"
    );
    assert!(error.contains("below no group that forbids such programs"), "{error}");
    cgroup.remove().unwrap();
    assert!(std::fs::remove_dir(above.join("layerfs")).is_ok() || !above.join("layerfs").exists());
    std::fs::remove_dir(&above).unwrap();
    place.assert_nothing_left();
}

/// By bpf(2), with no flags: nothing below may have one.
fn forbid_programs_below(group: &Path, program: &[(u8, u8, i16, i32)]) {
    let script = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
insns = ctypes.create_string_buffer(bytes.fromhex(sys.argv[2]))
license = ctypes.create_string_buffer(b'n/a')
load = struct.pack('IIQQIIQII', 15, len(insns) // 8, ctypes.addressof(insns), ctypes.addressof(license), 0, 0, 0, 0, 0)
load = ctypes.create_string_buffer(load, len(load))
fd = libc.syscall(number, 5, load, len(load))
assert fd >= 0, ctypes.get_errno()
group = os.open(sys.argv[1], os.O_RDONLY)
attach = ctypes.create_string_buffer(struct.pack('IIII', group, fd, 6, 0), 16)
assert libc.syscall(number, 8, attach, 16) == 0, ctypes.get_errno()
";
    let bytes = program.iter().flat_map(|(code, registers, offset, number)| {
        [&[*code, *registers][..], &offset.to_le_bytes(), &number.to_le_bytes()].concat()
    });
    let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    let mut python = std::process::Command::new("python3");
    let ran = python.args(["-c", script, group.to_str().unwrap(), &hex]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn a_directory_of_devices_is_given_and_what_is_none_is_told() {
    need_root!();
    let place = Place::new();
    let dir = place.join("devices");
    std::fs::create_dir_all(dir.join("deep")).unwrap();
    for (name, minor) in [("a", 5), ("deep/b", 7)] {
        rustix::fs::mknodat(
            CWD,
            dir.join(name),
            FileType::CharacterDevice,
            Mode::from(0o666),
            makedev(1, minor),
        )
        .unwrap();
    }
    std::os::unix::fs::symlink("/dev/fuse", dir.join("link")).unwrap();
    std::fs::write(dir.join("file"), "").unwrap();
    for users in USERS {
        let said = format!("{}:/dev/all", dir.display());
        // What a directory says of its names is what lies below the mounts.
        let script = "cd /dev/all; find . -mindepth 1 | sort | xargs stat -c '%n %F %t:%T'";
        let found = place.script(&[users, &["--device", &said]].concat(), script).said();
        let (a, b) = ("./a character special file 1:5\n", "./deep/b character special file 1:7\n");
        assert_eq!(found, format!("{a}./deep directory 0:0\n{b}"));
    }
    for (said, told) in [
        ("/dev/no-such", "it does not exist"),
        ("/etc/passwd", "`/etc/passwd` is no device, and none is in it"),
        ("dev/null", "name the device by its whole path"),
        ("/dev/null:/dev/x:q", "`q` is neither a place nor some of r, w and m"),
    ] {
        let ran = place.script(&["--device", said], "true");
        assert!(ran.status == 125 && ran.err.contains(told), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
    place.assert_nothing_left();
}

#[test]
fn nothing_is_kept_from_a_privileged_container() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let status = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | xargs; readlink /proc/self/ns/user";
    let caps = std::fs::read_to_string("/proc/self/status").unwrap();
    let cap =
        |key: &str| caps.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    let users = std::fs::read_link("/proc/self/ns/user").unwrap();
    let all = format!(
        "CapEff: {0} CapBnd: {0} NoNewPrivs: 0 Seccomp: 0\n{1}\n",
        cap("CapPrm:"),
        users.display()
    );
    assert_eq!(place.script(&["--privileged"], status).said(), all);
    // All devices, which it may open; the settings of the kernel, which it may change.
    let script = "for d in $(cd /mnt && find . -maxdepth 1 -type c -o -maxdepth 1 -type b); do
            case $d in ./ptmx|./console) continue; esac
            test \"$(stat -c '%t:%T %F %a' /mnt/$d)\" = \"$(stat -c '%t:%T %F %a' /dev/$d)\" || echo $d differs; done
        head -c0 /dev/fuse && echo fuse; grep -q : /proc/interrupts && echo interrupts
        for d in /proc/sys /sys /sys/fs/cgroup; do findmnt -no OPTIONS -T $d | cut -c1-2; done
        mknod /dev/own c 1 5 && head -c1 /dev/own | od -An -tx1; mount -t tmpfs none /srv && echo mounted";
    let said = place.script(&["--privileged", "-v", "/dev:/mnt"], script).said();
    assert_eq!(said, "fuse\ninterrupts\nrw\nrw\nrw\n 00\nmounted\n");
    let up = Up::new(&place, &["--privileged"], "exec sleep 1000");
    let shown = "{{.HostConfig.Privileged}} {{.HostConfig.UsernsMode}}";
    assert_eq!(place.layerfs(&["inspect", "-f", shown, "box"]).said(), "true host\n");
    // A further process has the same.
    let of_exec = up.script(&[], "grep -E '^(CapEff|Seccomp):' /proc/self/status | xargs").said();
    assert_eq!(of_exec, format!("CapEff: {} Seccomp: 0\n", cap("CapPrm:")));
    up.end();
    place.assert_nothing_left();
}

/// What is said besides counts.
#[test]
fn a_privileged_container_has_less_where_that_is_said() {
    need_root!();
    let place = Place::new();
    let status = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | xargs; id -u";
    let options = [
        "--privileged",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        "seccomp=default",
    ];
    assert_eq!(place.script(&options, status).said(), "NoNewPrivs: 1 Seccomp: 2\n0\n");
    let dropped = place.script(&["--privileged", "--cap-drop", "SYS_ADMIN"], "unshare -m true");
    assert_eq!(dropped.status, 1, "{dropped:?}");
    let held = "grep CapEff /proc/self/status | tr -d '[:blank:]'";
    let none = place.script(&["--privileged", "--cap-drop", "ALL"], held).said();
    assert_eq!(none, "CapEff:0000000000000000\n");
    let one = ["--privileged", "--cap-drop", "ALL", "--cap-add", "CHOWN"];
    assert_eq!(place.script(&one, held).said(), "CapEff:0000000000000001\n");
    // Its own users: all that is theirs, and of the host what it is given.
    let own = "head -1 /proc/self/uid_map | grep -q ' 65536$' && echo own
        mount -t tmpfs none /srv && echo mounted; head -c0 /dev/fuse && echo fuse; touch /sys/x 2>/dev/null || echo still";
    let options = ["--privileged", "--userns", "auto"];
    assert_eq!(place.script(&options, own).said(), "own\nmounted\nfuse\nstill\n");
    place.assert_nothing_left();
}

/// Between the look at it and its use a name may come to mean another file, which was never asked for.
#[test]
fn what_is_shown_as_a_device_is_the_one_that_was_looked_at() {
    need_root!();
    let place = Place::new();
    let named = place.join("named");
    let (node, other) = (place.join("node"), place.join("other"));
    std::fs::write(&other, "a secret of the host").unwrap();
    std::os::unix::fs::symlink("/dev/null", &named).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for target in [other.as_path(), Path::new("/dev/null")].into_iter().cycle() {
                std::os::unix::fs::symlink(target, &node).unwrap();
                std::fs::rename(&node, &named).unwrap();
                if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        });
        let given = format!("{}:/srv/given", named.display());
        let run = ["run", "--rm", "--userns", "host", "--device", &given, "--rootfs", "/"];
        let shown: Vec<_> =
            (0..20).map(|_| place.layerfs(&[&run[..], &["cat", "/srv/given"]].concat())).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        for ran in shown {
            let is_told = ran.status == 125 && ran.err.contains("named");
            assert!(ran.out.is_empty() && (ran.status == 0 || is_told), "{ran:?}");
        }
    });
    std::fs::remove_file(named).unwrap();
    std::fs::remove_file(other).unwrap();
    place.assert_nothing_left();
}
