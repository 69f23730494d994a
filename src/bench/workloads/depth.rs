//! Stacks of many layers: what each further one costs.

use anyhow::{Result, bail};
use layerfs_driver::sys::file::{self, Symlinks};

use super::walk;
use crate::bench::scale::Scale;
use crate::bench::stock::{STACK_DIRS, Stock};
use crate::bench::workload::{Bound, Place, Start, Workload};

/// What is done there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// All is walked through, cold.
    Walk,
    /// Names are asked for that are not there.
    Absent,
}

/// So many layers.
pub struct Depth(pub u32, pub Deed);

impl Workload for Depth {
    fn name(&self) -> String {
        match self.1 {
            Deed::Walk => format!("depth-{}-walk", self.0),
            Deed::Absent => format!("depth-{}-absent", self.0),
        }
    }
    fn about(&self) -> String {
        match self.1 {
            Deed::Walk => format!("walk through {} layers, cold", self.0),
            Deed::Absent => format!("ask for names that none of {} layers has", self.0),
        }
    }
    fn stock(&self) -> Stock {
        Stock::Layers(self.0)
    }
    fn operations(&self, scale: &Scale) -> u64 {
        match self.1 {
            Deed::Walk => STACK_DIRS + 2 * u64::from(scale.layers(self.0)),
            Deed::Absent => scale.absent_names,
        }
    }
    fn start(&self) -> Start {
        match self.1 {
            Deed::Walk => Start::Cold,
            Deed::Absent => Start::Mounted,
        }
    }
    fn bound(&self) -> Bound {
        match self.1 {
            Deed::Walk => Bound::Other,
            Deed::Absent => Bound::RoundTrips,
        }
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        if self.1 == Deed::Walk {
            return walk::whole(place, self.operations(place.scale()));
        }
        let tree = place.tree()?;
        for number in 0..place.scale().absent_names {
            let name = format!("dir{}/absent{number}", number % STACK_DIRS);
            match file::stat_at(&tree, name.as_str(), Symlinks::Stop) {
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error.into()),
                Ok(_) => bail!("{name} is there"),
            }
        }
        Ok(())
    }
}
