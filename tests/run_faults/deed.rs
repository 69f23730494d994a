//! What is done under faults: its words, what has to be there before, how it is known to have gone well.

use std::process::Output;

use crate::lane::Lane;

/// The container that some are about.
const BOX: &str = "box";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A container with a limit and a volume that nobody named runs.
    Run,
    /// One on a bridge, with a published port.
    RunOnBridge,
    /// One whose first process is an init of ours.
    RunWithInit,
    /// One with a device, limits, no capabilities, what is shown of the host, memory for files, and a quota.
    RunWithOptions,
    /// One is made that is not started.
    Create,
    /// One that was made is started in the background, on a bridge.
    Start,
    /// A further process runs in one.
    Exec,
    /// One that runs is ended and removed, with a volume that nobody named.
    Remove,
    /// One that runs is asked to end.
    Stop,
    /// One that runs is ended.
    Kill,
    /// One that runs is made to stand still.
    Pause,
    /// One that stands still goes on.
    Unpause,
    /// One that runs has other limits.
    Update,
    /// A directory is copied into one that does not run.
    CopyIn,
    /// A file is copied out of one.
    CopyOut,
}

impl Deed {
    /// Whether it needs a network that plays the host.
    pub fn has_host(self) -> bool {
        matches!(self, Deed::RunOnBridge | Deed::Start)
    }

    /// Whether it leaves nothing by itself.
    pub fn is_run(self) -> bool {
        use Deed::{Run, RunOnBridge, RunWithInit, RunWithOptions};
        matches!(self, Run | RunOnBridge | RunWithInit | RunWithOptions)
    }

    /// Makes what has to be there before.
    pub fn prepare(self, lane: &Lane) {
        let idle = ["/bin/busybox", "sh", "-c", "/bin/busybox sleep 1000; exit", lane.mark()];
        let words = match self {
            Deed::Run | Deed::RunOnBridge | Deed::RunWithInit | Deed::RunWithOptions => return,
            Deed::Create => return,
            Deed::Start => vec!["create", "--network", "bridge", "-p", "8080:80"],
            Deed::Exec | Deed::Stop | Deed::Kill | Deed::Pause => vec!["run", "-d"],
            Deed::Unpause | Deed::Update => vec!["run", "-d", "--memory", "50m"],
            Deed::Remove => vec!["run", "-d", "-v", "/mnt"],
            Deed::CopyIn | Deed::CopyOut => vec!["create"],
        };
        let words = [&words[..], &["--name", BOX, "small"], &idle].concat();
        let made = lane.layerfs(&words, None);
        assert!(made.status.success(), "{self:?}: {made:?}");
        if self == Deed::Unpause {
            let paused = lane.layerfs(&["pause", BOX], None);
            assert!(paused.status.success(), "{paused:?}");
        }
    }

    /// Its words. Those of each process that it starts have the lane's mark.
    pub fn words(self, lane: &Lane) -> Vec<String> {
        let shown = lane.join("shown").display().to_string();
        let out = lane.join("out").display().to_string();
        let words = match self {
            Deed::Run => "run --rm --memory 50m -v /mnt small".into(),
            Deed::RunOnBridge => "run --rm --network bridge -p 8080:80 small".into(),
            Deed::RunWithInit => "run --rm --init small".into(),
            Deed::RunWithOptions => format!(
                "run --rm --device /dev/null:/dev/x --memory 50m --pids-limit 20 --cap-drop ALL -v {shown}:/v --tmpfs /t \
                 --storage-opt size=10m small"
            ),
            Deed::Create => format!("create --name {BOX} -v /mnt small"),
            Deed::Start => format!("start {BOX}"),
            Deed::Exec => format!("exec {BOX}"),
            Deed::Remove => format!("rm -f -v {BOX}"),
            Deed::Stop => format!("stop -t 0 {BOX}"),
            Deed::Kill => format!("kill {BOX}"),
            Deed::Pause => format!("pause {BOX}"),
            Deed::Unpause => format!("unpause {BOX}"),
            Deed::Update => format!("update -m 60m --pids-limit 30 {BOX}"),
            Deed::CopyIn => format!("cp {shown} {BOX}:/in"),
            Deed::CopyOut => format!("cp {BOX}:/note {out}"),
        };
        words.split_whitespace().map(str::to_owned).chain(self.says_ran(lane)).collect()
    }

    /// The program of a container that says so, and its words.
    fn says_ran(self, lane: &Lane) -> Vec<String> {
        match self {
            _ if self.is_run() || matches!(self, Deed::Create | Deed::Exec) => {
                ["/bin/busybox", "sh", "-c", "echo ran", lane.mark()].map(str::to_owned).into()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it has come to what it is for.
    pub fn went_well(self, lane: &Lane, output: &Output) -> bool {
        output.status.success()
            && match self {
                Deed::Create => output.stdout.len() == 65,
                Deed::Start | Deed::Remove | Deed::Stop | Deed::Kill => output.stdout == b"box\n",
                Deed::Pause => output.stdout == b"box\n" && is(lane, "paused"),
                Deed::Unpause | Deed::Update => output.stdout == b"box\n" && is(lane, "running"),
                Deed::CopyIn => {
                    let out = lane.join("out");
                    let got = lane.layerfs(&["cp", "box:/in/file", out.to_str().unwrap()], None);
                    got.status.success() && lane.are_equal("out", "shown/file")
                }
                Deed::CopyOut => lane.are_equal("out", "tree/note"),
                _ => output.stdout == b"ran\n",
            }
    }

    /// What holds where it has not come to that.
    pub fn assert_half(self, lane: &Lane, output: &Output, case: &str) {
        // Who could not be seen to stand still goes on.
        let told = String::from_utf8_lossy(&output.stderr);
        let files = ["freezer.state", "cgroup.freeze", "cgroup.events"];
        if self == Deed::Pause && files.iter().any(|file| told.contains(file)) {
            assert!(is(lane, "running"), "{case}");
        }
    }

    /// The next command, which works whatever has happened, and takes away what the user has asked for.
    pub fn recover(self, lane: &Lane, case: &str) {
        let mut words = self.words(lane);
        if !self.is_run() {
            let removed = lane.layerfs(&["rm", "-f", "-v", BOX], None);
            assert!(removed.status.success(), "{case}: {removed:?}");
            if let Err(error) = std::fs::remove_file(lane.join("out")) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{case}");
            }
            words = Deed::RunWithInit.words(lane);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let next = lane.layerfs(&words, None);
        assert_eq!(
            (next.status.code(), &next.stdout[..]),
            (Some(0), &b"ran\n"[..]),
            "{case}: {next:?}"
        );
    }
}

/// Whether the container is in that state.
fn is(lane: &Lane, state: &str) -> bool {
    let told = lane.layerfs(&["inspect", "-f", "{{.State.Status}}", BOX], None);
    told.stdout == format!("{state}\n").into_bytes()
}
