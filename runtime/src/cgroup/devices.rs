//! Which devices a container may use, as version 1's controller is told: everything is denied, then these are allowed.
//!
//! Making a node (`m`) is allowed for all, opening one is not. /dev/fuse (10:229) and /dev/net/tun (10:200) are not among
//! them: neither is needed by a container that was given none.

use super::error::CgroupError;
use super::group::Group;
use super::limits::DeviceRule;
use crate::spec::DeviceKind;

const ALLOWED: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",   // null
    "c 1:5 rwm",   // zero
    "c 1:7 rwm",   // full
    "c 1:8 rwm",   // random
    "c 1:9 rwm",   // urandom
    "c 5:0 rwm",   // tty
    "c 5:2 rwm",   // ptmx
    "c 136:* rwm", // terminals of devpts
];

/// Denies everything but the list.
pub fn allow_only_ours(group: &Group) -> Result<(), CgroupError> {
    group.tell("devices.deny", "a")?;
    ALLOWED.iter().try_for_each(|rule| group.tell("devices.allow", rule))
}

/// Allows these, too.
pub fn allow(group: &Group, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    for rule in rules {
        let kind = match rule.kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        let numbers = match rule.numbers {
            Some((major, minor)) => format!("{major}:{minor}"),
            None => "*:*".into(),
        };
        group.tell("devices.allow", &format!("{kind} {numbers} {}", rule.access))?;
    }
    Ok(())
}
