//! Keeps processors from sleeping deeply while requests come fast.
//!
//! Each request wakes two threads, who serves and who asked, and each of them most often on a processor that has just become idle.
//! To wake one that has halted takes longer than the answer does, many times in a virtual machine. So while there are many requests
//! the kernel is asked to let none sleep deeper than the lightest state; see `sys/cpu_latency.rs`.

use super::patience::processors;
use crate::sys::cpu_latency::{self, Limit};

/// So many requests in a tick are worth it. At fewer the processors sleep most of the time.
const MANY: u32 = 4;
/// After so many such ticks it begins.
const BEGINS: u32 = 2;
/// After so many others it ends.
const ENDS: u32 = 10;

/// The limit and what it is decided by.
#[derive(Debug)]
pub(super) struct Wakeful {
    /// In microseconds; `None` where nothing is to be done.
    lightest: Option<i32>,
    limit: Option<Limit>,
    ticks: Ticks,
}

impl Wakeful {
    /// `is_wanted` asks for it where the kernel and the rights of this process allow.
    pub fn new(is_wanted: bool) -> Self {
        let is_wanted = is_wanted && processors() > 1;
        let lightest = if is_wanted { cpu_latency::lightest() } else { None };
        Wakeful { lightest, limit: None, ticks: Ticks::default() }
    }

    /// A tick has passed in which so many requests came. Answers whether processors are kept awake from now on.
    pub fn tick(&mut self, requests: u32) -> bool {
        let Some(lightest) = self.lightest else { return false };
        match (self.ticks.decide(requests, self.limit.is_some()), &self.limit) {
            (true, None) => match Limit::new(lightest) {
                Ok(limit) => self.limit = Some(limit),
                Err(error) => {
                    tracing::debug!("processors are not kept awake: {error}");
                    self.lightest = None;
                }
            },
            (false, Some(_)) => self.limit = None,
            _ => {}
        }
        self.limit.is_some()
    }
}

/// Ticks in a row that speak against how it is.
#[derive(Debug, Default)]
struct Ticks(u32);

impl Ticks {
    fn decide(&mut self, requests: u32, is_on: bool) -> bool {
        let (is_many, enough) = (requests >= MANY, if is_on { ENDS } else { BEGINS });
        self.0 = if is_many == is_on { 0 } else { self.0 + 1 };
        if self.0 < enough {
            return is_on;
        }
        self.0 = 0;
        !is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ticks: &[u32]) -> Vec<bool> {
        let (mut state, mut is_on) = (Ticks::default(), false);
        ticks
            .iter()
            .map(|requests| {
                is_on = state.decide(*requests, is_on);
                is_on
            })
            .collect()
    }

    #[test]
    fn a_burst_begins_it_and_quiet_ends_it() {
        assert_eq!(after(&[0, 30, 0, 30, 30, 0]), [false, false, false, false, true, true]);
        let mut ticks = vec![30, 30];
        ticks.extend([0; 9]);
        ticks.push(30);
        ticks.extend([0; 10]);
        let kept = after(&ticks);
        assert!(
            kept[1..ticks.len() - 1].iter().all(|kept| *kept),
            "a pause ends nothing: {kept:?}"
        );
        assert!(!kept[ticks.len() - 1], "{kept:?}");
    }

    #[test]
    fn where_it_is_not_wanted_nothing_is_kept() {
        let mut wakeful = Wakeful::new(false);
        assert!((0..10).all(|_| !wakeful.tick(1000)));
    }
}
