//! The rules of the packet filter, in the language of `nft`: a pure function of who has which address and which port.

use std::fmt::Write;

use super::lease::Lease;
use super::ports::{Publish, word};
use super::site::Site;

/// All rules of a bridge. The table is declared first, so that there is one to empty: `nft` does all of it or nothing.
///
/// - Nothing that comes from a container reaches the host's loopback, which is reached from the bridge (`route_localnet`) so
///   that a published port can be reached from there.
/// - From elsewhere a container is reached by its published ports alone, also by who routes to its address.
/// - What leaves a container for elsewhere has the host's address. So has what came for a published port and turns back to
///   the bridge: from the host's loopback, or from a container of the same bridge.
pub fn text(site: &Site, leases: &[Lease]) -> String {
    let (table, bridge, subnet) = (&site.table, &site.bridge, site.subnet);
    let mut text = String::new();
    let published: String = leases
        .iter()
        .flat_map(|lease| lease.ports.iter().map(move |port| rule(lease, port)))
        .collect();
    let written = write!(
        text,
        r#"table inet {table} {{ }}
flush table inet {table}
table inet {table} {{
 chain published {{
{published} }}
 chain loopback {{
  type filter hook prerouting priority -300; policy accept;
  iifname != "lo" ip daddr 127.0.0.0/8 drop
 }}
 chain from_outside {{
  type nat hook prerouting priority -100; policy accept;
  fib daddr type local jump published
 }}
 chain from_host {{
  type nat hook output priority -100; policy accept;
  fib daddr type local jump published
 }}
 chain forward {{
  type filter hook forward priority 0; policy accept;
  oifname != "{bridge}" accept
  iifname "{bridge}" accept
  ct state established,related accept
  ct status dnat accept
  drop
 }}
 chain leave {{
  type nat hook postrouting priority 100; policy accept;
  ip saddr {subnet} oifname != "{bridge}" masquerade
  ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
  ip saddr {subnet} ip daddr {subnet} oifname "{bridge}" ct status dnat masquerade
 }}
}}
"#
    );
    written.map_or_else(|_| String::new(), |()| text)
}

fn rule(lease: &Lease, port: &Publish) -> String {
    let at = match port.host_ip.is_unspecified() {
        true => String::new(),
        false => format!("ip daddr {} ", port.host_ip),
    };
    let (kind, address) = (word(port.transport), lease.address);
    format!("  {at}{kind} dport {} dnat ip to {address}:{}\n", port.host_port, port.port)
}
