//! What a container sees at /sys/fs/cgroup, as plain data for whoever mounts it.

use std::path::PathBuf;

use super::container::Cgroup;
use super::v2::V2Group;

/// What to put at /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The container has no groups: an empty directory.
    Nothing,
    /// Version 2 alone: a `cgroup2` mount made in the container's cgroup namespace, whose root is `payload`.
    Namespace {
        /// The host's path of the namespace's root.
        payload: PathBuf,
    },
    /// A directory of binds, each read-only, and symbolic links.
    Directory {
        /// Name in the directory, and the host's path of the container's own group, to be bound there.
        binds: Vec<(String, PathBuf)>,
        /// Name in the directory, and what the link holds.
        links: Vec<(String, String)>,
    },
}

/// Files that read the same in both versions: version 2's name, the controller, version 1's name. A program that looks for
/// its limit finds it where version 2 has it, on every host. There is no `cgroup.controllers` among them: programs take it
/// for the sign of version 2, and would then miss the rest.
const SAME: [(&str, &str, &str); 3] = [
    ("memory.max", "memory", "memory.limit_in_bytes"),
    ("memory.current", "memory", "memory.usage_in_bytes"),
    ("pids.max", "pids", "pids.max"),
];

/// The name of version 2's tree beside those of version 1.
const UNIFIED: &str = "unified";

impl Cgroup {
    /// What the container shall see of its groups.
    pub fn view(&self) -> View {
        let leaf = self.v2.as_ref().and_then(V2Group::payload).map(|group| group.path());
        match (self.v1.is_empty(), leaf) {
            (true, None) => View::Nothing,
            (true, Some(payload)) => View::Namespace { payload: payload.to_path_buf() },
            (false, leaf) => self.directory(leaf.map(PathBuf::from)),
        }
    }

    fn directory(&self, leaf: Option<PathBuf>) -> View {
        let mut binds = Vec::new();
        let mut links = Vec::new();
        for group in &self.v1 {
            let name = group.controllers.join(",");
            if group.controllers.len() > 1 {
                let each = group.controllers.iter();
                links.extend(each.map(|controller| ((*controller).to_owned(), name.clone())));
            }
            for (link, _, file) in SAME.iter().filter(|(_, of, _)| group.has(of)) {
                links.push(((*link).to_owned(), format!("{name}/{file}")));
            }
            binds.extend(group.payload().map(|payload| (name, payload.path().to_path_buf())));
        }
        if let Some(leaf) = leaf {
            let absent =
                SAME.iter().filter(|(_, of, _)| !self.v1.iter().any(|group| group.has(of)));
            links
                .extend(absent.map(|(link, ..)| ((*link).to_owned(), format!("{UNIFIED}/{link}"))));
            binds.push((UNIFIED.to_owned(), leaf));
        }
        View::Directory { binds, links }
    }
}
