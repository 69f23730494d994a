//! The verb itself: looks at everything, prints the report.

use std::fmt::Display;

use anyhow::Result;
use clap::Args;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::{SysError, fusermount};

use super::item::{Item, Need};
use super::{cgroup, disk, fuse, kernel, network, users};
use crate::container::subordinate;
use crate::output::{Results, text};
use crate::roots::Who;
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs check
  layerfs check --json | jq -r '.[] | select(.state != \"ok\") | \"\\(.name): \\(.cure)\"'

Each line says ok, limited or missing, what was seen, and the cure for what is not ok. Nothing is changed, but the \
store's directory is made where it is absent. The exit status is 1 if something is missing without which nothing can \
be mounted or run.";

/// The words of `layerfs check`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CheckArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Looks at the machine, and prints how it stands.
pub fn run(args: &CheckArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let items = look(session);
    if args.json {
        results.json(&items)?;
    } else {
        items.iter().try_for_each(|item| results.line(text::one_line(&item.to_string())))?;
    }
    let is_able = !items.iter().any(Item::is_fatal);
    Ok(if is_able { Outcome::Done } else { Outcome::SomeFailed })
}

fn look(session: &Session) -> Vec<Item> {
    let is_root = host::rights().is_ok_and(|rights| rights == Rights::Root);
    let who = if is_root { Who::Root } else { Who::User };
    let mut items =
        vec![kernel::version(), seen("rights", rights()), seen("/dev/fuse", fuse::device())];
    items.extend(disk::items(session, who));
    items.push(seen("cgroups", cgroup::controllers(who)));
    match who {
        Who::Root => {
            items.push(network::nft());
            items.extend(users::items(session));
        }
        Who::User => items.push(network::of_users()),
    }
    items.push(seen("overlayfs", kernel::overlayfs()));
    if matches!(host::rights(), Ok(Rights::User)) {
        items.push(subordinate_ids());
    }
    items
}

/// Whether mounts and containers can be made; a store is had without.
fn rights() -> Result<Item, SysError> {
    let item = Item::ok("rights", Need::Main, "root");
    let by_root = "start layerfs as root for these, by sudo for example";
    Ok(match host::rights()? {
        Rights::Root => item,
        Rights::Namespace(_) => {
            item.limited("root of a user namespace: it mounts, and runs no containers", by_root)
        }
        Rights::User => match fusermount::find() {
            None => item.missing(
                "not root, and no fusermount3 in PATH, which mounts for users",
                "`apt-get install fuse3` as root",
            ),
            Some(program) if !fusermount::is_privileged(&program)? => item.missing(
                format!("not root, and {} has no set-uid bit of root's", program.display()),
                format!("`chmod u+s {}` as root", program.display()),
            ),
            Some(_) => item.limited(
                "not root: fusermount3 mounts; containers have no limits and no bridge",
                by_root,
            ),
        },
    })
}

/// Whether containers of this user have other users than root.
fn subordinate_ids() -> Item {
    let item = Item::ok("subordinate ids", Need::Some, "containers have users of their own");
    match subordinate::lacking() {
        None => item,
        Some(why) => item.limited(
            format!("containers have root alone for a user: {why}"),
            "`apt-get install uidmap`, and `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`, both as root",
        ),
    }
}

/// What could not be looked at is told in its place, and the rest is looked at all the same.
fn seen(name: &'static str, looked: Result<Item, impl Display>) -> Item {
    looked.unwrap_or_else(|error| unseen(name, &error))
}

fn unseen(name: &'static str, error: &impl Display) -> Item {
    Item::ok(name, Need::Some, "")
        .limited(format!("could not be looked at: {error}"), "see the error")
}
