//! `layerfs port`: where the published ports of a container are reached.

use anyhow::{Result, bail};
use clap::Args;

use super::network::ports::{Publish, Transport, word};
use super::network::shown::lease_of;
use super::shown::Doing;
use super::sweep::sweep;
use crate::output::Results;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs port web                    80/tcp -> 0.0.0.0:8080
  layerfs port web 80                 0.0.0.0:8080
  layerfs port web 53/udp

A container that does not run has none.";

/// The words of `layerfs port`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct PortArgs {
    /// Its name, id, or the beginning of that
    container: String,
    /// Only that port of the container; tcp where nothing is said
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

/// Tells where they are reached.
pub fn run(args: &PortArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let asked = args.port.as_deref().map(read).transpose()?;
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let container = store.find_container(&args.container)?;
    let lease = lease_of(session.roots().run.as_deref(), &container);
    let mut ports = lease.map_or_else(Vec::new, |lease| lease.ports);
    ports.sort_by_key(|it| (it.port, it.transport, it.host_ip, it.host_port));
    let Some((port, transport)) = asked else {
        for port in &ports {
            results.line(format!("{} -> {}", port.inside(), port.host()))?;
        }
        return Ok(Outcome::Done);
    };
    let is_meant = |it: &&Publish| (it.port, it.transport) == (port, transport);
    let found: Vec<&Publish> = ports.iter().filter(is_meant).collect();
    if found.is_empty() {
        let mut has: Vec<String> = ports.iter().map(Publish::inside).collect();
        has.dedup();
        let has = match (Doing::of(&container), &has[..]) {
            (Doing::Running { .. }, []) => "none of it is".to_owned(),
            (Doing::Running { .. }, [one]) => format!("{one} is"),
            (Doing::Running { .. }, several) => format!("{} are", several.join(", ")),
            _ => "it does not run".to_owned(),
        };
        let asked = format!("{port}/{}", word(transport));
        bail!("container `{}`: port {asked} is not published; {has}", container.name);
    }
    found.into_iter().try_for_each(|it| results.line(it.host()))?;
    Ok(Outcome::Done)
}

/// Reads `PORT[/PROTOCOL]`.
fn read(said: &str) -> Result<(u16, Transport)> {
    let (port, transport) = match said.split_once('/') {
        None => (said, Some(Transport::Tcp)),
        Some((port, "tcp")) => (port, Some(Transport::Tcp)),
        Some((port, "udp")) => (port, Some(Transport::Udp)),
        Some((port, _)) => (port, None),
    };
    match (port.parse::<u16>(), transport) {
        (Ok(port @ 1..), Some(transport)) => Ok((port, transport)),
        _ => {
            let told = format!("`{said}` is no port: write one such as 80, 80/tcp or 53/udp");
            Err(Misused::of(told).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_said_with_its_protocol_or_without() {
        assert_eq!(read("80").unwrap(), (80, Transport::Tcp));
        assert_eq!(read("80/tcp").unwrap(), (80, Transport::Tcp));
        assert_eq!(read("53/udp").unwrap(), (53, Transport::Udp));
        for said in ["", "0", "65536", "80/", "80/sctp", "/udp", "-1", "80/tcp/udp", "80:81"] {
            let error = read(said).unwrap_err();
            assert!(error.is::<Misused>() && error.to_string().contains(said), "{said}: {error}");
        }
    }
}
