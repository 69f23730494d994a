//! What a layer holds, case by case: the names in it, the lines that `diff` prints, and that an image of it shows the same.

use std::process::Command;

use crate::ground::{Ground, said};
use crate::support::{need, need_root};

/// Exchanges two names.
pub const EXCHANGE: &str = "python3 -c 'import ctypes,sys; a,b=map(str.encode,sys.argv[1:]); \
                        assert ctypes.CDLL(None).renameat2(-100,a,-100,b,2)==0'";

/// On the small image: the case, a script, the lines of `diff`, the names in the layer.
pub const CASES: [(&str, &str, &str, &str); 17] = [
    ("nothing", "cat etc/passwd", "", ""),
    ("a file is gone", "rm etc/gone", "C /etc|D /etc/gone", "etc/|etc/.wh.gone"),
    ("a file is changed", "echo x >> etc/gone", "C /etc|C /etc/gone", "etc/|etc/gone"),
    ("a file is new", "echo x > new", "A /new", "./|new"),
    ("only permissions", "chmod 600 etc/gone", "C /etc|C /etc/gone", "etc/|etc/gone"),
    ("only a directory's time", "touch etc", "C /etc", "etc/"),
    (
        "a directory is gone",
        "rm -r usr/share/kept",
        "C /usr|C /usr/share|D /usr/share/kept",
        "usr/|usr/share/|usr/share/.wh.kept",
    ),
    (
        "a directory is made again",
        "rm -r usr/share/kept; mkdir usr/share/kept; echo > usr/share/kept/b",
        "C /usr|C /usr/share|C /usr/share/kept|D /usr/share/kept/a|A /usr/share/kept/b",
        "usr/|usr/share/|usr/share/kept/|usr/share/kept/.wh..wh..opq|usr/share/kept/b",
    ),
    (
        "a directory has another name",
        "mv var/cache var/kache",
        "C /var|D /var/cache|A /var/kache|A /var/kache/fresh",
        "var/|var/.wh.cache|var/kache/|var/kache/fresh",
    ),
    (
        "its old name has a new directory",
        "mv var/cache var/kache; mkdir var/cache; echo > var/cache/x",
        "C /var|C /var/cache|D /var/cache/fresh|A /var/cache/x|A /var/kache|A /var/kache/fresh",
        "var/|var/cache/|var/cache/.wh..wh..opq|var/cache/x|var/kache/|var/kache/fresh",
    ),
    (
        "directories change places",
        "EXCHANGE usr/share/kept usr/share/doc",
        "C /usr|C /usr/share|C /usr/share/doc|D /usr/share/doc/NEW|A /usr/share/doc/a|C /usr/share/kept|A /usr/share/kept/NEW|D /usr/share/kept/a",
        "usr/|usr/share/|usr/share/doc/|usr/share/doc/.wh..wh..opq|usr/share/doc/a|usr/share/kept/|usr/share/kept/.wh..wh..opq|usr/share/kept/NEW",
    ),
    (
        "a directory in a moved one, with something hidden",
        "mv usr/share usr/s; rm usr/s/kept/a; mv usr/s/doc usr/doc",
        "C /usr|A /usr/doc|A /usr/doc/NEW|A /usr/s|A /usr/s/kept|LONG|D /usr/share",
        "usr/|usr/doc/|usr/doc/NEW|usr/s/|usr/s/kept/|LONG|usr/.wh.share",
    ),
    (
        "one name of a file is written to",
        "echo x >> opt/two",
        "C /opt|C /opt/one|C /opt/three|C /opt/two",
        "opt/|opt/one|opt/three|opt/two",
    ),
    (
        "the name by which a file was written to is gone",
        "echo x >> opt/two; rm opt/two",
        "C /opt|C /opt/one|C /opt/three|D /opt/two",
        "opt/|opt/one|opt/three|opt/.wh.two",
    ),
    (
        "a file becomes a directory, a directory a file",
        "rm var/swap; mkdir var/swap; rm -r var/cache; echo > var/cache",
        "C /var|C /var/cache|C /var/swap",
        "var/|var/cache|var/swap/",
    ),
    (
        "a socket stands where a file did",
        "rm etc/gone; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"etc/gone\")'",
        "C /etc|C /etc/gone",
        "etc/|etc/.wh.gone",
    ),
    (
        "a name of a file with several is new",
        "ln opt/one usr/one",
        "C /opt|C /opt/one|C /opt/three|C /opt/two|C /usr|A /usr/one",
        "opt/|opt/one|opt/three|opt/two|usr/|usr/one",
    ),
];

/// The words of a case, with the long name that is in some of them.
pub fn expected(text: &str, long: &str) -> Vec<String> {
    let words = text.split('|').filter(|word| !word.is_empty());
    words.map(|word| word.replace("LONG", long)).collect()
}

#[test]
fn each_kind_of_change_is_told_and_made_an_image() {
    need_root!();
    need!("python3", "tar");
    let Some(ground) = Ground::mounted() else { return };
    let long = format!("usr/s/{}name", "long-".repeat(24));
    for (number, (called, script, lines, names)) in CASES.iter().enumerate() {
        ground.mount_anew("small:1");
        ground.shell("mnt", &script.replace("EXCHANGE", EXCHANGE));
        let told = ground.said(&["diff", &ground.at("mnt")]);
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told, expected(lines, &format!("A /{long}")), "{called}");
        assert_eq!(ground.names_of_layer(), expected(names, &long), "{called}");
        ground.commits_whole(&format!("case:{number}"), called);
    }
    // The keys are those of `docs/json.md`.
    let rows = ground.said(&["diff", "--json", &ground.at("mnt")]);
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows[0], serde_json::json!({"kind": "changed", "path": "/opt"}));
    ground.said(&["umount", &ground.at("mnt")]);
    ground.ends();
}

/// A base whose files have names in several directories, and a name that `.wh.` makes too long.
pub const LINKED: &str = "mkdir -p tree/a/deep tree/b tree/c; echo one > tree/a/deep/x; ln tree/a/deep/x tree/b/y; \
                      ln tree/a/deep/x tree/c/z; head -c 9000 /dev/zero | tr '\\0' x > tree/a/big; ln tree/a/big tree/b/big; \
                      mkdir tree/l; touch tree/l/$(printf 'n%.0s' {1..255}) tree/l/other tree/l/third; ln tree/l/third tree/c/third";

/// On that base: the case, a script, the names in the layer.
pub const LINKED_CASES: [(&str, &str, &str); 6] = [
    // All names show what was written, and directories on the way to them keep their times.
    ("written by one name", "echo two >> b/y", "a/|a/deep/|a/deep/x|b/|b/y|c/|c/z"),
    // Nothing was written, but the names of a moved directory are new: the others must be links to them.
    ("moved", "mv b d", "./|a/|a/big|a/deep/|a/deep/x|.wh.b|c/|c/z|d/|d/big|d/y"),
    ("one name is gone", "echo two > c/z; rm c/z", "a/|a/deep/|a/deep/x|b/|b/y|c/|c/.wh.z"),
    ("its directory is gone", "echo two > c/z; rm -r c", "./|a/|a/deep/|a/deep/x|b/|b/y|.wh.c"),
    (
        "its directory is another",
        "echo two > c/z; rm -r c; mkdir c",
        "./|a/|a/deep/|a/deep/x|b/|b/y|c/|c/.wh..wh..opq",
    ),
    ("a name too long to be hidden", "rm l/n*", "c/|c/third|l/|l/.wh..wh..opq|l/other|l/third"),
];

#[test]
fn files_with_names_in_several_directories_stay_one_file() {
    need_root!();
    need!("python3", "tar");
    let ground = Ground::new();
    ground.shell(".", LINKED);
    ground.said(&["import", "--quiet", &ground.at("tree"), "linked:1"]);
    std::fs::remove_dir_all(ground.join("tree")).unwrap();
    ground.said(&["mount", "linked:1", &ground.at("mnt")]);
    for (number, (called, script, names)) in LINKED_CASES.iter().enumerate() {
        ground.mount_anew("linked:1");
        ground.shell("mnt", script);
        assert_eq!(ground.names_of_layer().join("|"), *names, "{called}");
        ground.commits_whole(&format!("case:{number}"), called);
        // Once more over what was made: its groups are read from an image.
        ground.mount_anew(&format!("case:{number}"));
        ground.shell("mnt", "echo three >> a/deep/x; mv a e");
        ground.commits_whole(&format!("again:{number}"), called);
    }
    ground.said(&["umount", &ground.at("mnt")]);
    ground.ends();
}

/// Everything that an entry can be or have.
pub const EVERYTHING: &str = "\
mknod dev/c c 5 1; mknod dev/b b 7 9; mkfifo -m 640 dev/f
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"dev/s\")'
echo x > etc/x; setfattr -n user.b -v 0x000aff3d00 etc/x; setfattr -n trusted.t -v z etc/x
setcap cap_net_raw+ep bin/su; chmod 6755 bin/tool; setfacl -m u:5:rw,g:7:r etc/passwd; setfacl -d -m u:9:rwx tmp
printf x > $'bad-\\xff\\n'; printf x > $'-\\xfe'; ln -s $(printf 't%.0s' {1..300}) long; ln -s x $'l\\xff'
printf x > $(printf 'n%.0s' {1..251}); d=$(printf 'd%.0s' {1..200}); mkdir -p $d/$d/$d; echo > $d/$d/$d/f; ln $d/$d/$d/f $d/$d/g
chown 3000000:4000000000 etc/owned; chown -h 7:8 bin/sh; chmod 1777 var; chmod 0 etc/acl
touch -d '1960-01-01 00:00:00.5' -h etc/mtab; touch -d '2030-01-01 00:00:00.123456789' etc/x; touch -d '2200-01-01' etc/user
truncate -s 9M hole; printf x | dd of=hole bs=1 seek=3000000 conv=notrunc status=none
mv usr/share/kept usr/kept; rm -r usr/share/doc; mkdir usr/share/doc; echo > usr/share/doc/x; echo >> opt/two; rm opt/one etc/gone
mkdir var/new; touch .";

#[test]
fn everything_that_an_entry_can_be_or_have_is_kept() {
    need_root!();
    need!("python3", "tar", "setfattr", "setfacl", "setcap");
    let Some(ground) = Ground::mounted() else { return };
    ground.shell("mnt", EVERYTHING);
    // What Go's readers of archives can't do: values of no bytes, and years after 2262.
    ground.shell("mnt", "setfattr -n user.empty etc/x; touch -d '2400-01-01' dev/null");
    let mnt = ground.at("mnt");
    let written = ground.layerfs(&["diff", "--tar", "-o", &ground.at("one.tar"), &mnt]);
    let told = String::from_utf8_lossy(&written.stderr).into_owned();
    assert_eq!(told, "layerfs: left out: `/dev/s` is a socket, which no layer holds\n");
    // The same upper gives the same bytes; standard output too.
    let again = ground.layerfs(&["diff", "--tar", &mnt]);
    assert!(again.stdout == std::fs::read(ground.join("one.tar")).unwrap());
    let leaked = |mark: &[u8]| again.stdout.windows(mark.len()).any(|window| window == mark);
    assert!(!leaked(b"overlay."), "a mark is in the layer");
    ground.commits_whole("every:1", "everything");
    let python = "import sys, tarfile; print(len(tarfile.open(sys.argv[1]).getmembers()))";
    let read = Command::new("python3").args(["-c", python, &ground.at("one.tar")]).output();
    assert!(said(&["tarfile"], read.unwrap()).trim().parse::<u32>().unwrap() > 40);
    std::fs::remove_file(ground.join("one.tar")).unwrap();
    ground.said(&["umount", &mnt]);
    ground.ends();
}
