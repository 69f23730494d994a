//! What can't be done is told in one line, and leaves nothing.

use crate::ground::{Ground, refused};
use crate::support::{Scope, need_root, photograph};

#[test]
fn what_can_not_be_told_committed_or_written_is_told_and_leaves_nothing() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let (mnt, again) = (ground.at("mnt"), ground.at("again"));
    ground.shell("mnt", "echo > etc/.wh.x");
    ground.said(&["mount", "--read-only", "small:1", &again]);
    std::fs::write(ground.join("file"), "mine").unwrap();
    let (file, tar) = (ground.at("file"), ground.at("out.tar"));
    let below_file = format!("{file}/out.tar");
    let oci = |path: &str| format!("oci:{path}");
    let store = photograph(&Scope::Below(ground.join("store")));
    let around = std::fs::read_dir(ground.join(".")).unwrap().count();
    let rows: [(&[&str], &str); 23] = [
        (&["diff", "absent"], "no container `absent`"),
        (&["diff", "./absent"], "it does not exist"),
        (&["diff", "/"], "neither a container, nor the mountpoint"),
        (&["diff", &file], "it is not a directory"),
        (&["diff", &again], "is read-only"),
        (&["diff", "--json", "--tar", &mnt], "cannot be used with"),
        (&["diff", "-o", &tar, &mnt], "--tar"),
        (&["diff", "--tar", "-o", &tar, &mnt], "begins with `.wh.`"),
        (&["diff", "--tar", "-o", &below_file, &mnt], "Not a directory"),
        (&["commit", "-q", &mnt, "new:1"], "`/etc/.wh.x` begins with `.wh.`"),
        (&["commit", "-q", "absent", "new:1"], "no container `absent`"),
        (&["commit", "-q", &mnt, "New"], "write `new`"),
        (&["commit", "-q", &mnt, "new@sha256:x"], "malformed digest"),
        (&["commit", "-q", "-c", "RUN x", &mnt, "new:1"], "--change `RUN x`: write CMD"),
        (&["save", "-o", &tar, "absent"], "no image `absent`"),
        (&["save", "-o", &tar, "small:1", "absent"], "no image `absent`"),
        (&["save", "-o", &again, "small:1"], "Is a directory"),
        (&["save", "--compression", "zstd", "small:1"], "not packed"),
        (&["save", "--format", "oci-dir", "small:1"], "with -o"),
        (&["push", "small:1", "docker://x/y"], "registries are not spoken yet"),
        (&["push", "small:1", &tar], "no target"),
        (&["push", "small:1", &oci(&ground.at("store"))], "no OCI layout"),
        (&["push", "small:1", &oci(&file)], "Not a directory"),
    ];
    for (words, why) in rows {
        refused(&ground.layerfs(words), why);
    }
    photograph(&Scope::Below(ground.join("store"))).assert_same(&store);
    assert_eq!(std::fs::read_dir(ground.join(".")).unwrap().count(), around);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    std::fs::remove_file(file).unwrap();
    ground.said(&["umount", &mnt, &again]);
    ground.ends();
}
