//! User namespaces: what a user who is not root needs.

use layerfs_driver::sys::SysError;

use super::facts;
use super::item::{Item, Need};
use crate::roots::Who;

/// What the kernel says of user namespaces.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// `user.max_user_namespaces`; `None` for a kernel without them.
    count_max: Option<u64>,
    /// Debian's `kernel.unprivileged_userns_clone`, where the kernel has it.
    clone: Option<u64>,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`, where the kernel has it.
    apparmor: Option<u64>,
}

/// Whether a process without rights may make a user namespace.
pub fn unprivileged(who: Who) -> Result<Item, SysError> {
    let limits = Limits {
        count_max: facts::number("/proc/sys/user/max_user_namespaces")?,
        clone: facts::number("/proc/sys/kernel/unprivileged_userns_clone")?,
        apparmor: facts::number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")?,
    };
    Ok(judge(limits, who))
}

fn judge(limits: Limits, who: Who) -> Item {
    let need = if who == Who::User { Need::Main } else { Need::Some };
    let item = Item::ok("user namespaces", need, "allowed without rights");
    match limits {
        Limits { count_max: None, .. } => {
            item.missing("the kernel has none", "boot a kernel with CONFIG_USER_NS, or run layerfs as root")
        }
        Limits { count_max: Some(0), .. } => {
            item.missing("switched off", "`sysctl -w user.max_user_namespaces=15000` as root, or run layerfs as root")
        }
        Limits { clone: Some(0), .. } => item.missing(
            "switched off for users",
            "`sysctl -w kernel.unprivileged_userns_clone=1` as root, or run layerfs as root",
        ),
        Limits { apparmor: Some(1..), .. } => item.limited(
            "AppArmor takes their rights away from programs without a profile",
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or run layerfs as root",
        ),
        _ => item,
    }
}

/// Whether the user has subordinate ids: without them a container has one user only.
pub fn subordinate_ids() -> Result<Item, SysError> {
    let item = Item::ok("subordinate ids", Need::Some, "/etc/subuid and /etc/subgid give some");
    let Some(id) = facts::user_id()? else {
        return Ok(item.limited("/proc is not mounted, the user is not known", "mount /proc"));
    };
    let name = user_name(&facts::text("/etc/passwd")?.unwrap_or_default(), id);
    for path in ["/etc/subuid", "/etc/subgid"] {
        if !has_range(&facts::text(path)?.unwrap_or_default(), id, name.as_deref()) {
            let user = name.unwrap_or_else(|| id.to_string());
            return Ok(item.limited(
                format!("{path} gives none to {user}: containers have one user only"),
                format!("`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` as root"),
            ));
        }
    }
    Ok(item)
}

fn user_name(passwd: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&id.as_str()))
        .map(|fields| fields[0].to_owned())
        .next()
}

fn has_range(ranges: &str, id: u32, name: Option<&str>) -> bool {
    let id = id.to_string();
    let owners = ranges.lines().filter_map(|line| line.split(':').next());
    owners.into_iter().any(|owner| owner == id || Some(owner) == name)
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    #[test]
    fn each_switch_that_forbids_has_its_cure() {
        let all = Limits { count_max: Some(9), clone: Some(1), apparmor: Some(0) };
        let rows = [
            (all, State::Ok),
            (Limits { clone: None, apparmor: None, ..all }, State::Ok),
            (Limits { count_max: None, ..all }, State::Missing),
            (Limits { count_max: Some(0), ..all }, State::Missing),
            (Limits { clone: Some(0), ..all }, State::Missing),
            (Limits { apparmor: Some(1), ..all }, State::Limited),
        ];
        for (limits, state) in rows {
            let item = judge(limits, Who::User);
            assert_eq!(
                (item.state, item.cure.is_some()),
                (state, state != State::Ok),
                "{limits:?}"
            );
        }
        assert!(judge(Limits { count_max: Some(0), ..all }, Who::User).is_fatal());
        assert!(!judge(Limits { count_max: Some(0), ..all }, Who::Root).is_fatal());
    }

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(passwd, 100), None);
        assert!(has_range("ann:100000:65536\n", 1000, Some("ann")));
        assert!(has_range("1000:100000:65536\n", 1000, None));
        assert!(!has_range("anna:100000:65536\n", 1000, Some("ann")));
    }
}
