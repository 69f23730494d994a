//! What stands in `/etc/hosts` and `/etc/resolv.conf` of a container.

use std::net::{IpAddr, Ipv4Addr};

use super::words::{Dns, Host};

/// What every container's `/etc/hosts` begins with.
pub const LOOPBACK: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
";

/// Lines for names that the user gave; `gateway` is the host as the container reaches it.
pub fn lines(hosts: &[(String, Host)], gateway: Ipv4Addr) -> String {
    let one = |(name, host): &(String, Host)| match host {
        Host::Address(address) => format!("{address}\t{name}\n"),
        Host::Gateway => format!("{gateway}\t{name}\n"),
    };
    hosts.iter().map(one).collect()
}

/// What a `resolv.conf` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolv {
    /// Its text.
    Text(String),
    /// The host names servers, and none is reached from the container.
    Unreachable,
}

/// The text of a `resolv.conf` for a network of which the host's loopback is no part. `host` is the host's text, `real` what a
/// resolver on that loopback asks itself, where it tells so.
pub fn resolv(host: &str, real: Option<&str>, said: &Dns) -> Resolv {
    let mut from = host;
    let mut servers = if said.servers.is_empty() { reached(host) } else { said.servers.clone() };
    let is_named = host.lines().any(|line| line.trim_start().starts_with("nameserver"));
    if servers.is_empty() && is_named {
        // Its domains are those of the network that its servers belong to.
        if let Some(real) = real {
            (from, servers) = (real, reached(real));
        }
        if servers.is_empty() {
            return Resolv::Unreachable;
        }
    }
    Resolv::Text(text(from, &servers, said))
}

/// The host's own text, with what the user said in the place of what it says.
pub fn as_host(host: &str, said: &Dns) -> String {
    if *said == Dns::default() {
        return host.to_owned();
    }
    let servers = if said.servers.is_empty() { all(host) } else { said.servers.clone() };
    text(host, &servers, said)
}

fn text(from: &str, servers: &[IpAddr], said: &Dns) -> String {
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    let search = if said.search.is_empty() { domains(from) } else { said.search.clone() };
    // Docker's word for none.
    let search: Vec<_> = search.into_iter().filter(|domain| domain != ".").collect();
    let options =
        if said.options.is_empty() { rest(from, "options") } else { said.options.clone() };
    for (key, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            text.push_str(&format!("{key} {}\n", words.join(" ")));
        }
    }
    text
}

fn all(text: &str) -> Vec<IpAddr> {
    let words = rest(text, "nameserver");
    // An address with a zone belongs to a link of the host's.
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

/// Servers that are no loopback, and no IPv6, which a bridge has not.
fn reached(text: &str) -> Vec<IpAddr> {
    all(text).into_iter().filter(|server| server.is_ipv4() && !server.is_loopback()).collect()
}

/// The last one counts (`resolv.conf(5)`).
fn domains(text: &str) -> Vec<String> {
    let words = |line: &str| -> Option<Vec<String>> {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("search" | "domain"))
            .then(|| words.map(str::to_owned).collect())
    };
    text.lines().filter_map(words).next_back().unwrap_or_default()
}

fn rest(text: &str, key: &str) -> Vec<String> {
    let words = |line: &str| -> Vec<String> {
        let mut words = line.split_whitespace();
        if words.next() == Some(key) { words.map(str::to_owned).collect() } else { Vec::new() }
    };
    text.lines().flat_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(servers: &[&str], search: &[&str], options: &[&str]) -> Dns {
        let texts = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        Dns {
            servers: servers.iter().map(|it| it.parse().unwrap()).collect(),
            search: texts(search),
            options: texts(options),
        }
    }

    #[test]
    fn a_resolver_on_the_hosts_loopback_is_passed_over_for_those_it_asks() {
        let stub = "# made by systemd\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
        let real =
            "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2\nsearch home\n";
        let none = Dns::default();
        assert_eq!(
            resolv(stub, Some(real), &none),
            Resolv::Text("nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch home\n".into())
        );
        assert_eq!(resolv(stub, None, &none), Resolv::Unreachable);
        assert_eq!(resolv(stub, Some("nameserver ::1\n"), &none), Resolv::Unreachable);
        // What the user says is reached is not doubted.
        assert_eq!(
            resolv(stub, None, &said(&["1.1.1.1"], &[], &[])),
            Resolv::Text("nameserver 1.1.1.1\nsearch lan\noptions edns0 trust-ad\n".into())
        );
    }

    #[test]
    fn a_server_that_is_reached_is_kept() {
        let host = "nameserver 127.0.0.1\nnameserver 10.9.8.7\ndomain a\nsearch b c\n";
        assert_eq!(
            resolv(host, None, &Dns::default()),
            Resolv::Text("nameserver 10.9.8.7\nsearch b c\n".into())
        );
        assert_eq!(
            resolv(host, None, &said(&[], &["x"], &["ndots:2"])),
            Resolv::Text("nameserver 10.9.8.7\nsearch x\noptions ndots:2\n".into())
        );
        assert_eq!(
            resolv(host, None, &said(&[], &["."], &[])),
            Resolv::Text("nameserver 10.9.8.7\n".into())
        );
        assert_eq!(resolv("", None, &Dns::default()), Resolv::Text(String::new()));
    }

    #[test]
    fn with_the_hosts_network_its_own_servers_are_asked() {
        let host = "# kept\nnameserver 127.0.0.53\n";
        assert_eq!(as_host(host, &Dns::default()), host);
        assert_eq!(as_host(host, &said(&[], &["x"], &[])), "nameserver 127.0.0.53\nsearch x\n");
    }

    #[test]
    fn names_of_the_users_have_a_line_each() {
        let hosts = [
            ("db".to_owned(), Host::Address("10.1.1.1".parse().unwrap())),
            ("host.internal".to_owned(), Host::Gateway),
        ];
        let expected = "10.1.1.1\tdb\n10.80.0.1\thost.internal\n";
        assert_eq!(lines(&hosts, "10.80.0.1".parse().unwrap()), expected);
    }
}
