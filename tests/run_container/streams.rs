//! A container's standard streams belong to its user; the caller's, which they stand for, to whom they belonged.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use crate::hostile::Root;
use crate::place::{Place, ran};
use crate::support::need_root;

/// Opens each stream by its name, as programs do that are told to write a log to /dev/stdout.
const OPENED: &str = "id -u; read line </dev/stdin; echo $line; echo one >/dev/stdout; echo two >/proc/self/fd/1; \
                      echo three >/dev/stderr; echo four >/proc/self/fd/2";

#[test]
fn files_as_streams_are_opened_again_by_a_user_who_is_not_root() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    std::fs::write(root.path.join("etc/passwd"), "eve:x:1000:1000::/:/bin/sh\n").unwrap();
    let [given, output, error] = ["given", "output", "error"].map(|name| place.join(name));
    for (user, number) in [("1000", "1000"), ("eve", "1000"), ("77:88", "77"), ("0", "0")] {
        std::fs::write(&given, "line\nanother\n").unwrap();
        let (to, of) = (root.path.to_str().unwrap(), "/usr:/usr:ro");
        let words = ["run", "--rm", "-i", "-u", user, "-v", of, "--rootfs", to, "sh", "-c", OPENED];
        let mut command = place.command(&words);
        command.stdin(std::fs::File::open(&given).unwrap());
        command.stdout(std::fs::File::create(&output).unwrap());
        command.stderr(std::fs::File::create(&error).unwrap());
        let status = command.status().unwrap();
        let said = [&output, &error].map(|path| std::fs::read_to_string(path).unwrap());
        assert!(status.success(), "{user}: {said:?}");
        assert_eq!(said, [format!("{number}\nline\none\ntwo\n"), "three\nfour\n".into()], "{user}");
        for path in [&given, &output, &error] {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(std::fs::metadata(path).unwrap().uid(), 0, "{}", path.display());
        }
    }
    for path in [given, output, error] {
        std::fs::remove_file(path).unwrap();
    }
    place.assert_nothing_left();
}

#[test]
fn a_terminal_is_opened_again_by_a_user_who_is_not_root() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let script = "tty; stat -c '%u:%g %a' /dev/pts/0; for name in stdout stderr pts/0 tty console; do \
                  echo $name >/dev/$name; done; test -t 0 </dev/tty && echo in";
    let opened = "stdout\nstderr\npts/0\ntty\nconsole\nin\n";
    for (user, owner) in [("1000", "1000:5 620"), ("77:88", "77:5 620"), ("0", "0:5 620")] {
        let said = root.script(&place, &["-t", "-u", user], script).said().replace('\r', "");
        assert_eq!(said, format!("/dev/pts/0\n{owner}\n{opened}"), "{user}");
    }
    place.assert_nothing_left();
}

#[test]
fn streams_of_the_callers_keep_their_owner_and_are_opened_by_a_user_who_is_not_root() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let to = root.path.to_str().unwrap();
    for user in ["1000", "0"] {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (mut ours, its) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.write_all(b"line\n").unwrap();
        let of = "/usr:/usr:ro";
        let words = ["run", "--rm", "-i", "-u", user, "-v", of, "--rootfs", to, "sh", "-c", OPENED];
        let mut command = place.command(&words);
        command.stdin(its.as_fd().try_clone_to_owned().unwrap());
        command.stdout(write.as_fd().try_clone_to_owned().unwrap());
        let run = ran(command.output().unwrap());
        assert_eq!((run.status, run.err.as_str()), (0, "three\nfour\n"), "{user}");
        drop(command);
        for end in [read.as_fd(), write.as_fd(), ours.as_fd(), its.as_fd()] {
            assert_eq!(rustix::fs::fstat(end).unwrap().st_uid, 0);
        }
        drop(write);
        let mut said = String::new();
        std::fs::File::from(read).read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("{user}\nline\none\ntwo\n"));
    }
    place.assert_nothing_left();
}
