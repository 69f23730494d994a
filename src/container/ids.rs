//! The ids of a container that has users of its own: a range that nobody else on the machine has.
//!
//! 1. Who holds a range has a lock on its byte of one file of the running state, for as long as its processes or their files are
//!    there: whoever is killed, the kernel takes it back, and no record can be wrong.
//! 2. On disk nothing has such ids: files of the container have those that it sees. So nothing has to remember a range: the
//!    container's own id says which it has at each start, and another one does as well where somebody has that.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::{Container, ContainerId, State};
use layerfs_driver::sys::{file, lock};
use layerfs_runtime::spec::IdRange;
use serde_json::{Value, json};

use crate::owner;
use crate::session::Session;

/// The first id of the first range. From here up to [`END`] systemd gives to nobody ("unused" in its UIDS-GIDS page), adduser(8) and
/// useradd(8) end far below, and programs that keep an id as `int` take it.
pub const FIRST: u32 = 0x7000_0000;

/// Behind the last id of the last range: from here on are ids of files of others, says the same page.
const END: u32 = 0x7ffe_0000;

/// How many ranges there are.
const RANGES: u32 = (END - FIRST) / IdRange::LEN;

/// The file of the running state whose bytes stand for them.
const NAME: &str = "ids";

/// The host's lists of users, and of the ids that users have besides.
const LISTS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid"];

/// What is read of such a list, at most.
const LIST_MAX: u64 = 64 << 20;

/// What is read of a map of ids, at most.
const MAP_MAX: u64 = 64 << 10;

/// A range that is this container's.
#[derive(Debug)]
pub struct Taken {
    /// Which.
    pub range: IdRange,
    /// Gives it back when the last copy of it is closed.
    pub held: OwnedFd,
}

/// Takes a range that nobody has for the container of that id.
pub fn take(session: &Session, id: &ContainerId) -> Result<Taken> {
    let place = session
        .roots()
        .run
        .as_deref()
        .context("no place for the running state; give --runroot DIR")?;
    let deed = || format!("open `{}/{NAME}`, which tells who has which ids", place.display());
    let run = owner::open_run(place).with_context(deed)?;
    let held = file::open_or_create(&run, NAME, 0o600).with_context(deed)?;
    let strangers = strangers()?;
    let begin = first_tried(id.hex());
    for number in (begin..RANGES).chain(0..begin) {
        let range = IdRange { first: FIRST + number * IdRange::LEN };
        let is_strangers = strangers.iter().any(|ids| ids.meets(range));
        if !is_strangers && lock::try_take_byte(&held, number).with_context(deed)? {
            return Ok(Taken { range, held });
        }
    }
    bail!(
        "each of the {RANGES} ranges of ids for containers is in use; end one first, or give this one the host's users with \
         --userns host"
    )
}

/// Which ids of the host those of a container are while it runs, as podman says it: `INSIDE:ON THE HOST:HOW MANY`. `null` for those of
/// the host, and while it does not run.
pub fn shown(container: &Container) -> Value {
    let State::Running { pid, .. } = container.state else { return Value::Null };
    let map = |name: &str| {
        let text = file::open_read_path(format!("/proc/{pid}/{name}").as_str())
            .and_then(|map| file::read_all(map, MAP_MAX))
            .ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = |line: &str| line.split_ascii_whitespace().collect::<Vec<_>>().join(":");
        let lines: Vec<String> = text.lines().map(line).collect();
        // Those of the first namespace are the host's.
        lines.iter().all(|line| !line.starts_with("0:0:")).then(|| json!(lines))
    };
    match (container.is_living, map("uid_map"), map("gid_map")) {
        (true, Some(users), Some(groups)) => json!({"UidMap": users, "GidMap": groups}),
        _ => Value::Null,
    }
}

/// The number of the range that is tried first: containers' ids are random, so that few have one in common.
fn first_tried(id: &str) -> u32 {
    let number = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.unwrap_or_default() % RANGES
}

/// Ids that somebody of the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    first: u64,
    count: u64,
}

impl Ids {
    fn meets(self, range: IdRange) -> bool {
        let (first, end) =
            (u64::from(range.first), u64::from(range.first) + u64::from(IdRange::LEN));
        self.first < end && first < self.first.saturating_add(self.count)
    }
}

/// Those of the host's lists that lie where ranges do.
fn strangers() -> Result<Vec<Ids>> {
    let mut found = Vec::new();
    for list in LISTS {
        match file::open_read_path(list) {
            Err(error) if error.is_absent() => {}
            opened => {
                let text = opened.and_then(|list| file::read_all(list, LIST_MAX));
                let text =
                    text.with_context(|| format!("read `{list}`, to take no id of others"))?;
                found.extend(listed(&String::from_utf8_lossy(&text), list.contains("/sub")));
            }
        }
    }
    Ok(found)
}

/// Lines of `subuid(5)`, `NAME:FIRST:COUNT`, or of `passwd(5)` and `group(5)`, `NAME:PASSWORD:ID:…`.
fn listed(text: &str, of_ranges: bool) -> Vec<Ids> {
    let line = |line: &str| {
        let mut words = line.split(':').skip(1);
        let (one, other) = (words.next()?.trim(), words.next()?.trim());
        let (first, count) = if of_ranges { (one, other) } else { (other, "1") };
        let ids = Ids { first: first.parse().ok()?, count: count.parse().ok()? };
        (ids.first < END.into() && ids.first.saturating_add(ids.count) > FIRST.into())
            .then_some(ids)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_the_same_range_at_each_start_where_nobody_else_has_it() {
        assert_eq!(first_tried("00000000ff"), 0);
        assert_eq!(first_tried("00000ffeff"), 0);
        assert_eq!(first_tried("00000ffdff"), RANGES - 1);
        assert!(first_tried("ffffffffff") < RANGES);
    }

    #[test]
    fn ids_of_the_hosts_lists_are_no_containers() {
        let passwd = "root:x:0:0::/:/bin/sh\nfar:x:1879113729:1::/:/bin/sh\nbroken\n";
        let found = listed(passwd, false);
        assert_eq!(found, [Ids { first: 1_879_113_729, count: 1 }]);
        let ranges = |first: u32| IdRange { first };
        assert!(found[0].meets(ranges(FIRST + IdRange::LEN)));
        assert!(
            !found[0].meets(ranges(FIRST)) && !found[0].meets(ranges(FIRST + 2 * IdRange::LEN))
        );
        // The first lies below and ends in there, the second has all that there is.
        let found = listed("a:100000:65536\nb:1879048000:193\nc:1000:4294966295\n", true);
        assert_eq!(found.iter().map(|ids| ids.first).collect::<Vec<_>>(), [1_879_048_000, 1_000]);
        assert!(found[0].meets(ranges(FIRST)) && !found[0].meets(ranges(FIRST + IdRange::LEN)));
        assert!(found[1].meets(ranges(END - IdRange::LEN)));
    }
}
