//! Networks that others made.

use crate::host::{Host, SERVE};
use crate::support::{need, need_root};

#[test]
fn two_containers_have_one_network_and_one_name() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let options =
        ["--name", "web", "--hostname", "web", "--add-host", "db:10.1.1.1", "--dns", "10.9.9.9"];
    let mut web = host.start(&options, &["python3", "-c", SERVE, "80"]);
    let look = "readlink /proc/self/ns/net; ip -4 -o addr show eth0 | awk '{print $4}'; hostname; \
                cat /etc/hosts /etc/resolv.conf; ls /sys/class/net | tr '\\n' ' '";
    let joined = host.script(&["--network", "container:web"], look).said();
    let told = host.layerfs(&["inspect", "web"]).said();
    let told = serde_json::from_str::<serde_json::Value>(&told).unwrap()[0].clone();
    let own = std::fs::read_link(format!("/proc/{}/ns/net", told["State"]["Pid"])).unwrap();
    let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.80.0.2\tweb\n10.1.1.1\tdb\n";
    let expected = format!("{}\n10.80.0.2/22\nweb\n{hosts}nameserver 10.9.9.9\n", own.display());
    assert!(joined.starts_with(&expected), "{joined}\n{expected}");
    assert!(joined.ends_with("eth0 lo "), "{joined}");
    let words = ["run", "--rm", "--net", "container:web", "--rootfs", "/", "python3", "-c"];
    let asked = host.layerfs(&[&words[..], &[crate::host::ASK, "tcp", "127.0.0.1", "80"]].concat());
    assert_eq!(asked.said(), "web sees 127.0.0.1\n");
    // What is that container's is not said here.
    for option in
        [["--hostname", "x"], ["-p", "1:1"], ["--dns", "1.1.1.1"], ["--add-host", "a:1.1.1.1"]]
    {
        let ran = host.script(&[&["--network", "container:web"], &option[..]].concat(), "echo ran");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
    }
    web.end();
    let late = host.script(&["--network", "container:web"], "echo ran");
    assert_eq!((late.status, late.out.as_str()), (125, ""), "{late:?}");
    assert!(late.err.contains("no container `web`"), "{late:?}");
    host.assert_nothing_left();
}

#[test]
fn a_network_is_joined_by_its_file() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let network = format!("ns:{}", host.file_outside());
    let look = "readlink /proc/self/ns/net; ls /sys/class/net | tr '\\n' ' '";
    let said = host.script(&["--network", &network], look).said();
    let own = std::fs::read_link(host.file_outside()).unwrap();
    assert_eq!(said, format!("{}\nlo out0 ", own.display()));
    for (path, told) in [
        ("/proc/self/ns/uts", "no network namespace"),
        ("/etc/passwd", "no network namespace"),
        ("/no/such", "No such file"),
    ] {
        let ran = host.script(&["--network", &format!("ns:{path}")], "echo ran");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains(told) && ran.err.contains(path), "{ran:?}");
    }
    host.assert_nothing_left();
}

#[test]
fn the_hosts_network_comes_with_its_name() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let said =
        host.script(&["--network", "host"], "hostname; ls /sys/class/net | tr '\\n' ' '").said();
    assert_eq!(said, format!("{}\nlo up0 ", host.sh("hostname")));
    let said = host.script(&["--network", "host", "--hostname", "own"], "hostname").said();
    assert_eq!(said, "own\n");
    host.assert_nothing_left();
}

#[test]
fn a_word_that_is_no_network_is_refused() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    for word in ["nat", "container:", "ns:", "container:no-such"] {
        let ran = host.script(&["--network", word], "echo ran");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains(word), "{ran:?}");
    }
    host.assert_nothing_left();
}

/// The other's root may change it, for itself.
#[test]
fn a_list_of_names_is_joined_as_it_was_made() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let grow = "read -r _; echo 10.9.8.7 forged >>/etc/hosts; echo ready; \
                read -r _; head -c 30000000 /dev/zero >>/etc/hosts; echo ready; exec sleep 600";
    let start = ["run", "--rm", "-i", "--name", "web", "--add-host", "db:10.1.1.1"];
    let script = format!("echo ready; {grow}");
    let words = [&start[..], &["--rootfs", "/", "sh", "-c", &script]].concat();
    let mut web = host.start_so(&words);
    for _ in 0..2 {
        assert_eq!(web.ask(), "ready");
        let join = ["--network", "container:web"];
        let seen =
            host.script(&join, "grep -cw 10.1.1.1 /etc/hosts; grep -c forged /etc/hosts").out;
        assert_eq!(seen, "1\n0\n");
    }
    web.end();
    host.assert_nothing_left();
}
