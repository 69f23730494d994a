//! Owns the ids that attributes name in their values: those of access control lists and of capabilities.
//!
//! A capability of version 2 is root's; one of version 3 is that of the root of a user namespace, whose id follows it
//! (`vfs_ns_cap_data` in the kernel's `linux/capability.h`). Both are told as the kernel tells them through an
//! id-mapped mount.

use std::borrow::Cow;

use super::acl::{self, Renamed};
use super::id_map::{IdMap, NONE};

const CAPABILITY: &[u8] = b"security.capability";

/// The version is the highest byte of the first word; a flag is its lowest.
const VERSION_AT: usize = 3;
const CAPABILITY_2: (u8, usize) = (2, 20);
const CAPABILITY_3: (u8, usize) = (3, 24);

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the layer to those who use the mount.
    Shown,
    /// From them to the layer.
    Stored,
    /// The same from root of the host.
    StoredByRoot,
    /// From a mount that already shows the ids of the other side back to the layer: who is none of ours is nobody.
    Back,
}

/// A value of an attribute with its ids as they are on the other side; `None` where one of them can't be stored. What
/// names no ids, or is in no known form, stays as it is.
pub fn mapped<'a>(
    ids: &IdMap,
    (name, value): (&[u8], &'a [u8]),
    way: Way,
) -> Option<Cow<'a, [u8]>> {
    if ids.keeps_all() {
        return Some(Cow::Borrowed(value));
    }
    if acl::is_list(name) {
        return list(ids, value, way);
    }
    if name == CAPABILITY {
        return capability(ids, value, way);
    }
    Some(Cow::Borrowed(value))
}

fn list<'a>(ids: &IdMap, value: &'a [u8], way: Way) -> Option<Cow<'a, [u8]>> {
    let of = |named, id| {
        let side = match named {
            acl::Named::User => &ids.users,
            acl::Named::Group => &ids.groups,
        };
        let or = |id: Option<u32>, other| id.map_or(other, Renamed::To);
        match way {
            // The kernel would refuse the whole list for an id that is none.
            Way::Shown => or(side.mapped(id), Renamed::LeftOut),
            Way::Stored => or(side.stored(id), Renamed::Refused),
            Way::StoredByRoot => or(side.stored_by_root(id), Renamed::Refused),
            Way::Back => or(side.stored(id), Renamed::To(NONE)),
        }
    };
    match acl::renamed(value, of) {
        Ok(list) => list.map(Cow::Owned),
        // The kernel, or whoever asks, says so.
        Err(_) => Some(Cow::Borrowed(value)),
    }
}

fn capability<'a>(ids: &IdMap, value: &'a [u8], way: Way) -> Option<Cow<'a, [u8]>> {
    let version = value.get(VERSION_AT).copied().unwrap_or(0);
    let (body, root) = match (version, value.len()) {
        CAPABILITY_2 => (value, 0),
        CAPABILITY_3 => {
            let (body, root) = value.split_at(CAPABILITY_2.1);
            (body, u32::from_le_bytes(root.try_into().ok()?))
        }
        _ => return Some(Cow::Borrowed(value)),
    };
    let root = match way {
        Way::Shown => ids.users.mapped(root).unwrap_or(NONE),
        Way::Stored => ids.users.stored(root)?,
        Way::StoredByRoot => ids.users.stored_by_root(root)?,
        Way::Back => ids.users.stored(root).unwrap_or(NONE),
    };
    let mut told = body.to_vec();
    told[VERSION_AT] = if root == 0 { CAPABILITY_2.0 } else { CAPABILITY_3.0 };
    if root != 0 {
        told.extend(root.to_le_bytes());
    }
    Some(Cow::Owned(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::id_map::{IdRange, Ids};

    fn ids() -> IdMap {
        let ids = |shown| Ids::new(&[IdRange { stored: 0, shown, len: 1000 }]).unwrap();
        IdMap { users: ids(100_000), groups: ids(200_000) }
    }

    fn word(number: u32) -> [u8; 4] {
        number.to_le_bytes()
    }

    #[test]
    fn a_capability_of_root_is_that_of_the_mapped_root_and_back() {
        let of = |version: u32| {
            [word(version << 24 | 1), word(0x2000), word(0), word(0), word(0)].concat()
        };
        let stored = of(2);
        let shown = [of(3), word(100_000).to_vec()].concat();
        let told = |value, way| mapped(&ids(), (CAPABILITY, value), way).map(Cow::into_owned);
        assert_eq!(told(&stored, Way::Shown), Some(shown.clone()));
        assert_eq!(told(&shown, Way::Stored), Some(stored.clone()));
        assert_eq!(told(&stored, Way::Stored), None, "the host's root has no id in there");
        assert_eq!(
            told(&stored, Way::StoredByRoot),
            Some(stored.clone()),
            "but says what it means"
        );
        let nested = [of(3), word(7).to_vec()].concat();
        let nested_shown = [of(3), word(100_007).to_vec()].concat();
        assert_eq!(told(&nested, Way::Shown), Some(nested_shown.clone()));
        assert_eq!(told(&nested_shown, Way::Stored), Some(nested.clone()));
        for other in [&b""[..], b"x", &of(4), &stored[..19]] {
            assert_eq!(told(other, Way::Stored).as_deref(), Some(other), "the kernel's to refuse");
        }
        assert_eq!(
            mapped(&IdMap::default(), (CAPABILITY, &stored), Way::Stored).as_deref(),
            Some(&*stored)
        );
    }

    #[test]
    fn a_list_names_users_and_groups_of_the_other_side() {
        let entry =
            |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &word(id)].concat();
        let list = |user, group| {
            [
                word(2).to_vec(),
                entry(1, NONE),
                entry(2, user),
                entry(4, NONE),
                entry(8, group),
                entry(16, NONE),
                entry(32, NONE),
            ]
            .concat()
        };
        let told =
            |value: &[u8], way| mapped(&ids(), (acl::ACCESS, value), way).map(Cow::into_owned);
        assert_eq!(told(&list(5, 6), Way::Shown), Some(list(100_005, 200_006)));
        assert_eq!(told(&list(100_005, 200_006), Way::Stored), Some(list(5, 6)));
        let left_out = told(&list(1000, 6), Way::Shown).unwrap();
        assert_eq!(left_out.len(), list(5, 6).len() - 8, "the entry of whom nobody here can be");
        assert!(left_out.windows(4).any(|id| id == word(200_006)));
        assert_eq!(told(&list(5, 200_006), Way::Stored), None);
        assert_eq!(told(&list(5, 200_006), Way::Back), Some(list(NONE, 6)));
        assert_eq!(told(b"no list", Way::Stored), Some(b"no list".to_vec()));
        assert_eq!(mapped(&ids(), (b"user.x", b"v"), Way::Stored).as_deref(), Some(&b"v"[..]));
    }
}
