//! Stores on disks that take nothing more: each refusal names its cure.

use std::process::{Command, Stdio};

use crate::layout::{Layout, tar};
use crate::place::{Place, Run, finished};
use crate::support::rights::need_root;

/// Mounts a small file system at `disk` in a mount namespace of its own, which takes it along when the last step ends.
const ON_A_SMALL_DISK: &str =
    "mount -t tmpfs -o size=1m none disk && export LAYERFS_ROOT=disk/store && ";

fn on_a_small_disk(place: &Place, steps: &str, input: Stdio) -> Run {
    std::fs::create_dir_all(place.join("disk")).expect("the place is ours");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{ON_A_SMALL_DISK}{steps}")]);
    command.current_dir(place.join("")).stdin(input);
    command.env("L", env!("CARGO_BIN_EXE_layerfs")).env("LAYERFS_RUNROOT", place.join("run"));
    finished(&mut command)
}

/// A root file system of 4 MB that nothing makes smaller.
fn bulky() -> Vec<u8> {
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    tar(&[("bulk", &(0..4_000_000).map(|_| byte()).collect::<Vec<u8>>())])
}

#[test]
fn a_full_disk_is_one_line_with_its_cure_and_leaves_room() {
    need_root!();
    let place = Place::new();
    std::fs::write(place.join("root.tar"), bulky()).expect("the place is ours");
    let steps = r#""$L" import -q root.tar x:1; status=$?; ls disk/store/tmp; exit $status"#;
    let line = on_a_small_disk(&place, steps, Stdio::null()).refusal(1);
    let cure = "No space left on device; make room (`layerfs rmi`), or choose another directory with --root DIR";
    assert!(line.starts_with("root.tar: ") && line.ends_with(cure), "{line}");

    let archive = std::fs::File::open(place.join("root.tar")).expect("it was written");
    let line = on_a_small_disk(&place, r#""$L" load"#, archive.into()).refusal(1);
    assert!(line.starts_with("standard input: ") && line.ends_with(cure), "{line}");
}

#[test]
fn a_read_only_store_is_listed_and_refuses_changes_with_the_cure() {
    need_root!();
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    let read_only = r#""$L" pull -q oci:small >id && mount -o remount,ro disk && "#;
    let list = on_a_small_disk(&place, &format!(r#"{read_only}"$L" images"#), Stdio::null());
    assert!(list.stdout.contains("small"), "{list:?}");
    let tag = format!(r#"{read_only}"$L" tag small:1 other"#);
    let line = on_a_small_disk(&place, &tag, Stdio::null()).refusal(1);
    let cure = "Read-only file system; choose another directory with --root DIR";
    assert!(line.ends_with(cure), "{line}");
}
