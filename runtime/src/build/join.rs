//! A further process of a container, from its first instruction to its program: the steps of its plan, done one by one.
//!
//! Two processes do them, or three. The first enters and is seen by nobody in there; when it has no right any more that the
//! container has not, its child goes on, which is seen.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use layerfs_driver::sys::file::FileType;
use layerfs_driver::sys::{dir, file};

use super::error::{Doing, SetupError};
use super::program::Program;
use super::walk::{
    Rights, await_word, drop_privileges, filter_calls, opened, part_from_keys, tell,
};
use super::{files, place, program, streams};
use crate::carry::{Ends, NULL};
use crate::cgroup::Entry;
use crate::plan_exec::ExecStep;
use crate::spec::{ExecSpec, Gains, Groups};
use crate::sys::join::{self as namespaces, Others};
use crate::sys::process::{self, Forked};
use crate::sys::{channel, identity, inside, terminal};
use crate::user::User;

/// The word beside which the descriptor of the process that is inside goes to the command; its number follows.
pub(crate) const INSIDE: &[u8] = b"P";

/// What the process that enters is given.
#[derive(Debug)]
pub(crate) struct Joining<'a> {
    /// What it is to be.
    pub(crate) spec: &'a ExecSpec,
    /// The container's first process.
    pub(crate) first: BorrowedFd<'a>,
    /// Which of its namespaces are entered.
    pub(crate) others: Others,
    /// How many ids its users have where they are its own, and whether those may have further groups.
    pub(crate) ids: Option<(u32, Groups)>,
    /// The container's groups.
    pub(crate) entry: Entry<'a>,
    /// To the command.
    pub(crate) report: OwnedFd,
    /// Ends of pipes, for those of the caller's streams that are carried.
    pub(crate) ends: Ends,
}

/// What has been found so far.
struct Found<'a> {
    given: Joining<'a>,
    proc: Option<OwnedFd>,
    root: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    user: Option<User>,
    program: Option<Program>,
}

impl Found<'_> {
    fn proc(&self) -> Result<&OwnedFd, SetupError> {
        self.proc.as_ref().ok_or(SetupError::Order("/proc"))
    }

    fn root(&self) -> Result<&OwnedFd, SetupError> {
        self.root.as_ref().ok_or(SetupError::Order("the root"))
    }

    fn user(&self) -> Result<&User, SetupError> {
        self.user.as_ref().ok_or(SetupError::Order("the user"))
    }
}

/// Does every step, the last of which becomes the program. Where one fails, says why and ends this process.
pub(crate) fn join(steps: &[ExecStep], given: Joining<'_>) -> ! {
    let mut found =
        Found { given, proc: None, root: None, terminal: None, user: None, program: None };
    for step in steps {
        if let Err(error) = go(*step, &mut found) {
            tell(&found.given.report, &error);
            process::exit_now(error.status());
        }
    }
    // The last step becomes the program, or fails.
    process::exit_now(SetupError::Order("the program").status())
}

fn go(step: ExecStep, found: &mut Found<'_>) -> Result<(), SetupError> {
    let spec = found.given.spec;
    match step {
        ExecStep::Hide => process::hide().doing(|| "begin".into()),
        ExecStep::DieWithParent => process::die_with_parent().doing(|| "begin".into()),
        ExecStep::TakeProc => {
            found.proc = Some(dir::open_path("/proc").doing(|| "find `/proc`".into())?);
            Ok(())
        }
        ExecStep::AwaitLimits => {
            let word = opened(&mut found.given.entry);
            channel::send(&found.given.report, word, None).doing(|| "begin".into())?;
            await_word(&found.given.report)
        }
        ExecStep::Join => enter_namespaces(&found.given),
        ExecStep::FindRoot => {
            found.root = Some(dir::open_path("/").doing(|| "find the container's root".into())?);
            Ok(())
        }
        ExecStep::NewKeyring => part_from_keys(),
        ExecStep::TakeTerminal => {
            let terminals = terminals(found.root()?)?;
            found.terminal = Some(streams::take_further_terminal(&terminals, &found.given.report)?);
            Ok(())
        }
        ExecStep::TakeStreams => {
            let null = null(found.root()?, found.proc()?)?;
            streams::take_callers(&found.given.ends, &null)
        }
        ExecStep::FindUser => {
            let places = (found.root()?, found.proc()?);
            let room = found.given.ids.map(|(count, _)| count);
            found.user = Some(program::find_user(&spec.process.user, places, room)?);
            Ok(())
        }
        ExecStep::GiveStreams => streams::give((&found.given.ends, &found.terminal), found.user()?),
        ExecStep::EnterDirectory => {
            let path = &spec.process.directory;
            let directory = place::that_is_there(found.root()?, path)?;
            files::enter(&directory, path)
        }
        ExecStep::DropPrivileges => {
            let rights = Rights {
                capabilities: spec.capabilities,
                resource_limits: &spec.resource_limits,
                filters: &spec.filters,
                // It would have to keep a right until its filters are loaded, where it is seen by who is inside.
                gains: Gains::Never,
                groups: groups(&found.given),
            };
            drop_privileges(found.user()?, &rights, &found.given.report)
        }
        ExecStep::Appear => appear(&found.given),
        ExecStep::Leave => leave(),
        ExecStep::NewSession => terminal::new_session().doing(|| "begin a session".into()),
        ExecStep::ControlTerminal => {
            terminal::control(std::io::stdin()).doing(|| "take the terminal".into())
        }
        ExecStep::AwaitStart => await_word(&found.given.report),
        ExecStep::FindProgram => {
            found.program = Some(program::find(&spec.process, found.user()?)?);
            Ok(())
        }
        ExecStep::FilterCalls => filter_calls(&spec.filters),
        ExecStep::Start => {
            let program = found.program.as_ref().ok_or(SetupError::Order("the program"))?;
            Err(program::start(program, &spec.process.words))
        }
    }
}

/// Whether who is inside can have other groups than the caller.
fn groups(given: &Joining<'_>) -> Groups {
    given.ids.map_or(Groups::Set, |(_, groups)| groups)
}

fn enter_namespaces(given: &Joining<'_>) -> Result<(), SetupError> {
    let deed = || "enter the container".to_owned();
    namespaces::join(given.first, given.others).doing(deed)?;
    if given.others.have_users() {
        // Until then it is a user whom that namespace does not know, or one that has the caller's groups.
        identity::become_user((0, 0), &[], groups(given)).doing(deed)?;
        process::hide().doing(deed)?;
    }
    Ok(())
}

/// The file system of the container's terminals. What a container with rights to mount has put there is believed only to be one.
fn terminals(root: &OwnedFd) -> Result<OwnedFd, SetupError> {
    let deed = || "find the container's terminals".to_owned();
    let place = inside::open(root, OsStr::new("dev/pts")).doing(deed)?;
    if inside::is_of_terminals(&place).doing(deed)? {
        return Ok(place);
    }
    let needs = "its file system of terminals";
    Err(SetupError::WrongKind { path: "/dev/pts".into(), is: "something else", needs })
}

/// The container's null device; the host's would be a way to the host's `/dev`.
fn null(root: &OwnedFd, proc: &OwnedFd) -> Result<OwnedFd, SetupError> {
    let deed = || "open the container's `/dev/null`".to_owned();
    let place = inside::open(root, OsStr::new("dev/null")).doing(deed)?;
    let stat = inside::stat(&place).doing(deed)?;
    let kind = file::type_of(&stat);
    if kind == FileType::CharacterDevice && file::device_numbers(&stat) == NULL {
        return inside::open_again_to_write(proc, &place).doing(deed);
    }
    let is = place::shown(kind);
    Err(SetupError::WrongKind { path: "/dev/null".into(), is, needs: "the null device" })
}

/// Returns in a child, which is in the container's namespace of processes and of which the command is told. The process that
/// made it ends: it would be counted among the container's.
fn appear(given: &Joining<'_>) -> Result<(), SetupError> {
    let deed =
        || "start a process in the container, whose limit of processes may be reached".into();
    let child = match process::fork_beside().doing(deed)? {
        Forked::Child => return Ok(()),
        Forked::Parent(child) => child,
    };
    let mut word = INSIDE.to_vec();
    word.extend(child.pid.to_ne_bytes());
    channel::send(&given.report, &word, Some(child.pidfd.as_fd())).doing(|| "begin".into())?;
    process::exit_now(0)
}

/// Returns in a child of this process, which ends: who has lost its parent gets the first of its namespace.
fn leave() -> Result<(), SetupError> {
    match process::fork_into(0).doing(|| "start a process in the container".into())? {
        Forked::Child => Ok(()),
        Forked::Parent(_) => process::exit_now(0),
    }
}
