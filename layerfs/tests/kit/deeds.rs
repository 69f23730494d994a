//! Owns the changing operations that are tried under faults, and the upper that they find.

use layerfs_driver::sys::change::Special;
use layerfs_driver::tree::acl;
use layerfs_driver::union::{NewNode, OpenHow, RenameHow, Union};

use super::forms::{Form, without_data};
pub use super::way::Way;
use super::way::{Done, OTHER, ROOT, Shape};

/// One operation.
pub struct Deed {
    pub name: &'static str,
    /// A file that is open meanwhile.
    pub open: Option<(&'static str, OpenHow, &'static [u8])>,
    pub act: fn(&Way) -> Done,
}

/// Makes the upper that every deed begins with.
pub fn prepare(union: &Union, form: Form) {
    let way = Way(union);
    let all = || -> Done {
        way.file("up")?;
        way.write("up", b"upper", 0)?;
        way.file("up2b")?;
        way.link("up", "uplink")?;
        way.dir("updir")?;
        way.file("updir/child")?;
        way.dir("upempty")?;
        way.unlink("whited")?;
        for name in ["one", "two"] {
            way.unlink(&format!("allgone/{name}"))?;
            way.unlink(&format!("n/{name}"))?;
        }
        for name in ["one", "two"] {
            way.unlink(&format!("swapdir/{name}"))?;
        }
        way.rmdir("swapdir")?;
        way.dir("swapdir")?;
        way.file("swapdir/new")?;
        way.rmdir("empty")?;
        way.chmod("c")?;
        way.mv("movedf", "movedf.new")?;
        if form.has_redirects() {
            way.mv(if form == Form::Metacopy { "kernelsdir" } else { "moveme" }, "moved")?;
            way.unlink("moved/two")?;
            way.mv("opm", "opmoved")?;
            way.unlink("opmoved/one")?;
        }
        way.unlink("opq/one")?;
        way.rmdir("opq")?;
        way.dir("opq")?;
        match form {
            Form::Partial | Form::Blocks => without_data(&way)?,
            _ => way.write("k1", b"OTHER", 0)?,
        }
        way.dir("upwh")?;
        way.mv("d/plain", "upwh/plain")?;
        way.unlink("upwh/plain")?;
        way.dir("heir")?;
        way.set_list("heir", acl::DEFAULT)?;
        way.set_list("k1", acl::ACCESS)
    };
    all().unwrap();
}

macro_rules! deeds {
    ($($name:literal $(open($path:literal, $how:ident, $bytes:literal))? => |$way:ident| $act:expr;)*) => {
        &[$(Deed { name: $name, open: deeds!(@open $($path, $how, $bytes)?), act: |$way| $act }),*]
    };
    (@open) => { None };
    (@open $path:literal, $how:ident, $bytes:literal) => { Some(($path, OpenHow::$how, $bytes)) };
}

/// Every changing operation, over everything that it may meet.
pub const DEEDS: &[Deed] = deeds! {
    "create a file" => |way| way.file("new");
    "create a file of another user" => |way| way.make("new", NewNode::File, OTHER);
    "create a directory" => |way| way.dir("new");
    "create a directory of another user" => |way| way.make("d/new", NewNode::Directory, OTHER);
    "create a symlink" => |way| way.make("new", NewNode::Symlink(b"target"), ROOT);
    "create a fifo" => |way| way.make("new", NewNode::Special(Special::Fifo), ROOT);
    "create a device" => |way| way.make("new", NewNode::Special(Special::Character { major: 1, minor: 5 }), ROOT);
    "create a file three deep" => |way| way.file("d/e/f/new");
    "create a directory three deep" => |way| way.dir("d/e/f/new");
    "create a file over a whiteout" => |way| way.file("whited");
    "create a directory over a whiteout" => |way| way.dir("empty");
    "create a directory over a file's whiteout" => |way| way.dir("whited");
    "create a symlink over a whiteout" => |way| way.make("n/one", NewNode::Symlink(b"x"), ROOT);
    "create over a lower whiteout" => |way| way.file("gone");
    "write to a small lower file" => |way| way.write("small", b"written", 5);
    "write to a large lower file" => |way| way.write("big", b"written", 90_000);
    "write to a sparse lower file" => |way| way.write("sparse", b"written", 120_000);
    "write three deep" => |way| way.write("d/e/f/deep", b"written", 5);
    "write to a group" => |way| way.write("g2", b"written", 5);
    "write to a copied-up group by a new name" => |way| way.write("k2", b"written", 5);
    "write to an upper file" => |way| way.write("up", b"written", 5);
    "open and empty a lower file" => |way| {
        way.open("big", OpenHow::Truncate).map(|handle| way.0.release(handle))
    };
    "empty a lower file" => |way| way.size("big", 0);
    "shorten a lower file" => |way| way.size("big", 70_000);
    "lengthen a lower file" => |way| way.size("small", 70_000);
    "chmod a lower file" => |way| way.chmod("big");
    "chmod a lower directory" => |way| way.chmod("x");
    "chmod the root" => |way| way.chmod("");
    "chmod a group" => |way| way.chmod("d/g3");
    "chmod an upper file" => |way| way.chmod("up");
    "chown a lower file" => |way| way.chown("c");
    "chown a lower file three deep" => |way| way.chown("d/e/f/deep");
    "chown a lower directory" => |way| way.chown("d/e/f");
    "chown a lower symlink" => |way| way.chown("sym");
    "chown a lower device" => |way| way.chown("dev");
    "touch a lower file" => |way| way.touch("small");
    "touch a lower directory" => |way| way.touch("d/e");
    "touch a lower symlink" => |way| way.touch("d/sym");
    "set an attribute of a lower file" => |way| way.xattr("tx", "user.b");
    "set an attribute of a lower directory" => |way| way.xattr("x", "user.b");
    "set an attribute of a lower symlink" => |way| way.xattr("sym", "trusted.b");
    "remove an attribute of a lower file" => |way| way.no_xattr("tx", "user.a");
    "remove an attribute of a lower directory" => |way| way.no_xattr("x", "user.d");
    "link a lower file" => |way| way.link("small", "d/e/new");
    "link a lower symlink" => |way| way.link("sym", "new");
    "link a group's name" => |way| way.link("d/g3", "new");
    "link a copied-up group's name" => |way| way.link("k2", "new");
    "link an upper file over a whiteout" => |way| way.link("up", "whited");
    "unlink a lower file" => |way| way.unlink("stay");
    "unlink a lower file three deep" => |way| way.unlink("d/e/f/deep");
    "unlink an upper file" => |way| way.unlink("up2b");
    "unlink one of an upper file's names" => |way| way.unlink("uplink");
    "unlink a copied-up file" => |way| way.unlink("c");
    "unlink a group's name" => |way| way.unlink("g1");
    "unlink a copied-up group's lower name" => |way| way.unlink("d/k3");
    "unlink a copied-up group's upper name" => |way| way.unlink("k1");
    "unlink an open lower file" open("small", Read, b"ssss") => |way| way.unlink("small");
    "unlink an open upper file" open("updir/child", Write, b"") => |way| way.unlink("updir/child");
    "unlink an open copied-up file" open("kept", Write, b"kept") => |way| way.unlink("kept");
    "unlink an open group's name" open("g1", Write, b"group") => |way| way.unlink("g1");
    "rmdir a lower directory" => |way| way.rmdir("hidden");
    "rmdir a merged directory" => |way| way.rmdir("allgone");
    "rmdir an upper directory" => |way| way.rmdir("upempty");
    "rmdir an upper directory with a whiteout" => |way| way.rmdir("upwh");
    "rename a lower file" => |way| way.mv("stay", "d/e/new");
    "rename an upper file" => |way| way.mv("up", "new");
    "rename a lower file over a lower file" => |way| way.mv("stay", "big");
    "rename a lower file over an upper file" => |way| way.mv("stay", "up");
    "rename an upper file over a lower file" => |way| way.mv("up", "stay");
    "rename an upper file over an open lower file" open("small", Read, b"ssss") => |way| way.mv("up", "small");
    "rename an upper file over an open upper file" open("up2b", Write, b"") => |way| way.mv("up", "up2b");
    "rename a lower file over an open copied-up file" open("kept", Write, b"kept") => |way| way.mv("stay", "kept");
    "rename a lower file over a whiteout" => |way| way.mv("stay", "whited");
    "rename a group's name" => |way| way.mv("g2", "new");
    "rename a copied-up group's lower name" => |way| way.mv("d/k3", "new");
    "rename a file over a group's name" => |way| way.mv("stay", "g1");
    "rename a file over a copied-up group's name" => |way| way.mv("stay", "k1");
    "rename a file to its old name" => |way| way.mv("movedf.new", "movedf");
    "rename a symlink" => |way| way.mv("sym", "d/new");
    "rename a lower directory" => |way| way.mv("d", "new");
    "rename a lower directory three deep" => |way| way.mv("d/e/f", "x/f");
    "rename a lower directory over a merged empty one" => |way| way.mv("m", "allgone");
    "rename a lower directory over an upper empty one" => |way| way.mv("m", "upempty");
    "rename a lower directory over a lower empty one" => |way| way.mv("m", "hidden");
    "rename a lower directory over an upper one with a whiteout" => |way| way.mv("m", "upwh");
    "rename a lower directory over a whiteout" => |way| way.mv("m", "empty");
    "rename a lower directory over a file's whiteout" => |way| way.mv("m", "whited");
    "rename an upper directory" => |way| way.mv("updir", "d/new");
    "rename an upper directory over a whiteout" => |way| way.mv("updir", "empty");
    "rename an upper directory over a merged empty one" => |way| way.mv("updir", "n");
    "rename an upper directory over a lower empty one" => |way| way.mv("updir", "hidden");
    "rename a directory to its old name" => |way| way.mv("moved", "moveme");
    "exchange two lower files" => |way| way.swap("stay", "d/e/f/deep");
    "exchange a lower and an upper file" => |way| way.swap("up", "stay");
    "exchange a file and a directory" => |way| way.swap("stay", "m");
    "exchange two lower directories" => |way| way.swap("x", "d/e");
    "exchange a lower and an upper directory" => |way| way.swap("updir", "m");
    "exchange two groups' names" => |way| way.swap("g1", "k2");
    "create a file where a list is handed on" => |way| way.file("heir/new");
    "create a directory where a list is handed on" => |way| way.dir("heir/new");
    "create a symlink of another user" => |way| way.make("new", NewNode::Symlink(b"target"), OTHER);
    "create in a directory that was removed and made again" => |way| way.file("swapdir/one");
    "create in a renamed directory" => |way| way.file("moved/new");
    "create over a whiteout in a renamed directory" => |way| way.dir("moved/two");
    "create a socket" => |way| way.make("d/new", NewNode::Special(Special::Socket), ROOT);
    "open and empty a group" => |way| way.with_open("g2", OpenHow::Truncate, |_| Ok(()));
    "empty a group" => |way| way.size("d/g3", 0);
    "shorten a group" => |way| way.size("g1", 3);
    "shorten a copied-up group by its lower name" => |way| way.size("d/k3", 3);
    "open and empty an upper file" => |way| way.with_open("up", OpenHow::Truncate, |_| Ok(()));
    "allocate in a lower file" => |way| way.allocate("small", Shape::Allocate, (0, 70_000));
    "allocate in a group" => |way| way.allocate("d/g3", Shape::Allocate, (0, 7000));
    "punch a hole into a lower file" => |way| way.allocate("big", Shape::Punch, (4096, 8192));
    "punch a hole into an upper file" => |way| way.allocate("up", Shape::Punch, (1, 2));
    "copy from one lower file to another" => |way| way.with_open("small", OpenHow::Read, |from| {
        let mut bytes = [0; 100];
        let len = way.0.read(from, &mut bytes, 7)?;
        way.write("big", &bytes[..len], 99_950)
    });
    "write to a file that was unlinked while it was open" => |way| way.with_open("small", OpenHow::Write, |open| {
        way.unlink("small")?;
        way.0.write(open, b"written", 190).map(drop)
    });
    "change a lower file that was unlinked while it was open" => |way| way.with_open("big", OpenHow::Read, |open| {
        let id = way.walk("big")?.id;
        way.unlink("big")?;
        way.chmod_of(id)?;
        way.0.attr_of_open(open).map(drop)
    });
    "chown a group" => |way| way.chown("g1");
    "chown a directory that was removed and made again" => |way| way.chown("swapdir");
    "chown a renamed directory" => |way| way.chown("moved");
    "chmod a directory with a whiteout" => |way| way.chmod("upwh");
    "touch a group" => |way| way.touch("g1");
    "set a list of a lower file" => |way| way.set_list("small", acl::ACCESS);
    "set a list of a group" => |way| way.set_list("g2", acl::ACCESS);
    "set lists of a lower directory" => |way| way.set_list("m", acl::DEFAULT);
    "set a list of the root" => |way| way.set_list("", acl::ACCESS);
    "remove a list of a directory" => |way| way.no_list("heir", acl::DEFAULT);
    "remove a list of a copied-up group" => |way| way.no_list("k2", acl::ACCESS);
    "set an attribute of a group" => |way| way.xattr("g2", "user.b");
    "remove an attribute of a group" => |way| way.no_xattr("d/g3", "user.g");
    "link a lower file over a whiteout" => |way| way.link("stay", "n/one");
    "link a file of another owner" => |way| way.link("tx", "d/new");
    "unlink in a renamed directory" => |way| way.unlink("moved/one");
    "unlink in a directory that was removed and made again" => |way| way.unlink("swapdir/new");
    "unlink a symlink" => |way| way.unlink("sym");
    "unlink the copy of a renamed lower file" => |way| way.unlink("movedf.new");
    "rmdir a directory that was removed and made again" => |way| way.rmdir("opq");
    "rmdir a renamed directory" => |way| way.rmdir("opmoved");
    "rename a lower file to a free name alone" => |way| way.rename("stay", "d/new", RenameHow::NoReplace);
    "rename a group's name to a free name alone" => |way| way.rename("g1", "d/new", RenameHow::NoReplace);
    "rename an upper file to a whiteout's name alone" => |way| way.rename("up", "whited", RenameHow::NoReplace);
    "rename a lower directory to a free name alone" => |way| way.rename("m", "d/new", RenameHow::NoReplace);
    "rename a directory that was removed and made again" => |way| way.mv("swapdir", "d/new");
    "rename a lower directory over one that was removed and made again" => |way| way.mv("m", "opq");
    "rename a lower directory over a renamed one" => |way| way.mv("m", "opmoved");
    "rename a renamed directory" => |way| way.mv("moved", "d/e/f/again");
    "rename a lower file over a symlink" => |way| way.mv("stay", "sym");
    "rename a file of another owner" => |way| way.mv("tx", "d/new");
    "exchange a renamed directory and one that was made again" => |way| way.swap("moved", "swapdir");
    "exchange a lower symlink and a device" => |way| way.swap("sym", "dev");
    "exchange a group's name and a directory" => |way| way.swap("d/g3", "m");
    "name a file that was made without" => |way| way.nameless("d/new");
    "name a file that was made without over a whiteout" => |way| way.nameless("n/one");
};
