//! What is said where memory ran out.

use layerfs_driver::store::container::Container;
use layerfs_runtime::Ended;
use layerfs_runtime::cgroup::Cgroup;

use crate::output::message;

/// The number of SIGKILL.
const KILL: u8 = 9;
/// How an init tells of that.
const KILLED: u8 = 128 + KILL;

/// Whether the kernel has killed a process of a container that runs, as its groups count.
pub fn has_killed(container: &Container) -> bool {
    let found = Cgroup::find(container.id.hex(), container.groups_below.as_deref());
    let count = found.and_then(|cgroup| cgroup.oom_kills()).unwrap_or_else(|error| {
        tracing::debug!("whether memory ran out in container {}: {error}", container.name);
        0
    });
    count > 0
}

/// Says in words that memory ran out: the status alone is that of any kill.
pub fn tell(oom_kills: u64, ended: Ended, name: &str, memory: Option<String>) {
    if oom_kills == 0 {
        return;
    }
    let limit = match memory {
        Some(word) => format!("its limit is {word}, --memory sets another"),
        None => "the machine had no more".to_owned(),
    };
    message::say(match ended {
        Ended::Killed(KILL) | Ended::Exited(KILLED) => {
            format!("container {name} was killed: out of memory; {limit}")
        }
        _ => format!("in container {name} processes were killed: out of memory; {limit}"),
    });
}
