//! From the entries of a layer's archive to its tree and its staged contents, in one pass.

use std::io::Read;

use super::contents::{Contents, Kept};
use super::error::{EntryFault, LayerError};
use super::shared::Shared;
use super::tree::{Directory, LayerBody, LayerTree};
use super::turn::Turn;
use super::whiteout::{self, Word};
use crate::store::archive::{ArchiveReader, Entry, EntryKind, EntryPath};
use crate::store::index::{DeviceClass, Meta};

/// Names, link targets and attributes of a layer that is not called large.
const TEXT_COMMON_BYTES: u64 = 16 << 20;

/// Reads the archive to its end mark. Takes its turn where the layer is large. Ends early, with [`LayerError::Stopped`],
/// when the import was told to stop.
pub(super) fn unpack<R: Read>(
    archive: &mut ArchiveReader<R>,
    contents: &mut Contents<'_>,
    shared: &Shared,
    turn: &Turn<'_>,
) -> Result<LayerTree, LayerError> {
    let mut tree = LayerTree::new();
    while let Some(entry) = archive.next_entry()? {
        shared.check()?;
        shared.count_holes(archive.hole_bytes()).map_err(|fault| refused(&entry.path, fault))?;
        place(&mut tree, archive, contents, entry)?;
        if tree.text_bytes() > TEXT_COMMON_BYTES {
            turn.take();
        }
    }
    Ok(tree)
}

fn place<R: Read>(
    tree: &mut LayerTree,
    archive: &mut ArchiveReader<R>,
    contents: &mut Contents<'_>,
    entry: Entry,
) -> Result<(), LayerError> {
    match word_of(&entry.path).map_err(|fault| refused(&entry.path, fault))? {
        Word::Plain => {}
        Word::Passed => return Ok(()),
        special => {
            return mark(tree, &entry.path, special).map_err(|fault| refused(&entry.path, fault));
        }
    }
    let xattrs = entry.xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect();
    let meta = Meta {
        permissions: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs: tree.xattr_set(xattrs).map_err(|fault| refused(&entry.path, fault))?,
    };
    let (path, size) = (entry.path, entry.size);
    let body = match entry.kind {
        EntryKind::Hardlink { target } => {
            return tree.link(&path, &target).map_err(|fault| refused(&path, fault));
        }
        // A character device 0:0 is how overlayfs itself writes a whiteout, and some builders' archives carry it.
        EntryKind::CharDevice { major: 0, minor: 0 } => {
            let hidden = path.split_last().ok_or(EntryFault::RootNotDirectory);
            let placed = hidden.and_then(|(parents, name)| tree.whiteout(parents, name));
            return placed.map_err(|fault| refused(&path, fault));
        }
        EntryKind::File => match contents.take(archive, size)? {
            Kept::Inline { handle } => LayerBody::Inline { handle, size },
            Kept::Object { digest, sparse } => LayerBody::Object { digest, size, sparse },
        },
        EntryKind::Directory => LayerBody::Directory(Directory::default()),
        EntryKind::Symlink { target } => LayerBody::Symlink(target.into()),
        EntryKind::CharDevice { major, minor } => {
            LayerBody::Device { class: DeviceClass::Character, major, minor }
        }
        EntryKind::BlockDevice { major, minor } => {
            LayerBody::Device { class: DeviceClass::Block, major, minor }
        }
        EntryKind::Fifo => LayerBody::Fifo,
    };
    tree.insert(&path, meta, body).map_err(|fault| refused(&path, fault))
}

fn refused(path: &EntryPath, fault: EntryFault) -> LayerError {
    LayerError::Entry { path: path.clone(), fault }
}

/// What the path's last component says; entries below a whiteout's name are AUFS bookkeeping or an error.
fn word_of(path: &EntryPath) -> Result<Word, EntryFault> {
    let Some((parents, name)) = path.split_last() else { return Ok(Word::Plain) };
    for parent in parents {
        match whiteout::read(parent)? {
            Word::Plain => {}
            Word::Passed => return Ok(Word::Passed),
            Word::Opaque | Word::Whiteout(_) => return Err(EntryFault::BelowWhiteout),
        }
    }
    whiteout::read(name)
}

fn mark(tree: &mut LayerTree, path: &EntryPath, word: Word) -> Result<(), EntryFault> {
    let parents = path.split_last().map(|(parents, _)| parents).unwrap_or_default();
    match word {
        Word::Opaque => tree.opaque(parents),
        Word::Whiteout(name) => tree.whiteout(parents, &name),
        Word::Plain | Word::Passed => Ok(()),
    }
}
