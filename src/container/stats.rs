//! `layerfs stats`: what containers take of the machine.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Container, State};
use layerfs_driver::sys::file;
use layerfs_runtime::Signals;
use layerfs_runtime::cgroup::{Cgroup, Usage};
use serde::Serialize;
use serde_json::{Value, json};

use super::shown::Doing;
use crate::output::size::{Digits, binary, human};
use crate::output::template::Format;
use crate::output::{Results, Table};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs stats                       all that run, every second, until Ctrl-C
  layerfs stats --no-stream web db
  layerfs stats --no-stream --format '{{.Name}} {{.MemUsage}}'
  layerfs stats --no-stream --json | jq -r '.[] | select(.cpu_percent > 50) | .name'

100 % is one processor. Memory is what the container's limit counts, but for the contents of files that were not used lately. What \
is read and written of disks includes what the process that serves its file system does for it.";

/// Between two looks.
const STEP: Duration = Duration::from_secs(1);
/// What is read of a file of the kernel's, at most.
const LEN_MAX: u64 = 1 << 20;
/// Takes a terminal's cursor home, and what is below away.
const HOME: &str = "\x1b[H\x1b[J";
const HEADINGS: [&str; 8] =
    ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];

/// The words of `layerfs stats`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct StatsArgs {
    /// Look once, and end
    #[arg(long)]
    no_stream: bool,
    /// Show containers that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Print ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Print so: `json`, or text with fields of docker's such as {{.Name}} and {{.CPUPerc}}
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
    /// Print one JSON array, of one look
    #[arg(long)]
    json: bool,
    /// Names, ids, or beginnings of ids; all that run where none is said
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// What was seen of a container at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    usage: Usage,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
}

/// One container between two looks.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    name: String,
    cpu_percent: Option<f64>,
    memory: Option<u64>,
    memory_limit: Option<u64>,
    memory_percent: Option<f64>,
    received: Option<u64>,
    sent: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    pids: Option<u64>,
}

/// Shows them once or for ever.
pub fn run(args: &StatsArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let format = Format::asked(args.format.as_deref())?;
    let store = session.store()?;
    let once = args.no_stream || args.json;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let signals = Signals::take()?;
    loop {
        let containers = chosen(args, &store)?;
        let (before, began) = (look(&containers), Instant::now());
        if signals.ends_within(STEP)? {
            return Ok(Outcome::Done);
        }
        let (after, elapsed) = (look(&containers), began.elapsed());
        let seen = containers.iter().zip(before.iter().zip(&after));
        let rows: Vec<Row> =
            seen.map(|(one, (before, after))| row(one, before, after, elapsed)).collect();
        if !once && is_terminal {
            results.bytes(HOME.as_bytes())?;
        }
        match &format {
            _ if args.json => results.json(&rows)?,
            Some(format) => {
                let rows: Vec<Value> = rows.iter().map(|row| fields(row, args)).collect();
                format.print(&rows, results)?;
            }
            None => results.table(&table(&rows, args))?,
        }
        results.flush()?;
        if once {
            return Ok(Outcome::Done);
        }
    }
}

/// Those that were named, each time anew: others may begin and end meanwhile.
fn chosen(args: &StatsArgs, store: &Store) -> Result<Vec<Container>> {
    if !args.containers.is_empty() {
        let found = args.containers.iter().map(|word| store.find_container(word));
        return Ok(found.collect::<Result<_, _>>()?);
    }
    let mut all = store.containers()?;
    if !args.all {
        all.retain(|one| matches!(Doing::of(one), Doing::Running { .. }));
    }
    Ok(all)
}

fn look(containers: &[Container]) -> Vec<Seen> {
    containers.iter().map(seen).collect()
}

/// Of one that does not run, or ends meanwhile, nothing.
fn seen(container: &Container) -> Seen {
    let State::Running { pid, .. } = container.state else { return Seen::default() };
    if !matches!(Doing::of(container), Doing::Running { .. }) {
        return Seen::default();
    }
    let usage = Cgroup::find(container.id.hex(), container.groups_below.as_deref())
        .and_then(|cgroup| cgroup.usage());
    let usage = usage.unwrap_or_else(|error| {
        tracing::debug!("what container {} takes: {error}", container.name);
        Usage::default()
    });
    let path = format!("/proc/{pid}/net/dev");
    let text = file::open_read_path(path.as_str()).and_then(|fd| file::read_all(fd, LEN_MAX));
    let network = text.ok().map(|text| carried(&String::from_utf8_lossy(&text)));
    let (received_bytes, sent_bytes) = network.unzip();
    Seen { usage, received_bytes, sent_bytes }
}

/// Bytes received and sent by all interfaces but the loopback (`/proc/net/dev`).
fn carried(text: &str) -> (u64, u64) {
    let of_line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<&str> = numbers.split_ascii_whitespace().collect();
        let number = |at: usize| -> Option<u64> { numbers.get(at)?.parse().ok() };
        (name.trim() != "lo").then_some((number(0)?, number(8)?))
    };
    let sum = |(received, sent): (u64, u64), (more, further): (u64, u64)| {
        (received.saturating_add(more), sent.saturating_add(further))
    };
    text.lines().filter_map(of_line).fold((0, 0), sum)
}

fn row(container: &Container, before: &Seen, after: &Seen, elapsed: Duration) -> Row {
    let usage = &after.usage;
    let limit = usage.memory_bytes.and(usage.memory_limit_bytes.or_else(of_machine));
    let used = before.usage.cpu_ns.zip(usage.cpu_ns);
    let used = used.map(|(before, after)| after.saturating_sub(before));
    Row {
        id: container.id.hex().to_owned(),
        name: container.name.clone(),
        cpu_percent: used.map(|ns| percent(ns, elapsed.as_nanos().try_into().unwrap_or(u64::MAX))),
        memory: usage.memory_bytes,
        memory_limit: limit,
        memory_percent: usage.memory_bytes.zip(limit).map(|(part, whole)| percent(part, whole)),
        received: after.received_bytes,
        sent: after.sent_bytes,
        read: usage.read_bytes,
        written: usage.written_bytes,
        pids: usage.pids,
    }
}

/// In hundredths, as they are shown.
#[allow(clippy::cast_precision_loss, reason = "five digits are shown, an f64 holds fifteen")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 10_000.0).round() / 100.0
}

/// The memory of the machine, which is the limit where there is no other.
fn of_machine() -> Option<u64> {
    let text = file::open_read_path("/proc/meminfo").and_then(|fd| file::read_all(fd, LEN_MAX));
    let text = String::from_utf8_lossy(&text.ok()?).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib.saturating_mul(1024))
}

/// The cells of a row, as docker writes them.
struct Cells {
    id: String,
    cpu: String,
    memory: String,
    memory_percent: String,
    network: String,
    disks: String,
    pids: String,
}

fn cells(row: &Row, args: &StatsArgs) -> Cells {
    let none = || "--".to_owned();
    let percent = |number: Option<f64>| number.map_or_else(none, |number| format!("{number:.2}%"));
    let pair = |both: Option<(u64, u64)>, shown: &dyn Fn(u64) -> String| match both {
        Some((one, other)) => format!("{} / {}", shown(one), shown(other)),
        None => "-- / --".to_owned(),
    };
    let decimal = |bytes: u64| human(bytes, Digits::Three);
    let id = if args.no_trunc { &row.id } else { row.id.get(..12).unwrap_or(&row.id) };
    Cells {
        id: id.to_owned(),
        cpu: percent(row.cpu_percent),
        memory: pair(row.memory.zip(row.memory_limit), &binary),
        memory_percent: percent(row.memory_percent),
        network: pair(row.received.zip(row.sent), &decimal),
        disks: pair(row.read.zip(row.written), &decimal),
        pids: row.pids.map_or_else(none, |pids| pids.to_string()),
    }
}

fn table(rows: &[Row], args: &StatsArgs) -> Table {
    let mut table = Table::new(&HEADINGS);
    for row in rows {
        let cells = cells(row, args);
        let Cells { id, cpu, memory, memory_percent, network, disks, pids } = cells;
        table.row([id, row.name.clone(), cpu, memory, memory_percent, network, disks, pids]);
    }
    table
}

/// What a template can say, under docker's names.
fn fields(row: &Row, args: &StatsArgs) -> Value {
    let cells = cells(row, args);
    json!({
        "Container": cells.id,
        "ID": cells.id,
        "Name": row.name,
        "CPUPerc": cells.cpu,
        "MemUsage": cells.memory,
        "MemPerc": cells.memory_percent,
        "NetIO": cells.network,
        "BlockIO": cells.disks,
        "PIDs": cells.pids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interfaces_carried_is_summed_up_without_the_loopback() {
        let text = "Inter-|   Receive      |  Transmit\n face |bytes    packets|bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n\
                    eth0:100 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n  eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(carried(text), (101, 9));
    }

    #[test]
    fn per_cents_have_two_places() {
        assert_eq!((percent(1, 3), percent(3, 2), percent(1, 0)), (33.33, 150.0, 0.0));
    }
}
