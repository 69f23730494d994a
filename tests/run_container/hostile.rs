//! Images, words and streams that mean harm: each is refused or harmless, and the host stays as it was.

use std::io::BufRead;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::place::{Place, Ran};
use crate::support::need_root;

/// A root file system of a few names; its programs are the host's, shown by a volume.
pub struct Root {
    pub path: PathBuf,
}

impl Root {
    pub fn new(place: &Place, name: &str) -> Root {
        let path = place.join(name);
        std::fs::create_dir_all(path.join("usr")).unwrap();
        std::fs::create_dir_all(path.join("etc")).unwrap();
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(Path::new("usr").join(name), path.join(name)).unwrap();
        }
        Root { path }
    }

    /// A shell script in a throwaway container on it.
    pub fn script(&self, place: &Place, options: &[&str], script: &str) -> Ran {
        let root = self.path.to_str().unwrap();
        let tail = ["-v", "/usr:/usr:ro", "--rootfs", root, "/bin/sh", "-c", script];
        place.layerfs(&[&["run", "--rm"], options, &tail].concat())
    }
}

#[test]
fn an_id_that_means_no_change_is_refused() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    std::fs::write(
        root.path.join("etc/passwd"),
        "eve:x:4294967295:5::/:/bin/sh\nmallory:x:5:4294967295::/:\n",
    )
    .unwrap();
    std::fs::write(root.path.join("etc/group"), "wide:x:4294967295:\nhigh:x:2147483648:root\n")
        .unwrap();
    for user in [
        "4294967295",
        "1000:4294967295",
        "eve",
        "mallory",
        "1000:wide",
        "2147483648",
        "99999999999",
        "root",
    ] {
        let ran = root.script(&place, &["-u", user], "id");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{user}: {ran:?}");
    }
    let ran = root.script(&place, &["-u", "1000:4294967295"], "id");
    let told = "layerfs: `4294967295` is no number of a user or a group: they end at 2147483647\n";
    assert_eq!(ran.err, told);
    // A container's own users are 65,536.
    let greatest = ["--userns", "host", "-u", "2147483647:2147483647"];
    let greatest = root.script(&place, &greatest, "id -u; id -g").said();
    assert_eq!(greatest, "2147483647\n2147483647\n");
    place.assert_nothing_left();
}

/// Words and lists may be long; what is said of them is one line of at most 4 KiB, and a kept container keeps it.
#[test]
fn a_reason_is_told_however_long_the_words_are() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let tree = root.path.to_str().unwrap();
    std::fs::write(root.path.join("etc/passwd"), "eve:x:1000:1000::/:/bin/sh\n").unwrap();
    let groups = |count: u32| {
        let lines: String = (1..=count).map(|id| format!("g{id}:x:{id}:eve\n")).collect();
        std::fs::write(root.path.join("etc/group"), lines).unwrap();
    };
    let refused = |options: &[&str]| {
        let words = [&["run", "--name", "told"], options, &["--rootfs", tree, "true"]].concat();
        let ran = place.layerfs(&words);
        assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.len() <= 4_200, "{} bytes", ran.err.len());
        ran.err
    };
    groups(70_000);
    let told = "layerfs: user `eve` is in 70000 groups of the image's /etc/group, and the kernel takes 65536\n";
    assert_eq!(refused(&["-u", "eve"]), told);
    let long = format!("/{}", "é/".repeat(40_000));
    for option in ["-w", "-u"] {
        assert!(refused(&[option, &long]).contains("é/é/"), "{option}");
    }
    let long = "g".repeat(120_000);
    assert!(refused(&["-u", &format!("eve:{long}")]).starts_with("layerfs: group `ggg"));
    groups(65_536);
    // The last of them has a number that a container's own users have not.
    let eve = ["--userns", "host", "-u", "eve"];
    assert_eq!(root.script(&place, &eve, "id -G | wc -w").said().trim(), "65536");
    place.assert_nothing_left();
}

#[test]
fn a_file_that_is_a_stream_can_not_be_opened_again() {
    need_root!();
    let place = Place::new();
    let (given, log) = (place.join("given"), place.join("log"));
    let text = "line\n".repeat(1_000);
    std::fs::write(&given, &text).unwrap();
    std::fs::write(&log, "before\n").unwrap();
    let script = "echo hacked >/proc/self/fd/0; echo 2>/dev/null >/proc/self/fd/1/../x; cat | wc -c; cat; \
                  readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 | cut -d: -f1; \
                  : >/dev/stdout; echo one; echo two >&2; echo three; exit 5";
    let output = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    let mut command = place.command(&["run", "--rm", "-i", "--rootfs", "/", "sh", "-c", script]);
    command.stdin(std::fs::File::open(&given).unwrap());
    command.stderr(output.try_clone().unwrap()).stdout(output);
    assert_eq!(command.status().unwrap().code(), Some(5));
    drop(command);
    assert!(std::fs::read_to_string(&given).unwrap() == text, "the host's file was changed");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.starts_with("before\n"), "{said}");
    assert!(said.contains("\n5007\npipe\npipe\npipe\none\ntwo\nthree\n"), "{said}");
    // More than a pipe holds.
    std::fs::write(&given, "line\n".repeat(100_000)).unwrap();
    let mut command = place.command(&["run", "--rm", "-i", "--rootfs", "/", "cat"]);
    command.stdin(std::fs::File::open(&given).unwrap());
    command.stdout(std::fs::File::create(&log).unwrap());
    assert!(command.status().unwrap().success());
    drop(command);
    assert!(std::fs::read(&given).unwrap() == std::fs::read(&log).unwrap(), "bytes were lost");
    for name in [given, log] {
        std::fs::remove_file(name).unwrap();
    }
    place.assert_nothing_left();
}

#[test]
fn a_directory_is_no_stream() {
    need_root!();
    let place = Place::new();
    for stream in ["0", "1", "2"] {
        let run = format!(
            "exec {} run --rm -i --rootfs / ls /proc/self/fd/{stream}/.. {stream}</root",
            env!("CARGO_BIN_EXE_layerfs")
        );
        let mut command = place.command(&[]);
        let environment: Vec<_> =
            command.get_envs().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
        command = std::process::Command::new("sh");
        let output = command.args(["-c", &run]).envs(environment).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{stream}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            stream == "2" || told.contains("is a directory: a container could leave by it"),
            "{told}"
        );
    }
    place.assert_nothing_left();
}

/// A process of the host that was given an end of a carried pipe keeps nobody waiting.
#[test]
fn a_pipe_that_leaves_the_container_does_not_keep_it() {
    need_root!();
    let place = Place::new();
    let shared = place.join("shared");
    std::fs::create_dir(&shared).unwrap();
    let at = shared.join("socket");
    // Holds what it gets for as long as its own standard input is open.
    let holds = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); \
                 print('listening', flush=True); held = socket.recv_fds(s.accept()[0], 1, 1); sys.stdin.read()";
    let mut holder = std::process::Command::new("python3");
    holder.args(["-c", holds]).arg(&at).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    std::io::BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let gives = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/shared/socket'); \
                 socket.send_fds(s, [b'x'], [1]); print('given')";
    let volume = format!("{}:/shared", shared.display());
    let words = ["run", "--rm", "-v", &volume, "--rootfs", "/", "python3", "-c", gives];
    let mut command = place.command(&words);
    command.stdout(std::fs::File::create(shared.join("said")).unwrap());
    assert!(command.status().unwrap().success());
    drop(command);
    assert_eq!(std::fs::read_to_string(shared.join("said")).unwrap(), "given\n");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    std::fs::remove_dir_all(&shared).unwrap();
    place.assert_nothing_left();
}
