//! The words of `layerfs run` about the network, and what they ask for together.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_runtime::network::{NetworkError, program};
use serde::{Deserialize, Serialize};

use super::mode::{Asked, Mode};
use super::ports::{self, Publish, Transport};
use super::programs;
use crate::output::message;

/// The words about the network.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkArgs {
    /// Which network it sees: `bridge`, `none`, `host`, `container:NAME` or `ns:PATH`, for who is not root `pasta` or
    /// `slirp4netns`; the default is `bridge`, for who is not root the first of these programs that is there, else `none`
    #[arg(long, visible_alias = "net", value_name = "NETWORK", env = "LAYERFS_NETWORK")]
    pub network: Option<String>,
    /// Let a port of the host's lead to one of the container's
    #[arg(short, long, value_name = "[IP:][HOST:]PORT[/udp]")]
    pub publish: Vec<String>,
    /// The same for every port that the image names, each from one of the host's that is free
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Ask this server for names
    #[arg(long, value_name = "IP")]
    pub dns: Vec<String>,
    /// Look for short names in this domain; `.` for none
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Set an option of resolv.conf(5)
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Add a line to /etc/hosts; `host-gateway` stands for the host's address on the bridge
    #[arg(long, value_name = "NAME:IP")]
    pub add_host: Vec<String>,
    /// Whether `network` was found where nothing was said, and is to be done without where it can't be had.
    #[arg(skip)]
    pub is_found: bool,
}

/// What is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Which network.
    pub mode: Mode,
    /// Which ports of the host's lead there.
    pub ports: Vec<Publish>,
    /// Who is asked for names.
    pub dns: Dns,
    /// Lines of `/etc/hosts`.
    pub hosts: Vec<(String, Host)>,
}

/// Who is asked for names, and how; where nothing is said, the host's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Servers.
    pub servers: Vec<IpAddr>,
    /// Domains of short names.
    pub search: Vec<String>,
    /// Options of `resolv.conf(5)`.
    pub options: Vec<String>,
}

impl Dns {
    /// The same with a server, where none was said.
    pub fn or_server(&self, server: Ipv4Addr) -> Dns {
        let mut dns = self.clone();
        if dns.servers.is_empty() {
            dns.servers.push(server.into());
        }
        dns
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// The host, as the container reaches it.
    Gateway,
}

impl NetworkArgs {
    /// Understands the words. `exposed` is what the image names, `hostname` whether one was given.
    pub fn wanted(
        &self,
        store: &Store,
        exposed: &[String],
        hostname: Option<&str>,
    ) -> Result<Wanted> {
        let mut mode = Mode::read(self.network.as_deref(), store)?;
        mode = match host::rights()? {
            Rights::Root => of_root(mode)?,
            Rights::User | Rights::Namespace(_) => self.of_users(mode)?,
        };
        let mut ports =
            self.publish.iter().map(|said| ports::read(said)).collect::<Result<Vec<_>>>()?.concat();
        if self.publish_all {
            ports.extend(
                exposed.iter().filter_map(|port| of_image(port, &ports)).collect::<Vec<_>>(),
            );
        }
        self.refuse_of_others(&mode, hostname)?;
        match mode {
            Mode::None if !ports.is_empty() => {
                bail!(
                    "--publish: --network none has nothing that a port could lead to; leave one of them out"
                )
            }
            Mode::Host if !ports.is_empty() => {
                message::say(
                    "--publish says nothing with --network host: its ports are the host's own",
                );
                ports.clear();
            }
            Mode::Namespace(..) if !ports.is_empty() => bail!(
                "--publish: who made the network of --network ns: leads ports there; give --network bridge"
            ),
            Mode::Bridge(Asked::ByDefault) if !ports.is_empty() => {
                mode = Mode::Bridge(Asked::ByName)
            }
            Mode::Helped(kind, Asked::ByDefault) if !ports.is_empty() => {
                mode = Mode::Helped(kind, Asked::ByName)
            }
            _ => {}
        }
        if matches!(mode, Mode::Bridge(Asked::ByName)) && program().is_none() {
            return Err(NetworkError::NoNft.into());
        }
        Ok(Wanted { mode, ports, dns: self.dns()?, hosts: self.hosts()? })
    }

    /// Which network a container of a user has who is not root, and can change nothing of the host's.
    fn of_users(&self, mode: Mode) -> Result<Mode> {
        match mode {
            Mode::Bridge(Asked::ByName) => bail!(
                "--network bridge: root alone makes a bridge; give --network pasta, slirp4netns, host or none, or run as root"
            ),
            Mode::Container(_) | Mode::Namespace(..) => bail!(
                "--network `{}`: root alone joins a network that is there; give --network pasta, slirp4netns, host or none, or run \
                 as root",
                self.network.as_deref().unwrap_or_default()
            ),
            Mode::Bridge(Asked::ByDefault) => match programs::usual() {
                Ok(kind) => Ok(Mode::Helped(kind, Asked::ByDefault)),
                Err(why) if self.publish_all || !self.publish.is_empty() => Err(why
                    .context("--publish: the container has no network that a port could lead to")),
                Err(why) => {
                    say_none(format_args!("{why:#}"));
                    Ok(Mode::None)
                }
            },
            Mode::Helped(kind, _) if self.is_found => match programs::find(kind) {
                Ok(_) => Ok(Mode::Helped(kind, Asked::ByDefault)),
                Err(_) => {
                    say_none(format_args!("the program `{}` is not in PATH any more", kind.name()));
                    Ok(Mode::None)
                }
            },
            Mode::Helped(kind, asked) => {
                Ok(programs::find(kind).map(|_| Mode::Helped(kind, asked))?)
            }
            Mode::None | Mode::Host => Ok(mode),
        }
    }

    /// The same words for who starts the container later: a container by its id, and nothing that was said to mean nothing.
    pub fn make_lasting(&mut self, wanted: &Wanted) {
        self.is_found = matches!(wanted.mode, Mode::Helped(_, Asked::ByDefault));
        match &wanted.mode {
            Mode::Container(_) => self.network = Some(wanted.mode.word()),
            Mode::Host => self.publish.clear(),
            // Also where nothing was said: what there is has been found, or told not to be.
            Mode::None | Mode::Helped(..) => self.network = Some(wanted.mode.word()),
            Mode::Bridge(_) | Mode::Namespace(..) => {}
        }
    }

    /// What docker refuses together with a container's network, since it is that one's.
    fn refuse_of_others(&self, mode: &Mode, hostname: Option<&str>) -> Result<()> {
        let Mode::Container(_) = mode else { return Ok(()) };
        for (word, said) in [
            ("--hostname", hostname.is_some()),
            ("--publish", !self.publish.is_empty() || self.publish_all),
            (
                "--dns",
                !(self.dns.is_empty() && self.dns_search.is_empty() && self.dns_option.is_empty()),
            ),
            ("--add-host", !self.add_host.is_empty()),
        ] {
            if said {
                bail!(
                    "{word}: with --network container: it is that container's; leave one of them out"
                );
            }
        }
        Ok(())
    }

    fn dns(&self) -> Result<Dns> {
        let server = |word: &String| {
            word.parse().ok().with_context(|| format!("--dns `{word}`: that is no address"))
        };
        let one_word = |option: &str, words: &[String]| -> Result<Vec<String>> {
            match words.iter().find(|word| word.is_empty() || word.contains(char::is_whitespace)) {
                Some(word) => bail!("{option} `{}`: give one word", word.escape_debug()),
                None => Ok(words.to_vec()),
            }
        };
        Ok(Dns {
            servers: self.dns.iter().map(server).collect::<Result<_>>()?,
            search: one_word("--dns-search", &self.dns_search)?,
            options: one_word("--dns-option", &self.dns_option)?,
        })
    }

    fn hosts(&self) -> Result<Vec<(String, Host)>> {
        self.add_host
            .iter()
            .map(|said| host(said).with_context(|| format!("--add-host `{said}`")))
            .collect()
    }
}

/// Says that a container has no network which nobody asked for.
pub fn say_none(why: impl std::fmt::Display) {
    message::say(format_args!(
        "the container has no network: {why}; --network host gives it the host's, --network none does without"
    ));
}

/// Root's containers have a bridge, and no users who could lead anything out of their network.
fn of_root(mode: Mode) -> Result<Mode> {
    match mode {
        Mode::Helped(kind, _) => bail!(
            "--network {}: that is for containers of users who are not root; give --network bridge",
            kind.name()
        ),
        mode => Ok(mode),
    }
}

/// `NAME:IP`, or `NAME=IP`.
fn host(said: &str) -> Result<(String, Host)> {
    let at = said.find(['=', ':']).context("write NAME:IP")?;
    let (name, address) = (&said[..at], said[at + 1..].trim_matches(['[', ']']));
    if name.is_empty() || name.contains(char::is_whitespace) || name.contains('#') {
        bail!("`{}` is no name of a host", name.escape_debug());
    }
    let host = match address {
        "host-gateway" => Host::Gateway,
        address => Host::Address(
            address
                .parse()
                .ok()
                .with_context(|| format!("`{address}` is no address, nor host-gateway"))?,
        ),
    };
    Ok((name.to_owned(), host))
}

/// A port that an image names, unless it is published already.
fn of_image(port: &str, ports: &[Publish]) -> Option<Publish> {
    let (number, transport) = match port.split_once('/') {
        Some((number, "udp")) => (number, Transport::Udp),
        Some((number, "tcp")) => (number, Transport::Tcp),
        Some(_) => return None,
        None => (port, Transport::Tcp),
    };
    let port = number.parse().ok().filter(|port| *port > 0)?;
    let is_there = ports.iter().any(|it| (it.port, it.transport) == (port, transport));
    let publish = Publish { host_ip: Ipv4Addr::UNSPECIFIED, host_port: 0, port, transport };
    (!is_there).then_some(publish)
}
