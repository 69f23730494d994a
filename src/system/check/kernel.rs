//! The kernel: its version, and overlayfs to compare with.

use layerfs_driver::sys::{SysError, host};

use super::facts;
use super::item::{Item, Need};

/// The oldest kernel that layerfs runs on.
const VERSION_MIN: (u32, u32) = (5, 10);

/// The kernel's version.
pub fn version() -> Item {
    let (release, _) = host::kernel();
    judge(&release)
}

fn judge(release: &str) -> Item {
    let item = Item::ok("kernel", Need::Main, format!("Linux {release}"));
    match host::version_of(release) {
        Some(version) if version >= VERSION_MIN => item,
        Some(_) => {
            item.missing(format!("Linux {release} is older than 5.10"), "boot a newer kernel")
        }
        None => item.limited(
            format!("Linux {release}: its version can't be read"),
            "layerfs wants 5.10 or later",
        ),
    }
}

/// The kernel's own union file system, which layerfs is compared with and never uses.
pub fn overlayfs() -> Result<Item, SysError> {
    let item = Item::ok(
        "overlayfs",
        Need::Some,
        "the kernel has it (for comparison only, layerfs does not use it)",
    );
    let known = facts::text("/proc/filesystems")?.unwrap_or_default();
    Ok(if has_filesystem(&known, "overlay") {
        item
    } else {
        item.missing(
            "the kernel has not loaded it (for comparison only)",
            "`modprobe overlay`, if you want to compare",
        )
    })
}

/// Whether `/proc/filesystems` names a file system.
pub fn has_filesystem(known: &str, name: &str) -> bool {
    known.lines().any(|line| line.split_whitespace().next_back() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    #[test]
    fn kernels_before_5_10_are_told() {
        let rows = [
            ("6.18.44-vm", State::Ok),
            ("5.10", State::Ok),
            ("5.10.0-28-amd64", State::Ok),
            ("5.9.16", State::Missing),
            ("4.19+", State::Missing),
            ("strange", State::Limited),
        ];
        for (release, state) in rows {
            let item = judge(release);
            assert_eq!(item.state, state, "{release}");
            assert_eq!(item.cure.is_none(), state == State::Ok, "{release}");
        }
    }

    #[test]
    fn a_file_system_is_known_by_its_whole_name() {
        let known = "nodev\tfuse\n\text4\nnodev\toverlay\n\tfuseblk\n";
        assert!(has_filesystem(known, "fuse") && has_filesystem(known, "ext4"));
        assert!(!has_filesystem(known, "over") && !has_filesystem("", "fuse"));
    }
}
