//! Text from an archive as messages show it.

const SHOWN_CHARS_MAX: usize = 300;

/// The text on one line: unprintable characters escaped, and cut where it is very long.
pub fn shown(text: &str) -> String {
    let mut line = String::new();
    for (position, c) in text.chars().enumerate() {
        if position == SHOWN_CHARS_MAX {
            line.push('…');
            break;
        }
        match c {
            '"' | '\'' => line.push(c),
            other => line.extend(other.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_archive_stays_on_one_line_and_short() {
        assert_eq!(shown("a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert!(shown(&"x".repeat(100_000)).chars().count() <= SHOWN_CHARS_MAX + 1);
    }
}
