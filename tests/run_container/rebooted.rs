//! What a container's state says of before the machine started again.

use std::process::Command;

use serde_json::json;

use crate::carried::until;
use crate::place::Place;
use crate::support::{machine, need_root};

/// Who has the number of a container's first process now, and started at the same moment after the machine did.
#[test]
fn a_stranger_with_the_number_of_before_a_reboot_lives() {
    need_root!();
    let place = Place::new();
    for (same_boot, lives) in [(false, true), (true, false)] {
        let words = ["run", "-d", "--name", "web", "--rootfs", "/", "sleep", "1000"];
        place.layerfs(&words).said();
        let [dir] = &place.containers()[..] else { panic!("one container") };
        let state = dir.join("state.json");
        let mut said: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
        let first = said["pid"].as_u64().unwrap();
        // As when the machine stops: all at once.
        let store = place.join("store");
        let all = machine::pids().into_iter().filter(|pid| machine::works_in(*pid, &store));
        let killed: Vec<String> =
            all.map(u64::from).chain([first]).map(|pid| pid.to_string()).collect();
        assert!(Command::new("kill").arg("-9").args(&killed).status().unwrap().success());
        until(|| !machine::pids().contains(&u32::try_from(first).unwrap()));
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", stranger.id())).unwrap();
        let ticks: u64 =
            stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        said["pid"] = json!(stranger.id());
        said["pid_start_ticks"] = json!(ticks);
        if !same_boot {
            said["boot_id"] = json!("6a3c0b0e-0000-4000-8000-000000000000");
        }
        std::fs::write(&state, said.to_string()).unwrap();
        // Who served its root may hold it for a moment.
        until(|| {
            place.layerfs(&["gc"]).said();
            place.layerfs(&["ps", "-a", "--format", "{{.State}}"]).said() == "exited\n"
        });
        assert_eq!(stranger.try_wait().unwrap().is_none(), lives, "same boot: {same_boot}");
        place.layerfs(&["rm", "web"]).said();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    place.assert_nothing_left();
}
