//! Control groups of a user's containers, in a part of version 2's tree that is delegated to the user. Where version 1 has the
//! controllers no limit can be seen so: `scripts/vm/checks` sees them where version 2 has all.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Ground;
use crate::containers::ground_with_image;
use crate::support::user::{self, ID, Who};
use crate::support::{need, rights};

/// What a test waits for comes long before that.
const MOMENT: Duration = Duration::from_secs(60);

/// A group that is delegated, and one beside it that is not. Gone when dropped, with whoever is in them.
struct Given {
    own: PathBuf,
    beside: PathBuf,
}

impl Given {
    /// `None`, told as skipped, where version 2 is not mounted.
    fn new() -> Option<Given> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let tops = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let Some(top) = tops.into_iter().find(|top| top.join("cgroup.controllers").exists()) else {
            rights::skip("version 2 of cgroups is not mounted");
            return None;
        };
        let name =
            format!("test-user-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let given = Given { own: top.join(&name), beside: top.join(format!("{name}-beside")) };
        for group in [&given.own, &given.shell(), &given.beside] {
            fs::create_dir(group).unwrap();
        }
        // What the kernel's documentation has whoever delegates give, and no more.
        for group in [given.own.clone(), given.shell()] {
            for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
                chown(group.join(file), Some(ID), Some(ID)).unwrap();
            }
        }
        Some(given)
    }

    /// Where a login shell is: a leaf.
    fn shell(&self) -> PathBuf {
        self.own.join("shell")
    }

    /// A script of the user's that begins in a group.
    fn command(&self, group: &Path, ground: &Ground, script: &str) -> Command {
        let script = format!("exec 2>&1; G={}; {script}", self.own.display());
        let mut command = user::command(Who::User, ground.path(), &["bash", "-c", &script]);
        command.env("IN_GROUP", group).stdout(Stdio::piped());
        command
    }

    fn shell_in(&self, group: &Path, ground: &Ground, script: &str) -> String {
        said(self.command(group, ground, script).spawn().unwrap())
    }

    /// Moves the shells that are in the leaf into the group beside, as nobody but root can: another session of the user's.
    fn log_in_elsewhere(&self) {
        for pid in pids(&self.shell()) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.trim() == "bash" {
                fs::write(self.beside.join("cgroup.procs"), pid.to_string()).unwrap();
            }
        }
    }

    /// No group is in the delegated one but the shell's.
    fn assert_nothing_left(&self) {
        let groups = fs::read_dir(&self.own).unwrap().map(|entry| entry.unwrap());
        let groups: Vec<_> = groups.filter(|entry| entry.file_type().unwrap().is_dir()).collect();
        let names: Vec<_> = groups.iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["shell"], "in {}", self.own.display());
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for top in [&self.own, &self.beside] {
            let until = Instant::now() + Duration::from_secs(5);
            // Whoever a failed test left; kernels before 5.14 can't.
            fs::write(top.join("cgroup.kill"), "1").unwrap_or_default();
            while top.exists() && Instant::now() < until {
                // Deepest first; those that are busy yet are tried again.
                let found = Command::new("find")
                    .args([top.as_os_str(), "-depth".as_ref(), "-type".as_ref(), "d".as_ref()])
                    .args(["-exec", "rmdir", "{}", ";"])
                    .stderr(Stdio::null())
                    .status();
                found.unwrap();
                pause();
            }
        }
    }
}

fn pids(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn said(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + MOMENT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        pause();
    }
}

fn pause() {
    // tidy: allow(sleep) nothing tells when a group is left; each look is repeated until it is so
    std::thread::sleep(Duration::from_millis(10));
}

/// Where a container's processes are, from its id.
const PAYLOAD: &str =
    "payload() { echo $G/layerfs/$(layerfs inspect --format '{{.Id}}' web)/limited/payload; };";
const WEB: &str = "layerfs run -d --network none --name web box sleep 98765 >/dev/null;";

#[test]
fn a_users_container_has_groups_where_they_are_delegated_to_the_user() {
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    let seen = given.shell_in(
        &given.shell(),
        &ground,
        &format!(
            "{PAYLOAD} {WEB} P=$(payload); grep -q . $P/cgroup.procs && grep -q . $P/../../fuse/cgroup.procs && echo in
            layerfs exec web cat /proc/self/cgroup; layerfs exec web cat /sys/fs/cgroup/cgroup.procs | grep -x 1
            layerfs top web | tail -n +2 | wc -l; layerfs stats --no-stream --format '{{{{.CPUPerc}}}}' web | grep -c %
            layerfs pause web; cat $P/cgroup.freeze; layerfs ps --format '{{{{.Status}}}}' | grep -o Paused; layerfs unpause web
            cat $P/cgroup.freeze; layerfs commit -q web new | cut -c -7; layerfs rmi new >/dev/null
            layerfs stop -t 0 web; ls -d $G/layerfs; layerfs start web; grep -q . $(payload)/cgroup.procs && echo again
            layerfs rm -f web"
        ),
    );
    let no = |path: &str| format!("ls: cannot access '{path}': No such file or directory\n");
    let gone = no(&given.own.join("layerfs").display().to_string());
    // Of the hierarchies of version 1 there is a line each, and nothing is done there.
    let is_v1 = |line: &str| line.contains(":/") && !line.starts_with("0::");
    let lines: Vec<&str> = seen.lines().filter(|line| !is_v1(line)).collect();
    let expected =
        format!("in\n0::/\n1\n1\n1\nweb\n1\nPaused\nweb\n0\nsha256:\nweb\n{gone}web\nagain\nweb\n");
    assert_eq!(lines.join("\n") + "\n", expected, "{seen}");
    given.assert_nothing_left();
    ground.assert_nothing_left();
}

/// A container is found by what was noted of it, in whatever session it was started.
#[test]
fn groups_of_a_users_container_are_found_from_another_session() {
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    let script = format!(
        "{PAYLOAD} {WEB} P=$(payload); touch here; until [ -e moved ]; do :; done; grep ^0:: /proc/self/cgroup
        layerfs pause web; cat $P/cgroup.freeze; layerfs unpause web; cat $P/cgroup.freeze; layerfs top web | tail -n +2 | wc -l
        layerfs stats --no-stream --format '{{{{.CPUPerc}}}}' web | grep -c %; layerfs update --pids-limit -1 web
        layerfs exec web true; echo $?; layerfs commit -q web new | cut -c -7; layerfs rmi new >/dev/null
        layerfs pause web; layerfs stop -t 0 web; ls -d $G/layerfs; layerfs start web; ls -d $G/layerfs; layerfs rm -f web; rm here moved"
    );
    let child = given.command(&given.shell(), &ground, &script).spawn().unwrap();
    until("the container runs", || ground.path().join("here").exists());
    given.log_in_elsewhere();
    fs::write(ground.path().join("moved"), "").unwrap();
    chown(ground.path().join("moved"), Some(ID), Some(ID)).unwrap();
    let seen = said(child);
    let gone =
        format!("ls: cannot access '{}/layerfs': No such file or directory\n", given.own.display());
    let lines: Vec<&str> = seen.lines().collect();
    let place = lines.iter().position(|line| line.contains("exec") || line.contains("moved into"));
    let told = lines[place.unwrap_or_else(|| panic!("{seen}"))];
    for words in [
        "layerfs: container `web`: this process can't be moved into cgroup ",
        "/limited/payload: ",
        "call it from the session that started the container, or by `systemd-run --user --scope layerfs …`",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let beside = given.beside.file_name().unwrap().to_string_lossy();
    let expected = format!(
        "0::/{beside}\nweb\n1\nweb\n0\n1\n1\nweb\n{told}\n125\nsha256:\nweb\nweb\n{gone}web\n{gone}web\n"
    );
    assert_eq!(seen, expected);
    given.assert_nothing_left();
    ground.assert_nothing_left();
}

/// Whoever calls next finds its groups by its record.
#[test]
fn what_a_killed_command_of_a_user_left_in_groups_is_cleared_from_another_session() {
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    let script = format!(
        "{WEB} layerfs pause web; kill -9 $(pgrep -f '^layerfs .*supervise '); ls -d $G/layerfs >/dev/null && echo left
        touch here; until [ -e moved ]; do :; done; layerfs run --rm --network none box echo next; ls -d $G/layerfs
        layerfs ps -a --format '{{{{.Status}}}}' | cut -c -12; layerfs rm web; rm here moved"
    );
    let child = given.command(&given.shell(), &ground, &script).spawn().unwrap();
    until("the container runs", || ground.path().join("here").exists());
    given.log_in_elsewhere();
    fs::write(ground.path().join("moved"), "").unwrap();
    chown(ground.path().join("moved"), Some(ID), Some(ID)).unwrap();
    let gone =
        format!("ls: cannot access '{}/layerfs': No such file or directory\n", given.own.display());
    assert_eq!(said(child), format!("web\nleft\nnext\n{gone}Exited (137)\nweb\n"));
    given.assert_nothing_left();
    ground.assert_nothing_left();
}

/// As `systemd-run -p Delegate=yes` has it: the group holds the command, which goes into a leaf and back.
#[test]
fn a_command_that_is_alone_in_what_was_delegated_makes_room_and_goes_back() {
    need!("setfattr");
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    ground.shell(Who::User, "mkdir data; mkfifo data/on data/off");
    // A unit of the name, below another group that would do.
    let unit = given.own.join("unit");
    for (how, after, group) in [
        // There the shell's group is beside: where something was handed down the leaf is left to the next command.
        ("--rm", "layerfs run --rm --network none box true", &given.own),
        ("--rm", "until rmdir $U 2>/dev/null; do :; done", &unit),
        (
            "-d",
            "layerfs wait web; layerfs logs web; layerfs rm web; until rmdir $U 2>/dev/null; do :; done",
            &unit,
        ),
        // A unit goes with its last process; what is noted of a container then leads nowhere.
        (
            "-d",
            "layerfs wait web; layerfs logs web; until rmdir $U 2>/dev/null; do :; done; layerfs rm web",
            &unit,
        ),
    ] {
        let made = match group == &unit {
            true => "mkdir $U; setfattr -n user.delegate -v 1 $U",
            false => "",
        };
        let script = format!(
            "U={}; {made}
            (echo $BASHPID >$U/cgroup.procs; exec layerfs run {how} --name web --network none -v $PWD/data:/data box \
              sh -c 'echo >/data/on; read x </data/off; echo end') | grep -vE '^.{{64}}$'
            {after}",
            group.display()
        );
        let leaf = group.join("layerfs.command");
        let child = given.command(&given.shell(), &ground, &script).spawn().unwrap();
        fs::read(ground.path().join("data/on")).unwrap();
        assert!(!pids(&leaf).is_empty() && pids(group).is_empty(), "{how}");
        assert!(group.join("layerfs").is_dir(), "{how}");
        fs::write(ground.path().join("data/off"), "\n").unwrap();
        let expected = if how == "-d" { "0\nend\nweb\n" } else { "end\n" };
        assert_eq!(said(child), expected, "{how}");
        until("the command has gone back", || !leaf.exists());
        given.assert_nothing_left();
    }
    ground.shell(Who::User, "rm -r data");
    ground.assert_nothing_left();
}

/// Also one in which there are groups.
#[test]
fn a_leaf_that_a_killed_command_left_is_used_or_removed() {
    need!("setfattr");
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    let run = "layerfs run --rm --network none box true";
    let seen = given.shell_in(
        &given.shell(),
        &ground,
        &format!(
            "L=$G/layerfs.command; mkdir $L; {run}; ls -d $L; U=$G/unit; L=$U/layerfs.command; mkdir -p $L/below
            setfattr -n user.delegate -v 1 $U; (echo $BASHPID >$U/cgroup.procs; exec {run}); ls -d $L; rmdir $U && echo gone"
        ),
    );
    let no = |group: &str| {
        let path = given.own.join(group).join("layerfs.command");
        format!("ls: cannot access '{}': No such file or directory\n", path.display())
    };
    assert_eq!(seen, format!("{}{}gone\n", no(""), no("unit")));
    given.assert_nothing_left();
    ground.assert_nothing_left();
}

/// It runs as it always did, and what takes groups is told.
#[test]
fn a_container_among_other_processes_in_what_was_delegated_has_no_groups() {
    let (Some(ground), Some(given)) = (ground_with_image(), Given::new()) else { return };
    let seen = given.shell_in(
        &given.own,
        &ground,
        &format!("{WEB} ls -d $G/layerfs*; layerfs pause web; echo $?; layerfs rm -f web"),
    );
    let gone = format!(
        "ls: cannot access '{}/layerfs*': No such file or directory\n",
        given.own.display()
    );
    let told = "layerfs: container `web` has no control group, since it was started where none is delegated to this user: it can neither stand \
                still nor have limits; start it again by `systemd-run --user --scope -p Delegate=yes layerfs …`, or run it as root\n";
    assert_eq!(seen, format!("{gone}{told}1\nweb\n"));
    given.assert_nothing_left();
    ground.assert_nothing_left();
}
