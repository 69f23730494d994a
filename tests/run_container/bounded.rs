//! How much a container's own files may take: held by the file system itself, and shown.

use crate::place::Place;
use crate::support::{Scratch, need, need_root};

const MIB: u64 = 1 << 20;

/// Numbers, a line each.
fn numbers(said: &str) -> Vec<u64> {
    said.lines().map(|line| line.trim().parse().unwrap()).collect()
}

#[test]
fn a_container_has_the_room_that_it_was_given_and_no_more() {
    need_root!();
    for scratch in [Scratch::new as fn() -> Scratch, Scratch::on_disk] {
        let place = Place::on(scratch());
        let script = "exec 2>/dev/null
            df -B1 --output=size / | tail -1; df --output=itotal / | tail -1
            dd if=/dev/zero of=/fill bs=1M count=100; echo $?; stat -c %s /fill; df -B1 --output=avail / | tail -1
            dd if=/dev/zero of=/fill bs=1M count=2 conv=notrunc; echo $?
            rm /fill; dd if=/dev/zero of=/again bs=1M count=15; echo $?; rm /again
            mkdir /many; for n in $(seq 600); do true >/many/$n || break; done; ls /many | wc -l
            rm -r /many; true >/one; echo $?";
        let ran = place.script(&["--storage-opt", "size=20m,inodes=500"], script);
        assert_eq!(ran.status, 0, "{ran:?}");
        let [size, inodes, refused, filled, left, over, again, many, one] = numbers(&ran.out)[..]
        else {
            panic!("{ran:?}")
        };
        assert_eq!((size, inodes), (20 * MIB, 500), "{ran:?}");
        assert_eq!((refused, over, again, one), (1, 0, 0, 0), "{ran:?}");
        assert!(filled <= 20 * MIB && filled > 19 * MIB && left < 65_536, "{ran:?}");
        assert!(many > 400 && many < 500, "{ran:?}");
        place.assert_nothing_left();
    }
}

#[test]
fn what_was_written_before_a_start_or_by_cp_counts() {
    need_root!();
    let place = Place::new();
    let script = "dd if=/dev/zero of=/next.$$ bs=1M count=12 2>/dev/null; stat -c %s /next.*; df -B1 --output=size / | tail -1; mv /next.* /was";
    let words = ["--name", "kept", "--storage-opt", "size=20m", "--storage-opt", "inodes=400"];
    let run = [&["run"], &words[..], &["--rootfs", "/", "sh", "-c", script]].concat();
    assert_eq!(numbers(&place.layerfs(&run).said()), [12 * MIB, 20 * MIB]);
    let again = numbers(&place.layerfs(&["start", "-a", "kept"]).said());
    assert!(again[0] > 7 * MIB && again[0] < 8 * MIB && again[1] == 20 * MIB, "{again:?}");
    let file = place.join("file");
    std::fs::write(&file, vec![1; 30 << 20]).unwrap();
    let copied = place.layerfs(&["cp", file.to_str().unwrap(), "kept:/file"]);
    assert!(copied.status == 1 && copied.err.contains("No space left on device"), "{copied:?}");
    std::fs::remove_file(&file).unwrap();
    let shown = place.layerfs(&["inspect", "kept"]).said();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let said = serde_json::json!({"size": "20m", "inodes": "400"});
    assert_eq!(shown[0]["HostConfig"]["StorageOpt"], said);
    place.layerfs(&["rm", "kept"]).said();
    place.assert_nothing_left();
}

#[test]
fn what_a_mapping_writes_without_room_is_told_by_its_sync() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let script = r#"exec python3 - <<'END'
import errno, mmap, os
def told(deed):
    try:
        deed()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
at = os.open("/map", os.O_RDWR | os.O_CREAT)
os.ftruncate(at, 64 << 20)
memory = mmap.mmap(at, 64 << 20)
for page in range(0, 64 << 20, 4096):
    memory[page] = 1
print(told(memory.flush), told(lambda: os.fsync(at)))
memory.close()
print(os.stat("/map").st_blocks * 512 <= 20 << 20)
os.ftruncate(at, 0)
os.write(at, b"x" * (10 << 20))
memory = mmap.mmap(at, 10 << 20)
memory[:] = b"y" * (10 << 20)
print(told(memory.flush))
memory.close()
left = os.statvfs("/")
rest = os.open("/rest", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(rest, 0, left.f_bavail * left.f_frsize - (64 << 10))
half = os.open("/half", os.O_RDWR | os.O_CREAT)
os.ftruncate(half, 256 << 10)
memory = mmap.mmap(half, 256 << 10)
memory[:] = b"z" * (256 << 10)
print(told(memory.flush), os.fstat(half).st_blocks > 0)
END"#;
    let ran = place.script(&["--storage-opt", "size=20m"], script);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].contains("ENOSPC"), "{ran:?}");
    assert_eq!(lines[1..3], ["True", "done"], "what has its room is written in place: {ran:?}");
    assert_eq!(lines[3..], ["ENOSPC True"], "of a part that had room nobody is told so: {ran:?}");
    place.assert_nothing_left();
}

#[test]
fn words_that_bound_nothing_are_named_and_leave_nothing() {
    need_root!();
    let place = Place::new();
    for (word, told) in [
        ("size=x", "bytes, or a number with k, m, g or t, such as 10g"),
        ("size=1k", "at least 64k"),
        ("inodes=many", "how many files and directories, 1 or more"),
        ("quota=1g", "there are `size=`, such as size=10g, and `inodes=`"),
    ] {
        let ran = place.script(&["--storage-opt", word], "true");
        let line = format!("layerfs: --storage-opt `{word}`: {told}\n");
        assert_eq!((ran.status, ran.err), (125, line));
    }
    place.assert_nothing_left();
}
