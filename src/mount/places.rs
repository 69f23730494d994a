//! The directories of a mount: each of the user's paths resolved once, and what may not lie in what.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::standing::{MountTable, Standing};

use super::dead;

/// A directory as the kernel knows it, with what messages call it.
#[derive(Debug)]
struct Place {
    role: &'static str,
    path: PathBuf,
    standing: Standing,
}

/// Resolves directories on one view of the mounts.
pub struct Resolver(MountTable);

/// All directories of one mount, absolute and without links: the serving process resolves no path of the user's.
#[derive(Debug)]
pub struct Places {
    mountpoint: Place,
    lowers: Vec<Place>,
    /// What the lowers do not show: the store, where it lies in one of them.
    hidden: Vec<Place>,
    /// The upper with its work directory.
    upper: Option<(Place, Place)>,
}

impl Resolver {
    /// Reads what mounts there are.
    pub fn new() -> Result<Resolver> {
        Ok(Resolver(MountTable::read().context("read the mounts of this process")?))
    }

    fn place(&self, role: &'static str, path: &Path) -> Result<Place> {
        let deed = || format!("{role} `{}`", path.display());
        let opened = match dir::open_path(path) {
            Err(error) if dead::is_of_dead(&error) => bail!("{}: {}", deed(), dead::cure(path)),
            opened => opened.with_context(deed)?,
        };
        let standing = self.0.standing(&opened).with_context(deed)?;
        Ok(Place { role, path: dir::path_of(&opened).with_context(deed)?, standing })
    }

    /// The directories of a mount without lower directories and without an upper.
    pub fn at(&self, mountpoint: &Path) -> Result<Places> {
        let mountpoint = self.place("mountpoint", mountpoint)?;
        Ok(Places { mountpoint, lowers: Vec::new(), hidden: Vec::new(), upper: None })
    }

    /// Adds lower directories, the first on top. None is the store, and none shows it.
    pub fn add_lowers(
        &self,
        places: &mut Places,
        lowers: &[PathBuf],
        store: Option<&Path>,
    ) -> Result<()> {
        let lower = |path: &PathBuf| self.place("lower directory", path);
        places.lowers = lowers.iter().map(lower).collect::<Result<_>>()?;
        let Some(store) = store else { return Ok(()) };
        match self.place("store", store) {
            Ok(store) => {
                places.lowers.iter().try_for_each(|lower| refuse_same(&store, lower))?;
                let is_shown = places.lowers.iter().any(|lower| lies_in(&store, lower));
                places.hidden.extend(is_shown.then_some(store));
                Ok(())
            }
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds the upper and its work directory.
    pub fn add_upper(&self, places: &mut Places, upper: &Path, work: &Path) -> Result<()> {
        let upper = self.place("upper directory", upper)?;
        places.upper = Some((upper, self.place("work directory", work)?));
        Ok(())
    }

    /// Refuses an upper or a work directory in the store: what lies there belongs to the store, and may go.
    pub fn refuse_in_store(&self, places: &Places, store: &Path) -> Result<()> {
        let store = self.place("store", store)?;
        let changed = places.upper.iter().flat_map(|(upper, work)| [upper, work]);
        changed.into_iter().try_for_each(|changed| refuse_inside(changed, &store))
    }
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(layerfs_driver::sys::SysError::is_absent)
}

impl Places {
    /// Refuses directories that lie in one another.
    pub fn check(&self) -> Result<()> {
        if let Some((upper, work)) = &self.upper {
            refuse_overlap(work, upper)?;
            if !upper.standing.shares_mount_with(&work.standing) {
                bail!(
                    "upper directory `{}` and work directory `{}` are not on one mount of one file system",
                    upper.path.display(),
                    work.path.display()
                );
            }
            for changed in [upper, work] {
                for lower in &self.lowers {
                    refuse_inside(lower, changed)?;
                    self.refuse_shown(changed, lower)?;
                }
                // What is mounted in the upper would belong to it: the mount would wait for itself.
                refuse_inside(&self.mountpoint, changed)?;
            }
        }
        self.check_lowers()?;
        // A lower may itself be the mountpoint: it is held by a descriptor from before.
        let covering = |lower: &&Place| !lower.standing.is(&self.mountpoint.standing);
        self.lowers
            .iter()
            .filter(covering)
            .try_for_each(|lower| self.refuse_shown(&self.mountpoint, lower))
    }

    /// Refuses a lower that another shows: a file would have two names under one number, and be no hard link. In order of
    /// their paths each stands after all that it lies in.
    fn check_lowers(&self) -> Result<()> {
        let mut sorted: Vec<&Place> = self.lowers.iter().collect();
        sorted.sort_by(|one, other| one.standing.order(&other.standing));
        let mut outer: Vec<&Place> = Vec::new();
        for lower in sorted {
            while outer.last().is_some_and(|last| !lies_in(lower, last)) {
                outer.pop();
            }
            outer.iter().try_for_each(|outer| self.refuse_shown(lower, outer))?;
            outer.push(lower);
        }
        Ok(())
    }

    /// Refuses what a lower would show. Below a directory that is hidden in it nothing is shown.
    fn refuse_shown(&self, inner: &Place, lower: &Place) -> Result<()> {
        let hides =
            |hidden: &&Place| lies_in(hidden, lower) && !hidden.standing.is(&lower.standing);
        let covered = |hidden: &Place| lies_in(inner, hidden);
        if self.hidden.iter().filter(hides).any(covered) {
            return Ok(());
        }
        refuse_inside(inner, lower)
    }

    /// Where to mount.
    pub fn mountpoint(&self) -> PathBuf {
        self.mountpoint.path.clone()
    }

    /// The lower directories, the first on top.
    pub fn lowers(&self) -> Vec<PathBuf> {
        self.lowers.iter().map(|lower| lower.path.clone()).collect()
    }

    /// What the lower directories are not to show.
    pub fn hidden(&self) -> Vec<PathBuf> {
        self.hidden.iter().map(|hidden| hidden.path.clone()).collect()
    }

    /// The upper and its work directory.
    pub fn upper(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        match &self.upper {
            Some((upper, work)) => (Some(upper.path.clone()), Some(work.path.clone())),
            None => (None, None),
        }
    }
}

fn refuse_overlap(one: &Place, other: &Place) -> Result<()> {
    refuse_inside(one, other)?;
    refuse_inside(other, one)
}

fn lies_in(inner: &Place, outer: &Place) -> bool {
    inner.standing.is_within(&outer.standing)
}

fn refuse_same(one: &Place, other: &Place) -> Result<()> {
    if one.standing.is(&other.standing) {
        let (one_path, other_path) = (one.path.display(), other.path.display());
        if (one.role, &one.path) == (other.role, &other.path) {
            bail!("{} `{one_path}` is given twice", one.role);
        }
        bail!("{} `{one_path}` is the {} `{other_path}` too", one.role, other.role);
    }
    Ok(())
}

fn refuse_inside(inner: &Place, outer: &Place) -> Result<()> {
    refuse_same(inner, outer)?;
    if lies_in(inner, outer) {
        let (inner_path, outer_path) = (inner.path.display(), outer.path.display());
        bail!(
            "{} `{inner_path}` lies inside the {} `{outer_path}`: choose one outside of it",
            inner.role,
            outer.role
        );
    }
    Ok(())
}
