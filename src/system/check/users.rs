//! Users of their own for containers: a namespace that the kernel gives, and mounts that turn its ids.

use layerfs_driver::sys::{Errno, SysError};
use layerfs_runtime::OwnUsers;

use super::item::{Item, Need};
use crate::container::FIRST_ID;
use crate::session::Session;

/// Whether a container can have users of its own, and whether a volume of the store's file system can be shown to them.
pub fn items(session: &Session) -> Vec<Item> {
    let users = match OwnUsers::make(FIRST_ID) {
        Ok(users) => users,
        Err(error) => return vec![refused(&error)],
    };
    let shown = session.place_of_store().map(|place| users.show(place.as_os_str()));
    let given = Item::ok(USERS, Need::Some, "containers have ids of their own");
    // A store without a place has a line of its own.
    let shown = shown.map(|shown| mounts(shown.err().as_ref()));
    std::iter::once(given).chain(shown).collect()
}

const USERS: &str = "user namespaces";

fn refused(error: &SysError) -> Item {
    let cure = match error.errno() {
        // No more of them, or none at all.
        Errno::NOSPC | Errno::USERS => {
            "`sysctl user.max_user_namespaces=16384` as root; until then `run --userns host`"
        }
        Errno::INVAL => "boot a kernel with CONFIG_USER_NS; until then `run --userns host`",
        _ => {
            "start layerfs where the host's root may make them, outside of other containers; until then `run --userns host`"
        }
    };
    Item::ok(USERS, Need::Some, "")
        .missing(format!("containers can't have ids of their own: {error}"), cure)
}

fn mounts(error: Option<&SysError>) -> Item {
    let item = Item::ok(
        "idmapped mounts",
        Need::Some,
        "volumes on the store's file system are shown as they are",
    );
    match error {
        None => item,
        Some(error) => item.limited(
            format!("volumes on the store's file system can't be shown to users of a container's own: {error}"),
            "keep volumes on ext4, XFS, btrfs or tmpfs, with Linux 5.12 or later, or say `run --userns host`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    #[test]
    fn what_is_refused_has_its_cure() {
        for (errno, cure) in [
            (Errno::NOSPC, "user.max_user_namespaces"),
            (Errno::INVAL, "CONFIG_USER_NS"),
            (Errno::PERM, "outside of other containers"),
        ] {
            let item = refused(&SysError::new("clone3", "new namespaces".to_owned(), errno));
            assert_eq!(item.state, State::Missing);
            assert!(item.cure.is_some_and(|it| it.contains(cure) && it.contains("--userns host")));
        }
        let error = SysError::new("mount_setattr", "MOUNT_ATTR_IDMAP".to_owned(), Errno::INVAL);
        assert_eq!((mounts(None).state, mounts(Some(&error)).state), (State::Ok, State::Limited));
    }
}
