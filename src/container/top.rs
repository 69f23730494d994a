//! `layerfs top`: the processes of a container, as the host numbers them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{dir, file, host};
use layerfs_runtime::apart::{Ended, Program, run as run_program};
use layerfs_runtime::cgroup::Cgroup;

use super::exec::first_process;
use crate::output::{Results, Table};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs top web                     the columns of `ps -ef`
  layerfs top web -o pid,rss,args     those that ps is asked for

Numbers of processes are the host's; times of day are UTC. With words after the container the host's `ps` is asked, which has to \
print a column PID.";

/// What is read of a file, at most; the words of a process may be more.
const LEN_MAX: u64 = 1 << 20;
/// `USER_HZ`: what the kernel counts times in for programs, on every machine.
const TICKS_PER_SEC: u64 = 100;
const HEADINGS: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The words of `layerfs top`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct TopArgs {
    /// Name, id, or the beginning of the id of a container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Words for `ps`
    #[arg(value_name = "PS OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// Lists them.
pub fn run(args: &TopArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let container = session.store()?.find_container(&args.container)?;
    let first = first_process(&container)?;
    let pids = members(
        &Cgroup::find(container.id.hex(), container.groups_below.as_deref())?,
        first.pid(),
    )?;
    if args.options.is_empty() {
        results.table(&table(&pids)?)?;
    } else {
        asked_of_ps(&args.options, &pids)?.iter().try_for_each(|line| results.line(line))?;
    }
    Ok(Outcome::Done)
}

/// The processes of a container: of its groups, or, where it has none, of the first one's namespace.
fn members(cgroup: &Cgroup, first: u32) -> Result<BTreeSet<u32>> {
    let mut found = cgroup.members()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let namespace = |pid: u32| {
        dir::open_path("/proc")
            .and_then(|proc| dir::read_link(&proc, format!("{pid}/ns/pid").as_str()))
    };
    let own = namespace(first).context("look for the container's processes")?;
    for entry in dir::list(&dir::open_path("/proc")?)? {
        let pid = std::str::from_utf8(&entry.name).ok().and_then(|name| name.parse().ok());
        // One that has ended meanwhile has none.
        found.extend(pid.filter(|pid| namespace(*pid).is_ok_and(|other| other == own)));
    }
    Ok(found)
}

fn table(pids: &BTreeSet<u32>) -> Result<Table> {
    let mut table = Table::new(&HEADINGS);
    let users = text("/etc/passwd").unwrap_or_default();
    let stat = text("/proc/stat")?;
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let now = Moment { booted_secs: booted.unwrap_or(0), now_secs: host::now_secs() };
    for pid in pids {
        // It may have ended since it was listed.
        if let Some(row) = row(*pid, &users, now) {
            table.row(row);
        }
    }
    Ok(table)
}

/// When the machine began, and when it is now, in seconds since 1970.
#[derive(Clone, Copy)]
struct Moment {
    booted_secs: u64,
    now_secs: u64,
}

fn row(pid: u32, users: &str, moment: Moment) -> Option<[String; 8]> {
    let stat = text(&format!("/proc/{pid}/stat")).ok()?;
    let status = text(&format!("/proc/{pid}/status")).ok()?;
    let command = text(&format!("/proc/{pid}/cmdline")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| -> Option<u64> { fields.get(at)?.parse().ok() };
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // The effective one.
    let uid = uid?.split_ascii_whitespace().nth(1)?;
    let used_secs = number(11)?.saturating_add(number(12)?) / TICKS_PER_SEC;
    let began_secs = moment.booted_secs + number(19)? / TICKS_PER_SEC;
    let age_secs = moment.now_secs.saturating_sub(began_secs).max(1);
    let command = command.trim_end_matches('\0').replace('\0', " ");
    Some([
        user_name(uid, users).to_owned(),
        pid.to_string(),
        fields.get(1)?.to_string(),
        (used_secs.saturating_mul(100) / age_secs).min(99).to_string(),
        began(began_secs, moment.now_secs),
        terminal(number(4)?),
        format!("{:02}:{:02}:{:02}", used_secs / 3600, used_secs / 60 % 60, used_secs % 60),
        if command.is_empty() { format!("[{name}]") } else { command },
    ])
}

/// The host's name for a user; the number where it has none.
fn user_name<'a>(uid: &'a str, users: &'a str) -> &'a str {
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        (fields.next()? == uid).then_some(name)
    });
    found.unwrap_or(uid)
}

/// The time of day on the day that it is, else the day, in the year that it is, else the year.
fn began(then_secs: u64, now_secs: u64) -> String {
    let text = |secs: u64| crate::output::time::rfc3339(i64::try_from(secs).unwrap_or(i64::MAX));
    let (then, now) = (text(then_secs), text(now_secs));
    if then.get(..10) == now.get(..10) {
        return then.get(11..16).unwrap_or("?").to_owned();
    }
    if then.get(..4) != now.get(..4) {
        return then.get(..4).unwrap_or("?").to_owned();
    }
    let month = then.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let month = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"?");
    format!("{month}{}", then.get(8..10).unwrap_or("?"))
}

/// The terminal that controls it (`tty_nr` of `proc_pid_stat(5)`), as `ps` calls it.
fn terminal(number: u64) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => "?".into(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

/// The lines of the host's `ps` that are about these processes, after its headings.
fn asked_of_ps(options: &[OsString], pids: &BTreeSet<u32>) -> Result<Vec<String>> {
    let ask = |words: &[OsString]| {
        let program = Program { name: Path::new("ps"), words, dir: None, environment: &[] };
        run_program(&program).context("run the host's `ps` (package procps)")
    };
    // Of itself it would choose some; not every `ps`, and not with all words, is told which.
    let numbers: Vec<String> = pids.iter().map(u32::to_string).collect();
    let chosen = [options, &["-q".into(), numbers.join(",").into()]].concat();
    let told = match ask(&chosen)? {
        told if told.ended == Ended::Exited(0) => told,
        _ => ask(options)?,
    };
    let output = String::from_utf8_lossy(&told.output).into_owned();
    if told.ended != Ended::Exited(0) {
        let errors = String::from_utf8_lossy(&told.errors).into_owned();
        bail!("ps: it {}: {}", told.ended, errors.lines().next().unwrap_or("it does not say why"));
    }
    let mut lines = output.lines();
    let headings = lines.next().unwrap_or_default();
    let Some(column) = headings.split_ascii_whitespace().position(|word| word == "PID") else {
        bail!(
            "ps: it prints no column PID, by which the container's processes are told; ask for one, such as `-o pid,args`"
        );
    };
    let is_ours = |line: &&str| {
        let word = line.split_ascii_whitespace().nth(column);
        word.and_then(|word| word.parse().ok()).is_some_and(|pid: u32| pids.contains(&pid))
    };
    Ok(std::iter::once(headings).chain(lines.filter(is_ours)).map(str::to_owned).collect())
}

fn text(path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    FileReader::new(file::open_read_path(path)?).take(LEN_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_called_as_ps_does() {
        for (number, name) in
            [(0, "?"), (0x8803, "pts/3"), (0x0401, "tty1"), (0x0440, "ttyS0"), (0x8900, "pts/256")]
        {
            assert_eq!(terminal(number), name);
        }
    }

    #[test]
    fn the_beginning_is_as_exact_as_it_is_near() {
        // 2026-11-29 08:00:00.
        let now = 1_795_939_200;
        assert_eq!(began(now - 3600, now), "07:00");
        assert_eq!(began(now - 86_400 * 2, now), "Nov27");
        assert_eq!(began(now - 86_400 * 400, now), "2025");
    }

    #[test]
    fn users_have_the_hosts_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/:/bin/sh\n";
        assert_eq!((user_name("1000", users), user_name("7", users)), ("ann", "7"));
    }
}
