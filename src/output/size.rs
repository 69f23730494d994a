//! Sizes as docker writes them: decimal units, a few digits.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// How many digits a size is written with at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// As in a list of images: `1.23GB`.
    Three,
    /// As in the table of disk usage: `1.234GB`.
    Four,
}

/// A number of bytes for people: `117MB`, `1.5kB`, `0B`.
pub fn human(bytes: u64, digits: Digits) -> String {
    let (digits, limit) = match digits {
        Digits::Three => (3, 999.5),
        Digits::Four => (4, 999.95),
    };
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown, an f64 holds fifteen")]
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would be rounded to 1000 of a unit is 1 of the next.
    while value >= limit && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let whole = if value >= 100.0 { 3 } else { 1 + usize::from(value >= 10.0) };
    let text = format!("{value:.*}", digits - whole);
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// The same in powers of 1024, as docker writes memory: `117MiB`, `1.465KiB`.
pub fn binary(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown, an f64 holds fifteen")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let places = if value >= 1000.0 {
        0
    } else {
        3 - usize::from(value >= 10.0) - usize::from(value >= 100.0)
    };
    let text = format!("{value:.places$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// A part of a whole in per cent, rounded down; 0 of nothing.
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_docker_writes_them() {
        let rows = [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1500, "1.5kB"),
            (9994, "9.99kB"),
            (9996, "10kB"),
            (72_800_000, "72.8MB"),
            (116_600_000, "117MB"),
            (999_499_999, "999MB"),
            (999_999_999, "1GB"),
            (1_234_000_000, "1.23GB"),
            (u64::MAX, "18.4EB"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(human(bytes, Digits::Three), expected, "{bytes}");
        }
        assert_eq!(human(1_234_567_890, Digits::Four), "1.235GB");
        assert_eq!(human(999_960, Digits::Four), "1MB");
    }

    #[test]
    fn memory_is_written_as_docker_writes_it() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1500, "1.465KiB"),
            (50 << 20, "50MiB"),
            ((1 << 20) - 1, "1MiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(binary(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn per_cents_round_down_and_know_nothing_and_much() {
        assert_eq!((percent(1, 3), percent(0, 0), percent(u64::MAX, u64::MAX)), (33, 0, 100));
    }
}
