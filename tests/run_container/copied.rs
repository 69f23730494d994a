//! `layerfs cp`: files from a container and into one, running or not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::place::Place;
use crate::support::need_root;

fn begun(place: &Place, script: &str) {
    let words = ["run", "-d", "--name", "box", "--rootfs", "/", "sh", "-c", script];
    place.layerfs(&words).said();
}

/// Each of what follows holds for a container that runs and for one that has ended.
fn both(test: impl Fn(&Place)) {
    need_root!();
    let place = Place::new();
    begun(
        &place,
        "umask 022; mkdir -p /srv/d/deep; echo one > /srv/d/file; ln -s file /srv/d/link; chown 7:8 /srv/d/file; chmod 640 /srv/d/file; exec sleep 1000",
    );
    crate::carried::until(|| {
        place.layerfs(&["exec", "box", "stat", "-c", "%a", "/srv/d/file"]).out == "640\n"
    });
    test(&place);
    place.layerfs(&["kill", "box"]).said();
    place.layerfs(&["wait", "box"]).said();
    test(&place);
    assert_eq!(place.layerfs(&["ps", "-a", "--format", "{{.State}}"]).said(), "exited\n");
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_comes_out_has_its_place_as_cp_has_it() {
    both(|place| {
        let here = place.join("here");
        std::fs::create_dir(&here).unwrap();
        let cp = |from: &str, to: &Path| place.layerfs(&["cp", from, to.to_str().unwrap()]);
        cp("box:/srv/d", &here).said();
        assert_eq!(read(&here.join("d/file")), "one\n");
        assert_eq!(std::fs::read_link(here.join("d/link")).unwrap(), Path::new("file"));
        let stat = std::fs::metadata(here.join("d/file")).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid()), (0o640, 0));
        cp("box:/srv/d/.", &here).said();
        assert!(here.join("deep").is_dir());
        cp("box:srv/d/file", &here.join("other")).said();
        assert_eq!(read(&here.join("other")), "one\n");
        cp("box:/srv/d", &here.join("named")).said();
        assert_eq!(read(&here.join("named/file")), "one\n");
        place
            .layerfs(&["cp", "-a", "box:/srv/d/file", here.join("owned").to_str().unwrap()])
            .said();
        let stat = std::fs::metadata(here.join("owned")).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (7, 8));
        place
            .layerfs(&["cp", "-L", "box:/srv/d/link", here.join("followed").to_str().unwrap()])
            .said();
        assert_eq!(read(&here.join("followed")), "one\n");
        for (from, to, told) in [
            ("box:/none", here.clone(), "`/none`: there is nothing"),
            ("box:/srv/d", here.join("other"), "is a directory, and"),
            ("box:/srv/d/file", here.join("no/such"), "what it would lie in is not there"),
            ("nobody:/srv", here.clone(), "no container `nobody`"),
        ] {
            let refused = cp(from, &to);
            assert_eq!(refused.status, 1);
            assert!(refused.err.contains(told), "{from}: {refused:?}");
        }
        std::fs::remove_dir_all(&here).unwrap();
    });
}

#[test]
fn what_goes_in_belongs_to_its_root_and_stays_inside() {
    both(|place| {
        let here = place.join("here");
        std::fs::create_dir_all(here.join("tree/sub")).unwrap();
        std::fs::write(here.join("tree/sub/new"), "from here\n").unwrap();
        std::os::unix::fs::chown(here.join("tree/sub/new"), Some(1), Some(2)).unwrap();
        std::fs::set_permissions(
            here.join("tree/sub/new"),
            std::fs::Permissions::from_mode(0o4711),
        )
        .unwrap();
        symlink("/etc/canary", here.join("tree/away")).unwrap();
        let cp = |from: &Path, to: &str| place.layerfs(&["cp", from.to_str().unwrap(), to]);
        cp(&here.join("tree"), "box:/srv").said();
        cp(&here.join("tree/."), "box:/srv/d").said();
        cp(&here.join("tree/sub/new"), "box:/srv/d/renamed").said();
        let looked = place.join("look");
        place.layerfs(&["cp", "-a", "box:/srv", looked.to_str().unwrap()]).said();
        for path in ["tree/sub/new", "d/sub/new", "d/renamed"] {
            let stat = std::fs::metadata(looked.join(path)).unwrap();
            assert_eq!((stat.uid(), stat.mode() & 0o7777), (0, 0o711), "{path}");
            assert_eq!(read(&looked.join(path)), "from here\n");
        }
        // A link of the container's leads within it.
        std::fs::write(here.join("canary"), "written\n").unwrap();
        cp(&here.join("canary"), "box:/srv/tree/away").said();
        assert!(!Path::new("/etc/canary").exists());
        let refused = cp(&here, "box:/srv/none/there");
        assert!(refused.err.contains("what it would lie in is not there"), "{refused:?}");
        std::fs::remove_dir_all(&here).unwrap();
        std::fs::remove_dir_all(&looked).unwrap();
    });
}

#[test]
fn archives_come_and_go_by_the_standard_streams() {
    both(|place| {
        let mut out = place.command(&["cp", "box:/srv/d", "-"]);
        let archive = out.output().unwrap();
        assert!(archive.status.success(), "{archive:?}");
        let names = tar_names(&archive.stdout);
        let mut names: Vec<&str> = names.iter().map(|name| name.trim_end_matches('/')).collect();
        names.sort_unstable();
        assert_eq!(names, ["d", "d/deep", "d/file", "d/link"]);
        let mut child =
            place.command(&["cp", "-", "box:/tmp"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &archive.stdout).unwrap();
        assert!(child.wait().unwrap().success());
        let back = place.command(&["cp", "box:/tmp/d/file", "-"]).output().unwrap();
        assert_eq!(tar_names(&back.stdout), ["file"]);
        let refused = place.layerfs(&["cp", "box:/a", "box:/b"]);
        assert_eq!(refused.status, 2);
        assert_eq!(place.layerfs(&["cp", "/a", "/b"]).status, 2);
    });
}

fn tar_names(archive: &[u8]) -> Vec<String> {
    let mut tar = std::process::Command::new("tar");
    let mut child = tar.arg("-t").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let archive = archive.to_vec();
    let fed = std::thread::spawn(move || std::io::Write::write_all(&mut input, &archive).unwrap());
    let listed = child.wait_with_output().unwrap();
    fed.join().unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}
