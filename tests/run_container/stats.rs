//! `layerfs stats`: what containers take, as their groups count it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::exec::Up;
use crate::place::Place;
use crate::support::{need, need_root};

fn row(place: &Place) -> Value {
    let said = place.layerfs(&["stats", "--json", "box"]).said();
    serde_json::from_str::<Value>(&said).unwrap()[0].clone()
}

#[test]
fn what_a_container_takes_is_shown_as_its_groups_count_it() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let holds = "exec python3 -c 'import time; held = bytearray(40 << 20); time.sleep(1000)'";
    let options = ["--memory", "80m", "--cpus", "0.5"];
    let up = Up::new(&place, &options, holds);
    let memory = |row: &Value| row["memory"].as_u64().unwrap();
    while memory(&row(&place)) < 40 << 20 {}
    let idle = row(&place);
    assert!(memory(&idle) < 80 << 20 && idle["memory_limit"] == 80 << 20, "{idle}");
    assert!(idle["memory_percent"].as_f64().unwrap() >= 50.0, "{idle}");
    assert_eq!((&idle["pids"], &idle["sent"]), (&Value::from(1), &Value::from(0)));
    assert!(idle["cpu_percent"].as_f64().unwrap() < 20.0, "{idle}");
    // Whoever wants all there is gets what the limit leaves, in time.
    let mut busy = up.command(&[], &["sh", "-c", "while :; do :; done"]).spawn().unwrap();
    while row(&place)["pids"] != 2 {}
    let spent = row(&place);
    let percent = spent["cpu_percent"].as_f64().unwrap();
    assert!((1.0..=70.0).contains(&percent), "{spent}");
    let line =
        place.layerfs(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"]);
    let line = line.said();
    assert!(line.starts_with("box ") && line.contains("MiB / 80MiB"), "{line}");
    let table = place.layerfs(&["stats", "--no-stream"]).said();
    assert!(table.starts_with("CONTAINER ID") && table.lines().count() == 2, "{table}");
    busy.kill().unwrap();
    busy.wait().unwrap();
    up.end();
    assert_eq!(place.layerfs(&["stats", "--no-stream"]).said().lines().count(), 1);
    assert_eq!(place.layerfs(&["stats", "--no-stream", "box"]).status, 1);
    place.assert_nothing_left();
}

#[test]
fn stats_go_on_until_they_are_asked_to_end() {
    need_root!();
    let place = Place::new();
    let up = Up::idle(&place);
    let mut stats = place.command(&["stats", "--format", "{{.Name}}", "box"]);
    let mut child = stats.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "box\n");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    up.end();
    place.assert_nothing_left();
}
