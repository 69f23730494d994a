//! Who this process is: user, groups, capabilities.

use rustix::fs::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Errno, SysError, call, last_errno};
use crate::capability::Capabilities;
use crate::spec::Groups;

impl Capabilities {
    fn set(self) -> CapabilitySet {
        CapabilitySet::from_bits_retain(self.bits())
    }
}

/// What this process may do itself, and so give.
pub fn held() -> Result<Capabilities, SysError> {
    let has = call("capget", String::new, || rustix::thread::capabilities(None))?;
    Ok(Capabilities::from_bits(has.permitted.bits()))
}

/// Takes from the bounding set whatever is not in `kept`: no program started later can have it.
pub fn bound(kept: Capabilities) -> Result<(), SysError> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.set().contains(one) {
            continue;
        }
        let drop = || rustix::thread::remove_capability_from_bounding_set(one);
        match call("prctl", || format!("PR_CAPBSET_DROP, {number}"), drop) {
            Ok(()) => {}
            // The kernel knows no capability of this number, nor of any greater one.
            Err(error) if error.errno() == Errno::INVAL => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Keeps of its own capabilities those in `kept`, hands none on to programs of other users.
pub fn keep(kept: Capabilities) -> Result<(), SysError> {
    let has = call("capget", String::new, || rustix::thread::capabilities(None))?;
    let rest = kept.set().intersection(has.permitted);
    let sets =
        CapabilitySets { effective: rest, permitted: rest, inheritable: CapabilitySet::empty() };
    call(
        "capset",
        || format!("{:#x}", rest.bits()),
        || rustix::thread::set_capabilities(None, sets),
    )?;
    let clear = rustix::thread::clear_ambient_capability_set;
    call("prctl", || "PR_CAP_AMBIENT_CLEAR_ALL".to_owned(), clear)
}

/// Lets this process have its capabilities still when it becomes another user than root, though none in effect.
pub fn keep_over_change_of_user() -> Result<(), SysError> {
    let keep = || rustix::thread::set_keep_capabilities(true);
    call("prctl", || "PR_SET_KEEPCAPS".to_owned(), keep)
}

/// Becomes this user, with this group and these further ones where those can be changed. The last step that needs a privilege.
pub fn become_user((uid, gid): (u32, u32), groups: &[u32], can: Groups) -> Result<(), SysError> {
    if can == Groups::Set {
        let all: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let set_groups = || rustix::thread::set_thread_groups(&all);
        call("setgroups", || format!("{} groups", groups.len()), set_groups)?;
    }
    let group = Gid::from_raw(gid);
    let set_gid = || rustix::thread::set_thread_res_gid(group, group, group);
    call("setresgid", || gid.to_string(), set_gid)?;
    let user = Uid::from_raw(uid);
    let set_uid = || rustix::thread::set_thread_res_uid(user, user, user);
    call("setresuid", || uid.to_string(), set_uid)?;
    confirm(uid, gid)
}

/// Asks the kernel whether all ids are these: a set that it took as "no change" would leave them root's.
fn confirm(uid: u32, gid: u32) -> Result<(), SysError> {
    let (mut users, mut groups) = ([0; 3], [0; 3]);
    let ask = || {
        let [real, effective, saved] = &mut users;
        // SAFETY: three numbers of ours are written.
        let done = unsafe { libc::getresuid(real, effective, saved) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    };
    call("getresuid", String::new, ask)?;
    let ask = || {
        let [real, effective, saved] = &mut groups;
        // SAFETY: three numbers of ours are written.
        let done = unsafe { libc::getresgid(real, effective, saved) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    };
    call("getresgid", String::new, ask)?;
    if (users, groups) == ([uid; 3], [gid; 3]) {
        return Ok(());
    }
    Err(SysError::new("setresuid", format!("{uid}:{gid}, still {users:?}:{groups:?}"), Errno::PERM))
}

/// From here on no program gains a privilege by being executed.
pub fn forbid_new_privileges() -> Result<(), SysError> {
    let forbid = || rustix::thread::set_no_new_privs(true);
    call("prctl", || "PR_SET_NO_NEW_PRIVS".to_owned(), forbid)
}
