//! Uppers that the kernel's overlayfs has mounted: refused by name while it does, and left as they are.

use std::time::{Duration, Instant};

use crate::live::{Live, Stopped, live};

/// What waits for nobody has ended by then.
const QUICK: Duration = Duration::from_secs(10);

#[cfg(feature = "fault")]
const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

/// What stands in the directories that are not to be touched.
const LEFT: &str = "find up changes work w odd* -printf '%p %y %C@\n' 2>/dev/null | sort; true";

fn told(live: &Live, words: &[&str], at: &str) {
    let before = live.shell(LEFT);
    let line = live.place.refused(words);
    let told = format!(
        "the kernel's overlayfs has it, or its work directory, mounted at `{}`: unmount that first",
        live.place.join(at).display()
    );
    assert!(line.contains(&told), "{words:?}: {line}");
    assert_eq!(live.shell(LEFT), before, "{words:?}");
}

#[test]
fn an_upper_that_the_kernel_has_mounted_is_refused_by_every_verb() {
    let Some(live) = live() else { return };
    live.place.said(&["import", "base", "image:1"]);
    live.place.said(&["mount", "--upper", "changes", "image:1", "mnt"]);
    live.shell("echo new > mnt/new");
    live.umount();
    live.shell("mkdir kernel w; mount -t overlay overlay -o lowerdir=$PWD/base,upperdir=$PWD/changes,workdir=$PWD/w kernel");
    for words in [
        &["mount", "-o", "lowerdir=base,upperdir=changes,workdir=work", "mnt"][..],
        &["mount", "-o", "lowerdir=base,upperdir=up,workdir=w", "mnt"],
        &["mount", "--upper", "changes", "image:1", "mnt"],
        &["upper", "normalize", "--image", "image:1", "changes"],
        &["diff", "changes"],
        &["diff", "--tar", "changes"],
        &["commit", "changes", "image:2"],
    ] {
        told(&live, words, "kernel");
    }
    live.shell("umount kernel");
    assert_eq!(live.place.said(&["diff", "changes"]), "A /new\n");
    live.place.said(&["mount", "--upper", "changes", "image:1", "mnt"]);
    live.umount();
}

#[test]
fn an_upper_of_the_kernels_is_known_by_any_name_of_it() {
    let Some(live) = live() else { return };
    live.shell("mkdir kernel bind 'odd: a,b\\c' w; ln -s 'odd: a,b\\c' link; mount --bind . bind");
    let here = place(&live);
    for (given, work) in [(r"odd\: a\,b\\c", "w"), ("link", "w"), (r"bind/odd\: a\,b\\c", "bind/w")]
    {
        live.shell(&format!(
            "mount -t overlay overlay -o 'lowerdir=base,upperdir={here}/{given},workdir={here}/{work}' kernel"
        ));
        for (ours, work) in
            [(r"odd\: a\,b\\c", "work"), ("link", "work"), (r"bind/odd\: a\,b\\c", "bind/work")]
        {
            let words = format!("lowerdir=base,upperdir={ours},workdir={work}");
            told(&live, &["mount", "-o", &words, "mnt"], "kernel");
        }
        live.shell("umount kernel");
    }
    live.place.said(&["mount", "-o", r"lowerdir=base,upperdir=odd\: a\,b\\c,workdir=w", "mnt"]);
    live.umount();
    live.shell("umount bind");
}

/// Upper directories of others are looked at, and one may lie below a mount whose process has stopped.
#[test]
fn a_mount_of_others_that_hangs_holds_up_no_mount() {
    let Some(live) = live() else { return };
    live.shell(
        "mkdir kernel in in/u in/w u2 w2; ln -s in link
        mount -t overlay overlay -o lowerdir=base,upperdir=$PWD/link/u,workdir=$PWD/link/w kernel",
    );
    live.place.said(&["mount", "-o", "lowerdir=base", "in"]);
    let stopped = Stopped::stop(&live.servers_of("in"));
    let took = std::thread::scope(|scope| {
        let (done, waits) = std::sync::mpsc::channel::<()>();
        // What waits for it goes on at last.
        scope.spawn(move || waits.recv_timeout(3 * QUICK).map_err(|_| drop(stopped)));
        let begun = Instant::now();
        live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
        drop(done);
        begun.elapsed()
    });
    assert!(took < QUICK, "{took:?}");
    live.umount();
    live.place.said(&["umount", "in"]);
    live.shell("umount kernel; rm -r kernel in link u2 w2 2>/dev/null; rm -rf work/layerfs");
}

/// What it says of hard links would be lost without a word.
#[cfg(feature = "fault")]
#[test]
fn an_index_of_the_kernels_that_can_not_be_read_is_told() {
    let Some(live) = crate::live::live_on_disk() else { return };
    live.shell(&format!(
        "mkdir kernel; ln base/only base/other; mount -t overlay overlay -o {UPPER},index=on kernel
        echo more >> kernel/only; umount kernel; ls work/index | grep -q ."
    ));
    for errno in ["EIO", "EMFILE"] {
        let mut command = live.place.command(&["mount", "-o", UPPER, "mnt"]);
        command.env("LAYERFS_FAULT", format!("fail:1:{errno}:open_by_handle_at"));
        let line = crate::place::finished(&mut command).refusal(1);
        assert!(line.contains("open_by_handle_at"), "{line}");
    }
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    assert_eq!(live.shell("cat mnt/other; stat -c %h mnt/other"), "onlymore\n2\n");
    live.umount();
}

fn place(live: &Live) -> String {
    live.place.join("").display().to_string().trim_end_matches('/').to_owned()
}
