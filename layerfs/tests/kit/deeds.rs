//! Owns the changing operations that are tried under faults, and the upper that they find.

use layerfs_driver::sys::change::{SetTime, Special};
use layerfs_driver::sys::xattr_at::SetHow;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{
    Caller, HandleId, Looked, NewNode, NodeId, OpenHow, RenameHow, SetAttr, Union, UnionError,
};

type Done = Result<(), UnionError>;

/// One operation.
pub struct Deed {
    pub name: &'static str,
    /// A file that is open meanwhile.
    pub open: Option<(&'static str, OpenHow, &'static [u8])>,
    pub act: fn(&Way) -> Done,
}

/// A union by paths.
pub struct Way<'a>(pub &'a Union);

const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0o022 };
const OTHER: Caller = Caller { uid: 1000, gid: 1000, umask: 0o027 };

impl Way<'_> {
    pub fn walk(&self, path: &str) -> Result<Looked, UnionError> {
        let mut at = Looked { id: NodeId::ROOT, generation: 0, attr: self.0.attr(NodeId::ROOT)? };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.0.lookup(at.id, &Name::new(name.as_bytes()).unwrap())?;
        }
        Ok(at)
    }

    fn split(&self, path: &str) -> Result<(NodeId, Name), UnionError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(parent)?.id, Name::new(name.as_bytes()).unwrap()))
    }

    pub fn make(&self, path: &str, new: NewNode<'_>, caller: Caller) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.create((parent, &name), new, 0o777, caller).map(drop)
    }

    pub fn file(&self, path: &str) -> Done {
        self.make(path, NewNode::File, ROOT)
    }

    pub fn dir(&self, path: &str) -> Done {
        self.make(path, NewNode::Directory, ROOT)
    }

    pub fn open(&self, path: &str, how: OpenHow) -> Result<HandleId, UnionError> {
        self.0.open(self.walk(path)?.id, how)
    }

    pub fn write(&self, path: &str, bytes: &[u8], offset: u64) -> Done {
        let handle = self.open(path, OpenHow::Write)?;
        let done = self.0.write(handle, bytes, offset).map(drop);
        self.0.release(handle);
        done
    }

    fn set(&self, path: &str, set: SetAttr) -> Done {
        self.0.set_attr(self.walk(path)?.id, &set).map(drop)
    }

    pub fn size(&self, path: &str, size: u64) -> Done {
        self.set(path, SetAttr { size: Some(size), ..SetAttr::default() })
    }

    pub fn chmod(&self, path: &str) -> Done {
        self.set(path, SetAttr { permissions: Some(0o2711), ..SetAttr::default() })
    }

    fn chown(&self, path: &str) -> Done {
        self.set(path, SetAttr { uid: Some(7), gid: Some(8), ..SetAttr::default() })
    }

    fn touch(&self, path: &str) -> Done {
        self.set(path, SetAttr { mtime: SetTime::At(86_400, 7), ..SetAttr::default() })
    }

    fn xattr(&self, path: &str, name: &str) -> Done {
        self.0.set_xattr(self.walk(path)?.id, (name.as_bytes(), b"value"), SetHow::Any)
    }

    fn no_xattr(&self, path: &str, name: &str) -> Done {
        self.0.remove_xattr(self.walk(path)?.id, name.as_bytes())
    }

    pub fn link(&self, from: &str, to: &str) -> Done {
        let node = self.walk(from)?.id;
        let (parent, name) = self.split(to)?;
        self.0.link(node, parent, &name).map(drop)
    }

    pub fn unlink(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.unlink(parent, &name)
    }

    pub fn rmdir(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.rmdir(parent, &name)
    }

    pub fn rename(&self, from: &str, to: &str, how: RenameHow) -> Done {
        let (from, to) = (self.split(from)?, self.split(to)?);
        self.0.rename((from.0, &from.1), (to.0, &to.1), how)
    }

    fn mv(&self, from: &str, to: &str) -> Done {
        self.rename(from, to, RenameHow::Replace)
    }

    fn swap(&self, from: &str, to: &str) -> Done {
        self.rename(from, to, RenameHow::Exchange)
    }
}

/// Makes the upper that every deed begins with.
pub fn prepare(union: &Union) {
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
        way.mv("moveme", "moved")?;
        way.unlink("moved/two")?;
        way.write("k1", b"OTHER", 0)?;
        way.dir("upwh")?;
        way.mv("d/plain", "upwh/plain")?;
        way.unlink("upwh/plain")
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
};
