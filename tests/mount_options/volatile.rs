//! What a work directory says to later mounts: that changes may be lost, or that more is needed than we know.

use crate::live::live;

const CHANGED: &str = "lowerdir=base,upperdir=up,workdir=work";

#[test]
fn a_volatile_upper_is_marked_as_the_kernel_does_and_not_mounted_again() {
    let Some(live) = live() else { return };
    let volatile = format!("{CHANGED},volatile");
    let mark = live.place.join("work/work/incompat/volatile");
    live.place.said(&["mount", "-o", &format!("{volatile},ro"), "mnt"]);
    assert!(!mark.exists(), "nothing can be changed, so nothing can be lost");
    live.umount();
    live.place.said(&["mount", "-o", &volatile, "mnt"]);
    assert!(mark.join("dirty").is_file());
    std::fs::write(live.place.join("mnt/new"), "new").unwrap();
    live.umount();
    let before = live.names();
    for options in [CHANGED, &volatile, &format!("{CHANGED},ro")] {
        let line = live.place.refused(&["mount", "-o", options, "mnt"]);
        assert!(line.contains("/up`: it was mounted volatile"), "{line}");
        assert!(line.contains("remove `work/incompat/volatile`"), "{line}");
        assert_eq!(live.names(), before);
    }
    std::fs::remove_dir_all(&mark).unwrap();
    live.place.said(&["mount", "-o", CHANGED, "mnt"]);
    assert_eq!(live.read("mnt/new"), "new");
    assert!(!mark.exists());
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn an_upper_that_needs_what_is_not_known_is_refused_by_name() {
    let Some(live) = live() else { return };
    std::fs::create_dir_all(live.place.join("work/work/incompat")).unwrap();
    live.place.said(&["mount", "-o", CHANGED, "mnt"]);
    live.umount();
    std::fs::create_dir(live.place.join("work/work/incompat/some-feature")).unwrap();
    let before = live.names();
    let line = live.place.refused(&["mount", "-o", CHANGED, "mnt"]);
    assert!(line.contains("`some-feature`"), "{line}");
    assert_eq!(live.names(), before);
    live.assert_nothing_left();
}
