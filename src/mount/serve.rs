//! The process that serves one mount: started by `layerfs mount`, ended by the unmount or by a signal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use layerfs_driver::fuse::{self, Access, MountOptions, Serving};
use layerfs_driver::lower::{DirStack, ImageTree, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::store::container::Living;
use layerfs_driver::store::image::Hit;
use layerfs_driver::sys::mount::{MountFlags, UnmountHow};
use layerfs_driver::sys::{change, dir, file, host, signal};
use layerfs_driver::tree::{Acls, MarkSpace};
use layerfs_driver::union::{Mode, Union};
use layerfs_driver::upper::{Durability, Upper, UpperError, UpperOptions};

use super::status;
use crate::session::{Outcome, Session};

/// How long a busy upper is waited for: an unmount returns before the process that served the mount has ended.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const BUSY_STEP: Duration = Duration::from_millis(20);

/// Where a serving process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// In a session of its own, its caller gone.
    Background,
    /// On its caller's terminal.
    Foreground,
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
    /// Everyone may enter, as permissions say.
    Everyone,
    /// Marks are `user.overlay.*`.
    UserMarks,
    /// Redirects are neither followed nor written.
    NoRedirects,
    /// Access control lists are not known.
    NoAcls,
    /// Nothing is synced.
    Volatile,
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
}

impl ServeArgs {
    /// The words that start the process. Each value stands in the word of its option, so that none looks like an option.
    pub fn words(&self, session: &Session) -> Vec<OsString> {
        let word = |option: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            let mut word = OsString::from(option);
            word.push(value);
            word
        };
        let mut words = vec![word("--root=", &session.roots().store)];
        let level = session.log_level().to_possible_value();
        words.extend(level.map(|level| word("--log-level=", &level.get_name())));
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
        if let Some(mountpoint) = &self.mountpoint {
            words.extend(["--".into(), mountpoint.clone().into()]);
        }
        words
    }

    fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    fn lower_belief(&self) -> Duration {
        self.timeout_ms.map_or(fuse::LASTING, Duration::from_millis)
    }

    fn space(&self) -> MarkSpace {
        if self.has(Flag::UserMarks) { MarkSpace::User } else { MarkSpace::Trusted }
    }

    fn redirects(&self) -> Redirects {
        if self.has(Flag::NoRedirects) { Redirects::Refuse } else { Redirects::Follow }
    }

    fn upper_options(&self, durability: Durability) -> UpperOptions {
        UpperOptions { space: self.space(), redirects: self.redirects(), durability }
    }

    fn mount_options(&self) -> MountOptions {
        let flags = MountFlags {
            read_only: self.has(Flag::ReadOnly),
            no_suid: self.has(Flag::NoSuid),
            no_dev: self.has(Flag::NoDev),
            no_exec: self.has(Flag::NoExec),
            no_atime: self.has(Flag::NoAtime),
        };
        let access = if self.has(Flag::Everyone) { Access::Everyone } else { Access::Owner };
        MountOptions { source: self.source.clone(), flags, access }
    }
}

/// Serves for a caller that waits to be told how it goes, and goes on without it.
pub fn run_in_background(args: &ServeArgs, session: &Session) -> Result<Outcome> {
    match run(args, session, Ground::Background) {
        Err(error) => {
            status::tell_failed(&error)?;
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
    signal::block_ends()?;
    change::set_umask(0);
    host::raise_descriptor_limit()?;
    let (union, hold) = union(args, session)?;
    let union = union.with_acls(if args.has(Flag::NoAcls) { Acls::Off } else { Acls::Obeyed });
    dir::enter("/")?;
    let serving = match &args.mountpoint {
        Some(at) => mounted(union, at, args)?,
        None => match layerfs_runtime::receive_device(std::io::stdin())? {
            Some(device) => Serving::new(union, device, args.lower_belief())?,
            // Nothing was mounted: there is nothing to serve.
            None => return Ok(Outcome::Done),
        },
    };
    if let Some(at) = &args.mountpoint {
        tracing::debug!("mounted at `{}`", at.display());
    }
    if ground == Ground::Background {
        tell_ready()?;
    }
    serving.run()?;
    drop(hold);
    Ok(Outcome::Done)
}

/// Mounts the tree, and sees to it that it is unmounted when this process is told to end.
fn mounted(union: Union, at: &Path, args: &ServeArgs) -> Result<Serving> {
    let device = fuse::mount(at, &args.mount_options())?;
    let serving = Serving::new(union, device, args.lower_belief());
    let serving = serving.inspect_err(|_| unmount(at))?;
    let at = at.to_owned();
    // Ends with the process: nothing has to join it.
    std::thread::spawn(move || {
        if signal::wait_for_end().is_ok() {
            unmount(&at);
        }
    });
    Ok(serving)
}

/// The tree, and the hold on its image where it is one. A container that is run holds its image itself.
fn union(args: &ServeArgs, session: &Session) -> Result<(Union, Option<Living>)> {
    let Some(name) = &args.image else {
        let hidden = args
            .hide
            .iter()
            .map(|hide| dir::open_path(hide.as_path()))
            .collect::<Result<Vec<_>, _>>()?;
        let stack = DirStack::open_paths(&args.lower, stack_options(args))?.hiding(hidden)?;
        let union = Union::new(Lower::Dirs(stack), mode(args)?)?;
        if args.mountpoint.is_none() {
            union.dress_root()?;
        }
        return Ok((union, None));
    };
    let store = session.store()?;
    let Hit { image, .. } = store.find(name)?;
    let hold = match args.mountpoint {
        Some(_) => Some(store.hold(&image, name)?),
        None => None,
    };
    let chain = image.chain_id().with_context(|| format!("image `{name}` has no layers"))?;
    let lower = Lower::Image(ImageTree::open(&store, &chain)?);
    let mode = match &hold {
        Some(hold) if args.upper.is_none() && !args.has(Flag::ReadOnly) => {
            throwaway_mode(args, hold)?
        }
        _ => mode(args)?,
    };
    Ok((Union::new(lower, mode)?, hold))
}

fn stack_options(args: &ServeArgs) -> StackOptions {
    let (space, redirects) = (args.space(), args.redirects());
    StackOptions { space, redirects, wh_names: WhNames::Whiteouts }
}

/// The writable side: the user's directories. Under a mount that refuses changes they are shown all the same.
fn mode(args: &ServeArgs) -> Result<Mode> {
    let (Some(upper), Some(work)) = (&args.upper, &args.work) else { return Ok(Mode::ReadOnly) };
    let durability =
        if args.has(Flag::Volatile) { Durability::Volatile } else { Durability::Synced };
    let options = args.upper_options(durability);
    let until = Instant::now() + BUSY_MAX;
    loop {
        let root = dir::open_path(upper.as_path())?;
        let work = dir::open_path(work.as_path())?;
        match Upper::open(root, &work, options) {
            Err(UpperError::Busy(_)) if Instant::now() < until => {
                // tidy: allow(sleep) a lock is waited for without end or not at all: flock knows no time limit
                std::thread::sleep(BUSY_STEP);
            }
            opened => return Ok(Mode::Writable(opened.with_context(|| shown(upper))?)),
        }
    }
}

fn shown(upper: &Path) -> String {
    format!("upper directory `{}`", upper.display())
}

/// A writable side that goes with the mount, and need not survive a crash.
fn throwaway_mode(args: &ServeArgs, hold: &Living) -> Result<Mode> {
    let options = args.upper_options(Durability::Volatile);
    Ok(Mode::Writable(Upper::open(hold.make_dir("upper")?, &hold.make_dir("work")?, options)?))
}

/// Says that the mount is usable, and lets go of the caller: nobody waits for this process any more.
fn tell_ready() -> Result<()> {
    let null = file::open_device("/dev/null")?;
    status::tell_ready()?;
    Ok(layerfs_runtime::leave_streams(&null)?)
}

fn unmount(at: &Path) {
    if let Err(error) = fuse::unmount(at, UnmountHow::Lazy) {
        tracing::warn!("{error}");
    }
}
