//! What an image's configuration says of its containers, and the user's words over it: docker's rules, in running containers.

use serde_json::json;

use crate::image;
use crate::place::Place;
use crate::support::{need, need_root};

/// What `show` prints: its words, and the rest of what was configured.
fn shown(words: &[&str], rest: &str) -> String {
    words.iter().map(|word| format!("[{word}]\n")).chain([format!("{rest}\n")]).collect()
}

/// An image that configures all that an image can: its words are those of `show`.
fn whole(place: &Place) {
    let config = json!({
        "Entrypoint": ["show", "entry"], "Cmd": ["one", "two"], "WorkingDir": "/work/here",
        "User": "ann", "Env": ["PATH=/bin", "GREETING=hello", "COLOUR=red"],
    });
    image::make(place, "whole", &config);
}

#[test]
fn an_image_decides_words_variables_directory_and_user_until_the_user_does() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    whole(&place);
    let run = |options: &[&str], words: &[&str]| {
        place.layerfs(&[&["run", "--rm"], options, &["whole"], words].concat()).said()
    };
    let rest = "hello red in /work/here as 1000:100 of 100 29";
    assert_eq!(run(&[], &[]), shown(&["entry", "one", "two"], rest));
    assert_eq!(run(&[], &["mine", ""]), shown(&["entry", "mine", ""], rest));
    let options = ["-e", "COLOUR=blue", "-e", "MORE=1", "-w", "/etc", "-u", "0:29"];
    let rest = "hello blue in /etc as 0:29 of 29";
    assert_eq!(run(&options, &[]), shown(&["entry", "one", "two"], rest));
    place.assert_nothing_left();
}

#[test]
fn an_entrypoint_of_the_users_takes_the_images_words_away() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    whole(&place);
    let run = |entrypoint: &str, words: &[&str]| {
        place.layerfs(&[&["run", "--rm", "--entrypoint", entrypoint, "whole"], words].concat())
    };
    let rest = "hello red in /work/here as 1000:100 of 100 29";
    assert_eq!(run("/bin/show", &[]).said(), shown(&[], rest));
    assert_eq!(run("show", &["mine"]).said(), shown(&["mine"], rest));
    assert_eq!(run("echo", &["a  b", "c"]).said(), "a  b c\n");
    assert_eq!(run("", &["show", "mine"]).said(), shown(&["mine"], rest));
    // As with docker, the image's command goes with its entrypoint.
    let nothing = run("", &[]);
    let told = "layerfs: no command: an empty --entrypoint takes the image's own away, so say one after the image, such as /bin/sh\n";
    assert_eq!((nothing.status, nothing.err.as_str()), (125, told));
    place.assert_nothing_left();
}

#[test]
fn an_image_without_a_word_needs_one_of_the_users() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    image::make(&place, "bare", &json!({}));
    let nothing = place.layerfs(&["run", "--rm", "bare"]);
    let told =
        "layerfs: no command: the image names none, so say one after the image, such as /bin/sh\n";
    assert_eq!((nothing.status, nothing.err.as_str()), (125, told));
    let said = place.layerfs(&["run", "--rm", "bare", "show"]).said();
    assert_eq!(said, shown(&[], "  in / as 0:0 of 0"));
    place.assert_nothing_left();
}

#[test]
fn a_user_is_found_by_names_and_numbers_of_the_image() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    let cases = [
        ("ann", "1000:100 100 29"),
        ("ann:audio", "1000:29 29"),
        ("ann:7", "1000:7 7"),
        ("1000", "1000:100 100 29"),
        ("1000:audio", "1000:29 29"),
        ("77", "77:0 0"),
        ("77:78", "77:78 78"),
        ("0", "0:0 0"),
        ("", "0:0 0"),
    ];
    for (n, (user, ids)) in cases.into_iter().enumerate() {
        let name = format!("of-{n}");
        let cmd = ["sh", "-c", "echo $(id -u):$(id -g) $(id -G)"];
        image::make(&place, &name, &json!({"Cmd": cmd, "User": user}));
        let ran = place.layerfs(&["run", "--rm", &name]);
        assert_eq!(ran.said(), format!("{ids}\n"), "{user}");
        // What an image says, the user can.
        let said = place.layerfs(&[&["run", "--rm", "-u", user, &name][..], &cmd].concat());
        assert_eq!(said.said(), format!("{ids}\n"), "-u {user}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_user_that_an_image_does_not_have_is_one_line() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    let too_great =
        |id: &str| format!("`{id}` is no number of a user or a group: they end at 2147483647");
    let absent = |kind: &str, name: &str, file: &str| {
        format!("{kind} `{name}` is not in the image's {file}; give a number, or a name that is")
    };
    let cases = [
        ("eve", absent("user", "eve", "/etc/passwd")),
        ("eve:users", absent("user", "eve", "/etc/passwd")),
        ("ann:eves", absent("group", "eves", "/etc/group")),
        ("-1", absent("user", "-1", "/etc/passwd")),
        ("1:-1", absent("group", "-1", "/etc/group")),
        ("4294967295", too_great("4294967295")),
        ("2147483648", too_great("2147483648")),
        ("1:4294967295", too_great("4294967295")),
        ("18446744073709551616", too_great("18446744073709551616")),
    ];
    for (n, (user, told)) in cases.into_iter().enumerate() {
        let name = format!("of-{n}");
        image::make(&place, &name, &json!({"Cmd": ["id"], "User": user}));
        let ran = place.layerfs(&["run", "--rm", &name]);
        let line = format!("layerfs: {told}\n");
        assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (125, "", line.as_str()));
        assert_eq!(
            place.layerfs(&["run", "--rm", &format!("--user={user}"), &name]).err,
            line,
            "{user}"
        );
    }
    place.assert_nothing_left();
}

#[test]
fn variables_come_from_a_file_and_words_after_it_count() {
    need_root!();
    let place = Place::new();
    let file = place.join("variables");
    std::fs::write(&file, "# none\nONE=of the file\nTWO=of the file\nLAYERFS_TEST_CALLER\n")
        .unwrap();
    let file = file.display().to_string();
    let script = "echo $ONE, $TWO, $LAYERFS_TEST_CALLER";
    let words =
        ["run", "--rm", "-e", "TWO=said", "--env-file", &file, "--rootfs", "/", "sh", "-c", script];
    let mut command = place.command(&words);
    let output = command.env("LAYERFS_TEST_CALLER", "the caller's").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "of the file, said, the caller's\n");
    let ran = place.script(&["--env-file", "/none"], "true");
    assert!(ran.status == 125 && ran.err.contains("--env-file `/none`"), "{ran:?}");
    place.assert_nothing_left();
}

#[test]
fn who_is_not_root_listens_on_any_port_of_a_network_of_the_containers_own() {
    need_root!();
    let place = Place::new();
    let listen = "exec python3 -c 'import socket; socket.create_server((\"127.0.0.1\", 80)); print(\"listens\")'";
    let said = place.script(&["-u", "1000"], listen).said();
    assert_eq!(said, "listens\n");
    // What was asked for holds instead.
    let options = ["-u", "1000", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"];
    let refused = place.script(&options, listen);
    assert!(refused.err.contains("Permission denied"), "{refused:?}");
    let groups = place.script(&[], "cat /proc/sys/net/ipv4/ping_group_range").said();
    assert_eq!(groups.split_whitespace().collect::<Vec<_>>(), ["0", "65535"]);
    place.assert_nothing_left();
}

/// What else is as the image has it is taken for a directory that was made to mount on what is in it.
#[test]
fn an_attribute_of_a_directory_with_places_to_mount_on_is_a_change() {
    need_root!();
    need!("busybox", "setfattr");
    let place = Place::new();
    image::make(&place, "small", &json!({}));
    place.layerfs(&["run", "--name", "box", "small", "busybox", "chmod", "755", "/etc"]).said();
    assert_eq!(place.layerfs(&["diff", "box"]).said(), "");
    // As a program in the container does that has it.
    let etc = place.containers()[0].join("upper/etc");
    let mut set = std::process::Command::new("setfattr");
    assert!(set.args(["-n", "user.layerfs", "-v", "1"]).arg(etc).status().unwrap().success());
    assert_eq!(place.layerfs(&["diff", "box"]).said(), "C /etc\n");
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

/// Its `/etc` lacks the files that a container has of its own, and its root the places of the kernel's file systems.
#[test]
fn what_a_container_is_mounted_on_is_no_change_and_what_it_wrote_is_one() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    image::make(&place, "small", &json!({}));
    let changed = |script: &str| {
        let run = ["run", "--name", "box", "small", "busybox", "sh", "-c", script];
        place.layerfs(&run).said();
        let told = place.layerfs(&["diff", "box"]).said();
        let layer = place.join("layer.tar");
        let layer = layer.to_str().unwrap();
        place.layerfs(&["diff", "--tar", "-o", layer, "box"]).said();
        let names = std::process::Command::new("tar").args(["-tf", layer]).output().unwrap();
        let names = String::from_utf8(names.stdout).unwrap();
        for own in ["etc/hosts", "etc/hostname", "proc", "sys"] {
            assert!(!names.lines().any(|name| name.trim_matches(['.', '/']) == own), "{names}");
        }
        place.layerfs(&["rm", "box"]).said();
        told
    };
    assert_eq!(changed("busybox true; echo more >>/etc/hosts"), "");
    assert_eq!(changed("echo >/new"), "A /new\n");
    assert_eq!(changed("echo >/etc/new"), "C /etc\nA /etc/new\n");
    // Nothing is mounted on that one without a network: an empty one is the container's own.
    assert_eq!(changed("echo -n >/etc/resolv.conf"), "C /etc\nA /etc/resolv.conf\n");
    assert_eq!(changed("busybox chmod 700 /etc"), "C /etc\n");
    assert_eq!(changed("busybox mkdir /etc/hosts.d"), "C /etc\nA /etc/hosts.d\n");
    place.assert_nothing_left();
}

/// What holds a program: its ids, rights and filters, and of which namespaces it is that the command is not of.
const HELD: &str = "busybox grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp.*):' /proc/self/status
    for name in cgroup ipc mnt net pid user uts; do test \"$(busybox readlink /proc/self/ns/$name)\" = \"$(eval echo \\$$name)\" && echo $name is the hosts; done
    busybox cut -d' ' -f4,5,6 /proc/self/mountinfo | busybox grep -vE ' /etc/(hosts|hostname|resolv.conf) '
    busybox head -n 1 /proc/self/uid_map | busybox tr -s ' ' | busybox cut -d' ' -f4";

#[test]
fn an_image_can_not_take_what_holds_its_containers() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    let held = |name: &str| {
        let mut words: Vec<String> = vec!["run".into(), "--rm".into()];
        for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            let of_host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            words.extend(["-e".into(), format!("{name}={}", of_host.display())]);
        }
        words.extend([name, "sh", "-c", HELD].map(String::from));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // What differs from container to container is where its own files lie.
        let said = place.layerfs(&words).said();
        let own: Vec<&str> = said.lines().filter(|line| !line.contains("/containers/")).collect();
        own.join("\n")
    };
    image::make(&place, "benign", &json!({"User": "0:0"}));
    let benign = held("benign");
    assert!(benign.contains("Seccomp:\t2") && benign.ends_with("\n65536"), "{benign}");
    assert!(!benign.contains("is the hosts"), "{benign}");
    let host = json!({
        "Privileged": true, "CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "UsernsMode": "host", "PidMode": "host", "NetworkMode": "host", "IpcMode": "host", "UTSMode": "host",
        "CgroupnsMode": "host", "Binds": ["/:/host"], "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
        "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}],
        "MaskedPaths": [], "ReadonlyPaths": [],
    });
    let spec = json!({
        "process": {"capabilities": {"effective": ["CAP_SYS_ADMIN"]}, "noNewPrivileges": false},
        "linux": {"seccomp": null, "maskedPaths": [], "namespaces": []},
        "mounts": [{"destination": "/host", "source": "/", "type": "bind"}],
        "hooks": {"prestart": [{"path": "/bin/sh"}]},
    });
    let mut config = json!({
        "User": "0:0", "HostConfig": &host,
        "Env": ["PATH=/bin", "_LAYERFS_SEALED=1", "LD_PRELOAD=/bin/busybox", "LD_LIBRARY_PATH=/bin", "LAYERFS_ROOT=/", "LAYERFS_RUNROOT=/",
                "LAYERFS_FAULT=die:1:mount", "RUST_LOG=trace", "GCONV_PATH=/bin", "LISTEN_FDS=9"],
        "Labels": {"io.podman.annotations.privileged": "TRUE", "io.podman.annotations.seccomp": "unconfined", "run.oci.keep_original_groups": "1"},
        "Annotations": {"run.oci.handler": "krun", "org.criu.config": "/etc/passwd"},
    });
    let keys = [&host, &spec].map(|keys| keys.as_object().unwrap().clone());
    config
        .as_object_mut()
        .unwrap()
        .extend(keys.iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    let mut whole =
        json!({"architecture": "amd64", "os": "linux", "config": config, "HostConfig": host});
    whole.as_object_mut().unwrap().extend(keys.into_iter().flatten());
    image::make_of(&place, "hostile", whole);
    assert_eq!(held("hostile"), benign);
    let lists = [
        "root:x:1000:1000::/:/bin/sh\n0:x:4242:4242::/:/bin/sh\n",
        "0:0:4294967295:4294967295:0:0:0\n",
        "::0:0::\n\0\n:::::::::\n0\n",
    ];
    for (n, list) in lists.into_iter().enumerate() {
        std::fs::write(place.join("tree/etc/passwd"), list).unwrap();
        std::fs::write(place.join("tree/etc/group"), list).unwrap();
        let name = format!("lists-{n}");
        image::make(&place, &name, &json!({"User": "0:0"}));
        assert_eq!(held(&name), benign, "{list:?}");
    }
    // The user's number is no name that the image may give to its root.
    std::fs::write(place.join("tree/etc/passwd"), "1000:x:0:0::/:/bin/sh\n").unwrap();
    std::fs::write(place.join("tree/etc/group"), "1000:x:0:\n").unwrap();
    image::make(&place, "numbers", &json!({}));
    for user in ["1000", "1000:1000"] {
        let ids = place.layerfs(&["run", "--rm", "-u", user, "numbers", "id", "-u"]).said();
        assert_eq!(ids, "1000\n", "{user}");
    }
    let group = place.layerfs(&["run", "--rm", "-u", "1000:1000", "numbers", "id", "-g"]).said();
    assert_eq!(group, "1000\n");
    place.assert_nothing_left();
}

/// A directory to begin in that is looked up while descriptors of the host's are open would lie outside.
#[test]
fn a_directory_that_an_image_names_by_a_descriptor_is_none_of_the_hosts() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    let canary = place.join("canary");
    std::fs::write(&canary, "of the host\n").unwrap();
    let on_host = canary.display();
    // From wherever it begins up, by all that may be the host's root.
    let script = format!(
        "up=.; for n in 1 2 3 4 5 6 7 8 9 10 11 12; do test -e $up{on_host} && echo $up; up=$up/..; done; echo ran"
    );
    let names = (3..=20).map(|fd| format!("/proc/self/fd/{fd}"));
    let names = names.chain(
        [
            "/proc/1/root",
            "/proc/self/cwd",
            "/proc/self/fd/7/../..",
            "/proc/1/cwd/..",
            "/proc/thread-self/root",
        ]
        .map(String::from),
    );
    for (n, directory) in names.enumerate() {
        let name = format!("of-{n}");
        image::make(
            &place,
            &name,
            &json!({"WorkingDir": &directory, "Cmd": ["sh", "-c", &script]}),
        );
        let users = ["auto", "host"][n % 2];
        let ran = place.layerfs(&["run", "--rm", "--userns", users, &name]);
        if ran.status == 0 {
            assert_eq!(ran.out, "ran\n", "{directory}");
        } else {
            let is_told = (125..=127).contains(&ran.status) && ran.err.lines().count() == 1;
            assert!(is_told && ran.out.is_empty(), "{directory}: {ran:?}");
        }
    }
    std::fs::remove_file(&canary).unwrap();
    place.assert_nothing_left();
}
