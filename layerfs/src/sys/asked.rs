//! Questions that may never be answered: a path can lead to a mount of FUSE whose process has stopped.
//!
//! They are asked in threads that may be left behind, each until its question is answered or the process ends. One that is
//! left keeps the mount namespace it was started in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::error::{SysError, call};

/// Who can answer does so long before this; who does not is busy or hangs.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// After this long without an answer the other questions are asked beside.
const PATIENCE: Duration = Duration::from_millis(10);

struct Queue<T> {
    asked: Vec<T>,
    /// The first that nobody has taken.
    next: AtomicUsize,
}

impl<T> Queue<T> {
    fn take(&self) -> Option<(usize, &T)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.asked.get(number).map(|asked| (number, asked))
    }

    fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.asked.len()
    }
}

/// Asks all, and answers in their order; `None` of what nobody has answered when it was time. However many hang, the time
/// is that of one, and a moment for each.
pub fn answers<T: Send + Sync + 'static, A: Send + 'static>(
    asked: Vec<T>,
    ask: fn(&T) -> A,
) -> Result<Vec<Option<A>>, SysError> {
    let mut answers: Vec<Option<A>> = asked.iter().map(|_| None).collect();
    let queue = Arc::new(Queue { asked, next: AtomicUsize::new(0) });
    let (told, heard) = channel();
    while !queue.is_empty() {
        start(&queue, ask, &told)?;
        hear(&heard, &mut answers, PATIENCE);
    }
    hear(&heard, &mut answers, ANSWER_MAX);
    Ok(answers)
}

fn start<T: Send + Sync + 'static, A: Send + 'static>(
    queue: &Arc<Queue<T>>,
    ask: fn(&T) -> A,
    told: &Sender<(usize, A)>,
) -> Result<(), SysError> {
    let start = || {
        let (queue, told) = (queue.clone(), told.clone());
        let work = move || {
            while let Some((number, asked)) = queue.take() {
                // Nobody listens any more: it was time.
                if told.send((number, ask(asked))).is_err() {
                    return;
                }
            }
        };
        let started = std::thread::Builder::new().spawn(work);
        started.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
    };
    call("clone", || "a thread that asks".to_owned(), start)
}

/// Takes answers until all are there, or for as long after the last one.
fn hear<A>(heard: &Receiver<(usize, A)>, answers: &mut [Option<A>], quiet: Duration) {
    let mut until = Instant::now() + quiet;
    while answers.iter().any(Option::is_none) {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((number, answer)) => {
                answers[number] = Some(answer);
                until = Instant::now() + quiet;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_hang_cost_the_time_of_one_and_hide_no_answer() {
        let begun = Instant::now();
        let ask = |number: &u32| {
            if number.is_multiple_of(2) {
                loop {
                    std::thread::park();
                }
            }
            number * 10
        };
        let answers = answers((0..20).collect(), ask).unwrap();
        let expected =
            (0..20).map(|number: u32| (!number.is_multiple_of(2)).then_some(number * 10));
        assert_eq!(answers, expected.collect::<Vec<_>>());
        assert!(begun.elapsed() < 4 * ANSWER_MAX, "{:?}", begun.elapsed());
    }

    #[test]
    fn nobody_is_waited_for_where_all_answer() {
        let begun = Instant::now();
        let answers = answers((0..1000).collect(), |number: &u32| number + 1).unwrap();
        assert!(answers.into_iter().eq((1..=1000).map(Some)));
        assert_eq!(super::answers(Vec::new(), |_: &u32| 0).unwrap(), []);
        assert!(begun.elapsed() < ANSWER_MAX, "{:?}", begun.elapsed());
    }
}
