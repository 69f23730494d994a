//! Owns kernel overlayfs as a subject: generated layers as directories, mounted by a worker process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::io::Errno;

use super::directory;
use super::layers::Layer;
use super::ops::Op;
use super::subject::{
    DirectoryLinks, HiddenNames, ListedNumbers, Numbers, OrphanLinks, Outcome, Rules, Snapshot,
    Subject,
};
use super::tree::Model;
use super::worker::{Answer, LIKE_ONE_FILESYSTEM, MARK, OPTIONS, PLACE, Request};

/// The test that serves as the worker: whoever has this subject has it, by the room that the model is.
const WORKER_TEST: &str = "model::worker::overlay_worker";

/// An overlay mount in another process.
pub struct KernelOverlay {
    worker: Child,
    /// Nothing once the worker has been told to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl KernelOverlay {
    /// Writes the layers below the directory `place`, made anew, and mounts them there. Needs root and `unshare`.
    pub fn new(place: &Path, layers: &[Layer]) -> KernelOverlay {
        write_layers(place, layers);
        KernelOverlay::mount(place, LIKE_ONE_FILESYSTEM)
    }

    /// Mounts `layer0` and so on, the lowest first, `upper` and `work` that are in `place`, at `merged` there.
    pub fn mount(place: &Path, options: &str) -> KernelOverlay {
        KernelOverlay::mount_with(place, options, &[])
    }

    /// The same with variables, of which empty ones are not set.
    pub fn mount_with(place: &Path, options: &str, variables: &[(&str, &str)]) -> KernelOverlay {
        let variables = variables.iter().filter(|(_, value)| !value.is_empty()).copied();
        let mut worker = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", WORKER_TEST, "--nocapture", "--test-threads=1"])
            .env(PLACE, place)
            .env(OPTIONS, options)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = worker.stdin.take();
        let answers = BufReader::new(worker.stdout.take().unwrap());
        let mut overlay = KernelOverlay { worker, requests, answers };
        assert!(matches!(overlay.answer(), Answer::Ready), "the worker is not ready");
        overlay
    }

    fn ask(&mut self, request: &Request) -> Answer {
        let line = serde_json::to_string(request).unwrap();
        let requests = self.requests.as_mut().expect("it is closed on drop only");
        writeln!(requests, "{line}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        loop {
            line.clear();
            let len = self.answers.read_line(&mut line).unwrap();
            assert!(len > 0, "the overlay worker ended");
            if let Some(answer) = line.strip_prefix(MARK) {
                return serde_json::from_str(answer).unwrap();
            }
        }
    }
}

/// `layer0` is the lowest. Where there is none, an empty one stands for it: overlayfs wants a lower.
pub fn write_layers(place: &Path, layers: &[Layer]) {
    if place.exists() {
        std::fs::remove_dir_all(place).unwrap();
    }
    let make = |name: String| {
        let path = place.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let empty = [Layer::default()];
    let layers = if layers.is_empty() { &empty[..] } else { layers };
    // Overlayfs lists a whiteout in a directory that it merges with nothing, though no lookup finds the name.
    let layers = Model::without_stray_whiteouts(layers);
    for (n, layer) in layers.iter().enumerate() {
        directory::write(&Model::on_disk(layer), &make(format!("layer{n}")));
    }
    make("work".into());
    make("merged".into());
    // The merged root shows the attributes of the upper's.
    directory::write(&Model::on_disk(&Layer::default()), &make("upper".into()));
}

impl Drop for KernelOverlay {
    fn drop(&mut self) {
        drop(self.requests.take());
        let ended = self.worker.wait().unwrap();
        assert!(std::thread::panicking() || ended.success(), "the overlay worker failed");
    }
}

impl Subject for KernelOverlay {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        match self.ask(&Request::Apply(op.clone())) {
            Answer::Applied(applied) => applied.map_err(Errno::from_raw_os_error),
            other => panic!("no answer to an operation: {other:?}"),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        match self.ask(&Request::Photograph) {
            Answer::Photograph(snapshot) => snapshot,
            other => panic!("no photograph: {other:?}"),
        }
    }

    fn remount(&mut self) {
        let answer = self.ask(&Request::Remount);
        assert!(matches!(answer, Answer::Ready), "no remount: {answer:?}");
    }

    fn rules(&self) -> Rules {
        Rules {
            directory_links: DirectoryLinks::Unspecified,
            hidden_names: HiddenNames::Counted,
            numbers: Numbers::Stable,
            listed_numbers: ListedNumbers::Loose,
            orphan_links: OrphanLinks::Unspecified,
        }
    }
}
