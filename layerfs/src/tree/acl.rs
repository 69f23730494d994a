//! Owns the names and the form of POSIX access control lists, as attributes hold them.
//!
//! A list is a version (2) of four bytes and entries of eight: tag and permissions of two bytes each, and the id of a user
//! or group; all little-endian. The form and the rules of inheriting are those of the kernel (`posix_acl_xattr.h`,
//! `posix_acl_create` in `fs/posix_acl.c`).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The attribute with the list that says who may do what with an object.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the list that a directory hands on to what is made in it.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Whether an attribute is one of the two lists.
pub fn is_list(attribute: &[u8]) -> bool {
    attribute == ACCESS || attribute == DEFAULT
}

/// Whether a mount knows access control lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acls {
    /// They are shown, obeyed and handed on.
    Obeyed,
    /// There are none: neither shown nor taken, and permissions alone decide.
    Off,
}

/// What a new object has of its directory's default list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Its permissions: those asked for, as far as the list grants them.
    pub permissions: u32,
    /// Its own list; `None` where the permissions say all.
    pub access: Option<Vec<u8>>,
}

/// A list that is in no known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access control list of {len} bytes is in no known form")]
pub struct AclFault {
    /// Bytes of the value.
    pub len: usize,
}

const VERSION: [u8; 4] = 2_u32.to_le_bytes();

const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    tag: U16,
    permissions: U16,
    id: U32,
}

/// What a new object with these permissions has of a default list. No umask counts beside a list.
pub fn inherit(default: &[u8], permissions: u32) -> Result<Inherited, AclFault> {
    let fault = AclFault { len: default.len() };
    let mut list = entries(default)?.to_vec();
    let has_mask = list.iter().any(|entry| entry.tag == MASK);
    let mut granted = permissions & !0o777;
    let mut says_more = false;
    for entry in &mut list {
        let shift = match entry.tag.get() {
            USER_OBJ => Some(6),
            // With a mask the group's permissions are the mask's, and its entry stays what it is.
            GROUP_OBJ if has_mask => None,
            GROUP_OBJ | MASK => Some(3),
            OTHER => Some(0),
            USER | GROUP => None,
            _ => return Err(fault),
        };
        says_more |= matches!(entry.tag.get(), USER | GROUP | MASK);
        if let Some(shift) = shift {
            // One digit of permissions.
            let asked = u16::try_from(permissions >> shift & 0o7).unwrap_or(0);
            let bits = entry.permissions.get() & asked;
            entry.permissions.set(bits);
            granted |= u32::from(bits) << shift;
        }
    }
    if [USER_OBJ, GROUP_OBJ, OTHER].iter().any(|tag| !list.iter().any(|entry| entry.tag == *tag)) {
        return Err(fault);
    }
    let access = says_more.then(|| [&VERSION[..], list.as_bytes()].concat());
    Ok(Inherited { permissions: granted, access })
}

/// Whom an entry of a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A user.
    User,
    /// A group.
    Group,
}

/// What becomes of an entry that names someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// It names this one.
    To(u32),
    /// It is left out: whom it names is none of those who use the list.
    LeftOut,
    /// The list can't be had so.
    Refused,
}

/// The same list with other ids; `None` where one of them is refused.
pub fn renamed(
    list: &[u8],
    id_of: impl Fn(Named, u32) -> Renamed,
) -> Result<Option<Vec<u8>>, AclFault> {
    let mut told = VERSION.to_vec();
    for entry in entries(list)? {
        let named = match entry.tag.get() {
            USER => Named::User,
            GROUP => Named::Group,
            _ => {
                told.extend(entry.as_bytes());
                continue;
            }
        };
        match id_of(named, entry.id.get()) {
            Renamed::To(id) => told.extend(Entry { id: id.into(), ..*entry }.as_bytes()),
            Renamed::LeftOut => {}
            Renamed::Refused => return Ok(None),
        }
    }
    Ok(Some(told))
}

fn entries(list: &[u8]) -> Result<&[Entry], AclFault> {
    let fault = AclFault { len: list.len() };
    let body = list.strip_prefix(&VERSION).ok_or(fault)?;
    <[Entry]>::ref_from_bytes(body).map_err(|_| fault)
}

/// What a list grants the owner: the bits that the owner has in permissions.
pub fn of_owner(list: &[u8]) -> Result<u32, AclFault> {
    let owner = entries(list)?.iter().find(|entry| entry.tag == USER_OBJ);
    let bits = owner.map(|entry| u32::from(entry.permissions.get() & 0o7) << 6);
    bits.ok_or(AclFault { len: list.len() })
}

/// The same list, with those bits of these permissions for the owner.
pub fn with_owner(list: &[u8], permissions: u32) -> Result<Vec<u8>, AclFault> {
    let mut entries = entries(list)?.to_vec();
    let bits = u16::try_from(permissions >> 6 & 0o7).unwrap_or(0);
    for entry in entries.iter_mut().filter(|entry| entry.tag == USER_OBJ) {
        entry.permissions.set(bits);
    }
    Ok([&VERSION[..], entries.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |&(tag, permissions, id): &(u16, u16, u32)| Entry {
            tag: tag.into(),
            permissions: permissions.into(),
            id: id.into(),
        };
        let entries: Vec<Entry> = entries.iter().map(entry).collect();
        [&VERSION[..], entries.as_bytes()].concat()
    }

    const NONE: u32 = u32::MAX;

    #[test]
    fn a_list_without_names_is_inherited_as_permissions() {
        let default = list(&[(USER_OBJ, 7, NONE), (GROUP_OBJ, 5, NONE), (OTHER, 1, NONE)]);
        let inherited = Inherited { permissions: 0o2640, access: None };
        assert_eq!(inherit(&default, 0o2666), Ok(inherited));
        let inherited = Inherited { permissions: 0o751, access: None };
        assert_eq!(inherit(&default, 0o777), Ok(inherited));
    }

    #[test]
    fn the_permissions_asked_for_cut_the_mask_and_not_the_named() {
        let named = |user, group, mask, other| {
            list(&[
                (USER_OBJ, user, NONE),
                (USER, 7, 1234),
                (GROUP_OBJ, group, NONE),
                (GROUP, 6, 55),
                (MASK, mask, NONE),
                (OTHER, other, NONE),
            ])
        };
        let access = Some(named(6, 5, 4, 0));
        let inherited = Inherited { permissions: 0o640, access };
        assert_eq!(inherit(&named(7, 5, 7, 5), 0o640), Ok(inherited));
    }

    #[test]
    fn the_owner_of_a_list_is_replaced() {
        let of = |owner| {
            list(&[(USER_OBJ, owner, NONE), (USER, 7, 9), (GROUP_OBJ, 5, NONE), (OTHER, 1, NONE)])
        };
        assert_eq!(with_owner(&of(6), 0o2151), Ok(of(1)));
        assert_eq!(of_owner(&of(6)), Ok(0o600));
        assert!(of_owner(&list(&[(OTHER, 1, NONE)])).is_err());
        assert!(with_owner(b"x", 0).is_err());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let good = list(&[(USER_OBJ, 7, NONE), (GROUP_OBJ, 5, NONE), (OTHER, 1, NONE)]);
        for len in 0..good.len() {
            assert_eq!(inherit(&good[..len], 0o777), Err(AclFault { len }));
        }
        let mut newer = good.clone();
        newer[0] = 3;
        assert!(inherit(&newer, 0o777).is_err());
        assert!(inherit(&list(&[(USER_OBJ, 7, NONE), (64, 5, NONE)]), 0o777).is_err());
    }
}
