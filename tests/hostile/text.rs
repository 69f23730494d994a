//! What an import keeps of a layer besides its files: names, link targets, attributes. There is a bound for their bytes.

use std::io::{self, Write};

use super::store::{Said, Victim};
use super::tarball::{Entry, file, open_ended, symlink};
use crate::support::watchdog;

/// What an import that is refused at the bound takes, and one that keeps just within it: the text twice or thrice.
const REFUSED_MAX_KIB: u64 = 512 << 10;
const TAKEN_MAX_KIB: u64 = 960 << 10;

/// Fifteen attributes of 65,000 bytes, which no other file has.
fn attributes(number: usize) -> Entry {
    let value = format!("{number:08}").repeat(65_000 / 8);
    let names = (0..15).map(|name| format!("SCHILY.xattr.user.{name}"));
    names.fold(file(format!("d/{number}"), ""), |entry, name| entry.pax(name, &value))
}

/// Writes entries until the command, which may refuse them, has enough.
fn stream(out: &mut dyn Write, entries: impl Iterator<Item = Entry>) {
    let all = |out: &mut dyn Write| {
        entries.map(|entry| open_ended(&[entry])).try_for_each(|entry| out.write_all(&entry))?;
        out.write_all(&[0; 1024])
    };
    match all(out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
}

fn import(victim: &Victim, entries: impl Iterator<Item = Entry> + Send) -> Said {
    victim.fed(&["import", "-q", "-", "text"], |out| stream(out, entries))
}

fn is_refused(what: &str, entries: impl Iterator<Item = Entry> + Send, path: &str) {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let said = import(&victim, entries);
    println!("{what}: refused with {} MiB at its peak", said.peak_kib >> 10);
    let bound = "more than 256 MiB of names, link targets and attributes";
    said.is_refusal_with(&["standard input", path, bound]).unwrap();
    assert!(said.peak_kib <= REFUSED_MAX_KIB, "{what}: {} KiB of memory", said.peak_kib);
    victim.assert_untouched(what, &before);
}

#[test]
fn attributes_of_more_than_256_mib_are_refused_within_bounded_memory() {
    is_refused("attributes", (0..1000).map(attributes), "entry `d/275`");
}

#[test]
fn link_targets_of_more_than_256_mib_are_refused_within_bounded_memory() {
    let target = "t".repeat(4095);
    let links = (0..300_000).map(move |number| symlink(format!("d/{number}"), &target));
    is_refused("link targets", links, "entry `d/65");
}

/// The same bytes in every file are kept once, and counted once.
#[test]
fn attributes_of_just_256_mib_are_taken_within_bounded_memory() {
    let _watch = watchdog(120);
    let victim = Victim::on_disk();
    let again = (0..275).map(|number| Entry::renamed(attributes(number), format!("e/{number}")));
    let said = import(&victim, (0..275).map(attributes).chain(again));
    assert_eq!(said.status, Some(0), "{said:?}");
    println!("attributes: taken with {} MiB at its peak", said.peak_kib >> 10);
    assert!(said.peak_kib <= TAKEN_MAX_KIB, "{} KiB of memory", said.peak_kib);
    victim.assert_clean("attributes");
}
