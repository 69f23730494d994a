//! Owns the mapping of user and group ids: those that the layers hold, and those that the mount shows.

use std::sync::Arc;

/// The id of what has none that can be shown or stored: the kernel's `overflowuid`.
pub const NOBODY: u32 = 65_534;

/// No id at all. The kernel shows it as [`NOBODY`], and refuses changes of what has it.
pub const NONE: u32 = u32::MAX;

/// Ids that follow each other, stored from one number on and shown from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first as it is stored.
    pub stored: u32,
    /// The first as it is shown.
    pub shown: u32,
    /// How many.
    pub len: u32,
}

/// Why ranges are no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRangeFault {
    /// It ends behind the last id, or is empty.
    #[error("{0} ids from {1} on are none, or more than there are")]
    Bounds(u32, u32),
    /// One id would have two.
    #[error("two ranges overlap")]
    Overlap,
}

/// The mapping of users, or of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Empty: each id is shown as it is stored.
    ranges: Arc<[IdRange]>,
    /// All are shown as this one.
    squashed: Option<u32>,
}

impl Ids {
    /// Takes ranges of which no two overlap, on either side. Without any each id stays what it is.
    pub fn new(ranges: &[IdRange]) -> Result<Ids, IdRangeFault> {
        for range in ranges {
            for first in [range.stored, range.shown] {
                // The last number is no id.
                if range.len == 0 || first.checked_add(range.len).is_none() {
                    return Err(IdRangeFault::Bounds(range.len, first));
                }
            }
        }
        let meet =
            |one: u32, other: u32, lens: (u32, u32)| one < other + lens.1 && other < one + lens.0;
        for (at, one) in ranges.iter().enumerate() {
            for other in &ranges[at + 1..] {
                let lens = (one.len, other.len);
                if meet(one.stored, other.stored, lens) || meet(one.shown, other.shown, lens) {
                    return Err(IdRangeFault::Overlap);
                }
            }
        }
        Ok(Ids { ranges: ranges.into(), squashed: None })
    }

    /// The same, and all shown as one id, whoever owns what.
    pub fn squashed_to(self, id: Option<u32>) -> Ids {
        Ids { squashed: id, ..self }
    }

    /// How an owner is shown; [`NONE`] for one outside of all ranges.
    pub fn shown(&self, stored: u32) -> u32 {
        self.squashed.unwrap_or_else(|| self.mapped(stored).unwrap_or(NONE))
    }

    /// What is stored for an id of those who use the mount; `None` outside of all ranges.
    pub fn stored(&self, shown: u32) -> Option<u32> {
        if self.ranges.is_empty() {
            return Some(shown);
        }
        let of = |range: &IdRange| {
            shown
                .checked_sub(range.shown)
                .filter(|nth| *nth < range.len)
                .map(|nth| range.stored + nth)
        };
        self.ranges.iter().find_map(of)
    }

    /// The same for what root of the host says. That one is root of the layers, too: whoever prepares a container is that,
    /// and makes and gives things to root before the container's own root comes.
    pub fn stored_by_root(&self, shown: u32) -> Option<u32> {
        self.stored(shown).or((shown == 0).then_some(0))
    }

    /// How an id that is named in a list or a capability is shown: it is none of the squashed owners.
    pub fn mapped(&self, stored: u32) -> Option<u32> {
        if self.ranges.is_empty() {
            return Some(stored);
        }
        let of = |range: &IdRange| {
            stored
                .checked_sub(range.stored)
                .filter(|nth| *nth < range.len)
                .map(|nth| range.shown + nth)
        };
        self.ranges.iter().find_map(of)
    }
}

/// The mapping of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Of users.
    pub users: Ids,
    /// Of groups.
    pub groups: Ids,
}

impl IdMap {
    /// Whether ids that attributes name stay what they are.
    pub fn keeps_all(&self) -> bool {
        self.users.ranges.is_empty() && self.groups.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(stored: u32, shown: u32, len: u32) -> IdRange {
        IdRange { stored, shown, len }
    }

    #[test]
    fn ids_go_both_ways_and_those_outside_are_none() {
        let ids = Ids::new(&[range(0, 100_000, 10), range(20, 5, 2)]).unwrap();
        for (stored, shown) in [(0, 100_000), (9, 100_009), (20, 5), (21, 6)] {
            assert_eq!((ids.shown(stored), ids.stored(shown)), (shown, Some(stored)));
        }
        assert_eq!([10, 19, 22, NONE].map(|stored| ids.shown(stored)), [NONE; 4]);
        assert_eq!([0, 4, 7, 99_999, 100_010, NONE].map(|shown| ids.stored(shown)), [None; 6]);
        assert_eq!([0, 4, 5].map(|shown| ids.stored_by_root(shown)), [Some(0), None, Some(20)]);
    }

    #[test]
    fn without_ranges_ids_stay_what_they_are() {
        let ids = Ids::default();
        assert_eq!((ids.shown(7), ids.stored(7), ids.mapped(7)), (7, Some(7), Some(7)));
        assert!(IdMap::default().keeps_all());
    }

    #[test]
    fn what_is_squashed_is_stored_as_it_is() {
        let ids = Ids::default().squashed_to(Some(9));
        assert_eq!((ids.shown(7), ids.stored(7), ids.mapped(7)), (9, Some(7), Some(7)));
    }

    #[test]
    fn ranges_that_overlap_or_do_not_end_are_refused() {
        let all = Ids::new(&[range(0, 0, NONE)]).unwrap();
        assert_eq!((all.shown(NONE - 1), all.shown(NONE)), (NONE - 1, NONE));
        for bad in [range(1, 0, NONE), range(0, 1, NONE), range(0, 0, 0)] {
            assert!(matches!(Ids::new(&[bad]), Err(IdRangeFault::Bounds(..))), "{bad:?}");
        }
        for bad in [range(9, 500, 1), range(50, 109, 5), range(0, 0, 1)] {
            assert_eq!(Ids::new(&[range(0, 100, 10), bad]), Err(IdRangeFault::Overlap), "{bad:?}");
        }
        assert!(Ids::new(&[range(0, 100, 10), range(10, 110, 1), range(11, 90, 10)]).is_ok());
    }
}
