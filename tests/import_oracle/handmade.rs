//! What layers can do to each other and builders rarely have them do: all of it in one image.

use crate::layout::Layout;
use crate::support::{Scratch, watchdog};
use crate::tarball::{Entry, device, dir, file, hard, symlink, tar};

fn lowest() -> Vec<Entry> {
    let mut entries = vec![
        dir("private").mode(0o700).pax("SCHILY.xattr.user.note", "kept"),
        file("private/old", "old"),
        file("file-then-directory", "x"),
        dir("directory-then-file"),
        file("directory-then-file/gone", "x"),
        symlink("link-then-directory", "private"),
        file("group/a", "shared"),
        hard("group/b", "group/a"),
        hard("group/c", "group/a"),
        file("covered/deep/er/f", "x"),
        file("again/f", "below"),
        file("marked-late/f", "below"),
        file("large", [5; 300_000]),
        file("hidden-twice/f", "x"),
    ];
    entries.extend((0..50).map(|n| file(format!("many/{n}"), format!("lower {n}"))));
    entries
}

fn middle() -> Vec<Entry> {
    let mut entries = vec![
        // A directory that this layer only has entries below keeps what the lower layer said of it.
        file("private/new", "new"),
        file("file-then-directory/f", "x"),
        file("directory-then-file", "now a file"),
        file("link-then-directory/f", "x"),
        file("group/.wh.a", ""),
        file("group/b", "alone now"),
        file(".wh.covered", ""),
        file("again/.wh.f", ""),
        file("marked-late/g", "kept"),
        file("marked-late/.wh..wh..opq", ""),
        file("hidden-twice/.wh.f", ""),
        file(".wh.hidden-twice", ""),
        file(".wh.never-there", ""),
        file("own", [5; 300_000]),
        hard("large-too", "own"),
    ];
    entries.extend((0..50).step_by(3).map(|n| file(format!("many/.wh.{n}"), "")));
    entries.extend((1..50).step_by(3).map(|n| file(format!("many/{n}"), format!("middle {n}"))));
    entries
}

fn highest() -> Vec<Entry> {
    vec![
        dir("again").mode(0o1777),
        file("again/f", "back"),
        file("covered/f", "a new directory"),
        device("hidden-twice", 0, 0),
        device("private/old", 0, 0),
        file("many/.wh..wh..opq", ""),
        file("many/only", "x"),
        dir("file-then-directory").mode(0o750),
        file("group/d", "of the highest"),
        hard("group/c", "group/d"),
    ]
}

#[test]
fn layers_that_cover_each_other_in_every_way_are_what_tarfile_says() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let layers = [tar(&lowest()), tar(&middle()), tar(&highest())];
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| crate::packing::gzip(layer)).collect();
    // Each prefix of the stack is an image: a later layer must not cover what an earlier one gets wrong.
    for count in 1..=layers.len() {
        let place = scratch.join(format!("image-{count}"));
        Layout::new(&place).set_layers(&packed[..count], &layers[..count]);
        crate::agrees("oci", &place);
    }
}
