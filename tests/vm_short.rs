//! The short form of `make test-vm`: limits, and groups of a user's containers, where version 2 of cgroups has all controllers. One boot of a
//! kernel of Debian's.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{need, rights, watchdog};

/// A boot with all its checks took three minutes on two processors that others used.
const BOOT_MAX_SECONDS: u64 = 600;

fn test_vm(words: &[&str]) -> Output {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test-vm"));
    script.args(words).env("LAYERFS_VM_SECONDS", BOOT_MAX_SECONDS.to_string());
    script.env_remove("LAYERFS_VM_KERNELS").stdin(Stdio::null());
    script.output().expect("the script can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn limits_hold_on_a_kernel_with_version_2_alone() {
    if !cfg!(target_arch = "x86_64") {
        return rights::skip("the guests are x86_64");
    }
    need!("qemu-system-x86_64", "busybox", "cpio", "depmod", "strip", "mkfs.ext4", "xz");
    // The script has a limit of its own, and tries a boot that says nothing once more.
    let _watch = watchdog(2 * BOOT_MAX_SECONDS + 300);
    let fetched = test_vm(&["--fetch"]);
    if !fetched.status.success() {
        return rights::skip(text(&fetched.stderr).trim());
    }
    let ran = test_vm(&["--short", env!("CARGO_BIN_EXE_layerfs")]);
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    let checks = out.lines().filter(|line| line.starts_with("ok 6.1 v2: ")).count();
    assert!(checks > 25 && !out.contains("failed 6.1"), "{out}");
    support::figure(format_args!("{checks} checks on a kernel with version 2 of cgroups alone"));
}
