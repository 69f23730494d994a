//! `mount -o remount,…`: other flags for a mount that is there. What it shows, and where changes go, stays.
//!
//! A mount becomes read-only as the kernel's overlayfs does: not while a file is open for writing, and what was written is on
//! disk then, unless it is `volatile`. mount(8) hands on the words that the mount has, and those of fstab(5): what is said
//! and can't be changed must be as it is.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::host::Rights;
use layerfs_driver::sys::mount::{self, MountFlags, Mounted, Propagation};
use layerfs_driver::sys::{Errno, dir, file};
use layerfs_driver::tree::IdRange;

use super::options::{Options, Rule, Whiteout};
use super::owners::Range;
use super::serve::{Flag, ServeArgs};
use super::served;
use crate::session::Outcome;

/// What is to be done to a mount that is there.
#[derive(Debug)]
pub struct Remount {
    /// How messages call it.
    shown: String,
    /// Where the kernel has it.
    at: PathBuf,
    before: MountFlags,
    after: MountFlags,
    propagation: Option<Propagation>,
    /// What its serving process was told.
    serve: Option<ServeArgs>,
}

impl Remount {
    /// Looks whether the mount at `at` can be what is said.
    pub fn check(at: &Path, said: (&Options, Unsaid), rights: Rights) -> Result<Remount> {
        let shown = format!("`{}`", at.display());
        if rights == Rights::User {
            bail!(
                "option `remount`: {shown}: the kernel lets nobody but root do that, and fusermount3 does not"
            );
        }
        // What is mounted there is not asked: it may not answer.
        let place = file::open_place(at).with_context(|| shown.clone())?;
        let at = dir::path_of(&place).with_context(|| shown.clone())?;
        drop(place);
        let mounted = mount::mounted("fuse.layerfs")?;
        let is_there = |mount: &&Mounted| *mount.at == *at.as_os_str().as_bytes();
        let Some(mounted) = mounted.iter().rev().find(is_there) else {
            bail!("{shown} is not a layerfs mount; `layerfs mount` lists those there are");
        };
        let serve = served::at(&at).with_context(|| shown.clone())?;
        if let Some(word) = serve.as_ref().and_then(|serve| first_change(said, serve)) {
            bail!(
                "option `{word}` can't be changed of a mount that is there: unmount {shown}, and mount it anew"
            );
        }
        let (before, after) = (mounted.flags, flags(said, mounted.flags));
        if before.read_only && !after.read_only {
            refuse_unwritable(serve.as_ref(), &shown)?;
        }
        Ok(Remount { shown, at, before, after, propagation: said.0.propagation, serve })
    }

    /// Does it.
    pub fn carry_out(&self) -> Result<Outcome> {
        let shown = &self.shown;
        match mount::remount(&self.at, self.after) {
            Err(error) if error.errno() == Errno::BUSY => bail!(
                "{shown} can't become read-only: a file of it is open for writing, or open and without a name; end what \
                 has it open"
            ),
            done => done.with_context(|| shown.clone())?,
        }
        if let Some(propagation) = self.propagation {
            mount::set_propagation(&self.at, propagation).with_context(|| shown.clone())?;
        }
        if self.after.read_only && !self.before.read_only {
            let deed = || format!("{shown} is read-only, and its upper may not be on disk");
            sync(self.serve.as_ref()).with_context(deed)?;
        }
        Ok(Outcome::Done)
    }
}

/// What becomes of flags that are not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// They stay.
    Stay,
    /// They go, but for those of times of access where none of these is said: as of mount(2). So says mount(8) what a mount
    /// is to be: it leaves words out that are taken back.
    Go,
}

/// The flags that a mount gets.
fn flags((said, unsaid): (&Options, Unsaid), has: MountFlags) -> MountFlags {
    let stays = |flag: bool| flag && unsaid == Unsaid::Stay;
    let denied = |word: Option<Rule>, has| word.map_or(has, |rule| rule == Rule::Deny);
    let allowed = |word: Option<Rule>, has| word.map_or(has, |rule| rule == Rule::Allow);
    let of_times = said.atime.is_some() || said.dir_atime.is_some();
    let stays_of_times = |flag: bool| flag && (unsaid == Unsaid::Stay || !of_times);
    MountFlags {
        read_only: denied(said.write, stays(has.read_only)),
        no_suid: denied(said.suid, stays(has.no_suid)),
        no_dev: denied(said.dev, stays(has.no_dev)),
        no_exec: denied(said.exec, stays(has.no_exec)),
        no_atime: denied(said.atime, stays_of_times(has.no_atime)),
        strict_atime: match said.atime {
            Some(_) => said.strict_atime,
            None => stays_of_times(has.strict_atime),
        },
        no_dir_atime: denied(said.dir_atime, stays_of_times(has.no_dir_atime)),
        lazy_time: allowed(said.lazy_time, stays(has.lazy_time)),
        sync: has.sync,
        no_sym_follow: denied(said.sym_follow, stays(has.no_sym_follow)),
    }
}

/// Refuses to let changes in where nothing could take them, or would not be marked as it must.
fn refuse_unwritable(serve: Option<&ServeArgs>, shown: &str) -> Result<()> {
    let Some(serve) = serve else {
        bail!(
            "{shown}: which process serves it is not seen, and so not whether it has an upper: `mount -i -o remount,rw` asks nobody"
        );
    };
    let was_read_only = serve.has(Flag::ReadOnly);
    if was_read_only && serve.upper.is_none() {
        bail!(
            "{shown} has no upper that could take changes: unmount it, and mount it anew with one"
        );
    }
    if was_read_only && serve.has(Flag::Volatile) {
        bail!(
            "{shown} is volatile, and its upper is not marked so, as it was mounted read-only: unmount it, and mount it anew"
        );
    }
    Ok(())
}

/// Brings what was written to disk. An upper of the store goes with its mount, and need not survive a crash.
fn sync(serve: Option<&ServeArgs>) -> Result<()> {
    match serve.and_then(|serve| serve.upper.as_deref().filter(|_| !serve.has(Flag::Volatile))) {
        Some(upper) => Ok(file::sync_filesystem(dir::open_path(upper)?)?),
        None => Ok(()),
    }
}

/// The first word that says something else of the mount than what it is.
fn first_change((said, unsaid): (&Options, Unsaid), serve: &ServeArgs) -> Option<&'static str> {
    let is_other = |word: bool, flag| word && !serve.has(flag);
    let denies_other =
        |word: Option<Rule>, flag| word.is_some_and(|rule| (rule == Rule::Deny) != serve.has(flag));
    let is_path = |said: &Option<PathBuf>, has: &Option<PathBuf>| {
        said.as_ref().is_some_and(|said| Some(resolved(said)) != *has)
    };
    let is_number = |said: Option<u64>, has: Option<u64>| said.is_some() && said != has;
    let lowers: Vec<PathBuf> = said.lowers.iter().map(|lower| resolved(lower)).collect();
    let differs = |said: &[IdRange], has: &[Range]| {
        !said.is_empty() && !said.iter().eq(has.iter().map(|range| &range.0))
    };
    let timeout_ms = said.timeout.map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX));
    let rows = [
        (!lowers.is_empty() && lowers != serve.lower, "lowerdir="),
        (is_path(&said.upper, &serve.upper), "upperdir="),
        (is_path(&said.work, &serve.work), "workdir="),
        (said.source.as_ref().is_some_and(|source| **source != *serve.source), "fsname="),
        (is_said(said.sync, unsaid).is_some_and(|is| is != serve.has(Flag::Sync)), "sync"),
        (is_other(said.dir_sync, Flag::DirSync), "dirsync"),
        (denies_other(said.acl, Flag::NoAcls), "acl"),
        (denies_other(said.kernel_io, Flag::CachedIo), "io="),
        (denies_other(said.low_latency, Flag::UsualLatency), "cpu_latency="),
        (is_other(said.allow_other, Flag::Everyone), "allow_other"),
        (said.allow_root && serve.has(Flag::Everyone), "allow_root"),
        (is_other(said.userxattr, Flag::UserMarks), "userxattr"),
        (is_other(said.volatile, Flag::Volatile), "volatile"),
        (said.redirects.is_some_and(|redirects| redirects != serve.redirects()), "redirect_dir="),
        (said.whiteout.is_some_and(|whiteout| !serve.has(made_as(whiteout))), "whiteout="),
        (
            said.partial.is_some_and(|rule| {
                let is_other = (rule == Rule::Allow) != serve.has(Flag::Partial);
                is_other || said.blocks != serve.has(Flag::Blocks)
            }),
            "partial=",
        ),
        (timeout_ms.is_some() && timeout_ms != serve.timeout_ms, "timeout="),
        (is_number(said.bounds.size_bytes, serve.bounds.size_bytes), "size="),
        (is_number(said.bounds.inodes, serve.bounds.inodes), "inodes="),
        (differs(&said.users, &serve.owners.users), "uidmapping="),
        (differs(&said.groups, &serve.owners.groups), "gidmapping="),
        (
            said.squash_user.is_some() && said.squash_user != serve.owners.squash_user,
            "squash_to_uid=",
        ),
        (
            said.squash_group.is_some() && said.squash_group != serve.owners.squash_group,
            "squash_to_gid=",
        ),
        (is_other(said.no_xattrs, Flag::NoXattrs), "noxattrs"),
        (is_other(said.static_nlink, Flag::StaticNlink), "static_nlink"),
        (is_other(said.no_fsync, Flag::NoFsync), "fsync=0"),
    ];
    rows.into_iter().find_map(|(is_change, word)| is_change.then_some(word))
}

/// Whether a word that mount(8) says of every mount that has it is said.
fn is_said(word: Option<Rule>, unsaid: Unsaid) -> Option<bool> {
    match (word, unsaid) {
        (None, Unsaid::Stay) => None,
        (word, _) => Some(word == Some(Rule::Allow)),
    }
}

fn made_as(whiteout: Whiteout) -> Flag {
    match whiteout {
        Whiteout::Device => Flag::WhiteoutsDevice,
        Whiteout::Xattr => Flag::WhiteoutsXattr,
        Whiteout::Wh => Flag::WhiteoutsWh,
    }
}

/// A path of the user's as the serving process was given it: absolute and without links. One that is not there is no other's.
fn resolved(path: &Path) -> PathBuf {
    let place = file::open_place(path).and_then(dir::path_of);
    place.unwrap_or_else(|_| path.to_owned())
}
