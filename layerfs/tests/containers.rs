//! Containers of the store: their names, their lives, what becomes of them.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use layerfs_driver::store::container::{Base, Exited, Keep, Living, NewContainer, Settled, State};
use layerfs_driver::store::{Repair, Store, StoreError};
use layerfs_driver::sys::process;
use serde_json::{Map, json};

struct Ground {
    scratch: tempfile::TempDir,
    store: Store,
}

impl Ground {
    fn new() -> Ground {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        Ground { scratch, store }
    }

    fn make(&self, name: &str, keep: Keep) -> Result<Living, StoreError> {
        let details = Map::from_iter([("HostConfig".to_owned(), json!({ "Memory": 7 }))]);
        self.store.create_container(NewContainer {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            base: Base::rootfs(Path::new("/some/where")),
            command: vec!["sh".into(), "-c".into(), "true".into()],
            hostname: None,
            keep,
            details,
            said: serde_json::Value::Null,
            volumes: Vec::new(),
        })
    }

    /// What stands below `containers/`.
    fn directories(&self) -> usize {
        std::fs::read_dir(self.scratch.path().join("store/containers")).unwrap().count()
    }

    fn names(&self) -> Vec<String> {
        self.store.containers().unwrap().into_iter().map(|one| one.name).collect()
    }

    fn settle_all(&self) -> Vec<Settled> {
        let dead = self.store.dead_containers().unwrap();
        dead.into_iter().map(|dead| dead.settle().unwrap()).collect()
    }
}

fn exited(code: u8) -> Exited {
    Exited {
        exit_code: code,
        oom_killed: false,
        started_ms: Some(1),
        finished_ms: 2,
        error: String::new(),
    }
}

fn running() -> State {
    let pid = std::process::id();
    let pid_start_ticks = process::start_ticks(pid).unwrap().unwrap();
    State::Running { pid, pid_start_ticks, started_ms: 1, has_no_network: false }
}

#[test]
fn a_kept_container_lives_ends_and_is_removed_by_name() {
    let ground = Ground::new();
    let living = ground.make("web", Keep::Kept).unwrap();
    living.make_dir("upper").unwrap();
    let found = ground.store.find_container("web").unwrap();
    assert_eq!((found.is_living, &found.state), (true, &State::Created));
    assert_eq!((&found.id, found.name.as_str()), (living.id(), "web"));
    assert_eq!(found.hostname, living.id().short());
    assert_eq!(found.command, ["sh", "-c", "true"]);
    assert_eq!(found.base, Base::Rootfs("/some/where".into()));
    assert_eq!(found.details["HostConfig"]["Memory"], 7);
    living.set_state(&running()).unwrap();
    let found = ground.store.find_container("web").unwrap();
    assert_eq!(found.state, running());
    let refused = ground.store.remove_container(&found).unwrap_err().to_string();
    assert!(refused.contains("`layerfs rm -f web`"), "{refused}");
    assert_eq!(ground.settle_all(), []);
    living.end(exited(3)).unwrap();
    let found = ground.store.find_container("web").unwrap();
    assert_eq!((found.is_living, found.state.clone()), (false, State::Exited(exited(3))));
    assert_eq!(ground.settle_all(), []);
    ground.store.remove_container(&found).unwrap();
    ground.store.remove_container(&found).unwrap();
    assert_eq!((ground.names().len(), ground.directories()), (0, 0));
}

/// Who removes a container has its lock, and then waits for that of all containers, which a start has.
#[test]
fn a_start_does_not_wait_for_who_removes_the_container() {
    let ground = Ground::new();
    ground.make("web", Keep::Kept).unwrap().end(exited(0)).unwrap();
    let found = ground.store.find_container("web").unwrap();
    let place = ground.scratch.path().join("store");
    let all = place.join("containers");
    let own = all.join(found.id.hex());
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..20 {
            let looks = File::open(&own).unwrap();
            looks.lock_shared().unwrap();
            let (store, found) = (Store::open(&place).unwrap(), found.clone());
            let starts = std::thread::spawn(move || {
                let started = store.start_container(&found, Keep::Kept);
                match started.and_then(Living::set_aside) {
                    Ok(()) | Err(StoreError::ContainerRuns(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            });
            let containers = File::open(&all).unwrap();
            while containers.try_lock().is_ok() {
                containers.unlock().unwrap();
                std::thread::yield_now();
            }
            looks.lock().unwrap();
            containers.lock().unwrap();
            drop((looks, containers));
            starts.join().unwrap();
        }
        done.send(()).unwrap();
    });
    ended
        .recv_timeout(Duration::from_secs(60))
        .expect("neither lets go of what the other waits for");
}

#[test]
fn a_throwaway_goes_when_it_ends_and_when_it_is_dropped() {
    let ground = Ground::new();
    let living = ground.make("one", Keep::Throwaway).unwrap();
    living.make_dir("upper").unwrap();
    assert_eq!(ground.names(), ["one"]);
    living.end(exited(0)).unwrap();
    assert_eq!(ground.directories(), 0);
    drop(ground.make("two", Keep::Throwaway).unwrap());
    assert_eq!(ground.directories(), 0);
}

#[test]
fn a_kept_container_whose_process_died_is_seen_and_repaired() {
    let ground = Ground::new();
    let living = ground.make("web", Keep::Kept).unwrap();
    living.set_state(&running()).unwrap();
    drop(living);
    let found = ground.store.find_container("web").unwrap();
    assert!(found.is_dead() && found.state == running());
    let dead = ground.store.dead_containers().unwrap();
    assert_eq!(*dead[0].id(), found.id);
    drop(dead);
    assert_eq!(ground.settle_all(), [Settled::Repaired]);
    let found = ground.store.find_container("web").unwrap();
    let State::Exited(ended) = found.state else { panic!("{found:?}") };
    assert_eq!((ended.exit_code, ended.started_ms), (137, Some(1)));
    assert_eq!(ground.settle_all(), []);
}

#[test]
fn what_was_never_whole_and_what_was_thrown_away_goes_without_being_read() {
    let ground = Ground::new();
    let below = ground.scratch.path().join("store/containers");
    for (digit, file) in [("a", None), ("b", Some("throwaway.json"))] {
        let name = digit.repeat(64);
        std::fs::create_dir(below.join(&name)).unwrap();
        if let Some(file) = file {
            std::fs::write(below.join(&name).join(file), b"").unwrap();
        }
    }
    assert_eq!(ground.names().len(), 0);
    ground.store.collect().unwrap();
    assert_eq!(ground.store.fsck(Repair::Report).unwrap().findings, []);
    let settled = ground.settle_all();
    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|settled| matches!(settled, Settled::Removed { .. })));
    assert_eq!(ground.directories(), 0);
}

#[test]
fn names_are_one_containers_and_those_not_chosen_are_invented() {
    let ground = Ground::new();
    let web = ground.make("web", Keep::Kept).unwrap();
    let clash = ground.make("web", Keep::Throwaway).unwrap_err().to_string();
    assert!(clash.contains(web.id().short()) && clash.contains("`layerfs rm web`"), "{clash}");
    let broken = ground.make("-web", Keep::Kept).unwrap_err().to_string();
    assert!(broken.starts_with("`-web` is no name for a container: "), "{broken}");
    let invented = ground.make("", Keep::Kept).unwrap();
    assert!(invented.name().contains('_'), "{}", invented.name());
    let mut names = ground.names();
    names.sort();
    let mut expected = [invented.name(), "web"];
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(ground.directories(), 2);
}

#[test]
fn a_container_is_found_by_id_by_name_and_by_the_beginning_of_one_id() {
    let ground = Ground::new();
    let one = ground.make("one", Keep::Kept).unwrap();
    let id = one.id().hex().to_owned();
    // A name that looks like the beginning of the other's id wins over it.
    let two = ground.make(&id[..6], Keep::Kept).unwrap();
    let found = |word: &str| ground.store.find_container(word).map(|found| found.id);
    assert_eq!(found(&id).unwrap(), *one.id());
    assert_eq!(found("one").unwrap(), *one.id());
    assert_eq!(found(&id[..7]).unwrap(), *one.id());
    assert_eq!(found(&id[..6]).unwrap(), *two.id());
    for absent in ["", "On", "g", &format!("{id}0")] {
        assert!(matches!(found(absent), Err(StoreError::NoSuchContainer(_))), "{absent}");
    }
    // Of seventeen ids two begin with the same digit.
    let more: Vec<Living> = (0..15).map(|_| ground.make("", Keep::Throwaway).unwrap()).collect();
    let first = |living: &Living| living.id().hex()[..1].to_owned();
    let ids = more.iter().chain([&one, &two]).map(first).collect::<Vec<_>>();
    let twice = ids.iter().find(|digit| ids.iter().filter(|other| other == digit).count() > 1);
    assert!(matches!(found(twice.unwrap()), Err(StoreError::Ambiguous { .. })));
}

/// Ends the sweepers when the makers are done, or when anyone fails.
struct EndAll<'a>(&'a AtomicBool);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makers, sweepers and lookers together: who is being made is not taken for dead, and no name is given twice.
#[test]
fn sweeps_leave_alone_what_is_being_made() {
    let ground = Ground::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ground, over) = (&ground, &over);
        let _end = EndAll(over);
        let makers: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || (0..50).map(|_| make_and_end(ground)).sum::<u32>()))
            .collect();
        for _ in 0..2 {
            scope.spawn(move || {
                let _end = EndAll(over);
                while !over.load(Ordering::Relaxed) {
                    ground.settle_all();
                    let names = ground.names();
                    assert!(names.iter().filter(|name| *name == "web").count() <= 1, "{names:?}");
                }
            });
        }
        let made: u32 = makers.into_iter().map(|maker| maker.join().unwrap()).sum();
        assert!(made > 0, "nobody ever had the name");
    });
    assert_eq!(ground.directories(), 0);
}

/// Makes a throwaway under the name that all want, and sees that it stays until its end. Answers whether the name was free.
fn make_and_end(ground: &Ground) -> u32 {
    let web = match ground.make("web", Keep::Throwaway) {
        Err(StoreError::NameTaken { .. }) => return 0,
        made => made.unwrap(),
    };
    let upper = web.make_dir("upper").unwrap();
    assert!(ground.store.find_container(web.id().hex()).unwrap().is_living);
    assert!(std::fs::metadata(format!("/proc/self/fd/{}", upper.as_raw_fd())).is_ok());
    web.end(exited(0)).unwrap();
    1
}

/// Somebody put it there: what is in it is not ours to remove.
#[test]
fn a_directory_that_is_not_called_as_a_container_is_none() {
    let ground = Ground::new();
    let below = ground.scratch.path().join("store/containers/c");
    std::fs::create_dir(&below).unwrap();
    std::fs::write(below.join("container.json"), b"").unwrap();
    assert_eq!(ground.settle_all(), []);
    ground.store.collect().unwrap();
    assert!(below.join("container.json").exists());
    let findings = ground.store.fsck(Repair::Report).unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn one_that_is_to_be_started_some_time_is_nobodys_and_no_sweep_takes_it() {
    let ground = Ground::new();
    ground.make("box", Keep::Kept).unwrap().set_aside().unwrap();
    assert!(ground.settle_all().is_empty());
    let found = ground.store.find_container("box").unwrap();
    assert_eq!((found.is_living, found.is_dead(), &found.state), (false, false, &State::Idle));
    let living = ground.store.start_container(&found, Keep::Kept).unwrap();
    let error = ground.store.start_container(&found, Keep::Kept).unwrap_err();
    assert_eq!(error.to_string(), "container `box` is running already");
    living.make_dir("upper").unwrap();
    living.end(exited(3)).unwrap();
    // Again, with what it wrote; then it goes with its process.
    let living = ground.store.start_container(&found, Keep::Throwaway).unwrap();
    living.make_dir("upper").unwrap();
    assert_eq!(ground.store.find_container("box").unwrap().keep, Keep::Throwaway);
    living.end(exited(0)).unwrap();
    assert_eq!(ground.directories(), 0);
    let error = ground.store.start_container(&found, Keep::Kept).unwrap_err();
    assert!(error.to_string().contains("no container `box`"), "{error}");
}

#[test]
fn a_container_is_renamed_unless_the_name_is_anothers_or_none() {
    let ground = Ground::new();
    let one = ground.make("one", Keep::Kept).unwrap();
    ground.make("two", Keep::Kept).unwrap().end(exited(0)).unwrap();
    let found = ground.store.find_container("one").unwrap();
    let error = ground.store.rename_container(&found, "two").unwrap_err();
    assert!(error.to_string().contains("the name `two` is that of container"), "{error}");
    assert!(ground.store.rename_container(&found, "-").is_err());
    ground.store.rename_container(&found, "three").unwrap();
    assert_eq!(ground.store.find_container("three").unwrap().id, found.id);
    assert!(ground.store.find_container("one").is_err());
    one.end(exited(0)).unwrap();
}
