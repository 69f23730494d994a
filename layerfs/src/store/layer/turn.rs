//! The turn to be large: of the layers of one import that are read at once, one at a time takes much memory.
//!
//! A layer takes its turn when it needs it and has it until it is staged. Whoever has it waits for no other layer, so
//! those that wait for it come to have it.

use std::sync::{Condvar, Mutex, OnceLock};

/// The turn that the layers of one import take.
#[derive(Default)]
pub(in crate::store) struct Turns {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// What one layer has of it: nothing, until it asks.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    held: OnceLock<Held<'a>>,
}

struct Held<'a>(&'a Turns);

impl<'a> Turn<'a> {
    pub(super) fn of(turns: &'a Turns) -> Self {
        Turn { turns, held: OnceLock::new() }
    }

    /// Waits until no other layer has the turn; at once where this one has it. May be called by all threads of a layer.
    pub(super) fn take(&self) {
        self.held.get_or_init(|| {
            let taken = self.turns.is_taken.lock().unwrap_or_else(|poison| poison.into_inner());
            let free = self.turns.freed.wait_while(taken, |is_taken| *is_taken);
            *free.unwrap_or_else(|poison| poison.into_inner()) = true;
            Held(self.turns)
        });
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(|poison| poison.into_inner()) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_layer_at_a_time_has_the_turn_and_all_of_its_threads_have_it() {
        let turns = Turns::default();
        let large = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let turn = Turn::of(&turns);
                        std::thread::scope(|threads| {
                            threads.spawn(|| turn.take());
                            turn.take();
                        });
                        assert_eq!(large.fetch_add(1, Ordering::SeqCst), 0);
                        large.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
