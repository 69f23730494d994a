//! `layerfs upper normalize`: makes a writable layer plain, so that any overlayfs shows what it holds.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use layerfs_driver::lower::{DirStack, ImageTree, Lower, StackOptions, WhNames};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Ids, Rights};
use layerfs_driver::tree::{MarkSpace, Redirects};
use layerfs_driver::union::{Mode, Union};
use layerfs_driver::upper::{Durability, Partial, Records, Upper, UpperOptions, Whiteouts};

use crate::image::absent::find_to_use;
use crate::mount::options::{self, Options, Unknown};
use crate::mount::tree::open_upper;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs upper normalize ./changes
  layerfs upper normalize --image debian:bookworm ./changes
  layerfs upper normalize --work ./work -o lowerdir=./top:./base ./changes
  layerfs upper normalize --work ./work -o userxattr,lowerdir=./base ./changes

Call it as who mounted it. Marks of others than root are user.overlay.* attributes, as of root with -o userxattr, and root \
does not follow those of renamed directories: whoever owns the upper could lead root anywhere by them. Owners, modes and \
types that a user's files can't have stay recorded in user.containers.override_stat, which the kernel's overlayfs does not read. \
Afterwards the upper does not say any more over which image it was made: `layerfs diff` and `layerfs commit` of it need --image.";

/// The words of `layerfs upper`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct UpperArgs {
    /// What to do with it.
    #[command(subcommand)]
    verb: UpperVerb,
}

/// What can be done with a writable layer.
#[derive(Debug, Subcommand)]
enum UpperVerb {
    /// Make it plain: whiteouts are devices, opaque directories say so by the kernel's mark, files are whole, renamed
    /// directories are whole copies, and nothing in it is private to layerfs or fuse-overlayfs
    ///
    /// What it shows stays the same. It may be stopped at any time; run again, it goes on.
    #[command(after_long_help = EXAMPLES)]
    Normalize(NormalizeArgs),
}

/// The words of `layerfs upper normalize`.
#[derive(Debug, Args)]
struct NormalizeArgs {
    /// The writable layer, which nothing has mounted
    #[arg(value_name = "DIR")]
    upper: PathBuf,
    /// Its work directory; the default is its name with `.work`
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// The image that it was made over
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// What it was mounted with: `lowerdir=A:B` names the directories that it was made over, `userxattr` says that root
    /// mounted it with marks in `user.overlay.*`
    #[arg(short, long, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Works on a writable layer.
pub fn run(args: &UpperArgs, session: &Session) -> Result<Outcome> {
    match &args.verb {
        UpperVerb::Normalize(args) => normalize(args, session),
    }
}

/// How the marks of the layer, and of what it was made over, are read: as a mount of the same user reads them.
#[derive(Clone, Copy)]
struct Marks {
    space: MarkSpace,
    redirects: Redirects,
    wh_names: WhNames,
    /// In the layers below.
    lower_records: Records,
    /// In the layer.
    records: Records,
}

impl Marks {
    fn new(args: &NormalizeArgs, said: &Options, rights: Rights) -> Marks {
        let is_root = rights == Rights::Root;
        let space = match is_root && !said.userxattr {
            true => MarkSpace::Trusted,
            false => MarkSpace::User,
        };
        // Whoever owns an upper can write redirects of `user.*`, which would have root copy what he may not read into it.
        let redirects = match is_root && said.userxattr {
            true => Redirects::Refuse,
            false => Redirects::Follow,
        };
        let lower_records = if is_root { Records::Never } else { Records::OfLayers };
        let records = match rights {
            Rights::User | Rights::Namespace(Ids::One) => Records::Always,
            Rights::Root | Rights::Namespace(Ids::Many) => lower_records,
        };
        // In the upper of an image such names are names.
        let wh_names = if args.image.is_some() { WhNames::Plain } else { WhNames::Whiteouts };
        Marks { space, redirects, wh_names, lower_records, records }
    }
}

fn normalize(args: &NormalizeArgs, session: &Session) -> Result<Outcome> {
    let said = options::parse(&args.options.join(OsStr::new(",")), Unknown::Refuse)?;
    if said.upper.is_some() || said.work.is_some() {
        return Err(
            Misused::of("the upper and its work directory are named by DIR and --work").into()
        );
    }
    if args.image.is_some() && !said.lowers.is_empty() {
        return Err(Misused::of("it was made over an image or over directories, not both").into());
    }
    let deed = || format!("upper directory `{}`", args.upper.display());
    let marks = Marks::new(args, &said, host::rights()?);
    let upper = open(args, marks).with_context(deed)?;
    refuse_others(&upper, marks).with_context(deed)?;
    let lower = lower(args, &said, (session, marks))?;
    let needing = upper.first_that_needs_lower().with_context(deed)?;
    match (lower, needing) {
        (Some(lower), Some(_)) => {
            let union = Union::new(lower, Mode::Writable(upper)).with_context(deed)?;
            union.make_whole().with_context(deed)?;
            union.upper().map_or(Ok(()), Upper::make_plain).with_context(deed)?;
        }
        (None, Some(needing)) => bail!(
            "upper directory `{}`: {needing} has a part in what the upper was made over: name that with \
             `-o lowerdir=A:B` or `--image IMAGE`",
            args.upper.display()
        ),
        (_, None) => upper.make_plain().with_context(deed)?,
    }
    Ok(Outcome::Done)
}

/// Refuses, before anything is changed, a layer whose marks would be left, or may not be followed.
fn refuse_others(upper: &Upper, marks: Marks) -> Result<()> {
    if upper.has_marks_of_other_space()? {
        match marks.space {
            MarkSpace::Trusted => bail!(
                "its marks are `user.overlay.*` attributes: call as the user who mounted it, or say `-o userxattr` if root did with that"
            ),
            MarkSpace::User => bail!(
                "its marks are `trusted.overlay.*` attributes: call as root, without `-o userxattr`"
            ),
        }
    }
    if marks.redirects == Redirects::Refuse
        && let Some(name) = upper.first_that_leads_below()?
    {
        bail!(
            "{name} has a redirect, or its data in a lower layer, by a mark in `user.overlay.*`, which root does not follow, since \
             whoever owns the upper could have written it: call as the user who mounted it, for root of a user namespace \
             within that, by `podman unshare` for example"
        );
    }
    Ok(())
}

/// Opens the layer, which locks it: what is mounted is refused.
fn open(args: &NormalizeArgs, marks: Marks) -> Result<Upper> {
    dir::open_path(args.upper.as_path())?;
    let work = work_of(args);
    dir::open_path(work.as_path()).with_context(|| {
        format!("work directory `{}` (--work DIR names another)", work.display())
    })?;
    let options = UpperOptions {
        space: marks.space,
        redirects: marks.redirects,
        durability: Durability::Synced,
        wh_names: marks.wh_names,
        whiteouts: Whiteouts::Device,
        records: marks.records,
        partial: Partial::Never,
    };
    open_upper((&args.upper, &work), options, || Ok(()))
}

fn work_of(args: &NormalizeArgs) -> PathBuf {
    args.work.clone().unwrap_or_else(|| {
        let mut name = OsString::from(without_slash(&args.upper));
        name.push(".work");
        name.into()
    })
}

/// `DIR/` and `DIR` are one directory, and have one work directory.
fn without_slash(path: &Path) -> &OsStr {
    path.components().as_path().as_os_str()
}

fn lower(
    args: &NormalizeArgs,
    said: &Options,
    (session, marks): (&Session, Marks),
) -> Result<Option<Lower>> {
    if let Some(name) = &args.image {
        let store = session.store()?;
        find_to_use(&store, name)?;
        let image = store.find(name)?.image;
        let chain = image.chain_id().with_context(|| format!("image `{name}` has no layers"))?;
        return Ok(Some(Lower::Image(ImageTree::open(&store, &chain)?)));
    }
    if said.lowers.is_empty() {
        return Ok(None);
    }
    let Marks { space, redirects, wh_names, lower_records, .. } = marks;
    let options = StackOptions { space, redirects, wh_names };
    let stack = DirStack::open_paths(&said.lowers, options)?.taking(lower_records)?;
    // Nobody can give a copy to an owner whom this namespace does not know, as in a mount.
    Ok(Some(Lower::Dirs(stack.doubting(host::doubtful_ids()?))))
}
