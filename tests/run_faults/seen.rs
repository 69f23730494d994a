//! What could be left is seen where it is: each kind is planted once.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::deed::Deed;
use crate::host::Host;
use crate::lane::Lane;
use crate::support::{need, need_root, watchdog};

/// The lane shows what is planted, and is clean when it has gone.
#[track_caller]
fn seen(lane: &Lane, kind: &str, plant: &str, uproot: &str) {
    let shell = |script: &str| {
        let mut command = lane.host().map_or_else(|| Command::new("env"), Host::enter);
        let path = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
        let ran = command.args(["env", path, "sh", "-c", script, "sh", lane.mark()]).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{script}: {ran:?}");
    };
    shell(plant);
    let left = lane.all_left();
    assert!(left.iter().any(|line| line.contains(kind)), "{plant}: {left:?}");
    shell(uproot);
    lane.assert_clean();
}

/// A process whose words have the mark, in namespaces of its own, that has done something there.
fn process(lane: &Lane, how: &[&str], deed: &str) -> Child {
    let mut command = Command::new("unshare");
    let script = format!("{deed} && echo ready && read -r _");
    command.args(how).args(["sh", "-c", &script, "sh", lane.mark()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    child
}

/// Makes and removes a group of a container that the store has had.
fn of_group(lane: &Lane) -> (String, String) {
    let id = format!("planted-{}", std::process::id());
    let container = lane.join("store/containers").join(&id);
    std::fs::create_dir(&container).unwrap();
    std::fs::remove_dir(container).unwrap();
    let hierarchy = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
    let shared = hierarchy.into_iter().find(|dir| dir.is_dir()).unwrap().join("layerfs");
    let (shared, own) = (shared.display(), shared.join(&id));
    let own = own.display();
    // Others make the shared one and take it away meanwhile.
    let make = format!("until mkdir -p {own} 2>/dev/null; do :; done");
    (make, format!("rmdir {own} && {{ rmdir {shared} 2>/dev/null || :; }}"))
}

#[test]
fn whatever_is_left_is_seen() {
    need_root!();
    need!("busybox", "timeout", "nft", "ip", "nsenter", "unshare", "mount");
    let _watch = watchdog(300);
    let lane = Lane::new(Deed::RunOnBridge, None);
    lane.assert_clean();
    for (kind, plant, uproot) in [
        ("file", "mkdir $1/store/containers/abc", "rmdir $1/store/containers/abc"),
        ("file", "touch $1/run/network/10.80", "rm $1/run/network/10.80"),
        ("file", "touch $1/run/exits/abc", "rm $1/run/exits/abc"),
        ("file", "mkdir -p $1/store/volumes/v", "rm -r $1/store/volumes"),
        ("file", "mkdir $1/store/tmp/abc", "rmdir $1/store/tmp/abc"),
        ("link layerfs0", "ip link add layerfs0 type bridge", "ip link del layerfs0"),
        ("link lf0", "ip link add lf0 type veth peer name eth0", "ip link del lf0"),
        ("table inet layerfs", "nft add table inet layerfs", "nft delete table inet layerfs"),
    ] {
        seen(&lane, kind, plant, uproot);
    }
    let (make, remove) = of_group(&lane);
    seen(&lane, "group", &make, &remove);
    // A mount of the host's would have copies in the namespaces that other tests make meanwhile.
    let mount = "mount -t tmpfs none \"$1/shown\"";
    for (kind, how, deed) in [
        ("process", &["-n"][..], "true"),
        ("process", &["-U", "--map-root-user", "-p", "-m", "--fork"], "true"),
        ("mount", &["-m"], mount),
    ] {
        let mut child = process(&lane, how, deed);
        let (left, kind) = (lane.all_left(), format!("left behind: {kind} "));
        assert!(left.iter().any(|line| line.starts_with(&kind)), "{kind}: {left:?}");
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success(), "it has read nothing");
        lane.assert_clean();
    }
}
