//! The walk through the plan.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use layerfs_driver::sys::change;

use super::error::{Doing, SetupError};
use super::program::Program;
use super::{devices, files, place, program, root, streams, systems, walls};
use crate::capability::Capabilities;
use crate::carry::Ends;
use crate::cgroup::{Entry, View};
use crate::network;
use crate::plan::Step;
use crate::seccomp::{Filters, Instruction};
use crate::spec::{Connection, ContainerSpec, Gains, Groups, ResourceLimit, Streams};
use crate::start::PANIC_STATUS;
use crate::sys::process::Forked;
use crate::sys::{
    Errno, channel, identity, init, inside, keyring, limits, mounts, namespace, process, seccomp,
    signals, terminal, watch,
};
use crate::user::User;

/// Bytes of a message to the supervisor, at most. Far more than this is refused by the socket, and would not be heard.
pub(crate) const MESSAGE_MAX: usize = 4096;

/// Stands for the rest of a reason.
const CUT: &str = "…";

/// The word by which the supervisor knows that the limits may come.
pub(crate) const OPENED: &[u8] = b"O";

/// The same of one that is in its groups already.
pub(crate) const WITHIN: &[u8] = b"W";

/// What the container's first process is given.
#[derive(Debug)]
pub struct Given<'a> {
    /// What the container is to be.
    pub spec: &'a ContainerSpec,
    /// What it shall see of its groups.
    pub view: &'a View,
    /// A directory of the host's to attach the root at, in a mount namespace that nobody else sees.
    pub place: &'a Path,
    /// To the supervisor.
    pub report: OwnedFd,
    /// Ends of pipes, for those of the caller's streams that are carried.
    pub(crate) ends: Ends,
    /// To the process that serves the root.
    pub server: Option<OwnedFd>,
    /// The files made for it, open to be read, which root of its own users could not open.
    pub files: Vec<OwnedFd>,
    /// The groups that it goes into.
    pub entry: Entry<'a>,
}

/// What has been made so far.
pub(super) struct Made<'a> {
    pub(super) given: Given<'a>,
    pub(super) device: Option<OwnedFd>,
    pub(super) root: Option<OwnedFd>,
    pub(super) proc: Option<OwnedFd>,
    pub(super) sys: Option<OwnedFd>,
    pub(super) dev: Option<OwnedFd>,
    /// The null device, whatever is mounted over its name later.
    pub(super) null: Option<OwnedFd>,
    pub(super) terminals: Option<OwnedFd>,
    /// An empty, unchangeable directory that is mounted over what is masked; made with the first.
    pub(super) blank: Option<OwnedFd>,
    /// The program's end of the terminal that was made for it.
    pub(super) terminal: Option<OwnedFd>,
    directory: Option<OwnedFd>,
    user: Option<User>,
    program: Option<Program>,
}

impl Made<'_> {
    pub(super) fn root(&self) -> Result<&OwnedFd, SetupError> {
        self.root.as_ref().ok_or(SetupError::Order("the root"))
    }

    pub(super) fn proc(&self) -> Result<&OwnedFd, SetupError> {
        self.proc.as_ref().ok_or(SetupError::Order("/proc"))
    }

    pub(super) fn sys(&self) -> Result<&OwnedFd, SetupError> {
        self.sys.as_ref().ok_or(SetupError::Order("/sys"))
    }

    pub(super) fn dev(&self) -> Result<&OwnedFd, SetupError> {
        self.dev.as_ref().ok_or(SetupError::Order("/dev"))
    }

    pub(super) fn null(&self) -> Result<&OwnedFd, SetupError> {
        self.null.as_ref().ok_or(SetupError::Order("/dev/null"))
    }

    pub(super) fn terminals(&self) -> Result<&OwnedFd, SetupError> {
        self.terminals.as_ref().ok_or(SetupError::Order("/dev/pts"))
    }

    fn user(&self) -> Result<&User, SetupError> {
        self.user.as_ref().ok_or(SetupError::Order("the user"))
    }
}

/// Does every step, the last of which becomes the program. Where one fails, says why and ends this process: nothing that
/// belongs to its parent's memory is dropped in it.
pub fn walk(steps: &[Step], given: Given<'_>) -> ! {
    let mut made = Made {
        given,
        device: None,
        root: None,
        proc: None,
        sys: None,
        dev: None,
        null: None,
        terminals: None,
        blank: None,
        terminal: None,
        directory: None,
        user: None,
        program: None,
    };
    // Modes are meant as they are given until the program starts.
    change::set_umask(0);
    for step in steps {
        if let Err(error) = go(step, &mut made) {
            tell(&made.given.report, &error);
            process::exit_now(error.status());
        }
    }
    // The last step becomes the program, or fails.
    process::exit_now(SetupError::Order("the program").status())
}

/// Has this process go into its groups, and answers what the supervisor is to know.
pub(super) fn opened(entry: &mut Entry<'_>) -> &'static [u8] {
    if std::mem::take(entry).join() { WITHIN } else { OPENED }
}

fn unshare_cgroups() -> Result<(), SetupError> {
    namespace::unshare_cgroups().doing(|| "make a cgroup namespace".into())
}

fn address_of(connection: &Connection) -> String {
    format!("give the container the address {}", connection.address)
}

fn go(step: &Step, made: &mut Made<'_>) -> Result<(), SetupError> {
    match step {
        Step::DieWithParent => process::die_with_parent().doing(|| "begin".into()),
        Step::OpenDevice => {
            made.device = Some(root::open_device()?);
            // Not before: the limits of devices are among them.
            let word = opened(&mut made.given.entry);
            channel::send(&made.given.report, word, None).doing(|| "begin".into())
        }
        Step::AwaitLimits => await_word(&made.given.report),
        Step::BecomeRoot => become_root(made),
        Step::UnshareCgroups => unshare_cgroups(),
        Step::PrivateMounts => {
            mounts::make_all_private().doing(|| "part from the host's mounts".into())
        }
        Step::MountRoot => root::mount(made),
        Step::MountSystem(system) => systems::mount(*system, made),
        Step::GiveDevices(given) => devices::give(given, made),
        Step::Mask(path) => walls::mask(path, made),
        Step::SetSysctl(sysctl) => inside::write_setting(made.proc()?, &sysctl.path, &sysctl.value)
            .doing(|| format!("set `{}`", sysctl.path)),
        Step::Protect(path) => walls::protect(path, made),
        Step::ShowFiles(files) => files::show_files(files, made),
        Step::MountTmpfs(tmpfs) => systems::mount_tmpfs(tmpfs, made.root()?),
        Step::ShowVolume(volume) => files::show_volume(volume, made),
        Step::FindDirectory => {
            let path = &made.given.spec.process.directory;
            made.directory = Some(place::to_start_in(made.root()?, path)?);
            Ok(())
        }
        Step::ProtectRoot => walls::protect_root(made.root()?, made.given.spec.gains),
        Step::Pivot => mounts::pivot(made.root()?).doing(|| "change the root".into()),
        Step::SetHostname(name) => {
            namespace::set_hostname(name).doing(|| format!("name the container `{name}`"))
        }
        Step::RaiseLoopback => namespace::raise_loopback().doing(|| "bring the loopback up".into()),
        Step::Connect(connection) => network::set_up(connection).doing(|| address_of(connection)),
        Step::NewSession => terminal::new_session().doing(|| "begin a session".into()),
        Step::NewKeyring => part_from_keys(),
        Step::TakeTerminal => streams::take_terminal(made),
        Step::TakeStreams => streams::take_callers(&made.given.ends, made.null()?),
        Step::FindUser => find_user(made),
        Step::GiveStreams => streams::give((&made.given.ends, &made.terminal), made.user()?),
        Step::EnterDirectory => {
            let directory = made.directory.as_ref().ok_or(SetupError::Order("its directory"))?;
            files::enter(directory, &made.given.spec.process.directory)
        }
        Step::DropPrivileges => {
            let rights = Rights::of(made.given.spec);
            drop_privileges(made.user()?, &rights, &made.given.report)
        }
        Step::LeaveInit => leave_init(made.given.spec),
        Step::FindProgram => {
            made.program = Some(program::find(&made.given.spec.process, made.user()?)?);
            Ok(())
        }
        Step::FilterCalls => filter_calls(&made.given.spec.filters),
        Step::Start => {
            let program = made.program.as_ref().ok_or(SetupError::Order("the program"))?;
            Err(program::start(program, &made.given.spec.process.words))
        }
    }
}

fn find_user(made: &mut Made<'_>) -> Result<(), SetupError> {
    let words = &made.given.spec.process.user;
    let room = made.given.spec.users.count();
    made.user = Some(program::find_user(words, (made.root()?, made.proc()?), room)?);
    Ok(())
}

/// Waits for the word of the supervisor that things may go on.
pub(super) fn await_word(report: &OwnedFd) -> Result<(), SetupError> {
    let word = channel::receive(report, 1).doing(|| "wait for the supervisor".into())?;
    word.map(drop).ok_or(SetupError::Alone)
}

/// The change of ids takes back what was asked of the parent's end.
fn become_root(made: &Made<'_>) -> Result<(), SetupError> {
    let groups = made.given.spec.users.groups();
    identity::become_user((0, 0), &[], groups).doing(|| "become root of the container".into())?;
    namespace::unshare_ipc().doing(|| "make an IPC namespace".into())?;
    die_with_supervisor(&made.given.report, "become root of the container")
}

/// Lets the kernel end this process with the supervisor. Where that one has ended before, its end of the channel is closed.
fn die_with_supervisor(report: &OwnedFd, deed: &str) -> Result<(), SetupError> {
    process::die_with_parent().doing(|| deed.into())?;
    let report = (report.as_fd(), watch::Until::Readable);
    match watch::wait(&[report], Some(Duration::ZERO)).doing(|| deed.into())?[0] {
        true => Err(SetupError::Alone),
        false => Ok(()),
    }
}

/// Whoever shares a session keyring possesses the keys in it, whatever user it is. The kernel refuses a new one to nobody by
/// `EPERM`: that comes of a filter of system calls which this process is under, and the container will be, too.
pub(super) fn part_from_keys() -> Result<(), SetupError> {
    match keyring::join_new() {
        Err(error) if matches!(error.errno(), Errno::NOSYS | Errno::PERM) => Ok(()),
        joined => joined.doing(|| "part from the caller's keys".into()),
    }
}

/// What a process may do in its container.
pub(super) struct Rights<'a> {
    pub(super) capabilities: Capabilities,
    pub(super) resource_limits: &'a [ResourceLimit],
    pub(super) filters: &'a Filters,
    pub(super) gains: Gains,
    /// Whether it can have other groups than this process.
    pub(super) groups: Groups,
}

impl<'a> Rights<'a> {
    fn of(spec: &'a ContainerSpec) -> Self {
        Rights {
            capabilities: spec.capabilities,
            resource_limits: &spec.resource_limits,
            filters: &spec.filters,
            gains: spec.gains,
            groups: spec.users.groups(),
        }
    }

    /// What loading filters takes where programs may gain rights. It goes as the program starts: it is not in the bounding set,
    /// and what is executed has nothing of its caller's beside that.
    fn filtering(&self) -> Capabilities {
        match self.gains {
            Gains::OfFiles if !self.filters.0.is_empty() => {
                Capabilities::named("SYS_ADMIN").unwrap_or(Capabilities::none())
            }
            Gains::OfFiles | Gains::Never => Capabilities::none(),
        }
    }
}

pub(super) fn drop_privileges(
    user: &User,
    rights: &Rights<'_>,
    report: &OwnedFd,
) -> Result<(), SetupError> {
    // By who may still raise them.
    for limit in rights.resource_limits {
        limits::set(limit).doing(|| "limit the processes".into())?;
    }
    identity::bound(rights.capabilities).doing(|| "limit capabilities".into())?;
    let filtering = rights.filtering();
    if filtering != Capabilities::none() {
        identity::keep_over_change_of_user().doing(|| "drop capabilities".into())?;
    }
    identity::become_user((user.uid, user.gid), &user.groups, rights.groups)
        .doing(|| format!("become user {}:{}", user.uid, user.gid))?;
    let own = if user.uid == 0 { rights.capabilities } else { Capabilities::none() };
    identity::keep(own.with(filtering)).doing(|| "drop capabilities".into())?;
    // The change of ids has taken it back.
    die_with_supervisor(report, "drop privileges")?;
    if rights.gains == Gains::Never {
        identity::forbid_new_privileges().doing(|| "drop privileges".into())?;
    }
    crate::sys::exec::close_all_but(report.as_fd())
        .doing(|| "close what the program shall not have".into())
}

/// Returns in a child, the only one of this process, which becomes the init: under the same filters, or who gets hold of it
/// would be free of them. The child goes on when this process is the init: until then it is a copy of the caller's command, with
/// all that one knows.
fn leave_init(spec: &ContainerSpec) -> Result<(), SetupError> {
    let deed = || "start the init of the container (--init)".to_owned();
    let init = init::load().doing(deed)?;
    signals::hold_all().doing(deed)?;
    process::hide().doing(deed)?;
    let (childs, inits) = channel::pair().doing(deed)?;
    match process::fork_into(0).doing(deed)? {
        // What is typed goes to it alone: the init would hand it on once more.
        Forked::Child => {
            drop(inits);
            // It closes as the init is executed; there is a word where that is refused, and the reason is told by who knows it.
            if channel::receive(&childs, 1).doing(deed)?.is_some() {
                process::exit_now(PANIC_STATUS);
            }
            process::begin_group().doing(deed)?;
            match spec.streams {
                Streams::Terminal => terminal::come_to_front(std::io::stdin()).doing(deed),
                Streams::Caller => Ok(()),
            }
        }
        Forked::Parent(child) => {
            drop(childs);
            let refused = filter_calls(&spec.filters)
                .and_then(|()| Err(init::become_init(&init, child.pid)).doing(deed));
            if let Err(error) = channel::send(&inits, b"x", None) {
                tracing::debug!("stop what the init was to stand by: {error}");
            }
            // Held until this process ends, and with it the child.
            std::mem::forget(inits);
            refused
        }
    }
}

/// What forbids this call itself is the last of them.
pub(super) fn filter_calls(filters: &Filters) -> Result<(), SetupError> {
    let load = |program: &Vec<Instruction>| seccomp::load(program);
    filters.0.iter().try_for_each(load).doing(|| {
        "filter the container's system calls (--security-opt seccomp=unconfined does not)".into()
    })
}

/// Tells it the supervisor.
pub(crate) fn tell(report: &OwnedFd, error: &SetupError) {
    let words = message(error.status(), &error.to_string());
    if let Err(error) = channel::send(report, &words, None) {
        tracing::debug!("nobody hears why the container was not made: {error}");
    }
}

/// The status, then the reason, cut to what a message has room for: the words of a user or of an image have any length.
fn message(status: u8, reason: &str) -> Vec<u8> {
    let mut message = vec![status];
    if message.len() + reason.len() <= MESSAGE_MAX {
        message.extend_from_slice(reason.as_bytes());
        return message;
    }
    let len_max = MESSAGE_MAX - message.len() - CUT.len();
    let end = (0..=len_max).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or_default();
    message.extend_from_slice(&reason.as_bytes()[..end]);
    message.extend_from_slice(CUT.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_there_is_room_and_ends_between_characters() {
        assert_eq!(message(125, "short"), b"\x7dshort");
        let fits = "x".repeat(MESSAGE_MAX - 1);
        assert_eq!(message(1, &fits)[1..], *fits.as_bytes());
        for shift in 0..4 {
            let long = format!("{}{}", "x".repeat(shift), "\u{1f600}".repeat(MESSAGE_MAX));
            let message = message(1, &long);
            assert!((MESSAGE_MAX - 4..=MESSAGE_MAX).contains(&message.len()));
            assert!(std::str::from_utf8(&message).unwrap().ends_with(CUT));
        }
    }
}
