//! The SIGBUS handler: a page of a watched mapping that can't be read becomes zeros and a mark.
//!
//! Constraints: (1) the handler runs on any thread at any instruction, so it reads atomics and makes one `mmap`,
//! nothing else; (2) a slot is filled length last and emptied length first, so that the handler never sees half a
//! slot; (3) a SIGBUS that is not ours gets the kernel's default action, as if no handler stood.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use rustix::io::Errno;

use super::error::SysError;

/// Mappings that can be watched at one time: a fold has all layers of an image mapped, up to 4,096, and two may run
/// beside each other. A slot that was never taken takes no memory.
const SLOTS: usize = 16 * 1024;

struct Slot {
    /// Set by whoever owns the slot, until the watch ends.
    taken: AtomicBool,
    start: AtomicUsize,
    /// Bytes; 0 while the slot watches nothing.
    len: AtomicUsize,
    damaged: AtomicPtr<AtomicBool>,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        damaged: AtomicPtr::new(std::ptr::null_mut()),
    }
}; SLOTS];

/// Where the next free slot is looked for first: with thousands taken, a search from the front would meet them all.
static NEXT: AtomicUsize = AtomicUsize::new(0);

static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// One watched mapping; ends when told to, before the memory is unmapped.
#[derive(Debug)]
pub(super) struct Watch {
    slot: usize,
    /// Keeps the mark alive while the handler may write to it.
    _mark: Arc<AtomicBool>,
}

impl Watch {
    /// Watches `memory`; `None` where all slots are taken.
    pub(super) fn new(memory: &[u8], mark: &Arc<AtomicBool>) -> Option<Self> {
        let take = |slot: &Slot| !slot.taken.swap(true, Ordering::AcqRel);
        let first = NEXT.load(Ordering::Relaxed);
        let index = (first..SLOTS).chain(0..first).find(|index| take(&TABLE[*index]))?;
        NEXT.store((index + 1) % SLOTS, Ordering::Relaxed);
        let slot = &TABLE[index];
        slot.start.store(memory.as_ptr().addr(), Ordering::Relaxed);
        slot.damaged.store(Arc::as_ptr(mark).cast_mut(), Ordering::Relaxed);
        slot.len.store(memory.len(), Ordering::Release);
        Some(Watch { slot: index, _mark: Arc::clone(mark) })
    }

    /// Stops watching. The mapping must still stand.
    pub(super) fn end(&self) {
        let slot = &TABLE[self.slot];
        slot.len.store(0, Ordering::Release);
        slot.damaged.store(std::ptr::null_mut(), Ordering::Release);
        slot.taken.store(false, Ordering::Release);
    }
}

/// Installs the handler, once for the process.
pub(super) fn install() -> Result<(), SysError> {
    static INSTALLED: OnceLock<Result<(), Errno>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        PAGE.store(rustix::param::page_size(), Ordering::Relaxed);
        set_action(
            on_sigbus as *const () as usize,
            libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK,
        )
    });
    installed.map_err(|errno| SysError::new("rt_sigaction", "SIGBUS", errno))
}

fn set_action(handler: usize, flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: an all-zero sigaction is a valid one: default handler, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is initialised, the handler keeps to what a signal handler may do (constraint 1).
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

extern "C" fn on_sigbus(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo_t.
    let info = unsafe { &*info };
    // Codes above 0 are the kernel's; a signal that a process sent has no address, and no instruction behind it that
    // would fault again.
    if info.si_code <= 0 {
        act_by_default();
        // SAFETY: raise may be called from a signal handler.
        unsafe { libc::raise(libc::SIGBUS) };
        return;
    }
    // SAFETY: for a SIGBUS that the kernel raised, the address field is the one that is set.
    let address = unsafe { info.si_addr() }.addr();
    if !TABLE.iter().any(|slot| heal(slot, address)) {
        // The faulting instruction runs again under the default action, which ends the process as it should.
        act_by_default();
    }
}

/// Gives SIGBUS back to the kernel, or ends the process as the kernel would.
fn act_by_default() {
    if set_action(libc::SIG_DFL, 0).is_err() {
        // SAFETY: _exit may be called from a signal handler.
        unsafe { libc::_exit(135) };
    }
}

/// Sets the mark of the slot that watches that address, and puts a page of zeros where the fault was.
fn heal(slot: &Slot, address: usize) -> bool {
    let len = slot.len.load(Ordering::Acquire);
    let start = slot.start.load(Ordering::Relaxed);
    if len == 0 || address < start || address - start >= len {
        return false;
    }
    // Before the zeros are there to be read: another thread that reads them and then asks must be told.
    let mark = slot.damaged.load(Ordering::Acquire);
    // SAFETY: the slot's watch holds the Arc that the pointer comes from until the slot is emptied.
    if let Some(mark) = unsafe { mark.as_ref() } {
        mark.store(true, Ordering::Release);
    }
    let page = PAGE.load(Ordering::Relaxed);
    let page_start = address & !(page - 1);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let target = std::ptr::with_exposed_provenance_mut(page_start);
    // SAFETY: the page lies within a mapping that is watched and so still stands; only that page is replaced.
    let healed = unsafe { libc::mmap(target, page, libc::PROT_READ, flags, -1, 0) };
    healed != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    /// Set in the process that is to die.
    const VICTIM: &str = "LAYERFS_TEST_SIGBUS";

    #[test]
    fn a_sigbus_that_is_sent_ends_the_process() {
        if std::env::var_os(VICTIM).is_some() {
            super::install().unwrap();
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::BUS)
                .unwrap();
            return;
        }
        let name = "sys::sigbus::tests::a_sigbus_that_is_sent_ends_the_process";
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap());
        let output = victim.args(["--exact", name]).env(VICTIM, "1").output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
    }
}
