//! The words of `--sysctl`: settings of the kernel that each container has of its own.

use anyhow::{Result, bail};
use layerfs_runtime::spec::{Network, Sysctl, Users};

use super::network::Mode;

/// Of the IPC namespace (`ipc_namespaces(7)`); others of the kernel's are the host's.
const OF_IPC: [&str; 11] = [
    "kernel.auto_msgmni",
    "kernel.msg_next_id",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shm_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// What every network of a container's own has, as docker's: who is not root there may listen on any port, and ask by ICMP
/// whether somebody is there. All groups that it can have.
const USUAL: [(&str, &str); 2] =
    [("net/ipv4/ip_unprivileged_port_start", "0"), ("net/ipv4/ping_group_range", "0 LAST")];

/// The settings that were asked for, after those that are usual in such a network.
pub fn with_usual(asked: &[Sysctl], network: &Network, users: Users) -> Vec<Sysctl> {
    let usual = match network {
        Network::None | Network::Bridge(_) | Network::Helped(_) => &USUAL[..],
        Network::Host | Network::Joined => &[],
    };
    // Only groups that there are may be named.
    let last = users.count().map_or(u32::from(u16::MAX), |count| count - 1).min(u16::MAX.into());
    let usual = usual.iter().map(|(path, value)| Sysctl {
        path: (*path).to_owned(),
        value: value.replace("LAST", &last.to_string()),
    });
    usual.chain(asked.iter().cloned()).collect()
}

/// Reads `NAME=VALUE`. A setting of the host's is refused.
pub fn read(said: &str, network: &Mode) -> Result<Sysctl> {
    let Some((name, value)) = said.split_once('=') else {
        bail!("--sysctl `{said}`: write NAME=VALUE, such as net.ipv4.ip_forward=1");
    };
    // Either way of writing it, as sysctl(8) takes both; in the one a dot of a name is a slash of the other.
    let first = name.find(['.', '/']).map(|at| &name[at..=at]);
    let path = if first == Some(".") {
        name.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    } else {
        name.to_owned()
    };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        bail!("--sysctl `{said}`: `{name}` is no name of a setting");
    }
    let dotted = path.replace('/', ".");
    let is_of_network = dotted.starts_with("net.");
    if is_of_network && !network.is_own() {
        match network {
            Mode::Host => {
                bail!("--sysctl `{said}`: with --network host it would change the host's")
            }
            other => bail!(
                "--sysctl `{said}`: with --network {} it would change that of others",
                other.word()
            ),
        }
    }
    let is_own = OF_IPC.contains(&dotted.as_str())
        || dotted == "kernel.shm_rmid_forced"
        || dotted.starts_with("fs.mqueue.")
        || is_of_network;
    if !is_own {
        bail!(
            "--sysctl `{said}`: no container has that of its own; there are net.*, fs.mqueue.*, kernel.shm*, kernel.msg* and kernel.sem"
        );
    }
    Ok(Sysctl { path, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_by_dots_or_by_slashes() {
        for (said, path) in [
            ("net.ipv4.ip_forward=1", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward=1", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding=1", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding=1", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shmmax=1", "kernel/shmmax"),
        ] {
            let expected = Sysctl { path: path.into(), value: "1".into() };
            assert_eq!(read(said, &Mode::None).unwrap(), expected, "{said}");
        }
        assert_eq!(read("kernel.sem=1 2 3=4", &Mode::Host).unwrap().value, "1 2 3=4");
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        for (said, network, told) in [
            ("kernel.hostname=x", &Mode::None, "no container has that of its own"),
            ("vm.swappiness=1", &Mode::None, "no container has that of its own"),
            ("net.core.somaxconn=1", &Mode::Host, "would change the host's"),
            ("net.core.somaxconn", &Mode::None, "write NAME=VALUE"),
            ("net/../kernel/core_pattern=|x", &Mode::None, "no name of a setting"),
            ("net.=1", &Mode::None, "no name of a setting"),
        ] {
            let error = read(said, network).unwrap_err().to_string();
            assert!(error.contains(told), "{said}: {error}");
        }
    }
}
