//! The descriptors of the process that serves: where it has none left, whoever opens is told, and nothing else breaks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use crate::support::{Scratch, machine, need, need_root, watchdog};
use crate::trees::ran;

/// Descriptors that the serving process may have.
const FEW: usize = 128;

/// A place with a lower directory of so many directories, mounted in both ways by a process of few descriptors.
struct Few(Scratch);

impl Few {
    fn new(dirs: usize) -> Few {
        let few = Few(Scratch::new());
        for dir in ["lower", "upper", "work", "directories", "image"] {
            fs::create_dir(few.0.join(dir)).unwrap();
        }
        for n in 0..dirs {
            let dir = few.0.join(format!("lower/{n}"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("file"), vec![b'x'; 5000]).unwrap();
        }
        few.layerfs("", &["import", "lower", "few:1"]);
        few
    }

    /// Where only the server reads and writes, as `io=cached` has it, its calls are those of who asks.
    fn mount(&self, before: &str) {
        let options = "lowerdir=lower,upperdir=upper,workdir=work,io=cached";
        self.layerfs(before, &["mount", "-o", options, "directories"]);
        for dir in ["image-upper", "image-upper.work"] {
            fs::create_dir_all(self.0.join(dir)).unwrap();
        }
        let options = "upperdir=image-upper,workdir=image-upper.work,io=cached";
        self.layerfs(before, &["mount", "-o", options, "few:1", "image"]);
    }

    /// The command, after these words of the shell.
    fn layerfs(&self, before: &str, words: &[&str]) {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_layerfs")]);
        sh.args(words).env("LAYERFS_ROOT", self.0.join("store")).current_dir(self.0.path());
        ran(&mut sh);
    }

    fn end(self) {
        for tree in ["directories", "image"] {
            self.layerfs("", &["umount", tree]);
        }
    }

    /// How many descriptors the process has that serves a mount.
    fn held(&self, tree: &str) -> usize {
        let at = self.0.join(tree);
        let serves =
            |pid: &u32| machine::command_line(*pid).ends_with(&format!(" -- {}", at.display()));
        let pid = machine::pids().into_iter().find(serves).unwrap();
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }
}

/// Opens the files of the directories until it is refused.
fn opened(mount: &Path, how: fn(PathBuf) -> std::io::Result<File>) -> (Vec<File>, Option<i32>) {
    let mut held = Vec::new();
    for n in 0.. {
        match how(mount.join(format!("{n}/file"))) {
            Ok(file) => held.push(file),
            Err(error) => return (held, error.raw_os_error()),
        }
    }
    unreachable!("there is an end to files")
}

#[test]
fn directories_leave_most_descriptors_to_files_that_are_open() {
    need_root!();
    need!("sh");
    let _watch = watchdog(120);
    let few = Few::new(400);
    few.mount(&format!("ulimit -n {FEW}"));
    for tree in ["directories", "image"] {
        let at = few.0.join(tree);
        // More directories of the upper than there are descriptors: none is refused for those before it.
        for n in 0..400 {
            fs::write(at.join(format!("{n}/new")), "new").unwrap();
        }
        let before = few.held(tree);
        let ways: [fn(PathBuf) -> std::io::Result<File>; 3] = [
            |path| File::open(path),
            |path| File::options().write(true).open(path),
            |path| File::create_new(path.with_file_name("another")),
        ];
        for how in ways {
            let (held, errno) = opened(&at, how);
            assert_eq!(errno, Some(Errno::MFILE.raw_os_error()), "{tree}");
            // The closes of before may still be on their way.
            assert!((FEW / 2 - 8..=FEW / 2).contains(&held.len()), "{tree}: {}", held.len());
            let refused = at.join(format!("{}/another", held.len()));
            assert!(!refused.exists(), "{tree}: what can't be open is not made");
            // Who has a file open is served on, and so is who opens none.
            assert!(held[0].metadata().unwrap().is_file(), "{tree}");
            for n in (300..400).rev() {
                assert_eq!(fs::metadata(at.join(format!("{n}/file"))).unwrap().len(), 5000);
                fs::rename(at.join(format!("{n}/new")), at.join(format!("{n}/then"))).unwrap();
                fs::rename(at.join(format!("{n}/then")), at.join(format!("{n}/new"))).unwrap();
            }
            drop(held);
            wait_for(|| few.held(tree) <= before + 8);
            assert_eq!(fs::read(at.join("399/file")).unwrap().len(), 5000, "{tree}");
        }
        fs::create_dir(at.join("made")).unwrap();
        fs::rename(at.join("0"), at.join("made/moved")).unwrap();
        assert_eq!(fs::read(at.join("made/moved/new")).unwrap(), b"new", "{tree}");
    }
    few.end();
}

/// No kernel that lacks quotas can be asked for them: the disk's answer is planted.
#[cfg(feature = "fault")]
#[test]
fn a_quota_that_is_used_up_is_told_to_whoever_writes() {
    need_root!();
    need!("sh");
    let _watch = watchdog(120);
    // The first write to a file of an image tries with three others whether the disk tells holes to the block: refused, it does
    // without that.
    for (call, tree, before) in [
        ("pwrite64", "directories", 0),
        ("pwrite64", "image", 3),
        ("ftruncate", "directories", 0),
        ("fallocate", "directories", 0),
        ("fallocate", "image", 0),
    ] {
        let few = Few::new(2);
        few.mount(&format!("export LAYERFS_FAULT=fail:{}:EDQUOT:{call}", before + 1));
        let at = few.0.join(tree);
        let errno = refused(&at);
        assert_eq!(errno, Some(Errno::DQUOT.raw_os_error()), "{call} on {tree}");
        assert_eq!(fs::read(at.join("0/file")).unwrap(), vec![b'x'; 5000], "{call} on {tree}");
        assert_eq!(refused(&at), None, "{call} on {tree}: there is room again");
        few.end();
    }
}

/// A change of each kind, up to the first that is refused.
#[cfg(feature = "fault")]
fn refused(at: &Path) -> Option<i32> {
    let changed = || {
        let file = File::options().append(true).open(at.join("0/file"))?;
        rustix::io::pwrite(&file, b"more", 5000)?;
        rustix::fs::ftruncate(&file, 5000)?;
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, keep, 0, 5000)?;
        fs::create_dir(at.join("0/made"))?;
        fs::remove_dir(at.join("0/made"))
    };
    changed().err().and_then(|error| error.raw_os_error())
}

fn wait_for(is_so: impl Fn() -> bool) {
    while !is_so() {
        // tidy: allow(sleep) a close is told to the serving process after it, and the watchdog ends the test
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
