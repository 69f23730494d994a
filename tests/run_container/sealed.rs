//! A container that gets hold of the program that made it can't change it.
//!
//! The image names `/proc/self/exe` as its command, or as the interpreter of it, and has a library loaded into what that
//! is: the program of the host's. The library keeps the file and becomes a shell.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hostile::Root;
use crate::place::{Place, Ran, ran};
use crate::support::{need, need_root};

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
    unsetenv("LD_PRELOAD");
    dup2(open("/proc/self/exe", O_PATH), 9);
    execl("/bin/sh", "sh", "/attack", (char *)0);
}
"#;

/// Emptying the file asks the mount before it asks whether the file is being executed.
const ATTACK: &str = "exec 2>&1; f=/proc/self/fd/9; stat -Lc %i $f; (: >$f) && echo emptied; (: >>$f) && echo opened; \
                      chmod 4777 $f && echo chmod; chown 1:1 $f && echo chown; touch $f && echo touch; true";

/// A copy of the program, and an image that attacks what runs it.
pub struct Attack {
    pub root: Root,
    program: PathBuf,
}

impl Attack {
    pub fn new(place: &Place) -> Attack {
        let root = Root::new(place, "root");
        let program = place.join("program");
        std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
        let source = place.join("library.c");
        std::fs::write(&source, LIBRARY).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(root.path.join("library.so")).arg(source);
        assert!(cc.status().unwrap().success());
        std::fs::write(root.path.join("attack"), ATTACK).unwrap();
        let script = root.path.join("script");
        std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
        std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
        Attack { root, program }
    }

    fn run(
        &self,
        place: &Place,
        (entrypoint, users): (&str, &str),
        environment: &[(&str, &str)],
    ) -> Ran {
        let mut command = Command::new(&self.program);
        command.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
        command.envs(environment.iter().copied());
        command.args([
            "run",
            "--rm",
            "--userns",
            users,
            "-v",
            "/usr:/usr:ro",
            "-e",
            "LD_PRELOAD=/library.so",
        ]);
        command.args(["--entrypoint", entrypoint, "--rootfs"]).arg(&self.root.path).arg("x");
        ran(command.output().unwrap())
    }

    /// The same as a further process of the container `box`.
    pub fn exec(&self, place: &Place, program: &str) -> Ran {
        let mut command = Command::new(&self.program);
        command.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
        command.args(["exec", "-e", "LD_PRELOAD=/library.so", "box", program, "x"]);
        ran(command.output().unwrap())
    }
}

/// What the attack said: it got hold of the program and of nothing else.
pub fn assert_held(attack: &Attack, (entrypoint, users): (&str, &str), said: &str) {
    let (inode, refused) = said.split_once('\n').unwrap();
    let own = std::fs::metadata(&attack.program).unwrap().ino();
    assert_eq!(inode, own.to_string(), "{entrypoint} does not reach the program: {said}");
    let refused: Vec<&str> = refused.lines().collect();
    assert_eq!(refused.len(), 5, "{entrypoint}: {said}");
    for (at, line) in refused.iter().enumerate() {
        // Of a file that is being executed, an open for writing is refused for that; touch tells why its open was.
        let busy = at == 1 || at == 4;
        let reasons: &[&str] = match (busy, users) {
            // To users of a container's own it is not theirs to write, besides.
            (true, "auto") => &["Read-only file system", "Text file busy", "Permission denied"],
            (true, _) => &["Read-only file system", "Text file busy"],
            (false, _) => &["Read-only file system"],
        };
        assert!(reasons.iter().any(|reason| line.ends_with(reason)), "{entrypoint}: {said}");
    }
}

/// All that a container could have changed.
fn seen(program: &Path) -> (u64, u32, u32, i64, i64, Vec<u8>) {
    let stat = std::fs::metadata(program).unwrap();
    let bytes = std::fs::read(program).unwrap();
    (stat.ino(), stat.mode(), stat.uid(), stat.mtime_nsec(), stat.ctime_nsec(), bytes)
}

#[test]
fn a_container_can_not_change_the_program_that_made_it() {
    need_root!();
    need!("cc");
    let place = Place::new();
    let attack = Attack::new(&place);
    let before = seen(&attack.program);
    // Root of the host may change any file that is not on such a mount; root of a container's own users is a stranger to it besides.
    for entrypoint in ["/proc/self/exe", "/proc/1/exe", "/script"] {
        for users in ["host", "auto"] {
            let said = attack.run(&place, (entrypoint, users), &[]).said();
            assert_held(&attack, (entrypoint, users), &said);
            assert!(seen(&attack.program) == before, "{entrypoint}");
        }
    }
    // A program that takes itself for sealed is reached, and changed by root of the host: this is the control.
    let unsealed = [("_LAYERFS_SEALED", "1")];
    let reached = attack.run(&place, ("/proc/self/exe", "auto"), &unsealed).said();
    assert!(!reached.contains("chmod\n") && seen(&attack.program) == before, "{reached}");
    let reached = attack.run(&place, ("/proc/self/exe", "host"), &unsealed).said();
    assert!(reached.contains("\nchmod\nchown\ntouch\n"), "{reached}");
    place.assert_nothing_left();
}
