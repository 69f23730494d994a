//! Filling: a file of which only metadata was copied up gets its data before it is written.
//!
//! One thread wins a node and fills it; others that want to change it wait on the node. Who reads goes on reading the
//! lower until it is done.

use std::os::fd::OwnedFd;

use super::copy_up::{Extent, LowerContents};
use super::error::UnionError;
use super::mount::{Shared, Union};
use super::node::Data;
use crate::lower::LowerNode;
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
                    Data::Filling(_) => node.filled.wait(&mut data),
                    Data::Below(below) => {
                        let below = below.clone();
                        *data = Data::Filling(below.clone());
                        break below;
                    }
                }
            }
        };
        let filled = self.fill_from(upper, node, (&below.file, extent));
        *node.data.lock() = if filled.is_ok() { Data::Here } else { Data::Below(below) };
        node.filled.notify_all();
        filled
    }

    fn fill_from(
        &self,
        upper: &Upper,
        node: &Shared,
        (below, extent): (&LowerNode, Extent),
    ) -> Result<Option<OwnedFd>, UnionError> {
        let contents = match extent {
            Extent::Nothing => None,
            Extent::Whole | Extent::Names | Extent::Attributes => {
                Some(LowerContents(self.lower.open(below)?))
            }
        };
        let file = {
            // Found by its name, which may change afterwards.
            let _topology = self.topology.read();
            self.in_place(node, |spot| {
                let file = change::open_file(&*spot.dir, &*spot.name, Access::Write);
                Ok(file.map_err(|source| UpperError::Call { deed: "open a file", source })?)
            })?
        };
        let contents = contents.as_ref().map(|contents| contents as &dyn Contents);
        // What it gives back afterwards is what it had before.
        let _filling = node.filling();
        upper.complete(&file, contents)?;
        Ok((extent == Extent::Nothing).then_some(file))
    }
}
