//! Hard links.

use super::copy_up::Extent;
use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::list::{Became, begin_change};
use super::lookup::Looked;
use super::mount::Union;
use super::node::Node;
use crate::sys::Errno;
use crate::tree::Name;
use crate::upper::{At, Cover, Group, Upper};

impl Union {
    /// Gives a node one more name. It is counted as a lookup is.
    pub fn link(&self, id: NodeId, parent: NodeId, name: &Name) -> Result<Looked, UnionError> {
        let upper = self.writable()?;
        let node = self.node(id)?;
        if node.is_directory() {
            return answer(Errno::PERM);
        }
        if node.place.lock().gone.is_some() {
            return answer(Errno::NOENT);
        }
        let dir = self.dir_node(parent)?;
        {
            let _topology = self.topology.read();
            let state = dir.dir.read();
            self.free_name(&dir, &state, name)?;
        }
        upper.expect_within_bounds()?;
        self.copy_up(&node, Extent::Names)?;
        let _topology = self.topology.read();
        let above = self.ensure_upper_dir(&dir)?;
        let mut state = dir.dir.write();
        let cover = self.free_name(&dir, &state, name)?;
        // It may have lost its last name while it was copied up. A group may have names that are not known.
        let place = node.place.lock().clone();
        let is_named = node.group.is_some() || !place.names.is_empty() || place.may_be_named;
        if place.gone.is_some() || !is_named {
            return answer(Errno::NOENT);
        }
        let listing = begin_change(&mut state);
        self.add_link(upper, &node, (&above, name.as_bytes()), cover)?;
        self.add_name(&node, (dir.id, name));
        self.end_change(&mut state, listing, &[Became::Node(name, node.kind, id)]);
        let attr = self.attr_of(&node)?;
        node.count_lookup();
        Ok(Looked { id, generation: node.generation, attr })
    }

    /// A group is counted before it has the name: a count that is too high keeps its object for too long, one that is
    /// too low would give it up.
    fn add_link(
        &self,
        upper: &Upper,
        node: &Node,
        to: At<'_>,
        cover: Cover,
    ) -> Result<(), UnionError> {
        if self.name_nameless(upper, node, (to, cover))? {
            return Ok(());
        }
        let spot = self.spot(node)?;
        let from = (&*spot.dir, &*spot.name);
        let Some(group) = &node.group else { return Ok(upper.link(from, to, cover)?) };
        let _count = node.count.lock();
        let links = self.attr_of(node)?.nlink;
        upper.set_group(group, Group { links: links + 1, copied_up: true })?;
        let linked = upper.link(from, to, cover);
        if linked.is_err()
            && let Err(error) = upper.set_group(group, Group { links, copied_up: true })
        {
            tracing::warn!("a hard-link group counts a name that it did not get: {error}");
        }
        Ok(linked?)
    }

    /// Gives a file that was made without a name its first, in one step; `false` where it is none, or another was faster.
    fn name_nameless(
        &self,
        upper: &Upper,
        node: &Node,
        (to, cover): (At<'_>, Cover),
    ) -> Result<bool, UnionError> {
        let _count = node.count.lock();
        let orphan = {
            let place = node.place.lock();
            place.orphan.clone().filter(|_| place.may_be_named)
        };
        let Some(orphan) = orphan else { return Ok(false) };
        upper.name_orphan(&orphan, to, cover)?;
        let mut place = node.place.lock();
        place.orphan = None;
        place.may_be_named = false;
        Ok(true)
    }
}
