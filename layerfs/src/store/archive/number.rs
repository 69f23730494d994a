//! Owns how numbers are written in archives: octal and base-256 header fields, decimals and times in records.

use super::entry::Timestamp;

/// Why a field or a value is not the number it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    NotANumber,
    Overflow,
}

/// A numeric header field. Octal digits among spaces and NULs, as Go's reader takes them (an empty field is 0), or, with
/// the top bit of the first byte set, a two's complement number in the remaining bits, as GNU tar writes them.
pub(super) fn header_number(field: &[u8]) -> Result<i64, NumberFault> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64, NumberFault> {
    let is_fill = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !is_fill(b)).unwrap_or(field.len());
    let digits = field[start..].split(|&b| b == 0).next().unwrap_or_default();
    let mut value: i64 = 0;
    for &digit in digits.trim_ascii_end() {
        if !matches!(digit, b'0'..=b'7') {
            return Err(NumberFault::NotANumber);
        }
        value = value.checked_mul(8).ok_or(NumberFault::Overflow)? + i64::from(digit - b'0');
    }
    Ok(value)
}

fn base256(field: &[u8]) -> Result<i64, NumberFault> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (i, &byte) in field.iter().enumerate() {
        // The top bit of the first byte is the mark of the encoding; the sign is the bit below it.
        let byte = match (i, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = value.checked_mul(256).ok_or(NumberFault::Overflow)? | i64::from(byte);
    }
    Ok(value)
}

/// A decimal number without sign, as records and sparse maps hold them.
pub(super) fn decimal(text: &[u8]) -> Result<u64, NumberFault> {
    if text.is_empty() {
        return Err(NumberFault::NotANumber);
    }
    let mut value: u64 = 0;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return Err(NumberFault::NotANumber);
        }
        let shifted = value.checked_mul(10).ok_or(NumberFault::Overflow)?;
        value = shifted.checked_add(u64::from(digit - b'0')).ok_or(NumberFault::Overflow)?;
    }
    Ok(value)
}

/// A pax time: seconds with an optional sign and an optional fraction. What is finer than a nanosecond is rounded down,
/// towards the past, on both sides of 1970, as GNU tar does.
pub(super) fn time(text: &[u8]) -> Result<Timestamp, NumberFault> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let secs = i64::try_from(decimal(whole)?).map_err(|_| NumberFault::Overflow)?;
    let (nanos, finer) = nanoseconds(fraction)?;
    if !negative {
        return Ok(Timestamp { secs, nanos });
    }
    let nanos = nanos + u32::from(finer);
    if nanos == 0 {
        return Ok(Timestamp { secs: -secs, nanos: 0 });
    }
    let secs = (-secs).checked_sub(1).ok_or(NumberFault::Overflow)?;
    Ok(Timestamp { secs, nanos: 1_000_000_000 - nanos })
}

/// Nanoseconds of the digits after the point, and whether something finer is left.
fn nanoseconds(fraction: &[u8]) -> Result<(u32, bool), NumberFault> {
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(NumberFault::NotANumber);
    }
    let digit = |i: usize| u32::from(fraction.get(i).map_or(0, |d| d - b'0'));
    let nanos = (0..9).fold(0, |sum, i| sum * 10 + digit(i));
    Ok((nanos, fraction.iter().skip(9).any(|&d| d != b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn octal_fields_of_every_writer_are_read() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"000644 \0", 0o644),
            (b"00000644", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"       \0", 0),
            (b"12\0garb", 0o12),
            (b"777777777777", 0o777_777_777_777),
        ] {
            assert_eq!(header_number(field), Ok(value), "{field:?}");
        }
    }

    #[test]
    fn what_is_not_octal_is_refused() {
        for field in
            [&b"0000648\0"[..], b"12 34\0\0\0", b"-0000001", b"0x1f\0\0\0\0", b"+12\0\0\0\0\0"]
        {
            assert_eq!(header_number(field), Err(NumberFault::NotANumber), "{field:?}");
        }
    }

    #[test]
    fn base256_holds_large_and_negative_numbers() {
        assert_eq!(header_number(b"\x80\0\0\0\0\0\x01\0"), Ok(256));
        assert_eq!(header_number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(-1));
        assert_eq!(header_number(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(i64::MAX));
        assert_eq!(header_number(b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"), Ok(i64::MIN));
        assert_eq!(header_number(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), Err(NumberFault::Overflow));
        assert_eq!(header_number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), Err(NumberFault::Overflow));
        assert_eq!(header_number(b"\xc0\0\0\0\0\0\0\0\0\0\0\0"), Err(NumberFault::Overflow));
    }

    #[test]
    fn times_round_down_on_both_sides_of_1970() {
        for (text, secs, nanos) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("1.", 1, 0),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("-0.0000000001", -1, 999_999_999),
            ("-0.9999999999", -1, 0),
            ("-0.0", 0, 0),
            ("1.9999999999", 1, 999_999_999),
            ("1700000000.123456789", 1_700_000_000, 123_456_789),
        ] {
            assert_eq!(time(text.as_bytes()), Ok(Timestamp { secs, nanos }), "{text}");
        }
        for text in ["", "-", ".5", "1.x", "1e3", "+1", " 1", "1.5.5", "--1", "1.-5"] {
            assert_eq!(time(text.as_bytes()), Err(NumberFault::NotANumber), "{text}");
        }
        assert_eq!(time(b"9223372036854775808"), Err(NumberFault::Overflow));
        assert_eq!(time(b"99999999999999999999999"), Err(NumberFault::Overflow));
    }

    proptest! {
        #[test]
        fn octal_round_trips(value in 0i64..=0o77_777_777_777) {
            prop_assert_eq!(header_number(format!("{value:011o}\0").as_bytes()), Ok(value));
        }

        #[test]
        fn base256_round_trips(value: i64) {
            let mut field = [if value < 0 { 0xff } else { 0 }; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
            prop_assert_eq!(header_number(&field), Ok(value));
        }

        #[test]
        fn decimal_agrees_with_the_standard_parser(text in "[0-9]{1,24}") {
            prop_assert_eq!(decimal(text.as_bytes()).ok(), text.parse::<u64>().ok());
        }
    }
}
