//! Images, words and streams that mean harm: each is refused or harmless, and the host stays as it was.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::place::{Place, Ran};
use crate::support::need_root;

/// A root file system of a few names; its programs are the host's, shown by a volume.
struct Root {
    path: PathBuf,
}

impl Root {
    fn new(place: &Place, name: &str) -> Root {
        let path = place.join(name);
        std::fs::create_dir_all(path.join("usr")).unwrap();
        std::fs::create_dir_all(path.join("etc")).unwrap();
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(Path::new("usr").join(name), path.join(name)).unwrap();
        }
        Root { path }
    }

    /// A shell script in a throwaway container on it.
    fn script(&self, place: &Place, options: &[&str], script: &str) -> Ran {
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
    let greatest = root.script(&place, &["-u", "2147483647:2147483647"], "id -u; id -g").said();
    assert_eq!(greatest, "2147483647\n2147483647\n");
    place.assert_nothing_left();
}
