//! Entries of one layer that lie about where they go, or about each other.

use super::row::{Row, Want, check_all, imported, refused};
use super::tarball::{Entry, device, dir, file, hard, open_ended, special, symlink, tar};
use crate::support::watchdog;

#[test]
fn no_name_and_no_link_leads_out_of_the_layer() {
    let _watch = watchdog(120);
    check_all(&[
        refused("dot dot alone", &[file("..", "x")], &[".. (header", ".. component"]),
        refused("dot dot first", &[file("../x", "x")], &["../x", ".. component"]),
        refused(
            "dot dot inside",
            &[file("a/../../etc/x", "x")],
            &["a/../../etc/x", ".. component"],
        ),
        refused("dot dot last", &[dir("a/..")], &["a/..", ".. component"]),
        refused(
            "dot dot after an absolute start",
            &[file("/../x", "x")],
            &["/../x", ".. component"],
        ),
        refused(
            "dot dot in a record",
            &[file("harmless", "x").pax("path", "a/../x")],
            &["a/../x", ".. component"],
        ),
        refused(
            "dot dot in a whiteout's path",
            &[file("a/../.wh.x", "")],
            &["a/../.wh.x", ".. component"],
        ),
        refused(
            "dot dot as what a whiteout hides",
            &[file("d/.wh...", "")],
            &["d/.wh...", "whiteout without a name"],
        ),
        refused(
            "hard link target with dot dot",
            &[hard("h", "../etc/passwd")],
            &["h (header", "../etc/passwd", ".. component"],
        ),
        imported(
            "absolute names lie below the root",
            &[file("/etc/x", "x"), file("//y", "y")],
            &["etc: implied directory", "etc/x: file x", "y: file y"],
        ),
        imported(
            "absolute hard link targets lie below the root",
            &[file("etc/x", "x"), hard("/h", "/etc/x")],
            &["etc: implied directory", "etc/x: file x, 2 names", "h: file x, 2 names"],
        ),
        imported(
            "targets of symbolic links are words and nothing else",
            &[symlink("a", "/etc/passwd"), symlink("b", "../../x"), symlink("c", "c")],
            &["a: -> /etc/passwd", "b: -> ../../x", "c: -> c"],
        ),
        refused(
            "entry through a symbolic link of its layer",
            &[symlink("l", "/etc"), file("l/passwd", "x")],
            &["`l/passwd`", "below `l`, which is no directory"],
        ),
        refused(
            "entry through a chain of symbolic links",
            &[dir("d"), symlink("d/up", ".."), symlink("m", "d/up"), file("m/x", "x")],
            &["`m/x`", "below `m`, which is no directory"],
        ),
        refused(
            "hard link to what a symbolic link leads to",
            &[symlink("l", "/etc"), hard("h", "l/shadow")],
            &["`h`", "`l/shadow`", "not before it in this layer"],
        ),
        imported(
            "file over a hard link to a symbolic link writes no target",
            &[symlink("a", "/etc/passwd"), hard("b", "a"), file("b", "x")],
            &["a: -> /etc/passwd", "b: file x"],
        ),
        imported(
            "permissions of a symbolic link are not its target's",
            &[file("f", "x"), symlink("l", "f").mode(0o4777)],
            &["f: file x", "l: -> f, mode 4777"],
        ),
        refused(
            "root that is a file",
            &[file("./", "x")],
            &["./ (header", "root of the archive is not a directory"],
        ),
    ]);
}

#[test]
fn hard_links_name_what_is_there() {
    let _watch = watchdog(120);
    let deep = "d/".repeat(200) + "f";
    check_all(&[
        refused("to nothing", &[hard("h", "gone")], &["`h`", "`gone`", "not before it"]),
        refused("to itself", &[hard("h", "h")], &["`h`", "not before it"]),
        refused(
            "to a later entry",
            &[hard("h", "f"), file("f", "x")],
            &["`h`", "`f`", "not before"],
        ),
        refused("to a directory", &[dir("d"), hard("h", "d")], &["`h`", "the directory `d`"]),
        refused(
            "to an implied directory",
            &[file("d/f", ""), hard("h", "d")],
            &["the directory `d`"],
        ),
        refused("to the root", &[hard("h", "/")], &["h (header", "root"]),
        refused(
            "to what the layer whites out",
            &[file(".wh.f", ""), hard("h", "f")],
            &["`h`", "`f`"],
        ),
        refused("to a far nothing", &[hard("h", &deep)], &["`h`", "d/d/d", "not before it"]),
        refused("below a file", &[file("f", "x"), hard("f/h", "f")], &["`f/h`", "below `f`"]),
        imported(
            "to a symbolic link, a device and a fifo",
            &[
                symlink("l", "x"),
                device("dev", 1, 3),
                special("pipe", b'6'),
                hard("l2", "l"),
                hard("dev2", "dev"),
                hard("pipe2", "pipe"),
            ],
            &[
                "dev: device 1:3, 2 names",
                "dev2: device 1:3, 2 names",
                "l: -> x, 2 names",
                "l2: -> x, 2 names",
                "pipe: special, 2 names",
                "pipe2: special, 2 names",
            ],
        ),
        imported(
            "the first name goes and the others stay",
            &[file("a", "old"), hard("b", "a"), hard("c", "b"), file("a", "new")],
            &["a: file new", "b: file old, 2 names", "c: file old, 2 names"],
        ),
        imported(
            "a link over the directory that held its target",
            &[file("d/f", "x"), hard("d", "d/f")],
            &["d: file x"],
        ),
        imported("a name is linked to itself", &[file("a", "x"), hard("a", "a")], &["a: file x"]),
    ]);
}

#[test]
fn the_last_entry_of_a_name_wins() {
    let _watch = watchdog(120);
    check_all(&[
        imported("file over file", &[file("a", "1"), file("a", "2")], &["a: file 2"]),
        imported(
            "one file under two spellings",
            &[file("a", "1"), file("./a", "2")],
            &["a: file 2"],
        ),
        imported(
            "file over directory drops what was below",
            &[dir("d"), file("d/f", "x"), file("d", "now a file")],
            &["d: file now a file"],
        ),
        imported(
            "directory over file over directory begins anew",
            &[file("d/f", "x"), file("d", "x"), dir("d"), file("d/g", "y")],
            &["d: directory", "d/g: file y"],
        ),
        imported(
            "directory over directory keeps what is below",
            &[dir("d"), file("d/f", "x"), dir("d").mode(0o1777)],
            &["d: directory, mode 1777", "d/f: file x"],
        ),
        imported(
            "symbolic link over directory drops what was below",
            &[file("d/f", "x"), symlink("d", "/etc")],
            &["d: -> /etc"],
        ),
        imported(
            "directory over symbolic link is a directory",
            &[symlink("d", "/etc"), dir("d"), file("d/passwd", "x")],
            &["d: directory", "d/passwd: file x"],
        ),
        imported("device over file", &[file("a", "1"), device("a", 5, 1)], &["a: device 5:1"]),
        imported(
            "set-id and sticky bits stay",
            &[file("u", "").mode(0o4755), file("g", "").mode(0o2755), dir("t").mode(0o1777)],
            &["g: file, mode 2755", "t: directory, mode 1777", "u: file, mode 4755"],
        ),
        refused("below a file", &[file("f", "x"), file("f/x", "")], &["`f/x`", "below `f`"]),
        refused("below a file, as a directory", &[file("f", "x"), dir("f/x/")], &["below `f`"]),
        refused("far below a file", &[file("a/f", "x"), file("a/f/b/c", "")], &["below `a/f`"]),
        refused("below a device", &[device("n", 1, 3), file("n/x", "")], &["`n/x`", "below `n`"]),
        refused("whiteout below a file", &[file("f", ""), file("f/.wh.x", "")], &["below `f`"]),
    ]);
}

#[test]
fn whiteouts_speak_of_lower_layers_only() {
    let _watch = watchdog(120);
    check_all(&[
        imported("a whiteout", &[file("d/.wh.f", "")], &["d: implied directory", "d/f: whiteout"]),
        imported(
            "with contents",
            &[file(".wh.f", "data"), file("g", "x")],
            &["f: whiteout", "g: file x"],
        ),
        imported("before its entry", &[file(".wh.f", ""), file("f", "x")], &["f: file x"]),
        imported("after its entry", &[file("f", "x"), file(".wh.f", "")], &["f: file x"]),
        imported(
            "before its directory",
            &[file(".wh.d", ""), dir("d"), file("d/f", "x")],
            &["d: opaque directory", "d/f: file x"],
        ),
        imported(
            "after its directory",
            &[dir("d"), file("d/f", "x"), file(".wh.d", "")],
            &["d: opaque directory", "d/f: file x"],
        ),
        imported("as a directory", &[dir(".wh.f")], &["f: whiteout"]),
        imported("as a hard link to nothing", &[hard(".wh.f", "gone")], &["f: whiteout"]),
        imported("as a device 0:0", &[device("f", 0, 0)], &["f: whiteout"]),
        imported(
            "opaque after the entries",
            &[file("d/f", "x"), file("d/.wh..wh..opq", "")],
            &["d: opaque directory", "d/f: file x"],
        ),
        imported(
            "opaque twice",
            &[file("d/.wh..wh..opq", ""), file("d/.wh..wh..opq", "")],
            &["d: opaque directory"],
        ),
        imported("opaque root", &[file(".wh..wh..opq", ""), file("f", "x")], &["f: file x"]),
        imported("bookkeeping of AUFS", &[dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "")], &[]),
        refused("of nothing", &[file("d/.wh.", "")], &["`d/.wh.`", "whiteout without a name"]),
        refused("of a dot", &[file(".wh..", "")], &["`.wh..`", "whiteout without a name"]),
        refused("of two dots", &[file(".wh...", "")], &["`.wh...`", "whiteout without a name"]),
        refused("below one", &[file(".wh.d/f", "")], &["`.wh.d/f`", "below a whiteout"]),
        refused("below an opaque mark", &[file(".wh..wh..opq/f", "")], &["below a whiteout"]),
    ]);
}

#[test]
fn names_are_bytes_and_messages_are_one_line() {
    let _watch = watchdog(120);
    let longest = "n".repeat(255);
    let listed: &'static str = Box::leak(format!("{longest}: file x").into_boxed_str());
    let lines: &'static [&'static str] = Box::leak(Box::new([listed]));
    check_all(&[
        Row { name: "255 bytes", archive: tar(&[file(&longest, "x")]), want: Want::Layer(lines) },
        refused(
            "256 bytes",
            &[file(longest.clone() + "n", "x")],
            &["nnnn", "name is 256 bytes long"],
        ),
        refused(
            "256 bytes in a hard link target",
            &[hard("h", longest.clone() + "n")],
            &["h (header", "name is 256 bytes long"],
        ),
        imported(
            "newline, escape, not UTF-8",
            &[file("a\nb", ""), file("\x1b[1m", ""), file(b"latin-\xe9", "")],
            &["\\x1b[1m: file", "a\\nb: file", "latin-\\xe9: file"],
        ),
        refused(
            "a newline in what is refused",
            &[file("a\nb/../x", "")],
            &["a\\nb/../x", ".. comp"],
        ),
        refused("an escape in what is refused", &[file("\x1b[31m/..", "")], &["\\u{1b}[31m/.."]),
        refused("no UTF-8 in what is refused", &[file(b"\xff/..", "")], &["\\xff/.."]),
        refused(
            "control characters in a fault",
            &[file("f\r\x07", ""), file("f\r\x07/g", "")],
            &["`f\\r\\u{7}/g`", "below `f\\r\\u{7}`"],
        ),
        refused(
            "control characters in a hard link target",
            &[hard("h", "\n\x1b]0;x")],
            &["`h`", "\\n\\u{1b}]0;x"],
        ),
        refused(
            "NUL in a record",
            &[file("f", "").pax("path", "a\0b")],
            &["path holds a NUL byte"],
        ),
        refused(
            "NUL in a link's record",
            &[symlink("f", "x").pax("linkpath", "a\0b")],
            &["linkpath holds a NUL byte"],
        ),
        refused("empty symbolic link", &[symlink("l", "")], &["l (header", "without a target"]),
        refused(
            "4096 bytes of target",
            &[symlink("l", "t".repeat(4096))],
            &["l (header", "4096 bytes"],
        ),
    ]);
}

#[test]
fn numbers_are_compared_before_they_are_believed() {
    let _watch = watchdog(120);
    let ten_gib = 10 << 30;
    let sparse = |size: &str, map: &str| {
        let records = [("major", "0"), ("minor", "1"), ("numblocks", "1"), ("map", map)];
        let head = file("holes", "x").pax("GNU.sparse.size", size);
        records
            .iter()
            .fold(head, |entry, (key, value)| entry.pax(format!("GNU.sparse.{key}"), value))
    };
    check_all(&[
        Row {
            name: "10 GiB claimed and 1 KiB there",
            archive: open_ended(&[file("claims", [1; 1024]).claims(ten_gib)]),
            want: Want::Refused(&["claims (header", "truncated", "inside its data"]),
        },
        Row {
            name: "10 GiB claimed by a record",
            archive: open_ended(&[file("claims", [1; 1024]).pax("size", "10737418240")]),
            want: Want::Refused(&["claims (header", "truncated", "inside its data"]),
        },
        refused("a claim of 2^63 - 1", &[file("f", "x").claims(u64::MAX >> 1)], &["f (header"]),
        refused("a claim of 2^64 - 1", &[file("f", "x").claims(u64::MAX)], &["f (header"]),
        refused("a negative claim", &[file("f", "x").pax("size", "-1")], &["size", "-1"]),
        refused(
            "10 GiB of extended header claimed in 10 KiB",
            &[special("PaxHeaders/f", b'x').claims(ten_gib), file("f", [0; 8192])],
            &["extended header claims 10737418240 bytes, more than 1 MiB"],
        ),
        refused(
            "10 GiB of global header claimed in 10 KiB",
            &[special("global", b'g').claims(ten_gib), file("f", [0; 8192])],
            &["claims 10737418240 bytes, more than 1 MiB"],
        ),
        refused(
            "10 GiB of long name claimed in 10 KiB",
            &[special("././@LongLink", b'L').claims(ten_gib), file("f", [0; 8192])],
            &["claims 10737418240 bytes, more than 1 MiB"],
        ),
        refused(
            "a record longer than its header",
            &[Entry::records("99999999999999999999 path=x\n"), file("f", "")],
            &["pax record at byte 0"],
        ),
        refused("8 EiB of hole", &[sparse("9000000000000000000", "0,1")], &["holes", "256 GiB"]),
        refused("a segment after the end", &[sparse("10", "100,1")], &["holes", "past the size"]),
        refused("a map of other things", &[sparse("10", "0,x")], &["holes", "else than a number"]),
        refused("an unknown type", &[special("f", b'Z')], &["f (header", "unknown entry type"]),
        Row {
            name: "a wrong header checksum",
            archive: changed(tar(&[file("f", "x")]), 0),
            want: Want::Refused(&["header at byte 0", "checksum"]),
        },
        Row {
            name: "text that is no archive",
            archive: b"this is not an archive\n".repeat(100),
            want: Want::Refused(&["header", "checksum"]),
        },
        Row {
            name: "an archive after a lone zero block",
            archive: [&open_ended(&[file("f", "")])[..], &[0; 512], &tar(&[file("g", "")])]
                .concat(),
            want: Want::Refused(&["lone zero block at byte 512"]),
        },
        Row {
            name: "no byte",
            archive: Vec::new(),
            want: Want::Refused(&["the archive is empty"]),
        },
        Row { name: "an end mark alone", archive: tar(&[]), want: Want::Layer(&[]) },
        Row {
            name: "whatever follows the end mark",
            archive: [&tar(&[file("f", "x")])[..], &[0xff; 5000]].concat(),
            want: Want::Layer(&["f: file x"]),
        },
    ]);
}

fn changed(mut archive: Vec<u8>, at: usize) -> Vec<u8> {
    archive[at] ^= 1;
    archive
}
