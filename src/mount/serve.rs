//! The process that serves one mount: started by `layerfs mount`, ended by the unmount or by a signal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use layerfs_driver::fuse::{
    self, Access, By, Callers, DirLinks, Fsync, Io, Manner, Mount, MountOptions, Names, Serving,
    Wakes, Xattrs, Zero,
};
use layerfs_driver::lower::{Redirects, WhNames};
use layerfs_driver::sys::mount::{MountFlags, Propagation};
use layerfs_driver::sys::{change, dir, file, host, process, signal};
use layerfs_driver::tree::{Acls, MarkSpace};
use layerfs_driver::union::Union;
use layerfs_driver::upper::{Durability, Partial, Records, Small, UpperOptions, Whiteouts};
use layerfs_runtime::{Handed, SupervisorWatch};

use super::bounds::Bounds;
use super::owners::Owners;
use super::{ending, status, tree};
use crate::output::{log, message};
use crate::session::{Outcome, Session};

/// Of a log file that is made: names of files may stand in it.
const LOG_MODE: u32 = 0o640;

/// Where a serving process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In a session of its own, its caller gone.
    Background,
    /// On its caller's terminal.
    Foreground,
}

impl Ground {
    /// Refuses to go on where a caller that waits for the mount has ended: nobody would know that it is there.
    pub fn refuse_without_caller(self) -> Result<()> {
        if self == Ground::Background && status::is_caller_gone()? {
            bail!("whoever asked for the mount has gone");
        }
        Ok(())
    }
}

/// One thing that a mount is, or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flag {
    /// Every change is refused.
    ReadOnly,
    /// Set-id bits and capabilities have no effect.
    NoSuid,
    /// Devices can't be opened.
    NoDev,
    /// Nothing can be executed.
    NoExec,
    /// Reading leaves times of access as they are.
    NoAtime,
    /// Reading always changes times of access.
    StrictAtime,
    /// Reading a directory leaves its time of access as it is.
    NoDirAtime,
    /// Times are written late.
    LazyTime,
    /// Every write is synced.
    Sync,
    /// Everyone may enter, as permissions say.
    Everyone,
    /// Marks are `user.overlay.*`.
    UserMarks,
    /// Owners that layers have recorded in an attribute are taken from there.
    TakeRecords,
    /// Owners, permissions and devices that objects of the upper can't have are recorded so, too.
    MakeRecords,
    /// Redirects are neither followed nor written.
    NoRedirects,
    /// Redirects are followed, and none is written.
    NoNewRedirects,
    /// Access control lists are not known.
    NoAcls,
    /// Nothing is synced.
    Volatile,
    /// `fsync(2)` does nothing.
    NoFsync,
    /// A changed name is on disk when the call returns.
    DirSync,
    /// Symbolic links in paths are not followed.
    NoSymFollow,
    /// There are no extended attributes.
    NoXattrs,
    /// The link count of a directory is 1.
    StaticNlink,
    /// Files are read and written by this process, never by the kernel itself.
    CachedIo,
    /// Idle processors sleep as deeply as they do without the mount.
    UsualLatency,
    /// Where only the attributes or the name of a lower file change, its data stays where it is.
    Partial,
    /// The same, and what is written of files is copied up block by block.
    Blocks,
    /// The mount belongs to a user namespace of its own.
    OwnUsers,
    /// Whiteouts are devices.
    WhiteoutsDevice,
    /// Whiteouts are files with a mark.
    WhiteoutsXattr,
    /// Whiteouts are `.wh.` names.
    WhiteoutsWh,
}

/// What of later mounts a mount shares (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shares {
    /// All.
    Shared,
    /// It gets those of others.
    Slave,
    /// Nothing.
    Private,
    /// Nothing, and it can't be copied.
    Unbindable,
}

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs serve --source=debian:bookworm --image=debian:bookworm --flag=read-only -- /mnt";

/// The words of `layerfs serve`, which no user says.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ServeArgs {
    /// The mountpoint, absolute and without links; without one, the device of a mount that is made elsewhere comes over
    /// standard input
    pub mountpoint: Option<PathBuf>,
    /// The image
    #[arg(long, required_unless_present = "lower", conflicts_with = "lower")]
    pub image: Option<String>,
    /// The lower directories, the first on top
    #[arg(long)]
    pub lower: Vec<PathBuf>,
    /// A directory that is absent from the lower directories
    #[arg(long)]
    pub hide: Vec<PathBuf>,
    /// Milliseconds for which the kernel may believe what it was told of the lower directories
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<u64>,
    /// Where changes are kept
    #[arg(long, requires = "work")]
    pub upper: Option<PathBuf>,
    /// Where what belongs to them is kept
    #[arg(long, requires = "upper")]
    pub work: Option<PathBuf>,
    /// What is shown as the source
    #[arg(long)]
    pub source: String,
    /// What the mount is, or refuses
    #[arg(long = "flag", value_enum)]
    pub flags: Vec<Flag>,
    /// What of later mounts the mount shares
    #[arg(long, value_enum)]
    pub propagation: Option<Shares>,
    /// Which owners are shown
    #[command(flatten)]
    pub owners: Owners,
    /// How much changes may take
    #[command(flatten)]
    pub bounds: Bounds,
    /// A label of a security module, as the kernel takes it
    #[arg(long = "label")]
    pub labels: Vec<String>,
    /// Where the log goes, absolute; without one, to the system log once the mount is usable
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Tell what was agreed with the kernel
    #[arg(long)]
    pub verbose: bool,
}

impl ServeArgs {
    /// The words that start the process. Each value stands in the word of its option, so that none looks like an option.
    pub fn words(&self, session: &Session) -> Result<Vec<OsString>> {
        let word = |option: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            let mut word = OsString::from(option);
            word.push(value);
            word
        };
        let mut words = session.words()?;
        words.push("serve".into());
        words.push(word("--source=", &self.source));
        words.extend(self.image.iter().map(|image| word("--image=", image)));
        words.extend(self.lower.iter().map(|lower| word("--lower=", lower)));
        words.extend(self.hide.iter().map(|hide| word("--hide=", hide)));
        words.extend(self.timeout_ms.iter().map(|ms| word("--timeout-ms=", &ms.to_string())));
        words.extend(self.upper.iter().map(|upper| word("--upper=", upper)));
        words.extend(self.work.iter().map(|work| word("--work=", work)));
        let names = self.flags.iter().filter_map(ValueEnum::to_possible_value);
        words.extend(names.map(|name| word("--flag=", &name.get_name())));
        let shares = self.propagation.iter().filter_map(ValueEnum::to_possible_value);
        words.extend(shares.map(|shares| word("--propagation=", &shares.get_name())));
        words.extend(self.owners.words());
        words.extend(self.bounds.words());
        words.extend(self.labels.iter().map(|label| word("--label=", label)));
        words.extend(self.log.iter().map(|log| word("--log=", log)));
        words.extend(self.verbose.then(|| "--verbose".into()));
        if let Some(mountpoint) = &self.mountpoint {
            words.extend(["--".into(), mountpoint.clone().into()]);
        }
        Ok(words)
    }

    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    fn manner(&self) -> Result<Manner> {
        let at_once = self.has(Flag::DirSync) || self.has(Flag::Sync);
        Ok(Manner {
            lower_belief: self.timeout_ms.map_or(fuse::LASTING, Duration::from_millis),
            ids: self.owners.ids()?,
            xattrs: if self.has(Flag::NoXattrs) { Xattrs::Unknown } else { Xattrs::Known },
            dir_links: if self.has(Flag::StaticNlink) { DirLinks::One } else { DirLinks::Counted },
            fsync: if self.has(Flag::NoFsync) { Fsync::PassedOver } else { Fsync::Done },
            // The kernel's own writes know nothing of the mount's `sync`.
            io: if self.has(Flag::CachedIo) || self.has(Flag::Sync) {
                Io::Cached
            } else {
                Io::Auto
            },
            wakes: if self.has(Flag::UsualLatency) { Wakes::Usual } else { Wakes::Fast },
            names: if at_once { Names::AtOnce } else { Names::Later },
            // A container mounts its root itself, in its own pid namespace.
            callers: if self.mountpoint.is_some() { Callers::Known } else { Callers::Unknown },
            zero: if self.has(Flag::OwnUsers) { Zero::OfNamespace } else { Zero::Same },
        })
    }

    pub fn space(&self) -> MarkSpace {
        if self.has(Flag::UserMarks) { MarkSpace::User } else { MarkSpace::Trusted }
    }

    pub fn redirects(&self) -> Redirects {
        match (self.has(Flag::NoRedirects), self.has(Flag::NoNewRedirects)) {
            (true, _) => Redirects::Refuse,
            (false, true) => Redirects::FollowOnly,
            (false, false) => Redirects::Follow,
        }
    }

    pub(super) fn upper_options(&self, durability: Durability) -> UpperOptions {
        let formats = [
            (Flag::WhiteoutsDevice, Whiteouts::Device),
            (Flag::WhiteoutsXattr, Whiteouts::Xattr),
            (Flag::WhiteoutsWh, Whiteouts::Wh),
        ];
        let said = formats.into_iter().find(|(flag, _)| self.has(*flag));
        UpperOptions {
            space: self.space(),
            redirects: self.redirects(),
            durability,
            // In an image such names are names.
            wh_names: if self.image.is_some() { WhNames::Plain } else { WhNames::Whiteouts },
            whiteouts: said.map_or(Whiteouts::Auto, |(_, whiteouts)| whiteouts),
            records: self.records(),
            partial: match (self.has(Flag::Partial), self.has(Flag::Blocks)) {
                (false, _) => Partial::Never,
                (true, false) => Partial::Made,
                (true, true) => Partial::Blocks(Small::Usual),
            },
        }
    }

    /// Whether owners are taken from records, and recorded.
    pub(super) fn records(&self) -> Records {
        match (self.has(Flag::TakeRecords), self.has(Flag::MakeRecords)) {
            (_, true) => Records::Always,
            (true, false) => Records::OfLayers,
            (false, false) => Records::Never,
        }
    }

    fn mount_options(&self) -> Result<MountOptions> {
        let flags = MountFlags {
            read_only: self.has(Flag::ReadOnly),
            no_suid: self.has(Flag::NoSuid),
            no_dev: self.has(Flag::NoDev),
            no_exec: self.has(Flag::NoExec),
            no_atime: self.has(Flag::NoAtime),
            strict_atime: self.has(Flag::StrictAtime),
            no_dir_atime: self.has(Flag::NoDirAtime),
            lazy_time: self.has(Flag::LazyTime),
            sync: self.has(Flag::Sync),
            no_sym_follow: self.has(Flag::NoSymFollow),
        };
        let access = if self.has(Flag::Everyone) { Access::Everyone } else { Access::Owner };
        let by = By::of(host::rights()?);
        let (source, labels) = (self.source.clone(), self.labels.clone());
        let propagation = self.propagation.map(|shares| match shares {
            Shares::Shared => Propagation::Shared,
            Shares::Slave => Propagation::Slave,
            Shares::Private => Propagation::Private,
            Shares::Unbindable => Propagation::Unbindable,
        });
        Ok(MountOptions { source, flags, access, propagation, labels, by })
    }
}

/// Serves for a caller that waits to be told how it goes, and goes on without it.
pub fn run_in_background(args: &ServeArgs, session: &Session) -> Result<Outcome> {
    match run(args, session, Ground::Background) {
        Err(error) => {
            if let Err(refused) = status::tell_failed(&error) {
                tracing::debug!("nobody hears that `{error:#}`: {refused:#}");
            }
            Ok(Outcome::SomeFailed)
        }
        done => done,
    }
}

/// Mounts, tells that it did, and serves until the mount goes.
pub fn run(args: &ServeArgs, session: &Session, ground: Ground) -> Result<Outcome> {
    if ground == Ground::Background {
        layerfs_runtime::close_inherited()?;
        signal::leave_terminal()?;
    }
    if let Some(path) = &args.log {
        let deed = || format!("log file `{}`", path.display());
        log::to_file(file::open_append_path(path.as_path(), LOG_MODE).with_context(deed)?);
    }
    signal::block_ends()?;
    change::set_umask(0);
    signal::ignore_file_size()?;
    signal::ignore_leases()?;
    host::raise_limits()?;
    process::share_heap();
    let (union, hold) = tree::union(args, session, ground)?;
    let union = union.with_acls(if args.has(Flag::NoAcls) { Acls::Off } else { Acls::Obeyed });
    dir::enter("/")?;
    ground.refuse_without_caller()?;
    let (mount, serving, held) = match &args.mountpoint {
        Some(at) => {
            let (mount, serving) = mounted(union, at, args, ground)?;
            (Some(mount), serving, None)
        }
        None => match layerfs_runtime::receive(std::io::stdin())? {
            Some(Handed { device, watch, held }) => {
                end_with_supervisor(watch);
                (None, Serving::new(union, device, args.manner()?)?, held)
            }
            // Nothing was mounted: there is nothing to serve.
            None => return Ok(Outcome::Done),
        },
    };
    let taken_away = |_: &anyhow::Error| {
        mount.as_ref().map(ending::take_away);
    };
    ready(args, ground, &serving.agreed()).inspect_err(taken_away)?;
    let served = serving.run().map_err(anyhow::Error::from).inspect_err(taken_away);
    drop((hold, held));
    match (served, ground) {
        (Ok(()), _) => Ok(Outcome::Done),
        (Err(error), Ground::Foreground) => Err(error),
        // Whoever was told that the mount is usable listens no more.
        (Err(error), Ground::Background) => {
            tracing::error!("{error:#}");
            Ok(Outcome::SomeFailed)
        }
    }
}

/// Beside the serving: the container's end takes its mounts, and with them this process.
fn end_with_supervisor(watch: SupervisorWatch) {
    std::thread::spawn(move || {
        if let Err(error) = watch.end_with_supervisor() {
            tracing::error!("end the container whose command is gone: {error}");
        }
    });
}

/// Mounts the tree, and sees to it that it is unmounted when this process is told to end.
fn mounted(union: Union, at: &Path, args: &ServeArgs, ground: Ground) -> Result<(Mount, Serving)> {
    let (mut mount, device) = fuse::mount(at, &args.mount_options()?)?;
    // Who sees a process in the foreground has it there, and no thread was started yet.
    if ground == Ground::Background {
        mount.leave_namespace();
    }
    // Now that the mount can be made, and before anything can be changed.
    match mark(&union, args).and_then(|()| Ok(Serving::new(union, device, args.manner()?)?)) {
        Ok(serving) => {
            ending::follow_signals(mount.clone());
            Ok((mount, serving))
        }
        Err(error) => {
            ending::take_away(&mount);
            Err(error)
        }
    }
}

/// Says in the user's own upper that nothing is synced. One that goes with the mount needs no mark.
fn mark(union: &Union, args: &ServeArgs) -> Result<()> {
    match union.upper() {
        Some(upper)
            if args.upper.is_some() && args.has(Flag::Volatile) && !args.has(Flag::ReadOnly) =>
        {
            Ok(upper.mark_volatile()?)
        }
        _ => Ok(()),
    }
}

/// Says that the mount is usable, and lets go of the caller: nobody waits for this process any more.
fn ready(args: &ServeArgs, ground: Ground, agreed: &str) -> Result<()> {
    if let Some(at) = &args.mountpoint {
        tracing::debug!("mounted at `{}`", at.display());
    }
    match (ground, args.verbose) {
        (_, false) => {}
        (Ground::Foreground, true) => message::say(agreed),
        (Ground::Background, true) => status::tell_agreed(agreed)?,
    }
    if ground == Ground::Foreground {
        return Ok(());
    }
    log::to_system_log();
    let null = file::open_device("/dev/null")?;
    status::tell_ready()?;
    Ok(layerfs_runtime::leave_streams(&null)?)
}
