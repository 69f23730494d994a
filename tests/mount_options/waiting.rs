//! Who waits for whom on a mount.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{AtFlags, StatxFlags};

use crate::live::live;

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
