//! The suite by which people judge a file system, for root of a user namespace.

use std::collections::BTreeMap;

use crate::support::user::{self, Who};
use crate::support::{Scratch, figure, suites, watchdog};
use crate::{Ground, LIMIT_S};

/// How each case of pjdfstest ended: `ok`, `FAILED` or `skipped`.
fn judged(said: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (case, end) = (words.next()?, words.next()?);
        let ended = words.next().is_none() && ["ok", "FAILED", "skipped"].contains(&end);
        (ended && case.contains("::")).then(|| (case.to_owned(), end.to_owned()))
    };
    said.lines().filter_map(line).collect()
}

#[test]
fn pjdfstest_passes_in_a_namespace_wherever_a_plain_directory_and_kernel_overlayfs_pass() {
    if !user::have_users() {
        return;
    }
    let Some(pjdfstest) = suites::pjdfstest() else { return };
    let _watch = watchdog(LIMIT_S);
    let ground = Ground::new(Scratch::on_disk());
    let at = |name: &str| ground.path().join(name);
    std::fs::copy(pjdfstest, at("pjdfstest")).unwrap();
    std::fs::write(at("settings"), include_str!("../posix_suites/pjdfstest.toml")).unwrap();
    // Others than root come by.
    ground.prepare("chmod 755 . settings");
    ground.shell(
        Who::Many,
        "umask 022; mkdir lower upper work ours plain kupper kwork kernel; \
         layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work ours; \
         mount -t overlay none -o userxattr,lowerdir=lower,upperdir=kupper,workdir=kwork kernel && touch overlay; \
         for at in plain ours kernel; do ./pjdfstest -c settings -p $PWD/$at >$at.said 2>$at.told; done; layerfs umount ours",
    );
    let of = |name: &str| judged(&std::fs::read_to_string(at(&format!("{name}.said"))).unwrap());
    let (plain, ours, kernel) = (of("plain"), of("ours"), of("kernel"));
    let passed =
        |cases: &BTreeMap<String, String>| cases.values().filter(|end| *end == "ok").count();
    assert!(passed(&plain) > 200, "a plain directory passes {} of {}", passed(&plain), plain.len());
    // Kernels that give overlayfs to no namespace are judged by the plain directory alone.
    let judges =
        |case: &str| !at("overlay").exists() || kernel.get(case).is_some_and(|end| end == "ok");
    let worse: Vec<_> = plain
        .iter()
        .filter(|(case, end)| *end == "ok" && ours.get(*case) != Some(end) && judges(case))
        .collect();
    assert!(worse.is_empty(), "{worse:?}");
    figure(format_args!(
        "pjdfstest in a user namespace: {} of {}, a plain directory {}, kernel overlayfs {}",
        passed(&ours),
        ours.len(),
        passed(&plain),
        passed(&kernel)
    ));
    ground.assert_nothing_left();
}
