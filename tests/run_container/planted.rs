//! Images that have something else at each place where a container is made: links that would lead to the host, fifos,
//! devices, files without end. Each case is a working container or one line that says why not, soon, and the host stays
//! as it was.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::hostile::Root;
use crate::place::{Place, ran};
use crate::support::{Scratch, need, need_root};

/// What one case may take.
const WITHIN: Duration = Duration::from_secs(15);

/// Where something is planted.
const PLACES: [&str; 12] = [
    "dev",
    "proc",
    "sys",
    "etc",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/passwd",
    "etc/group",
    "data",
    "one",
    "work",
];

/// What is planted.
#[derive(Clone, Copy, Debug)]
enum Planted {
    /// A link to a place of the host's.
    Link(&'static str),
    /// The same, by more `..` than there are directories.
    Up(&'static str),
    /// A link to a place that is none of the host's.
    To(&'static str),
    Fifo,
    /// Character devices: the one that is always full of bytes, the kernel's log.
    Device(u32, u32),
    Directory,
    File,
    /// 64 MiB of lines, or of nothing.
    Lines,
    Hole,
}

const ALL: [Planted; 16] = [
    Planted::Link("dir"),
    Planted::Link("file"),
    Planted::Link("none"),
    Planted::Up("dir"),
    Planted::Up("file"),
    Planted::Up("none"),
    Planted::To("/proc/kmsg"),
    Planted::To("/proc/self/fd/0"),
    Planted::To("/planted-loop"),
    Planted::Fifo,
    Planted::Device(1, 5),
    Planted::Device(1, 11),
    Planted::Directory,
    Planted::File,
    Planted::Lines,
    Planted::Hole,
];

impl Planted {
    fn plant(self, at: &Path, canary: &Path) {
        let special = |kind, device| mknodat(CWD, at, kind, Mode::RWXU, device).unwrap();
        match self {
            Planted::Link(name) => symlink(canary.join(name), at).unwrap(),
            Planted::Up(name) => {
                let below = canary.strip_prefix("/").unwrap().join(name);
                symlink(PathBuf::from("../".repeat(40)).join(below), at).unwrap();
            }
            Planted::To(target) => symlink(target, at).unwrap(),
            Planted::Fifo => special(FileType::Fifo, 0),
            Planted::Device(major, minor) => {
                special(FileType::CharacterDevice, makedev(major, minor));
            }
            Planted::Directory => std::fs::create_dir(at).unwrap(),
            Planted::File => std::fs::write(at, "").unwrap(),
            Planted::Lines => {
                let mut file = File::create(at).unwrap();
                let lines = "eve:x:1000:1000::/home/eve:/bin/sh\n".repeat(30_000);
                for _ in 0..64 {
                    file.write_all(lines.as_bytes()).unwrap();
                }
            }
            Planted::Hole => File::create(at).unwrap().set_len(64 << 20).unwrap(),
        }
    }
}

/// What a working container comes of.
fn runs(at: &str, planted: Planted) -> bool {
    use Planted::{Directory, File, Link, To, Up};
    match at {
        "dev" | "proc" | "sys" => matches!(planted, Directory),
        "etc/passwd" | "etc/group" => matches!(planted, Link(_) | Up(_) | File),
        "etc" | "data" | "work" => matches!(planted, Link(_) | Up(_) | Directory),
        "one" => !matches!(planted, Directory | To(_)),
        _ => !matches!(planted, Directory),
    }
}

/// What of the host's must stay: a directory with a file, a file, a name that is free.
pub fn plant_canary(canary: &Path) {
    std::fs::create_dir_all(canary.join("dir/deep")).unwrap();
    std::fs::write(canary.join("dir/deep/file"), "of the host").unwrap();
    std::fs::write(canary.join("file"), "eve:x:4242:4242::/:/bin/sh\n").unwrap();
}

/// Every name below, with all that a change of it would change.
pub fn seen(dir: &Path) -> Vec<(PathBuf, u64, u32, u32, i64, Vec<u8>)> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let stat = name.symlink_metadata().unwrap();
        let bytes = if stat.is_file() { std::fs::read(&name).unwrap() } else { Vec::new() };
        let below = if stat.is_dir() { seen(&name) } else { Vec::new() };
        all.push((name, stat.ino(), stat.mode(), stat.uid(), stat.ctime_nsec(), bytes));
        all.extend(below);
    }
    all
}

/// Runs one case; answers what came of it: `ran`, or the line.
fn case(place: &Place, (at, planted): (&str, Planted), canary: &Path) -> String {
    let root = Root::new(place, "planted");
    std::fs::write(root.path.join("etc/passwd"), "eve:x:1000:1000::/:/bin/sh\n").unwrap();
    symlink("planted-loop", root.path.join("planted-loop")).unwrap();
    let here = root.path.join(at);
    if here.is_dir() {
        std::fs::remove_dir_all(&here).unwrap();
    } else if here.exists() {
        std::fs::remove_file(&here).unwrap();
    }
    planted.plant(&here, canary);
    let (volume, file) = (place.join("volume"), place.join("of-host"));
    let on = |source: &Path, target: &str| format!("{}:{target}", source.display());
    let (on_dir, within, on_file) =
        (on(&volume, "/data"), on(&file, "/data/file"), on(&file, "/one"));
    let volumes = ["-v", &on_dir, "-v", &within, "-v", &on_file];
    let options = [&volumes[..], &["-w", "/work", "--network", "host", "-u", "1000"]].concat();
    let begun = Instant::now();
    let ran = root.script(place, &options, "echo ran");
    let took = begun.elapsed();
    assert!(took < WITHIN, "{at} {planted:?} took {took:?}");
    std::fs::remove_dir_all(&root.path).unwrap();
    if ran.status == 0 {
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("ran\n", ""), "{at} {planted:?}");
        return "ran".into();
    }
    assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{at} {planted:?}: {ran:?}");
    let is_line = ran.err.ends_with('\n') && ran.err.lines().count() == 1 && ran.err.len() < 400;
    assert!(is_line, "{at} {planted:?}: {ran:?}");
    let told = ran.err.trim_end().strip_prefix("layerfs: ");
    told.expect("a line that says whose it is").to_owned()
}

#[test]
fn what_is_planted_in_an_image_is_harmless_or_told() {
    need_root!();
    let place = Place::new();
    // Not below /dev, where links are refused that would be harmless.
    let on_disk = Scratch::on_disk();
    let canary = on_disk.path();
    plant_canary(canary);
    std::fs::create_dir(place.join("volume")).unwrap();
    std::fs::write(place.join("volume/file"), "").unwrap();
    std::fs::write(place.join("of-host"), "of the host\n").unwrap();
    let before = seen(canary);
    for at in PLACES {
        for planted in ALL {
            let came = case(&place, (at, planted), canary);
            assert_eq!(came == "ran", runs(at, planted), "{at} {planted:?}: {came}");
            assert!(seen(canary) == before, "{at} {planted:?} changed the host");
        }
    }
    place.assert_nothing_left();
}

#[test]
fn lists_of_users_are_read_of_regular_files_only() {
    need_root!();
    let place = Place::new();
    for (number, (target, is)) in [
        ("/proc/kmsg", "a file of the kernel's"),
        ("/proc/self/environ", "a file of the kernel's"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "a file of the kernel's"),
        ("/dev/zero", "a device"),
        ("/dev/pts/ptmx", "a device"),
        ("/fifo", "a fifo"),
        ("/proc", "a directory"),
    ]
    .into_iter()
    .enumerate()
    {
        for list in ["passwd", "group"] {
            let root = Root::new(&place, &format!("{list}-{number}"));
            symlink(target, root.path.join("etc").join(list)).unwrap();
            Planted::Fifo.plant(&root.path.join("fifo"), Path::new("/"));
            let ran = root.script(&place, &["-u", "1000"], "true");
            let told = format!(
                "layerfs: `/etc/{list}` in the image is {is}, and a container needs a regular file there\n"
            );
            assert_eq!((ran.status, ran.err), (125, told), "{target}");
        }
    }
    // A file of the host's lies in another file system, and is one.
    let root = Root::new(&place, "root");
    let file = place.join("passwd");
    std::fs::write(&file, "eve:x:4242:4243::/:/bin/sh\n").unwrap();
    let volume = format!("{}:/etc/passwd:ro", file.display());
    let said = root.script(&place, &["-v", &volume, "-u", "eve"], "id -u; id -g").said();
    assert_eq!(said, "4242\n4243\n");
    std::fs::remove_file(file).unwrap();
    place.assert_nothing_left();
}

/// File systems that hosts have mounted below `/sys` and `/proc`, for volumes to lead into.
const KERNELS: [&str; 9] = [
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "configfs",
    "efivarfs",
    "binfmt_misc",
    "mqueue",
    "hugetlbfs",
];

/// The first file of a new mount of `$1` on `$2` stands where the list of users is looked for.
const SHOWN: &str = "mount -t $1 none $2 || exit 77; touch $2/made 2>/dev/null; file=$(find $2 -maxdepth 1 -type f | head -n 1); \
                     test -n \"$file\" || exit 77; shift 2; exec \"$@\" -v $file:/etc/passwd --rootfs / true";

#[test]
fn a_list_of_users_is_no_file_of_any_of_the_kernels_file_systems() {
    need_root!();
    need!("unshare");
    let place = Place::new();
    let at = place.join("at");
    std::fs::create_dir(&at).unwrap();
    let mut shown = Vec::new();
    for kind in KERNELS {
        // None of these can be shown with ids of users of its own.
        let run = place.command(&["run", "--rm", "--userns", "host", "-u", "1000"]);
        let mut command = Command::new("unshare");
        command.args(["-m", "-i", "sh", "-c", SHOWN, "sh", kind]).arg(&at);
        command.arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = ran(command.output().unwrap());
        if ran.status == 77 {
            eprintln!("{kind}: this kernel has none, or no file in it");
            continue;
        }
        let told = "layerfs: `/etc/passwd` in the image is a file of the kernel's, and a container needs a regular file there\n";
        assert_eq!((ran.status, ran.err.as_str()), (125, told), "{kind}");
        shown.push(kind);
    }
    assert!(shown.len() > 1, "{shown:?}");
    std::fs::remove_dir(at).unwrap();
    place.assert_nothing_left();
}
