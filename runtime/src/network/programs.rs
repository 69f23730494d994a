//! The programs that give the containers of users their network: what each is called, and the words that tell it what to do.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use super::ports::Transport;

/// The container's address. slirp4netns gives it; pasta would give that of the host, which no container could reach then.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// How many bits of it the range shares.
pub const PREFIX_LEN: u8 = 24;
/// The way out.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Who is asked for names: the program, which asks the host's first server, also one on the host's loopback.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// How the container's link is called, as with a bridge.
const LINK: &str = "eth0";

/// Bytes that it carries at once. Nothing has to fit a wire: the program ends all connections.
const MTU: u32 = 65_520;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// pasta, of passt.
    Pasta,
    /// slirp4netns.
    Slirp4netns,
}

impl Kind {
    /// All of them, the faster one first.
    pub const ALL: [Kind; 2] = [Kind::Pasta, Kind::Slirp4netns];

    /// What the program is called, and the word of `--network`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pasta => "pasta",
            Kind::Slirp4netns => "slirp4netns",
        }
    }

    /// The package that has it, on Debian and Ubuntu.
    pub fn package(self) -> &'static str {
        match self {
            Kind::Pasta => "passt",
            Kind::Slirp4netns => "slirp4netns",
        }
    }
}

/// A port of the host's that leads to one of the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What both belong to.
    pub transport: Transport,
    /// Where it is on the host.
    pub outside: SocketAddrV4,
    /// The port in the container.
    pub inside: u16,
}

/// A program, and what it is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Which one.
    pub kind: Kind,
    /// Where it is.
    pub program: PathBuf,
    /// The ports that lead to the container.
    pub forwards: Vec<Forward>,
    /// A place for the socket by which slirp4netns is told of them, gone when it has been.
    pub socket: PathBuf,
}

impl Helper {
    /// Its words, for the network of the process `first`.
    pub(super) fn words(&self, first: u32) -> Vec<OsString> {
        match self.kind {
            Kind::Pasta => self.of_pasta(),
            Kind::Slirp4netns => self.of_slirp(first),
        }
    }

    /// The host's loopback is reached neither by the gateway's address nor by that of the container's own. Ports are led nowhere but
    /// where they were asked for: without a word, pasta takes all that are listened on. The network is its standard input: it parts
    /// from the right to look for it below `/proc/PID` before it does so, and of descriptors only from others than these.
    fn of_pasta(&self) -> Vec<OsString> {
        let always = ["--config-net", "--ipv4-only", "--quiet", "--no-map-gw", "--no-netns-quit"];
        let mut words: Vec<OsString> = always.map(OsString::from).to_vec();
        let prefix_len = PREFIX_LEN.to_string();
        for (option, value) in [
            ("--ns-ifname", LINK),
            ("--address", &*ADDRESS.to_string()),
            ("--netmask", &*prefix_len),
            ("--gateway", &*GATEWAY.to_string()),
            ("--dns-forward", &*SERVER.to_string()),
            ("--tcp-ns", "none"),
            ("--udp-ns", "none"),
        ] {
            words.extend([option, value].map(OsString::from));
        }
        for (option, transport) in
            [("--tcp-ports", Transport::Tcp), ("--udp-ports", Transport::Udp)]
        {
            let of_kind = self.forwards.iter().filter(|forward| forward.transport == transport);
            let mut said: Vec<String> = of_kind.map(port_of_pasta).collect();
            if said.is_empty() {
                said.push("none".into());
            }
            words.extend(said.iter().flat_map(|port| [option, port].map(OsString::from)));
        }
        words.extend(["--netns", "/proc/self/fd/0"].map(OsString::from));
        words
    }

    /// It says that it is ready on its standard input, which it reads nothing from.
    fn of_slirp(&self, first: u32) -> Vec<OsString> {
        let mut words: Vec<OsString> = [
            "--configure",
            &format!("--mtu={MTU}"),
            "--disable-host-loopback",
            "--enable-sandbox",
            "--enable-seccomp",
            "--ready-fd=0",
        ]
        .map(OsString::from)
        .to_vec();
        if !self.forwards.is_empty() {
            words.push("--api-socket".into());
            words.push(self.socket.clone().into());
        }
        let network = format!("/proc/{first}/ns/net");
        words.extend(["--netns-type=path", &network, LINK].map(OsString::from));
        words
    }

    /// What is asked of it by its socket once it is ready.
    pub(super) fn requests(&self) -> Vec<(Forward, String)> {
        match self.kind {
            Kind::Pasta => Vec::new(),
            Kind::Slirp4netns => {
                let one = |forward: &Forward| (*forward, request_of_slirp(forward));
                self.forwards.iter().map(one).collect()
            }
        }
    }
}

fn port_of_pasta(forward: &Forward) -> String {
    let (ip, port) = (forward.outside.ip(), forward.outside.port());
    match ip.is_unspecified() {
        true => format!("{port}:{}", forward.inside),
        false => format!("{ip}/{port}:{}", forward.inside),
    }
}

fn request_of_slirp(forward: &Forward) -> String {
    let transport = match forward.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    serde_json::json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": transport,
            "host_addr": forward.outside.ip().to_string(),
            "host_port": forward.outside.port(),
            "guest_addr": ADDRESS.to_string(),
            "guest_port": forward.inside,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(kind: Kind, forwards: &[(Transport, &str, u16)]) -> Helper {
        let forward = |(transport, outside, inside): &(Transport, &str, u16)| Forward {
            transport: *transport,
            outside: outside.parse().unwrap(),
            inside: *inside,
        };
        Helper {
            kind,
            program: "/usr/bin/x".into(),
            forwards: forwards.iter().map(forward).collect(),
            socket: "/run/s".into(),
        }
    }

    fn words(helper: &Helper) -> String {
        let words = helper.words(7);
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    const PORTS: [(Transport, &str, u16); 3] = [
        (Transport::Tcp, "0.0.0.0:8080", 80),
        (Transport::Udp, "127.0.0.1:5353", 53),
        (Transport::Tcp, "10.1.2.3:81", 8081),
    ];

    #[test]
    fn pasta_leads_those_ports_alone_and_nothing_to_the_hosts_loopback() {
        let told = words(&helper(Kind::Pasta, &PORTS));
        assert!(told.ends_with("--netns /proc/self/fd/0"), "{told}");
        for part in [
            "--no-map-gw",
            "--tcp-ns none --udp-ns none",
            "--tcp-ports 8080:80 --tcp-ports 10.1.2.3/81:8081 --udp-ports 127.0.0.1/5353:53",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = words(&helper(Kind::Pasta, &[]));
        assert!(told.contains("--tcp-ports none --udp-ports none"), "{told}");
        assert!(helper(Kind::Pasta, &PORTS).requests().is_empty());
    }

    #[test]
    fn slirp4netns_is_asked_for_ports_by_its_socket() {
        let told = words(&helper(Kind::Slirp4netns, &[]));
        assert!(told.ends_with("--netns-type=path /proc/7/ns/net eth0"), "{told}");
        assert!(told.contains("--disable-host-loopback") && !told.contains("api"), "{told}");
        let with_ports = helper(Kind::Slirp4netns, &PORTS);
        assert!(words(&with_ports).contains("--api-socket /run/s"));
        let (forward, request) = with_ports.requests().swap_remove(1);
        assert_eq!(forward.inside, 53);
        let request: serde_json::Value = serde_json::from_str(&request).unwrap();
        let arguments = serde_json::json!({
            "proto": "udp", "host_addr": "127.0.0.1", "host_port": 5353, "guest_addr": "10.0.2.100", "guest_port": 53
        });
        assert_eq!(
            (&request["execute"], &request["arguments"]),
            (&"add_hostfwd".into(), &arguments)
        );
    }
}
