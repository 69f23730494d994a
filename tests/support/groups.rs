//! The control groups of one store's containers. Others that run on the machine have groups beside them.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::inotify;

use super::machine;

/// Knows every container that a store has had.
pub struct Groups {
    /// Tells what is made in the store's containers: their ids, which nobody knows any more when they are gone.
    made: OwnedFd,
    ids: Mutex<BTreeSet<String>>,
}

impl Groups {
    /// Of a store's directory of containers, which is there.
    pub fn of(containers: &Path) -> Groups {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let made = inotify::init(flags).expect("inotify is there");
        inotify::add_watch(&made, containers, inotify::WatchFlags::CREATE)
            .expect("a directory of containers");
        Groups { made, ids: Mutex::default() }
    }

    /// The groups of this store's containers that are there, used or not, in every hierarchy.
    pub fn left(&self) -> Vec<PathBuf> {
        let mut ids = self.ids.lock().expect("no test has panicked with it");
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut made = inotify::Reader::new(&self.made, &mut space);
        while let Ok(event) = made.next() {
            ids.extend(event.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        let top = PathBuf::from("/sys/fs/cgroup");
        // Version 2 alone is mounted right there.
        let tops: Vec<PathBuf> = machine::entries(&top).into_iter().chain([top]).collect();
        let group = |id, top: &PathBuf| top.join("layerfs").join(id);
        let all = ids.iter().flat_map(|id| tops.iter().map(move |top| group(id, top)));
        all.filter(|group| group.is_dir()).collect()
    }
}
