//! Published ports.

use serde_json::{Value, json};

use crate::host::{GO_ON_ASKING, HOST, Host, SERVE, SERVE_UDP};
use crate::support::{need, need_root};

#[test]
fn a_published_port_is_reached_from_everywhere() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let options = ["--hostname", "web", "-p", "8080:80", "-p", "5353:53/udp"];
    let both = "python3 -c \"$0\" 53 >/dev/null & exec python3 -c \"$1\" 80";
    let mut web = host.start(&options, &["sh", "-c", both, SERVE_UDP, SERVE]);
    for (kind, port) in [("tcp", 8080), ("udp", 5353)] {
        assert_eq!(host.ask_outside(kind, HOST, port), "web sees 192.168.77.2", "{kind}");
        for address in ["127.0.0.1", HOST, "10.80.0.1"] {
            let said = host.ask(kind, address, port);
            assert!(said.starts_with("web sees "), "{kind} {address}: {said}");
        }
        // It turns back at the host.
        assert_eq!(host.ask_inside(kind, HOST, port), "web sees 10.80.0.1", "{kind}");
    }
    assert!(host.ask("tcp", "127.0.0.1", 8081).contains("ConnectionRefusedError"));
    web.end();
    assert!(host.ask("tcp", "127.0.0.1", 8080).contains("ConnectionRefusedError"));
    host.assert_nothing_left();
}

#[test]
fn what_is_not_published_is_not_reached_from_outside() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let mut web = host.start(&["-p", "127.0.0.1:8080:80"], &["python3", "-c", SERVE, "80"]);
    assert!(host.ask("tcp", "127.0.0.1", 8080).contains("sees"));
    // Of one address only, and that one is the host's own.
    assert!(host.ask_outside("tcp", HOST, 8080).starts_with("no answer"));
    host.outside(&format!("ip route add 10.80.0.0/22 via {HOST}"));
    assert!(host.ask_outside("tcp", "10.80.0.2", 80).starts_with("no answer"));
    // Nor by who sends to the host what is for a loopback, and may do so.
    host.outside(&format!(
        "ip addr flush dev lo scope host; ip route add 127.0.0.1/32 via {HOST} && \
         echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet"
    ));
    assert!(host.ask_outside("tcp", "127.0.0.1", 8080).starts_with("no answer"));
    web.end();
    host.assert_nothing_left();
}

#[test]
fn a_taken_port_is_refused_by_name_before_anything_is_made() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let refused = |ports: &[&str], told: &str| {
        let options: Vec<&str> = ports.iter().flat_map(|port| ["-p", port]).collect();
        let ran = host.script(&[&["--name", "late"], &options[..]].concat(), "echo ran");
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
        assert!(!host.layerfs(&["ps", "-a"]).said().contains("late"));
    };
    let mut server = host.start_here(&["python3", "-c", SERVE, "8080"]);
    refused(&["8080:80"], "8080/tcp: the port is taken by a program of the host");
    refused(&["1.2.3.4:8080:80"], "the host has no address 1.2.3.4");
    refused(&["81:80", "81:82"], "81/tcp: it is published twice");
    host.assert_nothing_left();
    server.end();
    let mut web = host.start(&["--name", "web", "-p", "8080:80"], &["python3", "-c", SERVE, "80"]);
    refused(&["127.0.0.1:8080:80"], "8080/tcp: the port is taken by the container `web`");
    // Nor does a program of the host get it.
    let bind = format!("timeout 5 python3 -c \"{SERVE}\" 8080 2>&1 || true");
    assert!(host.sh(&bind).contains("Address already in use"));
    assert_eq!(host.script(&["-p", "8080:80/udp"], "echo ran").said(), "ran\n");
    web.end();
    assert_eq!(host.script(&["-p", "8080:80"], "echo ran").said(), "ran\n");
    host.assert_nothing_left();
}

#[test]
fn port_tells_where_published_ports_are_reached() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let options = ["--name", "web", "-p", "127.0.0.1:53:53/udp", "-p", "8080:80", "-p", "8081:80"];
    let mut web = host.start(&options, &["sh", "-c", "echo ready; exec sleep 600"]);
    let all = "53/udp -> 127.0.0.1:53\n80/tcp -> 0.0.0.0:8080\n80/tcp -> 0.0.0.0:8081\n";
    assert_eq!(host.layerfs(&["port", "web"]).said(), all);
    assert_eq!(host.layerfs(&["container", "port", "web"]).said(), all);
    for port in ["80", "80/tcp"] {
        let said = host.layerfs(&["port", "web", port]).said();
        assert_eq!(said, "0.0.0.0:8080\n0.0.0.0:8081\n");
    }
    assert_eq!(host.layerfs(&["port", "web", "53/udp"]).said(), "127.0.0.1:53\n");
    let told = |words: &[&str], status: i32, told: &str| {
        let ran = host.layerfs(&[&["port"], words].concat());
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{ran:?}");
        assert_eq!(ran.err, format!("layerfs: {told}\n"));
    };
    let not = "container `web`: port 53/tcp is not published; 53/udp, 80/tcp are";
    told(&["web", "53"], 1, not);
    told(&["web", "x"], 2, "`x` is no port: write one such as 80, 80/tcp or 53/udp");
    told(&["no"], 1, "no container `no` in the store; `layerfs ps -a` lists all");
    web.end();
    host.layerfs(&["create", "--name", "web", "-p", "8080:80", "--rootfs", "/", "true"]).said();
    assert_eq!(host.layerfs(&["port", "web"]).said(), "");
    told(&["web", "80"], 1, "container `web`: port 80/tcp is not published; it does not run");
    host.layerfs(&["rm", "web"]).said();
    host.assert_nothing_left();
}

#[test]
fn ps_and_inspect_tell_of_ports_and_addresses_as_docker_does() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let options = ["--name", "web", "-p", "8080-8081:80-81", "-p", "127.0.0.1::53/udp"];
    let mut web = host.start(&options, &["sh", "-c", "echo ready; exec sleep 600"]);
    let listed = host.layerfs(&["ps"]).said();
    assert!(
        listed.contains("PORTS") && listed.contains("0.0.0.0:8080-8081->80-81/tcp, "),
        "{listed}"
    );
    let told = host.layerfs(&["inspect", "web"]).said();
    let told: Value = serde_json::from_str::<Value>(&told).unwrap()[0].clone();
    assert_eq!(told["HostConfig"]["NetworkMode"], "bridge");
    assert_eq!(
        told["HostConfig"]["PortBindings"]["53/udp"],
        json!([{"HostIp": "127.0.0.1", "HostPort": ""}])
    );
    let network = &told["NetworkSettings"];
    assert_eq!(network["Ports"]["80/tcp"], json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}]));
    let chosen =
        network["Ports"]["53/udp"][0]["HostPort"].as_str().unwrap().parse::<u16>().unwrap();
    assert!(listed.contains(&format!("127.0.0.1:{chosen}->53/udp")), "{listed}");
    for part in [network, &network["Networks"]["bridge"]] {
        assert_eq!(part["IPAddress"], "10.80.0.2");
        assert_eq!(part["IPPrefixLen"], 22);
        assert_eq!(part["Gateway"], "10.80.0.1");
        assert_eq!(part["MacAddress"], "02:42:0a:50:00:02");
    }
    let page = include_str!("../../docs/json.md");
    let documented =
        page.lines().filter_map(|line| line.strip_prefix("| `NetworkSettings.")?.split('`').next());
    let mut documented: Vec<_> = documented.collect();
    documented.sort_unstable();
    let mut keys: Vec<_> = network.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, documented);
    let rows: Value = serde_json::from_str(&host.layerfs(&["ps", "--json"]).said()).unwrap();
    let first = json!({"host_ip": "0.0.0.0", "host_port": 8080, "port": 80, "protocol": "tcp"});
    assert_eq!(rows[0]["ports"][0], first);
    web.end();
    host.assert_nothing_left();
}

#[test]
fn networks_are_listed_and_a_bridge_is_told_with_its_range_while_it_is_there() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let list = host.layerfs(&["network", "ls"]).said();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = list.lines().map(words).collect();
    assert_eq!(lines[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let rest: Vec<_> = lines[1..].iter().map(|line| line[1..].join(" ")).collect();
    assert_eq!(rest, ["bridge bridge local", "host host local", "none null local"]);
    let ids = host.layerfs(&["network", "ls", "-q"]).said();
    assert!(ids.lines().eq(lines[1..].iter().map(|line| line[0].as_str())), "{ids} {list}");
    assert!(ids.lines().all(|id| id.len() == 12), "{ids}");
    let format = ["network", "ls", "--format", "{{.Name}}={{.Driver}}"];
    assert_eq!(host.layerfs(&format).said(), "bridge=bridge\nhost=host\nnone=null\n");
    let inspect = |word: &str| -> Value {
        let said = host.layerfs(&["network", "inspect", word]).said();
        serde_json::from_str::<Value>(&said).unwrap()[0].clone()
    };
    assert_eq!(inspect("bridge")["IPAM"]["Config"], json!([]));
    let mut web = host.start(&["--name", "web"], &["sh", "-c", "echo ready; exec sleep 600"]);
    let told = inspect(ids.lines().next().unwrap());
    let config = json!([{"Subnet": "10.80.0.0/22", "Gateway": "10.80.0.1"}]);
    assert_eq!((&told["Name"], &told["IPAM"]["Config"]), (&"bridge".into(), &config));
    assert_eq!(told["Options"]["com.docker.network.bridge.name"], "layerfs0");
    let web_ = told["Containers"].as_object().unwrap().values().next().unwrap();
    assert_eq!(web_, &json!({"Name": "web", "IPv4Address": "10.80.0.2/22"}));
    assert_eq!(inspect("none")["Containers"], json!({}));
    web.end();
    let absent = host.layerfs(&["network", "inspect", "web"]);
    let line = "layerfs: no network `web`; `layerfs network ls` lists those that there are\n";
    assert_eq!((absent.status, absent.err.as_str()), (1, line));
    host.assert_nothing_left();
}

#[test]
fn ports_without_a_bridge_are_refused_or_said_to_be_nothing() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let none = host.script(&["--network", "none", "-p", "8080:80"], "echo ran");
    assert_eq!(none.status, 125, "{none:?}");
    assert!(none.err.contains("--network none"), "{none:?}");
    let own = host.script(&["--network", "host", "-p", "8080:80"], "echo ran");
    assert_eq!((own.status, own.out.as_str()), (0, "ran\n"), "{own:?}");
    assert!(own.err.contains("--network host"), "{own:?}");
    host.assert_nothing_left();
}

#[test]
fn one_in_the_background_has_its_port_until_it_ends_and_when_it_is_started_again() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let words =
        ["run", "-d", "--name", "web", "--hostname", "web", "-p", "8080:80", "--rootfs", "/"];
    let serve = ["python3", "-c", SERVE, "80"];
    let ready = || while !host.layerfs(&["logs", "web"]).out.contains("ready") {};
    let made = host.layerfs(&[&words[..], &serve].concat());
    assert_eq!((made.status, made.err.as_str()), (0, ""), "{made:?}");
    ready();
    assert_eq!(host.ask("tcp", "127.0.0.1", 8080), "web sees 10.80.0.1");
    let ports = host.layerfs(&["ps", "--format", "{{.Ports}} {{.Networks}}"]).said();
    assert_eq!(ports, "0.0.0.0:8080->80/tcp bridge\n");
    assert_eq!(host.layerfs(&["stop", "-t", "0", "web"]).said(), "web\n");
    assert_eq!(host.left(), "");
    let mut taken = host.start_here(&["python3", "-c", SERVE, "8080"]);
    let refused = host.layerfs(&["start", "web"]);
    assert!(refused.err.contains("taken by a program of the host"), "{refused:?}");
    assert_eq!(host.left(), "");
    taken.end();
    assert_eq!(host.layerfs(&["start", "web"]).said(), "web\n");
    while host.ask("tcp", "127.0.0.1", 8080) != "web sees 10.80.0.1" {}
    assert_eq!(host.layerfs(&["rm", "-f", "web"]).said(), "web\n");
    host.assert_nothing_left();
}

/// What the kernel knows of the connection would lead to the address that the one before had.
#[test]
fn a_caller_who_goes_on_sending_reaches_the_next_that_has_the_port() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let web = |name| {
        let options = ["--hostname", name, "-p", "5353:53/udp"];
        host.start(&options, &["python3", "-c", SERVE_UDP, "53"])
    };
    // Without another one the bridge would go between the two.
    let mut other = host.start(&[], &["sh", "-c", "echo ready; exec sleep 600"]);
    let mut caller = host.start_outside(&["python3", "-c", GO_ON_ASKING, HOST, "5353"]);
    for name in ["one", "two"] {
        let mut going = web(name);
        assert_eq!(caller.ask(), format!("{name} sees 192.168.77.2"));
        going.end();
    }
    caller.end();
    other.end();
    host.assert_nothing_left();
}
