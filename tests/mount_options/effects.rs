//! The effect of each option that docs/options.md calls honoured.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::live::Live;
use crate::place::Run;

const BASE: &str = "upperdir=up,workdir=work";

/// A mount with one word more than it needs.
pub struct Trial<'a> {
    pub live: &'a Live,
    pub word: String,
    lowers: &'static str,
}

impl<'a> Trial<'a> {
    /// With an upper that is new, and lower directories that are as they were.
    pub fn of(live: &'a Live, word: &str) -> Self {
        live.shell("rm -rf up work base/more; mkdir up work; echo base > base/both");
        Trial { live, word: word.to_owned(), lowers: "lowerdir=top:base," }
    }

    /// The words after `-o`.
    pub fn options(&self) -> String {
        format!("{}{BASE},{}", self.lowers, self.word)
    }

    pub fn run(&self) -> Run {
        self.live.place.run(&["mount", "-o", &self.options(), "mnt"])
    }

    /// Mounts, looks, and unmounts.
    pub fn mounted(&self, look: impl FnOnce(&Live)) {
        let run = self.run();
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{}", self.options());
        look(self.live);
        self.live.umount();
    }

    /// What a script says in a mount: its standard output, and what it complains of.
    fn says(&self, script: &str) -> String {
        let mut said = String::new();
        self.mounted(|live| said = live.shell(&format!("exec 2>&1; {script}")));
        said
    }

    /// The flags of the mount and of its file system.
    fn flags(&self) -> Vec<String> {
        let mut flags = String::new();
        self.mounted(|live| flags = live.found()[2].clone());
        flags.split(',').map(str::to_owned).collect()
    }

    fn has(&self, flag: &str) -> bool {
        self.flags().iter().any(|one| one == flag)
    }

    /// The same with another word.
    fn with(&self, word: &str) -> Trial<'a> {
        Trial { word: word.to_owned(), ..Trial::of(self.live, word) }
    }

    /// What a script says in a mount in which no sync of the upper succeeds.
    #[cfg(feature = "fault")]
    fn says_where_syncs_fail(&self, script: &str) -> String {
        self.says_where("fsync", script)
    }

    /// What a script says in a mount whose server has such a call refused.
    #[cfg(feature = "fault")]
    fn says_where(&self, call: &str, script: &str) -> String {
        let mut command = self.live.place.command(&["mount", "-o", &self.options(), "mnt"]);
        let run =
            crate::place::finished(command.env("LAYERFS_FAULT", format!("fail:1:EIO:{call}")));
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{}", self.options());
        let said = self.live.shell(&format!("exec 2>&1; {script}"));
        self.live.umount();
        said
    }
}

/// Proves that a word has its effect.
pub fn check(trial: &Trial<'_>) {
    let word = trial.word.as_str();
    match word.split('=').next().unwrap_or(word) {
        "lowerdir" | "lowerdir+" | "upperdir" => directories(trial),
        "redirect_dir" => redirects(trial),
        "userxattr" => {
            let said = trial.says("echo x >> mnt/only; getfattr -m - up/only");
            assert!(said.contains("user.overlay."), "{said}");
        }
        "volatile" => volatile(trial),
        "whiteout" => whiteouts(trial),
        "io" => writes(trial),
        // What it does is seen in `awake`.
        "cpu_latency" => trial.mounted(|_| {}),
        "fsync" if word == "fsync=volatile" => volatile(trial),
        "fsync" | "sync" | "dirsync" => syncs(trial),
        "uidmapping" | "gidmapping" | "squash_to_root" | "squash_to_uid" | "squash_to_gid" => {
            owners(trial)
        }
        "remount" => trial.with("").mounted(|live| {
            let again = format!("{},ro", trial.options());
            live.place.said(&["mount", "-o", &again, "mnt"]);
            assert!(live.found()[2].starts_with("ro,"), "{:?}", live.found());
        }),
        "partial" => {
            trial.mounted(|live| drop(live.shell("chmod 600 mnt/only")));
            let left =
                "getfattr -hn trusted.overlay.metacopy up/only | wc -l; stat -c '%s %b' up/only";
            assert_eq!(trial.live.shell(left), "3\n4 0\n");
        }
        "timeout" => trial.mounted(|live| {
            assert!(!live.place.join("mnt/more").exists());
            fs::write(live.place.join("base/more"), "").unwrap();
            assert!(live.place.join("mnt/more").exists());
        }),
        "noxattrs" => {
            let said = trial.says("setfattr -n user.x -v y mnt/only; setfacl -m u:7:r mnt/only; getfattr -n user.x mnt/only");
            assert_eq!(said.matches("Operation not supported").count(), 3, "{said}");
        }
        "static_nlink" => {
            let script = "mkdir -p mnt/n/a mnt/n/b; stat -c %h mnt/n";
            assert_eq!(
                (trial.says(script), trial.with("").says(script)),
                ("1\n".into(), "4\n".into())
            );
        }
        "noacl" => {
            assert!(trial.says("setfacl -m u:7:r mnt/only").contains("Operation not supported"))
        }
        "acl" => assert!(
            trial.says("setfacl -m u:7:r mnt/only; getfacl -cnE mnt/only").contains("user:7:r--")
        ),
        "allow_other" | "allow_root" => entrance(trial),
        "store" => {
            trial.live.shell("mkdir base/more");
            // A store is not shown where it lies below a lower directory.
            let trial = Trial { word: "store=base/more".into(), ..*trial };
            assert_eq!(trial.says("ls mnt"), "both\nd\nonly\n");
        }
        "size" | "inodes" => bounds(trial),
        "fsname" => trial.mounted(|live| assert_eq!(live.found()[0], "a,b")),
        "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" | "unbindable"
        | "runbindable" => propagation(trial),
        // What SELinux makes of it is that machine's; where there is none, nothing.
        "context" | "fscontext" | "defcontext" | "rootcontext" => labels(trial),
        _ => mount_flags(trial),
    }
}

fn directories(trial: &Trial<'_>) {
    let live = trial.live;
    let spelled = [("A", "top"), ("B", "base"), ("=U", "=up"), ("=W", "=work")];
    let words =
        spelled.iter().fold(trial.word.clone(), |word, (one, other)| word.replace(one, other));
    let is_upper = words.contains("upperdir");
    let options =
        if is_upper { format!("lowerdir=top:base,{words}") } else { format!("{words},{BASE}") };
    live.place.said(&["mount", "-o", &options, "mnt"]);
    assert_eq!([live.read("mnt/both"), live.read("mnt/only")], ["top", "only"], "{options}");
    fs::write(live.place.join("mnt/new"), "").unwrap();
    assert!(live.place.join("up/new").exists());
    live.umount();
    live.shell("mkdir a:b; echo colon > a:b/colon");
    live.place.said(&["mount", "-o", "lowerdir+=top,lowerdir+=a:b,ro", "mnt"]);
    assert_eq!(live.read("mnt/colon"), "colon\n");
    live.umount();
    live.shell("rm -r a:b");
}

/// A directory of the lower that was renamed before, and one that is to be renamed.
fn redirects(trial: &Trial<'_>) {
    let live = trial.live;
    live.shell("mkdir base/old base/next; echo in > base/old/in");
    let renamed = |from: &str, to: &str| fs::rename(live.place.join(from), live.place.join(to));
    trial.with("").mounted(|_| renamed("mnt/old", "mnt/moved").unwrap());
    let run = trial.run();
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let moved = fs::read_to_string(live.place.join("mnt/moved/in"));
    let next = renamed("mnt/next", "mnt/then");
    live.umount();
    live.shell("rm -r base/old base/next");
    let expected = match &*trial.word {
        "redirect_dir=on" => (true, true),
        "redirect_dir=follow" => (true, false),
        _ => (false, false),
    };
    assert_eq!((moved.is_ok(), next.is_ok()), expected, "{}: {moved:?} {next:?}", trial.word);
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    assert!(moved.is_ok() || moved.is_err_and(denied), "EPERM, as of the kernel");
    assert!(next.is_ok() || next.is_err_and(|error| error.kind() == ErrorKind::CrossesDevices));
}

/// What stands in the upper for a name of a lower directory that was removed.
fn whiteouts(trial: &Trial<'_>) {
    trial.mounted(|live| fs::remove_file(live.place.join("mnt/both")).unwrap());
    let shown = trial.live.shell("cd up; find . -name '*both' -printf '%f %y %s\\n'");
    let expected = match &*trial.word {
        "whiteout=device" => "both c 0\n",
        "whiteout=xattr" => "both f 0\n",
        _ => ".wh.both f 0\n",
    };
    assert_eq!(shown, expected, "{}", trial.word);
}

/// How much is written, and what `df` shows.
fn bounds(trial: &Trial<'_>) {
    let script = "head -c 30M /dev/zero > mnt/new; [ $(stat -c %s mnt/new) -le 20971520 ] && df -B1 --output=size mnt
        for n in $(seq 600); do : > mnt/n$n || break; done; ls -d mnt/n[0-9]* | wc -l; df --output=itotal mnt";
    let said = trial.says(script);
    let told = if trial.word == "inodes=500" {
        ["\n498\n", " 500\n"]
    } else {
        [" 20971520\n", "No space left"]
    };
    assert!(told.iter().all(|told| said.contains(told)), "{}: {said}", trial.word);
}

fn volatile(trial: &Trial<'_>) {
    trial.mounted(|live| assert!(live.place.join("work/work/incompat/volatile/dirty").exists()));
}

#[cfg(not(feature = "fault"))]
fn writes(trial: &Trial<'_>) {
    trial.mounted(|_| {});
}

/// A write of the server that fails is noticed where it writes.
#[cfg(feature = "fault")]
fn writes(trial: &Trial<'_>) {
    let script = "echo x > mnt/f; cat mnt/f";
    assert!(trial.with(&trial.word).says_where("pwrite64", script).contains("write error"));
    assert_eq!(trial.with("").says_where("pwrite64", script), "x\n");
}

#[cfg(not(feature = "fault"))]
fn syncs(trial: &Trial<'_>) {
    trial.mounted(|_| {});
}

/// A sync that fails is noticed where there is one.
#[cfg(feature = "fault")]
fn syncs(trial: &Trial<'_>) {
    let of_file = "echo x > mnt/f; sync mnt/f && echo done";
    let of_name = "mkdir mnt/n && echo done";
    let write = "dd if=/dev/zero of=mnt/f bs=1 count=1 status=none && echo done";
    let is_done =
        |script: &str| trial.with(&trial.word).says_where_syncs_fail(script).contains("done\n");
    let done = [of_file, of_name, write].map(is_done);
    let expected = match &*trial.word {
        "fsync=0" => [true, true, true],
        "dirsync" => [false, false, false],
        "sync" => [false, false, false],
        _ => [false, true, true],
    };
    assert_eq!(done, expected, "{}", trial.word);
    let plain = trial.with("").says_where_syncs_fail(of_file);
    assert!(!plain.contains("done\n"), "without it there is a sync: {plain}");
}

fn owners(trial: &Trial<'_>) {
    let said = trial.says("stat -c %u:%g mnt/only; echo x > mnt/new; stat -c %u:%g mnt/new up/new");
    let expected = match trial.word.split('=').next() {
        Some("uidmapping") => "100000:0\n100000:0\n0:0\n",
        Some("gidmapping") => "0:200000\n0:200000\n0:0\n",
        Some("squash_to_uid") => "9:0\n9:0\n0:0\n",
        Some("squash_to_gid") => "0:9\n0:9\n0:0\n",
        _ => "0:0\n0:0\n0:0\n",
    };
    assert_eq!(said, expected, "{}", trial.word);
    let chowned =
        trial.with(&trial.word).says("chown 0:0 mnt/only; stat -c %u:%g mnt/only up/only");
    assert!(chowned.ends_with("\n0:0\n"), "{chowned}");
    if trial.word == "squash_to_root" {
        let said =
            trial.with("squash_to_root").says("chown 5:6 mnt/only; stat -c %u:%g mnt/only up/only");
        assert_eq!(said, "0:0\n5:6\n");
    }
}

fn entrance(trial: &Trial<'_>) {
    let said = trial.says(
        "chmod 755 .; setpriv --reuid 1000 --regid 1000 --clear-groups ls mnt; ls mnt | wc -l",
    );
    let is_open = said.contains("both\n");
    assert_eq!(is_open, trial.word == "allow_other", "{said}");
    assert_eq!(trial.with(&trial.word).has("allow_other"), is_open);
}

fn propagation(trial: &Trial<'_>) {
    let said = trial.says("findmnt -no PROPAGATION mnt");
    // A slave of nobody is private.
    let expected = match trial.word.trim_start_matches('r') {
        "shared" => "shared",
        "unbindable" => "private,unbindable",
        _ => "private",
    };
    let said = said.trim_end().split(',').filter(|word| *word != "slave").collect::<Vec<_>>();
    assert_eq!(said.join(","), expected, "{}", trial.word);
}

fn labels(trial: &Trial<'_>) {
    if !fs::exists("/sys/fs/selinux/enforce").unwrap() {
        trial.mounted(|live| assert!(!live.found()[2].contains("context")));
    }
}

/// Flags that the kernel keeps: what the table of mounts shows, and what two of them do.
fn mount_flags(trial: &Trial<'_>) {
    let live = trial.live;
    let word = &*trial.word;
    // What takes another back.
    let taken_back = [
        ("rw", "ro"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("exec", "noexec"),
        ("atime", "noatime"),
        ("relatime", "noatime"),
        ("nostrictatime", "strictatime"),
        ("diratime", "nodiratime"),
        ("nolazytime", "lazytime"),
        ("async", "sync"),
        ("symfollow", "nosymfollow"),
    ];
    if let Some((_, other)) = taken_back.iter().find(|(one, _)| *one == word) {
        let plain = trial.with("").flags();
        assert_ne!(trial.with(other).flags(), plain, "{other} has an effect");
        assert_eq!(trial.with(&format!("{other},{word}")).flags(), plain, "{word} takes it back");
        return;
    }
    match word {
        // The kernel shows it by showing no other word on times.
        "strictatime" => assert!(!trial.has("relatime")),
        "ro" | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime" | "lazytime"
        | "nosymfollow" => {
            assert!(trial.has(word), "{word}");
        }
        other => panic!("`{other}` is called honoured, and nothing proves it"),
    }
    let program = trial.with("").live.place.join("base/program");
    fs::write(&program, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let said = trial.with(word).says(
        "mnt/program; mknod mnt/null c 1 3 && : > mnt/null; ln -s only mnt/link; cat mnt/link",
    );
    let refused = match word {
        "noexec" => "program: Permission denied",
        "nodev" => "null: Permission denied",
        "ro" => "null: Read-only file system",
        "nosymfollow" => "link: Too many levels of symbolic links",
        _ => "",
    };
    assert!(said.contains(refused) && said.contains("ran") == (word != "noexec"), "{word}: {said}");
    assert_eq!(fs::metadata(live.place.join("base/program")).unwrap().mode() & 0o7777, 0o4755);
    fs::remove_file(program).unwrap();
}
