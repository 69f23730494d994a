//! Processors are kept awake while requests come fast, and at no other time.

use std::path::Path;
use std::time::{Duration, Instant};

use layerfs_driver::sys::cpu_latency;

use crate::live::{Live, live, step};
use crate::support::machine;

const KEPT: &str = "/dev/cpu_dma_latency";

/// Whether the process that serves `mnt` limits the latency.
fn keeps_awake(live: &Live) -> bool {
    let [pid] = live.servers()[..] else { panic!("one process serves: {:?}", live.servers()) };
    let entries = machine::entries(Path::new(&format!("/proc/{pid}/fd")));
    entries.iter().any(|fd| std::fs::read_link(fd).is_ok_and(|target| target == Path::new(KEPT)))
}

/// Asks for absent names until the limit is there, for a while at most; answers whether it came.
fn is_kept_awake_by_asking(live: &Live, word: &str) -> bool {
    // A second is many times what it takes: where it must not come it does not then.
    let limit = Duration::from_secs(if word == "cpu_latency=usual" { 1 } else { 20 });
    let (ends, mut asked) = (Instant::now() + limit, 0);
    while Instant::now() < ends {
        for _ in 0..200 {
            asked += 1;
            assert!(!live.place.join(&format!("mnt/absent-{asked}")).exists());
        }
        if keeps_awake(live) {
            return true;
        }
    }
    false
}

#[test]
fn processors_are_kept_awake_while_requests_come_fast() {
    let Some(live) = live() else { return };
    if cpu_latency::lightest().is_none() {
        return; // the kernel has no idle states here
    }
    for (word, is_kept) in [("cpu_latency=auto", true), ("cpu_latency=usual", false)] {
        let options = format!("lowerdir=base,upperdir=up,workdir=work,{word}");
        assert_eq!(live.place.run(&["mount", "-o", &options, "mnt"]).status, Some(0));
        assert!(!keeps_awake(&live), "{word}: nobody has asked");
        assert_eq!(is_kept_awake_by_asking(&live, word), is_kept, "{word}");
        let until = Instant::now() + Duration::from_secs(10);
        while keeps_awake(&live) && Instant::now() < until {
            step();
        }
        assert!(!keeps_awake(&live), "{word}: nobody asks any more");
        live.umount();
    }
    live.assert_nothing_left();
}
