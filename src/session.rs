//! What every verb is given: where things are, how to open the store, what the verb came to.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::dir;

use crate::output::log::LogLevel;
use crate::output::message;
use crate::owner::{self, What};
use crate::roots::Roots;

/// One run of the command.
#[derive(Debug)]
pub struct Session {
    roots: Roots,
    log_level: LogLevel,
}

/// What a verb came to that told its failures itself, each on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// All that was asked is done.
    Done,
    /// Something failed, and its line is printed.
    SomeFailed,
    /// A container ended with this status, or could not be run and its line is printed.
    Status(u8),
}

impl Outcome {
    /// Tells why some things can't be shown in a listing; the others are.
    pub fn of_unread(errors: Vec<StoreError>) -> Outcome {
        let outcome = if errors.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
        errors.into_iter().for_each(|error| message::error(&error.into()));
        outcome
    }
}

/// Words that are not understood by whoever reads them after clap, or not together: exit status 2.
#[derive(Debug)]
pub struct Misused(Cow<'static, str>);

impl Misused {
    /// What is wrong with them, and what would be right.
    pub fn of(told: impl Into<Cow<'static, str>>) -> Self {
        Misused(told.into())
    }
}

impl std::fmt::Display for Misused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

impl Session {
    /// A run that keeps its things in `roots`, and tells that much of itself.
    pub fn new(roots: Roots, log_level: LogLevel) -> Self {
        Session { roots, log_level }
    }

    /// Where the store and the running state are.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The words by which this program, started again, has the same places and tells as much.
    pub fn words(&self) -> Result<Vec<OsString>> {
        let places = [("--root=", &self.roots.store), ("--runroot=", &self.roots.run)];
        let mut words = Vec::new();
        for (option, place) in places {
            let Some(place) = place else { continue };
            // It does not begin in the directory that this one is in.
            let whole = std::path::absolute(place).with_context(|| {
                format!("find the directory that {option}{} is in", place.display())
            })?;
            let mut word = OsString::from(option);
            word.push(whole);
            words.push(word);
        }
        let level = self.log_level.to_possible_value();
        words.extend(level.map(|level| format!("--log-level={}", level.get_name()).into()));
        Ok(words)
    }

    /// The same run on the store in `place`.
    pub fn with_store(&self, place: PathBuf) -> Self {
        let roots = Roots { store: Some(place), ..self.roots.clone() };
        Session { roots, log_level: self.log_level }
    }

    /// Where the store is, whether or not there is one; an error where nothing says where.
    pub fn place_of_store(&self) -> Result<&Path> {
        self.roots.store.as_deref().context(
            "no place for the store: neither XDG_DATA_HOME nor HOME is set, and the system knows no home of this \
             user; give --root DIR",
        )
    }

    /// Opens the store; an error where there is none. A misspelled `--root` must not make one.
    pub fn store(&self) -> Result<Store> {
        self.open("open the store", Store::open_existing)
    }

    /// Opens the store; where there is none, that is told, since the user may have meant another.
    pub fn store_if_there(&self) -> Result<Option<Store>> {
        match self.store() {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::NoStore(_))) => {
                message::say(error.to_string());
                Ok(None)
            }
            store => store.map(Some),
        }
    }

    /// Opens the store, and makes it where there is none yet: for what brings images in.
    pub fn store_to_fill(&self) -> Result<Store> {
        self.open("open or make the store", Store::open)
    }

    /// Opens the store, which is this user's or root's.
    fn open(
        &self,
        deed: &str,
        open: impl FnOnce(&Path) -> Result<Store, StoreError>,
    ) -> Result<Store> {
        let place = self.place_of_store()?;
        tracing::debug!("{deed} `{}`", place.display());
        // Before anything of another's is read, or made there.
        match dir::open_path(place) {
            Ok(there) => owner::check(&there, What::Store, place)?,
            // Who opens it says why it can't be, or makes it.
            Err(error) => tracing::debug!("{error}"),
        }
        let store = open(place)?;
        // The path may lead elsewhere by now.
        owner::check_store(store.root(), place)?;
        Ok(store)
    }
}
