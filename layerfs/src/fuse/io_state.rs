//! Who reads and writes the open handles of one inode of the kernel's: the states, and what an open makes of them.
//!
//! ```text
//! Idle ── a file of the upper ──────────> Upper    the kernel reads and writes it
//! Idle ── a file of the lower ──────────> Lower    the kernel reads it, and nobody writes
//! Idle ── everything else ──────────────> Cached   by us, through the page cache
//! Upper, Cached ── any open ────────────> the same
//! Lower ── an open that reads the lower > Lower
//! Lower ── any other open ──────────────> Lower, and who opens is sent to a new inode
//! any ── the last close ────────────────> Idle
//! ```
//!
//! The kernel takes one file behind an inode at a time, and none beside handles that it caches. So who is to write what others
//! read from the lower needs another inode: the kernel looks the name up once more where an open answers `ESTALE`.

/// Who serves the open handles of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// There are none.
    Idle,
    /// By us, through the page cache.
    Cached,
    /// By the kernel, which has a file of the upper.
    Upper,
    /// By the kernel, which has a file of the lower.
    Lower,
}

/// An inode, as an open finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub served: Served,
    /// Somebody is about to open it for writing.
    pub is_awaited: bool,
    /// Its node is found under another number now.
    pub is_former: bool,
    /// The kernel may have contents of before a change that went by another number.
    pub is_old: bool,
    /// The kernel was given files of this mount.
    pub were_given: bool,
    /// It is that other number: its node's lower file is held elsewhere, and going to be written here.
    pub is_second: bool,
}

/// Whose bytes a handle has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// A file of the upper, which the kernel may have.
    Upper,
    /// A file of the lower, which the kernel may have.
    Lower,
    /// Whatever else, or what the kernel may not have.
    Ours,
}

/// What a file is opened for, and whose bytes it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub writes: bool,
    /// To append, or round the cache.
    pub by_us: bool,
    pub data: Data,
    /// The lower's bytes are worth to be given to the kernel.
    pub is_chosen: bool,
}

/// What becomes of an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is served as the handles that are there.
    Join,
    /// It is the first, and served so.
    Begin(Served),
    /// Another inode is to be opened.
    Turn,
}

impl State {
    /// What becomes of an open.
    pub fn open(self, wanted: Wanted) -> Step {
        if self.is_former {
            return Step::Turn;
        }
        match (self.served, wanted.data) {
            (Served::Lower, Data::Lower) if !wanted.writes => Step::Join,
            (Served::Lower, _) => Step::Turn,
            (Served::Cached | Served::Upper, _) => Step::Join,
            (Served::Idle, _) if wanted.by_us => Step::Begin(Served::Cached),
            (Served::Idle, Data::Upper) => Step::Begin(Served::Upper),
            (Served::Idle, Data::Lower)
                if wanted.is_chosen && !wanted.writes && !self.is_awaited && !self.is_second =>
            {
                Step::Begin(Served::Lower)
            }
            (Served::Idle, Data::Lower | Data::Ours) => Step::Begin(Served::Cached),
        }
    }

    /// Whether what the kernel has of the contents is kept by a handle that is served by us. Of the upper nothing is, where the
    /// kernel may have written it past us; what the lower has does not change.
    pub fn keeps_cache(self, data: Data) -> bool {
        let was_written = data == Data::Upper && self.were_given;
        !was_written && !self.is_old
    }

    /// Whether who is going to write has to open another inode.
    pub fn turns_writers(self) -> bool {
        self.is_former || self.served == Served::Lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: State = State {
        served: Served::Idle,
        is_awaited: false,
        is_former: false,
        is_old: false,
        were_given: true,
        is_second: false,
    };
    const READS: Wanted =
        Wanted { writes: false, by_us: false, data: Data::Lower, is_chosen: true };
    const WRITES: Wanted = Wanted { writes: true, data: Data::Upper, ..READS };

    fn all_states() -> impl Iterator<Item = State> {
        [Served::Idle, Served::Cached, Served::Upper, Served::Lower].into_iter().flat_map(
            |served| {
                (0..8).map(move |bits| State {
                    served,
                    is_awaited: bits & 1 != 0,
                    is_former: bits & 2 != 0,
                    is_second: bits & 4 != 0,
                    ..PLAIN
                })
            },
        )
    }

    fn all_wanted() -> impl Iterator<Item = Wanted> {
        [Data::Upper, Data::Lower, Data::Ours].into_iter().flat_map(|data| {
            (0..8).map(move |bits| Wanted {
                writes: bits & 1 != 0,
                by_us: bits & 2 != 0,
                is_chosen: bits & 4 != 0,
                data,
            })
        })
    }

    #[test]
    fn the_first_open_decides_who_serves() {
        assert_eq!(PLAIN.open(READS), Step::Begin(Served::Lower));
        assert_eq!(PLAIN.open(WRITES), Step::Begin(Served::Upper));
        assert_eq!(PLAIN.open(Wanted { data: Data::Ours, ..READS }), Step::Begin(Served::Cached));
        assert_eq!(PLAIN.open(Wanted { by_us: true, ..WRITES }), Step::Begin(Served::Cached));
        assert_eq!(PLAIN.open(Wanted { by_us: true, ..READS }), Step::Begin(Served::Cached));
        assert_eq!(PLAIN.open(Wanted { is_chosen: false, ..READS }), Step::Begin(Served::Cached));
    }

    #[test]
    fn who_waits_to_write_keeps_the_lower_from_being_given() {
        let awaited = State { is_awaited: true, ..PLAIN };
        assert_eq!(awaited.open(READS), Step::Begin(Served::Cached));
        let second = State { is_second: true, ..PLAIN };
        assert_eq!(second.open(READS), Step::Begin(Served::Cached));
        assert_eq!(second.open(WRITES), Step::Begin(Served::Upper));
    }

    #[test]
    fn who_writes_what_others_read_from_the_lower_is_sent_elsewhere() {
        let lower = State { served: Served::Lower, ..PLAIN };
        assert_eq!(lower.open(READS), Step::Join);
        assert_eq!(lower.open(Wanted { by_us: true, ..READS }), Step::Join);
        assert_eq!(lower.open(WRITES), Step::Turn);
        // Who reads what was copied up meanwhile, too.
        assert_eq!(lower.open(Wanted { writes: false, ..WRITES }), Step::Turn);
        assert_eq!(lower.open(Wanted { data: Data::Ours, ..READS }), Step::Turn);
    }

    #[test]
    fn what_the_kernel_has_of_the_contents_is_kept_unless_it_may_be_old() {
        assert!(PLAIN.keeps_cache(Data::Lower) && PLAIN.keeps_cache(Data::Ours));
        assert!(!PLAIN.keeps_cache(Data::Upper), "it may have been written past us");
        assert!(State { were_given: false, ..PLAIN }.keeps_cache(Data::Upper));
        for data in [Data::Lower, Data::Upper, Data::Ours] {
            assert!(!State { is_old: true, ..PLAIN }.keeps_cache(data));
        }
    }

    #[test]
    fn a_file_of_the_lower_never_stands_behind_what_may_write() {
        for (state, wanted) in all_states().flat_map(|state| all_wanted().map(move |w| (state, w)))
        {
            let step = state.open(wanted);
            let is_lower = step == Step::Begin(Served::Lower)
                || step == Step::Join && state.served == Served::Lower;
            assert!(
                !is_lower || !wanted.writes && wanted.data == Data::Lower,
                "{state:?} {wanted:?}"
            );
            assert!(!state.is_former || step == Step::Turn, "{state:?} {wanted:?}");
            assert!(step != Step::Begin(Served::Idle));
            // One kind at a time: what is served goes on as it is, or not here.
            let is_first = matches!(step, Step::Begin(_));
            assert!(!is_first || state.served == Served::Idle, "{state:?} {wanted:?}");
        }
    }

    #[test]
    fn who_is_let_to_write_is_not_sent_elsewhere_by_the_open_itself() {
        for (state, wanted) in all_states().flat_map(|state| all_wanted().map(move |w| (state, w)))
        {
            let is_let = wanted.writes && !state.turns_writers();
            assert!(!is_let || state.open(wanted) != Step::Turn, "{state:?} {wanted:?}");
        }
    }
}
