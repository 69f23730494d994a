//! `layerfs cp`: files from a container, or into one.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use layerfs_driver::store::container::{Base, Container, Keep, State};
use layerfs_driver::sys::again::{self, Again, Input};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::mount::{self, UnmountHow};
use layerfs_driver::sys::process::start_ticks;
use layerfs_driver::sys::stream::FileWriter;
use layerfs_runtime::StandIn;
use layerfs_runtime::apart::{
    Ended, EndsHere, Forked, PROCESSES_AND_MOUNTS, die_with_parent, exit_now, fork_into,
    make_all_private, wait,
};
use layerfs_runtime::cgroup::Entry;
use layerfs_runtime::spec::Users;

use super::archive::{self, Kind, Owners};
use super::copier::Deed;
use super::life::hidden;
use super::run::may_contain;
use super::server;
use super::shown::has_first;
use super::subordinate;
use super::supervise::words_of;
use super::sweep::sweep;
use crate::mount::bounds::Bounds;
use crate::mount::owners::Owners as Shown;
use crate::mount::serve::{Flag, ServeArgs};
use crate::mount::start;
use crate::output::message;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs cp web:/etc/nginx/nginx.conf .
  layerfs cp ./site/. web:/srv            what is in a directory, without itself
  layerfs cp -a web:/var/lib/data ./data  with its owners
  layerfs cp web:/var/log - | tar -t      an archive to standard output
  tar -c site | layerfs cp - web:/srv     and from standard input

As cp(1) has it: what is copied to a directory that is there comes into it, else it gets that name. It belongs to root of the \
container, or to who copies, unless -a is said. Volumes of a container that runs are seen; of one that has ended they are not.";

/// The words of `layerfs cp`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CpArgs {
    /// Keep owners
    #[arg(short, long)]
    archive: bool,
    /// Follow a link that SOURCE is
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Changes nothing: nothing is said of the way
    #[arg(short, long)]
    quiet: bool,
    /// CONTAINER:PATH, a path here, or `-` for an archive on standard input
    source: OsString,
    /// CONTAINER:PATH, a path here, or `-` for an archive on standard output
    target: OsString,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Stream,
    Here(PathBuf),
    Inside { container: String, path: PathBuf },
}

/// Copies.
pub fn run(args: &CpArgs, session: &Session) -> Result<Outcome> {
    let (source, target) = (end(&args.source)?, end(&args.target)?);
    let word = match (&source, &target) {
        (End::Inside { .. }, End::Inside { .. }) => {
            let told = "from a container into one: copy by a path here, or by `-`";
            return Err(Misused::of(told).into());
        }
        (End::Inside { container, .. }, _) | (_, End::Inside { container, .. }) => container,
        _ => {
            let told = "one of the two has to be in a container: CONTAINER:PATH";
            return Err(Misused::of(told).into());
        }
    };
    may_contain()?;
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let container = store.find_container(word)?;
    if let State::Running { pid, pid_start_ticks, .. } = container.state
        && has_first(&container)
    {
        copy(args, &Inside::of_process(pid, pid_start_ticks), source, target)?;
        return Ok(Outcome::Done);
    }
    // Until this is over nobody starts it.
    let held = store.hold_container(&container)?;
    if host::rights()? != Rights::Root {
        by_stand_in((&container, &held), session, |inside| copy(args, inside, source, target))?;
        return Ok(Outcome::Done);
    }
    apart(|| {
        let (at, mut server) = mounted(&container, &held, session)
            .with_context(|| format!("mount the tree of container `{}`", container.name))?;
        let mut tree = OsString::from("--tree=");
        tree.push(&at);
        let copied = copy(args, &Inside { words: vec![tree] }, source, target);
        // What it has written of itself it takes away: with this process the kernel would end it before.
        let gone = mount::unmount(&at, UnmountHow::Lazy).and_then(|()| server.wait());
        copied.and(
            gone.with_context(|| format!("unmount the tree of container `{}`", container.name)),
        )
    })
}

/// Does something with the tree of a user's container that does not run: a process holds it that is root of the container's users.
fn by_stand_in(
    (container, held): (&Container, &OwnedFd),
    session: &Session,
    deed: impl FnOnce(&Inside) -> Result<()>,
) -> Result<()> {
    let ids = subordinate::quietly_of_caller();
    let serve = served((container, held), None, (Users::Callers(ids), session))?;
    let (mut server, channel) = server::start(&serve, session, Entry::default())?;
    let done = match StandIn::start(channel, &serve.source, ids) {
        Ok(stand_in) => Inside::running(stand_in.pid()).and_then(|inside| deed(&inside)),
        // Why there is no tree its server knows best.
        Err(error) => {
            let told = server.last_words().map_or_else(|| error.into(), |words| anyhow!("{words}"));
            Err(told.context(format!("mount the tree of container `{}`", container.name)))
        }
    };
    server.reap();
    done
}

/// Does something in a process whose mounts and whose children end with it, and it with this one. It tells its errors.
fn apart(deed: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let doing = "have a process with mounts of its own copy";
    match fork_into(PROCESSES_AND_MOUNTS).context(doing)? {
        Forked::Parent(child) => match wait(&child.pidfd).context(doing)? {
            Ended::Exited(0) => Ok(Outcome::Done),
            Ended::Exited(_) => Ok(Outcome::SomeFailed),
            ended @ Ended::Killed(_) => bail!("the process that copies {ended}"),
        },
        Forked::Child => {
            let _here = EndsHere { status: 1 };
            let done = die_with_parent()
                .and_then(|()| make_all_private())
                .context(doing)
                .and_then(|()| deed());
            match done {
                Ok(()) => exit_now(0),
                Err(error) => {
                    message::error(&error);
                    exit_now(1)
                }
            }
        }
    }
}

fn copy(args: &CpArgs, inside: &Inside, source: End, target: End) -> Result<()> {
    match (source, target) {
        (End::Inside { path, .. }, to) => from_container(args, inside, &path, to),
        (from, End::Inside { path, .. }) => into_container(args, inside, from, &path),
        // It was looked at before.
        _ => Ok(()),
    }
}

/// What a word means. A path here that has a colon is written with a slash before it.
fn end(word: &OsStr) -> Result<End> {
    let bytes = word.as_bytes();
    if bytes == b"-" {
        return Ok(End::Stream);
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    let slash = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
    match colon.filter(|at| *at > 0 && *at < slash && bytes[0] != b'.') {
        Some(at) => {
            let container = std::str::from_utf8(&bytes[..at]).context("the container's name")?;
            let path = PathBuf::from(OsString::from_vec(bytes[at + 1..].to_vec()));
            if path.as_os_str().is_empty() {
                bail!("`{}`: a path is missing after the colon", word.display());
            }
            Ok(End::Inside { container: container.to_owned(), path })
        }
        None if bytes.is_empty() => bail!("a path is empty"),
        None => Ok(End::Here(word.into())),
    }
}

/// A container whose tree can be entered, in the words of the process that does.
struct Inside {
    words: Vec<OsString>,
}

impl Inside {
    /// That of a process of ours, which runs.
    fn running(pid: u32) -> Result<Self> {
        Ok(Inside::of_process(pid, start_ticks(pid)?.unwrap_or_default()))
    }

    /// That of a process, which had this number when it started then.
    fn of_process(pid: u32, start_ticks: u64) -> Self {
        let words = [format!("--pid={pid}"), format!("--start-ticks={start_ticks}")];
        Inside { words: words.map(OsString::from).into() }
    }

    /// Starts the process that works in there.
    fn copier(
        &self,
        (owners, follow): (bool, bool),
        deed: Deed,
        (path, name): (&Path, &OsStr),
        input: Input,
    ) -> Result<Again> {
        let mut words = vec![OsString::from("copier")];
        words.extend_from_slice(&self.words);
        words.extend(owners.then(|| OsString::from("--owners")));
        words.extend(follow.then(|| OsString::from("--follow")));
        let deed = match deed {
            Deed::Look => "look",
            Deed::Read => "read",
            Deed::Write => "write",
        };
        words.extend([deed.into(), "--".into(), path.into(), name.into()]);
        again::start(Path::new(again::THIS_PROGRAM), "layerfs", &words, input)
            .context("start the process that copies")
    }

    /// What stands there; a link is looked through where it is followed.
    fn kind(&self, follow: bool, path: &Path) -> Result<Kind> {
        let (deed, name) = (Deed::Look, OsStr::new("."));
        let mut copier = self.copier((false, follow), deed, (path, name), Input::Nothing)?;
        let mut said = String::new();
        copier.said().read_to_string(&mut said)?;
        end_of(copier)?;
        Kind::named(said.trim_end()).context("what the copying process says is not understood")
    }
}

/// A copier has told why it failed.
fn end_of(mut copier: Again) -> Result<()> {
    if copier.ended_well()? {
        return Ok(());
    }
    bail!("nothing more is copied")
}

/// Mounts the tree of a container that does not run where this process alone sees it. Answers the process that serves it, too.
fn mounted(container: &Container, held: &OwnedFd, session: &Session) -> Result<(PathBuf, Again)> {
    dir::make_if_absent(held, "tree", 0o700)?;
    let at = dir::path_of(held)?.join("tree");
    let serve = served((container, held), Some(&at), (Users::Hosts, session))?;
    let server = start::start_as(Path::new(again::THIS_PROGRAM), &serve, session)?;
    Ok((at, server))
}

/// How its tree is served, as it is when it runs.
fn served(
    (container, held): (&Container, &OwnedFd),
    at: Option<&Path>,
    (users, session): (Users, &Session),
) -> Result<ServeArgs> {
    let own = dir::path_of(held)?;
    for name in ["upper", "work"] {
        dir::make_if_absent(held, name, 0o700)?;
    }
    let mut flags = vec![Flag::NoSuid, Flag::NoDev, Flag::Everyone];
    if container.keep == Keep::Throwaway {
        flags.push(Flag::Volatile);
    }
    flags.extend_from_slice(server::flags_for(users));
    let (image, lower, source) = match &container.base {
        Base::Image { id, called, .. } => {
            flags.extend([Flag::Partial, Flag::Blocks]);
            (Some(id.to_string()), Vec::new(), called.clone())
        }
        Base::Rootfs(path) => (None, vec![PathBuf::from(path)], path.clone()),
    };
    let hide = if image.is_some() { Vec::new() } else { hidden(session) };
    Ok(ServeArgs {
        mountpoint: at.map(Path::to_owned),
        image,
        lower,
        hide,
        timeout_ms: None,
        upper: Some(own.join("upper")),
        work: Some(own.join("work")),
        source,
        flags,
        propagation: None,
        owners: Shown::default(),
        bounds: bounds_of(container)?,
        labels: Vec::new(),
        log: None,
        verbose: false,
    })
}

/// How much the container's own files may take, whoever writes them. Files are had from one of which nobody knows that any more, too.
fn bounds_of(container: &Container) -> Result<Bounds> {
    match words_of(container) {
        Ok(words) => words.limits.bounds(),
        Err(error) => {
            message::say(format_args!(
                "what bounds container `{}` is not known, and nothing does: {error:#}",
                container.name
            ));
            Ok(Bounds::default())
        }
    }
}

/// Where something comes to: the directory to take it out in, and its name there.
fn place(source: &Path, target: &Path, kind: Kind) -> Result<(PathBuf, OsString)> {
    let contents = is_contents(source);
    let name = match contents {
        true => OsString::from("."),
        false => source.file_name().unwrap_or(OsStr::new(".")).to_owned(),
    };
    let own = || target.file_name().map(OsStr::to_owned);
    match kind {
        Kind::Directory => Ok((target.to_owned(), name)),
        Kind::Absent if ends_in_slash(target) && !contents => {
            bail!("`{}` is no directory", target.display())
        }
        Kind::Absent | Kind::Other => {
            let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
            let own = own().with_context(|| format!("`{}` has no name", target.display()))?;
            Ok((parent.unwrap_or(Path::new(".")).to_owned(), own))
        }
        Kind::Nowhere => bail!("`{}`: what it would lie in is not there", target.display()),
    }
}

/// Whether the words mean a directory, also through a link.
fn means_directory(path: &Path) -> bool {
    ends_in_slash(path) || is_contents(path)
}

/// Whether the words mean what is in a directory, without itself.
fn is_contents(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/.") || path == Path::new(".")
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// A directory takes no file's place, and the other way round.
fn check((from, to): (Kind, Kind), (source, target): (&Path, &Path)) -> Result<()> {
    match (from, to) {
        (Kind::Absent | Kind::Nowhere, _) => bail!("`{}`: there is nothing", source.display()),
        (Kind::Directory, Kind::Other) => {
            bail!("`{}` is a directory, and `{}` is none", source.display(), target.display())
        }
        _ => Ok(()),
    }
}

fn from_container(args: &CpArgs, inside: &Inside, path: &Path, to: End) -> Result<()> {
    let from = inside.kind(args.follow_link || means_directory(path), path)?;
    let owners = if args.archive { Owners::AsTheyAre } else { Owners::Copier };
    let way = (args.archive, args.follow_link || means_directory(path));
    match to {
        End::Stream => {
            check((from, Kind::Absent), (path, Path::new("-")))?;
            let name = path.file_name().unwrap_or(OsStr::new("."));
            let mut copier = inside.copier(way, Deed::Read, (path, name), Input::Nothing)?;
            let mut out = io::stdout().lock();
            io::copy(copier.said(), &mut out)?;
            out.flush()?;
            end_of(copier)
        }
        End::Here(target) => {
            let kind = archive::kind(&std::path::absolute(&target)?, true)?;
            check((from, kind), (path, &target))?;
            let (directory, name) = place(path, &target, kind)?;
            let mut copier = inside.copier(way, Deed::Read, (path, &name), Input::Nothing)?;
            let only = Some(Path::new(&name));
            archive::read(&directory, only, owners, copier.said())
                .with_context(|| format!("copy to `{}`", target.display()))?;
            // What it may still say is nothing: it is not held up by that.
            io::copy(copier.said(), &mut io::sink())?;
            end_of(copier)
        }
        End::Inside { .. } => Ok(()),
    }
}

fn into_container(args: &CpArgs, inside: &Inside, from: End, path: &Path) -> Result<()> {
    let kind = inside.kind(true, path)?;
    match from {
        End::Stream => {
            if kind != Kind::Directory {
                bail!(
                    "`{}` in the container: an archive goes into a directory that is there",
                    path.display()
                );
            }
            write_in(args, inside, path, |to| {
                io::copy(&mut io::stdin().lock(), to).map(drop).map_err(Into::into)
            })
        }
        End::Here(source) => {
            let own = std::path::absolute(&source)?;
            let own = if is_contents(&source) { own.join(".") } else { own };
            check((archive::kind(&own, args.follow_link)?, kind), (&source, path))?;
            let (directory, name) = place(&own, path, kind)?;
            write_in(args, inside, &directory, |to| {
                archive::write(&own, Path::new(&name), args.follow_link, to)
                    .with_context(|| format!("read `{}`", source.display()))
            })
        }
        End::Inside { .. } => Ok(()),
    }
}

/// Has a copier take out what `fill` writes.
fn write_in(
    args: &CpArgs,
    inside: &Inside,
    directory: &Path,
    fill: impl FnOnce(&mut FileWriter) -> Result<()>,
) -> Result<()> {
    let (theirs, ours) = layerfs_runtime::pipe()?;
    let name = OsStr::new(".");
    let copier =
        inside.copier((args.archive, true), Deed::Write, (directory, name), Input::File(theirs))?;
    let mut to = FileWriter::new(ours);
    let filled = fill(&mut to);
    drop(to);
    // A copier that failed has told why, and its end is why the pipe broke.
    end_of(copier).and(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_path_in_a_container_or_here() {
        let inside = |container: &str, path: &str| End::Inside {
            container: container.into(),
            path: path.into(),
        };
        for (word, expected) in [
            ("-", End::Stream),
            ("web:/a", inside("web", "/a")),
            ("web:a:b", inside("web", "a:b")),
            ("./a:b", End::Here("./a:b".into())),
            ("/a:b", End::Here("/a:b".into())),
            ("a/b:c", End::Here("a/b:c".into())),
            (":a", End::Here(":a".into())),
        ] {
            assert_eq!(end(OsStr::new(word)).unwrap(), expected, "{word}");
        }
        assert!(end(OsStr::new("web:")).is_err() && end(OsStr::new("")).is_err());
    }

    #[test]
    fn what_is_copied_has_its_place_as_cp_has_it() {
        let at = |source: &str, target: &str, kind| {
            place(Path::new(source), Path::new(target), kind).map(|(directory, name)| {
                (directory.to_str().unwrap().to_owned(), name.to_str().unwrap().to_owned())
            })
        };
        let both = |directory: &str, name: &str| (directory.to_owned(), name.to_owned());
        assert_eq!(at("/a/b", "/t", Kind::Directory).unwrap(), both("/t", "b"));
        assert_eq!(at("/a/b/.", "/t", Kind::Directory).unwrap(), both("/t", "."));
        assert_eq!(at("/a/b", "/t/n", Kind::Absent).unwrap(), both("/t", "n"));
        assert_eq!(at("/a/b/.", "/t/n", Kind::Absent).unwrap(), both("/t", "n"));
        assert_eq!(at("b", "n", Kind::Other).unwrap(), both(".", "n"));
        assert!(at("/a/b", "/t/n/", Kind::Absent).is_err());
        assert!(at("/a/b", "/t/n", Kind::Nowhere).is_err());
    }
}
