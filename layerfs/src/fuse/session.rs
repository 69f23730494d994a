//! A FUSE connection: what is agreed with the kernel, and that it is served.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::aside::Aside;
use super::backing::Backing;
use super::buffers::Buffers;
use super::door::Door;
use super::given::Given;
use super::manner::{Io, Manner, Wakes, Xattrs, Zero};
use crate::sys::SysError;
use crate::sys::connection::{self, Ending};
use crate::sys::fuse_device::FuseDevice;
use crate::sys::host::{self, Rights};
use crate::tree::Acls;
use crate::union::Union;
use crate::upper::Upper;
use crate::wire::{Agreed, Connection, Offer, Wishes, offer};

/// Requests that the kernel may have waiting: RELEASE and readahead use these places.
const BACKGROUND_MAX: u16 = 128;

/// Why a connection could not be served.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The first words with the kernel went wrong.
    #[error("begin to talk to the kernel: {0}")]
    Handshake(SysError),
    /// The device could not be asked or kept.
    #[error("ask the FUSE device: {0}")]
    Device(SysError),
    /// The connection broke, other than by an unmount.
    #[error("talk to the kernel: {0}")]
    Broken(SysError),
}

/// A mounted union that is ready to be served.
pub struct Serving {
    connection: Connection,
    door: Door,
    device: OwnedFd,
}

impl Serving {
    /// Agrees with the kernel on the connection `device`, which a mount holds the other end of.
    pub fn new(union: Union, device: OwnedFd, manner: Manner) -> Result<Self, SessionError> {
        let rights = host::rights().map_err(SessionError::Device)?;
        let kept = connection::another(&device).map_err(SessionError::Device)?;
        let device = FuseDevice::new(device).map_err(SessionError::Device)?;
        let wishes = wishes(&union, &manner, rights);
        // Who may enter is the mount's own option (`allow_other`), which the kernel keeps.
        let connection = Connection::new(device, &wishes).map_err(SessionError::Handshake)?;
        let is_backed = connection.agreed().has(offer::PASSTHROUGH);
        let given = Given::of(&union);
        // A number of plain directories is of whatever has it below at that time.
        let rests = !union.lower().may_change();
        let backing = Backing::new(is_backed, rests);
        // What the kernel writes itself nobody here can count.
        let is_bounded = union.upper().is_some_and(Upper::is_bounded);
        let backing = if is_bounded { backing.keeping_uppers() } else { backing };
        let is_zero_root = manner.zero == Zero::Same && !matches!(rights, Rights::Namespace(_));
        let door = Door {
            union: Arc::new(union),
            aside: Aside::new(),
            manner: Arc::new(manner),
            is_zero_root,
            backing: Arc::new(backing),
            given,
            buffers: Buffers::default(),
            says_kept: connection.agreed().has(offer::HANDLE_KILLPRIV_V2),
            kernel: connection.kernel(),
        };
        Ok(Serving { connection, door, device: kept })
    }

    /// What was agreed with the kernel, for people: its version of the protocol, and which of its offers were taken.
    pub fn agreed(&self) -> String {
        told(self.connection.agreed())
    }

    /// Serves requests until the mount goes.
    pub fn run(self) -> Result<(), SessionError> {
        self.connection.serve(self.door).map_err(SessionError::Broken)?;
        match connection::ending(&self.device).map_err(SessionError::Device)? {
            Ending::Unmounted => Ok(()),
            Ending::Aborted => Err(SessionError::Broken(connection::aborted())),
        }
    }
}

/// Asks for what the kernel offers of this; each is a gain, and none is needed.
///
/// Not asked for: AUTO_INVAL_DATA (all changes go through the door), WRITEBACK_CACHE (a write is with the upper's file
/// system when it is answered), remote locks (the kernel's own are right for one mount).
fn wishes(union: &Union, manner: &Manner, rights: Rights) -> Wishes {
    let mut offers = vec![
        offer::ATOMIC_O_TRUNC,
        offer::DO_READDIRPLUS,
        offer::READDIRPLUS_AUTO,
        offer::ASYNC_DIO,
        offer::PARALLEL_DIROPS,
        offer::HANDLE_KILLPRIV_V2,
        offer::CACHE_SYMLINKS,
        offer::NO_OPENDIR_SUPPORT,
        offer::EXPLICIT_INVAL_DATA,
        // A connection that an administrator breaks off does not look as if the mount had gone.
        offer::ABORT_ERROR,
        // A default access control list takes the umask's place, and which it is the union knows.
        offer::DONT_MASK,
    ];
    if union.acls() == Acls::Obeyed && manner.xattrs == Xattrs::Known {
        offers.push(offer::POSIX_ACL);
    }
    // The kernel takes files from root of the machine alone.
    if manner.io == Io::Auto && rights == Rights::Root {
        offers.push(offer::PASSTHROUGH);
    }
    let keeps_awake = manner.wakes == Wakes::Fast && rights == Rights::Root;
    Wishes { offers, background_max: BACKGROUND_MAX, keeps_awake }
}

fn told(agreed: &Agreed) -> String {
    let names = |offers: &[Offer]| {
        let names: Vec<_> = offers.iter().map(|offer| offer.1).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
    };
    let (major, minor) = agreed.version;
    let (taken, refused) = (names(&agreed.taken), names(&agreed.refused));
    format!("FUSE {major}.{minor}, used: {taken}; not offered: {refused}")
}
