//! `layerfs upper normalize`: makes a writable layer plain, so that any overlayfs shows what it holds.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use layerfs_driver::lower::{DirStack, ImageTree, Lower, StackOptions, WhNames};
use layerfs_driver::sys::dir;
use layerfs_driver::tree::{MarkSpace, Redirects};
use layerfs_driver::union::{Mode, Union};
use layerfs_driver::upper::{Durability, Records, Upper, UpperOptions, Whiteouts};

use crate::image::absent::find_to_use;
use crate::mount::options::{self, Options, Unknown};
use crate::mount::rights::need_root;
use crate::mount::tree::open_upper;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs upper normalize ./changes
  layerfs upper normalize --image debian:bookworm ./changes
  layerfs upper normalize --work ./work -o lowerdir=./top:./base ./changes";

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
    #[arg(long, value_name = "IMAGE", conflicts_with = "options")]
    image: Option<String>,
    /// What it was mounted with: `lowerdir=A:B` names the directories that it was made over, `userxattr` says where its
    /// marks are
    #[arg(short, long, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Works on a writable layer.
pub fn run(args: &UpperArgs, session: &Session) -> Result<Outcome> {
    match &args.verb {
        UpperVerb::Normalize(args) => normalize(args, session),
    }
}

fn normalize(args: &NormalizeArgs, session: &Session) -> Result<Outcome> {
    need_root("upper normalize")?;
    let said = options::parse(&args.options.join(OsStr::new(",")), Unknown::Refuse)?;
    if said.upper.is_some() || said.work.is_some() {
        return Err(Misused("the upper and its work directory are named by DIR and --work").into());
    }
    let deed = || format!("upper directory `{}`", args.upper.display());
    let upper = open(args, &said).with_context(deed)?;
    let lower = lower(args, &said, session)?;
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

/// Opens the layer, which locks it: what is mounted is refused.
fn open(args: &NormalizeArgs, said: &Options) -> Result<Upper> {
    dir::open_path(args.upper.as_path())?;
    let work = work_of(args);
    dir::open_path(work.as_path()).with_context(|| {
        format!("work directory `{}`; --work DIR names another", work.display())
    })?;
    let options = UpperOptions {
        space: space(said),
        redirects: redirects(said),
        durability: Durability::Synced,
        wh_names: wh_names(args),
        whiteouts: Whiteouts::Device,
        // Root takes none.
        records: Records::Never,
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

fn lower(args: &NormalizeArgs, said: &Options, session: &Session) -> Result<Option<Lower>> {
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
    let (space, redirects, wh_names) = (space(said), redirects(said), wh_names(args));
    let options = StackOptions { space, redirects, wh_names };
    Ok(Some(Lower::Dirs(DirStack::open_paths(&said.lowers, options)?)))
}

fn space(said: &Options) -> MarkSpace {
    if said.userxattr { MarkSpace::User } else { MarkSpace::Trusted }
}

/// Whoever owns an upper can write redirects of `user.*`, which would copy what he may not read into it.
fn redirects(said: &Options) -> Redirects {
    if said.userxattr { Redirects::Refuse } else { Redirects::Follow }
}

/// In the upper of an image such names are names.
fn wh_names(args: &NormalizeArgs) -> WhNames {
    if args.image.is_some() { WhNames::Plain } else { WhNames::Whiteouts }
}
