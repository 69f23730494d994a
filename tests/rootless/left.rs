//! Mounts of namespaces that their last process has left: they end, and so does what serves them.

use std::process::Command;

use crate::ground;
use crate::support::user::Who;

const LOWER: &str = "mkdir -p lower/sub upper work mnt; echo one >lower/one;";

/// The numbers of the processes that serve mounts here.
const SERVERS: &str = "servers() { for own in /proc/[0-9]*; do \
     if tr '\\0' ' ' <$own/cmdline | grep -q '^layerfs .*serve --source='; then echo ${own#/proc/}; fi; done 2>/dev/null; }; \
     export -f servers;";

const MOUNT: &str = "layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt";

/// Who makes which namespace. That of process 1 here lives as long as anything is seen.
const ROWS: [(Who, &str); 3] =
    [(Who::User, "unshare -Urm"), (Who::One, "unshare -m"), (Who::Many, "unshare -m")];

/// A script with the calls that mount and that begin a namespace.
fn script(enter: &str, script: &str) -> String {
    format!("{SERVERS} {}", script.replace("ENTER", enter).replace("MOUNT", MOUNT))
}

const ENDS: &str = "ENTER bash -c 'MOUNT; touch mnt/new; ls mnt'; SECONDS=0; \
     while [ \"$(servers)\" ] && [ $SECONDS -lt 30 ]; do :; done; servers; ls -A mnt upper; \
     ENTER bash -c 'MOUNT; layerfs umount mnt && ls -A mnt'; rm -rf lower upper work";

const ENDED: &str = "new\none\nsub\nmnt:\n\nupper:\nnew\n";

#[test]
fn a_mount_ends_with_its_namespace_and_lets_its_upper_go() {
    let Some(ground) = ground() else { return };
    for (who, enter) in ROWS {
        ground.shell(who, LOWER);
        assert_eq!(ground.shell(who, &script(enter, ENDS)), ENDED, "{who:?}");
        ground.assert_nothing_left();
    }
}

#[test]
fn a_mount_of_root_ends_with_its_namespace_too() {
    let Some(ground) = ground() else { return };
    ground.prepare(LOWER);
    let words = "exec 2>&1; layerfs() { $LAYERFS \"$@\"; }; export -f layerfs;";
    let mut inner = Command::new("unshare");
    inner.args(["-m", "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c"]);
    inner.arg(format!("{words} {}", script("unshare -m", ENDS)));
    inner.env("LAYERFS", env!("CARGO_BIN_EXE_layerfs")).current_dir(ground.path());
    let output = inner.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), ENDED);
    ground.prepare("rmdir mnt");
}

/// Its process is elsewhere by then, and finds the way back.
#[test]
fn a_signal_and_umount_take_a_mount_away_whose_process_left_its_namespace() {
    let Some(ground) = ground() else { return };
    let away = "ENTER bash -c 'MOUNT; pid=$(servers); \
         [ \"$(readlink /proc/$pid/ns/mnt)\" = \"$(readlink /proc/self/ns/mnt)\" ] || echo left; \
         cat mnt/one; kill $pid; SECONDS=0; while mountpoint -q mnt && [ $SECONDS -lt 30 ]; do :; done; \
         findmnt mnt; ls -A mnt; MOUNT; exec 7<mnt/one; layerfs umount mnt 2>/dev/null; echo $?; \
         layerfs umount -l mnt; ls -A mnt; cat <&7'; rm -rf lower upper work";
    for (who, enter) in ROWS {
        ground.shell(who, LOWER);
        assert_eq!(ground.shell(who, &script(enter, away)), "left\none\n1\none\n", "{who:?}");
        ground.assert_nothing_left();
    }
}
