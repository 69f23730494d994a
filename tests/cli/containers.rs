//! Containers as users meet them: listed, inspected, removed, and what they keep from going.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Base, Exited, Keep, Living, NewContainer, State};
use layerfs_driver::sys::host;
use layerfs_driver::sys::process;
use serde_json::{Map, Value, json};

use crate::layout::big;
use crate::place::Place;

/// What runs containers in these tests: this process, in the place of `layerfs run`.
pub fn make(place: &Place, name: &str, base: Base, keep: Keep) -> Living {
    let details = Map::from_iter([
        ("Config".to_owned(), json!({ "Hostname": "h", "Env": ["A=b"] })),
        ("HostConfig".to_owned(), json!({ "Memory": 52_428_800 })),
    ]);
    let new = NewContainer {
        name: Some(name.into()),
        base,
        command: ["sh", "-c", "while true; do sleep 1; done"].map(String::from).into(),
        hostname: None,
        keep,
        details,
        said: serde_json::Value::Null,
        volumes: Vec::new(),
    };
    store(place).create_container(new).unwrap()
}

fn store(place: &Place) -> Store {
    Store::open(&place.join("store")).unwrap()
}

pub fn of_image(place: &Place, name: &str) -> Base {
    Base::image(&store(place).find(name).unwrap().image, name)
}

fn rootfs() -> Base {
    Base::rootfs(Path::new("/some/where"))
}

pub fn start(living: &Living) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid_start_ticks = process::start_ticks(child.id()).unwrap().unwrap();
    living
        .set_state(&State::Running {
            pid: child.id(),
            pid_start_ticks,
            started_ms: 0,
            has_no_network: false,
        })
        .unwrap();
    child
}

pub fn exited(exit_code: u8) -> Exited {
    Exited {
        exit_code,
        oom_killed: exit_code == 137,
        started_ms: Some(1),
        finished_ms: 7000,
        error: String::new(),
    }
}

/// Ends a container as `layerfs run` does: once its first process has gone.
fn supervise(mut child: Child, living: Living) {
    child.wait().unwrap();
    living.end(exited(137)).unwrap();
}

fn ends(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn containers_are_listed_in_dockers_columns() {
    let place = Place::new();
    store(&place);
    assert_eq!(
        place.said(&["ps"]),
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    );
    place.pull_small("small");
    let web = make(&place, "web", of_image(&place, "small:1"), Keep::Kept);
    let child = start(&web);
    let done = make(&place, "done", rootfs(), Keep::Kept);
    let done_id = done.id().clone();
    done.end(exited(3)).unwrap();

    let listed = place.said(&["ps"]);
    let [_, row] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    assert!(row.starts_with(web.id().short()) && row.ends_with("web"), "{row}");
    assert!(row.contains("small:1   \"sh -c while true; d…\"   "), "{row}");
    assert!(row.contains(" ago   Up 5"), "{row}");

    let all = place.said(&["ps", "-a", "--no-trunc"]);
    let ended = all.lines().find(|line| line.ends_with("done")).unwrap();
    assert!(ended.starts_with(done_id.hex()), "{ended}");
    assert!(ended.contains("/some/where   \"sh -c while true; do sleep 1; done\""), "{ended}");
    assert!(ended.contains("Exited (3) 5"), "{ended}");
    let mut ids: Vec<String> = place.said(&["ps", "-aq"]).lines().map(String::from).collect();
    ids.sort();
    let mut expected = [web.id().short().to_owned(), done_id.short().to_owned()];
    expected.sort();
    assert_eq!(ids, expected);

    let rows = place.rows(&["ps", "--json"]);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["state"], &rows[0]["pid"]), (&json!("running"), &json!(child.id())));
    drop(web);
    let rows = place.rows(&["ps", "--json"]);
    assert_eq!(rows.len(), 1, "its first process still lives");
    ends(child);
    let rows = place.rows(&["ps", "-a", "--json"]);
    let died = rows.iter().find(|row| row["name"] == "web").unwrap();
    assert_eq!((&died["state"], &died["exit_code"]), (&json!("exited"), &json!(137)));
    assert_eq!(died["status"], "Exited (137), died with its command");
}

#[test]
fn a_running_container_is_removed_by_force_alone() {
    let place = Place::new();
    let web = make(&place, "web", rootfs(), Keep::Kept);
    web.make_dir("upper").unwrap();
    let id = web.id().clone();
    let child = start(&web);
    let line = place.refused(&["rm", "web"]);
    assert!(line.contains("is running") && line.contains("`layerfs rm -f web`"), "{line}");
    assert_eq!(place.run(&["rm", id.short()]).status, Some(1));
    let supervisor = std::thread::spawn(move || supervise(child, web));
    assert_eq!(place.said(&["rm", "-f", id.short()]), format!("{}\n", id.short()));
    supervisor.join().unwrap();
    assert!(!place.join("store/containers").join(id.hex()).exists());

    // One that is thrown away is gone before it can be removed.
    let brief = make(&place, "brief", rootfs(), Keep::Throwaway);
    let child = start(&brief);
    let supervisor = std::thread::spawn(move || supervise(child, brief));
    assert_eq!(place.said(&["rm", "-f", "brief"]), "brief\n");
    supervisor.join().unwrap();
    assert_eq!(std::fs::read_dir(place.join("store/containers")).unwrap().count(), 0);
}

#[test]
fn force_kills_no_process_that_got_the_pid_later() {
    let place = Place::new();
    let web = make(&place, "web", rootfs(), Keep::Kept);
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = other.id();
    web.set_state(&State::Running {
        pid,
        pid_start_ticks: 1,
        started_ms: 0,
        has_no_network: false,
    })
    .unwrap();
    // Its command died; a sweep looks after it first, and meets the same pid.
    drop(web);
    assert_eq!(place.said(&["rm", "-f", "web"]), "web\n");
    assert!(other.try_wait().unwrap().is_none(), "another's process was killed");
    ends(other);
}

#[test]
fn what_a_dead_command_left_running_is_killed_by_the_next_sweep() {
    let place = Place::new();
    let web = make(&place, "web", rootfs(), Keep::Kept);
    let mut orphan = start(&web);
    drop(web);
    place.said(&["gc"]);
    assert!(!orphan.wait().unwrap().success());
    let rows = place.rows(&["ps", "-a", "--json"]);
    assert_eq!(rows[0]["error"], "the command that ran it died");
    assert!(rows[0]["finished"].is_string());
}

#[test]
fn each_container_that_can_not_be_removed_has_its_line() {
    let place = Place::new();
    make(&place, "done", rootfs(), Keep::Kept).end(exited(0)).unwrap();
    let run = place.run(&["rm", "absent", "done", "gone"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), "done\n"));
    let told: Vec<bool> =
        run.stderr.lines().map(|line| line.starts_with("layerfs: no container `")).collect();
    assert_eq!(told, [true, true], "{run:?}");
    let forced = place.run(&["rm", "-f", "absent"]);
    assert_eq!((forced.status, forced.stderr.lines().count()), (Some(0), 1), "{forced:?}");
}

#[test]
fn an_image_stays_while_a_container_uses_it() {
    let place = Place::new();
    let id = place.pull_small("small");
    let short = &id[7..19];
    let web = make(&place, "web", of_image(&place, "small:1"), Keep::Kept);
    for words in [&["rmi", "small:1"][..], &["rmi", short], &["rmi", "-f", short]] {
        let line = place.refused(words);
        assert!(line.contains("used by running container `web`"), "{words:?}: {line}");
    }
    web.end(exited(0)).unwrap();
    for words in [&["rmi", "small:1"][..], &["rmi", short]] {
        let line = place.refused(words);
        assert!(line.contains("used by stopped container `web`"), "{words:?}: {line}");
        assert!(line.contains("`layerfs rm web`") && line.contains("--force"), "{line}");
    }
    // A name that is not the last one can always go.
    place.said(&["tag", "small:1", "again"]);
    assert_eq!(place.said(&["rmi", "again"]), "Untagged: again:latest\n");

    let said = place.said(&["rmi", "-f", "small:1"]);
    assert_eq!(said, format!("Untagged: small:1\nDeleted: {id}\n"), "its layers stay");
    place.said(&["gc"]);
    let checked = place.said(&["fsck"]);
    assert!(checked.starts_with("checked: 0 images, 3 layers"), "{checked}");
    assert!(checked.contains(", 1 containers;"), "{checked}");
    place.said(&["rm", "web"]);
    place.said(&["gc"]);
    let checked = place.said(&["fsck"]);
    assert!(checked.starts_with("checked: 0 images, 0 layers"), "{checked}");
}

#[test]
fn force_takes_the_last_name_of_an_image_that_a_running_container_uses() {
    let place = Place::new();
    let id = place.pull_small("small");
    let web = make(&place, "web", of_image(&place, "small:1"), Keep::Throwaway);
    assert_eq!(place.said(&["rmi", "-f", "small:1"]), "Untagged: small:1\n");
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    drop(web);
    assert!(place.said(&["rmi", &id]).contains(&format!("Deleted: {id}\n")));
}

#[test]
fn a_container_is_inspected_under_dockers_keys() {
    let place = Place::new();
    let id = place.pull_small("small");
    let web = make(&place, "small", of_image(&place, "small:1"), Keep::Kept);
    let child = start(&web);
    let rows = place.rows(&["inspect", "small"]);
    assert_eq!((&rows[0]["Id"], &rows[0]["Image"]), (&json!(web.id().hex()), &json!(id)));
    assert_eq!(rows[0]["State"]["Pid"], child.id());
    assert_eq!(rows[0]["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
    assert_eq!((&rows[0]["Path"], &rows[0]["Args"][0]), (&json!("sh"), &json!("-c")));
    assert_eq!(rows[0]["HostConfig"]["Memory"], 52_428_800);
    let image = place.rows(&["inspect", "--type", "image", "small:1", "small:1"]);
    assert_eq!((image.len(), &image[1]["Id"]), (2, &json!(id)));
    let line = place.run(&["inspect", "--type", "container", "small:1"]);
    assert!(line.stderr.contains("no container `small:1`"), "{line:?}");
    let line = place.run(&["inspect", "absent"]);
    assert!(line.stderr.contains("no container and no image `absent`"), "{line:?}");
    web.end(exited(137)).unwrap();
    let rows = place.rows(&["inspect", "small"]);
    let state = &rows[0]["State"];
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&json!(true), &json!(137)));
    assert_eq!(state["FinishedAt"], "1970-01-01T00:00:07.000Z");
    ends(child);
}

fn du(path: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn row<'a>(rows: &'a [Value], kind: &str) -> &'a Value {
    rows.iter().find(|row| row["type"] == kind).unwrap()
}

#[test]
fn what_containers_take_is_what_du_counts() {
    let place = Place::on_disk();
    place.pull_small("small");
    let web = make(&place, "web", of_image(&place, "small:1"), Keep::Kept);
    let done = make(&place, "done", rootfs(), Keep::Kept);
    for living in [&web, &done] {
        living.make_dir("upper").unwrap();
        let upper = place.join("store/containers").join(living.id().hex()).join("upper");
        std::fs::write(upper.join("file"), big(b'f').repeat(20)).unwrap();
        std::fs::hard_link(upper.join("file"), upper.join("again")).unwrap();
        let sparse = std::fs::File::create(upper.join("hole")).unwrap();
        sparse.write_all_at(b"end", 100 << 20).unwrap();
        std::fs::create_dir_all(upper.join("a/b/c/d")).unwrap();
    }
    done.end(exited(0)).unwrap();
    let rows = place.rows(&["df", "--json"]);
    let size = |kind: &str, key: &str| row(&rows, kind)[key].as_u64().unwrap();
    let (ours, theirs) =
        (size("images", "size") + size("containers", "size"), du(&place.join("store")));
    assert!(ours.abs_diff(theirs) * 100 <= theirs, "df says {ours}, du says {theirs}");
    let counts = ["total", "active"].map(|key| size("containers", key));
    assert_eq!(counts, [2, 1]);
    let ended = size("containers", "reclaimable");
    assert!(ended >= 200_000 && ended < size("containers", "size"), "{ended}");
    // The one image is in use: what it needs can't be had back.
    assert_eq!((size("images", "active"), size("images", "reclaimable")), (1, 0));
    drop(web);
    place.said(&["rm", "web", "done"]);
    let rows = place.rows(&["df", "--json"]);
    assert_eq!(row(&rows, "containers")["size"], 0);
    assert!(row(&rows, "images")["reclaimable"].as_u64().unwrap() > 10_000);
}

#[test]
fn what_died_goes_with_the_next_gc() {
    let place = Place::new();
    store(&place);
    let dead = place.join("store/containers").join("d".repeat(64));
    std::fs::create_dir_all(dead.join("upper/a")).unwrap();
    std::fs::write(dead.join("upper/a/file"), big(b'x')).unwrap();
    assert_eq!(place.said(&["ps", "-a", "-q"]), "");
    let row = &place.rows(&["gc", "--json"])[0];
    assert_eq!(row["containers"], 1);
    assert!(row["bytes"].as_u64().unwrap() > 10_000, "{row}");
    assert!(!dead.exists());
}

#[test]
fn damage_to_a_container_is_found_and_mended() {
    let place = Place::new();
    let make = |name| make(&place, name, rootfs(), Keep::Kept);
    let (record, state) = (make("record"), make("state"));
    let below = |living: &Living, file: &str| {
        place.join("store/containers").join(living.id().hex()).join(file)
    };
    std::fs::write(below(&record, "container.json"), b"{").unwrap();
    std::fs::write(below(&state, "state.json"), b"").unwrap();
    let running = place.run(&["fsck", "--repair"]);
    assert_eq!(running.stdout.matches("it runs").count(), 2, "{running:?}");
    drop((record, state));
    let told = place.run(&["fsck"]);
    assert_eq!((told.status, told.stdout.matches("damaged: container ").count()), (Some(1), 2));
    let line = place.refused(&["ps"]);
    assert!(line.contains("`layerfs fsck`"), "{line}");
    let mended = place.said(&["fsck", "--repair"]);
    for state in ["set aside", "mended"] {
        assert_eq!(mended.matches(&format!("{state}: container ")).count(), 1, "{mended}");
    }
    place.said(&["fsck"]);
    let rows = place.rows(&["ps", "-a", "--json"]);
    assert_eq!(
        (rows.len(), &rows[0]["name"], &rows[0]["exit_code"]),
        (1, &json!("state"), &json!(137))
    );
    assert_eq!(std::fs::read_dir(place.join("store/damaged")).unwrap().count(), 1);
    place.said(&["gc"]);
    assert_eq!(std::fs::read_dir(place.join("store/damaged")).unwrap().count(), 0);
}

#[test]
fn removal_by_force_does_not_wait_for_ever() {
    let place = Place::new();
    let web = make(&place, "web", rootfs(), Keep::Kept);
    let line = place.refused(&["rm", "-f", "web"]);
    assert!(line.contains("its first process is not known after 10 s"), "{line}");
    // Its first process is killed, and this process, which runs it, does not care.
    let child = start(&web);
    let before = Instant::now();
    let line = place.refused(&["rm", "-f", "web"]);
    assert!(line.contains("has not ended within 10 s"), "{line}");
    assert!(before.elapsed() >= Duration::from_secs(10));
    ends(child);
}

#[test]
fn containers_are_chosen_by_filters_and_shown_by_templates() {
    let place = Place::new();
    place.pull_small("small");
    let web = make(&place, "web", of_image(&place, "small:1"), Keep::Kept);
    // Of two that were made in one millisecond either may come first.
    let made_ms = host::now_ms();
    while host::now_ms() == made_ms {
        std::thread::yield_now();
    }
    drop(make(&place, "old", of_image(&place, "small:1"), Keep::Kept));
    let ps =
        |words: &[&str]| place.said(&[&["ps", "-a", "--format", "{{.Names}}"], words].concat());
    for (filter, names) in [
        ("name=we", "web\n"),
        ("status=exited", "old\n"),
        ("status=created", "web\n"),
        ("exited=137", "old\n"),
        ("ancestor=small:1", "old\nweb\n"),
        ("ancestor=other", ""),
        ("label=none", ""),
        ("volume=none", ""),
    ] {
        assert_eq!(ps(&["--filter", filter]), names, "{filter}");
    }
    assert_eq!(ps(&["-f", "name=web", "-f", "name=old", "-f", "status=created"]), "web\n");
    assert_eq!(ps(&["-n", "1"]), "old\n");
    for (filter, told) in [
        ("name", "write KEY=VALUE"),
        ("size=1", "there is no key `size`"),
        ("status=dead", "a status is one of"),
        ("exited=x", "a number from 0 to 255"),
    ] {
        let line = place.run(&["ps", "--filter", filter]).refusal(2);
        assert!(line.contains(told), "{filter}: {line}");
    }
    let row = place.said(&["ps", "-a", "--latest", "--format", "table {{.Names}}\\t{{.State}}"]);
    assert_eq!(row, "NAMES     STATE\nold       exited\n");
    let env =
        place.said(&["inspect", "-f", "{{.Name}} {{json .Config.Env}} {{.State.Running}}", "web"]);
    assert_eq!(env, "/web [\"A=b\"] false\n");
    let line = place.run(&["inspect", "-f", "{{.Names}}", "web"]).refusal(1);
    assert!(line.contains("there is no field `Names`; there are Id,"), "{line}");
    assert_eq!(place.said(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), "small:1\n");
    drop(web);
}

/// Whoever changes it, or starts it, goes by the words that it has read.
#[test]
fn words_that_were_read_before_others_were_noted_change_and_start_nothing() {
    let place = Place::new();
    make(&place, "web", rootfs(), Keep::Kept).end(exited(0)).unwrap();
    let store = store(&place);
    let read = store.find_container("web").unwrap();
    store.change_container(&read, (read.details.clone(), json!("new"))).unwrap();
    let refused = store.change_container(&read, (Map::new(), json!("late"))).unwrap_err();
    let told = "container `web` was changed, started or ended meanwhile; try again";
    assert_eq!(refused.to_string(), told);
    assert_eq!(store.start_container(&read, Keep::Kept).unwrap_err().to_string(), told);
    let now = store.find_container("web").unwrap();
    assert_eq!((&now.said, &now.details), (&json!("new"), &read.details));
    // It runs since: what was noted for its next start would be believed to hold.
    let living = store.start_container(&now, Keep::Kept).unwrap();
    let refused = store.change_container(&now, (Map::new(), json!("late"))).unwrap_err();
    assert_eq!(refused.to_string(), told);
    drop(living);
}
