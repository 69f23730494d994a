//! Owns the way to a node: names from a root down, of which a child shares its parent's.

use std::sync::Arc;

use crate::tree::Name;

/// Names from a root down; none is the root itself. Grows by one name without copying the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(Option<Arc<Step>>);

#[derive(Debug)]
struct Step {
    parent: Trail,
    name: Name,
}

impl Trail {
    /// One name further.
    pub(super) fn then(&self, name: &Name) -> Trail {
        Trail(Some(Arc::new(Step { parent: self.clone(), name: name.clone() })))
    }

    /// Where it ends: the way to the directory, and the last name; `None` for the root.
    pub(super) fn last(&self) -> Option<(&Trail, &Name)> {
        self.0.as_deref().map(|step| (&step.parent, &step.name))
    }

    /// The names from the root down.
    pub(super) fn names(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> =
            std::iter::successors(self.last(), |(trail, _)| trail.last()).map(|(_, n)| n).collect();
        names.reverse();
        names
    }

    /// The path as messages show it.
    pub(super) fn shown(&self) -> String {
        match self.names().as_slice() {
            [] => ".".to_owned(),
            names => names.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"),
        }
    }
}

/// Names are let go one after the other: a way of 100,000 names must not take 100,000 stack frames.
impl Drop for Trail {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut step) = next.and_then(Arc::into_inner) {
            next = step.parent.0.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_tells_its_names_and_a_long_one_is_dropped() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let trail = Trail::default().then(&name("a")).then(&name("b"));
        assert_eq!((trail.shown().as_str(), Trail::default().shown().as_str()), ("a/b", "."));
        let mut long = Trail::default();
        for _ in 0..1_000_000 {
            long = long.then(&name("d"));
        }
        drop(long);
    }
}
