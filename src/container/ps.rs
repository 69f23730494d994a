//! `layerfs ps`: one row for each container.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::container::{Base, Container, Keep};
use layerfs_driver::sys::host;
use serde::Serialize;
use serde_json::{Value, json};

use super::filter::{self, Key};
use super::network::ports::{Publish, column};
use super::shown::{self, Doing};
use super::{network, oom};
use crate::output::template::Format;
use crate::output::text::cut;
use crate::output::{Results, Table, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs ps                        containers that run
  layerfs ps -a                     and those that have ended
  layerfs ps -aq                    only ids
  layerfs rm $(layerfs ps -aq)      removes all that have ended
  layerfs ps -q --filter name=^web$ --filter ancestor=debian
  layerfs ps -a --filter status=exited --format '{{.Names}}: {{.Status}}'
  layerfs ps -a --json | jq -r '.[] | select(.oom_killed) | .name'

A container that ended stays, with what it wrote, until `layerfs rm`, unless it was run with --rm. One whose command was \
killed ended with it, and says so. Mounts are not shown: see `layerfs mount`.";

/// How many characters of a command a table shows.
const COMMAND_MAX: usize = 20;

/// The words of `layerfs ps`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct PsArgs {
    /// Show containers that have ended or are only being started, too
    #[arg(short, long)]
    all: bool,
    /// Print only ids
    #[arg(short, long)]
    quiet: bool,
    /// Print ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Show only those that fit; of one key any value, of several keys and of labels all
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show the last made, whatever it does
    #[arg(short, long)]
    latest: bool,
    /// Show the last so many, whatever they do
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// Print `json`, one object a line, or a line such as '{{.ID}} {{.Names}}', under headings after `table `
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "json"])]
    format: Option<String>,
    /// Print one JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    image: Option<&'a str>,
    image_id: Option<String>,
    rootfs: Option<&'a str>,
    command: &'a [String],
    hostname: &'a str,
    created: String,
    state: &'static str,
    status: String,
    pid: Option<u32>,
    started: Option<String>,
    finished: Option<String>,
    exit_code: Option<u8>,
    oom_killed: bool,
    error: String,
    ports: Vec<Value>,
    kept: bool,
}

/// Lists the containers of the store.
pub fn run(args: &PsArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let mut filters = filter::read(&args.filter)?;
    let format = Format::asked(args.format.as_deref())?;
    let mut containers = match session.store_if_there()? {
        Some(store) => {
            filter::find_images(&mut filters, &store)?;
            store.containers()?
        }
        None => Vec::new(),
    };
    containers.retain(|one| filter::fits(one, &filters));
    let last = args.last.or(args.latest.then_some(1));
    containers.truncate(last.unwrap_or(usize::MAX));
    // Whoever asks for what has ended means those, too.
    let asks = |key| filter::ask_for(&filters, key);
    let all = args.all || last.is_some() || asks(Key::Status) || asks(Key::Exited);
    if !all {
        containers.retain(|one| matches!(Doing::of(one), Doing::Running { .. }));
    }
    let (now_ms, run) = (host::now_ms(), session.roots().run.as_deref());
    if let Some(format) = format {
        let rows: Vec<Value> =
            containers.iter().map(|one| fields(one, args, run, now_ms)).collect();
        format.print(&rows, results)?;
    } else if args.json {
        results.json(&containers.iter().map(|one| row(one, run, now_ms)).collect::<Vec<_>>())?;
    } else if args.quiet {
        containers.iter().try_for_each(|one| results.line(id(one, args)))?;
    } else {
        results.table(&table(&containers, args, run, now_ms))?;
    }
    Ok(Outcome::Done)
}

/// What a template can say, under docker's names.
fn fields(container: &Container, args: &PsArgs, run: Option<&Path>, now_ms: u64) -> Value {
    let secs = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let command = container.command.join(" ");
    let command = if args.no_trunc { command } else { cut(&command, COMMAND_MAX) };
    let config = container.details.get("Config");
    let labels = config.and_then(|config| config.get("Labels")).and_then(Value::as_object);
    let label =
        |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or(""));
    let labels: Vec<String> = labels.into_iter().flatten().map(label).collect();
    json!({
        "ID": id(container, args),
        "Image": shown::base(container),
        "Command": format!("\"{command}\""),
        "CreatedAt": time::rfc3339_ms(container.created_ms),
        "RunningFor": time::ago(secs(container.created_ms), secs(now_ms)),
        "State": shown::word_of(container),
        "Status": shown::status_of(container, now_ms),
        "Ports": column(&published(container, run)),
        "Networks": network::shown::mode_of(container),
        "Names": container.name,
        "Labels": labels.join(","),
        "Mounts": container.volumes.join(","),
    })
}

fn id<'a>(container: &'a Container, args: &PsArgs) -> &'a str {
    if args.no_trunc { container.id.hex() } else { container.id.short() }
}

fn table(containers: &[Container], args: &PsArgs, run: Option<&Path>, now_ms: u64) -> Table {
    let mut table =
        Table::new(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    let secs = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    for one in containers {
        let command = one.command.join(" ");
        let command = if args.no_trunc { command } else { cut(&command, COMMAND_MAX) };
        table.row([
            id(one, args).into(),
            shown::base(one).into(),
            format!("\"{command}\""),
            time::ago(secs(one.created_ms), secs(now_ms)),
            shown::status_of(one, now_ms),
            column(&published(one, run)),
            one.name.clone(),
        ]);
    }
    table
}

/// What leads there now.
fn published(container: &Container, run: Option<&Path>) -> Vec<Publish> {
    let lease = network::shown::lease_of(run, container);
    lease.map(|lease| lease.ports).unwrap_or_default()
}

fn row<'a>(container: &'a Container, run: Option<&Path>, now_ms: u64) -> Row<'a> {
    let doing = Doing::of(container);
    let (image, image_id, rootfs) = match &container.base {
        Base::Image { id, called, .. } => (Some(called.as_str()), Some(id.to_string()), None),
        Base::Rootfs(path) => (None, None, Some(path.as_str())),
    };
    let mut row = Row {
        id: container.id.hex(),
        name: &container.name,
        image,
        image_id,
        rootfs,
        command: &container.command,
        hostname: &container.hostname,
        created: time::rfc3339_ms(container.created_ms),
        state: shown::word_of(container),
        status: shown::status_of(container, now_ms),
        pid: None,
        started: container.state.started_ms().map(time::rfc3339_ms),
        finished: None,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        ports: network::shown::rows(&published(container, run)),
        kept: container.keep == Keep::Kept,
    };
    match doing {
        Doing::Created { error, .. } if error.is_empty() => {}
        Doing::Created { code, error } => (row.exit_code, row.error) = (Some(code), error),
        Doing::Running { pid } => {
            row.pid = Some(pid);
            row.oom_killed = oom::has_killed(container);
        }
        Doing::Exited { code, finished_ms, oom_killed, error } => {
            row.exit_code = Some(code);
            row.finished = finished_ms.map(time::rfc3339_ms);
            row.oom_killed = oom_killed;
            row.error = error;
        }
    }
    row
}
