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
