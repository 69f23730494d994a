//! What goes on inside, for `--log-level`: lines on standard error like all other messages.

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

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
        .event_format(Line)
        .with_writer(StandardError)
        .finish();
    if tracing::subscriber::set_global_default(log).is_err() {
        tracing::debug!("the log had been started before");
    }
}

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
        write!(out, "layerfs: {level}: ")?;
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

struct StandardError;

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = io::Stderr;
    fn make_writer(&'a self) -> io::Stderr {
        io::stderr()
    }
}
