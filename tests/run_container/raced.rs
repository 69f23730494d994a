//! Names that change under whoever uses them: while containers start, and while files are copied, somebody exchanges a
//! directory with a link that leads to the host. Whatever is found at each moment, the host stays as it was and nothing
//! of it is seen.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::hostile::Root;
use crate::place::{Place, Ran, ran};
use crate::planted::{plant_canary, seen};
use crate::support::{Scratch, machine, need, need_root, soak_factor};

/// Runs `test` while two names are exchanged over and over; answers how often they were.
fn exchanging(one: &Path, other: &Path, test: impl FnOnce()) -> u64 {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let exchanged = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                count += 1;
                std::thread::yield_now();
            }
            count
        });
        // A test that fails must not leave the other waiting.
        let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        is_over.store(true, Ordering::Relaxed);
        let count = exchanged.join().unwrap();
        came.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        count
    })
}

/// What links lead to: the canary's directory, said in all ways.
fn links(canary: &Path) -> [PathBuf; 4] {
    let dir = canary.join("dir");
    let below = dir.strip_prefix("/").unwrap();
    [
        dir.clone(),
        Path::new(&"../".repeat(40)).join(below),
        Path::new("/proc/1/root").join(below),
        Path::new("/proc/self/root").join(below),
    ]
}

/// A container that started and said `said`, or one line and a status of its own.
fn assert_held(ran: &Ran, said: &str, case: &str) {
    if ran.status == 0 {
        assert_eq!((ran.out.as_str(), ran.err.as_str()), (said, ""), "{case}");
        return;
    }
    assert!((125..=127).contains(&ran.status) && ran.out.is_empty(), "{case}: {ran:?}");
    assert!(ran.err.starts_with("layerfs: ") && ran.err.lines().count() == 1, "{case}: {ran:?}");
}

/// A canary that no container may see or change.
struct Canary {
    disk: Scratch,
    before: Vec<(PathBuf, u64, u32, u32, i64, Vec<u8>)>,
}

impl Canary {
    fn new() -> Canary {
        // Not below /dev, where links are refused that would be harmless.
        let disk = Scratch::on_disk();
        plant_canary(disk.path());
        // Found there, these need not be made, and a mount on them would leave no trace but itself.
        std::fs::create_dir_all(disk.join("dir/y")).unwrap();
        std::fs::create_dir_all(disk.join("dir/t")).unwrap();
        let before = seen(disk.path());
        Canary { disk, before }
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }

    #[track_caller]
    fn assert_same(&self, case: &str) {
        assert!(seen(self.path()) == self.before, "{case} changed the host");
        let on_it = |mount: &machine::Mount| mount.point.starts_with(self.path());
        assert!(!machine::mounts("self").iter().any(on_it), "{case} mounted on the host");
    }
}

/// Mounts of the directory `$1` names, and of file systems in memory; whether one of the host's canary is among them; what
/// is seen of it.
const LOOK: &str = "of=0; tmp=0; while read -r _ _ _ root point _ rest; do
        case $root in */raced-source) of=$((of+1));; *layerfs-test-*/dir*) echo canary $root;; esac
        case $point in */t) tmp=$((tmp+1));; esac; done </proc/self/mountinfo
    for at in . /data/x /data/x/y; do test -e $at/deep/file && echo seen at $at; done
    echo $of $tmp";

#[test]
fn mounts_through_a_name_that_is_exchanged_stay_in_the_container() {
    need_root!();
    let place = Place::lasting(120 * soak_factor());
    let canary = Canary::new();
    let root = Root::new(&place, "root");
    let (volume, source) = (place.join("volume"), place.join("raced-source"));
    std::fs::create_dir_all(volume.join("x")).unwrap();
    std::fs::create_dir(&source).unwrap();
    let on = |dir: &Path, target: &str| format!("{}:{target}", dir.display());
    let (data, nested) = (on(&volume, "/data"), on(&source, "/data/x/y"));
    let cases: [(&[&str], &str); 4] = [
        (&["-v", &nested], "1 0\n"),
        (&["--tmpfs", "/data/x/t"], "0 1\n"),
        (&["-w", "/data/x"], "0 0\n"),
        (&["-v", &nested, "--tmpfs", "/data/x/t", "-w", "/data/x/t"], "1 1\n"),
    ];
    let mut started = 0;
    for target in links(canary.path()) {
        std::os::unix::fs::symlink(&target, volume.join("link")).unwrap();
        let exchanged = exchanging(&volume.join("x"), &volume.join("link"), || {
            for n in 0..2 * soak_factor() {
                for (options, said) in cases {
                    let users = if n % 2 == 0 { "auto" } else { "host" };
                    let options = [&["--userns", users, "-v", &data], options].concat();
                    let case = format!("{target:?} {options:?}");
                    let ran = root.script(&place, &options, LOOK);
                    assert_held(&ran, said, &case);
                    canary.assert_same(&case);
                    started += u32::from(ran.status == 0);
                }
            }
        });
        assert!(exchanged > 100, "{exchanged}");
        for name in ["x", "link"] {
            let name = volume.join(name);
            if name.is_symlink() {
                std::fs::remove_file(name).unwrap();
            } else {
                std::fs::rename(name, volume.join("was")).unwrap();
            }
        }
        std::fs::rename(volume.join("was"), volume.join("x")).unwrap();
    }
    assert!(started > 0, "none started");
    for dir in [&volume, &source, &root.path] {
        std::fs::remove_dir_all(dir).unwrap();
    }
    place.assert_nothing_left();
}

/// Of two trees, both the user's, a container is of one.
#[test]
fn a_root_below_a_name_that_is_exchanged_is_one_tree_and_stays_as_it_was() {
    need_root!();
    let place = Place::lasting(120 * soak_factor());
    let disk = Scratch::on_disk();
    let one = Root::new(&place, "raced/one/root");
    std::fs::create_dir(disk.join("tree")).unwrap();
    let other = Root { path: disk.join("tree/root") };
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .args([&one.path, &other.path])
            .status()
            .unwrap()
            .success()
    );
    for (root, name) in [(&one, "one"), (&other, "two")] {
        std::fs::write(root.path.join("usr/name"), "covered").unwrap();
        std::fs::write(root.path.join("etc/name"), name).unwrap();
        std::fs::write(root.path.join("name"), name).unwrap();
    }
    std::os::unix::fs::symlink(disk.join("tree"), place.join("raced/link")).unwrap();
    let before = (seen(disk.path()), seen(&one.path));
    let swapped = place.join("raced/one");
    let mut started = 0;
    exchanging(&swapped, &place.join("raced/link"), || {
        let root = Root { path: swapped.join("root") };
        let script = "test \"$(cat /name)\" = \"$(cat /etc/name)\" && echo same; echo >/etc/name; echo >/new; mkdir /usr/x 2>/dev/null; true";
        for _ in 0..8 * soak_factor() {
            let ran = root.script(&place, &["--tmpfs", "/run/t"], script);
            assert_held(&ran, "same\n", "root");
            started += u32::from(ran.status == 0);
        }
    });
    if swapped.is_symlink() {
        renameat_with(CWD, &swapped, CWD, place.join("raced/link"), RenameFlags::EXCHANGE).unwrap();
    }
    assert!((seen(disk.path()), seen(&one.path)) == before, "a tree was changed");
    assert!(started > 0, "none started");
    std::fs::remove_dir_all(place.join("raced")).unwrap();
    place.assert_nothing_left();
}

/// Exchanges `/srv/w/x` with a link to `/etc`, and `/srv/w/h` with one to the host's canary, until it is killed.
const EXCHANGE: &str = r#"
import ctypes, errno, itertools, os, sys
libc = ctypes.CDLL(None, use_errno=True)
names = ("/srv/w/x", "/srv/w/link-x", "/etc"), ("/srv/w/h", "/srv/w/link-h", sys.argv[1])
for name, link, target in names:
    os.makedirs(name)
    open(name + "/passwd", "w").write("of the container\n")
    os.symlink(target, link)
os.mkdir("/srv/ready")
for n in itertools.count():
    for name, link, target in names:
        if libc.renameat2(-100, name.encode(), -100, link.encode(), 2) != 0:
            # What is copied over a link takes it away before it makes the file.
            assert ctypes.get_errno() == errno.ENOENT, ctypes.get_errno()
        for copied in (name, link) if n % 20 == 0 else ():
            if os.path.isfile(copied) and not os.path.islink(copied):
                try:
                    os.unlink(copied)
                    os.symlink(target, copied)
                except (FileNotFoundError, FileExistsError):
                    pass
"#;

#[test]
fn copies_through_a_name_that_is_exchanged_have_nothing_of_the_host() {
    need_root!();
    need!("python3");
    let place = Place::lasting(120 * soak_factor());
    let canary = Canary::new();
    let dir = canary.path().join("dir");
    let root = Root::new(&place, "root");
    std::fs::write(root.path.join("etc/passwd"), "of the container\n").unwrap();
    let given = place.join("layerfs-raced-canary");
    std::fs::write(&given, "brought\n").unwrap();
    let words = ["run", "-d", "--name", "box", "-v", "/usr:/usr:ro", "--rootfs"];
    let program = ["python3", "-c", EXCHANGE, dir.to_str().unwrap()];
    place.layerfs(&[&words[..], &[root.path.to_str().unwrap()], &program].concat()).said();
    crate::carried::until(|| {
        place.layerfs(&["exec", "box", "test", "-d", "/srv/ready"]).status == 0
    });
    let has = |bytes: &[u8], words: &str| bytes.windows(words.len()).any(|w| w == words.as_bytes());
    let mut came = 0;
    for _ in 0..3 * soak_factor() {
        for from in ["x", "x/", "x/passwd", "h/deep/file", "h/passwd", "h/.", "."] {
            let from = format!("box:/srv/w/{from}");
            let out =
                place.command(&["cp", "-L", &from, "-"]).stdin(Stdio::null()).output().unwrap();
            let is_foreign = has(&out.stdout, "of the host") || has(&out.stdout, "root:x:0:0");
            assert!(!is_foreign, "{from}: {:?}", ran(out));
            came += u32::from(out.status.success() && has(&out.stdout, "of the container"));
            canary.assert_same(&from);
        }
        for to in ["x", "x/passwd", "h", "h/deep", "h/deep/file", "h/y/"] {
            let to = format!("box:/srv/w/{to}");
            let ran = place.layerfs(&["cp", given.to_str().unwrap(), &to]);
            let is_told =
                ran.status == 1 && ran.err.lines().all(|line| line.starts_with("layerfs: "));
            assert!(ran.status == 0 || is_told, "{to}: {ran:?}");
            canary.assert_same(&to);
            assert!(!Path::new("/etc/layerfs-raced-canary").exists(), "{to}");
        }
    }
    assert!(came > 0, "nothing was copied");
    let state = place.layerfs(&["inspect", "-f", "{{.State.Status}}", "box"]).said();
    let wrote = place.layerfs(&["logs", "box"]);
    assert_eq!(state, "running\n", "{wrote:?}");
    place.layerfs(&["rm", "-f", "box"]).said();
    std::fs::remove_file(given).unwrap();
    std::fs::remove_dir_all(&root.path).unwrap();
    place.assert_nothing_left();
}

/// Whoever may write to a directory on the way could have another container's root see what it likes.
#[test]
fn what_was_shown_is_not_found_again_behind_a_link() {
    need_root!();
    let place = Place::new();
    std::fs::create_dir_all(place.join("shared/sub")).unwrap();
    std::fs::create_dir(place.join("canary")).unwrap();
    let at = |name: &str| place.join("shared").join(name).display().to_string();
    let volume = format!("{}:/mnt", at("sub"));
    place
        .layerfs(&[
            "create",
            "--name",
            "box",
            "-v",
            &volume,
            "--rootfs",
            "/",
            "touch",
            "/mnt/written",
        ])
        .said();
    assert_eq!(place.layerfs(&["start", "-a", "box"]).status, 0);
    assert!(place.join("shared/sub/written").exists());
    std::fs::rename(place.join("shared/sub"), place.join("shared/other")).unwrap();
    std::os::unix::fs::symlink(place.join("canary"), place.join("shared/sub")).unwrap();
    let told = format!(
        "volume `{}`: a link on the way leads to `{}` now; put back what was there, or make the container again",
        at("sub"),
        place.join("canary").display()
    );
    for verb in [&["start", "box"][..], &["start", "-a", "box"], &["restart", "box"]] {
        let ran = place.layerfs(verb);
        assert!(ran.status != 0 && ran.err.contains(&told), "{ran:?}");
    }
    assert_eq!(std::fs::read_dir(place.join("canary")).unwrap().count(), 0);
    std::fs::remove_file(place.join("shared/sub")).unwrap();
    std::fs::rename(place.join("shared/other"), place.join("shared/sub")).unwrap();
    assert_eq!(place.layerfs(&["start", "-a", "box"]).status, 0);
    // A directory that the root is a copy of is no other either.
    place.layerfs(&["rm", "box"]).said();
    place.layerfs(&["create", "--name", "box", "--rootfs", &at("sub"), "/none"]).said();
    std::fs::rename(place.join("shared/sub"), place.join("shared/other")).unwrap();
    std::os::unix::fs::symlink("/", place.join("shared/sub")).unwrap();
    let ran = place.layerfs(&["start", "-a", "box"]);
    assert!(ran.status == 125 && ran.err.contains("a link on the way leads to `/` now"), "{ran:?}");
    std::fs::remove_file(place.join("shared/sub")).unwrap();
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}
