//! Limits as people write them for docker and podman: `50m`, `0.5`, `1024`, `-1`.

use super::limits::{Cpus, PERIOD_US};

/// Below this a container's first process is killed before it runs; docker has the same floor.
const MEMORY_MIN_BYTES: u64 = 6 << 20;
/// The least and the most that the kernel takes as weight.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;
/// The kernel's own ceiling on process numbers.
const PIDS_MAX: i64 = 4_194_304;
/// The least quota is 1 ms of 100.
const QUOTA_MIN_US: u64 = 1_000;
/// No machine has so many processors.
const LIST_MAX: u32 = 8192;
/// Digits after the point that are read; more is an error, not a rounding.
const PLACES_MAX: usize = 9;

/// Why a word is no limit. Its text follows the word: ``--memory `5x`: …``.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// No amount of memory.
    #[error("not an amount of memory; write bytes, or a number with b, k, m, g or t, such as 50m")]
    Memory,
    /// Less memory than a container starts with.
    #[error("the least memory limit is 6m: with less the command is killed before it runs")]
    MemoryTooSmall,
    /// No number of processors.
    #[error("not a number of processors; write one such as 0.5 or 2")]
    Cpus,
    /// More or less than there is.
    #[error("the range is 0.01 to {0}.00: this machine has {0} processors for us")]
    CpusOutOfRange(u32),
    /// No weight.
    #[error("not a weight; write a whole number from 2 to 262144, 1024 is usual, 0 sets none")]
    Shares,
    /// No list of processors or memory nodes.
    #[error("not a list; write numbers and ranges, such as 0-2,5")]
    List,
    /// No weight of disks.
    #[error("not a weight of disks; write a whole number from 10 to 1000, 0 sets none")]
    IoWeight,
    /// No rate.
    #[error("not a rate; write how many a second, for bytes with k, m or g, such as 10m")]
    Rate,
    /// No number of processes.
    #[error("not a number of processes; write one from 1 to 4194304, or -1 for no limit")]
    Pids,
}

/// Reads `--memory`: a number with an optional unit (b, k, m, g, t, also kb or KiB; powers of 1024). 0 is no limit.
pub fn memory(word: &str) -> Result<Option<u64>, WordError> {
    match amount(word).ok_or(WordError::Memory)? {
        0 if word.bytes().all(|byte| !(b'1'..=b'9').contains(&byte)) => Ok(None),
        bytes if bytes < MEMORY_MIN_BYTES => Err(WordError::MemoryTooSmall),
        bytes => Ok(Some(bytes)),
    }
}

/// A number of bytes; less than one is none.
fn amount(word: &str) -> Option<u64> {
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let shift = shift_of(unit)?;
    let (whole, billionths) = decimal(number)?;
    let scaled = (u128::from(whole) << shift) + ((u128::from(billionths) << shift) / 1_000_000_000);
    u64::try_from(scaled).ok().filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// Reads an amount of memory that limits no container: the same words, and as little as a byte.
pub fn bytes(word: &str) -> Result<u64, WordError> {
    amount(word).filter(|bytes| *bytes > 0).ok_or(WordError::Memory)
}

/// How many bits a unit shifts by.
fn shift_of(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_lowercase();
    // `k`, `kb` and `kib` are one; a `b` alone, or nothing, are bytes.
    let letter = unit.strip_suffix("ib").filter(|rest| !rest.is_empty());
    match letter.or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        "t" => Some(40),
        _ => None,
    }
}

/// Reads `--cpus`: processors, in part or several. 0 is no limit. `processors` is how many there are.
pub fn cpus(word: &str, processors: u32) -> Result<Option<Cpus>, WordError> {
    let (whole, billionths) = decimal(word).ok_or(WordError::Cpus)?;
    if (whole, billionths) == (0, 0) {
        return Ok(None);
    }
    let out = || WordError::CpusOutOfRange(processors);
    let part = u64::from(billionths) * PERIOD_US / 1_000_000_000;
    let quota_us = whole.checked_mul(PERIOD_US).and_then(|us| us.checked_add(part));
    let quota_us = quota_us.ok_or_else(out)?;
    let most = u64::from(processors) * PERIOD_US;
    // What is too small for a microsecond is cut off, but not so that a number beyond the range becomes one within it.
    if quota_us < QUOTA_MIN_US || quota_us > most || (quota_us == most && billionths != 0) {
        return Err(out());
    }
    Ok(Some(Cpus { quota_us }))
}

/// Reads `--cpu-shares`. 0 sets none.
pub fn cpu_shares(word: &str) -> Result<Option<u64>, WordError> {
    match word.parse() {
        Ok(0) => Ok(None),
        Ok(shares) if SHARES.contains(&shares) => Ok(Some(shares)),
        _ => Err(WordError::Shares),
    }
}

/// Reads `--pids-limit`. -1 is no limit; 0 means two things to two tools and is refused.
pub fn pids(word: &str) -> Result<Option<u64>, WordError> {
    match word.parse() {
        Ok(-1) => Ok(None),
        Ok(count) if (1..=PIDS_MAX).contains(&count) => Ok(Some(count.unsigned_abs())),
        _ => Err(WordError::Pids),
    }
}

/// Reads `--cpuset-cpus` and `--cpuset-mems`: numbers and ranges, in the order that they are written in. Empty sets none.
pub fn list(word: &str) -> Result<Option<String>, WordError> {
    if word.is_empty() {
        return Ok(None);
    }
    let mut numbers = std::collections::BTreeSet::new();
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| WordError::List);
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= LIST_MAX {
            return Err(WordError::List);
        }
        numbers.extend(first..=last);
    }
    Ok(Some(shown(&numbers)))
}

/// A list as the kernel shows it, so that it reads back as it was written.
fn shown(numbers: &std::collections::BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads `--blkio-weight`. 0 sets none.
pub fn io_weight(word: &str) -> Result<Option<u64>, WordError> {
    match word.parse() {
        Ok(0) => Ok(None),
        Ok(weight) if (10..=1000).contains(&weight) => Ok(Some(weight)),
        _ => Err(WordError::IoWeight),
    }
}

/// Reads how many bytes a second.
pub fn byte_rate(word: &str) -> Result<u64, WordError> {
    bytes(word).map_err(|_| WordError::Rate)
}

/// Reads how many reads or writes a second.
pub fn rate(word: &str) -> Result<u64, WordError> {
    word.parse::<u32>().ok().filter(|rate| *rate > 0).map(u64::from).ok_or(WordError::Rate)
}

/// A number without sign, with at most nine digits after the point: whole part and billionths.
fn decimal(word: &str) -> Option<(u64, u32)> {
    // `.5` is written and read everywhere; `5.` and `.` are slips.
    let (whole, part) = match word.split_once('.') {
        Some(("", part)) => ("0", part),
        Some(both) => both,
        None => (word, "0"),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > PLACES_MAX {
        return None;
    }
    Some((whole.parse().ok()?, format!("{part:0<PLACES_MAX$}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_docker_reads_it() {
        let cases = [
            ("50m", 50 << 20),
            ("50M", 50 << 20),
            ("50mb", 50 << 20),
            ("50MiB", 50 << 20),
            ("52428800", 50 << 20),
            ("52428800b", 50 << 20),
            ("6m", 6 << 20),
            ("1.5g", 3 << 29),
            ("10240k", 10 << 20),
            ("2t", 2 << 40),
        ];
        for (word, bytes) in cases {
            assert_eq!(memory(word), Ok(Some(bytes)), "{word}");
        }
        assert_eq!(memory("0"), Ok(None));
        for word in ["5m", "1", "1k", "6291455", "0.5", "0.0001k"] {
            assert_eq!(memory(word), Err(WordError::MemoryTooSmall), "{word}");
        }
        for word in
            ["", "m", "50x", "-50m", "50 m", "5o", "50mm", "50ib", "1.m", "9000000t", "1e9", "+7m"]
        {
            assert_eq!(memory(word), Err(WordError::Memory), "{word}");
        }
    }

    #[test]
    fn processors_are_read_up_to_those_that_are_there() {
        for (word, quota_us) in [
            ("0.5", 50_000),
            (".5", 50_000),
            ("2", 200_000),
            ("1.25", 125_000),
            ("0.01", 1_000),
            ("0.123456789", 12_345),
        ] {
            assert_eq!(cpus(word, 2), Ok(Some(Cpus { quota_us })), "{word}");
        }
        assert_eq!(cpus("0", 2), Ok(None));
        for word in ["3", "2.01", "2.000000001", "0.009", "0.001", "18446744073709551615"] {
            assert_eq!(cpus(word, 2), Err(WordError::CpusOutOfRange(2)), "{word}");
        }
        for word in
            ["", ".", "1.", "-1", "half", "1/2", "0.1234567890", "1e1", "18446744073709551616"]
        {
            assert_eq!(cpus(word, 2), Err(WordError::Cpus), "{word}");
        }
    }

    #[test]
    fn lists_are_shown_as_the_kernel_shows_them() {
        for (word, list_) in [("0", "0"), ("0,1", "0-1"), ("5,0-2,1", "0-2,5"), ("3-3", "3")] {
            assert_eq!(list(word), Ok(Some(list_.to_owned())), "{word}");
        }
        assert_eq!(list(""), Ok(None));
        for word in ["a", "1-", "-1", "2-1", "1,,2", "9000", "0 1"] {
            assert_eq!(list(word), Err(WordError::List), "{word}");
        }
    }

    #[test]
    fn weights_and_rates_of_disks_have_their_ranges() {
        assert_eq!(
            (io_weight("10"), io_weight("1000"), io_weight("0")),
            (Ok(Some(10)), Ok(Some(1000)), Ok(None))
        );
        for word in ["9", "1001", "-1", "", "x"] {
            assert_eq!(io_weight(word), Err(WordError::IoWeight), "{word}");
        }
        assert_eq!((byte_rate("1m"), rate("100")), (Ok(1 << 20), Ok(100)));
        assert_eq!(
            (byte_rate("0"), rate("0"), rate("1m")),
            (Err(WordError::Rate), Err(WordError::Rate), Err(WordError::Rate))
        );
    }

    #[test]
    fn shares_and_processes_have_their_ranges() {
        assert_eq!(cpu_shares("2"), Ok(Some(2)));
        assert_eq!(cpu_shares("262144"), Ok(Some(262_144)));
        assert_eq!(cpu_shares("0"), Ok(None));
        for word in ["1", "262145", "-1", "", "1.5"] {
            assert_eq!(cpu_shares(word), Err(WordError::Shares), "{word}");
        }
        assert_eq!(pids("1"), Ok(Some(1)));
        assert_eq!(pids("-1"), Ok(None));
        for word in ["0", "-2", "4194305", "", "ten"] {
            assert_eq!(pids(word), Err(WordError::Pids), "{word}");
        }
    }
}
