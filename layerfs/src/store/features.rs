//! Trying what the store's file system can do.

use super::error::{During, StoreError};
use super::root::Store;
use crate::sys::{SysError, dir, file, host, xattr};

/// What came of each trial: the call's own answer.
#[derive(Debug)]
pub struct Features {
    /// Renaming without replacing (`RENAME_NOREPLACE`).
    pub rename_new: Result<(), SysError>,
    /// Files without a name (`O_TMPFILE`).
    pub unnamed_files: Result<(), SysError>,
    /// Extended attributes of users (`user.*`).
    pub user_xattrs: Result<(), SysError>,
    /// Extended attributes of root (`trusted.*`).
    pub trusted_xattrs: Result<(), SysError>,
}

impl Store {
    /// Tries each feature on a file of its own, which is gone afterwards.
    pub fn features(&self) -> Result<Features, StoreError> {
        let deed = || "try what the file system can do".to_owned();
        // Under presence gc does not run; what a killed trial leaves has the suffix of records that gc sweeps.
        let _presence = self.presence()?;
        let [name, renamed] = [host::random_u64().during(deed)?, host::random_u64().during(deed)?]
            .map(|digits| format!("{digits:016x}.new"));
        let trial = file::create_new(self.root(), name.as_str(), 0o600).during(deed)?;
        let features = Features {
            rename_new: dir::rename_new(self.root(), name.as_str(), self.root(), renamed.as_str()),
            unnamed_files: file::create_unnamed(self.root()).map(drop),
            user_xattrs: xattr::set(&trial, b"user.layerfs.trial", b"1"),
            trusted_xattrs: xattr::set(&trial, b"trusted.layerfs.trial", b"1"),
        };
        let left = if features.rename_new.is_ok() { renamed } else { name };
        dir::unlink(self.root(), left.as_str()).during(deed)?;
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_leave_nothing_and_gc_sweeps_what_a_killed_one_left() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        store.collect().unwrap();
        let before = dir::list(store.root()).unwrap().len();
        let features = store.features().unwrap();
        assert!(features.rename_new.is_ok() && features.user_xattrs.is_ok(), "{features:?}");
        assert_eq!(dir::list(store.root()).unwrap().len(), before);
        std::fs::write(scratch.path().join("0123456789abcdef.new"), b"").unwrap();
        store.collect().unwrap();
        assert_eq!(dir::list(store.root()).unwrap().len(), before);
    }
}
