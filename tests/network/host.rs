//! A network that plays the host, another beyond its way out, and containers in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use crate::place::{Place, Ran, ran};

/// The host's address, as others beyond its way out see it.
pub const HOST: &str = "192.168.77.1";

/// Bytes that its way out carries at once.
pub const MTU: u32 = 1400;

/// An address beyond the way out.
pub const OUTSIDE: &str = "203.0.113.5";

/// Python that serves one line over TCP to each caller: whom it sees.
pub const SERVE: &str = "
import socket, sys
s = socket.create_server(('', int(sys.argv[1])))
print('ready', flush=True)
while True:
    c, a = s.accept()
    c.sendall(('%s sees %s\\n' % (socket.gethostname(), a[0])).encode())
    c.close()
";

/// The same over UDP, for whatever comes.
pub const SERVE_UDP: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', int(sys.argv[1])))
print('ready', flush=True)
while True:
    d, a = s.recvfrom(99)
    s.sendto(('%s sees %s\\n' % (socket.gethostname(), a[0])).encode(), a)
";

/// Speaks to a server over UDP from one port for as long as it has to: after each line that comes in, until there is an answer.
pub const GO_ON_ASKING: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 4000))
s.settimeout(1)
print('ready', flush=True)
for line in iter(sys.stdin.readline, ''):
    for turn in range(10):
        s.sendto(b'x', (sys.argv[1], int(sys.argv[2])))
        try:
            print(s.recv(99).decode().strip(), flush=True)
            break
        except OSError as e:
            last = e
    else:
        print('no answer:', last, flush=True)
";

/// Asks either of them, and prints what it says, or why it does not.
pub const ASK: &str = "
import socket, sys
kind, host, port = sys.argv[1:]
s = socket.socket(socket.AF_INET, {'tcp': socket.SOCK_STREAM, 'udp': socket.SOCK_DGRAM}[kind])
s.settimeout(2)
try:
    s.connect((host, int(port)))
    if kind == 'udp':
        s.send(b'x')
    print(s.recv(99).decode().strip())
except OSError as e:
    print('no answer:', type(e).__name__)
";

/// A process that does nothing in a network of its own, which ends with it.
struct Keeper(Child);

impl Keeper {
    fn new(seconds: u64) -> Keeper {
        let mut command = Command::new("unshare");
        let script = format!("ip link set lo up && echo ready && exec sleep {seconds}");
        command.args(["-n", "sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Keeper(child)
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.file())).arg("--").stdin(Stdio::null());
        command
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The network that plays the host.
pub struct Host {
    pub place: Place,
    host: Keeper,
    outside: Keeper,
}

impl Host {
    /// With a way out to [`OUTSIDE`], and no forwarding yet.
    pub fn new() -> Host {
        Host::of(Place::new(), 600)
    }

    /// The same for so many seconds.
    pub fn lasting(seconds: u64) -> Host {
        Host::of(Place::lasting(seconds), seconds)
    }

    fn of(place: Place, seconds: u64) -> Host {
        let made = Host { place, host: Keeper::new(seconds), outside: Keeper::new(seconds) };
        made.sh(&format!(
            "ip link add up0 mtu {MTU} type veth peer name out0 mtu {MTU} netns {} && \
             ip addr add {HOST}/24 dev up0 && ip link set up0 up && \
             echo 0 >/proc/sys/net/ipv4/ip_forward",
            made.outside.0.id()
        ));
        made.outside(&format!(
            "ip addr add 192.168.77.2/24 dev out0 && ip link set out0 up && \
             ip addr add {OUTSIDE}/32 dev lo"
        ));
        made.sh("ip route add default via 192.168.77.2");
        made
    }

    /// A shell script on the host; it ends well.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        said(self.enter().args(["sh", "-c", script]))
    }

    /// The same beyond the way out.
    #[track_caller]
    pub fn outside(&self, script: &str) -> String {
        said(self.outside.enter().args(["sh", "-c", script]))
    }

    /// A program on the host, whose words follow.
    pub fn enter(&self) -> Command {
        self.host.enter()
    }

    /// The file of a network that is not the host's.
    pub fn file_outside(&self) -> String {
        self.outside.file()
    }

    /// What a server says to a caller on the host.
    pub fn ask(&self, kind: &str, address: &str, port: u16) -> String {
        said(self.host.enter().args(["python3", "-c", ASK, kind, address, &port.to_string()]))
    }

    /// The same to one beyond the way out.
    pub fn ask_outside(&self, kind: &str, address: &str, port: u16) -> String {
        said(self.outside.enter().args(["python3", "-c", ASK, kind, address, &port.to_string()]))
    }

    /// `layerfs` on the host.
    pub fn command(&self, words: &[&str]) -> Command {
        let plain = self.place.command(words);
        let mut command = self.host.enter();
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env_remove("LAYERFS_NETWORK");
        command
    }

    pub fn layerfs(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    /// A shell script in a throwaway container on a copy of this machine's root.
    pub fn script(&self, options: &[&str], script: &str) -> Ran {
        self.layerfs(&[&["run", "--rm"], options, &["--rootfs", "/", "sh", "-c", script]].concat())
    }

    /// What a server says to a caller in a new container.
    #[track_caller]
    pub fn ask_inside(&self, kind: &str, address: &str, port: u16) -> String {
        let asks = ["python3", "-c", ASK, kind, address, &port.to_string()];
        self.layerfs(&[&["run", "--rm", "--rootfs", "/"][..], &asks].concat()).said().trim().into()
    }

    /// A container that says that it is ready, and goes on.
    #[track_caller]
    pub fn start(&self, options: &[&str], words: &[&str]) -> Going<'_> {
        let run = [&["run", "--rm"], options, &["--rootfs", "/"], words].concat();
        Going::of(self, self.command(&run))
    }

    /// `layerfs` with these words, for a program that says that it is ready; it can be given lines.
    #[track_caller]
    pub fn start_so(&self, words: &[&str]) -> Going<'_> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        Going::of(self, command)
    }

    /// A program on the host that says that it is ready.
    #[track_caller]
    pub fn start_here(&self, words: &[&str]) -> Going<'_> {
        let mut command = self.host.enter();
        command.args(words);
        Going::of(self, command)
    }

    /// The same beyond the way out.
    #[track_caller]
    pub fn start_outside(&self, words: &[&str]) -> Going<'_> {
        let mut command = self.outside.enter();
        command.args(words).stdin(Stdio::piped());
        Going::of(self, command)
    }

    /// Nothing of ours is on the host, nor in the run directory, nor in the store.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.left(), "", "links, rules and leases");
        assert!(self.place.containers().is_empty(), "{:?}", self.place.containers());
        self.place.assert_no_group_left();
    }

    /// What of ours is there: links, tables, leases.
    pub fn left(&self) -> String {
        let links = self.sh("ip -o link | grep -E ': (layerfs|lf)' || true");
        let tables = self.sh("PATH=$PATH:/usr/sbin nft list tables | grep layerfs || true");
        let leases = std::fs::read_dir(self.place.join("run/network")).into_iter().flatten();
        let names = leases.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let leases =
            names.filter(|name| name != "lock" && name != "last").collect::<Vec<_>>().join("\n");
        [links, tables, leases].concat()
    }
}

#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Something that goes on in the background; dropped, it is ended.
pub struct Going<'a> {
    pub child: Child,
    out: Option<BufReader<std::process::ChildStdout>>,
    _host: &'a Host,
}

impl<'a> Going<'a> {
    #[track_caller]
    fn of(host: &'a Host, mut command: Command) -> Going<'a> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut going = Going { child, out: Some(out), _host: host };
        let mut line = String::new();
        going.out.as_mut().unwrap().read_line(&mut line).unwrap();
        let mut errors = String::new();
        if line != "ready\n" {
            going.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        }
        assert_eq!(line, "ready\n", "{errors}");
        going
    }

    /// Gives it a line, and answers what it says to that.
    pub fn ask(&mut self) -> String {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Kills the command itself, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, until it has.
    pub fn end(&mut self) {
        let pid = self.child.id().to_string();
        while self.child.try_wait().unwrap().is_none() {
            // Three within two seconds end what is deaf to them.
            Command::new("kill").args(["-TERM", &pid]).output().unwrap();
            // tidy: allow(sleep) a signal that is deferred is told of by nothing
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
