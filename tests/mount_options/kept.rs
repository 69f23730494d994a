//! Changes of an image that are kept: the user's upper, and the image that it belongs to.

use crate::live::live;

#[test]
fn rmi_of_a_mounted_image_tells_where_it_is_mounted() {
    let Some(live) = live() else { return };
    let id = live.place.pull_small("small");
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    let run = live.place.run(&["rmi", "small:1"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.contains("Deleted: "), "{run:?}");
    let short = &id.strip_prefix("sha256:").unwrap()[..12];
    let expected = format!(
        "layerfs: image {short} is still mounted at `{}`, which works until it is unmounted; to mount its --upper \
         again, import the image again first\n",
        live.place.join("mnt").display()
    );
    assert_eq!(run.stderr, expected);
    live.umount();
    live.place.pull_small("small");
    let run = live.place.run(&["rmi", "small:1"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
}
