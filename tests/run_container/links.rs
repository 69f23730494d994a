//! Links of an image where a container has something put: they are resolved inside it, what is missing there is made,
//! and none of them leads onto what the container has of the kernel.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::hostile::Root;
use crate::place::Place;
use crate::planted::{plant_canary, seen};
use crate::support::{Scratch, need_root};

/// What the devices and masks of a container are, whatever its image holds. The last is how many mounts of what lies in this
/// test's own directory, volumes and files made for the container, stand on one of the kernel's places.
const KERNELS: &str = "stat -c %t:%T /dev/null; readlink /proc/self/fd/0; echo lost >/dev/null; cat /dev/null; \
                       cat /proc/keys | wc -c; ls -A /sys/firmware | wc -l; cat /proc/self/comm; \
                       grep -cE ' [^ ]*/layerfs-test-[^ ]* /(proc|sys|dev)(/[^ ]*)? ' /proc/self/mountinfo";

const KERNELS_ARE: &str = "1:3\n/dev/null\n0\n0\ncat\n0\n";

fn link(root: &Root, name: &str, target: &str) {
    let path = root.path.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn a_link_of_the_image_puts_no_file_on_a_device() {
    need_root!();
    let place = Place::new();
    for (number, target) in
        ["/dev/null", "../dev/null", "/a", "/proc/keys", "/sys/firmware/x"].into_iter().enumerate()
    {
        let root = Root::new(&place, &format!("root-{number}"));
        for name in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
            link(&root, name, target);
        }
        link(&root, "a", "b/null");
        link(&root, "b", "dev");
        let script =
            format!("{KERNELS}; cat /etc/hostname; grep -q localhost /etc/hosts && echo 1");
        let options = ["--hostname", "box", "--network", "host"];
        let said = root.script(&place, &options, &script).said();
        assert_eq!(said, format!("{KERNELS_ARE}box\n1\n"), "{target}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_directory_that_is_a_link_into_the_kernels_is_refused() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    std::fs::remove_dir(root.path.join("etc")).unwrap();
    link(&root, "etc", "dev");
    let ran = root.script(&place, &[], "true");
    let told = "layerfs: `/etc` leads by a link, of the image or of a volume, to the container's own /dev; name another \
                place, or take the link away\n";
    assert_eq!((ran.status, ran.err.as_str()), (125, told));
    place.assert_nothing_left();
}

#[test]
fn a_link_of_the_image_puts_no_volume_on_what_is_the_kernels() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let (dir, file) = (place.join("dir"), place.join("file"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&file, "of the host\n").unwrap();
    for (name, target) in [
        ("proc-link", "/proc"),
        ("sys-link", "../../sys"),
        ("dev-link", "dev"),
        ("keys", "/proc/keys"),
        ("firmware", "/sys/firmware"),
        ("null", "dev/null"),
        ("shm", "/dev/shm"),
        ("chain", "proc-link/bus"),
        ("root-link", "/"),
        ("up", "../.."),
    ] {
        link(&root, name, target);
    }
    for (target, into) in [
        ("/proc-link", "/proc"),
        ("/sys-link", "/sys"),
        ("/dev-link", "/dev"),
        ("/keys", "/proc"),
        ("/firmware", "/sys"),
        ("/null", "/dev"),
        ("/shm/x", "/dev"),
        ("/chain", "/proc"),
        ("/proc-link/self/attr", "/proc"),
        ("/root-link", "/"),
        ("/up", "/"),
    ] {
        for source in [&dir, &file] {
            let volume = format!("{}:{target}", source.display());
            let ran = root.script(&place, &["-v", &volume], "true");
            let told = format!(
                "layerfs: `{target}` leads by a link, of the image or of a volume, to the container's own {into}; name another \
                 place, or take the link away\n"
            );
            assert_eq!((ran.status, ran.err), (125, told), "{volume}");
        }
    }
    // Who writes such a place means it.
    let shared = format!("{}:/dev/shm/x", dir.display());
    let script = format!("{KERNELS}; touch /dev/shm/x/made");
    let with_one = format!("{}1\n", KERNELS_ARE.strip_suffix("0\n").unwrap());
    assert_eq!(root.script(&place, &["-v", &shared], &script).said(), with_one);
    assert!(dir.join("made").exists());
    // A way that only leads past the root is one like any other.
    link(&root, "data", "../../../srv/./x/../data");
    let volume = format!("{}:/data", dir.display());
    assert_eq!(root.script(&place, &["-v", &volume], "ls /srv/data").said(), "made\n");
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::remove_file(&file).unwrap();
    place.assert_nothing_left();
}

#[test]
fn what_a_dangling_link_leads_to_is_made_inside_the_container() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let canary = place.join("canary");
    link(&root, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    link(&root, "etc/hosts", canary.to_str().unwrap());
    link(&root, "srv/data", "../../../../../../new/one");
    link(&root, "srv/file", "/new/two/file");
    link(&root, "work", "/new/three/../four/work");
    let (dir, file) = (place.join("dir"), place.join("file"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("seen"), "").unwrap();
    std::fs::write(&file, "of the host\n").unwrap();
    let (on_dir, on_file) =
        (format!("{}:/srv/data/deep", dir.display()), format!("{}:/srv/file", file.display()));
    let script = "ls /new/one/deep; cat /new/two/file; pwd -P; grep -q localhost /etc/hosts && echo 1; cat /etc/resolv.conf";
    let options = ["--network", "host", "-v", &on_dir, "-v", &on_file, "-w", "/work/x"];
    let said = root.script(&place, &options, script).said();
    let hosts = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert!(said.starts_with("seen\nof the host\n/new/four/work/x\n"), "{said}");
    assert!(said.ends_with(&hosts), "{said}");
    assert!(!canary.exists() && !Path::new("/new").exists() && !root.path.join("new").exists());
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::remove_file(&file).unwrap();
    place.assert_nothing_left();
}

#[test]
fn links_that_lead_in_a_circle_are_told() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    link(&root, "loop", "loop/x");
    link(&root, "one", "two");
    link(&root, "two", "/srv/../one");
    std::fs::create_dir(root.path.join("srv")).unwrap();
    let dir = place.join("dir");
    std::fs::create_dir(&dir).unwrap();
    let on = |target: &str| format!("{}:{target}", dir.display());
    for (word, target) in [("-v", "/loop"), ("-v", "/one/x"), ("-w", "/two"), ("-w", "/loop/x")] {
        let value = if word == "-v" { on(target) } else { target.into() };
        let ran = root.script(&place, &[word, &value], "true");
        let told = format!(
            "layerfs: `{target}` in the image is more than 40 links after one another, or a circle of them\n"
        );
        assert_eq!((ran.status, ran.err), (125, told), "{word}");
    }
    // Forty are taken.
    for number in 0..40 {
        link(&root, &format!("l{number}"), &format!("l{}", number + 1));
    }
    assert_eq!(root.script(&place, &["-v", &on("/l0")], "ls -d l40").said(), "l40\n");
    assert_eq!(root.script(&place, &["-v", &on("/l1")], "ls -d l40").said(), "l40\n");
    std::fs::remove_dir(&dir).unwrap();
    place.assert_nothing_left();
}

#[test]
fn an_image_without_etc_has_its_names() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    std::fs::remove_dir(root.path.join("etc")).unwrap();
    let said = root.script(&place, &["--hostname", "box"], "cat /etc/hostname; ls /etc").said();
    assert_eq!(said, "box\nhostname\nhosts\n");
    place.assert_nothing_left();
}

#[test]
fn a_link_that_leads_too_deep_is_told() {
    need_root!();
    let place = Place::new();
    let root = Root::new(&place, "root");
    let dir = place.join("dir");
    std::fs::create_dir(&dir).unwrap();
    let deep = |depth: usize| vec!["d"; depth].join("/");
    link(&root, "too-deep", &deep(2_000));
    link(&root, "deep", &deep(512));
    // It comes up again.
    link(&root, "wide", &format!("{}d", "d/../".repeat(800)));
    let run = |target: &str| {
        let (tree, volume) = (root.path.to_str().unwrap(), format!("{}:{target}", dir.display()));
        let tail = ["-v", &volume, "-v", "/usr:/usr:ro", "--rootfs", tree, "true"];
        let run = place.command(&[&["run", "--rm"], &tail[..]].concat());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -n 1024; exec \"$@\"", "sh"]);
        command.arg(run.get_program()).args(run.get_args()).stdin(std::process::Stdio::null());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        crate::place::ran(command.output().unwrap())
    };
    let told = "layerfs: `/too-deep` in the image leads through more than 512 directories in one another; \
                name another place\n";
    let ran = run("/too-deep");
    assert_eq!((ran.status, ran.err.as_str()), (125, told));
    assert_eq!(run("/deep").said(), "");
    assert_eq!(run("/wide").said(), "");
    std::fs::remove_dir(&dir).unwrap();
    place.assert_nothing_left();
}

/// Starts a container whose volume at `at` has links to the canary, by `lead`; the canary and the links stay as they are.
fn with_links(
    place: &Place,
    (canary, lead): (&Path, &str),
    at: &str,
    options: &[&str],
    names: &[&str],
) {
    const SCRIPT: &str = "test ! -e deep/file && test ! -e /data/x/deep/file && test ! -e /etc/x/deep/file && \
        ! grep -qs 4242 /etc/passwd /etc/hosts /etc/hostname /etc/resolv.conf && \
        ! grep -E '/layerfs-test-[^ ]*/(dir|file)[^ ]* /' /proc/self/mountinfo && echo ran";
    let root = Root { path: place.join("root") };
    let volume = place.join("volume");
    std::fs::create_dir(&volume).unwrap();
    let below = canary.strip_prefix("/").unwrap();
    let to = |target: &str| Path::new(lead).join(below).join(target);
    for name in names {
        let target = match *name {
            "x" => "dir",
            "hostname" => "none",
            "group" => "dir/none",
            _ => "file",
        };
        symlink(to(target), volume.join(name)).unwrap();
    }
    let before = seen(canary);
    let whole = format!("{}:{at}", volume.display());
    let common = ["--network", "host", "-v", &whole];
    let ran = root.script(place, &[&common[..], options].concat(), SCRIPT);
    let case = format!("{lead} {at} {options:?}: {ran:?}");
    assert!(seen(canary) == before, "{case}");
    // A link where the container has a file of its own may give way to it, as one of an image does.
    let stays = |name: &&&str| !["hosts", "hostname", "resolv.conf"].contains(name);
    for name in names.iter().filter(stays) {
        assert!(volume.join(name).is_symlink(), "{name} was replaced, {case}");
    }
    if ran.status == 0 {
        assert_eq!(ran.out, "ran\n", "{case}");
    } else {
        let is_told = ran.status == 125 && ran.err.lines().count() == 1;
        assert!(is_told && ran.out.is_empty(), "{case}");
    }
    std::fs::remove_dir_all(&volume).unwrap();
}

/// A volume is written by whoever shares it, another container among them.
#[test]
fn links_of_a_volume_lead_nowhere_on_the_host() {
    need_root!();
    let place = Place::new();
    let disk = Scratch::on_disk();
    let canary = disk.path();
    plant_canary(canary);
    Root::new(&place, "root");
    // Found there it need not be made, which would be seen.
    std::fs::create_dir(canary.join("dir/y")).unwrap();
    let source = place.join("source");
    std::fs::create_dir(&source).unwrap();
    let leads = ["/", "../../../../../..", "/proc/self/root", "/proc/1/root", "/proc/self/cwd"];
    for (n, lead) in leads.into_iter().chain(["/proc/self/fd/3/../../.."]).enumerate() {
        let users = ["--userns", ["auto", "host"][n % 2]];
        for at in ["/data", "/etc"] {
            let on = format!("{}:{at}/x/y", source.display());
            let (memory, work) = (format!("{at}/x/t"), format!("{at}/x"));
            for words in [["-v", &on], ["--tmpfs", &memory], ["-w", &work]] {
                let options = [users, words].concat();
                with_links(&place, (canary, lead), at, &options, &["x"]);
            }
        }
        let made = ["hosts", "hostname", "resolv.conf"];
        with_links(&place, (canary, lead), "/etc", &users, &made);
        let lists = [&users[..], &["-u", "eve"]].concat();
        with_links(&place, (canary, lead), "/etc", &lists, &["passwd"]);
        with_links(&place, (canary, lead), "/etc", &users, &["group"]);
    }
    std::fs::remove_dir_all(&source).unwrap();
    place.assert_nothing_left();
}
