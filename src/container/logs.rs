//! `layerfs logs`: what a container in the background has written.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::Container;
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{file, host};

use crate::output::{Results, message, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs logs web
  layerfs logs -f --tail 20 web       the last lines, and what comes
  layerfs logs -t --since 10m web     with times, of the last ten minutes

What a container writes is kept where it runs in the background (`run -d`, `start`), in `log` in its directory, until it is \
removed. What came on standard error goes to standard error.";

/// The log's name in the container's directory.
pub const FILE: &str = "log";

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
    let Some(mut reader) = open(&store, &container)? else { return Ok(Outcome::Done) };
    let mut last = VecDeque::new();
    let mut lines = 0_usize;
    while let Some(piece) = next(&mut reader)? {
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
        follow((&store, &container), &mut reader, &mut shown, results)?;
    }
    Ok(Outcome::Done)
}

/// Shows what comes until nobody runs the container any more.
fn follow(
    (store, container): (&Store, &Container),
    reader: &mut impl BufRead,
    shown: &mut Shown,
    results: &mut Results,
) -> Result<()> {
    loop {
        // Asked first: what it wrote before it ended is there then.
        let ended = store.wait_for_container(container, STEP)?;
        while let Some(piece) = next(reader)? {
            shown.show(&piece, results)?;
        }
        results.flush()?;
        if ended {
            return Ok(());
        }
    }
}

/// The log; `None` where the container has written none.
fn open(store: &Store, container: &Container) -> Result<Option<BufReader<FileReader>>> {
    let path = store.path().join("containers").join(container.id.hex()).join(FILE);
    match file::open_read_path(path.as_path()) {
        Err(error) if error.is_absent() => Ok(None),
        log => Ok(Some(BufReader::new(FileReader::new(log?)))),
    }
}

/// The next whole piece; `None` where there is none yet. One that a full disk has cut off is passed over.
fn next(reader: &mut impl BufRead) -> Result<Option<Piece>> {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            // The rest of a line that is being written comes within a moment.
            if reader.read_until(b'\n', &mut line)? == 0 && line.is_empty() {
                return Ok(None);
            }
        }
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
            let mut reader = text;
            let mut pieces = Vec::new();
            while let Some(piece) = next(&mut reader).unwrap() {
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
        assert!(read(b"").is_empty());
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
