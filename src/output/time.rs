//! Times: RFC 3339 in both directions, and how long ago, as docker says it.

use layerfs_driver::sys::host;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Seconds since 1970 as `2024-02-29T12:00:00Z`.
pub fn rfc3339(secs: i64) -> String {
    let (year, month, day) = date_of(secs.div_euclid(DAY));
    let second = secs.rem_euclid(DAY);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / HOUR,
        second % HOUR / MINUTE,
        second % MINUTE
    )
}

/// Milliseconds since 1970 as `2024-02-29T12:00:00.250Z`.
pub fn rfc3339_ms(ms: u64) -> String {
    let text = rfc3339(i64::try_from(ms / 1000).unwrap_or(i64::MAX / DAY));
    format!("{}.{:03}Z", text.trim_end_matches('Z'), ms % 1000)
}

/// The time now as `2024-02-29T12:00:00.123456789Z`.
pub fn now() -> String {
    let since = host::since_1970();
    let text = rfc3339(i64::try_from(since.as_secs()).unwrap_or(i64::MAX / DAY));
    format!("{}.{:09}Z", text.trim_end_matches('Z'), since.subsec_nanos())
}

/// Reads a length of time as Go writes it, `2h30m` or `90s`, into seconds; fractions of units are no lengths here.
pub fn parse_span(text: &str) -> Option<i64> {
    let (mut secs, mut number) = (0_i64, None::<i64>);
    for letter in text.chars() {
        match letter {
            '0'..='9' => {
                let digit = i64::from(letter.to_digit(10)?);
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            }
            's' | 'm' | 'h' => {
                let unit = match letter {
                    's' => 1,
                    'm' => MINUTE,
                    _ => HOUR,
                };
                secs = secs.checked_add(number.take()?.checked_mul(unit)?)?;
            }
            _ => return None,
        }
    }
    (number.is_none() && !text.is_empty()).then_some(secs)
}

/// Reads an RFC 3339 time of any offset into seconds since 1970; fractions are dropped.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = bytes.get(from..from + len)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let mark = |at: usize, marks: &[u8]| {
        bytes.get(at).is_some_and(|byte| marks.contains(byte)).then_some(())
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    for (at, marks) in [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")] {
        mark(at, marks.as_bytes())?;
    }
    // A leap second is the first second of the next minute here.
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let offset = offset_secs(&bytes[19..])?;
    Some(days_of(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second - offset)
}

/// What follows the seconds: a fraction, then `Z` or `+hh:mm`.
fn offset_secs(mut rest: &[u8]) -> Option<i64> {
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest = (digits > 0).then(|| &fraction[digits..])?;
    }
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    match *rest {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digit(h1)? * 10 + digit(h2)?;
            let minutes = digit(m1)? * 10 + digit(m2)?;
            let secs = (hours <= 23 && minutes <= 59).then_some(hours * HOUR + minutes * MINUTE)?;
            Some(if sign == b'-' { -secs } else { secs })
        }
        _ => None,
    }
}

/// How long ago `then` was, as docker says it: `3 weeks ago`. The future counts as now.
pub fn ago(then_secs: i64, now_secs: i64) -> String {
    format!("{} ago", span(now_secs.saturating_sub(then_secs).max(0)))
}

/// A length of time as docker says it: `3 weeks`.
pub fn span(secs: i64) -> String {
    // Docker rounds hours to the nearest before it compares.
    let hours = (secs + HOUR / 2) / HOUR;
    match (secs, hours) {
        (0, _) => "Less than a second".into(),
        (1, _) => "1 second".into(),
        (2..=59, _) => format!("{secs} seconds"),
        (60..=119, _) => "About a minute".into(),
        (120..=3599, _) => format!("{} minutes", secs / MINUTE),
        (_, ..=1) => "About an hour".into(),
        (_, 2..=47) => format!("{hours} hours"),
        (_, 48..=335) => format!("{} days", hours / 24),
        (_, 336..=1439) => format!("{} weeks", hours / 24 / 7),
        (_, 1440..=17519) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Days since 1970 of a date in the Gregorian calendar. Years are counted from March, so that the leap day comes last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that lies `days` after the first of 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_those_of_go() {
        for (text, secs) in [("90s", 90), ("2h30m", 9000), ("0s", 0)] {
            assert_eq!(parse_span(text), Some(secs), "{text}");
        }
        for text in ["", "5", "m", "1d", "-1s", "9223372036854775807h", "1.5h"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_now_is_one_that_is_read() {
        let now = now();
        assert_eq!(now.len(), "2024-02-29T12:00:00.123456789Z".len());
        assert!(parse_rfc3339(&now).is_some_and(|secs| secs > 1_700_000_000), "{now}");
    }

    #[test]
    fn times_are_written_in_utc() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_207_999, "2024-02-29T11:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (secs, text) in rows {
            assert_eq!(rfc3339(secs), text);
            assert_eq!(parse_rfc3339(text), Some(secs), "{text}");
        }
    }

    #[test]
    fn milliseconds_are_three_digits() {
        assert_eq!(rfc3339_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_ms(951_782_400_007), "2000-02-29T00:00:00.007Z");
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let rows = [
            ("1970-01-01T02:00:00.999999999+02:00", Some(0)),
            ("1969-12-31t18:30:00-05:30", Some(0)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:00+2:00", None),
            ("19x0-01-01T00:00:00Z", None),
            ("1970-01-01", None),
            ("", None),
        ];
        for (text, secs) in rows {
            assert_eq!(parse_rfc3339(text), secs, "{text}");
        }
    }

    #[test]
    fn ages_are_said_as_docker_says_them() {
        let rows = [
            (-5, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (3599, "59 minutes ago"),
            (3600, "About an hour ago"),
            (5400, "2 hours ago"),
            (47 * HOUR, "47 hours ago"),
            (48 * HOUR, "2 days ago"),
            (13 * DAY, "13 days ago"),
            (14 * DAY, "2 weeks ago"),
            (59 * DAY, "8 weeks ago"),
            (60 * DAY, "2 months ago"),
            (729 * DAY, "24 months ago"),
            (730 * DAY, "2 years ago"),
        ];
        for (secs, text) in rows {
            assert_eq!(ago(1_700_000_000 - secs, 1_700_000_000), text, "{secs}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(secs in -62_135_596_800_i64..253_402_300_800) {
            assert_eq!(parse_rfc3339(&rfc3339(secs)), Some(secs));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9T:.Z+ü-]{0,40}") {
            parse_rfc3339(&text);
        }
    }
}
