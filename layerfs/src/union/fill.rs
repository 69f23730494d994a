//! Filling: a file of which only metadata was copied up gets its data before it is written.
//!
//! One thread wins a node and fills it; others that want to change it wait on the node. Who reads goes on reading the
//! lower until it is done.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::copy_up::{Extent, LowerContents, is_for_want_of_room};
use super::error::{UnionError, answer};
use super::mount::{Shared, Union};
use super::node::{Beneath, Data, FoundBy, Node};
use crate::sys::Errno;
use crate::sys::change::{self, Access};
use crate::upper::{Contents, Upper, UpperError};

impl Union {
    /// Gives a file of the upper its data, where the lower has it. The caller holds neither the topology nor the lock of
    /// a directory. Answers the file where it was emptied now.
    pub(super) fn fill(
        &self,
        upper: &Upper,
        node: &Shared,
        extent: Extent,
    ) -> Result<Option<OwnedFd>, UnionError> {
        let below = {
            let mut data = node.data.lock();
            loop {
                match &*data {
                    Data::Here => return Ok(None),
                    Data::Brought(_) if extent == Extent::Whole => {
                        drop(data);
                        return self.settle(upper, node).map(|()| None);
                    }
                    Data::Brought(_) => return Ok(None),
                    Data::Filling(_) => node.filled.wait(&mut data),
                    Data::Below(below) => {
                        let below = below.clone();
                        *data = Data::Filling(below.clone());
                        break below;
                    }
                }
            }
        };
        let filled = self.fill_from(upper, node, (&below, extent));
        {
            let mut data = node.data.lock();
            if let Data::Filling(left) = &*data {
                *data = Data::Below(left.clone());
            }
        }
        node.filled.notify_all();
        filled
    }

    fn fill_from(
        &self,
        upper: &Upper,
        node: &Shared,
        (below, extent): (&Beneath, Extent),
    ) -> Result<Option<OwnedFd>, UnionError> {
        let contents = match extent {
            Extent::Nothing => None,
            Extent::Whole | Extent::Blocks | Extent::Names | Extent::Attributes => {
                Some(LowerContents(self.lower.open(&below.file)?))
            }
        };
        self.look_through(node)?;
        let file = self.opened_to_fill(node)?;
        let measured = upper.spending(&file, 0)?;
        // What it gives back afterwards is what it had before.
        let filling = node.filling();
        let held = node.blocks.write();
        if self.is_in_part(node, &file, (below.found_by, extent))? {
            drop((held, filling));
            match contents {
                None => self.empty_in_part(upper, node, &file)?,
                Some(contents) => {
                    let filled = self.fill_in_part(upper, node, (&contents, &file), extent);
                    // What has no room for all of it goes on in part.
                    let goes_on = |error: &UnionError| {
                        extent == Extent::Blocks && is_for_want_of_room(error.errno())
                    };
                    filled.or_else(|error| if goes_on(&error) { Ok(()) } else { Err(error) })?;
                }
            }
        } else {
            let contents = contents.as_ref().map(|contents| contents as &dyn Contents);
            upper.complete(&file, contents)?;
            node.becomes_whole();
        }
        drop(measured);
        Ok((extent == Extent::Nothing).then_some(file))
    }

    /// Whether a file is filled a piece at a time: some of it was written, or is to be. The caller holds its blocks exclusively.
    fn is_in_part(
        &self,
        node: &Shared,
        file: &OwnedFd,
        (found_by, extent): (FoundBy, Extent),
    ) -> Result<bool, UnionError> {
        if node.below().is_some() || extent != Extent::Blocks || found_by == FoundBy::Name {
            return Ok(node.below().is_some());
        }
        match self.begin_in_part(node, file) {
            Err(error) if is_for_want_of_room(error.errno()) => Ok(false),
            begun => begun.map(|_| true),
        }
    }

    /// Found by its name, which may change afterwards.
    pub(super) fn opened_to_fill(&self, node: &Shared) -> Result<OwnedFd, UnionError> {
        let _topology = self.topology.read();
        self.in_place(node, |spot| {
            let file = change::open_file(&*spot.dir, &*spot.name, Access::Write);
            Ok(file.map_err(|source| UpperError::Call { deed: "open a file", source })?)
        })
    }

    /// Takes the mark away of a file that has all its data.
    fn settle(&self, upper: &Upper, node: &Shared) -> Result<(), UnionError> {
        let file = self.opened_to_fill(node)?;
        self.sync_brought(upper, node, &file)?;
        let _held = node.blocks.write();
        if node.brought().is_some() {
            upper.take_mark(&file)?;
            node.becomes_whole();
        }
        Ok(())
    }

    /// Has the disk take all data of a file. Where it failed to, and somebody was told, the lower's is never given up.
    pub(super) fn sync_brought(
        &self,
        upper: &Upper,
        node: &Node,
        file: &OwnedFd,
    ) -> Result<(), UnionError> {
        if node.was_not_synced.load(Ordering::Acquire) {
            return answer(Errno::IO);
        }
        Ok(upper.sync(file)?)
    }

    /// The same, once it was synced. Where it can't be it stays.
    pub(super) fn settle_synced(&self, upper: &Upper, node: &Shared, file: &OwnedFd) {
        // Who changes its size sets the mark anew.
        let Some(_held) = node.blocks.try_write() else { return };
        if node.brought().is_some() && !node.was_not_synced.load(Ordering::Acquire) {
            match upper.take_mark(file) {
                Ok(()) => node.becomes_whole(),
                Err(error) => tracing::debug!("a file keeps the mark of a partial one: {error}"),
            }
        }
    }
}
