//! Networks of containers of a user who is not root, by pasta and by slirp4netns. A network of its own plays the host.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Ground;
use crate::containers::ground_with_image;
use crate::host::{ASK, HOST, Host, OUTSIDE, SERVE, SERVE_UDP};
use crate::support::rights;
use crate::support::user::{self, Who};

const PROGRAMS: [&str; 2] = ["pasta", "slirp4netns"];

/// Shell functions: how many of these programs run here, and that number once it is 0 or half a minute is over.
const COUNT: &str = "running() { pgrep -c '^pass?t|^slirp'; };
    gone() { SECONDS=0; while pgrep -f '^sleep 98763|^layerfs .*(serve|supervise) ' >/dev/null && [ $SECONDS -lt 30 ]; do :; done; };
    none() { SECONDS=0; while [ \"$(running)\" != 0 ] && [ $SECONDS -lt 30 ]; do :; done; running; };
    left() { ls run/layerfs/network 2>/dev/null | grep -v '^lock$'; ls run/layerfs | grep slirp-; ls share/layerfs/containers; };";

/// Serves on the host's loopback alone.
const SERVE_LOOPBACK: &str = "
import socket, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('ready', flush=True)
while True:
    c, a = s.accept()
    c.sendall(b'loopback sees it\\n')
    c.close()
";

/// Serves one line to each caller who says something first: whom it sees.
const SERVE_WHO_ASKS: &str = "
import socket, sys
s = socket.create_server(('', int(sys.argv[1])))
print('ready', flush=True)
while True:
    c, a = s.accept()
    if c.recv(1):
        c.sendall(('web sees %s\\n' % a[0]).encode())
    c.close()
";

/// Asks it by TCP.
const SAY_AND_ASK: &str = "
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.sendall(b'x')
    print(s.recv(99).decode().strip())
except OSError as e:
    print('no answer:', type(e).__name__)
";

/// A server of names on the host's loopback: all are 192.0.2.77.
const NAMES: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 53))
print('ready', flush=True)
while True:
    q, a = s.recvfrom(512)
    end = q.index(b'\\0', 12) + 5
    answer = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4' + bytes([192, 0, 2, 77])
    answer = answer if q[end - 4:end - 2] == b'\\0\\1' else b''
    count = bytes([0, 1 if answer else 0])
    s.sendto(q[:2] + b'\\x81\\x80' + q[4:6] + count + b'\\0\\0\\0\\0' + q[12:end] + answer, a)
";

/// A user on a host with a way out, who has an image called `box`.
struct Lan {
    ground: Ground,
    host: Host,
}

impl Lan {
    fn new() -> Option<Lan> {
        let programs = ["pasta", "slirp4netns", "ip", "nsenter", "python3", "pgrep"];
        let ground = rights::have(&programs).then(ground_with_image).flatten()?;
        let lan = Lan { ground, host: Host::new() };
        std::fs::create_dir(lan.ground.path().join("py")).unwrap();
        for (name, text) in [("serve", SERVE_WHO_ASKS), ("serve_udp", SERVE_UDP), ("ask", ASK)] {
            std::fs::write(lan.ground.path().join("py").join(name), text).unwrap();
        }
        std::fs::write(lan.ground.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        Some(lan)
    }

    /// A script of the user's on the host, whose server of names is on its loopback.
    fn command(&self, script: &str) -> Command {
        let script = format!("exec 2>&1; {COUNT} {script}");
        let plain = user::command(Who::User, self.ground.path(), &["bash", "-c", &script]);
        let mut command = self.host.enter();
        command.args(["unshare", "-m", "--propagation", "private", "sh", "-c"]);
        command.arg("mount --bind \"$0\" \"$(readlink -f /etc/resolv.conf)\" && exec \"$@\"");
        command.arg(self.ground.path().join("resolv.conf"));
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// What such a script says.
    #[track_caller]
    fn shell(&self, script: &str) -> String {
        let output = self.command(script).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same for one that says `on`, and goes on when it is let.
    fn start(&self, script: &str) -> Going {
        let mut command = self.command(&format!("{script}; echo on; read -r _; layerfs rm -f web"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut said, mut line) = (String::new(), String::new());
        while out.read_line(&mut line).unwrap() > 0 && line != "on\n" {
            said.push_str(&std::mem::take(&mut line));
        }
        assert_eq!(line, "on\n", "{said}");
        Going { child, out, said }
    }

    /// Nothing runs, and nothing is left of a container.
    fn assert_nothing_left(&self) {
        assert_eq!(self.shell("left"), "");
        self.ground.assert_nothing_left();
        self.host.assert_nothing_left();
    }
}

struct Going {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    said: String,
}

impl Going {
    fn end(mut self) {
        drop(self.child.stdin.take());
        let mut last = String::new();
        self.out.read_line(&mut last).unwrap();
        assert_eq!(last, "web\n");
        assert!(self.child.wait().unwrap().success());
    }
}

/// What a program says.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Options and a beginning by which a container of busybox alone has the host's python.
const PYTHON: (&str, &str) =
    ("-v /usr:/usr:ro -v $PWD/py:/py:ro", "/bin/ln -s usr/lib /lib; /bin/ln -s usr/lib64 /lib64;");

/// What a container of the user's says of its network, and what others say to it.
fn seen(lan: &Lan, options: &str, others: &[(&str, u16)]) -> String {
    let ask = |(address, port): &(&str, u16)| format!("python3 /py/ask tcp {address} {port}");
    let asks: Vec<String> = others.iter().map(ask).collect();
    let said = lan.shell(&format!(
        "layerfs run --rm {options} {} box /bin/sh -c '{} /bin/ip -4 -o addr show eth0 | tr -s \" \" | cut -d\" \" -f4; \
         tail -n 1 /etc/hosts | tr \"\\t\" \" \"; cat /etc/resolv.conf; {}'",
        PYTHON.0,
        PYTHON.1,
        asks.join("; ")
    ));
    let line = |line: &str| match line.split_once("sees ") {
        Some((_, whom)) => format!("sees {whom}\n"),
        None => format!("{}\n", line.split(':').next().unwrap()),
    };
    said.lines().map(line).collect()
}

#[test]
fn a_users_container_reaches_what_the_host_reaches_and_not_its_loopback() {
    let Some(lan) = Lan::new() else { return };
    let everywhere = lan.host.start_here(&["python3", "-c", SERVE, "8000"]);
    let loopback = lan.host.start_here(&["python3", "-c", SERVE_LOOPBACK, "8001"]);
    let outside = lan.host.start_outside(&["python3", "-c", SERVE, "8000"]);
    let others = [
        (HOST, 8000),
        (OUTSIDE, 8000),
        ("127.0.0.1", 8000),
        ("127.0.0.1", 8001),
        ("10.0.2.2", 8000),
        ("10.0.2.2", 8001),
        ("10.0.2.100", 8001),
        (HOST, 8001),
    ];
    for program in PROGRAMS {
        let said = seen(&lan, &format!("--hostname web --network {program}"), &others);
        let expected = format!(
            "10.0.2.100/24\n10.0.2.100 web\nnameserver 10.0.2.3\nsees {HOST}\nsees {HOST}\n{}",
            "no answer\n".repeat(6)
        );
        assert_eq!(said, expected, "{program}");
        assert_eq!(lan.shell("running"), "0\n", "{program}");
        lan.assert_nothing_left();
    }
    drop((everywhere, loopback, outside));
}

#[test]
fn without_a_word_a_users_container_has_the_program_that_is_there() {
    let Some(lan) = Lan::new() else { return };
    let server = lan.host.start_here(&["python3", "-c", SERVE, "8000"]);
    let path = "mkdir -p few; for name in bash grep ls tr newuidmap newgidmap SOME; do ln -sf $(command -v $name) few/; done; \
                export PATH=/mnt/bin:$PWD/few;";
    let told = "layerfs: the container has no network: neither pasta (package passt) nor slirp4netns is in PATH: install one; \
                --network host gives it the host's, --network none does without\n";
    let mode = format!(
        "echo $(layerfs network ls --format '{{{{.Name}}}}'); layerfs check | grep -o \"^[a-z]* *users' networks\" | tr -s ' '
         layerfs create --name web box true >/dev/null; layerfs ps -a --format '{{{{.Networks}}}}'; layerfs rm web; \
         layerfs run --rm {} box /bin/sh -c '{} python3 /py/ask tcp {HOST} 8000 | grep -o \"sees .*\"; ls /sys/class/net'",
        PYTHON.0, PYTHON.1
    );
    for (programs, expected) in [
        ("pasta slirp4netns", format!("ok users' networks\npasta\nweb\nsees {HOST}\neth0\nlo\n")),
        ("slirp4netns", format!("ok users' networks\nslirp4netns\nweb\nsees {HOST}\neth0\nlo\n")),
        ("", format!("missing users' networks\n{told}none\nweb\n{told}lo\n")),
    ] {
        let said = lan.shell(&format!("{} {mode}", path.replace("SOME", programs)));
        let names = format!("host none {programs}");
        assert_eq!(said, format!("{}\n{expected}", names.trim_end()), "{programs}");
        lan.ground.prepare("rm -r few");
    }
    // pasta takes over from a link that leads somewhere.
    lan.host.sh("ip route del default");
    let said = lan.shell(&mode);
    let names = "host none pasta slirp4netns";
    assert_eq!(
        said,
        format!("{names}\nok users' networks\nslirp4netns\nweb\nsees {HOST}\neth0\nlo\n")
    );
    drop(server);
    lan.assert_nothing_left();
}

#[test]
fn a_program_that_is_not_there_or_gives_no_network_is_told() {
    let Some(lan) = Lan::new() else { return };
    let few = "mkdir -p few; for name in bash ls newuidmap newgidmap; do ln -sf $(command -v $name) few/; done; \
               PATH=/mnt/bin:$PWD/few;";
    for (options, told) in [
        (
            "--network pasta",
            "the program `pasta` is not in PATH: install the package passt, or give --network none or host",
        ),
        (
            "--network slirp4netns",
            "the program `slirp4netns` is not in PATH: install the package slirp4netns, or give --network none or host",
        ),
        (
            "-p 8080:80",
            "--publish: the container has no network that a port could lead to: neither pasta (package passt) nor slirp4netns is in \
             PATH: install one",
        ),
    ] {
        let said = lan.shell(&format!("{few} layerfs run --rm {options} box true; echo $?"));
        assert_eq!(said, format!("layerfs: {told}\n125\n"), "{options}");
    }
    lan.ground.prepare("rm -r few");
    // Root has a bridge.
    for program in PROGRAMS {
        let refused = lan.host.script(&["--network", program], "true");
        let told = format!(
            "layerfs: --network {program}: that is for containers of users who are not root; give --network bridge\n"
        );
        assert_eq!((refused.status, refused.err), (125, told));
    }
    // There is nothing that it could take over from.
    lan.host.sh("ip route del default && ip link set up0 down");
    let said = lan.shell("layerfs run --rm --network pasta box true; echo $?; running");
    let [line, "125", "0"] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(line.starts_with("layerfs: pasta gives the container no network: "), "{line}");
    assert!(
        line.ends_with("; --network none does without, --network host gives it the host's"),
        "{line}"
    );
    lan.assert_nothing_left();
}

#[test]
fn a_default_network_that_fails_is_none_and_a_line_says_why() {
    let Some(lan) = Lan::new() else { return };
    let path = "mkdir -p few; printf '#!/bin/sh\\necho no link >&2; echo at all >&2; exit 1\\n' >few/pasta; chmod 755 few/pasta; \
                usual=$PATH; export PATH=$PWD/few:$PATH;";
    let none = "; --network host gives it the host's, --network none does without\n";
    let told = format!("layerfs: the container has no network: pasta: no link; at all{none}");
    let said = lan.shell(&format!(
        "{path} layerfs run --rm --hostname web box \
         sh -c 'ls /sys/class/net; tail -n 1 /etc/hosts | tr \"\\t\" \" \"; wc -c </etc/resolv.conf'; echo $?
         layerfs run --rm --dns 192.0.2.1 --add-host host:host-gateway box \
         sh -c 'cat /etc/resolv.conf; tail -n 1 /etc/hosts | tr \"\\t\" \" \"'"
    ));
    let dns = "nameserver 192.0.2.1\n127.0.0.1 host\n";
    assert_eq!(said, format!("{told}lo\n127.0.1.1 web\n0\n0\n{told}{dns}"));
    // Nobody is there to see what is said later: it is said before the command lets go.
    let said = lan.shell(&format!(
        "{path} layerfs run -d --name web box sleep 98763 | wc -c; running; layerfs ps --format '{{{{.Status}}}} {{{{.Networks}}}}' | sed 's/ .* / /'
         layerfs inspect --format '{{{{.HostConfig.NetworkMode}}}} x{{{{.NetworkSettings.IPAddress}}}}{{{{json .NetworkSettings.Networks}}}}' web | cut -d '\"' -f -2; layerfs rm -f web
         layerfs create --name later box ls /sys/class/net | wc -c; layerfs start -a later; echo $?
         PATH=$usual; layerfs start -a later; layerfs rm later"
    ));
    assert_eq!(
        said,
        format!("{told}65\n0\nUp none\nnone x{{\"none\nweb\n65\n{told}lo\n0\neth0\nlo\nlater\n")
    );
    // Who asks for it, or for a port by it, does not do without.
    for options in ["--network pasta", "-p 8080:80"] {
        let said =
            lan.shell(&format!("{path} layerfs run --rm {options} box true; echo $?; running"));
        assert_eq!(
            said,
            "layerfs: pasta gives the container no network: no link; at all; --network none does without, \
             --network host gives it the host's\n125\n0\n",
            "{options}"
        );
    }
    // One that was found when the container was made may be gone when it starts.
    let said = lan.shell(
        "layerfs create --name web box ls /sys/class/net | wc -c
         for name in bash newuidmap newgidmap; do ln -sf $(command -v $name) few/; done; rm few/pasta; PATH=/mnt/bin:$PWD/few
         layerfs start -a web; layerfs rm web",
    );
    let gone = "the program `pasta` is not in PATH any more";
    assert_eq!(said, format!("65\nlayerfs: the container has no network: {gone}{none}lo\nweb\n"));
    lan.ground.prepare("rm -r few");
    lan.assert_nothing_left();
}

#[test]
fn names_are_asked_for_at_the_hosts_server_even_on_its_loopback() {
    let Some(lan) = Lan::new() else { return };
    let names = lan.host.start_here(&["python3", "-c", NAMES]);
    for program in PROGRAMS {
        let said = lan.shell(&format!(
            "layerfs run --rm --network {program} box nslookup web.example | grep -o '192.0.2.77' | head -n 1
            layerfs run --rm --network {program} --dns 192.0.2.1 --dns-search x --add-host host:host-gateway box \
             sh -c 'cat /etc/resolv.conf; grep -o \".*host$\" /etc/hosts | tail -n 1'"
        ));
        let expected = format!("192.0.2.77\nnameserver 192.0.2.1\nsearch x\n{HOST}\thost\n");
        assert_eq!(said, expected, "{program}");
    }
    drop(names);
    lan.assert_nothing_left();
}

#[test]
fn a_users_published_port_is_reached_and_told() {
    let Some(lan) = Lan::new() else { return };
    for program in PROGRAMS {
        let run = format!(
            "layerfs run -d --name web --hostname web --network {program} -p 8080:80 -p 127.0.0.1:8081:80 -p {HOST}:5353:53/udp -p 82 \
             {} box /bin/sh -c '{} python3 /py/serve_udp 53 & exec python3 /py/serve 80' 2>&1 | wc -c
             SECONDS=0; until [ \"$(layerfs logs web 2>/dev/null | grep -c ready)\" = 2 ] || [ $SECONDS -gt 30 ]; do :; done
             layerfs port web 80; layerfs port web 53/udp; layerfs port web 82 | grep -cE '^0.0.0.0:[1-9][0-9]*$'
             layerfs ps --format '{{{{.Ports}}}} {{{{.Networks}}}}' | grep -oE '0.0.0.0:8080->80/tcp|{HOST}:5353->53/udp|[a-z0-9]*$'
             layerfs inspect --format '{{{{.NetworkSettings.IPAddress}}}} {{{{.NetworkSettings.Gateway}}}} x{{{{.NetworkSettings.MacAddress}}}}' web",
            PYTHON.0, PYTHON.1
        );
        let web = lan.start(&run);
        let expected = format!(
            "65\n0.0.0.0:8080\n127.0.0.1:8081\n{HOST}:5353\n1\n0.0.0.0:8080->80/tcp\n{HOST}:5353->53/udp\n{program}\n\
             10.0.2.100 10.0.2.2 x\n"
        );
        assert_eq!(web.said, expected, "{program}");
        let here = |address: &str, port: u16| {
            said(lan.host.enter().args(["python3", "-c", SAY_AND_ASK, address, &port.to_string()]))
        };
        let outside =
            |port: u16| lan.host.outside(&format!("python3 -c \"{SAY_AND_ASK}\" {HOST} {port}"));
        let reached = [
            outside(8080),
            here(HOST, 8080),
            here("127.0.0.1", 8080),
            here("127.0.0.1", 8081),
            lan.host.ask_outside("udp", HOST, 5353),
            lan.host.ask("udp", HOST, 5353),
        ];
        assert!(reached.iter().all(|it| it.starts_with("web sees ")), "{program}: {reached:?}");
        // Of one address alone, and of no other port.
        let others = [
            outside(8081),
            outside(80),
            here("127.0.0.1", 80),
            lan.host.ask("udp", "127.0.0.1", 5353),
        ];
        assert!(others.iter().all(|it| it.starts_with("no answer")), "{program}: {others:?}");
        let second = |options: &str| {
            lan.shell(&format!(
                "layerfs run --rm --network {program} {options} box echo ran; echo $?"
            ))
        };
        let taken = "layerfs: --publish 127.0.0.1:8080/tcp: the port is taken by the container `web`; give another one, or end that \
                     container\n125\n";
        assert_eq!(second("-p 127.0.0.1:8080:80"), taken, "{program}");
        let low = second("-p 79:80");
        assert!(
            low.contains("root alone takes ports as low as that") && low.ends_with("125\n"),
            "{low}"
        );
        web.end();
        assert_eq!(second("-p 8080:80"), "ran\n0\n", "{program}");
        assert_eq!(here("127.0.0.1", 8080), "no answer: ConnectionRefusedError", "{program}");
        lan.assert_nothing_left();
    }
}

#[test]
fn the_program_ends_with_the_container_whatever_is_killed() {
    let Some(lan) = Lan::new() else { return };
    let here = "mkfifo out; layerfs run --rm --network PROGRAM -p 8080:80 box sh -c 'echo on; exec sleep 98763' >out & pid=$!; \
                read -r _ <out; rm out";
    let background = "layerfs run --rm -d --network PROGRAM -p 8080:80 box sleep 98763 >/dev/null";
    for program in PROGRAMS {
        for (begin, end) in [
            // The command, the process that stands by a container in the background, the container's first process.
            (here, "kill -9 $pid"),
            (background, "kill -9 $(pgrep -of '^layerfs .*supervise ')"),
            (background, "kill -9 $(pgrep -f '^sleep 98763')"),
            // All of them at once, and the one around the program.
            (background, "kill -9 $(pgrep -f '^layerfs .*supervise |^sleep 98763') 2>/dev/null"),
            (background, "layerfs rm -f $(layerfs ps -q) >/dev/null; running"),
        ] {
            let begin = begin.replace("PROGRAM", program);
            let said = lan.shell(&format!(
                "{begin}; [ $(running) -gt 0 ] && echo runs; {end}; gone; none; layerfs gc >/dev/null; layerfs ps -aq; left"
            ));
            let said: Vec<&str> = said.lines().filter(|line| !line.contains("Killed")).collect();
            let expected: &[&str] =
                if end.contains("rm -f") { &["runs", "0", "0"] } else { &["runs", "0"] };
            assert_eq!(said, expected, "{program}: {end}");
            lan.assert_nothing_left();
        }
    }
}

/// What stands by the program is never left without it, nor it without what stands by it.
#[test]
fn a_program_that_is_killed_takes_the_network_and_not_the_container() {
    let Some(lan) = Lan::new() else { return };
    for program in PROGRAMS {
        // The newest of that name is the one around the program.
        for killed in ["$(pgrep '^pass?t|^slirp')", "$(pgrep -nf '^layerfs .*supervise ')"] {
            let said = lan.shell(&format!(
                "layerfs run -d --name web --network {program} box sleep 98762 >/dev/null; kill -9 {killed}; none
                layerfs exec web echo goes on; layerfs exec web ls /sys/class/net; layerfs rm -f web"
            ));
            assert_eq!(said, "0\ngoes on\nlo\nweb\n", "{program}: {killed}");
            lan.assert_nothing_left();
        }
    }
}
