//! A network that plays the host, for one thread: what a container's bridge makes is made there, and looked for there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The network; it goes when this is dropped, or when this process ends.
pub struct Host(Child);

impl Host {
    pub fn new() -> Host {
        let mut command = Command::new("unshare");
        // It reads until nobody is there who could write.
        command.args(["-n", "sh", "-c", "ip link set lo up && echo ready && exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Host(child)
    }

    /// A program in it, whose words follow.
    pub fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg("--").stdin(Stdio::null());
        command
    }

    /// What a container has left there: links, rules, ports that are listened on.
    pub fn left(&self) -> Vec<String> {
        let file = |name: &str| {
            std::fs::read_to_string(format!("/proc/{}/net/{name}", self.0.id())).unwrap()
        };
        let links = file("dev");
        let links = links.lines().skip(2).filter_map(|line| line.split(':').next());
        let links = links.map(str::trim).filter(|name| *name != "lo");
        let mut left: Vec<String> = links.map(|name| format!("link {name}")).collect();
        let asks = ["env", "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "nft", "list", "tables"];
        let tables = self.enter().args(asks).output().unwrap();
        assert!(tables.status.success(), "{tables:?}");
        left.extend(String::from_utf8(tables.stdout).unwrap().lines().map(str::to_owned));
        for kind in ["tcp", "udp"] {
            left.extend(file(kind).lines().skip(1).map(|line| format!("{kind} port {line}")));
        }
        left
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
