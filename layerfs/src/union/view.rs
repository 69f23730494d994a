//! What a name in a directory of the union leads to, decided from both sides.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::blocks::Below;
use super::error::UnionError;
use super::mount::Union;
use super::node::{Beneath, FoundBy, Node};
use crate::lower::LowerNode;
use crate::tree::{Attr, Kind, Name, Opaque, Redirect, Redirects};
use crate::upper::{Data, Found, Look, Upper, UpperError};

/// What a name leads to.
pub(super) enum View {
    /// Nothing; the upper may hide what the lower has.
    Absent {
        /// A whiteout stands in the upper.
        whiteout: bool,
    },
    /// An object of the upper.
    Upper(Box<Found>),
    /// An object that only the lower has, and its attributes where they were at hand.
    Lower(LowerNode, Option<Attr>),
}

impl Union {
    /// What `name` in `dir` leads to. The caller holds the directory's lock.
    pub(super) fn view(&self, dir: &Node, name: &Name) -> Result<View, UnionError> {
        if let Some(upper) = &self.upper
            && dir.is_upper()
        {
            match upper.look(&*self.upper_dir(dir)?, name.as_bytes())? {
                Look::Found(found) => return Ok(View::Upper(found)),
                Look::Whiteout => return Ok(View::Absent { whiteout: true }),
                Look::Absent => {}
            }
        }
        let found = match dir.lower() {
            Some(lower) => self.lower.lookup_seen(&lower, name)?,
            None => None,
        };
        Ok(match found {
            Some((node, seen)) => View::Lower(node, seen),
            None => View::Absent { whiteout: false },
        })
    }

    /// What the lower part of `dir` has under `name`, whatever the upper says of it.
    pub(super) fn lower_name(
        &self,
        dir: &Node,
        name: &Name,
    ) -> Result<Option<LowerNode>, UnionError> {
        match dir.lower() {
            Some(lower) => Ok(self.lower.lookup(&lower, name)?),
            None => Ok(None),
        }
    }

    /// Whether the lower part of `dir` has something under `name` that the mount does not show.
    pub(super) fn lower_has_hidden(&self, dir: &Node, name: &Name) -> Result<bool, UnionError> {
        match dir.lower() {
            Some(lower) => Ok(self.lower.has_hidden(&lower, name)?),
            None => Ok(false),
        }
    }

    /// The lower part of a directory found in the upper, under `name` in `parent`.
    pub(super) fn lower_part(
        &self,
        parent: &Node,
        name: &Name,
        found: &Found,
    ) -> Result<Option<LowerNode>, UnionError> {
        if found.opaque == Opaque::Hides {
            return Ok(None);
        }
        let part = match &found.redirect {
            Some(Redirect::Absolute(path)) => self.lower.at_path(path)?,
            Some(Redirect::Sibling(other)) => self.lower_name(parent, other)?,
            None => self.lower_name(parent, name)?,
        };
        let is_dir =
            |node: &LowerNode| Ok::<_, UnionError>(self.lower.kind(node)? == Kind::Directory);
        match part {
            // It leads past the permissions of the directories on the way, wherever whoever owns the upper wants.
            Some(_) if found.redirect.is_some() && self.redirects() == Redirects::Refuse => {
                Err(UpperError::RedirectRefused(name.to_string()).into())
            }
            Some(node) if is_dir(&node)? => Ok(Some(node)),
            _ => Ok(None),
        }
    }

    /// Whether redirects of the upper are followed, and written: without, a directory with a lower part keeps its name.
    pub(super) fn redirects(&self) -> Redirects {
        self.upper.as_ref().map_or(Redirects::Follow, Upper::redirects)
    }

    /// The lower file that has the data of a file found in the upper, under `name` in `parent`; `None` where that has it.
    pub(super) fn data_part(
        &self,
        parent: &Node,
        name: &Name,
        found: &Found,
    ) -> Result<Option<Beneath>, UnionError> {
        if found.data == Data::Here {
            return Ok(None);
        }
        // It leads past permissions, as a directory's redirect does.
        if self.redirects() == Redirects::Refuse {
            return Err(UpperError::RedirectRefused(name.to_string()).into());
        }
        let (part, found_by) = match (found.data, &found.redirect) {
            (Data::OfOrigin | Data::InPart { .. }, redirect) => {
                let path = redirect.as_ref().and_then(Redirect::absolute);
                (self.lower.data_of(found.origin.as_ref(), path)?, FoundBy::Marks)
            }
            (_, Some(Redirect::Absolute(path))) => (self.lower.at_path(path)?, FoundBy::Name),
            (_, Some(Redirect::Sibling(other))) => (self.lower_name(parent, other)?, FoundBy::Name),
            (_, None) => (self.lower_name(parent, name)?, FoundBy::Name),
        };
        match part {
            Some(file) if self.lower.kind(&file)? == Kind::File => {
                Ok(Some(Beneath { file, found_by, below: Below::of(found.data) }))
            }
            _ => Err(UpperError::data_missing(name).into()),
        }
    }

    /// The same of the copy of a hard-link group: a lower file that it is known by has the data.
    pub(super) fn data_of_group(
        &self,
        upper: &Upper,
        group: &str,
        lower: &LowerNode,
    ) -> Result<Option<Beneath>, UnionError> {
        let data = upper.data_of_group(group)?;
        let found_by = match data {
            Data::Here => return Ok(None),
            Data::Below => FoundBy::Name,
            Data::OfOrigin | Data::InPart { .. } => FoundBy::Marks,
        };
        if self.redirects() == Redirects::Refuse {
            return Err(UpperError::RedirectRefused(group.to_owned()).into());
        }
        Ok(Some(Beneath { file: lower.clone(), found_by, below: Below::of(data) }))
    }

    /// The open directory of the upper, where the node has one.
    pub(super) fn upper_dir_if_any(&self, dir: &Node) -> Result<Option<Arc<OwnedFd>>, UnionError> {
        if dir.is_upper() { self.upper_dir(dir).map(Some) } else { Ok(None) }
    }
}
