//! Owns the map of a sparse file: its segments of data, and what must hold between them and the file's sizes.

use super::escape::Quoted;

/// Segments of one map at most.
pub(super) const SEGMENTS_MAX: usize = 1 << 20;
/// Bytes of holes in one archive at most: they cost the archive nothing, and whoever hashes or copies them much.
pub(in crate::store) const HOLES_MAX: u64 = 256 << 30;

/// A run of data inside a file; around segments there are holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// What can be wrong with a sparse map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseFault {
    /// More segments than one file may have.
    #[error("sparse map has more than {SEGMENTS_MAX} segments")]
    TooManySegments,
    /// A segment that begins before the one before it ends.
    #[error("sparse map does not ascend at offset {offset}")]
    NotAscending {
        /// Offset of the segment.
        offset: u64,
    },
    /// A segment that ends after the file does.
    #[error("sparse map goes past the size of the file, {size}")]
    BeyondEnd {
        /// Logical bytes of the file.
        size: u64,
    },
    /// Segments that do not add up to the stored data.
    #[error("sparse map has {mapped} bytes of data, but the archive stores {stored}")]
    DataLength {
        /// Bytes in the segments.
        mapped: u64,
        /// Bytes in the archive.
        stored: u64,
    },
    /// Holes of more than 256 GiB.
    #[error("sparse map claims {holes} bytes of holes, more than 256 GiB")]
    Holes {
        /// The claim.
        holes: u64,
    },
    /// Holes of more than 256 GiB in all files so far.
    #[error("sparse files claim {holes} bytes of holes together, more than 256 GiB")]
    AllHoles {
        /// The claims.
        holes: u64,
    },
    /// A map that ends in the middle of a segment, or after more or fewer of them than it announces.
    #[error("sparse map has {found} numbers, but announces {announced}")]
    Count {
        /// Numbers found.
        found: usize,
        /// Numbers announced.
        announced: u64,
    },
    /// Something else where a number should be.
    #[error("sparse map holds something else than a number: {text}")]
    NotANumber {
        /// What it holds.
        text: Quoted,
    },
    /// A map inside the data that goes past it.
    #[error("sparse map is longer than the stored data")]
    MapBeyondData,
    /// A map without the logical size of the file.
    #[error("sparse file without its real size")]
    NoSize,
    /// Two maps for one file; readers differ on which holds.
    #[error("two sparse maps for one file")]
    TwoMaps,
    /// A version of the format that nobody has defined.
    #[error("unknown sparse format {major}.{minor}")]
    UnknownVersion {
        /// `GNU.sparse.major`.
        major: Quoted,
        /// `GNU.sparse.minor`.
        minor: Quoted,
    },
}

/// A map that has been checked: ascending, within the file, and as long as the stored data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    segments: Vec<Segment>,
    size: u64,
}

impl SparseMap {
    /// A file without holes.
    pub(super) fn whole(size: u64) -> SparseMap {
        SparseMap { segments: vec![Segment { offset: 0, len: size }], size }
    }

    /// Checks a map against the logical size and the bytes that the archive stores for it. Empty segments say where a
    /// file ends, no more, and are dropped.
    pub(super) fn check(
        mut segments: Vec<Segment>,
        size: u64,
        stored: u64,
    ) -> Result<SparseMap, SparseFault> {
        if segments.len() > SEGMENTS_MAX {
            return Err(SparseFault::TooManySegments);
        }
        let mut end = 0;
        let mut mapped = 0;
        for segment in &segments {
            if segment.offset < end {
                return Err(SparseFault::NotAscending { offset: segment.offset });
            }
            end = segment
                .offset
                .checked_add(segment.len)
                .filter(|&end| end <= size)
                .ok_or(SparseFault::BeyondEnd { size })?;
            // Segments do not overlap and end within the size, so their sum is no larger.
            mapped += segment.len;
        }
        if mapped != stored {
            return Err(SparseFault::DataLength { mapped, stored });
        }
        if size - mapped > HOLES_MAX {
            return Err(SparseFault::Holes { holes: size - mapped });
        }
        segments.retain(|segment| segment.len > 0);
        Ok(SparseMap { segments, size })
    }

    /// Logical bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        segments: &[(u64, u64)],
        size: u64,
        stored: u64,
    ) -> Result<Vec<(u64, u64)>, SparseFault> {
        let segments = segments.iter().map(|&(offset, len)| Segment { offset, len }).collect();
        let map = SparseMap::check(segments, size, stored)?;
        Ok(map.into_segments().iter().map(|s| (s.offset, s.len)).collect())
    }

    #[test]
    fn a_good_map_keeps_its_data_segments() {
        assert_eq!(
            check(&[(0, 5), (5, 1), (10, 5), (20, 0)], 20, 11),
            Ok(vec![(0, 5), (5, 1), (10, 5)])
        );
        assert_eq!(check(&[], 1 << 30, 0), Ok(vec![]));
        assert_eq!(check(&[(0, 0)], 0, 0), Ok(vec![]));
    }

    #[test]
    fn segments_must_ascend_and_stay_within_the_file() {
        let fault = SparseFault::NotAscending { offset: 4 };
        assert_eq!(check(&[(0, 5), (4, 1)], 20, 6), Err(fault.clone()));
        assert_eq!(check(&[(10, 1), (4, 0)], 20, 1), Err(fault));
        assert_eq!(check(&[(10, 11)], 20, 11), Err(SparseFault::BeyondEnd { size: 20 }));
        assert_eq!(check(&[(21, 0)], 20, 0), Err(SparseFault::BeyondEnd { size: 20 }));
        assert_eq!(
            check(&[(u64::MAX, 2)], u64::MAX, 2),
            Err(SparseFault::BeyondEnd { size: u64::MAX })
        );
    }

    #[test]
    fn segments_must_add_up_to_the_stored_data() {
        assert_eq!(check(&[(0, 5)], 20, 6), Err(SparseFault::DataLength { mapped: 5, stored: 6 }));
        assert_eq!(check(&[(0, 5)], 20, 4), Err(SparseFault::DataLength { mapped: 5, stored: 4 }));
    }

    #[test]
    fn holes_are_bounded_and_the_claim_is_named() {
        assert!(check(&[(0, 1)], (256 << 30) + 1, 1).is_ok());
        let fault = check(&[(0, 1)], (256 << 30) + 2, 1).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "sparse map claims 274877906945 bytes of holes, more than 256 GiB"
        );
    }

    #[test]
    fn segments_are_bounded_in_number() {
        let segments = vec![(0, 0); SEGMENTS_MAX];
        assert!(check(&segments, 0, 0).is_ok());
        let segments = vec![(0, 0); SEGMENTS_MAX + 1];
        assert_eq!(check(&segments, 0, 0), Err(SparseFault::TooManySegments));
    }
}
