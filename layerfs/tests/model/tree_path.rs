//! Owns the paths of a history: bytes below the tree's root, without `.` and `..`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A path below the root, or the target of a symbolic link. No bytes at all stand for the root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TreePath(Vec<u8>);

/// The path that a pasted test names: `p(b"a/b")`.
pub fn p(bytes: &[u8]) -> TreePath {
    TreePath(bytes.to_vec())
}

impl TreePath {
    pub fn root() -> TreePath {
        TreePath(Vec::new())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as `openat2` takes it, where the root is `.`.
    pub fn below_a_descriptor(&self) -> &[u8] {
        if self.is_root() { b"." } else { &self.0 }
    }

    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }

    pub fn depth(&self) -> usize {
        self.names().count()
    }

    pub fn join(&self, name: &[u8]) -> TreePath {
        let mut bytes = self.0.clone();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        TreePath(bytes)
    }

    /// The containing directory and the last name; none for the root.
    pub fn split(&self) -> Option<(TreePath, &[u8])> {
        let name = self.names().last()?;
        let parent = self.0.len() - name.len();
        Some((TreePath(self.0[..parent.saturating_sub(1)].to_vec()), name))
    }

    /// The same path below a directory of the machine.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(OsStr::from_bytes(&self.0))
    }
}

/// As code, so that a printed history can be pasted.
impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p(b\"{}\")", self.0.escape_ascii())
    }
}
