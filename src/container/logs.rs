//! `layerfs logs`: what a container in the background has written.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::Container;
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{dir, host};
use layerfs_runtime::{LOG, OLD_LOG};

use crate::output::{Results, message, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs logs web
  layerfs logs -f --tail 20 web       the last lines, and what comes
  layerfs logs -t --since 10m web     with times, of the last ten minutes

What a container writes is kept where it runs in the background (`run -d`, `start`), in `log` in its directory, until it is \
removed: 64 MiB, and the 64 before. What came on standard error goes to standard error.";

/// How often a log is looked at that is followed.
const STEP: Duration = Duration::from_millis(100);

/// The words of `layerfs logs`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct LogsArgs {
    /// Go on with what comes, until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show so many lines of the end; `all` for all
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all")]
    tail: String,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Show what came later: a time as 2026-01-31T12:00:00Z, seconds since 1970, or how long ago, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show what came earlier
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Its name, id, or the beginning of that
    container: String,
}

/// A piece of what was written: a line, or a part of one.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    time: String,
    stream: Stream,
    bytes: Vec<u8>,
    ends_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// What is shown, and how.
#[derive(Debug)]
struct Shown {
    timestamps: bool,
    since_s: Option<i64>,
    until_s: Option<i64>,
    /// Whether the last piece of each stream left its line open.
    open: [bool; 2],
}

/// Shows what was written.
pub fn run(args: &LogsArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let tail = match args.tail.as_str() {
        "all" => None,
        word => Some(word.parse::<usize>().with_context(|| format!("--tail `{word}`"))?),
    };
    let mut shown = Shown {
        timestamps: args.timestamps,
        since_s: args.since.as_deref().map(|word| moment("--since", word)).transpose()?,
        until_s: args.until.as_deref().map(|word| moment("--until", word)).transpose()?,
        open: [false; 2],
    };
    let store = session.store()?;
    let container = store.find_container(&args.container)?;
    let mut written = Written::open(&store, &container)?;
    let mut last = VecDeque::new();
    let mut lines = 0_usize;
    while let Some(piece) = written.next()? {
        let Some(tail) = tail else {
            shown.show(&piece, results)?;
            continue;
        };
        lines += usize::from(piece.ends_line);
        last.push_back(piece);
        let open = usize::from(last.back().is_some_and(|piece| !piece.ends_line));
        while lines + open > tail {
            let Some(first) = last.pop_front() else { break };
            lines -= usize::from(first.ends_line);
        }
    }
    last.iter().try_for_each(|piece| shown.show(piece, results))?;
    results.flush()?;
    if args.follow {
        follow((&store, &container), &mut written, &mut shown, results)?;
    }
    Ok(Outcome::Done)
}

/// Shows what comes until nobody runs the container any more, or the time is over until which it was asked for.
fn follow(
    (store, container): (&Store, &Container),
    written: &mut Written,
    shown: &mut Shown,
    results: &mut Results,
) -> Result<()> {
    loop {
        // Asked first: what it wrote before it ended is there then.
        let lives = store.is_container_living(container)?;
        while let Some(piece) = written.next()? {
            shown.show(&piece, results)?;
        }
        results.flush()?;
        let now_s = i64::try_from(host::now_ms() / 1000)?;
        if !lives || shown.until_s.is_some_and(|until| now_s > until) {
            return Ok(());
        }
        // tidy: allow(sleep) whoever writes a log tells nobody
        std::thread::sleep(STEP);
    }
}

/// What was written, the older file first; goes on in a newer one when that comes.
struct Written {
    dir: OwnedFd,
    reader: Option<BufReader<FileReader>>,
    /// What stands at the end of the file and has no end of a line yet.
    begun: Vec<u8>,
}

impl Written {
    fn open(store: &Store, container: &Container) -> Result<Self> {
        let path = store.path().join("containers").join(container.id.hex());
        let dir = dir::open_path(path.as_path()).context("open the container's directory")?;
        let mut written = Written { dir, reader: None, begun: Vec::new() };
        if !written.turn_to(OLD_LOG)? && !written.turn_to(LOG)? {
            message::say(format_args!(
                "container `{}` has no log: it has not run in the background yet (`run -d`, `start`), and what it wrote went to \
                 whoever ran it",
                container.name
            ));
        }
        Ok(written)
    }

    /// Reads on in that file, where it is there.
    fn turn_to(&mut self, name: &str) -> Result<bool> {
        match file::open_read(&self.dir, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(false),
            log => {
                self.begun.clear();
                self.reader = Some(BufReader::new(FileReader::new(log?)));
                Ok(true)
            }
        }
    }

    /// The next whole piece; `None` where there is none yet. One that was cut off is passed over.
    fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            let Some(reader) = &mut self.reader else {
                if !self.turn_to(LOG)? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(piece) = next(reader, &mut self.begun)? {
                return Ok(Some(piece));
            }
            let own = file::stat(reader.get_ref().as_owned())?;
            match file::stat_at(&self.dir, LOG, Symlinks::Stop) {
                Err(error) if error.is_absent() => return Ok(None),
                newest => {
                    let newest = newest?;
                    if (newest.st_dev, newest.st_ino) == (own.st_dev, own.st_ino) {
                        return Ok(None);
                    }
                }
            }
            // Nothing is written into this one any more: what came in between is read before it is left.
            match next(reader, &mut self.begun)? {
                Some(piece) => return Ok(Some(piece)),
                None if self.turn_to(LOG)? => {}
                None => return Ok(None),
            }
        }
    }
}

fn next(reader: &mut impl BufRead, begun: &mut Vec<u8>) -> Result<Option<Piece>> {
    loop {
        reader.read_until(b'\n', begun)?;
        if !begun.ends_with(b"\n") {
            return Ok(None);
        }
        let line = std::mem::take(begun);
        if let Some(piece) = piece(&line) {
            return Ok(Some(piece));
        }
    }
}

fn piece(line: &[u8]) -> Option<Piece> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let time = String::from_utf8(words.next()?.to_vec()).ok()?;
    let stream = match words.next()? {
        b"stdout" => Stream::Output,
        b"stderr" => Stream::Error,
        _ => return None,
    };
    let ends_line = match words.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let bytes = words.next()?.strip_suffix(b"\n")?.to_vec();
    Some(Piece { time, stream, bytes, ends_line })
}

impl Shown {
    fn show(&mut self, piece: &Piece, results: &mut Results) -> Result<()> {
        let at = time::parse_rfc3339(&piece.time);
        if at.is_none_or(|at| self.since_s.is_some_and(|since| at < since))
            || at.is_none_or(|at| self.until_s.is_some_and(|until| at > until))
        {
            return Ok(());
        }
        let open = &mut self.open[usize::from(piece.stream == Stream::Error)];
        let mut bytes = Vec::with_capacity(piece.bytes.len() + 40);
        if self.timestamps && !*open {
            bytes.extend_from_slice(piece.time.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(&piece.bytes);
        if piece.ends_line {
            bytes.push(b'\n');
        }
        *open = !piece.ends_line;
        match piece.stream {
            Stream::Output => results.bytes(&bytes)?,
            Stream::Error => {
                results.flush()?;
                message::bytes(&bytes);
            }
        }
        Ok(())
    }
}

/// Seconds since 1970 of a time in the user's words.
fn moment(option: &str, word: &str) -> Result<i64> {
    let now_s = i64::try_from(host::now_ms() / 1000)?;
    if let Some(secs) = time::parse_rfc3339(word).or_else(|| word.parse().ok()) {
        return Ok(secs);
    }
    match time::parse_span(word) {
        Some(secs) => Ok(now_s - secs),
        None => bail!(
            "{option} `{word}`: write a time as 2026-01-31T12:00:00Z, seconds since 1970, or how long ago as 90s, 10m or 2h30m"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_they_stand() {
        let read = |text: &[u8]| {
            let (mut reader, mut begun) = (text, Vec::new());
            let mut pieces = Vec::new();
            while let Some(piece) = next(&mut reader, &mut begun).unwrap() {
                pieces.push((piece.stream, piece.bytes, piece.ends_line));
            }
            pieces
        };
        let pieces = read(b"T stdout F a b\nT stderr P \xff\ncut off T stdout F\nT stdout F \n");
        let expected = [
            (Stream::Output, b"a b".to_vec(), true),
            (Stream::Error, b"\xff".to_vec(), false),
            (Stream::Output, Vec::new(), true),
        ];
        assert_eq!(pieces, expected);
        assert!(read(b"").is_empty() && read(b"T stdout F no end").is_empty());
    }

    #[test]
    fn times_are_said_in_three_ways() {
        assert_eq!(moment("--since", "1970-01-01T00:01:00Z").unwrap(), 60);
        assert_eq!(moment("--since", "42").unwrap(), 42);
        let ago = moment("--since", "1h").unwrap() - moment("--since", "0s").unwrap();
        assert!((-3602..=-3598).contains(&ago), "{ago}");
        assert!(moment("--until", "soon").unwrap_err().to_string().contains("--until `soon`"));
    }
}
