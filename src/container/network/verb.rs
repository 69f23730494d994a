//! `layerfs network`: the networks that a container can be given by name. Nobody makes or removes one: a bridge is there while
//! containers have it.

use anyhow::Result;
use clap::{Args, Subcommand};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_runtime::network::Subnet;
use layerfs_runtime::network::programs as its;
use serde_json::{Map, Value, json};

use super::leases::Leases;
use super::{programs, site};
use crate::output::template::Format;
use crate::output::{Results, Table, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs network ls
  layerfs network inspect bridge
  layerfs run --rm --network none debian:bookworm true

`run --network` takes these names, and container:NAME and ns:PATH besides. The bridge is made with the first container that has it, and \
goes with the last.";

/// Letters of an id that are shown.
const SHORT_LEN: usize = 12;

/// The words of `layerfs network`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct NetworkVerbArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the networks that containers can have
    #[command(visible_alias = "list")]
    Ls {
        /// Print only ids
        #[arg(short, long)]
        quiet: bool,
        /// Print whole ids
        #[arg(long)]
        no_trunc: bool,
        /// Print a line of each, such as '{{.Name}}', or `json`
        #[arg(long, value_name = "TEMPLATE", conflicts_with = "quiet")]
        format: Option<String>,
        /// Print one JSON array
        #[arg(long, conflicts_with_all = ["quiet", "format"])]
        json: bool,
    },
    /// Show all that is known of networks, as JSON
    Inspect {
        /// Print a line of each, such as '{{.Driver}}', or `json`
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Their names, ids, or beginnings of ids
        #[arg(value_name = "NETWORK", required = true)]
        networks: Vec<String>,
    },
}

/// A network by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    name: &'static str,
    /// Docker's word for what makes it.
    driver: &'static str,
}

impl Named {
    /// Always the same for a name: nobody makes a second one of it.
    fn id(self) -> String {
        Digest::of(format!("layerfs network {}", self.name).as_bytes()).hex()
    }
}

/// Does what was said.
pub fn run(args: &NetworkVerbArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    match &args.verb {
        Verb::Ls { quiet, no_trunc, format, json } => {
            let id = |named: Named| match no_trunc {
                true => named.id(),
                false => named.id().split_at(SHORT_LEN).0.to_owned(),
            };
            let all = all()?;
            if let Some(format) = Format::asked(format.as_deref())? {
                let row = |named: &Named| json!({"ID": id(*named), "Name": named.name, "Driver": named.driver, "Scope": "local"});
                format.print(&all.iter().map(row).collect::<Vec<_>>(), results)?;
            } else if *json {
                let row = |named: &Named| json!({"id": named.id(), "name": named.name, "driver": named.driver, "scope": "local"});
                results.json(&all.iter().map(row).collect::<Vec<_>>())?;
            } else if *quiet {
                all.iter().try_for_each(|named| results.line(id(*named)))?;
            } else {
                let mut table = Table::new(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
                for named in all {
                    table.row([id(named), named.name.into(), named.driver.into(), "local".into()]);
                }
                results.table(&table)?;
            }
            Ok(Outcome::Done)
        }
        Verb::Inspect { format, networks } => {
            let format = Format::asked(format.as_deref())?;
            inspect(networks, format, session, results)
        }
    }
}

/// Those that this user's containers can have, by name.
fn all() -> Result<Vec<Named>> {
    let named = |name, driver| Named { name, driver };
    let mut all = vec![named("host", "host"), named("none", "null")];
    match host::rights()? {
        Rights::Root => all.insert(0, named("bridge", "bridge")),
        Rights::User | Rights::Namespace(_) => {
            let found = programs::found().into_iter();
            all.extend(found.map(|kind| named(kind.name(), kind.name())));
        }
    }
    Ok(all)
}

fn inspect(
    words: &[String],
    format: Option<Format>,
    session: &Session,
    results: &mut Results,
) -> Result<Outcome> {
    let (all, mut found, mut outcome) = (all()?, Vec::new(), Outcome::Done);
    for word in words {
        let by_name = all.iter().find(|named| named.name == word);
        let by_id = || all.iter().find(|named| !word.is_empty() && named.id().starts_with(word));
        match by_name.or_else(by_id) {
            Some(named) => found.push(shown(*named, session)?),
            None => {
                message::say(format_args!(
                    "no network `{word}`; `layerfs network ls` lists those that there are"
                ));
                outcome = Outcome::SomeFailed;
            }
        }
    }
    match format {
        Some(format) => format.print(&found, results)?,
        None => results.json(&found)?,
    }
    Ok(outcome)
}

/// Docker's keys. A bridge has a range while it is there, and a program always the same one.
fn shown(named: Named, session: &Session) -> Result<Value> {
    let range = |subnet: Subnet, gateway: std::net::Ipv4Addr| json!([{"Subnet": subnet.to_string(), "Gateway": gateway.to_string()}]);
    let (mut ranges, mut options, mut containers) = (json!([]), json!({}), Map::new());
    match (named.driver, &session.roots().run) {
        ("bridge", Some(run)) => {
            if let Some(leases) = Leases::hold_if_there(run)?
                && let Some(site) = site::find(leases.run())?
            {
                ranges = range(site.subnet, site.gateway);
                options = json!({
                    "com.docker.network.bridge.name": site.bridge,
                    "com.docker.network.driver.mtu": site.mtu.to_string(),
                });
                for lease in leases.living()? {
                    let address = format!("{}/{}", lease.address, lease.prefix_len);
                    containers
                        .insert(lease.id, json!({"Name": lease.name, "IPv4Address": address}));
                }
            }
        }
        ("bridge" | "host" | "null", _) => {}
        _ => ranges = range(Subnet::of(its::ADDRESS, its::PREFIX_LEN), its::GATEWAY),
    }
    Ok(json!({
        "Name": named.name,
        "Id": named.id(),
        "Driver": named.driver,
        "Scope": "local",
        "IPAM": {"Config": ranges},
        "Options": options,
        "Containers": containers,
    }))
}
