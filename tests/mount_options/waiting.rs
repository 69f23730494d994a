//! Who waits for whom on a mount.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::live::{Live, live, step};
use crate::support::watchdog;

/// More than any number of threads that serve a mount.
const COPIES: usize = 24;
const SIZE_MIB: usize = 24;

/// Far more copies than threads, some of them of the same file, and looks at the very files that are copied.
#[test]
fn nobody_else_waits_while_many_large_files_are_copied_up() {
    let Some(live) = live() else { return };
    for number in 0..COPIES / 2 {
        let mut file = File::create(live.place.join(&format!("base/huge{number}"))).unwrap();
        (0..SIZE_MIB).for_each(|_| file.write_all(&[b'x'; 1 << 20]).unwrap());
    }
    // Many copies may be over before the others begin: then nothing was shown, and they are made again.
    for attempt in 0..10 {
        for room in [format!("up{attempt}"), format!("work{attempt}")] {
            std::fs::create_dir(live.place.join(&room)).unwrap();
        }
        let options = format!("lowerdir=top:base,upperdir=up{attempt},workdir=work{attempt}");
        live.place.said(&["mount", "-o", &options, "mnt"]);
        let (begun, left) = (AtomicUsize::new(0), AtomicUsize::new(COPIES));
        let huge = |number: usize| live.place.join(&format!("mnt/huge{}", number / 2));
        let shown = thread::scope(|scope| {
            for number in 0..COPIES {
                let (begun, left, huge) = (&begun, &left, &huge);
                scope.spawn(move || {
                    begun.fetch_add(1, Ordering::AcqRel);
                    let file = File::options().write(true).open(huge(number)).unwrap();
                    left.fetch_sub(1, Ordering::AcqRel);
                    file.write_all_at(b"y", number as u64 % 2).unwrap();
                });
            }
            while begun.load(Ordering::Acquire) < COPIES {
                thread::yield_now();
            }
            for _ in 0..20 {
                ask_the_server(&live.place.join("mnt/both"));
                ask_the_server(&huge(0));
                let absent = rustix::fs::getxattr(huge(0), "user.absent", &mut [0_u8; 8]);
                assert_eq!(absent, Err(rustix::io::Errno::NODATA));
            }
            left.load(Ordering::Acquire) > COPIES / 2
        });
        for number in 0..COPIES / 2 {
            assert_eq!(std::fs::read(huge(number * 2)).unwrap()[..3], *b"yyx");
        }
        live.umount();
        if shown {
            return;
        }
    }
    panic!("looks at files waited for copies, 10 times");
}

/// A `stat` that the kernel does not answer from what it knows.
fn ask_the_server(path: &std::path::Path) {
    let flags = AtFlags::STATX_FORCE_SYNC;
    rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::BASIC_STATS).unwrap();
}

/// The disk of the uppers that are tried: a mount whose process can be stopped, and then answers nothing.
struct Disk(Pid);

impl Disk {
    fn below(live: &Live) -> Disk {
        for dir in ["none", "disk-up", "disk-work", "ram"] {
            std::fs::create_dir(live.place.join(dir)).unwrap();
        }
        let options = "lowerdir=none,upperdir=disk-up,workdir=disk-work";
        live.place.said(&["mount", "-o", options, "ram"]);
        let [server] = live.servers_of("ram")[..] else { panic!("not one process serves it") };
        Disk(Pid::from_raw(i32::try_from(server).unwrap()).unwrap())
    }

    fn stop(&self) {
        kill_process(self.0, Signal::STOP).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

/// What is done while the disk does not answer, each to a file or directory of its own: the kernel lets one sync of a file
/// wait at a time.
const WAITING: usize = 12;

/// As many waits of a kind as there are threads that serve a mount, three times over.
fn nobody_else_waits(options: &str, deed: impl Fn(&Live, usize) -> Box<dyn FnOnce() + Send>) {
    let Some(live) = live() else { return };
    let _watch = watchdog(120);
    for number in 0..WAITING {
        std::fs::write(live.place.join(&format!("base/large{number}")), [b'x'; 1 << 20]).unwrap();
        std::fs::write(live.place.join(&format!("base/small{number}")), "x").unwrap();
        std::fs::create_dir(live.place.join(&format!("base/dir{number}"))).unwrap();
    }
    let disk = Disk::below(&live);
    for dir in ["ram/up", "ram/work"] {
        std::fs::create_dir(live.place.join(dir)).unwrap();
    }
    let options = format!("lowerdir=top:base,upperdir=ram/up,workdir=ram/work{options}");
    live.place.said(&["mount", "-o", &options, "mnt"]);
    ask_the_server(&live.place.join("mnt/only"));
    let deeds: Vec<_> = (0..WAITING).map(|number| deed(&live, number)).collect();
    // What is asked of the directories themselves is known while nobody answers.
    for dir in ["ram/up", "ram/work"] {
        std::fs::metadata(live.place.join(dir)).unwrap();
    }
    disk.stop();
    let begun = Barrier::new(WAITING + 1);
    let only = live.place.join("mnt/only");
    let (answers, asked) = mpsc::channel();
    let answered = thread::scope(|scope| {
        for deed in deeds {
            scope.spawn(|| {
                begun.wait();
                deed();
            });
        }
        begun.wait();
        scope.spawn(move || {
            for _ in 0..500 {
                ask_the_server(&only);
                // Those that wait have come to the server by then.
                thread::yield_now();
            }
            answers.send(()).unwrap();
        });
        let answered = asked.recv_timeout(Duration::from_secs(20)).is_ok();
        drop(disk);
        answered
    });
    live.umount();
    // Its server closes what it has there after its name has gone from the table of processes.
    while live.place.run(&["umount", "ram"]).status != Some(0) {
        step();
    }
    assert!(answered, "a stat of another file waited for the disk");
}

#[test]
fn nobody_else_waits_for_syncs_of_files_that_are_copied_up() {
    nobody_else_waits("", |live, number| {
        let path = live.place.join(&format!("mnt/large{number}"));
        let file = File::open(&path).unwrap();
        Box::new(move || {
            thread::scope(|scope| {
                scope.spawn(|| File::options().write(true).open(&path).unwrap());
                (0..50).for_each(|_| thread::yield_now());
                file.sync_all().unwrap();
            });
        })
    });
}

#[test]
fn nobody_else_waits_for_syncs_of_files_on_a_disk_that_does_not_answer() {
    nobody_else_waits("", |live, number| {
        let mut file = File::create(live.place.join(&format!("mnt/new{number}"))).unwrap();
        file.write_all(b"new").unwrap();
        Box::new(move || file.sync_all().unwrap())
    });
}

#[test]
fn nobody_else_waits_for_syncs_of_directories_on_a_disk_that_does_not_answer() {
    nobody_else_waits("", |live, number| {
        let path = live.place.join(&format!("mnt/dir{number}"));
        std::fs::write(path.join("new"), "").unwrap();
        let dir = File::open(path).unwrap();
        Box::new(move || dir.sync_all().unwrap())
    });
}

#[test]
fn nobody_else_waits_for_copies_of_small_files_to_a_disk_that_does_not_answer() {
    nobody_else_waits("", |live, number| {
        let path = live.place.join(&format!("mnt/small{number}"));
        std::fs::metadata(&path).unwrap();
        Box::new(move || std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap())
    });
}

#[test]
fn nobody_else_waits_for_names_that_are_synced_at_once() {
    type Change = fn(&Path, &Path);
    const CHANGES: [Change; 7] = [
        |old, _| std::fs::remove_file(old).unwrap(),
        |_, new| std::fs::create_dir(new).unwrap(),
        |old, new| std::fs::rename(old, new).unwrap(),
        |_, new| drop(File::create(new).unwrap()),
        |_, new| std::os::unix::fs::symlink("x", new).unwrap(),
        |old, new| std::fs::hard_link(old, new).unwrap(),
        |_, new| {
            let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, new, fifo, mode, 0).unwrap();
        },
    ];
    nobody_else_waits(",dirsync", |live, number| {
        let dir = live.place.join(&format!("mnt/dir{number}"));
        let (old, new) = (dir.join("old"), dir.join("new"));
        std::fs::write(&old, "").unwrap();
        // To look at a name may wait for the disk as well: the kernel knows them all.
        assert!(!new.exists() && old.exists() && dir.exists());
        Box::new(move || CHANGES[number % CHANGES.len()](&old, &new))
    });
}
