//! Why a container's groups could not be made, read, emptied or removed.

use std::path::PathBuf;

use layerfs_driver::sys::{Errno, SysError};

/// Every way this room fails.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A limit was asked for and its controller can't be had.
    #[error("{flag} needs the {controller} controller of cgroups: {why}; {}", .why.cure())]
    NoController {
        /// The flag that asks for the limit, as people write it.
        flag: &'static str,
        /// The kernel's name of the controller.
        controller: &'static str,
        /// Why it can't be had.
        why: WhyNot,
    },
    /// The kernel holds another value than the one that was written.
    #[error(
        "{file}: `{asked}` was written and `{kept}` is kept; ask for a limit within the parent group's"
    )]
    NotKept {
        /// The control file.
        file: PathBuf,
        /// What was written.
        asked: String,
        /// What it reads.
        kept: String,
    },
    /// No scheduler of disks weighs containers here.
    #[error(
        "--blkio-weight: no scheduler of this kernel weighs groups against each other; leave it out, or limit by --device-read-bps \
         and its like"
    )]
    NoWeight,
    /// A process can't be moved into a container's group.
    #[error(
        "this process can't be moved into cgroup {}: the kernel moves a user's process only below a group whose cgroup.procs the user \
         may write, and none is above both; call it from the session that started the container, or by \
         `systemd-run --user --scope layerfs …`",
        .0.display()
    )]
    OutOfReach(PathBuf),
    /// A limit of swap was asked for, and the kernel counts none.
    #[error(
        "--memory-swap: this kernel does not count the swap of control groups, so that no limit of it can hold; boot with swapaccount=1, \
         or say `--memory-swap -1` for any swap"
    )]
    NoSwap,
    /// A file of a group was named that the container has not.
    #[error(
        "--cgroup-conf `{file}`: the container has no such file: it is of cgroups of version 2, of a controller that is there, and of \
         this kernel; leave it out"
    )]
    NoFile {
        /// Its name.
        file: String,
    },
    /// What was to be written there is refused.
    #[error(
        "--cgroup-conf `{file}={value}`: the kernel does not take that ({errno}); see cgroup-v2 in its documentation"
    )]
    NotTaken {
        /// Its name.
        file: String,
        /// What was to be written.
        value: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A limit of memory is below what is in use.
    #[error(
        "{0}: the container uses more than that now, and the kernel can't take it away; end some of its processes, or allow more"
    )]
    MemoryInUse(&'static str),
    /// A processor or a memory node was named that a container can't have.
    #[error("{flag} `{asked}`: a container can have {there} here; name those alone")]
    NotThere {
        /// The flag that names them, as people write it.
        flag: &'static str,
        /// Those that were named.
        asked: String,
        /// Those that there are.
        there: String,
    },
    /// No hierarchy has a freezer for the container.
    #[error(
        "no control group of the container can be frozen: mount the freezer controller of version 1 or a tree of version 2, then \
         make the container again"
    )]
    NoFreezer,
    /// Somebody does not stand still.
    #[error(
        "the processes in {} do not all stand still within 10 s, and go on: one waits for a disk; try again", .0.display()
    )]
    NotStill(PathBuf),
    /// A group of this container is there already.
    #[error(
        "cgroup {0} exists already; another container of that id runs, or one was left: remove it first"
    )]
    Exists(PathBuf),
    /// The id can't be the name of a directory.
    #[error(
        "`{0}` can't name a cgroup; letters, digits, `-`, `_` and `.` can, at most 128, none of them a dot first"
    )]
    BadId(String),
    /// Processes live on in a group that should be empty.
    #[error(
        "cgroup {path} is still in use by {who} after {waited_ms} ms; end them, then remove the container"
    )]
    Busy {
        /// The group.
        path: PathBuf,
        /// Who uses it: process ids, or what else holds it.
        who: String,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// A system call was refused.
    #[error("{deed} {}: {source}", .path.display())]
    Call {
        /// What was being done.
        deed: &'static str,
        /// To what.
        path: PathBuf,
        /// The refused call.
        source: SysError,
    },
}

/// Why a controller can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// No hierarchy is mounted that has it.
    #[error("no mounted hierarchy has it")]
    NotMounted,
    /// The kernel was started without it.
    #[error("it is switched off on the kernel's command line")]
    SwitchedOff,
    /// The kernel has no such controller.
    #[error("this kernel is built without it")]
    NotBuilt,
    /// The hierarchy is mounted read-only.
    #[error("{} is mounted read-only", .0.display())]
    ReadOnly(PathBuf),
    /// This user may make no group there.
    #[error("this user may make no group in {}", .0.display())]
    NotPermitted(PathBuf),
    /// This user was given no group that this process is below.
    #[error("no control group above this process is delegated to this user")]
    NotDelegated,
    /// A group was given to this user, and others than this process are in it.
    #[error("{} is delegated to this user, and processes are in it, so that it hands nothing down", .0.display())]
    Occupied(PathBuf),
    /// A group was given to this user without it.
    #[error("{} is delegated to this user without it", .0.display())]
    NotGiven(PathBuf),
    /// Version 2 has it, and a group above ours does not pass it on.
    #[error("{} does not pass it on ({errno})", .group.display())]
    NotPassedOn {
        /// The group that would have to.
        group: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Version 2 has a program in its place, which the kernel does not take.
    #[error(
        "no mounted hierarchy of version 1 has it, and for version 2 the kernel takes no program in its place ({0})"
    )]
    NoProgram(Errno),
}

impl WhyNot {
    /// What to do about it.
    fn cure(&self) -> &'static str {
        match self {
            WhyNot::NotMounted => {
                "mount cgroups as root (`mount -t cgroup2 none /sys/fs/cgroup`) or leave the limit out"
            }
            WhyNot::SwitchedOff => {
                "boot without cgroup_disable= (and with cgroup_enable=memory for memory) or leave the limit out"
            }
            WhyNot::NotBuilt => "boot a kernel that has it or leave the limit out",
            WhyNot::ReadOnly(_) => "mount it writable as root or leave the limit out",
            WhyNot::NotPermitted(_) => "run as root or leave the limit out",
            WhyNot::NotDelegated => {
                "call it by `systemd-run --user --scope -p Delegate=yes layerfs …`, run as root or leave the limit out"
            }
            WhyNot::Occupied(_) => {
                "move them into a group below it, call it by `systemd-run --user --scope -p Delegate=yes layerfs …`, or leave the limit \
                 out"
            }
            WhyNot::NotGiven(_) => {
                "have root delegate it (`systemctl edit user@.service`: [Service], Delegate=cpu cpuset io memory pids), or leave the limit \
                 out"
            }
            WhyNot::NotPassedOn { .. } => {
                "move the processes that sit in that group into one below it, or leave the limit out"
            }
            WhyNot::NoProgram(_) => {
                "run as root, on a kernel with CONFIG_CGROUP_BPF=y, below no group that forbids such programs, or leave that out"
            }
        }
    }
}

impl CgroupError {
    /// For `map_err`: what was being done, and to what.
    pub(super) fn call(
        deed: &'static str,
        path: &std::path::Path,
    ) -> impl Fn(SysError) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| CgroupError::Call { deed, path: path.clone(), source }
    }
}
