//! Mounts whose serving process was killed.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::live::{Live, Stopped, live, step};

/// Kills what serves `mnt`, and waits until the kernel knows: a process that dies gives back its memory, and with it
/// `/proc/PID/exe`, before its files, so the mount itself is asked.
fn kill_server(live: &Live) {
    let [pid] = live.servers()[..] else { panic!("one process serves: {:?}", live.servers()) };
    let raw = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, Signal::KILL).unwrap();
    while rustix::fs::statfs(live.place.join("mnt")).err() != Some(Errno::NOTCONN) {
        step();
    }
}

#[test]
fn a_dead_mount_is_told_with_its_cure_and_what_it_changed_can_be_saved() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["mount", "small:1", "mnt"]);
    live.shell("echo kept > mnt/new");
    let at = live.place.join("mnt").display().to_string();
    let shows = |mode: &str| {
        let listed = live.place.said(&["mount"]);
        listed.lines().any(|line| line.contains(&at) && line.ends_with(mode))
    };
    assert!(shows("   rw"));
    kill_server(&live);
    assert!(shows("   dead"));
    let rows = live.place.rows(&["mount", "--json"]);
    let row = rows.iter().find(|row| row["mountpoint"] == *at).unwrap();
    assert_eq!(row["served"], false);
    let cure = "the process that served the mount there is gone: `layerfs umount mnt`";
    let line = live.place.refused(&["mount", "-o", "lowerdir=base", "mnt"]);
    assert_eq!(line, format!("mountpoint `mnt`: {cure}"));
    for words in [&["diff", "mnt"][..], &["commit", "mnt", "saved:1"]] {
        let line = live.place.refused(words);
        assert!(line.starts_with(&format!("`mnt`: {cure}; what was changed in a mount")), "{line}");
    }
    let upper = live.shell("ls -d store/containers/*/upper");
    live.place.said(&["commit", upper.trim_end(), "saved:1"]);
    live.place.said(&["umount", "mnt"]);
    live.place.said(&["mount", "saved:1", "mnt"]);
    assert_eq!(live.read("mnt/new"), "kept\n");
    live.umount();
    live.assert_nothing_left();
}

/// What was changed there lies in no store, and nobody but the user knows where.
#[test]
fn a_dead_mount_with_an_upper_of_the_users_is_told_with_that() {
    let Some(live) = live() else { return };
    let cure = "`mnt`: the process that served the mount there is gone: `layerfs umount mnt`";
    let own = "what was changed in it lies in its upper directory";
    let dirs = ["-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"];
    let with_lowers =
        format!("{cure}; {own}, which `layerfs diff` takes, with --lowerdir where it");
    let (diff, commit) = (&["diff", "mnt"][..], &["commit", "mnt", "saved:1"][..]);
    let told_of_dead = |words: &[&str], verbs: &[&[&str]], told: &str| {
        live.place.said(&[&["mount"], words].concat());
        live.shell("echo kept > mnt/new");
        kill_server(&live);
        for verb in verbs {
            let line = live.place.refused(verb);
            assert!(line.starts_with(told), "{words:?}: {line}");
            assert!(!line.contains("store"), "{words:?}: {line}");
        }
        live.place.said(&["umount", "mnt"]);
    };
    // Without a store, and with one that knows nothing of the mount.
    told_of_dead(&dirs, &[diff], &with_lowers);
    live.place.pull_small("small");
    told_of_dead(&dirs, &[diff, commit], &with_lowers);
    let upper = live.place.join("kept").display().to_string();
    let named = format!("{cure}; {own} `{upper}`, which `layerfs commit` and `diff` take");
    told_of_dead(&["--upper", "kept", "small:1", "mnt"], &[diff, commit], &named);
    // The cures.
    assert_eq!(live.place.said(&["diff", "kept"]), "A /new\n");
    let over = ["diff", "--lowerdir", "base", "--work", "work", "up"];
    assert_eq!(live.place.said(&over), "A /new\n");
    live.assert_nothing_left();
}

#[test]
fn many_mounts_that_hang_are_listed_in_the_time_of_one() {
    let Some(live) = live() else { return };
    let names: Vec<String> = (0..10).map(|number| format!("mnt/in/{number}")).collect();
    let at = |name: &String| live.place.join(name);
    for name in &names {
        std::fs::create_dir(at(name)).unwrap();
        live.place.said(&["mount", "-o", "lowerdir=base", name]);
    }
    let servers = live.servers();
    assert_eq!(servers.len(), names.len());
    let stopped = Stopped::stop(&servers);
    let begun = Instant::now();
    let listed = live.place.said(&["mount"]);
    let took = begun.elapsed();
    for name in &names {
        let at = at(name).display().to_string();
        let row = listed.lines().find(|line| line.split(' ').any(|word| word == at));
        assert!(row.is_some_and(|row| row.ends_with("   ro")), "{name}: {listed}");
    }
    assert!(took < Duration::from_secs(names.len() as u64) / 2, "{took:?}");
    drop(stopped);
    for name in &names {
        live.place.said(&["umount", name]);
        std::fs::remove_dir(at(name)).unwrap();
    }
    live.assert_nothing_left();
}
