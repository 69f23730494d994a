//! What a serving process tells the one that started it and waits: lines on its standard output, which is a pipe for
//! nothing else. Its standard error is the caller's own until it is ready, so that a log gets in nobody's way.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::Result;
use layerfs_driver::sys::stream;

use crate::output::message;

/// The mount is usable.
const READY: &str = "ready";
/// Stands before what was agreed with the kernel.
const AGREED: &str = "agreed ";
/// Stands before why it never will be.
const FAILED: &str = "failed ";

/// Says what was agreed with the kernel.
pub fn tell_agreed(words: &str) -> Result<()> {
    tell(&format!("{AGREED}{words}"))
}

/// Says that the mount is usable.
pub fn tell_ready() -> Result<()> {
    tell(READY)
}

/// Says why it can't be made.
pub fn tell_failed(error: &anyhow::Error) -> Result<()> {
    tell(&format!("{FAILED}{}", message::line_of(error)))
}

/// Whether nobody listens any more.
pub fn is_caller_gone() -> Result<bool> {
    Ok(stream::is_reader_gone(std::io::stdout())?)
}

fn tell(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// What was heard of a serving process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its mount is usable.
    Ready,
    /// Why it is not.
    Failed(String),
    /// It ended without a word.
    Nothing,
}

/// Listens until the process has said how it goes, or has ended.
pub fn first_word(pipe: impl Read) -> Result<Heard> {
    for line in BufReader::new(pipe).lines() {
        let line = line?;
        if line == READY {
            return Ok(Heard::Ready);
        }
        if let Some(why) = line.strip_prefix(FAILED) {
            return Ok(Heard::Failed(why.to_owned()));
        }
    }
    Ok(Heard::Nothing)
}

/// Listens until the serving process has let go of the pipe: it is ready and keeps nothing of its caller, or has ended.
/// The last word counts. What was agreed with the kernel is handed to `agreed`.
pub fn listen(pipe: impl Read, mut agreed: impl FnMut(&str)) -> Result<Heard> {
    let mut heard = Heard::Nothing;
    for line in BufReader::new(pipe).lines() {
        let line = line?;
        if line == READY {
            heard = Heard::Ready;
        } else if let Some(why) = line.strip_prefix(FAILED) {
            heard = Heard::Failed(why.to_owned());
        } else if let Some(words) = line.strip_prefix(AGREED) {
            agreed(words);
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_that_says_how_it_goes_is_heard() {
        let heard = |said: &str| listen(said.as_bytes(), |_| {}).unwrap();
        assert_eq!(heard("ready\n"), Heard::Ready);
        assert_eq!(heard("ready\nfailed late\n"), Heard::Failed("late".into()));
        assert_eq!(heard("what is this\nfailed a: b\n"), Heard::Failed("a: b".into()));
        assert_eq!(heard(""), Heard::Nothing);
        let mut words = String::new();
        assert_eq!(
            listen(&b"agreed on x\nready\n"[..], |said| words = said.into()).unwrap(),
            Heard::Ready
        );
        assert_eq!(words, "on x");
        assert_eq!(heard("read"), Heard::Nothing);
    }
}
