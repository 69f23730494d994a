//! Fault points: the n-th call fails with an errno, or the process dies there.
//!
//! Behind the feature `fault`; without it a point is nothing. A plan comes from the environment, for a whole process
//! (`LAYERFS_FAULT=fail:N:ERRNO[:CALL]`, `die:N[:CALL]`, `panic:N[:CALL]`, `count`, `ignore-syncs`), or from [`with_plan`], for the current
//! thread. `LAYERFS_FAULT_VERB=WORD` keeps the plan to processes that have the word among theirs, and away from those that they
//! start. With `LAYERFS_FAULT_REPORT=FILE` the process appends `points=N fired=0|1` to FILE when it calls [`report`], and
//! after that, where it only counts, `CALL=N` for each name of a call.

use rustix::io::Errno;

#[cfg(feature = "fault")]
pub use armed::{Outcome, Plan, report, traced, with_plan};

/// Passes the fault point of `call`: an error where the plan says so, `Ok` otherwise.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub(super) fn point(_call: &'static str) -> Result<(), Errno> {
    Ok(())
}

/// Passes the fault point of `call`: an error where the plan says so, `Ok` otherwise.
#[cfg(feature = "fault")]
pub(super) fn point(call: &'static str) -> Result<(), Errno> {
    armed::point(call)
}

/// Makes a call that makes something durable, unless the plan is that nothing is.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub(super) fn unless_ignored(sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    sync()
}

/// Makes a call that makes something durable, unless the plan is that nothing is.
#[cfg(feature = "fault")]
pub(super) fn unless_ignored(sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    if armed::ignores_syncs() { Ok(()) } else { sync() }
}

/// Writes the report that the environment asks for: nothing to do without the feature `fault`.
#[cfg(not(feature = "fault"))]
pub fn report() {}

#[cfg(feature = "fault")]
mod armed {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};

    use rustix::io::Errno;

    /// What happens at the n-th point, counted from 1.
    #[derive(Clone, Debug)]
    pub enum Plan {
        /// Only count.
        Count,
        /// Only count, and answer each sync as if it were made: what tests of power cuts must then find.
        IgnoreSyncs,
        /// The n-th call answers with the errno instead of being made.
        Fail {
            /// Which call, counted from 1.
            n: u64,
            /// The answer.
            errno: Errno,
            /// Only calls of this name count.
            call: Option<Box<str>>,
        },
        /// The process kills itself instead of making the n-th call: with SIGKILL, or, where it is the first of a namespace
        /// of processes, with an instruction that it may not use.
        Die {
            /// Which call, counted from 1.
            n: u64,
            /// Only calls of this name count.
            call: Option<Box<str>>,
        },
        /// The n-th call waits, as for a slow disk: until another thread was at the gate, and then until it is there again.
        Halt {
            /// Which call, counted from 1.
            n: u64,
            /// Only calls of this name count.
            call: Option<Box<str>>,
            /// For two.
            gate: Arc<Barrier>,
        },
        /// The n-th call panics, as a mistake of ours would.
        Panic {
            /// Which call, counted from 1.
            n: u64,
            /// Only calls of this name count.
            call: Option<Box<str>>,
        },
    }

    /// What a run under a plan came to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Outcome {
        /// Points passed that the plan counts.
        pub points: u64,
        /// Whether the planned fault happened.
        pub fired: bool,
    }

    struct Global {
        plan: Plan,
        points: AtomicU64,
        fired: AtomicBool,
        /// How many of the points are of each call; of a plan that only counts.
        names: Mutex<BTreeMap<&'static str, u64>>,
    }

    static GLOBAL: OnceLock<Option<Global>> = OnceLock::new();

    thread_local! {
        static LOCAL: RefCell<Option<(Plan, Outcome)>> = const { RefCell::new(None) };
        static TRACE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    pub(in crate::sys) fn point(call: &'static str) -> Result<(), Errno> {
        let local = LOCAL.with_borrow_mut(|slot| {
            let (plan, outcome) = slot.as_mut()?;
            if !counts(plan, call) {
                return Some(None);
            }
            outcome.points += 1;
            if matches!(plan, Plan::Count) {
                TRACE.with_borrow_mut(|calls| calls.push(call));
            }
            let due = is_due(plan, outcome.points);
            outcome.fired |= due;
            Some(due.then(|| plan.clone()))
        });
        if let Some(due) = local {
            return due.map_or(Ok(()), |plan| happen(&plan));
        }
        let Some(global) = GLOBAL.get_or_init(from_environment) else { return Ok(()) };
        if !counts(&global.plan, call) {
            return Ok(());
        }
        if matches!(global.plan, Plan::Count) {
            let mut names = global.names.lock().unwrap_or_else(PoisonError::into_inner);
            *names.entry(call).or_default() += 1;
        }
        let n = global.points.fetch_add(1, Ordering::Relaxed) + 1;
        if !is_due(&global.plan, n) {
            return Ok(());
        }
        global.fired.store(true, Ordering::Relaxed);
        happen(&global.plan)
    }

    pub(in crate::sys) fn ignores_syncs() -> bool {
        let local = LOCAL.with_borrow(|slot| slot.as_ref().map(|(plan, _)| plan.clone()));
        let global = || GLOBAL.get_or_init(from_environment).as_ref();
        let plan = local.or_else(|| global().map(|global| global.plan.clone()));
        matches!(plan, Some(Plan::IgnoreSyncs))
    }

    /// Runs `deed` on this thread under `plan`; says how many points it passed and whether the fault happened.
    pub fn with_plan<T>(plan: Plan, deed: impl FnOnce() -> T) -> (T, Outcome) {
        LOCAL.set(Some((plan, Outcome { points: 0, fired: false })));
        let value = deed();
        let outcome =
            LOCAL.take().map_or(Outcome { points: 0, fired: false }, |(_, outcome)| outcome);
        (value, outcome)
    }

    /// Runs `deed` on this thread without a fault; says which calls it made, in their order.
    pub fn traced<T>(deed: impl FnOnce() -> T) -> (T, Vec<&'static str>) {
        TRACE.take();
        let (value, _) = with_plan(Plan::Count, deed);
        (value, TRACE.take())
    }

    /// Appends the counts of this process to the file that `LAYERFS_FAULT_REPORT` names.
    pub fn report() {
        let Some(Some(global)) = GLOBAL.get() else { return };
        let Some(path) = std::env::var_os("LAYERFS_FAULT_REPORT") else { return };
        let points = global.points.load(Ordering::Relaxed);
        let fired = u8::from(global.fired.load(Ordering::Relaxed));
        let names = global.names.lock().unwrap_or_else(PoisonError::into_inner);
        let names: String = names.iter().map(|(name, count)| format!(" {name}={count}")).collect();
        let line = format!("points={points} fired={fired}{names}\n");
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            tracing::warn!("fault report: {error}");
        }
    }

    fn counts(plan: &Plan, call: &str) -> bool {
        match plan {
            Plan::Count | Plan::IgnoreSyncs => true,
            Plan::Fail { call: only, .. }
            | Plan::Die { call: only, .. }
            | Plan::Halt { call: only, .. }
            | Plan::Panic { call: only, .. } => only.as_deref().is_none_or(|only| only == call),
        }
    }

    fn is_due(plan: &Plan, points: u64) -> bool {
        match plan {
            Plan::Count | Plan::IgnoreSyncs => false,
            Plan::Fail { n, .. }
            | Plan::Die { n, .. }
            | Plan::Halt { n, .. }
            | Plan::Panic { n, .. } => points == *n,
        }
    }

    fn happen(plan: &Plan) -> Result<(), Errno> {
        match plan {
            Plan::Count | Plan::IgnoreSyncs => Ok(()),
            Plan::Fail { errno, .. } => Err(*errno),
            Plan::Halt { gate, .. } => {
                gate.wait();
                gate.wait();
                Ok(())
            }
            #[allow(clippy::panic)] // the plan asks for one
            Plan::Panic { .. } => panic!("a planned fault"),
            Plan::Die { .. } => {
                let own = rustix::process::getpid();
                let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
                tracing::debug!("alive after {killed:?}");
                // The first process of a namespace is not reached by its own signals; by what no processor does it is.
                std::process::abort()
            }
        }
    }

    fn from_environment() -> Option<Global> {
        let words = std::env::var("LAYERFS_FAULT").ok()?;
        if let Some(verb) = std::env::var_os("LAYERFS_FAULT_VERB")
            && std::env::args_os().all(|word| word != verb)
        {
            return None;
        }
        let plan = parse(&words);
        if plan.is_none() {
            tracing::warn!("LAYERFS_FAULT={words}: not a fault plan");
        }
        let (points, fired) = (AtomicU64::new(0), AtomicBool::new(false));
        Some(Global { plan: plan?, points, fired, names: Mutex::default() })
    }

    fn parse(words: &str) -> Option<Plan> {
        let mut parts = words.split(':');
        match parts.next()? {
            "count" => Some(Plan::Count),
            "ignore-syncs" => Some(Plan::IgnoreSyncs),
            "fail" => {
                let n = parts.next()?.parse().ok()?;
                let errno = errno_of(parts.next()?)?;
                Some(Plan::Fail { n, errno, call: parts.next().map(Into::into) })
            }
            "die" => Some(Plan::Die {
                n: parts.next()?.parse().ok()?,
                call: parts.next().map(Into::into),
            }),
            "panic" => Some(Plan::Panic {
                n: parts.next()?.parse().ok()?,
                call: parts.next().map(Into::into),
            }),
            _ => None,
        }
    }

    fn errno_of(name: &str) -> Option<Errno> {
        match name {
            "EIO" => Some(Errno::IO),
            "ENOSPC" => Some(Errno::NOSPC),
            "EINTR" => Some(Errno::INTR),
            "EMFILE" => Some(Errno::MFILE),
            "EDQUOT" => Some(Errno::DQUOT),
            "ENOMEM" => Some(Errno::NOMEM),
            "ENOSYS" => Some(Errno::NOSYS),
            "EPERM" => Some(Errno::PERM),
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_nth_point_fails_once() {
            let (answers, outcome) =
                with_plan(Plan::Fail { n: 2, errno: Errno::IO, call: None }, || {
                    [point("a"), point("b"), point("c")]
                });
            assert_eq!(answers, [Ok(()), Err(Errno::IO), Ok(())]);
            assert_eq!(outcome, Outcome { points: 3, fired: true });
        }

        #[test]
        fn calls_are_told_in_their_order() {
            let (answer, calls) = traced(|| point("a").and_then(|()| point("b")));
            assert_eq!((answer, calls), (Ok(()), vec!["a", "b"]));
        }

        #[test]
        fn a_plan_for_one_call_counts_only_that_call() {
            let plan = parse("fail:1:ENOSPC:write").unwrap();
            let (answers, outcome) = with_plan(plan, || [point("openat"), point("write")]);
            assert_eq!(answers, [Ok(()), Err(Errno::NOSPC)]);
            assert_eq!(outcome.points, 1);
        }
    }
}
