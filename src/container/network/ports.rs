//! Published ports: the words of `--publish`, docker's words for them.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};
pub use layerfs_runtime::network::Transport;
use serde::{Deserialize, Serialize};

/// A port of a container's, and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Publish {
    /// The address of the host's; 0.0.0.0 for all of them.
    pub host_ip: Ipv4Addr,
    /// The port there; 0 for one that is free.
    pub host_port: u16,
    /// The port in the container.
    pub port: u16,
    /// What both belong to.
    #[serde(with = "transport")]
    pub transport: Transport,
}

impl Publish {
    /// Where it is reached.
    pub fn host(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.host_ip, self.host_port)
    }

    /// Whether both can't be had: one port of one address.
    pub fn meets(&self, other: &Publish) -> bool {
        let (one, two) = (self.host_ip, other.host_ip);
        self.transport == other.transport
            && self.host_port == other.host_port
            && self.host_port != 0
            && (one == two || one.is_unspecified() || two.is_unspecified())
    }

    /// Docker's word for the port in the container: `80/tcp`.
    pub fn inside(&self) -> String {
        format!("{}/{}", self.port, word(self.transport))
    }

    /// The same for the host's: `0.0.0.0:8080/tcp`.
    pub fn outside(&self) -> String {
        format!("{}/{}", self.host(), word(self.transport))
    }
}

/// Docker's word.
pub fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

mod transport {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Transport;

    pub fn serialize<S: Serializer>(it: &Transport, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(super::word(*it))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Transport, D::Error> {
        match String::deserialize(from)?.as_str() {
            "tcp" => Ok(Transport::Tcp),
            "udp" => Ok(Transport::Udp),
            other => Err(D::Error::custom(format!("`{other}` is neither tcp nor udp"))),
        }
    }
}

/// Reads `[IP:][HOST:]CONTAINER[/tcp|/udp]`, where a port may be a range.
pub fn read(said: &str) -> Result<Vec<Publish>> {
    parse(said).with_context(|| format!("--publish `{said}`"))
}

fn parse(said: &str) -> Result<Vec<Publish>> {
    let (rest, transport) = match said.rsplit_once('/') {
        None => (said, Transport::Tcp),
        Some((rest, "tcp")) => (rest, Transport::Tcp),
        Some((rest, "udp")) => (rest, Transport::Udp),
        Some((_, other)) => bail!("`{other}` is neither tcp nor udp"),
    };
    if rest.starts_with('[') {
        bail!("a bridge of layerfs has no IPv6; give an address of IPv4, or leave it out");
    }
    let words: Vec<&str> = rest.split(':').collect();
    let (ip, host, container) = match words[..] {
        [container] => ("", "", container),
        [host, container] => ("", host, container),
        [ip, host, container] => (ip, host, container),
        _ => bail!("write [IP:][HOST:]CONTAINER[/udp], such as 8080:80"),
    };
    let host_ip = match ip {
        "" => Ipv4Addr::UNSPECIFIED,
        ip => ip.parse().ok().with_context(|| format!("`{ip}` is no address of IPv4"))?,
    };
    let inside = range(container)?;
    let outside = if host.is_empty() { None } else { Some(range(host)?) };
    let count = inside.1 - inside.0;
    if let Some((first, last)) = outside
        && last - first != count
    {
        bail!("there are not as many ports in `{host}` as in `{container}`");
    }
    let one = |at: u16| Publish {
        host_ip,
        host_port: outside.map_or(0, |(first, _)| first + at),
        port: inside.0 + at,
        transport,
    };
    Ok((0..=count).map(one).collect())
}

/// The first and the last.
fn range(word: &str) -> Result<(u16, u16)> {
    let port = |word: &str| {
        let number = word.parse::<u16>().ok().filter(|number| *number > 0);
        number.with_context(|| format!("`{word}` is no port: there are 1 to 65535"))
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        bail!("the range `{word}` ends before it begins");
    }
    Ok((first, last))
}

/// The column PORTS of `docker ps`: ranges are told as such.
pub fn column(ports: &[Publish]) -> String {
    let mut sorted = ports.to_vec();
    sorted.sort_by_key(|it| (it.transport, it.host_ip, it.port, it.host_port));
    let mut runs: Vec<(Publish, u16)> = Vec::new();
    for one in sorted {
        match runs.last_mut() {
            Some((first, more))
                if (first.transport, first.host_ip) == (one.transport, one.host_ip)
                    && first.port.checked_add(*more + 1) == Some(one.port)
                    && first.host_port.checked_add(*more + 1) == Some(one.host_port) =>
            {
                *more += 1;
            }
            _ => runs.push((one, 0)),
        }
    }
    let range = |first: u16, more: u16| match more {
        0 => first.to_string(),
        more => format!("{first}-{}", first + more),
    };
    let one = |(it, more): (Publish, u16)| {
        let (outside, inside) = (range(it.host_port, more), range(it.port, more));
        format!("{}:{outside}->{inside}/{}", it.host_ip, word(it.transport))
    };
    runs.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(said: &str) -> Vec<String> {
        let one = |it: &Publish| format!("{} {}", it.outside(), it.inside());
        read(said).unwrap().iter().map(one).collect()
    }

    #[test]
    fn a_port_is_said_in_dockers_ways() {
        for (said, expected) in [
            ("80", vec!["0.0.0.0:0/tcp 80/tcp"]),
            ("8080:80", vec!["0.0.0.0:8080/tcp 80/tcp"]),
            ("53:5353/udp", vec!["0.0.0.0:53/udp 5353/udp"]),
            ("127.0.0.1:8080:80/tcp", vec!["127.0.0.1:8080/tcp 80/tcp"]),
            ("127.0.0.1::80", vec!["127.0.0.1:0/tcp 80/tcp"]),
            ("8000-8001:80-81", vec!["0.0.0.0:8000/tcp 80/tcp", "0.0.0.0:8001/tcp 81/tcp"]),
            ("65535:65535", vec!["0.0.0.0:65535/tcp 65535/tcp"]),
        ] {
            assert_eq!(shown(said), expected, "{said}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (said, told) in [
            ("", "no port"),
            ("0:80", "no port"),
            ("65536:80", "no port"),
            ("80/sctp", "neither tcp nor udp"),
            ("1.2.3:1:2", "no address of IPv4"),
            ("[::1]:1:2", "no IPv6"),
            ("1:2:3:4", "write [IP:]"),
            ("8000-8002:80-81", "not as many"),
            ("8002-8000:80", "ends before"),
        ] {
            let error = format!("{:#}", read(said).unwrap_err());
            assert!(error.contains(told) && error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn one_port_is_one_port_of_every_address() {
        let one = |said: &str| read(said).unwrap()[0];
        assert!(one("80:1").meets(&one("127.0.0.1:80:2")));
        assert!(!one("127.0.0.2:80:1").meets(&one("127.0.0.1:80:2")));
        assert!(!one("80:1/udp").meets(&one("80:1/tcp")));
        assert!(!one("80").meets(&one("80")), "each takes one that is free");
    }

    #[test]
    fn ports_are_listed_as_docker_lists_them() {
        let all = |said: &[&str]| {
            column(&said.iter().flat_map(|it| read(it).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(all(&["8080:80"]), "0.0.0.0:8080->80/tcp");
        assert_eq!(all(&["8001:81", "8000:80"]), "0.0.0.0:8000-8001->80-81/tcp");
        assert_eq!(
            all(&["53:53/udp", "127.0.0.1:1:2", "1:2"]),
            "0.0.0.0:1->2/tcp, 127.0.0.1:1->2/tcp, 0.0.0.0:53->53/udp"
        );
        assert_eq!(all(&[]), "");
    }
}
