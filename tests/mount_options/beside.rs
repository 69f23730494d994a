//! What several processes do to one name or file at once.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::live::{Live, live};
use crate::support::{rights, watchdog};

const OPTIONS: &str = "lowerdir=base,upperdir=up,workdir=work";

fn mounted(options: &str, prepare: impl FnOnce(&Live)) -> Option<Live> {
    let live = live()?;
    prepare(&live);
    live.place.said(&["mount", "-o", options, "mnt"]);
    Some(live)
}

/// Who is sent to the second number of a file whose layer the kernel reads comes there, however many open and close the file.
#[test]
fn who_writes_a_program_beside_its_readers_is_never_told_that_it_is_stale() {
    const FILES: usize = 200;
    let _watch = watchdog(120);
    let bytes = [&b"\x7fELF"[..], &[b'A'; 5000]].concat();
    let mounted = mounted(OPTIONS, |live| {
        for number in 0..FILES {
            let path = live.place.join(&format!("base/d/{number}"));
            fs::write(&path, &bytes).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    });
    let Some(live) = mounted else { return };
    for number in 0..FILES {
        let path = live.place.join(&format!("mnt/d/{number}"));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Acquire) {
                        drop(File::open(&path).unwrap());
                    }
                });
            }
            let written = OpenOptions::new().write(true).open(&path);
            is_over.store(true, Ordering::Release);
            drop(written.unwrap());
        });
        assert!(
            fs::read(live.place.join(&format!("base/d/{number}"))).unwrap() == bytes,
            "the layer"
        );
    }
    live.umount();
    live.assert_nothing_left();
}

/// A bind mount of a file looks no name up again: once the file is found under a second number it can't be opened by that, until who
/// reads the layer has let go and the kernel has forgotten.
#[test]
fn a_file_that_is_bound_elsewhere_is_stale_there_while_its_layer_is_read() {
    if !rights::have_given_files() {
        return;
    }
    let mounted = mounted(OPTIONS, |live| {
        let path = live.place.join("base/program");
        fs::write(&path, [&b"\x7fELF"[..], &[b'A'; 5000]].concat()).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(live.place.join("bound"), "").unwrap();
    });
    let Some(live) = mounted else { return };
    live.shell("mount --bind mnt/program bound");
    let (program, bound) = (live.place.join("mnt/program"), live.place.join("bound"));
    let held = File::open(&program).unwrap();
    drop(File::open(&bound).unwrap());
    drop(OpenOptions::new().write(true).open(&program).unwrap());
    assert_eq!(File::open(&bound).unwrap_err().kind(), ErrorKind::StaleNetworkFileHandle);
    drop(File::open(&program).unwrap());
    drop(held);
    live.shell("umount bound");
    live.umount();
}

/// A file that could not be filled takes no more room than before: nobody is shown what was filled in.
#[test]
fn a_file_that_can_not_be_filled_gives_its_room_back() {
    let Some(live) = live() else { return };
    let _watch = watchdog(120);
    fs::write(live.place.join("base/big"), vec![b'x'; 24 << 20]).unwrap();
    live.shell("mkdir ram; mount -t tmpfs -o size=16m ram ram; mkdir ram/up ram/work");
    let options = "lowerdir=base,upperdir=ram/up,workdir=ram/work,partial=on";
    live.place.said(&["mount", "-o", options, "mnt"]);
    let big = live.place.join("mnt/big");
    std::os::unix::fs::chown(&big, Some(7), Some(7)).unwrap();
    for _ in 0..2 {
        assert_eq!(filled(&big).unwrap_err().kind(), ErrorKind::StorageFull);
        fs::write(live.place.join("mnt/other"), vec![b'y'; 8 << 20]).unwrap();
        fs::remove_file(live.place.join("mnt/other")).unwrap();
    }
    assert!(fs::read(&big).unwrap() == vec![b'x'; 24 << 20], "it is as it was");
    live.umount();
    live.shell("until umount ram; do :; done 2> umounting");
}

/// Has a file get all its data, as what allocates in one needs it.
fn filled(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 1)?)
}

/// A name that is always there is never told to be absent. An open that meets two replacements one after the other may be told that
/// what it found is stale: the kernel looks once more, and no more often.
#[test]
fn a_name_that_is_replaced_while_it_is_opened_is_there() {
    let _watch = watchdog(120);
    let Some(live) = mounted(OPTIONS, |live| fs::write(live.place.join("base/name"), [0]).unwrap())
    else {
        return;
    };
    let (name, other) = (live.place.join("mnt/name"), live.place.join("mnt/other"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..1500_usize {
                fs::write(&other, vec![b'x'; round % 7 + 1]).unwrap();
                fs::rename(&other, &name).unwrap();
            }
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            if let Err(error) = File::open(&name) {
                assert_eq!(error.kind(), ErrorKind::StaleNetworkFileHandle, "{error}");
            }
        }
    });
    live.umount();
    live.assert_nothing_left();
}

/// Filling a file takes what a write takes along, and gives it back: what is changed meanwhile stays changed.
#[test]
fn what_is_changed_while_a_file_is_filled_stays() {
    let _watch = watchdog(120);
    let options = format!("{OPTIONS},partial=on");
    let mounted = mounted(&options, |live| {
        for number in 0..8 {
            let path = live.place.join(&format!("base/d/{number}"));
            fs::write(&path, vec![b'x'; 24 << 20]).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    });
    let Some(live) = mounted else { return };
    for number in 0..8_u64 {
        let path = live.place.join(&format!("mnt/d/{number}"));
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| filled(&path).unwrap());
            // Before it begins, in its midst, and after it.
            thread::park_timeout(std::time::Duration::from_micros(800 * number));
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        });
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{number}");
    }
    live.umount();
    live.assert_nothing_left();
}
