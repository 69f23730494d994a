//! What goes on inside, for `--log-level`: lines on standard error like all other messages, or, of a process that outlives
//! its caller, in a file or with the host's system log.

use std::fmt;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

use layerfs_driver::sys::syslog::{self, Severity};
use layerfs_driver::sys::{OwnedFd, file, host};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::time;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Also what went wrong and was got over.
    #[value(alias = "")] // an empty LAYERFS_LOG says nothing
    Warn,
    /// Also each step.
    Info,
    /// Also what a step decided, and why.
    Debug,
    /// Everything.
    Trace,
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    StandardError,
    File(OwnedFd),
    SystemLog,
}

static SINK: RwLock<Sink> = RwLock::new(Sink::StandardError);

/// Writes from now on to an open file, each line with its time.
pub fn to_file(file: OwnedFd) {
    set(Sink::File(file));
}

/// Hands lines to the host's system log from now on, unless they go to a file.
pub fn to_system_log() {
    if !matches!(*SINK.read().unwrap_or_else(PoisonError::into_inner), Sink::File(_)) {
        set(Sink::SystemLog);
    }
}

fn set(sink: Sink) {
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
}

/// Starts the log. The first call of a process wins.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        // Told on standard error, and by a panic where that is gone: a terminal that was closed.
        .log_internal_errors(false)
        .event_format(Line)
        .with_writer(ToSink)
        .finish();
    if tracing::subscriber::set_global_default(log).is_err() {
        tracing::debug!("the log had been started before");
    }
}

/// Begins every line on standard error.
const PREFIX: &str = "layerfs: ";

struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // tidy: allow(path_methods) a log event's metadata, not a path's
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(out, "{PREFIX}{level}: ")?;
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

struct ToSink;

/// Takes one line, which tracing gives in one write.
struct LineOut(Severity);

impl<'a> MakeWriter<'a> for ToSink {
    type Writer = LineOut;

    fn make_writer(&'a self) -> LineOut {
        LineOut(Severity::Info)
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> LineOut {
        LineOut(match *of.level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            _ => Severity::Debug,
        })
    }
}

impl Write for LineOut {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let words = line.strip_prefix(PREFIX.as_bytes()).unwrap_or(line);
        match &*SINK.read().unwrap_or_else(PoisonError::into_inner) {
            Sink::StandardError => io::stderr().write_all(line)?,
            Sink::File(to) => {
                // One write, so that lines of several processes stay whole.
                let mut dated = time::rfc3339_ms(host::now_ms()).into_bytes();
                dated.push(b' ');
                dated.extend_from_slice(words);
                file::write_all(to, &dated)?;
            }
            Sink::SystemLog => syslog::send(self.0, words.trim_ascii_end())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
