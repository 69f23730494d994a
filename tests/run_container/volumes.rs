//! Volumes: made, filled, shared, kept when containers go, removed by name; those without a name, which may go along.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

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
    assert_eq!(place.layerfs(&["volume", "prune", "-af"]).said(), "");
    place.layerfs(&["rm", "-f", "user"]).said();
    let invented = place.layerfs(&["volume", "create"]).said();
    assert_eq!(place.layerfs(&["volume", "prune", "-f"]).said(), invented);
    assert_eq!(place.layerfs(&["volume", "prune", "-af"]).said(), "bare\n");
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

/// The names of all volumes.
fn volumes(place: &Place) -> Vec<String> {
    place.layerfs(&["volume", "ls", "-q"]).said().lines().map(str::to_owned).collect()
}

#[test]
fn a_volume_that_nobody_named_goes_with_its_container_where_that_is_said() {
    need_root!();
    let place = Place::new();
    // With a throwaway it goes, also where the program is not there; it begins with what the root has there.
    let script = "test -e /etc/passwd && echo filled; grep -cE ' /(etc|mnt) ' /proc/self/mounts";
    assert_eq!(
        place.script(&["-v", "/etc", "--mount", "target=/mnt"], script).said(),
        "filled\n2\n"
    );
    assert!(volumes(&place).is_empty());
    for options in [&["--rm"][..], &[]] {
        let words =
            [&["run"], options, &["-v", "/mnt", "--rootfs", "/", "no-such-program"]].concat();
        assert_eq!(place.layerfs(&words).status, 127, "{options:?}");
        assert!(volumes(&place).is_empty(), "{options:?}");
    }
    // Of one that is kept it stays, is found again when that starts once more, and is nobody's but its.
    let script = "echo more >> /mnt/file; cat /mnt/file";
    let words = ["run", "--name", "one", "-v", "/mnt", "-v", "named:/media", "--rootfs", "/"];
    let words = [&words[..], &["sh", "-c", script]].concat();
    assert_eq!(place.layerfs(&words).said(), "more\n");
    assert_eq!(place.layerfs(&["start", "-a", "one"]).said(), "more\nmore\n");
    let both = volumes(&place);
    let [invented, named] = &both[..] else { panic!("{both:?}") };
    assert_eq!((invented.len(), named.as_str()), (64, "named"));
    let seen: serde_json::Value =
        serde_json::from_str(&place.layerfs(&["inspect", "one"]).said()).unwrap();
    let mounts = seen[0]["Mounts"].as_array().unwrap();
    let found = mounts.iter().find(|mount| mount["Destination"] == "/mnt").unwrap();
    assert_eq!((&found["Type"], &found["Name"]), (&"volume".into(), &invented.as_str().into()));
    assert_eq!(seen[0]["HostConfig"]["Binds"], serde_json::json!(["named:/media:rw"]));
    assert_eq!(place.layerfs(&["volume", "prune", "-f"]).said(), "", "it is used");
    place.layerfs(&["rm", "one"]).said();
    assert_eq!(volumes(&place), both);
    assert_eq!(place.layerfs(&["volume", "prune", "-f"]).said(), format!("{invented}\n"));
    assert_eq!(volumes(&place), ["named"]);
    // `rm -v` takes it along, but for what another container shows by its name, and for what has one.
    for name in ["two", "three"] {
        let words = ["run", "--name", name, "-v", "/mnt", "-v", "named:/media", "--rootfs", "/"];
        place.layerfs(&[&words[..], &["true"]].concat()).said();
    }
    let inspect = ["inspect", "--format", "{{json .Mounts}}", "three"];
    let of_three: serde_json::Value =
        serde_json::from_str(&place.layerfs(&inspect).said()).unwrap();
    let mounts = of_three.as_array().unwrap();
    let its = mounts.iter().find(|mount| mount["Destination"] == "/mnt").unwrap()["Name"].as_str();
    let its = its.unwrap();
    let words = ["run", "--name", "four", "-v", &format!("{its}:/mnt"), "--rootfs", "/", "true"];
    place.layerfs(&words).said();
    place.layerfs(&["rm", "-v", "two", "three"]).said();
    assert_eq!(volumes(&place), [its, "named"]);
    place.layerfs(&["rm", "-v", "four"]).said();
    assert_eq!(volumes(&place), [its, "named"], "who named it keeps it");
    place.layerfs(&["volume", "rm", its, "named"]).said();
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_volume_that_nobody_named_goes_with_a_throwaway_that_was_killed() {
    need_root!();
    let place = Place::new();
    let words = ["run", "--rm", "-v", "/mnt", "--rootfs", "/"];
    let words = [&words[..], &["sh", "-c", "echo on; exec sleep 1000"]].concat();
    let mut killed = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(killed.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), volumes(&place).len()), ("on\n", 1));
    killed.kill().unwrap();
    killed.wait().unwrap();
    place.layerfs(&["gc"]).said();
    assert!(volumes(&place).is_empty());
    // Who ends one that runs ends its volume, too.
    let words = ["run", "-d", "--rm", "--name", "web", "-v", "/mnt", "--rootfs", "/"];
    place.layerfs(&[&words[..], &["sleep", "1000"]].concat()).said();
    assert_eq!(volumes(&place).len(), 1);
    place.layerfs(&["rm", "-f", "web"]).said();
    assert!(volumes(&place).is_empty());
    // Whoever was first may be at it still.
    place.layerfs(&["gc"]).said();
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_container_that_is_removed_has_lost_its_volumes_when_its_line_is_there() {
    need_root!();
    let place = Place::new();
    for name in ["one", "two"] {
        let words = ["run", "--name", name, "-v", "/mnt", "--rootfs", "/", "true"];
        place.layerfs(&words).said();
    }
    assert_eq!(volumes(&place).len(), 2);
    // No line can be written: it ends with the first.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut cut_short = place.command(&["rm", "-v", "one", "two"]);
    assert!(!cut_short.stdout(full).stderr(Stdio::null()).status().unwrap().success());
    let left = place.layerfs(&["ps", "-a", "--format", "{{.Names}}"]).said();
    assert_eq!((left.as_str(), volumes(&place).len()), ("two\n", 1));
    place.layerfs(&["rm", "-v", "two"]).said();
    // One that is to go when it has run, and could not be started, is kept, and goes with what was made for it.
    for verb in [&["rm", "late"][..], &["system", "prune", "-f"]] {
        let words = ["create", "--rm", "--name", "late", "-v", "/mnt", "--rootfs", "/"];
        place.layerfs(&[&words[..], &["no-such-program"]].concat()).said();
        let refused = place.layerfs(&["start", "late"]);
        assert_ne!((refused.status, volumes(&place).len()), (0, 0), "{refused:?}");
        assert_eq!(volumes(&place).len(), 1);
        assert_eq!(place.layerfs(verb).status, 0);
        assert!(volumes(&place).is_empty(), "{verb:?}");
    }
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_log_that_can_not_be_opened_leaves_a_container_and_its_volumes_together() {
    need_root!();
    let place = Place::new();
    let words = ["create", "--rm", "--name", "late", "-v", "/mnt", "--rootfs", "/"];
    let id = place.layerfs(&[&words[..], &["no-such-program"]].concat()).said();
    assert_ne!(place.layerfs(&["start", "late"]).status, 0);
    assert_eq!(volumes(&place).len(), 1);
    let log = place.join("store/containers").join(id.trim_end()).join("log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let refused = place.layerfs(&["start", "late"]);
    assert_eq!((refused.status, refused.err.lines().count()), (1, 1), "{refused:?}");
    assert!(refused.err.contains("`late`: open the log: "), "{refused:?}");
    assert_eq!(place.layerfs(&["ps", "-aq", "--no-trunc"]).said(), id);
    assert_eq!(volumes(&place).len(), 1);
    place.layerfs(&["rm", "late"]).said();
    assert!(volumes(&place).is_empty());
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

/// One line that names the record and the cure, and no volume less.
#[track_caller]
fn assert_kept(place: &Place, words: &[&str], (count, id): (usize, &str), told: &str) {
    let ran = place.layerfs(words);
    assert_eq!((ran.status, ran.err.lines().count()), (1, 1), "{words:?}: {ran:?}");
    let named = format!("record of container {} in the store is damaged", &id[..12]);
    for part in [told, &named, "`layerfs fsck --repair`"] {
        assert!(ran.err.contains(part), "{words:?}: {part}: {ran:?}");
    }
    assert_eq!((ran.out.as_str(), volumes(place).len()), ("", count), "{words:?}");
}

#[test]
fn while_a_container_can_not_be_read_every_volume_may_be_its_and_stays() {
    need_root!();
    let place = Place::new();
    let run = |name: &str, more: &[&str]| {
        let words = [&["run", "--name", name, "-v", "/mnt"], more, &["--rootfs", "/", "true"]];
        place.layerfs(&words.concat()).said();
        place.layerfs(&["inspect", "--format", "{{.Id}}", name]).said().trim_end().to_owned()
    };
    let (one, two) = (run("one", &["-v", "named:/media"]), run("two", &[]));
    let words = ["run", "--rm", "-i", "-v", "/mnt", "--rootfs", "/", "sh", "-c"];
    let mut brief = place.command(&[&words[..], &["echo on; read -r _"]].concat());
    brief.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut brief = brief.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(brief.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let all = volumes(&place);
    assert_eq!((line.as_str(), all.len()), ("on\n", 4));
    let record = |id: &str| place.join("store/containers").join(id).join("container.json");
    let whole = std::fs::read_to_string(record(&one)).unwrap();
    std::fs::write(record(&one), "{").unwrap();
    let damaged = (4, one.as_str());
    assert_kept(&place, &["volume", "prune", "-af"], damaged, "no volume is removed: ");
    for word in ["two", &one] {
        let told =
            format!("container `{word}`: what it is, and which volumes are its, can't be told");
        assert_kept(&place, &["rm", "-f", "-v", word], damaged, &told);
    }
    // One that goes by itself does all the same, and names what it leaves.
    drop(brief.stdin.take());
    let ran = crate::place::ran(brief.wait_with_output().unwrap());
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let left = volumes(&place);
    assert_eq!(left, all);
    let is_told = |name: &&String| {
        ran.err
            .contains(&format!("volume `{name}` of the container: left to `layerfs volume prune`"))
    };
    let briefs = left.iter().find(is_told).unwrap();
    std::fs::write(record(&one), whole).unwrap();
    assert_eq!(place.layerfs(&["volume", "prune", "-f"]).said(), format!("{briefs}\n"));
    // Of one whose record can be read, but for the words that it was made with, the names are known.
    let mut words: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(record(&two)).unwrap()).unwrap();
    let its = words["volumes"][0].as_str().unwrap().to_owned();
    words["said"]["words"] = 5.into();
    std::fs::write(record(&two), words.to_string()).unwrap();
    let ran = place.layerfs(&["rm", "-v", "two"]);
    assert_eq!((ran.status, ran.out.as_str(), ran.err.lines().count()), (0, "two\n", 1), "{ran:?}");
    assert!(ran.err.contains(&format!("so they stay (volume `{its}`)")), "{ran:?}");
    assert_eq!(place.layerfs(&["volume", "prune", "-f"]).said(), format!("{its}\n"));
    place.layerfs(&["rm", "-v", "one"]).said();
    place.layerfs(&["volume", "rm", "named"]).said();
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}

#[cfg(feature = "fault")]
#[test]
fn whoever_is_killed_while_it_removes_a_container_leaves_no_volume_of_its() {
    need_root!();
    let place = Place::lasting(400);
    let run = ["run", "--name", "web", "-v", "/mnt", "--rootfs", "/", "true"];
    place.layerfs(&run).said();
    let (mut n, mut last) = (1, 0);
    loop {
        let mut killed = place.command(&["rm", "-v", "web"]);
        let ended = killed.env("LAYERFS_FAULT", format!("die:{n}")).output().unwrap();
        place.layerfs(&["gc"]).said();
        let is_gone = place.layerfs(&["ps", "-aq"]).said().is_empty();
        if is_gone {
            let left = std::fs::read_dir(place.join("store/volumes")).unwrap().count();
            assert_eq!(left, 0, "killed at call {n}");
            if ended.status.success() {
                break;
            }
            last = n;
            place.layerfs(&run).said();
        } else {
            let its = std::fs::read_dir(place.join("store/volumes")).unwrap().count();
            assert_eq!(its, 1, "killed at call {n}: it has lost its volume");
        }
        n += 1;
    }
    assert!(last > 0, "no death came after the record was gone");
    std::fs::remove_dir(place.join("store/volumes")).unwrap();
    place.assert_nothing_left();
}
