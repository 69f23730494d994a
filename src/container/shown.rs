//! How a container is shown: its state as far as it can be known now, in words and in columns.

use layerfs_driver::store::container::{Base, Container, State};
use layerfs_driver::sys::process::{self, Process};

use super::pause::is_paused;
use crate::output::time;

/// The exit status of what died without saying its own.
pub const DIED: u8 = 137;

/// What a container is doing. One that said it runs and is held by no process has ended with its command, once its first
/// process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Nothing has run in it yet.
    Created {
        /// The exit status of the last attempt to start it; 0 where there was none.
        code: u8,
        /// Why that failed; empty where there was none.
        error: String,
    },
    /// Its first process runs.
    Running {
        /// That process.
        pid: u32,
    },
    /// It has ended.
    Exited {
        /// Its exit status.
        code: u8,
        /// When, in milliseconds since 1970; `None` where nobody was there to see it.
        finished_ms: Option<u64>,
        /// Whether the kernel ended a process of it for lack of memory.
        oom_killed: bool,
        /// What went wrong; empty where nothing did.
        error: String,
    },
}

impl Doing {
    /// What this container is doing.
    pub fn of(container: &Container) -> Self {
        let created = || Doing::Created { code: 0, error: String::new() };
        match &container.state {
            State::Exited(exited) if exited.never_ran() => {
                Doing::Created { code: exited.exit_code, error: exited.error.clone() }
            }
            State::Exited(exited) => Doing::Exited {
                code: exited.exit_code,
                finished_ms: Some(exited.finished_ms),
                oom_killed: exited.oom_killed,
                error: exited.error.clone(),
            },
            State::Running { pid, pid_start_ticks, .. }
                if container.is_living || is_there(*pid, *pid_start_ticks) =>
            {
                Doing::Running { pid: *pid }
            }
            State::Idle => created(),
            State::Created if container.is_living => created(),
            State::Created | State::Running { .. } => Doing::Exited {
                code: DIED,
                finished_ms: None,
                oom_killed: false,
                error: "the command that ran it died".into(),
            },
        }
    }

    /// Docker's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Doing::Created { .. } => "created",
            Doing::Running { .. } => "running",
            Doing::Exited { .. } => "exited",
        }
    }

    /// The STATUS column.
    pub fn status(&self, container: &Container, now_ms: u64) -> String {
        let since = |then_ms: u64| {
            time::span(i64::try_from(now_ms.saturating_sub(then_ms) / 1000).unwrap_or(i64::MAX))
        };
        match self {
            Doing::Created { .. } => "Created".into(),
            Doing::Running { .. } => {
                format!("Up {}", since(container.state.started_ms().unwrap_or(now_ms)))
            }
            Doing::Exited { code, finished_ms: Some(then_ms), .. } => {
                format!("Exited ({code}) {} ago", since(*then_ms))
            }
            Doing::Exited { code, finished_ms: None, .. } => {
                format!("Exited ({code}), died with its command")
            }
        }
    }
}

/// Docker's word for what a container is doing, paused ones told.
pub fn word_of(container: &Container) -> &'static str {
    if is_paused(container) { "paused" } else { Doing::of(container).word() }
}

/// The STATUS column, paused ones told.
pub fn status_of(container: &Container, now_ms: u64) -> String {
    let status = Doing::of(container).status(container, now_ms);
    if is_paused(container) { format!("{status} (Paused)") } else { status }
}

/// Whether the first process has not ended: one that nobody has waited for yet has.
pub fn has_first(container: &Container) -> bool {
    match &container.state {
        State::Running { pid, pid_start_ticks, .. } => {
            is_there(*pid, *pid_start_ticks) && !process::has_ended(*pid)
        }
        _ => false,
    }
}

/// Whether the first process outlives its command: for the moment until the serving process has ended it.
fn is_there(pid: u32, start_ticks: u64) -> bool {
    match Process::find(pid, start_ticks) {
        Ok(found) => found.is_some(),
        Err(error) => {
            tracing::debug!("look for process {pid}: {error}");
            false
        }
    }
}

/// The IMAGE column: the user's words for the image, or the directory.
pub fn base(container: &Container) -> &str {
    match &container.base {
        Base::Image { called, .. } => called,
        Base::Rootfs(path) => path,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use layerfs_driver::store::Store;
    use layerfs_driver::store::container::{Exited, Keep, NewContainer};

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    /// A container that was really made, so that nothing of it is invented here.
    fn made() -> Container {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        let new = NewContainer {
            name: Some("web".into()),
            base: Base::rootfs(Path::new("/r")),
            command: Vec::new(),
            hostname: None,
            keep: Keep::Kept,
            details: serde_json::Map::new(),
            said: serde_json::Value::Null,
            volumes: Vec::new(),
        };
        let _living = store.create_container(new).unwrap();
        store.find_container("web").unwrap()
    }

    #[test]
    fn states_are_told_in_dockers_words() {
        let mut web = made();
        let mut told = |is_living, state| {
            web.is_living = is_living;
            web.state = state;
            Doing::of(&web).status(&web, NOW)
        };
        let running = State::Running {
            pid: 7,
            pid_start_ticks: 1,
            started_ms: NOW - 180_500,
            has_no_network: false,
        };
        let exited = State::Exited(Exited {
            exit_code: 3,
            oom_killed: false,
            started_ms: Some(NOW - 7_300_000),
            finished_ms: NOW - 7_200_000,
            error: String::new(),
        });
        assert_eq!(told(true, State::Created), "Created");
        assert_eq!(told(true, running.clone()), "Up 3 minutes");
        assert_eq!(told(true, exited.clone()), "Exited (3) 2 hours ago");
        let State::Exited(ended) = exited.clone() else { panic!("it has ended") };
        for exit_code in [127, 130] {
            let refused = State::Exited(Exited { exit_code, started_ms: None, ..ended.clone() });
            assert_eq!(told(false, refused), "Created");
        }
        assert_eq!(told(false, exited), "Exited (3) 2 hours ago");
        assert_eq!(told(false, running), "Exited (137), died with its command");
        assert_eq!(told(false, State::Created), "Exited (137), died with its command");
    }
}
