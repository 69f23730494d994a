//! Owns the choice between the two kinds of lower tree: what both can do, under one name.

use super::entry::{LowerEntry, LowerNode, Since};
use super::error::LowerError;
use super::file::LowerFile;
use super::image::ImageTree;
use super::stack::DirStack;
use crate::store::index::Ordinal;
use crate::sys::change::StatVfs;
use crate::sys::file::Stat;
use crate::sys::xattr::Pair;
use crate::tree::{Attr, Ino, KernelHandle, Kind, MarkSpace, Name, Origin};

/// One read-only tree.
#[derive(Debug)]
pub enum Lower {
    /// An image's merged tree.
    Image(ImageTree),
    /// Plain directories, the first on top.
    Dirs(DirStack),
}

/// Calls the same on whichever tree the node belongs to. No answer of an image is given, absence and errors included,
/// while its index does not say that it was whole until then.
macro_rules! on {
    ($lower:expr, $node:expr, |$tree:ident, $inner:ident| $call:expr) => {
        on!($lower, $node, |$tree, $inner| $call, |$tree, $inner| $call)
    };
    ($lower:expr, $node:expr, |$tree:ident, $inner:ident| $image:expr, |$s:ident, $n:ident| $dirs:expr) => {
        match ($lower, $node) {
            (Lower::Image($tree), LowerNode::Image(ordinal)) => {
                let $inner = *ordinal;
                let answer = answered(|| $image);
                $tree.intact()?;
                answer
            }
            (Lower::Dirs($s), LowerNode::Dirs(node)) => {
                let $n = node;
                $dirs
            }
            (Lower::Image(_), LowerNode::Dirs(_)) | (Lower::Dirs(_), LowerNode::Image(_)) => {
                Err(LowerError::ForeignNode)
            }
        }
    };
}

/// What `ask` answers: a `?` in it ends the question, and not the function that asks.
fn answered<T>(ask: impl FnOnce() -> T) -> T {
    ask()
}

impl Lower {
    /// The root directory.
    pub fn root(&self) -> LowerNode {
        match self {
            Lower::Image(_) => LowerNode::Image(Ordinal::ROOT),
            Lower::Dirs(stack) => LowerNode::Dirs(stack.root()),
        }
    }

    /// What `name` leads to in `dir`; `None` where it is absent or hidden.
    pub fn lookup(&self, dir: &LowerNode, name: &Name) -> Result<Option<LowerNode>, LowerError> {
        on!(
            self,
            dir,
            |tree, node| Ok(tree.lookup(node, name)?.map(LowerNode::Image)),
            |tree, node| Ok(tree.lookup(node, name)?.map(LowerNode::Dirs))
        )
    }

    /// The same, with the attributes where they were at hand: those that [`Lower::attr`] would answer now.
    pub fn lookup_seen(
        &self,
        dir: &LowerNode,
        name: &Name,
    ) -> Result<Option<(LowerNode, Option<Attr>)>, LowerError> {
        on!(
            self,
            dir,
            |tree, node| Ok(tree.lookup(node, name)?.map(|node| (LowerNode::Image(node), None))),
            |tree, node| {
                let found = tree.lookup_seen(node, name)?;
                Ok(found.map(|(node, seen)| (LowerNode::Dirs(node), seen)))
            }
        )
    }

    /// Whether others may change the tree. An image never changes.
    pub fn may_change(&self) -> bool {
        matches!(self, Lower::Dirs(_))
    }

    /// How a node that was found again differs from what it was. Both have one number.
    pub fn since(&self, before: &LowerNode, now: &LowerNode) -> Since {
        match (before, now) {
            (LowerNode::Dirs(before), LowerNode::Dirs(now)) => before.since(now),
            _ => Since::Same,
        }
    }

    /// Whether `name` leads to nothing in `dir` because what stands there is not shown ([`DirStack::hiding`]).
    pub fn has_hidden(&self, dir: &LowerNode, name: &Name) -> Result<bool, LowerError> {
        on!(self, dir, |_tree, _node| Ok(false), |tree, node| tree.has_hidden(node, name))
    }

    /// Where the marks of its layers are; `None` of an image, which has none.
    pub fn space(&self) -> Option<MarkSpace> {
        match self {
            Lower::Image(_) => None,
            Lower::Dirs(stack) => Some(stack.space()),
        }
    }

    /// Whether a name means something to those who read the upper as a layer of this kind of tree: in plain directories
    /// `.wh.` names hide others.
    pub fn is_reserved(&self, name: &Name) -> bool {
        match self {
            Lower::Image(_) => false,
            Lower::Dirs(stack) => stack.is_reserved(name),
        }
    }

    /// The attributes; a merged directory has those of its topmost layer.
    ///
    /// A directory of an image counts its subdirectories (`nlink` is 2 and those); a directory of a stack has `nlink`
    /// 1, which means "not counted": merging would have to list every layer to know.
    pub fn attr(&self, node: &LowerNode) -> Result<Attr, LowerError> {
        on!(self, node, |tree, node| tree.attr(node))
    }

    /// The type, which is the same for as long as the node is.
    pub fn kind(&self, node: &LowerNode) -> Result<Kind, LowerError> {
        on!(self, node, |tree, node| Ok(tree.attr(node)?.kind), |_stack, node| Ok(node.kind()))
    }

    /// The inode number. Image: 1 for the root, else twice the ordinal. Directories: `st_ino`; of further file systems
    /// with a slot in the top 8 bits. Below the root never 0 or 1.
    pub fn ino(&self, node: &LowerNode) -> Ino {
        match node {
            LowerNode::Image(ordinal) => ImageTree::ino(*ordinal),
            LowerNode::Dirs(node) => node.ino(),
        }
    }

    /// The number of an object born in the upper: never that of a lower one. Image: `2 * st_ino + 1`, on further devices with
    /// a slot in the top 8 bits. Directories: as [`Lower::ino`], by the device of the upper.
    pub fn ino_of_upper(&self, stat: &Stat) -> Result<Ino, LowerError> {
        match self {
            Lower::Image(tree) => tree.upper_numbers.number(stat.st_dev, stat.st_ino),
            Lower::Dirs(stack) => Ok(stack.number(stat.st_dev, stat.st_ino)),
        }
    }

    /// The entries of a directory, merged, sorted by name, nothing that is hidden. While the lower does not change, an
    /// entry's position in it is always the same.
    pub fn list(&self, dir: &LowerNode) -> Result<Vec<LowerEntry>, LowerError> {
        on!(self, dir, |tree, node| tree.list(node))
    }

    /// The entries of [`Lower::list`] from number `from` on, until `take` answers `false`. Where it errs, what was given is
    /// nothing. Costs a listing where the tree is made of directories.
    pub fn list_from(
        &self,
        dir: &LowerNode,
        from: usize,
        take: &mut dyn FnMut(LowerEntry) -> bool,
    ) -> Result<(), LowerError> {
        on!(self, dir, |tree, node| tree.list_from(node, from, take), |stack, node| {
            stack.list(node)?.into_iter().skip(from).all(take);
            Ok(())
        })
    }

    /// How many entries [`Lower::list`] gives. Costs a listing where the tree is made of directories.
    pub fn child_count(&self, dir: &LowerNode) -> Result<usize, LowerError> {
        on!(self, dir, |tree, node| tree.child_count(node))
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, node: &LowerNode) -> Result<Box<[u8]>, LowerError> {
        on!(self, node, |tree, node| tree.read_link(node))
    }

    /// One extended attribute, by the name that users see.
    pub fn xattr(&self, node: &LowerNode, name: &[u8]) -> Result<Option<Box<[u8]>>, LowerError> {
        on!(self, node, |tree, node| tree.xattr(node, name))
    }

    /// The extended attributes that users see, sorted by name: no marks, escaped names turned back.
    pub fn xattrs(&self, node: &LowerNode) -> Result<Vec<Pair>, LowerError> {
        on!(self, node, |tree, node| tree.xattrs(node))
    }

    /// Opens a regular file. An object of the store that has another size than the image says is an error; so is a file
    /// of a directory that is not, to its inode and change time, the one that was looked up (`ESTALE`).
    pub fn open(&self, node: &LowerNode) -> Result<LowerFile, LowerError> {
        on!(self, node, |tree, node| tree.open_file(node))
    }

    /// The names of a node, each with its directory. Image: all of its hard-link group. Directories: the one by which
    /// it was found. The root has none.
    pub fn names(&self, node: &LowerNode) -> Result<Vec<(LowerNode, Name)>, LowerError> {
        on!(
            self,
            node,
            |tree, node| {
                let names = tree.names(node)?;
                Ok(names.into_iter().map(|(dir, name)| (LowerNode::Image(dir), name)).collect())
            },
            |_stack, node| Ok(node
                .found_by()
                .map(|(dir, name)| (LowerNode::Dirs(dir.clone()), name.clone()))
                .into_iter()
                .collect())
        )
    }

    /// Whether the node has more than one name. In a stack of directories the others may lie where nothing shows them, and
    /// it is what was so when the node was looked up.
    pub fn is_group(&self, node: &LowerNode) -> Result<bool, LowerError> {
        on!(self, node, |tree, node| tree.is_group(node), |_stack, node| Ok(node.is_group()))
    }

    /// The path from the root: of an image's hard-link group by its first name, of directories as it was found.
    pub fn path(&self, node: &LowerNode) -> Result<Vec<Name>, LowerError> {
        on!(self, node, |tree, node| tree.path(node), |_stack, node| Ok(node.path()))
    }

    /// What `path` leads to from the root; `None` where a name is absent or hidden, or no directory stands on the way.
    pub fn at_path(&self, path: &[Name]) -> Result<Option<LowerNode>, LowerError> {
        let mut at = self.root();
        for name in path {
            match self.lookup(&at, name) {
                Ok(Some(next)) => at = next,
                Ok(None) | Err(LowerError::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(at))
    }

    /// What names the node over remounts; `None` where nothing does.
    pub fn origin(&self, node: &LowerNode) -> Result<Option<Origin>, LowerError> {
        on!(self, node, |tree, node| Ok(Some(tree.origin(node))), |tree, node| tree.origin(node))
    }

    /// The node that an origin names; `None` where it is none of this tree, or the tree can't find by it (directories).
    pub fn by_origin(&self, origin: &Origin) -> Result<Option<LowerNode>, LowerError> {
        Ok(match self {
            Lower::Image(tree) => tree.by_origin(origin).map(LowerNode::Image),
            Lower::Dirs(_) => None,
        })
    }

    /// The lower file that has the data of a copy with this origin; directories find it at the path. `None` where it is not
    /// there, or another is.
    pub fn data_of(
        &self,
        origin: Option<&Origin>,
        path: Option<&[Name]>,
    ) -> Result<Option<LowerNode>, LowerError> {
        let Some(origin) = origin else { return Ok(None) };
        if let Some(node) = self.by_origin(origin)? {
            return Ok(Some(node));
        }
        let Some(node) = path.map_or(Ok(None), |path| self.at_path(path))? else { return Ok(None) };
        Ok((self.origin(&node)?.as_ref() == Some(origin)).then_some(node))
    }

    /// What names the object of a handle that the kernel's overlayfs stored, and how many names it has; `None` where it is none
    /// of this tree.
    pub fn by_kernel_handle(
        &self,
        handle: &KernelHandle,
    ) -> Result<Option<(Origin, u32)>, LowerError> {
        match self {
            Lower::Image(_) => Ok(None),
            Lower::Dirs(stack) => stack.by_handle(handle),
        }
    }

    /// The node of a number that [`Lower::ino`] gave; `None` where numbers do not lead to nodes (directories).
    pub fn by_number(&self, ino: Ino) -> Option<LowerNode> {
        match self {
            Lower::Image(tree) => tree.ordinal_of(ino).map(LowerNode::Image),
            Lower::Dirs(_) => None,
        }
    }

    /// Figures of the file system that the contents lie on: the store's, or the first directory's.
    pub fn filesystem(&self) -> Result<StatVfs, LowerError> {
        let figures = match self {
            Lower::Image(tree) => tree.filesystem(),
            Lower::Dirs(stack) => stack.filesystem(),
        };
        figures.map_err(|source| LowerError::Call { path: "/".into(), source })
    }

    /// Tells which device the upper lies on, before anything of it is numbered.
    pub fn meet_upper(&self, device: u64) {
        match self {
            Lower::Image(tree) => tree.upper_numbers.meet(device),
            Lower::Dirs(stack) => stack.meet_device(device),
        }
    }

    /// The number that the node of an origin has in this tree; `None` where it is none of this tree.
    pub fn ino_of_origin(&self, origin: &Origin) -> Option<Ino> {
        match self {
            Lower::Image(tree) => tree.by_origin(origin).map(ImageTree::ino),
            Lower::Dirs(stack) => stack.ino_of_origin(origin),
        }
    }
}
