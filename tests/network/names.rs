//! Names: /etc/hosts and /etc/resolv.conf.

use crate::host::Host;
use crate::support::{need, need_root};

#[test]
fn names_and_servers_are_those_that_were_said() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let options = [
        "--dns",
        "10.9.9.9",
        "--dns",
        "10.9.9.8",
        "--dns-search",
        "a.example",
        "--dns-option",
        "ndots:2",
        "--add-host",
        "db:10.1.1.1",
        "--add-host",
        "up:host-gateway",
        "--add-host",
        "six:::1",
        "--hostname",
        "box",
    ];
    let said = host.script(&options, "cat /etc/hosts /etc/resolv.conf").said();
    let expected = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.80.0.2\tbox\n10.1.1.1\tdb\n\
                    10.80.0.1\tup\n::1\tsix\nnameserver 10.9.9.9\nnameserver 10.9.9.8\nsearch a.example\noptions ndots:2\n";
    assert_eq!(said, expected);
    for (option, word) in [
        ("--dns", "here"),
        ("--add-host", "db"),
        ("--add-host", "db:here"),
        ("--dns-search", "a b"),
    ] {
        let ran = host.script(&[option, word], "echo ran");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains(option) && ran.err.contains(word), "{ran:?}");
    }
    host.assert_nothing_left();
}

#[test]
fn a_container_without_a_network_has_the_names_that_were_said() {
    need_root!();
    need!("ip", "nsenter", "unshare");
    let host = Host::new();
    let options = ["--network", "none", "--add-host", "db:10.1.1.1", "--dns", "10.9.9.9"];
    let said = host.script(&options, "grep -w db /etc/hosts; cat /etc/resolv.conf").said();
    assert_eq!(said, "10.1.1.1\tdb\nnameserver 10.9.9.9\n");
    host.assert_nothing_left();
}
