//! Nothing is left, however many there are and however they end.

use std::collections::BTreeSet;

use crate::cycle::cycle;
use crate::host::{Host, OUTSIDE};
use crate::support::{figure, need, need_root, soak};

const READY: [&str; 3] = ["sh", "-c", "echo ready; exec sleep 600"];

#[test]
fn what_a_killed_command_left_the_next_one_clears() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    for clearing in [
        &["gc"][..],
        &["rm", "-f", "no-such"],
        &["run", "--rm", "--network", "none", "--rootfs", "/", "true"],
    ] {
        let mut web = host.start(&["-p", "8080:80"], &READY);
        let mut other = host.start(&[], &READY);
        web.kill();
        let left = host.left();
        assert!(left.contains("layerfs0") && left.contains("inet layerfs"), "{left}");
        assert_eq!(host.layerfs(clearing).status, 0, "{clearing:?}");
        // The other one has its own still.
        let rules = host.sh("PATH=$PATH:/usr/sbin nft list table inet layerfs");
        assert!(!rules.contains("8080"), "{rules}");
        assert_eq!(
            host.left().lines().filter(|line| line.contains("lf")).count(),
            1,
            "{}",
            host.left()
        );
        other.kill();
        assert_eq!(host.layerfs(clearing).status, 0, "{clearing:?}");
        host.assert_nothing_left();
    }
}

#[test]
fn containers_on_a_bridge_in_every_way_one_after_the_other_leave_nothing() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let (count, seconds) = if soak() { (1000, 3600) } else { (20, 600) };
    let host = Host::lasting(seconds);
    for number in 0..count {
        cycle(&|words| host.command(words), &["-p", "8080:80"], number);
    }
    // What the last one that was killed left goes with the next.
    assert_eq!(host.script(&[], "echo ran").said(), "ran\n");
    figure(format_args!("containers on a bridge: {count}"));
    host.assert_nothing_left();
}

#[test]
fn twenty_that_are_started_at_once_have_twenty_addresses() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let said: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            let script = "ip -4 -o addr show eth0 | awk '{print $4}'; read -r _";
            let mut command =
                host.command(&["run", "--rm", "-i", "--rootfs", "/", "sh", "-c", script]);
            let mut child = command
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            (child, line)
        };
        let all: Vec<_> = (0..20).map(|_| scope.spawn(one)).collect();
        // All of them are there before the first one ends.
        let going: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(host.sh("ip -o link show master layerfs0 | wc -l"), "20");
        going
            .into_iter()
            .map(|(mut child, line)| {
                drop(child.stdin.take());
                child.wait().unwrap();
                line
            })
            .collect()
    });
    let different: BTreeSet<_> = said.iter().filter(|line| line.starts_with("10.80.0.")).collect();
    assert_eq!(different.len(), 20, "{said:?}");
    host.assert_nothing_left();
}

/// Others may still believe that an address is who had it before.
#[test]
fn an_address_comes_back_after_all_others_were_given() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let given = || {
        let said = host.script(&[], "ip -4 -o addr show eth0 | awk '{print $4}'").said();
        said.trim().strip_suffix("/22").unwrap().to_owned()
    };
    assert_eq!([given(), given()], ["10.80.0.2", "10.80.0.3"]);
    let mut web = host.start(&[], &READY);
    assert_eq!(given(), "10.80.0.5");
    // As if it had been the turn of all but one.
    std::fs::write(host.place.join("run/network/last"), "10.80.3.253").unwrap();
    let turn = ["10.80.3.254", "10.80.0.2", "10.80.0.3", "10.80.0.5"];
    assert_eq!([given(), given(), given(), given()], turn);
    // What is no address says nothing.
    for none in ["10.80", "10.80.3.253, which is one of ours"] {
        std::fs::write(host.place.join("run/network/last"), none).unwrap();
        assert_eq!(given(), "10.80.0.2", "{none}");
    }
    web.end();
    host.assert_nothing_left();
}

/// More than one message to the kernel says at once.
#[test]
fn all_connections_of_a_container_that_has_ended_are_forgotten() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "python3");
    let host = Host::new();
    let sends = format!(
        "import signal, socket
for port in range(20000, 20300):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', port))
    s.sendto(b'x', ('{OUTSIDE}', 9))
print('ready', flush=True)
signal.pause()"
    );
    let tracked = || host.sh("grep -c 'src=10.80.0.2 ' /proc/net/nf_conntrack || true");
    let mut sender = host.start(&[], &["python3", "-c", &sends]);
    assert!(tracked().trim().parse::<u32>().unwrap() >= 300, "{}", tracked());
    sender.end();
    assert_eq!(tracked().trim(), "0");
    host.assert_nothing_left();
}

/// The list of rules is the user's own to empty.
#[test]
fn rules_and_links_that_somebody_took_away_are_no_hindrance() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let mut web = host.start(&["-p", "8080:80"], &READY);
    // All of them, and those of our table alone, which is there still.
    for flushed in ["ruleset", "table inet layerfs"] {
        host.sh(&format!("PATH=$PATH:/usr/sbin nft flush {flushed}"));
        assert_eq!(host.script(&[], "echo ran").said(), "ran\n");
        let table = host.sh("PATH=$PATH:/usr/sbin nft list table inet layerfs");
        assert!(table.contains("dport 8080"), "{flushed}: {table}");
    }
    host.sh("ip link del layerfs0");
    web.end();
    host.assert_nothing_left();
}

/// To write them takes longer than all else of a start.
#[test]
fn rules_that_nobody_has_changed_are_not_written_again() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare");
    let host = Host::new();
    let mut web = host.start(&["-p", "8080:80"], &READY);
    // Rules that are written get new handles.
    let rules = || host.sh("PATH=$PATH:/usr/sbin nft -a list table inet layerfs");
    let first = rules();
    for _ in 0..2 {
        assert_eq!(host.script(&[], "echo ran").said(), "ran\n");
        assert_eq!(rules(), first);
    }
    // Whose change it was nobody knows.
    host.sh("PATH=$PATH:/usr/sbin nft add table inet others");
    assert_eq!(host.script(&[], "echo ran").said(), "ran\n");
    let second = rules();
    assert_ne!(second, first);
    assert_eq!(host.script(&[], "echo ran").said(), "ran\n");
    assert_eq!(rules(), second);
    // What a container publishes is said, and taken back.
    let mut other = host.start(&["-p", "8081:80"], &READY);
    assert!(rules().contains("dport 8081"));
    other.end();
    assert!(!rules().contains("dport 8081"));
    host.sh("PATH=$PATH:/usr/sbin nft delete table inet others");
    web.end();
    host.assert_nothing_left();
}

#[test]
fn without_nft_there_is_no_bridge_and_the_default_is_none() {
    need_root!();
    need!("nft", "ip", "nsenter", "unshare", "mount");
    let host = Host::new();
    let hidden_from = |words: &[&str]| {
        let mut plain = host.command(words);
        let mut hidden = std::process::Command::new("unshare");
        hidden.args([
            "-m",
            "sh",
            "-c",
            "mount --bind /dev/null \"$(readlink -f /usr/sbin/nft)\" && exec \"$@\"",
            "sh",
        ]);
        hidden.arg(plain.get_program()).args(plain.get_args()).stdin(std::process::Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => hidden.env(name, value),
                None => hidden.env_remove(name),
            };
        }
        plain.stdin(std::process::Stdio::null());
        crate::place::ran(hidden.output().unwrap())
    };
    let run = |options: &[&str]| {
        let last = ["--rootfs", "/", "ls", "/sys/class/net"];
        hidden_from(&[&["run", "--rm"], options, &last[..]].concat())
    };
    let line = |said: &str| said.lines().find(|line| line.contains(" nft ")).unwrap().to_owned();
    let told = line(&hidden_from(&["check"]).out);
    assert!(told.starts_with("missing") && told.contains("apt-get install nftables"), "{told}");
    let told = line(&host.layerfs(&["check"]).out);
    assert!(told.starts_with("ok") && told.ends_with("/nft"), "{told}");
    let usual = run(&[]);
    assert_eq!((usual.status, usual.out.as_str()), (0, "lo\n"), "{usual:?}");
    assert_eq!(usual.err.lines().count(), 1, "{usual:?}");
    assert!(usual.err.contains("package nftables"), "{usual:?}");
    for options in [&["--network", "bridge"], &["-p", "8080:80"]] {
        let asked = run(options);
        assert_eq!((asked.status, asked.out.as_str()), (125, ""), "{asked:?}");
        assert!(asked.err.contains("install the package nftables"), "{asked:?}");
    }
    host.assert_nothing_left();
}
