//! The store's directory: writable, and what its file system can do.

use anyhow::Result;
use layerfs_driver::store::Store;
use layerfs_driver::sys::{Errno, SysError, host};

use super::item::{Item, Need};
use crate::roots::Who;
use crate::session::Session;
use crate::system::filesystem;

const ELSEWHERE: &str = "keep the store on ext4, XFS or btrfs: --root DIR";

/// The store, then the features of its file system.
pub fn items(session: &Session, who: Who) -> Vec<Item> {
    let item = |said| Item::ok("store", Need::Main, said);
    let refused =
        |item: Item, error: String| item.missing(error, "choose another directory: --root DIR");
    let root = match session.place_of_store() {
        Ok(place) => place.display().to_string(),
        Err(error) => return vec![refused(item(String::new()), error.to_string())],
    };
    let item = item(format!("{root} is writable"));
    let store = match session.store_to_fill() {
        Ok(store) => store,
        Err(error) => return vec![refused(item, error.to_string())],
    };
    match features(&store, who) {
        Ok(features) => std::iter::once(item).chain(features).collect(),
        Err(error) => vec![refused(item, format!("store `{root}`: {error}"))],
    }
}

fn features(store: &Store, who: Who) -> Result<Vec<Item>> {
    let space = host::space(store.root())?;
    let tried = store.features()?;
    Ok(vec![
        Item::ok("file system", Need::Some, filesystem::name(space.magic)),
        judge("RENAME_NOREPLACE", tried.rename_new),
        judge("O_TMPFILE", tried.unnamed_files),
        judge("user.* xattrs", tried.user_xattrs),
        trusted_xattrs(tried.trusted_xattrs, who),
    ])
}

fn judge(name: &'static str, tried: Result<(), SysError>) -> Item {
    let item = Item::ok(name, Need::Some, "supported");
    match tried {
        Ok(()) => item,
        Err(error) => item.limited(error.to_string(), ELSEWHERE),
    }
}

/// Only root of the host may have them, and mounts of others do without.
fn trusted_xattrs(tried: Result<(), SysError>, who: Who) -> Item {
    let name = "trusted.* xattrs";
    let item = Item::ok(name, Need::Some, "not allowed here, and not needed: marks are user.*");
    match (tried, who) {
        (Err(error), Who::User) if error.errno() == Errno::PERM => item,
        (Err(error), Who::Root) if error.errno() == Errno::PERM => item.limited(
            "not allowed here: writable mounts need them, but for directories with -o userxattr",
            "start layerfs with CAP_SYS_ADMIN",
        ),
        (tried, _) => judge(name, tried),
    }
}
