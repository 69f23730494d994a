//! Making the upper whole: nothing of what it changed rests on a mark that leads into the lower.
//!
//! Nothing that is shown changes. Each object is done at once or not at all, and what was done is passed over by who begins
//! again:
//!
//! 1. A file of which only metadata was copied up gets its data.
//! 2. A directory with a redirect gets copies of all that the lower has in it, from the leaves up; then it is made opaque,
//!    which beats the redirect, and then that goes.
//! 3. Every name of a hard-link group that was copied up gets its link: others would show the lower's file under it.
//!
//! Nobody else uses the union meanwhile.

use super::copy_up::{Extent, keeping_times};
use super::error::UnionError;
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::view::View;
use crate::lower::LowerNode;
use crate::tree::{Kind, Name, Opaque};
use crate::upper::{At, Cover, Data, Found, Upper};

/// How much of a directory is brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// What changed in it.
    Changed,
    /// Everything.
    All,
}

/// How a directory is walked through.
#[derive(Clone, Copy)]
struct Walk<'a> {
    upper: &'a Upper,
    reach: Reach,
    /// The upper has copies of files with several names, of which any may be met.
    has_groups: bool,
}

/// What is left to do.
enum Step {
    /// Look at the names of a directory.
    Enter(NodeId, Reach),
    /// All below this name stands in the upper: its directory needs the lower no more.
    Close(NodeId, Name),
    /// Nothing below it is left to do.
    Forget(NodeId),
}

impl Union {
    /// Brings up whatever the upper's marks lead to.
    pub fn make_whole(&self) -> Result<(), UnionError> {
        let upper = self.writable()?;
        if upper.hides_all()? {
            let lower = self.lower.list(&self.lower.root())?;
            upper.open_root(lower.iter().map(|entry| &entry.name))?;
        }
        let has_groups = upper.has_group_copies()?;
        let mut left = vec![Step::Enter(NodeId::ROOT, Reach::Changed)];
        while let Some(step) = left.pop() {
            match step {
                Step::Enter(id, reach) => {
                    let dir = self.dir_node(id)?;
                    let walk = Walk { upper, reach, has_groups };
                    for name in self.names_to_visit(&walk, &dir)? {
                        let visited = self.visit(&walk, &dir, &name, &mut left);
                        visited.map_err(|error| self.at(&dir, &name, error))?;
                    }
                }
                Step::Close(parent, name) => {
                    let above = self.upper_dir(&*self.dir_node(parent)?)?;
                    upper.close_directory((&above, name.as_bytes()))?;
                }
                Step::Forget(id) => self.forget(id, 1),
            }
        }
        Ok(())
    }

    /// An error, with the path of what it is of.
    fn at(&self, dir: &Shared, name: &Name, error: UnionError) -> UnionError {
        let mut names = vec![name.to_string()];
        let mut above = dir.one_name();
        while let Some((parent, name)) = above {
            names.push(name.to_string());
            above = self.node(parent).ok().and_then(|parent| parent.one_name());
        }
        names.reverse();
        UnionError::At { path: names.join("/"), source: Box::new(error) }
    }

    /// All names, where any may have to be brought up; else those of the upper.
    fn names_to_visit(&self, walk: &Walk<'_>, dir: &Shared) -> Result<Vec<Name>, UnionError> {
        let mut names = Vec::new();
        if walk.reach == Reach::All || walk.has_groups {
            self.list(dir.id, 0, |entry| {
                names.push(entry.name.clone());
                true
            })?;
        } else if let Some(above) = self.upper_dir_if_any(dir)? {
            let listed = walk.upper.list(&above)?;
            names.extend(listed.into_iter().filter(|at| at.kind.is_some()).map(|at| at.name));
        }
        Ok(names)
    }

    fn visit(
        &self,
        walk: &Walk<'_>,
        dir: &Shared,
        name: &Name,
        left: &mut Vec<Step>,
    ) -> Result<(), UnionError> {
        let Walk { upper, reach, has_groups } = *walk;
        match self.view(dir, name)? {
            View::Absent { .. } => Ok(()),
            View::Upper(found) if found.attr.kind == Kind::Directory => {
                let id = self.lookup(dir.id, name)?.id;
                left.push(Step::Forget(id));
                left.extend(found.redirect.is_some().then(|| Step::Close(dir.id, name.clone())));
                left.push(Step::Enter(id, reach_below(&found, reach)));
                Ok(())
            }
            View::Upper(found) if found.data != Data::Here => {
                self.with(dir, name, |node| self.fill(upper, node, Extent::Whole).map(drop))
            }
            View::Upper(_) => Ok(()),
            View::Lower(lower, _) if self.lower.kind(&lower)? == Kind::Directory => {
                if reach == Reach::Changed && !has_groups {
                    return Ok(());
                }
                let id = self.lookup(dir.id, name)?.id;
                left.push(Step::Forget(id));
                left.push(Step::Enter(id, reach));
                if reach == Reach::All {
                    self.ensure_upper_dir(&self.dir_node(id)?)?;
                }
                Ok(())
            }
            View::Lower(lower, _) => self.bring_up_file(upper, (dir, name), &lower, reach),
        }
    }

    fn bring_up_file(
        &self,
        upper: &Upper,
        (dir, name): (&Shared, &Name),
        lower: &LowerNode,
        reach: Reach,
    ) -> Result<(), UnionError> {
        if reach == Reach::Changed && !self.lower.is_group(lower)? {
            return Ok(());
        }
        self.with(dir, name, |node| {
            let is_copied = node.group.is_some() && node.is_upper();
            if !is_copied && reach == Reach::Changed {
                return Ok(());
            }
            self.copy_up(node, Extent::Whole)?;
            if node.group.is_none() || !matches!(self.view(dir, name)?, View::Lower(..)) {
                return Ok(());
            }
            let above = self.ensure_upper_dir(dir)?;
            let spot = self.spot(node)?;
            let (from, to): (At<'_>, At<'_>) = ((&spot.dir, &spot.name), (&above, name.as_bytes()));
            keeping_times(&above, || Ok(upper.link(from, to, Cover::Nothing)?))
        })
    }

    /// Does something with what a name leads to, and lets it go.
    fn with(
        &self,
        dir: &Shared,
        name: &Name,
        act: impl FnOnce(&Shared) -> Result<(), UnionError>,
    ) -> Result<(), UnionError> {
        let id = self.lookup(dir.id, name)?.id;
        let done = self.node(id).and_then(|node| act(&node));
        self.forget(id, 1);
        done
    }
}

/// How much of a directory of the upper is brought up: all where it lies elsewhere in the lower, unless it hides that.
fn reach_below(found: &Found, reach: Reach) -> Reach {
    match (found.opaque, &found.redirect) {
        (Opaque::Hides, _) => Reach::Changed,
        (Opaque::No | Opaque::MayHoldWhiteouts, Some(_)) => Reach::All,
        (Opaque::No | Opaque::MayHoldWhiteouts, None) => reach,
    }
}
