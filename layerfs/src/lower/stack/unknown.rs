//! Owns telling owners whom this user namespace does not know from the one of its own whose number `stat(2)` gives for them.
//!
//! 1. The kernel lets root of a namespace go past permissions, and do what owners may, only where the namespace knows the
//!    owner: what is refused tells that it does not. Nothing is changed by asking.
//! 2. Where permissions grant all, regular files and directories still tell of the owner, not of the group.
//! 3. Symbolic links, and what else is open for everyone, tell nothing: the directory that they lie in tells for them. So the
//!    links of a tree of others' are theirs, and those of a tree of the namespace's own are its own.
//! 4. A group alone is taken for what it shows where the owner is this process and nothing is refused to owners: nothing tells.

use crate::sys::file::{self, Access, Stat};
use crate::sys::host::{self, DoubtfulIds};
use crate::sys::{Errno, OwnedFd};
use crate::tree::id_map::NONE;
use crate::tree::{Attr, Kind};

/// What the permissions of an object say of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Known,
    Unknown,
    Nothing,
}

/// Takes owner and group away from the attributes of an object where the namespace does not know them.
pub(super) fn take_away(
    attr: &mut Attr,
    stat: &Stat,
    doubtful: DoubtfulIds,
    at: (&OwnedFd, &[u8]),
) {
    let is_user = doubtful.user == Some(stat.st_uid);
    let is_group = doubtful.group == Some(stat.st_gid);
    if !(is_user || is_group) {
        return;
    }
    let told = match told(stat, attr.kind, at) {
        Told::Nothing => by_parent(doubtful, at.0),
        told => told,
    };
    if told == Told::Unknown {
        if is_user {
            attr.uid = NONE;
        }
        if is_group {
            attr.gid = NONE;
        }
    }
}

fn told(stat: &Stat, kind: Kind, at: (&OwnedFd, &[u8])) -> Told {
    match by_permissions(stat, at) {
        Told::Nothing => by_owner(kind, at),
        told => told,
    }
}

/// Asks the directory.
fn by_parent(doubtful: DoubtfulIds, dir: &OwnedFd) -> Told {
    match file::stat(dir) {
        Ok(stat) if doubtful.user == Some(stat.st_uid) || doubtful.group == Some(stat.st_gid) => {
            told(&stat, Kind::Directory, (dir, b"."))
        }
        Ok(_) | Err(_) => Told::Known,
    }
}

/// Asks for what permissions refuse: it is granted where the namespace knows both owner and group.
fn by_permissions(stat: &Stat, (dir, name): (&OwnedFd, &[u8])) -> Told {
    let is_own = stat.st_uid == host::own_ids().0;
    let [owner, group, others] = [stat.st_mode >> 6, stat.st_mode >> 3, stat.st_mode];
    // Whether this process is of the group is not known, either. With an access control list these bits bound all that it grants.
    let granted = others | group | if is_own { owner } else { 0 };
    let refused_by = |bits: u32| {
        let of = |bit, access| if bits & bit == 0 { access } else { Access::empty() };
        of(0o4, Access::READ_OK) | of(0o2, Access::WRITE_OK)
    };
    let (surely, perhaps) = (refused_by(granted), refused_by(others));
    let asked = if surely.is_empty() { perhaps } else { surely };
    if asked.is_empty() {
        return Told::Nothing;
    }
    match file::is_granted(dir, name, asked) {
        Ok(false) => Told::Unknown,
        Ok(true) if !surely.is_empty() => Told::Known,
        // Kernels before 5.8 do not answer.
        Ok(true) | Err(_) => Told::Nothing,
    }
}

/// Asks for what the owner alone may.
fn by_owner(kind: Kind, (dir, name): (&OwnedFd, &[u8])) -> Told {
    if !matches!(kind, Kind::File | Kind::Directory) {
        return Told::Nothing;
    }
    match file::open_owned(dir, name) {
        Err(error) if matches!(error.errno(), Errno::PERM | Errno::ACCESS) => Told::Unknown,
        // What can't be opened for another reason can't be copied, either.
        Ok(_) | Err(_) => Told::Known,
    }
}
