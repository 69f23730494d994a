//! What a container sees, and what it does not.

use std::path::Path;

use crate::place::{Place, ran};
use crate::support::{Scratch, fixtures, need, need_root};

#[test]
fn every_namespace_is_its_own() {
    need_root!();
    let place = Place::new();
    let kinds = ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup"];
    let script = format!("for n in {}; do readlink /proc/self/ns/$n; done", kinds.join(" "));
    let inside = place.script(&[], &script).said();
    for (kind, link) in kinds.iter().zip(inside.lines()) {
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(link.starts_with(kind), "{link}");
        assert_ne!(Path::new(link), outside, "{kind}");
    }
    assert_eq!(inside.lines().count(), kinds.len());
    let users = place.script(&["--userns", "host"], "readlink /proc/self/ns/user").said();
    assert_eq!(Path::new(users.trim()), std::fs::read_link("/proc/self/ns/user").unwrap());
    place.assert_nothing_left();
}

#[test]
fn the_first_process_is_the_command_and_no_other_is_seen() {
    need_root!();
    let place = Place::new();
    let said =
        place.script(&[], "echo $$; for p in /proc/[0-9]*; do echo ${p#/proc/}; done").said();
    assert_eq!(said, "1\n1\n");
    place.assert_nothing_left();
}

#[test]
fn privileges_are_few_and_no_new_ones_are_gained() {
    need_root!();
    let place = Place::new();
    // Programs of the container's own users may gain what its root has, unless that is refused.
    for (options, gains_none) in [
        (&["--userns", "host"][..], "1"),
        (&["--security-opt", "no-new-privileges"], "1"),
        (&[], "0"),
    ] {
        let said = place.script(options, "grep -E '^(Cap|NoNewPrivs)' /proc/self/status").said();
        let lines: Vec<Vec<&str>> =
            said.lines().map(|line| line.split_whitespace().collect()).collect();
        let value =
            |name: &str| lines.iter().find(|line| line[0] == name).map(|line| line[1]).unwrap();
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(value(set), "00000000800405fb", "{set}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(value(set), "0000000000000000", "{set}");
        }
        assert_eq!(value("NoNewPrivs:"), gains_none);
        let script = "mknod /dev/x b 254 0 || echo no; mount -t tmpfs x /mnt || echo no";
        assert_eq!(place.script(options, script).out, "no\nno\n");
    }
    place.assert_nothing_left();
}

#[test]
fn descriptors_beyond_the_streams_are_not_there() {
    need_root!();
    let place = Place::new();
    // The fourth is the listing's own.
    let said = place.script(&[], "ls /proc/self/fd | wc -l; readlink /proc/self/fd/0").said();
    assert_eq!(said, "4\n/dev/null\n");
    for number in 3..20 {
        let directory = format!("/proc/self/fd/{number}");
        let ran = place.layerfs(&["run", "--rm", "-w", &directory, "--rootfs", "/", "pwd"]);
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn what_tells_of_the_host_is_masked_and_its_settings_stand_fast() {
    need_root!();
    let place = Place::new();
    let said = place
        .script(
            &[],
            "cat /proc/keys /proc/interrupts /proc/timer_list 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null \
             | grep -v : | tr -d '\\n' | wc -c; touch /sys/x 2>/dev/null || echo ro; \
             echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo ro; grep -c shared: /proc/self/mountinfo",
        );
    assert_eq!(said.out, "0\n0\nro\nro\n0\n", "{said:?}");
    place.assert_nothing_left();
}

#[test]
fn devices_are_the_harmless_ones() {
    need_root!();
    let place = Place::new();
    let said = place
        .script(&[], "cd /dev; echo *; stat -c '%n %t:%T %a' null zero full random urandom tty")
        .said();
    let expected = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero\n\
                    null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\n";
    assert_eq!(said, expected);
    place.assert_nothing_left();
}

#[test]
fn the_network_is_a_loopback_unless_the_hosts_is_asked_for() {
    need_root!();
    let place = Place::new();
    let links = "for l in /sys/class/net/*; do echo ${l##*/}; done; cat /sys/class/net/lo/flags";
    assert_eq!(place.script(&[], links).said(), "lo\n0x9\n");
    let host = place.script(&["--network", "host"], "readlink /proc/self/ns/net").said();
    assert_eq!(Path::new(host.trim()), std::fs::read_link("/proc/self/ns/net").unwrap());
    place.assert_nothing_left();
}

#[test]
fn names_variables_directory_and_user_are_as_they_were_given() {
    need_root!();
    let place = Place::new();
    let options = ["--hostname", "box", "-e", "A=b c", "-w", "/new/dir", "-u", "1234:77"];
    let said =
        place.script(&options, "hostname; echo $A; pwd; id -u; id -g; cat /etc/hostname").said();
    assert_eq!(said, "box\nb c\n/new/dir\n1234\n77\nbox\n");
    place.assert_nothing_left();
}

#[test]
fn variables_are_bytes() {
    use std::os::unix::ffi::OsStrExt;
    need_root!();
    let place = Place::new();
    let raw = std::ffi::OsStr::from_bytes;
    let mut command = place.command(&["run", "--rm", "-e"]);
    command.arg(raw(b"GIVEN=\xff\n\xc3")).args(["-e", "INHERITED", "-e"]).arg(raw(b"\xfe=name"));
    command.env("INHERITED", raw(b"\x80=\xff"));
    command.args(["--rootfs", "/", "sh", "-c", "tr '\\0' '\\n' </proc/self/environ"]);
    let output = command.output().unwrap();
    for line in [&b"\nGIVEN=\xff\n\xc3\n"[..], b"\nINHERITED=\x80=\xff\n", b"\n\xfe=name\n"] {
        let found = output.stdout.windows(line.len()).any(|window| window == line);
        assert!(found, "{}: {output:?}", line.escape_ascii());
    }
    place.assert_nothing_left();
}

#[test]
fn a_hostname_is_one_word_of_at_most_64_bytes() {
    need_root!();
    let place = Place::new();
    let long = "h".repeat(65);
    for name in ["a\nb", "a\n127.0.0.1 evil", "a b", "a\tb", "\u{1b}[31m", "\u{85}", &long] {
        let ran = place.script(&["--hostname", name], "hostname");
        let told = format!(
            "layerfs: --hostname `{}`: a host's name has at most 64 bytes, no blanks and no control characters\n",
            name.escape_debug()
        );
        assert_eq!((ran.status, ran.out.as_str(), ran.err), (125, "", told), "{name:?}");
    }
    let name = &long[1..];
    let said = place.script(&["--hostname", name], "hostname; cat /etc/hostname").said();
    assert_eq!(said, format!("{name}\n{name}\n"));
    // As with docker, an empty one is none.
    assert_eq!(place.script(&["--hostname", ""], "hostname").said().trim().len(), 12);
    place.assert_nothing_left();
}

#[test]
fn a_directory_to_start_in_is_made_before_the_root_turns_read_only() {
    need_root!();
    let place = Place::new();
    let said = place.script(&["--read-only", "-w", "/new/dir"], "pwd; touch x 2>&1").out;
    assert_eq!(said, "/new/dir\ntouch: cannot touch 'x': Read-only file system\n");
    // In a volume it is made there, and not below it.
    let data = place.join("data");
    std::fs::create_dir(&data).unwrap();
    let volume = format!("{}:/new", data.display());
    let options = ["--read-only", "-v", &volume, "-w", "/new/dir"];
    assert_eq!(place.script(&options, "pwd; touch x").said(), "/new/dir\n");
    assert!(data.join("dir/x").exists());
    std::fs::remove_dir_all(data).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_copy_of_the_hosts_root_is_all_that_changes() {
    need_root!();
    let place = Place::new();
    let said = place.script(
        &[],
        "rm -rf /usr/share/perl5 /etc/passwd; echo x >/etc/group; ls -d /etc/passwd; ls /dev/shm",
    );
    assert_eq!(said.out, "", "{said:?}");
    assert!(Path::new("/etc/passwd").exists());
    assert_ne!(std::fs::read_to_string("/etc/group").unwrap(), "x\n");
    place.assert_nothing_left();
}

#[test]
fn the_store_is_not_seen_through_a_copy_of_the_hosts_root() {
    need_root!();
    let place = Place::on(Scratch::on_disk());
    let store = place.join("store");
    let ran = place.layerfs(&["run", "--rm", "--rootfs", "/", "ls", store.to_str().unwrap()]);
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(store.join("containers").exists());
    place.assert_nothing_left();
}

#[test]
fn volumes_show_the_host_and_may_be_read_only() {
    need_root!();
    let place = Place::new();
    std::fs::create_dir_all(place.join("data/deep")).unwrap();
    std::fs::write(place.join("file"), "one").unwrap();
    let data = place.join("data").display().to_string();
    let file = format!("{}:/etc/one:ro", place.join("file").display());
    let (write, read) = (format!("{data}:/data"), format!("{data}:/read/only:ro"));
    let script =
        "touch /data/new; touch /read/only/x 2>/dev/null || echo ro; ls /read/only; cat /etc/one";
    let said = place.script(&["-v", &write, "-v", &read, "-v", &file], script).said();
    assert_eq!(said, "ro\ndeep\nnew\none");
    assert!(place.join("data/new").exists());
    place.assert_nothing_left();
}

#[test]
fn a_read_only_root_refuses_changes() {
    need_root!();
    let place = Place::new();
    let said = place
        .script(&["--read-only"], "touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo shm");
    assert_eq!(said.out, "ro\nshm\n", "{said:?}");
    place.assert_nothing_left();
}

#[test]
fn a_root_whose_system_directories_are_links_is_refused_and_the_host_untouched() {
    need_root!();
    need!("cp");
    let place = Place::new();
    for name in ["proc", "sys", "dev"] {
        let root = place.join(format!("root-{name}"));
        let host = place.join("host");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&host).unwrap();
        std::os::unix::fs::symlink(&host, root.join(name)).unwrap();
        let ran = place.layerfs(&["run", "--rm", "--rootfs", root.to_str().unwrap(), "true"]);
        assert_eq!(ran.status, 125, "{ran:?}");
        assert!(ran.err.contains(&format!("`/{name}` in the image is a symbolic link")), "{ran:?}");
        assert_eq!(std::fs::read_dir(&host).unwrap().count(), 0);
    }
    place.assert_nothing_left();
}

#[test]
fn a_debian_image_works_with_its_package_manager_and_python() {
    need_root!();
    let place = Place::new();
    let Some(layout) = fixtures::debian_layout() else { return };
    let source = format!("oci:{}:debian", layout.display());
    assert_eq!(place.layerfs(&["pull", &source, "--name", "debian"]).status, 0);
    // The image was made without its documentation, and with another version in /etc.
    let gone = "/usr/share/doc|/usr/share/common-licenses/GPL-1$|/var/lib/apt/lists/partial$|c /etc/debian_version$";
    let script = format!(
        "dpkg --verify | grep -vE '{gone}'; cat /etc/debian_version; python3 -m compileall -q -l /usr/lib/python3.11 && echo compiled; \
         mkdir -p /var/lib/apt/lists/partial /p/DEBIAN /p/opt; echo installed >/p/opt/x; \
         printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n' >/p/DEBIAN/control; \
         dpkg-deb -b /p /x.deb >/dev/null && apt-get install -qq -y /x.deb >/dev/null 2>&1; cat /opt/x"
    );
    let said = place.layerfs(&["run", "--rm", "debian", "sh", "-c", &script]);
    assert_eq!(
        (said.status, said.out.as_str()),
        (0, "12.15\nchanged\ncompiled\ninstalled\n"),
        "{said:?}"
    );
    place.assert_nothing_left();
}

/// On most machines every mount is shared, and a copy of one would be, too.
#[test]
fn mounts_of_a_volume_do_not_show_on_the_other_side() {
    need_root!();
    need!("unshare");
    let place = Place::new();
    let script = "set -e; v=$1; users=$2; mount --bind $v $v; mount --make-shared $v
        $LAYERFS run --rm --userns $users --cap-add SYS_ADMIN -v $v:/v --rootfs / sh -c '
            grep -c shared: /proc/self/mountinfo; mount -t tmpfs t /v/inside && echo mounted; touch /v/ready
            until test -e /v/go; do sleep 0.05; done; grep -c /v/outside /proc/self/mountinfo; true' >$v/said &
        until test -e $v/ready; do kill -0 $!; sleep 0.05; done
        grep -c $v/inside /proc/self/mountinfo || true
        mount -t tmpfs t $v/outside; touch $v/go; wait $!; cat $v/said";
    for users in ["auto", "host"] {
        let volume = place.join(users);
        for name in ["inside", "outside"] {
            std::fs::create_dir_all(volume.join(name)).unwrap();
        }
        let mut shell = std::process::Command::new("unshare");
        shell.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
        shell.arg(&volume).arg(users).env("LAYERFS", env!("CARGO_BIN_EXE_layerfs"));
        shell.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
        assert_eq!(ran(shell.output().unwrap()).said(), "0\n0\nmounted\n0\n", "{users}");
        std::fs::remove_dir_all(&volume).unwrap();
    }
    place.assert_nothing_left();
}

/// They lie on no disk of the host's.
#[test]
fn what_is_written_into_its_own_files_has_little_room_and_none_where_it_is_read_only() {
    need_root!();
    let place = Place::new();
    let files = "/etc/hosts /etc/hostname";
    for users in ["auto", "host"] {
        let users = ["--userns", users];
        let script = format!(
            "for file in {files}; do head -c 100 /dev/zero >>$file && echo fits; done; cp /etc/hosts /tmp/before
             for file in {files}; do head -c 20000000 /dev/zero >>$file || echo full; done 2>/dev/null
             cat {files} | wc -c | (read -r n; [ $n -le 2000000 ] && echo bounded); cat /tmp/before >/etc/hosts && echo again"
        );
        let ran = place.script(&users, &script);
        assert_eq!(ran.out, "fits\nfits\nfull\nfull\nbounded\nagain\n", "{ran:?}");
        let script =
            format!("for file in {files}; do (echo x >>$file) 2>/dev/null || echo refused; done");
        let ran = place.script(&[&users[..], &["--read-only"]].concat(), &script);
        assert_eq!(ran.out, "refused\nrefused\n", "{ran:?}");
        // It begins anew each time.
        let words =
            [&["create", "--name", "box"], &users[..], &["--rootfs", "/", "sh", "-c"]].concat();
        let script = "grep -c forged /etc/hosts; echo forged >>/etc/hosts";
        place.layerfs(&[&words[..], &[script]].concat()).said();
        for _ in 0..2 {
            assert_eq!(place.layerfs(&["start", "-a", "box"]).out, "0\n");
        }
        place.layerfs(&["rm", "box"]).said();
    }
    place.assert_nothing_left();
}
