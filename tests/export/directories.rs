//! What was changed in a mount of plain directories: the same lines and the same layer as over an image of them.

use std::path::Path;
use std::process::Command;

use crate::ground::{Ground, said, same_trees};
use crate::layers::{CASES, EVERYTHING, EXCHANGE, LINKED, LINKED_CASES, expected};
use crate::support::{need, need_root};

/// Directories of a ground, mounted at `mnt`.
struct Directories {
    ground: Ground,
    /// The lower ones, as `lowerdir=` names them.
    lowers: String,
}

impl Directories {
    /// The lower directories are named from the first on top.
    fn new(ground: Ground, lowers: &[&str]) -> Directories {
        let lowers: Vec<String> = lowers.iter().map(|lower| ground.at(lower)).collect();
        let directories = Directories { ground, lowers: lowers.join(":") };
        directories.make_base();
        directories
    }

    /// An archive of an image that shows what the lower directories show.
    fn make_base(&self) {
        let (ground, again) = (&self.ground, self.ground.at("again"));
        ground.said(&["mount", "-o", &format!("lowerdir={}", self.lowers), &again]);
        ground.said_in("store2", &["import", "--quiet", &again, "base:1"]);
        ground.said(&["umount", &again]);
        ground.said_in("store2", &["save", "-o", &ground.at("base.tar"), "base:1"]);
    }

    /// Mounts them with an empty upper and more options.
    fn mount_anew(&self, options: &str) {
        // A mount of directories shows the root of its upper as it is.
        let dress = "for set in chmod chown 'touch -h'; do $set --reference=base up; done";
        self.ground.shell(".", &format!("rm -rf up work; mkdir up work; {dress}"));
        self.mount(options);
    }

    fn mount(&self, options: &str) {
        let (up, work) = (self.ground.at("up"), self.ground.at("work"));
        let words = format!("lowerdir={},upperdir={up},workdir={work}{options}", self.lowers);
        self.ground.said(&["mount", "-o", &words, &self.ground.at("mnt")]);
    }

    fn umount(&self) {
        self.ground.said(&["umount", &self.ground.at("mnt")]);
    }

    /// What `diff` tells, the same by every word that can be said for it: the mountpoint, and the upper directory, mounted.
    #[track_caller]
    fn told(&self, called: &str) -> Vec<String> {
        let ground = &self.ground;
        let told = ground.said(&["diff", &ground.at("mnt")]);
        assert_eq!(ground.said(&["diff", &ground.at("up")]), told, "{called}: by its upper");
        told.lines().map(str::to_owned).collect()
    }

    /// The lower directories with the layer of what was changed are the mount.
    #[track_caller]
    fn layer_is_whole(&self, word: &[&str], called: &str) {
        let (ground, layer, stacked) =
            (&self.ground, self.ground.at("layer.tar"), self.ground.at("stacked.tar"));
        ground.said(&[&["diff", "--tar", "-o", &layer], word].concat());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/stack.py");
        let mut stack = Command::new("python3");
        stack.arg(script).args([&ground.at("base.tar"), &layer, &stacked, "stacked:1"]);
        said(&["stack.py"], stack.output().unwrap());
        ground.said_in("store2", &["load", "-i", &stacked]);
        let (mnt, again) = (ground.at("mnt"), ground.at("again"));
        ground.said_in("store2", &["mount", "--read-only", "stacked:1", &again]);
        same_trees(&mnt, &again, &[], called);
        ground.said(&["umount", &again]);
        ground.shell(".", "rm layer.tar stacked.tar");
    }

    fn ends(self) {
        self.umount();
        self.ground.shell(".", "rm -rf up work base top base.tar");
        self.ground.ends();
    }
}

/// The small image as a directory. `None` where it can't be had.
fn small() -> Option<Directories> {
    let ground = Ground::mounted()?;
    ground.shell(".", "cp -a mnt base");
    ground.said(&["umount", &ground.at("mnt")]);
    Some(Directories::new(ground, &["base"]))
}

#[test]
fn each_kind_of_change_of_directories_is_told_as_that_of_an_image() {
    need_root!();
    need!("python3", "tar");
    let Some(directories) = small() else { return };
    let ground = &directories.ground;
    let long = format!("usr/s/{}name", "long-".repeat(24));
    for options in ["", ",whiteout=xattr", ",whiteout=wh", ",userxattr"] {
        for (case, script, lines, names) in CASES {
            // Root follows no redirects of users: mv copies what is in a directory, and nothing exchanges two.
            if options == ",userxattr" && (script.contains("mv ") || script.contains("EXCHANGE")) {
                continue;
            }
            let called = format!("{case}{options}");
            directories.mount_anew(options);
            ground.shell("mnt", &script.replace("EXCHANGE", EXCHANGE));
            let told = directories.told(&called);
            assert_eq!(told, expected(lines, &format!("A /{long}")), "{called}");
            assert_eq!(ground.names_of_layer(), expected(names, &long), "{called}");
            if options.is_empty() {
                directories.layer_is_whole(&[&ground.at("mnt")], &called);
            }
            directories.umount();
        }
    }
    directories.mount_anew("");
    ground.shell("mnt", "echo > new");
    let rows = ground.said(&["diff", "--json", &ground.at("mnt")]);
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows, serde_json::json!([{"kind": "added", "path": "/new"}]));
    directories.ends();
}

/// All that can be in an upper, in each form of whiteouts, of two lower directories of which the first hides and changes things.
#[test]
fn a_layer_of_changed_directories_is_whole_in_every_form() {
    need_root!();
    need!("python3", "tar", "setfattr", "setfacl", "setcap");
    let Some(small) = small() else { return };
    let ground = small.ground;
    ground.shell(
        ".",
        "mkdir -p top/etc top/var/extra top/usr/share/doc; echo top > top/etc/top; echo > base/etc/hidden; mknod top/etc/hidden c 0 0
        setfattr -n trusted.overlay.opaque -v y top/usr/share/doc; echo doc > top/usr/share/doc/top
        for set in chmod chown 'touch -h'; do $set --reference=base top; done",
    );
    let directories = Directories::new(ground, &["top", "base"]);
    let ground = &directories.ground;
    for options in ["", ",whiteout=xattr", ",whiteout=wh"] {
        directories.mount_anew(options);
        ground.shell("mnt", EVERYTHING);
        ground.shell("mnt", "rm etc/top; mv var/extra etc/extra; rm dev/s");
        directories.layer_is_whole(&[&ground.at("mnt")], options);
        directories.told(options);
        // Written once more when nothing has it mounted.
        let mounted = ground.said(&["diff", &ground.at("mnt")]);
        directories.umount();
        let words = [
            "diff",
            "--lowerdir",
            &directories.lowers,
            &ground.at("up"),
            "--work",
            &ground.at("work"),
        ];
        assert_eq!(ground.said(&words), mounted, "{options}");
        directories.mount(options);
        directories.umount();
    }
    directories.mount("");
    directories.ends();
}

#[test]
fn hard_linked_files_of_directories_stay_one_file() {
    need_root!();
    need!("python3", "tar");
    let ground = Ground::new();
    ground.shell(".", LINKED);
    ground.shell(".", "mv tree base");
    let directories = Directories::new(ground, &["base"]);
    let ground = &directories.ground;
    for (called, script, names) in LINKED_CASES {
        directories.mount_anew("");
        ground.shell("mnt", script);
        assert_eq!(ground.names_of_layer().join("|"), names, "{called}");
        directories.layer_is_whole(&[&ground.at("mnt")], called);
        // Of each name under which others show the change there is a line.
        let told = directories.told(called);
        let is_told = |name: &&str| {
            let path = format!(" /{}", name.trim_end_matches('/'));
            name.contains(".wh.") || *name == "./" || told.iter().any(|line| line.ends_with(&path))
        };
        let untold: Vec<&str> = names.split('|').filter(|name| !is_told(name)).collect();
        if called == "written by one name" {
            assert_eq!(untold, ["a/", "a/deep/", "c/"], "on the way to a name: {told:?}");
        }
        directories.umount();
    }
    directories.mount_anew("");
    directories.ends();
}

/// What the kernel's overlayfs wrote, and an upper that hides all that is below it.
#[test]
fn what_other_unions_changed_is_told() {
    need_root!();
    need!("python3", "tar");
    let Some(directories) = small() else { return };
    let ground = &directories.ground;
    directories.mount_anew("");
    directories.umount();
    let kernel = format!(
        "mount -t overlay overlay -o lowerdir=$PWD/base,upperdir=$PWD/up,workdir=$PWD/work,metacopy=on,redirect_dir=on,index=off mnt
        cd mnt; chmod 600 etc/passwd; mv etc/owned etc/own; rm etc/gone; {}; chown 5 opt/one; cd ..; umount mnt",
        "rm -r usr/share/kept; mkdir usr/share/kept; mv var/cache var/kache"
    );
    ground.shell(".", &kernel);
    ground.shell(".", "getfattr -n trusted.overlay.metacopy up/etc/passwd up/etc/own >&2");
    let words = ["--lowerdir", &directories.lowers, &ground.at("up")];
    let lines = ground.said(&[&["diff"][..], &words].concat());
    for line in [
        "C /etc/passwd",
        "A /etc/own",
        "D /etc/owned",
        "D /etc/gone",
        "C /usr/share/kept",
        "D /usr/share/kept/a",
        "D /var/cache",
        "A /var/kache",
        "A /var/kache/fresh",
        "C /opt/one",
    ] {
        assert!(lines.lines().any(|told| told == line), "{line}: {lines}");
    }
    directories.mount("");
    assert_eq!(directories.told("of the kernel's").join("\n") + "\n", lines);
    directories.layer_is_whole(&[&ground.at("mnt")], "of the kernel's");
    directories.layer_is_whole(&words, "of the kernel's, by its upper");
    directories.umount();
    directories.mount_anew("");
    directories.umount();
    ground.shell("up", "echo > .wh..wh..opq; echo > only");
    directories.mount("");
    let told = directories.told("nothing of the lower");
    assert!(
        told.contains(&"A /only".to_owned()) && told.contains(&"D /etc".to_owned()),
        "{told:?}"
    );
    directories.layer_is_whole(&[&ground.at("mnt")], "nothing of the lower");
    directories.ends();
}
