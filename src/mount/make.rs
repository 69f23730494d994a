//! `layerfs mount`: an image, or plain directories, as a merged tree; alone, the mounts there are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use layerfs_driver::lower::Redirects;
use layerfs_driver::sys::host::{self, Ids, Rights};
use layerfs_driver::sys::mount::Propagation;

use super::kept::Kept;
use super::options::{self, Options, Rule, Unknown, Whiteout};
use super::owners::{Owners, Range};
use super::places::{Places, Resolver};
use super::remount::{Remount, Unsaid};
use super::rights;
use super::serve::{self, Flag, Ground, ServeArgs, Shares};
use super::{list, meant, start};
use crate::container::sweep::sweep;
use crate::image::absent::find_to_use;
use crate::output::Results;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs mount debian:bookworm /mnt
  layerfs mount --upper ./changes debian:bookworm /mnt
  layerfs mount --read-only debian:bookworm /mnt
  layerfs mount -o lowerdir=./top:./base /mnt
  layerfs mount -o lowerdir=./base,upperdir=./changes,workdir=./work /mnt
  layerfs mount
  layerfs umount /mnt

An image is writable unless --read-only is said. Changes go away at umount; keep them with --upper DIR. Directories \
(-o lowerdir=) are read-only without upperdir= and workdir=. Without an image and without directories, all mounts \
are listed.

OPTIONS OF -o:
  lowerdir=A:B  the directories to merge, the first on top; \\: \\, and \\\\ stand for : , and \\
  lowerdir+=C   one more below those
  upperdir=U,workdir=W  keep changes in U; W is empty and on the same mount
  ro rw suid nosuid dev nodev exec noexec atime noatime relatime strictatime nodiratime lazytime sync async dirsync \
nosymfollow context= fscontext= defcontext= rootcontext=  as of mount(8)
  allow_other   everyone may enter; always so for root, and for others where /etc/fuse.conf has user_allow_other
  allow_root    nobody but root may enter
  userxattr     marks are user.overlay.* attributes; always so for others than root
  redirect_dir=on|follow|off  follow directories that were renamed, and rename those of lower directories; only follow; \
neither, as always for root with userxattr
  timeout=SECONDS  how long the kernel may believe what it was told of the lower directories, where others change \
them; without it, for good
  acl noacl     obey access control lists, or know nothing of them; they are obeyed where nothing is said
  volatile      sync nothing: a crash may lose the changes; the upper is not mounted again until \
work/incompat/volatile in its work directory is removed
  fsync=0       fsync(2) does nothing; copies are on disk before they have their names all the same
  uidmapping=STORED:SHOWN:LEN,gidmapping=…  show other owners than the directories have, as for a user namespace
  squash_to_root, squash_to_uid=N, squash_to_gid=N  show all as one owner's
  noxattrs      there are no extended attributes
  static_nlink  a directory's link count is always 1
  whiteout=auto|device|xattr|wh  how a name of a lower directory is hidden: by a device 0:0, an empty file with an \
attribute, or a name that begins with `.wh.`; auto takes the first that can be had
  size=BYTES,inodes=NUMBER  how much changes may take, such as size=10g; more is ENOSPC, and df shows it
  io=auto|cached  as root the kernel reads and writes changed files, and reads programs, itself, where it can; cached: never
  partial=blocks|on|off  copy up blocks of what is written of a lower file, and no data while only its attributes or its name change, \
as for images where nothing is said: other unions do not read such an upper; or all data once it is written; or files whole, as for \
directories
  cpu_latency=auto|usual  as root, while requests come fast, keep idle processors from sleeping deeply; or leave them alone
  remount       change ro, rw and the other flags of a mount that is there, as root: layerfs mount -o remount,ro DIR
  fsname=NAME   what `findmnt` shows as the source
  store=DIR     the store that the image is in, as --root says; for fstab(5)
Every other word of mount(8), overlayfs and fuse-overlayfs stands in docs/options.md, with what becomes of it.
Directories are mounted dev,suid, images and all mounts of users who are not root nodev,nosuid. Those are made by \
fusermount3 (package fuse3).";

/// The words of `layerfs mount`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct MountArgs {
    /// Name, id, or the beginning of an id; with -o lowerdir= what is shown as the source, and may be left out
    #[arg(value_name = "IMAGE")]
    image: Option<OsString>,
    /// The directory to mount at
    #[arg(value_name = "DIR")]
    mountpoint: Option<PathBuf>,
    /// Mount options, as of mount(8); --help lists them
    #[arg(short, long, value_name = "OPTIONS")]
    options: Vec<OsString>,
    /// Refuse every change
    #[arg(long, conflicts_with_all = ["upper", "work"])]
    read_only: bool,
    /// Keep changes in this directory, which is made where it is absent
    #[arg(long, value_name = "DIR")]
    upper: Option<PathBuf>,
    /// Keep what belongs to the changes in this directory, on the same file system; the default is the upper's name
    /// with `.work`
    #[arg(long, value_name = "DIR", requires = "upper")]
    work: Option<PathBuf>,
    /// Serve in this process, until the mount goes
    #[arg(long)]
    foreground: bool,
    /// Add what goes on later to FILE; without it, failures go to the system log
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Tell which features of the kernel are used
    #[arg(short, long)]
    verbose: bool,
    /// Pass over options that are not known
    #[arg(long, hide = true)]
    sloppy: bool,
    /// Check all that can be checked, and mount nothing
    #[arg(long, hide = true)]
    fake: bool,
    /// Flags that a remount does not say go
    #[arg(long, hide = true)]
    unsaid_go: bool,
    /// The mount namespace to mount in
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    namespace: Option<OsString>,
    /// Print the list as one JSON array
    #[arg(long, conflicts_with_all = ["image", "options"])]
    json: bool,
}

/// Mounts, or lists.
pub fn run(args: &MountArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    if args.image.is_none() && args.options.is_empty() {
        return list::run(args.json, results);
    }
    if let Some(namespace) = &args.namespace {
        let shown = namespace.display();
        bail!("namespace `{shown}`: call layerfs in it, with `nsenter --mount=… layerfs mount …`");
    }
    let unknown = if args.sloppy { Unknown::Ignore } else { Unknown::Refuse };
    let said = options::parse(&args.options.join(OsStr::new(",")), unknown)?;
    let elsewhere = said.store.clone().map(|store| session.with_store(store));
    let session = elsewhere.as_ref().unwrap_or(session);
    let rights = host::rights()?;
    if said.remount {
        let word = args.image.as_deref().map(Path::new);
        let Some(at) = args.mountpoint.as_deref().or(word) else {
            return Err(Misused::of(
                "a mountpoint is needed; usage: layerfs mount -o remount,ro DIR",
            )
            .into());
        };
        let unsaid = if args.unsaid_go { Unsaid::Go } else { Unsaid::Stay };
        let remount = Remount::check(at, (&said, unsaid), rights)?;
        return if args.fake { Ok(Outcome::Done) } else { remount.carry_out() };
    }
    rights::check(&said, rights)?;
    let mut kept = Kept::default();
    let serve = if said.lowers.is_empty() {
        of_image(args, &said, session, &mut kept)
    } else {
        of_directories(args, &said, session)
    };
    let serve = serve.map(|serve| with_rights(serve, &said, rights));
    let done = serve.and_then(|serve| match (args.fake, args.foreground) {
        (true, _) => Ok(Outcome::Done),
        (false, true) => serve::run(&serve, session, Ground::Foreground),
        (false, false) => start::start(&serve, session),
    });
    if done.is_err() || args.fake {
        kept.take_back();
    }
    done
}

fn of_image(
    args: &MountArgs,
    said: &Options,
    session: &Session,
    kept: &mut Kept,
) -> Result<ServeArgs> {
    let (Some(image), Some(mountpoint)) = (&args.image, &args.mountpoint) else {
        return Err(Misused::of(
            "an image and a mountpoint are needed, or -o lowerdir= and a mountpoint; usage: layerfs mount IMAGE DIR; \
             more with --help",
        )
        .into());
    };
    let image = text(image, "image")?;
    // Said here, in words of its own, before a process is started for it.
    let store = session.store().and_then(|store| find_to_use(&store, &image).map(|_| store));
    let store =
        store.map_err(|error| meant::directories(&image).map_or(error, |tip| anyhow!("{tip}")))?;
    sweep(&store, session.roots())?;
    if args.upper.is_some() && said.upper.is_some() {
        return Err(Misused::of(
            "the upper directory is said twice: by --upper and by -o upperdir=",
        )
        .into());
    }
    let resolver = Resolver::new()?;
    let mut places = resolver.at(mountpoint)?;
    if let (Some(upper), Some(work)) = (&said.upper, &said.work) {
        resolver.add_upper(&mut places, upper, work)?;
    } else if let Some(upper) = &args.upper {
        let work = work_of(args, upper);
        kept.make("upper directory", upper)?;
        kept.make("work directory", &work)?;
        resolver.add_upper(&mut places, upper, &work)?;
    }
    resolver.refuse_in_store(&places, session.place_of_store()?)?;
    let mut flags = flags_of(said, Rule::Deny);
    // Nobody but layerfs has a use for what is changed of an image.
    flags.extend((said.partial != Some(Rule::Deny)).then_some(Flag::Partial));
    flags.extend((said.blocks || said.partial.is_none()).then_some(Flag::Blocks));
    if args.read_only {
        flags.push(Flag::ReadOnly);
    }
    refuse_needless(said, &flags)?;
    // An upper under a mount that refuses changes is still shown.
    let serve =
        ServeArgs { image: Some(image.clone()), ..serve_of(args, &places, said, flags, image)? };
    Ok(serve)
}

fn of_directories(args: &MountArgs, said: &Options, session: &Session) -> Result<ServeArgs> {
    let (source, mountpoint) = match (&args.image, &args.mountpoint) {
        (Some(source), Some(mountpoint)) => (text(source, "source")?, mountpoint.as_path()),
        (Some(mountpoint), None) => ("layerfs".into(), Path::new(mountpoint)),
        (None, _) => {
            return Err(Misused::of("a mountpoint is needed; usage: layerfs mount -o lowerdir=A:B DIR; more with --help").into());
        }
    };
    if args.upper.is_some() {
        return Err(Misused::of(
            "with -o lowerdir= the upper directory is said by -o upperdir=U,workdir=W",
        )
        .into());
    }
    let resolver = Resolver::new()?;
    let mut places = resolver.at(mountpoint)?;
    resolver.add_lowers(&mut places, &said.lowers, session.roots().store.as_deref())?;
    if let (Some(upper), Some(work)) = (&said.upper, &said.work) {
        resolver.add_upper(&mut places, upper, work)?;
    }
    let mut flags = flags_of(said, Rule::Allow);
    flags.extend((said.partial == Some(Rule::Allow)).then_some(Flag::Partial));
    flags.extend(said.blocks.then_some(Flag::Blocks));
    if said.upper.is_none() || args.read_only {
        flags.push(Flag::ReadOnly);
    }
    refuse_needless(said, &flags)?;
    serve_of(args, &places, said, flags, source)
}

/// Refuses to bound what can't be written.
fn refuse_needless(said: &Options, flags: &[Flag]) -> Result<()> {
    if said.bounds.is_any() && flags.contains(&Flag::ReadOnly) {
        return Err(Misused::of(
            "size= and inodes= bound what is written, and this mount is read-only: leave them out, or give it an upper",
        )
        .into());
    }
    Ok(())
}

/// What is the same for both: directories that may lie together, and how they are mounted.
fn serve_of(
    args: &MountArgs,
    places: &Places,
    said: &Options,
    flags: Vec<Flag>,
    source: String,
) -> Result<ServeArgs> {
    places.check()?;
    let source = said.source.as_deref().map_or(Ok(source), |name| text(name, "fsname="))?;
    let (upper, work) = places.upper();
    let (mountpoint, lower) = (places.mountpoint(), places.lowers());
    let hide = places.hidden();
    let timeout_ms = said.timeout.map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX));
    let mountpoint = Some(mountpoint);
    let log = args.log.as_deref().map(std::path::absolute).transpose()?;
    Ok(ServeArgs {
        mountpoint,
        image: None,
        lower,
        hide,
        timeout_ms,
        upper,
        work,
        source,
        flags,
        propagation: said.propagation.map(|propagation| match propagation {
            Propagation::Shared => Shares::Shared,
            Propagation::Slave => Shares::Slave,
            Propagation::Private => Shares::Private,
            Propagation::Unbindable => Shares::Unbindable,
        }),
        owners: Owners {
            users: said.users.iter().map(|range| Range(*range)).collect(),
            groups: said.groups.iter().map(|range| Range(*range)).collect(),
            squash_user: said.squash_user,
            squash_group: said.squash_group,
        },
        bounds: said.bounds,
        // As mount(8) has it: where nobody reads labels they say nothing.
        labels: if host::has_selinux() { said.labels.clone() } else { Vec::new() },
        log,
        verbose: args.verbose,
    })
}

/// How the tree is mounted; `privileged` is the word on set-id bits and devices where nothing was said.
fn flags_of(said: &Options, privileged: Rule) -> Vec<Flag> {
    let denied = |word: Option<Rule>| word == Some(Rule::Deny);
    let rows = [
        (denied(said.write), Flag::ReadOnly),
        (said.suid.unwrap_or(privileged) == Rule::Deny, Flag::NoSuid),
        (said.dev.unwrap_or(privileged) == Rule::Deny, Flag::NoDev),
        (denied(said.exec), Flag::NoExec),
        (denied(said.atime), Flag::NoAtime),
        (said.strict_atime, Flag::StrictAtime),
        (denied(said.dir_atime), Flag::NoDirAtime),
        (said.lazy_time == Some(Rule::Allow), Flag::LazyTime),
        (said.sync == Some(Rule::Allow), Flag::Sync),
        (denied(said.sym_follow), Flag::NoSymFollow),
        (said.dir_sync, Flag::DirSync),
        (said.redirects == Some(Redirects::Refuse), Flag::NoRedirects),
        (said.redirects == Some(Redirects::FollowOnly), Flag::NoNewRedirects),
        (denied(said.acl) || said.no_xattrs, Flag::NoAcls),
        (said.no_xattrs, Flag::NoXattrs),
        (said.static_nlink, Flag::StaticNlink),
        (said.no_fsync, Flag::NoFsync),
        (denied(said.kernel_io), Flag::CachedIo),
        (denied(said.low_latency), Flag::UsualLatency),
        (said.volatile, Flag::Volatile),
        (said.whiteout == Some(Whiteout::Device), Flag::WhiteoutsDevice),
        (said.whiteout == Some(Whiteout::Xattr), Flag::WhiteoutsXattr),
        (said.whiteout == Some(Whiteout::Wh), Flag::WhiteoutsWh),
    ];
    rows.into_iter().filter_map(|(holds, flag)| holds.then_some(flag)).collect()
}

/// Adds what depends on who mounts.
fn with_rights(mut serve: ServeArgs, said: &Options, rights: Rights) -> ServeArgs {
    let is_root = rights == Rights::Root;
    let rows = [
        ((rights != Rights::User && !said.allow_root) || said.allow_other, Flag::Everyone),
        (!is_root || said.userxattr, Flag::UserMarks),
        // A redirect of user.* can be written by whoever owns the directory, and reaches past permissions.
        (is_root && said.userxattr, Flag::NoRedirects),
        (!is_root, Flag::TakeRecords),
        // Files can't be given to others.
        (matches!(rights, Rights::User | Rights::Namespace(Ids::One)), Flag::MakeRecords),
    ];
    serve.flags.extend(rows.into_iter().filter_map(|(holds, flag)| holds.then_some(flag)));
    serve
}

/// What the kernel's tables of mounts show is text here.
fn text(word: &OsStr, role: &str) -> Result<String> {
    match word.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("{role} `{}` is not UTF-8", word.display()),
    }
}

fn work_of(args: &MountArgs, upper: &Path) -> PathBuf {
    args.work.clone().unwrap_or_else(|| {
        let mut name = OsString::from(upper);
        name.push(".work");
        name.into()
    })
}
