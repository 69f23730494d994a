//! The ids of a container that a user starts who is not root: the user's own for its root, subordinate ones for the others.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::Container;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::{file, fusermount};
use layerfs_runtime::cgroup::Cgroup;
use layerfs_runtime::spec::{CallersIds, IdSpan};
use layerfs_runtime::{Ended, as_root};

use super::words::UsersWord;
use crate::output::{Results, message};
use crate::session::Outcome;

/// What is read of a list of users, at most.
const LIST_MAX: u64 = 64 << 20;

/// The programs that give subordinate ids, of the package `uidmap`.
const PROGRAMS: [&str; 2] = ["newuidmap", "newgidmap"];

/// Refuses what only root can give.
pub fn refuse_hosts_users(said: UsersWord) -> Result<()> {
    if said == UsersWord::Host && host::rights()? != Rights::Root {
        bail!(
            "--userns host, which --privileged means: root alone can give a container the host's users; leave it out, or run as root"
        );
    }
    Ok(())
}

/// Refuses devices of the host's, which only root can give.
pub fn refuse_devices() -> Result<()> {
    if host::rights()? != Rights::Root {
        bail!(
            "--device: root alone gives a container devices of the host's; leave it out, or run as root"
        );
    }
    Ok(())
}

/// Refuses what takes control groups where a container of a user's has none.
pub fn refuse_without_groups(container: &Container, cgroup: &Cgroup) -> Result<()> {
    if cgroup.is_none() && host::rights()? != Rights::Root {
        bail!(
            "container `{}` has no control group, since it was started where none is delegated to this user: it can neither stand still \
             nor have limits; start it again by `systemd-run --user --scope -p Delegate=yes layerfs …`, or run it as root",
            container.name
        );
    }
    Ok(())
}

/// Those of this process's user. Where there are no subordinate ones, says what will not work.
pub fn of_caller() -> Result<CallersIds> {
    let (user, group) = host::own_ids();
    let further = match further(user) {
        Ok(further) => Some(further),
        Err(why) => {
            message::say(format_args!(
                "the container has one user, its root: {why:#}; files of an image that belong to others can't be changed in it, and \
                 programs can't become other users"
            ));
            None
        }
    };
    Ok(CallersIds { user, group, further })
}

/// The same for what needs no others.
pub fn quietly_of_caller() -> CallersIds {
    let (user, group) = host::own_ids();
    CallersIds { user, group, further: further(user).ok() }
}

/// Does something that removes or looks through files of containers: as root of the user's own ids where there are more than one,
/// since files may belong to the others. The caller has one thread.
pub fn with_all_ids(
    results: &mut Results,
    deed: impl FnOnce(&mut Results) -> Result<Outcome>,
) -> Result<Outcome> {
    let ids = match host::rights()? {
        Rights::User => quietly_of_caller(),
        Rights::Root | Rights::Namespace(_) => return deed(results),
    };
    if ids.further.is_none() {
        return deed(results);
    }
    // What waits there would be printed by both.
    results.flush()?;
    let ended = as_root(ids, || {
        let done = deed(results).and_then(|done| Ok(results.flush().map(|()| done)?));
        match done {
            Ok(Outcome::Done) => 0,
            Ok(Outcome::SomeFailed) => 1,
            Ok(Outcome::Status(status)) => status,
            Err(error) => {
                message::error(&error);
                1
            }
        }
    })?;
    match ended {
        Ended::Exited(0) => Ok(Outcome::Done),
        Ended::Exited(_) => Ok(Outcome::SomeFailed),
        ended @ Ended::Killed(_) => bail!("the process that has all ids of the user {ended}"),
    }
}

/// Why this process's user has no subordinate ids; `None` where it has.
pub fn lacking() -> Option<String> {
    further(host::own_ids().0).err().map(|error| format!("{error:#}"))
}

fn further(user: u32) -> Result<(IdSpan, IdSpan)> {
    for name in PROGRAMS {
        let found: Option<PathBuf> = fusermount::find_program(name);
        found.with_context(|| format!("{name} of the package uidmap is not in PATH"))?;
    }
    let name = name_of(&text("/etc/passwd")?, user);
    let span = |list: &str| {
        let found = first_span(&text(list)?, user, name.as_deref());
        let shown = name.clone().unwrap_or_else(|| user.to_string());
        found.with_context(|| {
            format!("{list} has no line `{shown}:FIRST:COUNT` (usermod(8) adds it)")
        })
    };
    Ok((span("/etc/subuid")?, span("/etc/subgid")?))
}

/// A list that is not there has no lines.
fn text(list: &str) -> Result<String> {
    let text = match file::open_read_path(list) {
        Err(error) if error.is_absent() => return Ok(String::new()),
        opened => opened.and_then(|list| file::read_all(list, LIST_MAX)),
    };
    let text = text.with_context(|| format!("read `{list}`"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What the host's list of users calls one; `None` where it can't be read, or does not have it.
pub fn name_of_user(user: u32) -> Option<String> {
    let passwd = text("/etc/passwd");
    let passwd = passwd.inspect_err(|error| tracing::debug!("{error:#}"));
    name_of(&passwd.unwrap_or_default(), user)
}

/// What `passwd(5)` calls a user.
fn name_of(passwd: &str, user: u32) -> Option<String> {
    let name = |line: &str| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    };
    passwd.lines().find_map(name)
}

/// The first range that a list in the form of `subuid(5)` gives a user, by name or by number.
fn first_span(list: &str, user: u32, name: Option<&str>) -> Option<IdSpan> {
    let span = |line: &str| {
        let mut words = line.split(':').map(str::trim);
        let whose = words.next()?;
        let is_users = Some(whose) == name || whose.parse() == Ok(user);
        let span =
            IdSpan { first: words.next()?.parse().ok()?, count: words.next()?.parse().ok()? };
        // Inside, 0 comes before them.
        let fits =
            span.count > 0 && span.count < u32::MAX && span.first.checked_add(span.count).is_some();
        (is_users && fits).then_some(span)
    };
    list.lines().find_map(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let passwd = "root:x:0:0::/:/bin/sh\nbroken\nann:x:1000:7::/:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 7), None);
        let list = "bob:100000:65536\nann:nonsense:1\nann:200000:0\n# ann:1:1\nann:165536:65536\nann:1:2\n";
        let span = |first, count| Some(IdSpan { first, count });
        assert_eq!(first_span(list, 1000, Some("ann")), span(165_536, 65_536));
        assert_eq!(first_span(list, 1000, None), None);
        assert_eq!(first_span("1000:5:6\n", 1000, None), span(5, 6));
        assert_eq!(first_span("ann:4294967295:2\n", 1000, Some("ann")), None);
        assert_eq!(first_span("", 1000, Some("ann")), None);
    }
}
