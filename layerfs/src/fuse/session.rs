//! A FUSE connection: what is agreed with the kernel, and the threads that serve it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

use fuser::{
    Config, FileAttr, FileType, INodeNo, InitFlags, KernelConfig, Notifier, Session, SessionACL,
};

use super::aside::Aside;
use super::door::Door;
use super::manner::{Manner, Xattrs};
use crate::sys::SysError;
use crate::sys::connection::{self, Ending};
use crate::sys::host::{self, Rights};
use crate::tree::Acls;
use crate::union::Union;

/// Entries that one READDIRPLUS looks up, at most: its buffer holds no more of the shortest.
pub(super) const PLUS_MAX: usize = 512;

/// Requests that the kernel may have waiting: RELEASE and readahead use these places.
const BACKGROUND_MAX: u16 = 128;

/// Threads that read requests and answer them: as many reads of a cold disk go on at once.
const THREADS: usize = 4;

/// Why a connection could not be served.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The first words with the kernel went wrong.
    #[error("begin to talk to the kernel: {0}")]
    Handshake(io::Error),
    /// The device could not be asked or kept.
    #[error("ask the FUSE device: {0}")]
    Device(SysError),
    /// The connection broke, other than by an unmount.
    #[error("talk to the kernel: {0}")]
    Broken(io::Error),
}

/// A mounted union that is ready to be served.
pub struct Serving {
    session: Session<Door>,
    device: OwnedFd,
    agreed: Arc<OnceLock<String>>,
}

impl Serving {
    /// Agrees with the kernel on the connection `device`, which a mount holds the other end of.
    pub fn new(union: Union, device: OwnedFd, manner: Manner) -> Result<Self, SessionError> {
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        let rights = host::rights().map_err(SessionError::Device)?;
        let kept = connection::another(&device).map_err(SessionError::Device)?;
        // Who may enter is the mount's own option (`allow_other`), which the kernel keeps.
        let (notifier, agreed) = (Arc::<OnceLock<Notifier>>::default(), Arc::default());
        let door = Door {
            union: Arc::new(union),
            aside: Aside::new(),
            manner: Arc::new(manner),
            is_zero_root: !matches!(rights, Rights::Namespace(_)),
            notifier: Arc::clone(&notifier),
            agreed: Arc::clone(&agreed),
        };
        let session = Session::from_fd(door, device, SessionACL::All, config);
        let session = session.map_err(SessionError::Handshake)?;
        notifier.get_or_init(|| session.notifier());
        Ok(Serving { session, device: kept, agreed })
    }

    /// What was agreed with the kernel, for people: its version of the protocol, and which of its offers were taken.
    pub fn agreed(&self) -> &str {
        self.agreed.get().map_or("nothing", String::as_str)
    }

    /// Serves requests until the mount goes.
    pub fn run(self) -> Result<(), SessionError> {
        match self.session.run() {
            Ok(()) => Ok(()),
            // What an abort gives, and now and then an unmount.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                match connection::ending(&self.device).map_err(SessionError::Device)? {
                    Ending::Unmounted => Ok(()),
                    Ending::Aborted => Err(SessionError::Broken(error)),
                }
            }
            Err(error) => Err(SessionError::Broken(error)),
        }
    }
}

/// Asks for what the kernel offers of this; each is a gain, and none is needed. Answers in words what was agreed.
///
/// Not asked for: AUTO_INVAL_DATA (all changes go through the door), WRITEBACK_CACHE (a write is with the upper's file
/// system when it is answered), remote locks (the kernel's own are right for one mount), SETXATTR_EXT (the crate
/// panics on it).
pub(super) fn negotiate(config: &mut KernelConfig, acls: Acls, xattrs: Xattrs) -> String {
    let wanted = [
        InitFlags::FUSE_ATOMIC_O_TRUNC,
        InitFlags::FUSE_DO_READDIRPLUS,
        InitFlags::FUSE_READDIRPLUS_AUTO,
        InitFlags::FUSE_ASYNC_DIO,
        InitFlags::FUSE_PARALLEL_DIROPS,
        InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        InitFlags::FUSE_CACHE_SYMLINKS,
        InitFlags::FUSE_NO_OPENDIR_SUPPORT,
        InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        // A connection that an administrator breaks off does not look as if the mount had gone.
        InitFlags::FUSE_ABORT_ERROR,
        // A default access control list takes the umask's place, and which it is the union knows.
        InitFlags::FUSE_DONT_MASK,
    ];
    let has_lists = acls == Acls::Obeyed && xattrs == Xattrs::Known;
    let lists = has_lists.then_some(InitFlags::FUSE_POSIX_ACL);
    let (taken, refused): (Vec<_>, Vec<_>) =
        wanted.into_iter().chain(lists).partition(|flag| config.add_capabilities(*flag).is_ok());
    if config.set_max_background(BACKGROUND_MAX).is_err() {
        tracing::debug!("the kernel takes fewer than {BACKGROUND_MAX} waiting requests");
    }
    let names = |flags: &[InitFlags]| {
        let names = flags.iter().flat_map(InitFlags::iter_names);
        let names: Vec<_> = names.map(|(name, _)| name.trim_start_matches("FUSE_")).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
    };
    let version = config.kernel_abi();
    let (taken, refused) = (names(&taken), names(&refused));
    format!("FUSE {version}, used: {taken}; not offered: {refused}")
}

/// The entry that tells the kernel that a name is absent: number 0.
pub(super) fn absent() -> FileAttr {
    bare(INodeNo(0), FileType::RegularFile)
}

/// Attributes that say no more than a number and a type.
pub(super) fn bare(ino: INodeNo, kind: FileType) -> FileAttr {
    FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
