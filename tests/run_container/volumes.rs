//! Volumes that have names: made, filled, shared, kept when containers go, removed by name.

use crate::place::Place;
use crate::support::need_root;

#[test]
fn a_volume_outlives_its_containers_and_begins_with_what_the_root_has_there() {
    need_root!();
    let place = Place::new();
    let own = std::fs::read_to_string("/etc/debian_version").unwrap();
    let script = "cat /etc/debian_version; stat -c '%a %U' /etc/shadow; echo kept > /etc/kept";
    let first = place.script(&["-v", "etc:/etc"], script).said();
    let stat = "stat -c '%a %U' /etc/shadow";
    let shadow = std::process::Command::new("sh").args(["-c", stat]).output().unwrap().stdout;
    assert_eq!(first, own + &String::from_utf8(shadow).unwrap());
    assert_eq!(place.layerfs(&["volume", "ls", "-q"]).said(), "etc\n");
    // It is filled once, and shown elsewhere too; read-only means that.
    let script = "cat /mnt/kept && ! touch /mnt/x 2>/dev/null && echo refused";
    let second = place.script(&["-v", "etc:/mnt:ro"], script).said();
    assert_eq!(second, "kept\nrefused\n");
    place.layerfs(&["volume", "rm", "etc"]).said();
    let gone = place.layerfs(&["volume", "rm", "etc"]);
    assert!(gone.err.contains("no volume `etc`"), "{gone:?}");
    place.layerfs(&["volume", "rm", "-f", "etc"]).said();
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_volume_begins_empty_where_that_is_wanted_and_is_nobodys_but_its_users() {
    need_root!();
    let place = Place::new();
    assert_eq!(place.layerfs(&["volume", "create", "--label", "a=b", "bare"]).said(), "bare\n");
    let made: serde_json::Value =
        serde_json::from_str(&place.layerfs(&["volume", "inspect", "bare"]).said()).unwrap();
    assert_eq!((&made[0]["Name"], &made[0]["Labels"]["a"]), (&"bare".into(), &"b".into()));
    let empty = place
        .script(&["-v", "bare:/etc:nocopy"], "ls -A /etc | grep -v -e hosts -e hostname -e mtab")
        .out;
    assert_eq!(empty, "");
    let words = ["run", "-d", "--name", "user", "--mount", "source=bare,target=/mnt"];
    let words = [&words[..], &["--rootfs", "/", "sleep", "1000"]].concat();
    place.layerfs(&words).said();
    let used = place.layerfs(&["volume", "rm", "bare"]);
    assert!(used.err.contains("is used by container `user`"), "{used:?}");
    assert_eq!(place.layerfs(&["volume", "prune", "-a"]).said(), "");
    place.layerfs(&["rm", "-f", "user"]).said();
    let invented = place.layerfs(&["volume", "create"]).said();
    assert_eq!(place.layerfs(&["volume", "prune"]).said(), invented);
    assert_eq!(place.layerfs(&["volume", "prune", "-a"]).said(), "bare\n");
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn two_containers_see_one_volume_and_a_refused_start_leaves_it_to_be_filled() {
    need_root!();
    let place = Place::new();
    // The program is not there: all else has been made before that is known.
    let words = ["run", "--rm", "-v", "both:/etc", "--rootfs", "/", "no-such-program"];
    assert_eq!(place.layerfs(&words).status, 127);
    let place_ = &place;
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            scope.spawn(move || {
                let script = format!("test -e /etc/passwd && echo {name} >> /etc/seen");
                place_.script(&["-v", "both:/etc", "-v", "other:/mnt"], &script).said();
            });
        }
    });
    let seen = place.script(&["-v", "both:/mnt"], "sort /mnt/seen").said();
    assert_eq!(seen, "one\ntwo\n");
    place.layerfs(&["volume", "rm", "both", "other"]).said();
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}
