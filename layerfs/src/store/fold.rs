//! Folding the layers of an image into one tree without whiteouts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::digest::Digest;
use super::index::{
    Body, DeviceClass, Found, FoundBody, Index, IndexError, Inode, Kind, Meta, Node, Ordinal,
    Origin, Target, Totals, XattrSet, write_index,
};
use crate::store::archive::Timestamp;
use crate::sys::OwnedFd;

/// Writes the merged tree of `layers`, lowest first, to `file`, which is empty.
///
/// An entry of a higher layer takes the place of a lower one of the same name; two directories become one, with the
/// higher one's owner, permissions and attributes, unless the higher one is opaque or only implied; a whiteout hides.
pub fn merge_layers(
    layers: &[Index],
    chain_id: Digest,
    file: OwnedFd,
) -> Result<Totals, IndexError> {
    let mut fold = Fold { layers, xattr_sets: HashMap::new() };
    let roots: Vec<Hit> =
        (0..layers.len()).rev().map(|rank| Hit { rank, target: ROOT_TARGET }).collect();
    let root = fold.resolve(&roots)?.ok_or(IndexError::Damaged("no layers to fold"))?;
    let totals = write_index(&mut fold, root, file, (Kind::Tree, chain_id))?;
    // A tree of which a part was zeros must not get its name, and its checksums would prove it.
    layers.iter().try_for_each(Index::intact)?;
    Ok(totals)
}

const ROOT_TARGET: Target = Target::Inode(Ordinal::ROOT, DT_DIR);
const DT_DIR: u8 = 4;

struct Fold<'a> {
    layers: &'a [Index],
    /// The sets of extended attributes met, by layer and by the layer's word for them.
    xattr_sets: HashMap<(usize, u32), XattrSet>,
}

/// A directory of the merged tree: the layers' directories that are merged in it, highest first.
type Merged = Vec<(usize, Ordinal)>;

/// What one layer has under a name.
#[derive(Clone, Copy)]
struct Hit {
    rank: usize,
    target: Target,
}

impl Fold<'_> {
    /// What the merged tree has where the layers have `hits`, highest first; `None` where it is hidden.
    fn resolve(
        &mut self,
        hits: &[Hit],
    ) -> Result<Option<Node<Merged, (usize, Ordinal)>>, IndexError> {
        let Some(top) = hits.first() else { return Ok(None) };
        let Target::Inode(ordinal, _) = top.target else { return Ok(None) };
        let inode = self.layers[top.rank].inode(ordinal)?;
        if matches!(inode.body, Body::Directory { .. }) {
            return self.merge(hits).map(Some);
        }
        let body = self.leaf(*top, ordinal, &inode)?;
        let group = inode.is_group.then_some((top.rank, ordinal));
        Ok(Some(Node { meta: self.meta(top.rank, ordinal, &inode)?, body, group }))
    }

    /// The directory that the directories at the front of `hits` make together.
    fn merge(&mut self, hits: &[Hit]) -> Result<Node<Merged, (usize, Ordinal)>, IndexError> {
        let mut dirs = Vec::new();
        let mut meta = None;
        for hit in hits {
            let Target::Inode(ordinal, DT_DIR) = hit.target else { break };
            let inode = self.layers[hit.rank].inode(ordinal)?;
            let Body::Directory { opaque, implied } = inode.body else { break };
            dirs.push((hit.rank, ordinal));
            if meta.is_none() && !implied {
                meta = Some(self.meta(hit.rank, ordinal, &inode)?);
            }
            if opaque {
                break;
            }
        }
        // A directory that no layer describes gets what an unpacker would give it.
        let unknown = || Meta {
            permissions: 0o755,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: XattrSet::default(),
        };
        let body = FoundBody::Directory { dir: dirs, opaque: false, implied: false };
        Ok(Node { meta: meta.unwrap_or_else(unknown), body, group: None })
    }

    fn leaf(
        &self,
        hit: Hit,
        ordinal: Ordinal,
        inode: &Inode,
    ) -> Result<FoundBody<Merged>, IndexError> {
        let index = &self.layers[hit.rank];
        Ok(match inode.body {
            Body::Inline => {
                FoundBody::Inline { handle: handle_of(hit.rank, ordinal), size: inode.size }
            }
            Body::Object { digest, sparse } => {
                FoundBody::Object { digest, size: inode.size, sparse }
            }
            Body::Symlink => FoundBody::Symlink(index.link_target(ordinal)?.into()),
            Body::Device { major, minor } => {
                let class = if inode.mode >> 12 == 0o06 {
                    DeviceClass::Block
                } else {
                    DeviceClass::Character
                };
                FoundBody::Device { class, major, minor }
            }
            Body::Special if inode.mode >> 12 == 0o14 => FoundBody::Socket,
            Body::Special => FoundBody::Fifo,
            Body::Directory { .. } => return Err(IndexError::Damaged("type of an inode")),
        })
    }

    fn meta(&mut self, rank: usize, ordinal: Ordinal, inode: &Inode) -> Result<Meta, IndexError> {
        let index = &self.layers[rank];
        let xattrs = match self.xattr_sets.entry((rank, index.xattr_set(ordinal)?)) {
            Entry::Occupied(known) => XattrSet::clone(known.get()),
            Entry::Vacant(new) => {
                let pairs = index.xattrs(ordinal)?.into_iter();
                XattrSet::clone(
                    new.insert(pairs.map(|(name, value)| (name.into(), value.into())).collect()),
                )
            }
        };
        Ok(Meta {
            permissions: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            xattrs,
        })
    }
}

impl Origin for Fold<'_> {
    type Dir = Merged;
    type Group = (usize, Ordinal);

    fn list(&mut self, dir: &Merged) -> Result<Vec<Found<Merged, (usize, Ordinal)>>, IndexError> {
        let mut hits: Vec<(&[u8], Hit)> = Vec::new();
        for (rank, ordinal) in dir {
            let layers = self.layers;
            for child in layers[*rank].children(*ordinal, 0)? {
                let child = child?;
                hits.push((child.name, Hit { rank: *rank, target: child.target }));
            }
        }
        // Stable, and the layers came highest first: so do the hits of one name.
        hits.sort_by_key(|(name, _)| *name);
        let mut found = Vec::new();
        for same in hits.chunk_by(|(a, _), (b, _)| a == b) {
            let ranked: Vec<Hit> = same.iter().map(|(_, hit)| *hit).collect();
            if let Some(node) = self.resolve(&ranked)? {
                found.push(Found { name: same[0].0.into(), node: Some(node) });
            }
        }
        Ok(found)
    }

    fn contents(&mut self, handle: u64, _size: u64) -> Result<Vec<u8>, IndexError> {
        let (rank, ordinal) = of_handle(handle);
        let layer = self.layers.get(rank).ok_or(IndexError::Damaged("contents"))?;
        layer.inline(ordinal).map(<[u8]>::to_vec)
    }
}

fn handle_of(rank: usize, ordinal: Ordinal) -> u64 {
    (rank as u64) << 32 | u64::from(ordinal.number())
}

fn of_handle(handle: u64) -> (usize, Ordinal) {
    let ordinal = u32::try_from(handle & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (usize::try_from(handle >> 32).unwrap_or(usize::MAX), Ordinal::from_number(ordinal))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{LayerOutcome, Progress, RootfsInput, Store};
    use super::*;
    use crate::store::index;

    struct Silent;

    impl Progress for Silent {
        fn begin(&self, _: &Digest, _: Option<u64>) {}
        fn advance(&self, _: &Digest, _: u64) {}
        fn end(&self, _: &Digest, _: LayerOutcome) {}
    }

    /// The lost page holds the value of the last attribute that is read: nothing is asked of the index after it.
    #[test]
    fn no_tree_is_folded_of_a_page_that_was_proved_and_then_lost() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, value) in [("f0", vec![b'v'; 3840]), ("f1", b"lost".to_vec())] {
            archive.append_pax_extensions([("SCHILY.xattr.user.a", &value[..])]).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            archive.append_data(&mut header, name, &[][..]).unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        let archive = std::io::Cursor::new(archive.into_inner().unwrap());
        let input = RootfsInput::Archive(Box::new(archive));
        store.import_rootfs(input, "test", None, &Silent).unwrap();
        let diff_id = store.images().unwrap()[0].layers[0].diff_id;
        let layer = store.layer_index(&diff_id).unwrap();
        index::check(&layer).unwrap();
        let path = scratch.path().join("store/layers").join(diff_id.hex());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[8192..8196], *b"lost");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(8192).unwrap();
        let tree: OwnedFd = tempfile::tempfile().unwrap().into();
        let folded = merge_layers(&[layer], diff_id, tree);
        assert!(matches!(folded, Err(IndexError::Damaged("a page could not be read"))));
    }
}
