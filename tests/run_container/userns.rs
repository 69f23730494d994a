//! Containers with users of their own: nobody on the host, and right inside, on volumes and in layers.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::place::{Place, Ran};
use crate::support::{figure, need, need_root};

/// The range that a container has, by the map of its users.
pub fn first_of(map: &str) -> u32 {
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!((words[0], words[2], words.len()), ("0", "65536", 3), "{map}");
    words[1].parse().unwrap()
}

/// A running container that prints the map of its users, and waits.
pub fn waiting(place: &Place, options: &[&str]) -> (Child, BufReader<ChildStdout>, u32) {
    let script = "cat /proc/self/uid_map; exec sleep 1000";
    let words = [&["run", "--rm"], options, &["--rootfs", "/", "sh", "-c", script]].concat();
    let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut map = String::new();
    out.read_line(&mut map).unwrap();
    let first = first_of(&map);
    (child, out, first)
}

pub fn remove_all(place: &Place, children: impl IntoIterator<Item = Child>) {
    let all = place.layerfs(&["ps", "-aq"]).said();
    let words: Vec<&str> = ["rm", "-f"].into_iter().chain(all.split_whitespace()).collect();
    assert_eq!(place.layerfs(&words).status, 0);
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(137));
    }
}

fn listed(place: &Place) -> Value {
    serde_json::from_str(&place.layerfs(&["ps", "--json"]).said()).unwrap()
}

pub fn inspected(place: &Place, name: &str) -> Value {
    let said = place.layerfs(&["inspect", name]).said();
    serde_json::from_str::<Value>(&said).unwrap()[0].clone()
}

pub fn auto(place: &Place, options: &[&str], script: &str) -> Ran {
    place.script(&[&["--userns", "auto"], options].concat(), script)
}

#[test]
fn root_of_a_container_is_nobody_on_the_host() {
    need_root!();
    let place = Place::new();
    let said = auto(
        &place,
        &[],
        "id -u; id -g; id -G; cat /proc/self/setgroups; readlink /proc/self/ns/user",
    );
    let said = said.said();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..4], ["0", "0", "0", "allow"]);
    assert_ne!(Path::new(lines[4]), std::fs::read_link("/proc/self/ns/user").unwrap());
    let (child, _out, first) = waiting(&place, &["--userns", "auto", "--name", "box"]);
    let pid = listed(&place)[0]["pid"].clone();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for word in ["Uid:", "Gid:"] {
        let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(ids, [first; 4], "{word}");
    }
    // Beyond what a machine gives its users, and what a process takes for negative.
    assert!((0x7000_0000..0x7ffe_0000).contains(&first) && first % 65536 == 0, "{first:#x}");
    let host = inspected(&place, "box")["HostConfig"].clone();
    assert_eq!(host["UsernsMode"], "auto");
    // As long as it runs; it has another number at each start only where somebody else has its own.
    for kind in ["UidMap", "GidMap"] {
        assert_eq!(host["IDMappings"][kind], serde_json::json!([format!("0:{first}:65536")]));
    }
    remove_all(&place, [child]);
    place.layerfs(&["run", "--name", "plain", "--userns", "host", "--rootfs", "/", "true"]).said();
    let host = inspected(&place, "plain")["HostConfig"].clone();
    assert_eq!((&host["UsernsMode"], &host["IDMappings"]), (&"host".into(), &Value::Null));
    place.layerfs(&["rm", "plain"]).said();
    place.assert_nothing_left();
}

/// What root of the host may and root of a container may not, and what root of a container needs.
#[test]
fn root_of_a_container_has_what_is_its_own_and_nothing_of_the_hosts() {
    need_root!();
    need!("mount", "setpriv");
    let place = Place::new();
    let script = "touch /f; chown 33:44 /f && stat -c %u:%g /f; mkdir /d && mount -t tmpfs none /d && echo mounted; \
         hostname new && hostname; mknod /n b 254 0 2>&1; mknod /dev/n c 1 3 2>&1; \
         echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls -ldn /dev/shm /dev/mqueue | cut -d' ' -f3,4; stat -c %u:%g /dev/pts/ptmx; \
         ls -ln /etc/hosts /etc/hostname | cut -d' ' -f3,4; echo 127.0.0.1 more >>/etc/hosts && echo written; \
         touch /sys/x 2>&1; cat /proc/keys | wc -c; cat /sys/class/net/lo/flags; \
         setpriv --reuid 65535 --clear-groups id -u; setpriv --reuid 65536 id -u 2>&1 | cut -c -32";
    let ran = auto(&place, &["--cap-add", "SYS_ADMIN,MKNOD"], script);
    let expected = "33:44\nmounted\nnew\nmknod: /n: Operation not permitted\nmknod: /dev/n: Operation not permitted\n\
         3\n0 0\n0 0\n0:0\n0 0\n0 0\nwritten\ntouch: cannot touch '/sys/x': Read-only file system\n0\n0x9\n65535\n\
         setpriv: setresuid failed: Inval\n";
    assert_eq!(ran.out, expected, "{ran:?}");
    let beyond = auto(&place, &["-u", "65536:0"], "id");
    let told = "layerfs: `65536` is no number of a user or a group of this container: it has 65536 of its own; root gives \
                it the host's by `--userns host`, other users have more by lines of /etc/subuid and /etc/subgid\n";
    assert_eq!((beyond.status, beyond.err.as_str()), (125, told));
    place.assert_nothing_left();
}

#[test]
fn with_the_hosts_network_the_hosts_devices_of_sys_are_seen_and_stand_fast() {
    need_root!();
    let place = Place::new();
    let script = "readlink /proc/self/ns/net; touch /sys/x /sys/class/net/lo/mtu 2>&1 | grep -c 'Read-only'; \
                  grep -c ' /sys/fs/cgroup[ /]' /proc/self/mountinfo | sed 's/[1-9].*/some/'; \
                  echo 1500 2>/dev/null >/sys/class/net/lo/mtu || echo no";
    let said = auto(&place, &["--network", "host"], script).said();
    let net = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(said, format!("{}\n1\nsome\nno\n", net.display()));
    place.assert_nothing_left();
}

#[test]
fn what_is_written_to_a_volume_belongs_outside_to_who_wrote_it_inside() {
    need_root!();
    need!("setpriv");
    let place = Place::new();
    let data = place.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(data.join("theirs"), "x").unwrap();
    chown(data.join("theirs"), Some(1000), Some(100)).unwrap();
    std::fs::write(data.join("far"), "x").unwrap();
    chown(data.join("far"), Some(100_000), Some(100_000)).unwrap();
    let volume = format!("{}:/data", data.display());
    let script = "cd /data; stat -c %u:%g theirs far; touch roots; setpriv --reuid 33 --regid 34 --clear-groups touch webs; \
                  chown 5:6 theirs; chown 7 far 2>&1; mkdir -p deep/er";
    let ran = auto(&place, &["-v", &volume], script);
    let expected =
        "1000:100\n65534:65534\nchown: changing ownership of 'far': Operation not permitted\n";
    // Some say that the value is too large.
    assert_eq!(
        ran.out.replace("Value too large for defined data type", "Operation not permitted"),
        expected,
        "{ran:?}"
    );
    let owner = |name: &str| {
        let found = std::fs::metadata(data.join(name)).unwrap();
        (found.uid(), found.gid())
    };
    let owners = ["roots", "webs", "theirs", "far", "deep/er"].map(owner);
    assert_eq!(owners, [(0, 0), (33, 34), (5, 6), (100_000, 100_000), (0, 0)]);
    let read_only = format!("{volume}:ro");
    let ran = auto(&place, &["-v", &read_only], "touch /data/new 2>&1; cat /data/theirs");
    assert_eq!(ran.out, "touch: cannot touch '/data/new': Read-only file system\nx");
    place.assert_nothing_left();
}

#[test]
fn a_volume_that_can_not_have_other_ids_is_told_with_the_cure() {
    need_root!();
    let place = Place::new();
    let ran = auto(&place, &["-v", "/sys/kernel:/mnt:ro"], "true");
    assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{ran:?}");
    let told = "layerfs: volume `/sys/kernel`: its file system, or one that is mounted in it, can't be shown with ids of the container's \
                own users: ";
    assert!(ran.err.starts_with(told), "{ran:?}");
    assert!(ran.err.ends_with("; `--userns host` gives it the host's\n"), "{ran:?}");
    place.script(&["--userns", "host", "-v", "/sys/kernel:/mnt:ro"], "ls /mnt >/dev/null").said();
    place.assert_nothing_left();
}

/// A program that says who it runs as, at `path`, with `mode`.
fn plant_id(path: &Path, mode: u32) {
    let found = Command::new("sh").args(["-c", "command -v id"]).output().unwrap();
    std::fs::copy(String::from_utf8(found.stdout).unwrap().trim(), path).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_set_id_program_works_in_its_container_and_neither_by_a_volume_nor_where_that_is_refused() {
    need_root!();
    need!("setpriv");
    let place = Place::new();
    let data = place.join("data");
    std::fs::create_dir(&data).unwrap();
    plant_id(&data.join("id"), 0o4755);
    let volume = format!("{}:/data", data.display());
    let script = "cp /data/id /own; chmod 4755 /own; as='setpriv --reuid 1000 --regid 1000 --clear-groups'; \
                  $as /own -u; $as /data/id -u; $as grep -E 'NoNewPrivs|CapEff' /proc/self/status; cat /proc/sys/kernel/cap_last_cap >/dev/null";
    let said = |options: &[&str]| auto(&place, &[&["-v", &volume], options].concat(), script).out;
    assert_eq!(said(&[]), "0\n1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n");
    let free = ["--security-opt", "seccomp=unconfined"];
    assert_eq!(said(&free), "0\n1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\n");
    let none = ["--security-opt", "no-new-privileges"];
    assert_eq!(said(&none), "1000\n1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
    let host = place.script(&["--userns", "host", "-v", &volume], script).out;
    assert_eq!(host, "1000\n1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
    // What is gained is what root of the container has, and no more.
    let gained = "cp /usr/bin/grep /own; chmod 4755 /own; setpriv --reuid 1000 /own Cap /proc/self/status | xargs";
    const USUAL: &str = "00000000800405fb";
    let expected = format!(
        "CapInh: 0000000000000000 CapPrm: {USUAL} CapEff: {USUAL} CapBnd: {USUAL} CapAmb: 0000000000000000\n"
    );
    assert_eq!(auto(&place, &[], gained).said(), expected);
    for options in [&["-u", "1000"][..], &[]] {
        let said =
            auto(&place, options, "grep -E 'CapPrm|CapEff|CapBnd' /proc/self/status | xargs")
                .said();
        let own = if options.is_empty() { USUAL } else { "0000000000000000" };
        assert_eq!(said, format!("CapPrm: {own} CapEff: {own} CapBnd: {USUAL}\n"), "{options:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn attributes_are_those_that_root_of_a_user_namespace_may_give() {
    need_root!();
    need!("setcap", "getcap", "setfacl", "getfacl", "setpriv", "python3");
    let place = Place::new();
    let script = "cp /usr/bin/grep /own; setcap cap_chown+ep /own && getcap /own; \
         setpriv --reuid 1000 --clear-groups /own CapEff /proc/self/status; \
         touch /f; setfacl -m u:1000:rw,g:33:r /f && getfacl -cn /f | grep '[ug].*:[0-9].*:'; \
         setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo x >/f && echo by the list'; \
         python3 -c \"$ASKS\"";
    let asks = "ASKS=import os, errno\n\
def ask(f, *a):\n try: return f(*a)\n except OSError as e: return errno.errorcode[e.errno]\n\
print(*[ask(os.setxattr, '/f', space + '.x', b'1') for space in ('trusted', 'security', 'user')])\n\
print(ask(os.getxattr, '/own', 'security.capability').hex(), sorted(os.listxattr('/f')))\n";
    let ran = auto(&place, &["-e", asks], script);
    let expected = "/own cap_chown=ep\nCapEff:\t0000000000000001\nuser:1000:rw-\ngroup:33:r--\nby the list\nEPERM EPERM None\n\
         0100000201000000000000000000000000000000 ['system.posix_acl_access', 'user.x']\n";
    assert_eq!(ran.out, expected, "{ran:?}");
    place.assert_nothing_left();
}

/// Of all that a container wrote: path, kind and mode, owner, size, target; and attributes.
fn tree(root: &Path) -> String {
    let mut find = Command::new("find");
    find.arg(root).args(["-mindepth", "1", "-printf", "%P %M %U:%G %l\n"]);
    let mut lines: Vec<String> =
        String::from_utf8(output_of(&mut find)).unwrap().lines().map(str::to_owned).collect();
    let mut attributes = Command::new("getfattr");
    attributes
        .args(["-R", "-h", "-d", "-m", "^(security|system|user)\\.", "-e", "hex", "."])
        .current_dir(root);
    lines.extend(String::from_utf8(output_of(&mut attributes)).unwrap().lines().map(str::to_owned));
    lines.sort();
    lines.join("\n")
}

fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn what_a_container_wrote_is_on_disk_and_in_layers_what_it_is_with_the_hosts_users() {
    need_root!();
    need!("busybox", "tar", "setcap", "setfacl", "getfattr", "find");
    let place = Place::new();
    crate::image::make(&place, "small", &serde_json::json!({}));
    let script = "cd /mnt/root 2>/dev/null || cd /; mkdir d; echo x >d/f; chown 33:44 d/f; chown 1000:100 bin/show; chmod 6755 bin/show; \
         rm etc/group; ln -s f d/l; ln d/f d/h; chown -h 7:8 d/l; mkfifo d/p; chmod 1777 d";
    // setcap(8) and setfacl(1) are the host's, and the image has only busybox.
    let tools = "setcap cap_net_raw+ep /d/f; setfacl -m u:1000:rw /d/f; setfacl -d -m g:33:rx /d";
    let mut seen = Vec::new();
    for users in ["host", "auto"] {
        let words = [
            "run",
            "--userns",
            users,
            "--name",
            users,
            "small",
            "/bin/busybox",
            "sh",
            "-c",
            script,
        ];
        place.layerfs(&words).said();
        let id = inspected(&place, users)["Id"].as_str().unwrap().to_owned();
        let upper = place.join("store/containers").join(id).join("upper");
        let image = format!("of-{users}");
        assert_eq!(place.layerfs(&["commit", users, &image]).status, 0);
        let at = place.join("at");
        std::fs::create_dir_all(&at).unwrap();
        assert_eq!(place.layerfs(&["mount", &image, at.to_str().unwrap()]).status, 0);
        seen.push((tree(&upper), tree(&at), place.layerfs(&["diff", users]).said()));
        assert_eq!(place.layerfs(&["umount", at.to_str().unwrap()]).status, 0);
        place.layerfs(&["rm", users]).said();
    }
    assert!(seen[0].1.contains("d/f -rw-r--r-- 33:44"), "{}", seen[0].1);
    assert!(seen[0].1.contains("bin/show -rwsr-sr-x 1000:100"), "{}", seen[0].1);
    assert_eq!(seen[0], seen[1]);
    let mut lists = Vec::new();
    for users in ["host", "auto"] {
        let script = format!("mkdir /d; touch /d/f; {tools}");
        let words =
            ["run", "--userns", users, "--name", users, "--rootfs", "/", "sh", "-c", &script];
        place.layerfs(&words).said();
        let id = inspected(&place, users)["Id"].as_str().unwrap().to_owned();
        lists.push(tree(&place.join("store/containers").join(id).join("upper/d")));
        place.layerfs(&["rm", users]).said();
    }
    assert!(lists[0].contains("security.capability=0x0100000200200000"), "{}", lists[0]);
    assert_eq!(lists[0], lists[1]);
    place.assert_nothing_left();
}

/// Nothing is given to others or copied: what a container that does nothing has written is the same few names, whatever its image
/// holds.
#[test]
fn a_start_writes_as_much_as_with_the_hosts_users_whatever_the_image_holds() {
    need_root!();
    let place = Place::new();
    let mut written = BTreeSet::new();
    for users in ["host", "auto"] {
        place.layerfs(&["run", "--userns", users, "--name", users, "--rootfs", "/", "true"]).said();
        let id = inspected(&place, users)["Id"].as_str().unwrap().to_owned();
        let upper = place.join("store/containers").join(id).join("upper");
        written.insert(tree(&upper));
        place.layerfs(&["rm", users]).said();
    }
    assert_eq!(written.len(), 1, "{written:?}");
    let names = written.first().unwrap().lines().count();
    figure(format!(
        "a container of this machine's root that does nothing has {names} lines of names and attributes in its upper"
    ));
    assert!(names < 20, "{written:?}");
    place.assert_nothing_left();
}

/// What takes rights of the whole machine is not its root's: who may keep set-id bits, and who is told of `trusted.*`.
#[test]
fn root_of_a_container_is_no_root_to_what_serves_its_files() {
    need_root!();
    need!("setfattr", "python3", "setpriv");
    let place = Place::new();
    let root = crate::hostile::Root::new(&place, "root");
    let file = root.path.join("file");
    std::fs::write(&file, "x").unwrap();
    for name in ["trusted.x", "user.x"] {
        let set =
            Command::new("setfattr").args(["-n", name, "-v", "1"]).arg(&file).status().unwrap();
        assert!(set.success());
    }
    let script = "python3 -c 'import os; print(os.listxattr(\"/file\"))'";
    let listed = |users: &str| root.script(&place, &["--userns", users], script).said();
    assert_eq!(listed("auto"), "['user.x']\n");
    assert!(listed("host").contains("trusted.x"));
    // As on a file system of the kernel's that belongs to the same users.
    let script = "for at in /at /dev/shm; do mkdir -p $at; cd $at; \
         for case in 'echo x >>f' 'truncate -s 1 f' ': >f' 'chown 1 f' 'setpriv --reuid 1 --clear-groups sh -c \"echo x >>f\"' \
         'chgrp 5 f; chmod 2777 f' 'chown 1:5 f; setpriv --reuid 1 --clear-groups chmod 2777 f'; do \
         rm -f f; echo old >f; chmod 6777 f; eval \"$case\"; stat -c %a f; done | xargs; done";
    let said = auto(&place, &[], script).said();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], lines[1], "ours, and the kernel's");
    place.assert_nothing_left();
}
