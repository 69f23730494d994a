//! Containers of a user who is not root.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::user::{self, FIRST_SUBORDINATE, ID, Who};
use crate::support::{Scratch, need, rights};
use crate::{Ground, ground};

/// A user whom nobody knows.
const STRANGER: u32 = 61_234;

/// A place with an image called `box`, busybox alone, some files of which belong to others than root.
pub fn ground_with_image() -> Option<Ground> {
    if !rights::have(&["busybox", "tar"]) {
        return None;
    }
    let ground = ground()?;
    ground.prepare(
        "mkdir -p tree/bin tree/etc tree/var/www; cp $(command -v busybox) tree/bin/
        for name in $(busybox --list); do [ $name = busybox ] || ln -sf busybox tree/bin/$name; done
        printf 'root:x:0:0::/:/bin/sh\\nann:x:1000:100::/:/bin/sh\\n' >tree/etc/passwd
        printf 'root:x:0:\\nusers:x:100:ann\\n' >tree/etc/group
        echo hi >tree/var/www/index; chown -R 33:34 tree/var/www; tar -C tree -cf image.tar .; rm -r tree; chmod 644 image.tar",
    );
    let brought =
        ground.shell(Who::User, "layerfs import image.tar box 2>/dev/null; rm -f image.tar");
    assert!(brought.starts_with("sha256:"), "{brought}");
    Some(ground)
}

/// Nothing runs, is mounted, or is left of a container.
fn assert_no_container(ground: &Ground) {
    assert_eq!(ground.shell(Who::User, "layerfs ps -aq; ls share/layerfs/containers"), "");
    ground.assert_nothing_left();
}

#[test]
fn root_of_a_users_container_is_the_user_and_others_are_subordinate_ids() {
    let Some(ground) = ground_with_image() else { return };
    let script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; ps -o pid= | wc -l; \
                  touch /new; chown 33:34 /new; stat -c %u:%g /new /var/www/index; cd /data; touch roots; touch webs; chown 33:34 webs; \
                  su ann -c 'id -u; touch /data/x'; id -u ann; grep -c . /proc/net/dev; cat /sys/class/net/lo/flags";
    let seen = ground.shell(
        Who::User,
        &format!(
            "mkdir data; layerfs run --rm --network none -v $PWD/data:/data box sh -c \"{script}\""
        ),
    );
    let map = format!(" 0 {ID} 1\n 1 {FIRST_SUBORDINATE} 65536\n");
    let expected = format!(
        "0\n0\n{map}{map}3\n33:34\n33:34\n1000\ntouch: /data/x: Permission denied\n1000\n3\n0x9\n"
    );
    assert_eq!(seen, expected);
    let owner = |name: &str| {
        let found = std::fs::metadata(ground.path().join("data").join(name)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!(owner("roots"), (ID, ID));
    assert_eq!(owner("webs"), (FIRST_SUBORDINATE + 32, FIRST_SUBORDINATE + 33));
    assert_no_container(&ground);
}

/// Its root has all rights over what is its own, and none over what is the host's.
#[test]
fn a_users_container_has_rights_over_its_own_alone() {
    let Some(ground) = ground_with_image() else { return };
    let script = "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; mount -t tmpfs none /bin/.. && echo mounted; \
                  mknod /n c 1 3; hostname new && hostname; touch /sys/x; ls /sys/fs/cgroup | wc -l; \
                  grep -c ' shared:' /proc/self/mountinfo; cat /dev/null && echo x >/dev/null && echo null";
    let call = |options: &str| {
        ground.shell(
            Who::User,
            &format!("layerfs run --rm --network none {options} box sh -c \"{script}\""),
        )
    };
    let usual = "CapBnd:\t00000000800405fb\nNoNewPrivs:\t0\nSeccomp:\t2\nmount: permission denied (are you root?)\n\
                 mknod: /n: Operation not permitted\nhostname: sethostname: Operation not permitted\n\
                 touch: /sys/x: Read-only file system\n0\n0\nnull\n";
    assert_eq!(call(""), usual);
    let more = call("--cap-add SYS_ADMIN,MKNOD --security-opt no-new-privileges");
    let expected = usual
        .replace("00000000800405fb", "00000000882405fb")
        .replace("NoNewPrivs:\t0", "NoNewPrivs:\t1")
        .replace("mount: permission denied (are you root?)", "mounted")
        .replace("hostname: sethostname: Operation not permitted", "new");
    assert_eq!(more, expected);
    assert_no_container(&ground);
}

#[test]
fn without_subordinate_ids_root_is_the_only_user_and_that_is_said() {
    let Some(ground) = ground_with_image() else { return };
    // A path without newuidmap.
    let few = "mkdir -p few; for name in bash ls stat; do ln -sf $(command -v $name) few/; done; PATH=/mnt/bin:$PWD/few;";
    let told = "layerfs: the container has one user, its root: newuidmap of the package uidmap is not in PATH; files of an image that \
                belong to others can't be changed in it, and programs can't become other users\n";
    let seen = ground.shell(
        Who::User,
        &format!(
            "{few} layerfs run --rm --network none box sh -c \"cat /proc/self/uid_map | tr -s ' '; cat /proc/self/setgroups; \
             touch /new; chown 1 /new; stat -c %u:%g /new /var/www/index; cat /var/www/index; echo x >/var/www/index; \
             stat -c %u:%g /dev/pts/ptmx; cat /proc/sys/net/ipv4/ping_group_range\""
        ),
    );
    let expected = format!(
        "{told} 0 {ID} 1\ndeny\nchown: /new: Invalid argument\n0:0\n65534:65534\nhi\n\
         sh: can't create /var/www/index: Permission denied\n0:0\n0\t0\n"
    );
    assert_eq!(seen, expected);
    let seen = ground.shell(
        Who::User,
        &format!(
            "{few} layerfs run -d --name one --network none box sleep 1000 >/dev/null; layerfs exec one id -u; \
             layerfs exec -u ann one id; layerfs cp few/ls one:/copied && layerfs exec one stat -c %u:%g /copied; layerfs rm -f one; \
             layerfs run --rm --network none -u ann box id; echo $?"
        ),
    );
    let beyond = "layerfs: `1000` is no number of a user or a group of this container: it has 1 of its own; root gives it the host's by \
                  `--userns host`, other users have more by lines of /etc/subuid and /etc/subgid\n";
    assert_eq!(seen, format!("{told}0\n{beyond}0:0\none\n{told}{beyond}125\n"));
    ground.prepare("rm -r few");
    assert_no_container(&ground);
}

#[test]
fn further_verbs_work_on_a_users_container() {
    let Some(ground) = ground_with_image() else { return };
    let seen = ground.shell(
        Who::User,
        "layerfs run -d --network none --name web box sh -c 'echo begun; touch /made; exec sleep 1000' | wc -c
        layerfs ps --format '{{.Names}}'; SECONDS=0; until layerfs logs web | grep begun || [ $SECONDS -gt 30 ]; do :; done
        layerfs exec web sh -c 'id -u; ps -o args= | grep -v ps'; layerfs exec -u ann web id -u; layerfs exec web sh -c 'exit 7'; echo $?
        layerfs inspect web | tr -d ' \\n' | grep -o '\"IDMappings\":{[^}]*}'
        layerfs top web | tail -1 | tr -s ' ' | cut -d' ' -f1
        layerfs cp web:/etc/group - | tar -xO; echo text >file; layerfs cp file web:/file; layerfs exec web stat -c %u:%g /file
        layerfs stats --no-stream web | tail -1 | grep -o -- '--' | wc -l
        layerfs diff web | grep made; layerfs commit -q web new 2>/dev/null | cut -c -7
        layerfs stop -t 0 web; layerfs ps -q; layerfs ps -aq | wc -l
        layerfs start web; layerfs exec web stat -c %u:%g /file /made; layerfs kill web; layerfs wait web; layerfs rename web other
        layerfs rm other; layerfs run --rm --network none new ls /made /file; layerfs rmi new >/dev/null
        layerfs create --network none --name idle box echo made >/dev/null; layerfs start -a idle; layerfs rm idle",
    );
    let map = format!("[\"0:{ID}:1\",\"1:{FIRST_SUBORDINATE}:65536\"]");
    let expected = format!(
        "65\nweb\nbegun\n0\nsleep 1000\n1000\n7\n\"IDMappings\":{{\"UidMap\":{map},\"GidMap\":{map}}}\nlayerfs-test\n\
         root:x:0:\nusers:x:100:ann\n0:0\n7\nA /made\nsha256:\nweb\n1\nweb\n0:0\n0:0\nweb\n137\nother\n/file\n/made\nmade\nidle\n"
    );
    assert_eq!(seen, expected);
    ground.prepare("rm file");
    assert_no_container(&ground);
}

/// What only root can give is one line with its cure, and nothing is left.
#[test]
fn a_users_limits_of_processes_are_at_most_the_users() {
    let Some(ground) = ground_with_image() else { return };
    let seen = ground.shell(
        Who::User,
        "ulimit -n 300; layerfs run --rm --network none --ulimit nofile=200:1000000 box sh -c 'ulimit -Sn; ulimit -Hn'
        layerfs run --rm --network none --ulimit nofile=-1 box sh -c 'ulimit -Sn; ulimit -Hn'",
    );
    let told = |said: &str| {
        format!(
            "layerfs: warning: --ulimit `{said}`: it is 300, the most that this process may have; raising that takes CAP_SYS_RESOURCE\n"
        )
    };
    let expected =
        format!("{}200\n300\n{}300\n300\n", told("nofile=200:1000000"), told("nofile=-1"));
    assert_eq!(seen, expected);
    assert_no_container(&ground);
}

#[test]
fn what_a_user_can_not_have_of_a_container_is_one_line() {
    let Some(ground) = ground_with_image() else { return };
    let limit = "cgroups: this user may make no group in ";
    for (options, words, told) in [
        (
            "-m 50m",
            "true",
            &[
                "--memory needs the memory controller",
                limit,
                "; run as root or leave the limit out",
            ][..],
        ),
        ("--pids-limit 9", "true", &["--pids-limit needs the pids controller", limit]),
        ("--cpus 0.5", "true", &["--cpus needs the cpu controller", limit]),
        (
            "--network bridge",
            "true",
            &[
                "--network bridge: root alone makes a bridge; give --network pasta, slirp4netns, host or none",
            ],
        ),
        (
            "--network none -p 8080:80",
            "true",
            &["--publish: --network none has nothing that a port could lead to"],
        ),
        (
            "--network ns:/proc/self/ns/net",
            "true",
            &[
                "root alone joins a network that is there; give --network pasta, slirp4netns, host or none",
            ],
        ),
        (
            "--userns host",
            "true",
            &[
                "--userns host, which --privileged means: root alone can give a container the host's users; leave it out",
            ],
        ),
        (
            "-u 70000",
            "true",
            &["`70000` is no number of a user", "it has 65537 of its own", "/etc/subuid"],
        ),
        ("--oom-score-adj -500", "true", &["--oom-score-adj: ", "takes CAP_SYS_RESOURCE"]),
    ] {
        let network = if options.contains("--network") { "" } else { "--network none" };
        let seen = ground.shell(
            Who::User,
            &format!("layerfs run --rm {network} {options} box {words}; echo $?"),
        );
        let [line, status] = seen.lines().collect::<Vec<_>>()[..] else {
            panic!("{options}: {seen}")
        };
        assert!(line.starts_with("layerfs: ") && status == "125", "{options}: {seen}");
        assert!(told.iter().all(|words| line.contains(words)), "{options}: {line}");
        assert_no_container(&ground);
    }
    let seen = ground.shell(
        Who::User,
        "layerfs run -d --network none --name web box sleep 1000 >/dev/null; layerfs pause web; echo $?
        layerfs run --rm --network container:web box true; layerfs update -m 50m web; echo $?; layerfs kill web >/dev/null
        layerfs wait web >/dev/null; layerfs rm web
        setpriv --no-new-privs layerfs run --rm --network none box true; echo $?",
    );
    let expected = "layerfs: container `web` has no control group, since it was started where none is delegated to this user: it can neither stand still \
         nor have limits; start it again by `systemd-run --user --scope -p Delegate=yes layerfs …`, or run it as root\n1\n\
         layerfs: --network `container:web`: root alone joins a network that is there; give --network pasta, slirp4netns, host or none, \
         or run as root\n\
         layerfs: container `web` has no control group, since it was started where none is delegated to this user: it can neither stand still \
         nor have limits; start it again by `systemd-run --user --scope -p Delegate=yes layerfs …`, or run it as root\n1\nweb\n\
         layerfs: give the container the ids that /etc/subuid and /etc/subgid say: newgidmap: write to gid_map failed: Operation not \
         permitted; it has to be as the package uidmap installs it, and ids that the lists give to this user\n125\n";
    assert_eq!(seen, expected);
    assert_no_container(&ground);
}

#[test]
fn a_users_container_has_no_network_and_that_is_said_or_the_hosts() {
    let Some(ground) = ground_with_image() else { return };
    let told = "layerfs: the container has no network: neither pasta (package passt) nor slirp4netns is in PATH: install one; \
                --network host gives it the host's, --network none does without\n";
    // A path without both.
    let few = "mkdir -p few; for name in bash wc newuidmap newgidmap; do ln -sf $(command -v $name) few/; done; \
               export PATH=/mnt/bin:$PWD/few;";
    let seen = ground.shell(Who::User, &format!("{few} layerfs run --rm box ls /sys/class/net"));
    assert_eq!(seen, format!("{told}lo\n"));
    // Once, however many processes make it.
    let seen = ground.shell(
        Who::User,
        &format!("{few} layerfs run -d --name web box sleep 1000 | wc -c; layerfs rm -f web"),
    );
    assert_eq!(seen, format!("{told}65\nweb\n"));
    ground.prepare("rm -r few");
    let seen = ground.shell(
        Who::User,
        "readlink /proc/self/ns/net; layerfs run --rm --network host box sh -c 'readlink /proc/self/ns/net; touch /sys/x; \
         ls /sys/fs/cgroup | wc -l; grep \" /sys/fs/cgroup \" /proc/self/mountinfo | tail -1 | cut -d\" \" -f6'",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], lines[1], "{seen}");
    assert_eq!(lines[2..4], ["touch: /sys/x: Read-only file system", "0"], "{seen}");
    assert!(lines[4].starts_with("ro,nosuid,nodev,noexec"), "{seen}");
    assert_no_container(&ground);
}

#[test]
fn a_killed_command_of_a_user_leaves_nothing_after_the_next() {
    let Some(ground) = ground_with_image() else { return };
    let count = "count() { for own in /proc/[0-9]*; do tr '\\0' ' ' <$own/cmdline; echo; done 2>/dev/null | \
                 grep -cE '^(sleep 98765|layerfs .*(serve|supervise) )'; };";
    for (begin, whom) in [
        (
            "mkfifo out; layerfs run --rm --network none box sh -c 'echo on; exec sleep 98765' >out & pid=$!; read -r _ <out",
            "$pid",
        ),
        (
            "layerfs run --rm -d --network none box sleep 98765 >/dev/null; pid=$(pgrep -f '^layerfs .*supervise ')",
            "$pid",
        ),
    ] {
        let seen = ground.shell(
            Who::User,
            &format!(
                "{count} {begin}; kill -9 {whom}; SECONDS=0; while [ $(count) != 0 ] && [ $SECONDS -lt 30 ]; do :; done; count
                layerfs run --rm --network none box echo next; ls share/layerfs/containers; rm -f out"
            ),
        );
        assert_eq!(
            seen.lines().filter(|line| !line.contains("Killed")).collect::<Vec<_>>(),
            ["0", "next"],
            "{seen}"
        );
        assert_no_container(&ground);
    }
}

#[test]
fn another_user_can_not_touch_a_users_container() {
    need!("nsenter", "kill");
    let Some(ground) = ground_with_image() else { return };
    let script = "layerfs run -d --network none --name web box sleep 98764 >/dev/null; echo on; read -r _; layerfs rm -f web";
    let mut owner = user::command(Who::User, ground.path(), &["bash", "-c", script]);
    let mut owner = owner.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(owner.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "on\n");
    let first = of_words("sleep\u{0}98764\u{0}").unwrap();
    assert_eq!(std::fs::metadata(format!("/proc/{first}")).unwrap().uid(), ID);
    // The tree of the sources may be closed to strangers.
    let open = Scratch::on_disk();
    let program = open.join("layerfs");
    std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let store = format!("--root={}", ground.path().join("share/layerfs").display());
    for words in [
        &["kill", "-0", &first][..],
        &["nsenter", "-t", &first, "-U", "-m", "true"],
        &["ls", &format!("/proc/{first}/root/")],
        &[program.to_str().unwrap(), &store, "ps"],
        &[program.to_str().unwrap(), &store, "exec", "web", "true"],
        &[program.to_str().unwrap(), &store, "rm", "-f", "web"],
    ] {
        let refused = |id: u32| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).uid(id).gid(id).current_dir("/");
            let output = command.output().unwrap();
            (!output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (is_refused, told) = refused(STRANGER);
        assert!(is_refused && told.contains("ermi"), "{words:?}: {told}");
    }
    assert!(Path::new(&format!("/proc/{first}")).exists());
    drop(owner.stdin.take());
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "web\n");
    assert!(owner.wait().unwrap().success());
    assert_no_container(&ground);
}

/// The number of the process whose words are these.
fn of_words(words: &str) -> Option<String> {
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let said = std::fs::read(entry.path().join("cmdline")).ok()?;
        (said == words.as_bytes()).then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

#[test]
fn files_are_copied_from_a_users_container_that_does_not_run_and_into_it() {
    let Some(ground) = ground_with_image() else { return };
    let gone = "gone() { SECONDS=0; while pgrep -f '^layerfs' >/dev/null && [ $SECONDS -lt 30 ]; do :; done; pgrep -fc '^layerfs'; }";
    // One that has never run, and one that has.
    let seen = ground.shell(
        Who::User,
        &format!(
            "{gone}; layerfs create --network none --name web box sh -c 'cat /file /new/a; stat -c %u:%g /file; echo wrote >/file' >/dev/null
            echo text >file; mkdir dir; echo more >dir/a; layerfs cp file web:/file; layerfs cp dir web:/new; tar -c dir | layerfs cp - web:/etc
            layerfs ps -a --format '{{{{.Status}}}}'; layerfs start -a web
            layerfs cp web:/file - | tar -xO; layerfs cp web:/etc/dir back; cat back/a; stat -c %u back/a
            layerfs cp -a web:/var/www/index - | tar -tv --numeric-owner | cut -d' ' -f2
            layerfs cp web:/none x; echo $?; gone"
        ),
    );
    let expected = format!(
        "Created\ntext\nmore\n0:0\nwrote\nmore\n{ID}\n33/34\nlayerfs: `/none`: there is nothing\n1\n0\n"
    );
    assert_eq!(seen, expected);
    // Who is killed leaves it as it was.
    let seen = ground.shell(
        Who::User,
        &format!(
            "{gone}; mkfifo in; layerfs cp - web:/etc <in 2>said & pid=$!; exec 3>in
            SECONDS=0; until pgrep -f '^layerfs copier .* write' >/dev/null || [ $SECONDS -gt 30 ]; do :; done
            kill -9 $pid; wait $pid 2>/dev/null; gone; exec 3>&-
            layerfs cp web:/file - | tar -xO; layerfs rm web; gone"
        ),
    );
    assert_eq!(seen, "0\nwrote\nweb\n0\n");
    assert_no_container(&ground);
}

#[test]
fn a_users_volume_is_filled_written_by_others_and_removed() {
    let Some(ground) = ground_with_image() else { return };
    let seen = ground.shell(
        Who::User,
        "run='layerfs run --rm --network none'; $run -v www:/var/www box sh -c 'stat -c %u:%g /var/www/index; mkdir -m 700 /var/www/d; \
         touch /var/www/d/f; chown -R 7:7 /var/www/d'; $run -v www:/v box ls /v; stat -c %u share/layerfs/volumes/www/data
        layerfs volume rm www; layerfs volume ls -q; ls -A share/layerfs/volumes
        $run -v www:/var/www -v data:/d box true; layerfs volume prune --all -f | sort; ls -A share/layerfs/volumes; layerfs gc >/dev/null
        fill='mkdir -m 700 /v/d; touch /v/d/f; chown -R 7:7 /v/d'; $run -v /v box sh -c \"$fill\"; ls -A share/layerfs/volumes
        layerfs run --network none --name web -v /v box sh -c \"$fill\"; ls share/layerfs/volumes | wc -l
        layerfs rm -v web; ls -A share/layerfs/volumes",
    );
    let expected = format!("33:34\nd\nindex\n{}\nwww\ndata\nwww\n1\nweb\n", FIRST_SUBORDINATE + 32);
    assert_eq!(seen, expected);
    assert_no_container(&ground);
}

#[test]
fn volumes_that_others_wrote_to_are_counted_and_go_with_prune_and_reset() {
    let Some(ground) = ground_with_image() else { return };
    let seen = ground.shell(
        Who::User,
        "fill() { layerfs run --rm --network none -v $1:/v box sh -c 'mkdir -m 700 /v/d; dd if=/dev/zero of=/v/d/f bs=1M count=1 2>/dev/null; chown -R 7:7 /v/d'; }
        size() { layerfs system df --json | tr -d ' \\n\"' | grep -o 'type:volumes,[^}]*' | grep -o 'size:[0-9]*' | cut -d: -f2; }
        before=$(size); fill $(layerfs volume create); echo $(($(size) - before >= 1048576))
        layerfs volume ls -q | wc -l; layerfs system prune -f --volumes | grep -c '^Total'
        layerfs volume ls -q | wc -l; fill www; layerfs system reset -f; layerfs volume ls -q | wc -l; ls -A share/layerfs/volumes",
    );
    assert_eq!(seen, "1\n1\n1\n0\n0\n");
    assert_no_container(&ground);
}

/// Its root is the user, who could write the program that makes it: where that is so, it runs from a copy.
#[test]
fn the_users_own_program_makes_containers_as_a_copy_that_can_not_be_written() {
    let Some(ground) = ground_with_image() else { return };
    let exe = "of() { for own in /proc/[0-9]*; do tr '\\0' ' ' <$own/cmdline 2>/dev/null | grep -q \"^[^ ]*layerfs .*$1 \" && \
               readlink $own/exe; done; };";
    let seen = ground.shell(
        Who::User,
        &format!(
            "{exe} cp $(command -v layerfs) own; layerfs run -d --network none --name web box sleep 1000 >/dev/null; of supervise; \
             layerfs rm -f web; ./own run -d --network none --name web box sleep 1000 >/dev/null; of supervise; of serve; \
             for own in /proc/[0-9]*; do case $(readlink $own/exe) in *memfd:*) (: >>$own/exe) && echo written; break;; esac; done; \
             ./own rm -f web; rm own"
        ),
    );
    let lines: Vec<&str> = seen.lines().collect();
    let copy = "/memfd:layerfs (deleted)";
    assert_eq!(
        (lines[0], lines[1], lines[2], lines[3]),
        ("/mnt/bin/layerfs", "web", copy, copy),
        "{seen}"
    );
    assert!(
        lines[4].contains("Operation not permitted") || lines[4].contains("Text file busy"),
        "{seen}"
    );
    assert_eq!(lines[5..], ["web"], "{seen}");
    assert_no_container(&ground);
}

#[test]
fn a_users_container_has_the_room_that_it_was_given() {
    let Some(ground) = ground_with_image() else { return };
    let script = "set -- $(df -P / | tail -1); echo $2; dd if=/dev/zero of=/fill bs=64k count=100 2>/dev/null; echo $?; \
                  [ $(stat -c %s /fill) -gt 900000 ] && [ $(stat -c %s /fill) -le 1048576 ] && echo full; \
                  rm /fill; dd if=/dev/zero of=/again bs=64k count=10 2>/dev/null; echo $?";
    let seen = ground.shell(
        Who::User,
        &format!("layerfs run --rm --network none --storage-opt size=1m box sh -c '{script}'"),
    );
    assert_eq!(seen, "1024\n1\nfull\n0\n");
    assert_no_container(&ground);
}
