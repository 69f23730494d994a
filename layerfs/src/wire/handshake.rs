//! The first words with the kernel: which version, and which of its offers are taken.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::form::{InitIn, InitOut, opcode};
use super::request::Asked;
use super::serve::Buffer;
use crate::sys::fuse_device::{FuseDevice, Next};
use crate::sys::{Errno, SysError};

/// The version that is spoken here. A kernel of an older one passes over what it does not know.
const MAJOR: u32 = 7;
const MINOR: u32 = 45;

/// The kernel's first offers of 32, and where the others are counted on.
const EXTENDED: u64 = 1 << 30;
const MAX_PAGES: u64 = 1 << 22;
/// What every kernel that is served offers, and everyone takes.
const BASE: u64 = 1 | 1 << 5 | MAX_PAGES | EXTENDED;

/// The greatest write, and with [`MAX_PAGES`] the greatest read, in bytes.
pub const TRANSFER_MAX: u32 = 1 << 20;
const PAGE: u32 = 4096;

/// Something that the kernel offers (`FUSE_*` of `fuse_init_in.flags`), by its bit and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer(pub u64, pub &'static str);

/// All that are asked for somewhere.
pub mod offer {
    use super::Offer;

    pub const ATOMIC_O_TRUNC: Offer = Offer(1 << 3, "ATOMIC_O_TRUNC");
    pub const DONT_MASK: Offer = Offer(1 << 6, "DONT_MASK");
    pub const DO_READDIRPLUS: Offer = Offer(1 << 13, "DO_READDIRPLUS");
    pub const READDIRPLUS_AUTO: Offer = Offer(1 << 14, "READDIRPLUS_AUTO");
    pub const ASYNC_DIO: Offer = Offer(1 << 15, "ASYNC_DIO");
    pub const PARALLEL_DIROPS: Offer = Offer(1 << 18, "PARALLEL_DIROPS");
    pub const POSIX_ACL: Offer = Offer(1 << 20, "POSIX_ACL");
    pub const ABORT_ERROR: Offer = Offer(1 << 21, "ABORT_ERROR");
    pub const CACHE_SYMLINKS: Offer = Offer(1 << 23, "CACHE_SYMLINKS");
    pub const NO_OPENDIR_SUPPORT: Offer = Offer(1 << 24, "NO_OPENDIR_SUPPORT");
    pub const EXPLICIT_INVAL_DATA: Offer = Offer(1 << 25, "EXPLICIT_INVAL_DATA");
    pub const HANDLE_KILLPRIV_V2: Offer = Offer(1 << 28, "HANDLE_KILLPRIV_V2");
    pub const PASSTHROUGH: Offer = Offer(1 << 37, "PASSTHROUGH");
}

/// What is asked of the kernel.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Offers that are taken where they are made.
    pub offers: Vec<Offer>,
    /// Requests that the kernel may have waiting: RELEASE and readahead use these places.
    pub background_max: u16,
    /// While requests come fast, no processor is to sleep deeply.
    pub keeps_awake: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The kernel's version.
    pub version: (u32, u32),
    /// The wishes that were granted.
    pub taken: Vec<Offer>,
    /// Those that were not.
    pub refused: Vec<Offer>,
}

impl Agreed {
    /// Whether an offer was made and taken.
    pub fn has(&self, offer: Offer) -> bool {
        self.taken.contains(&offer)
    }
}

/// Waits for the kernel's first words, and answers them.
pub(super) fn shake_hands(device: &Arc<FuseDevice>, wishes: &Wishes) -> Result<Agreed, SysError> {
    let mut buffer = Buffer::new();
    let refused = |errno, why: String| Err(SysError::new("FUSE_INIT", why, errno));
    let len = loop {
        device.wait(None)?;
        match device.read(buffer.room())? {
            Next::Request(len) => break len,
            Next::Nothing => {}
            Next::Ended => return refused(Errno::NODEV, "the mount has gone".into()),
        }
    };
    let Some((asked, init, more)) = first_words(&buffer.room()[..len]) else {
        return refused(Errno::PROTO, format!("{len} bytes that are none"));
    };
    if init.major != MAJOR || init.minor < 31 {
        let version = format!("the kernel speaks FUSE {}.{}", init.major, init.minor);
        super::Reply::new(device, asked.unique).error(Errno::PROTO);
        return refused(Errno::PROTO, version);
    }
    let offered = u64::from(init.flags) | more << 32;
    let is_offered = |offer: &Offer| offered & offer.0 == offer.0;
    let (taken, refused): (Vec<_>, Vec<_>) = wishes.offers.iter().copied().partition(is_offered);
    let flags = taken.iter().fold(BASE & offered, |flags, offer| flags | offer.0);
    let agreed = Agreed { version: (init.major, init.minor), taken, refused };
    super::Reply::new(device, asked.unique).bytes(answer(init, flags, wishes).as_bytes());
    Ok(agreed)
}

/// Whom to answer, the first words, and their flags from bit 32 on where they have them.
fn first_words(bytes: &[u8]) -> Option<(Asked, InitIn, u64)> {
    let (header, body) = super::form::InHeader::ref_from_prefix(bytes).ok()?;
    let (init, rest) = InitIn::ref_from_prefix(body).ok()?;
    let more = u32::read_from_prefix(rest).map_or(0, |(flags, _)| flags);
    let has_more = u64::from(init.flags) & EXTENDED != 0;
    let asked = Asked::by(header);
    (header.opcode == opcode::INIT).then_some((
        asked,
        *init,
        if has_more { more.into() } else { 0 },
    ))
}

fn answer(init: InitIn, flags: u64, wishes: &Wishes) -> InitOut {
    let half = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(0);
    InitOut {
        major: MAJOR,
        minor: MINOR,
        max_readahead: init.max_readahead,
        flags: half(flags),
        max_background: wishes.background_max,
        congestion_threshold: wishes.background_max / 4 * 3,
        max_write: TRANSFER_MAX,
        time_gran: 1,
        max_pages: u16::try_from(TRANSFER_MAX / PAGE).unwrap_or(u16::MAX),
        map_alignment: 0,
        flags2: half(flags >> 32),
        max_stack_depth: u32::from(flags & offer::PASSTHROUGH.0 != 0),
        request_timeout: 0,
        unused: [0; 11],
    }
}
