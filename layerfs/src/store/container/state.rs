//! What a container is doing: `state.json`, replaced whole at each change.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Keep;
use crate::store::error::StoreError;
use crate::store::record;
use crate::sys::{SysError, host};

/// The form that this build writes, and the latest it knows.
const VERSION: u32 = 1;
const FILE: &str = "state.json";
/// What went wrong where nobody was left to say it.
const DIED: &str = "the command that ran it died";

/// What a container said last of itself. One that says `Running` and is not locked died with its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum State {
    /// Made to be started some time: nobody runs it yet.
    Idle,
    /// Being made, or started again, by the process that holds it; nothing in it has run since.
    Created,
    /// Its first process runs.
    Running {
        /// Its first process, as the host numbers it.
        pid: u32,
        /// When that process started, in clock ticks since the machine did.
        pid_start_ticks: u64,
        /// When it began, in milliseconds since 1970.
        started_ms: u64,
        /// Whether it has no network in this life, whatever its words ask for: none was asked for, or none could be had.
        #[serde(default)]
        has_no_network: bool,
    },
    /// It has ended.
    Exited(Exited),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The exit status of its first process, 128 and the signal where one ended it or its start, 125 to 127 where it could not be
    /// started.
    pub exit_code: u8,
    /// Whether the kernel ended a process of it for lack of memory.
    pub oom_killed: bool,
    /// When it began, in milliseconds since 1970; `None` where it never did.
    pub started_ms: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    pub finished_ms: u64,
    /// What went wrong, in words; empty where nothing did.
    pub error: String,
}

impl Exited {
    /// Whether it was never more than attempted: its program could not be started, or its start was broken off, and none of it was
    /// before. Of one whose command died nobody knows.
    pub fn never_ran(&self) -> bool {
        self.started_ms.is_none() && self.error != DIED
    }
}

impl State {
    /// When the first process began, in milliseconds since 1970.
    pub fn started_ms(&self) -> Option<u64> {
        match self {
            State::Idle | State::Created => None,
            State::Running { started_ms, .. } => Some(*started_ms),
            State::Exited(exited) => exited.started_ms,
        }
    }
}

/// Where a container's control groups are, where that is not right in the hierarchies.
pub(super) type Groups = Option<PathBuf>;

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    #[serde(flatten)]
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups_below: Groups,
    /// Of one that runs: since when the machine runs, in the kernel's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<String>,
}

/// When no process ever started: a process of before the machine started again is none, whoever has its number now.
const NEVER: u64 = u64::MAX;

/// What a container whose process is gone should have said.
pub(super) fn of_dead(said: &State, now_ms: u64) -> State {
    State::Exited(Exited {
        exit_code: 137,
        oom_killed: false,
        started_ms: said.started_ms(),
        finished_ms: now_ms,
        error: DIED.into(),
    })
}

pub(super) fn write(
    dir: &OwnedFd,
    keep: Keep,
    state: &State,
    groups: Option<&Path>,
) -> Result<(), SysError> {
    let groups_below = groups.map(Path::to_path_buf);
    let boot_id = matches!(state, State::Running { .. }).then(host::boot_id).transpose()?;
    let file = StateFile { version: VERSION, state: state.clone(), groups_below, boot_id };
    let text = serde_json::to_vec(&file)
        .map_err(|error| SysError::of_deed("write a state", error.to_string()))?;
    match keep {
        Keep::Kept => record::replace(dir, FILE, &text),
        Keep::Throwaway => record::replace_volatile(dir, FILE, &text),
    }
}

/// The state in a container's directory, and where its control groups are. An absent one is damage: it stands there before the
/// record.
pub(super) fn read(dir: &OwnedFd, what: &str) -> Result<(State, Groups), StoreError> {
    let damaged = |reason: String| StoreError::Damaged { what: format!("state of {what}"), reason };
    let text = match record::read(dir, FILE) {
        Err(error) if error.is_absent() => return Err(damaged("it is missing".into())),
        read => read.map_err(|source| StoreError::Call { deed: format!("read {what}"), source })?,
    };
    let file = decode(&text).map_err(damaged)?;
    of_this_boot(file).map_err(|source| StoreError::Call { deed: format!("read {what}"), source })
}

fn decode(text: &[u8]) -> Result<StateFile, String> {
    let file: StateFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if file.version > VERSION {
        return Err(format!("its version is {}, a newer layerfs wrote it", file.version));
    }
    Ok(file)
}

/// What it says now: of a process of before the machine started again, that there is none.
fn of_this_boot(mut file: StateFile) -> Result<(State, Groups), SysError> {
    if let (State::Running { pid_start_ticks, .. }, Some(boot_id)) =
        (&mut file.state, &file.boot_id)
        && *boot_id != host::boot_id()?
    {
        *pid_start_ticks = NEVER;
    }
    Ok((file.state, file.groups_below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let fd = crate::sys::dir::open_path(dir.path()).unwrap();
        let exited = |code| Exited {
            exit_code: code,
            oom_killed: true,
            started_ms: None,
            finished_ms: 3,
            error: "ü\n".into(),
        };
        let running = State::Running {
            pid: 7,
            pid_start_ticks: u64::MAX,
            started_ms: 1,
            has_no_network: true,
        };
        for state in [State::Idle, State::Created, running, State::Exited(exited(255))] {
            for keep in [Keep::Kept, Keep::Throwaway] {
                for groups in [None, Some(PathBuf::from("/sys/fs/cgroup/a b"))] {
                    write(&fd, keep, &state, groups.as_deref()).unwrap();
                    assert_eq!(read(&fd, "x").unwrap(), (state.clone(), groups));
                }
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_one_that_an_earlier_version_runs_no_network_is_known_to_lack() {
        let text = r#"{"version":1,"status":"running","pid":7,"pid_start_ticks":2,"started_ms":1}"#;
        let read = decode(text.as_bytes()).unwrap().state;
        assert!(matches!(read, State::Running { has_no_network: false, .. }), "{read:?}");
    }

    #[test]
    fn a_process_of_before_the_machine_started_again_is_none() {
        let ticks = |boot: &str| {
            let text = format!(
                r#"{{"version":1,"status":"running","pid":7,"pid_start_ticks":2,"started_ms":1{boot}}}"#
            );
            match of_this_boot(decode(text.as_bytes()).unwrap()).unwrap().0 {
                State::Running { pid_start_ticks, .. } => pid_start_ticks,
                other => panic!("{other:?}"),
            }
        };
        let own = host::boot_id().unwrap();
        assert_eq!(own.len(), 36, "{own}");
        assert_eq!(ticks(&format!(r#","boot_id":"{own}""#)), 2);
        assert_eq!(ticks(r#","boot_id":"6a3c0b0e-0000-4000-8000-000000000000""#), NEVER);
        // An earlier version said nothing of it.
        assert_eq!(ticks(""), 2);
    }

    #[test]
    fn what_was_only_attempted_never_ran_and_of_what_died_nobody_knows() {
        let never_ran = |exited: Exited| exited.never_ran();
        let attempted = |exit_code, started_ms| Exited {
            exit_code,
            oom_killed: false,
            started_ms,
            finished_ms: 3,
            error: "interrupted".into(),
        };
        for code in [125, 127, 130, 143] {
            assert!(never_ran(attempted(code, None)), "{code}");
            assert!(!never_ran(attempted(code, Some(1))), "{code}");
        }
        let State::Exited(died) = of_dead(&State::Created, 3) else { panic!("it has ended") };
        assert!(!never_ran(died));
    }

    /// As an earlier version wrote it, and without a word more where groups are where they always were.
    #[test]
    fn a_state_without_a_place_of_groups_is_as_it_was() {
        let text = r#"{"version":1,"status":"created"}"#;
        let read = decode(text.as_bytes()).unwrap();
        assert_eq!((read.state, read.groups_below), (State::Created, None));
        let dir = tempfile::tempdir().unwrap();
        let fd = crate::sys::dir::open_path(dir.path()).unwrap();
        write(&fd, Keep::Kept, &State::Created, None).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), text);
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"version":1}"#,
            r#"{"version":1,"status":"asleep"}"#,
            r#"{"status":"created"}"#,
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
        let newer = decode(br#"{"version":2,"status":"created"}"#).err().unwrap();
        assert!(newer.contains("newer layerfs"), "{newer}");
    }
}
