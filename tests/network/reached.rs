//! What a container has of the network, and what it reaches.

use crate::host::{HOST, Host, MTU, OUTSIDE, SERVE};
use crate::support::{need, need_root};

#[test]
fn a_container_has_an_address_a_way_out_and_its_name_without_a_word() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let said = host
        .script(
            &["--hostname", "box"],
            "ip -4 -o addr show eth0 | awk '{print $4}'; ip route | sed 's/ *$//'; cat /sys/class/net/eth0/mtu; \
             ls /sys/class/net | tr '\\n' ' '; echo; grep box /etc/hosts; cat /etc/hostname; cat /sys/class/net/lo/operstate",
        )
        .said();
    let expected = format!(
        "10.80.0.2/22\ndefault via 10.80.0.1 dev eth0\n10.80.0.0/22 dev eth0 proto kernel scope link src 10.80.0.2\n{MTU}\n\
         eth0 lo \n10.80.0.2\tbox\nbox\nunknown\n"
    );
    assert_eq!(said, expected);
    assert_eq!(host.sh("cat /proc/sys/net/ipv4/ip_forward"), "1");
    host.assert_nothing_left();
}

#[test]
fn what_leaves_the_host_has_its_address() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let _server = host.start_outside(&["python3", "-c", SERVE, "80"]);
    assert!(host.ask_inside("tcp", OUTSIDE, 80).ends_with(&format!("sees {HOST}")));
    host.assert_nothing_left();
}

#[test]
fn containers_reach_each_other_and_the_host() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let mut server = host.start(&["--hostname", "s"], &["python3", "-c", SERVE, "80"]);
    assert_eq!(host.ask_inside("tcp", "10.80.0.2", 80), "s sees 10.80.0.3");
    assert_eq!(host.ask("tcp", "10.80.0.2", 80), "s sees 10.80.0.1");
    let mut here = host.start_here(&["python3", "-c", SERVE, "81"]);
    for (address, own) in [("10.80.0.1", "10.80.0.4"), (HOST, "10.80.0.5")] {
        let said = host.ask_inside("tcp", address, 81);
        assert!(said.ends_with(&format!("sees {own}")), "{address}: {said}");
    }
    here.end();
    server.end();
    host.assert_nothing_left();
}

#[test]
fn a_range_is_taken_that_the_host_does_not_route() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    host.sh("ip route add 10.80.0.0/14 via 192.168.77.2; ip addr add 10.84.1.1/24 dev lo");
    let said = host.script(&[], "ip -4 -o addr show eth0 | awk '{print $4}'").said();
    assert_eq!(said, "10.84.4.2/22\n");
    host.assert_nothing_left();
}

/// Connections of the host's own to a published port come from its loopback, so that the bridge routes that.
#[test]
fn what_listens_on_the_hosts_loopback_is_not_reached_from_a_container() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let counts = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 80))
print('ready', flush=True)
others = 0
while True:
    d, a = s.recvfrom(99)
    others += a[0] != '127.0.0.1'
    s.sendto(b'%d others' % others, a)
";
    let mut server = host.start_here(&["python3", "-c", counts]);
    let around = "ip route del local 127.0.0.0/8 dev lo table local; ip route del local 127.0.0.1 dev lo table local; \
                  ip route add 127.0.0.0/8 via 10.80.0.1 && exec python3 -c \"$0\" udp 127.0.0.1 80";
    let options =
        ["--rm", "--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.conf.all.route_localnet=1"];
    let words = ["--rootfs", "/", "sh", "-c", around, crate::host::ASK];
    let asked = host.layerfs(&[&["run"], &options[..], &words].concat());
    assert_eq!(asked.out, "no answer: TimeoutError\n", "{asked:?}");
    assert_eq!(host.ask("udp", "127.0.0.1", 80), "0 others");
    server.end();
    host.assert_nothing_left();
}

#[test]
fn settings_of_its_own_network_are_the_containers() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let set = ["--sysctl", "net.ipv4.conf.eth0.forwarding=1", "--sysctl", "net.core.somaxconn=77"];
    let read = "cat /proc/sys/net/ipv4/conf/eth0/forwarding /proc/sys/net/core/somaxconn";
    assert_eq!(host.script(&set, read).said(), "1\n77\n");
    let words = [&["--network", "host"], &set[..]].concat();
    assert!(host.script(&words, read).err.contains("would change the host's"));
    host.assert_nothing_left();
}

#[test]
fn two_run_directories_have_two_bridges() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let mut first = host.start(&[], &["python3", "-c", SERVE, "80"]);
    let other = host.place.join("other-run");
    let run =
        ["--runroot", other.to_str().unwrap(), "run", "--rm", "-p", "8080:80", "--rootfs", "/"];
    let words = ["sh", "-c", "ip -4 -o addr show eth0 | awk '{print $4}'"];
    assert_eq!(host.layerfs(&[&run[..], &words].concat()).said(), "10.80.4.2/22\n");
    assert_eq!(host.sh("ip -o link show type bridge | cut -d: -f2"), " layerfs0");
    first.end();
    host.assert_nothing_left();
}
