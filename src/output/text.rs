//! Foreign text made fit for a terminal: one line, no control characters.

/// The text with every control character escaped, so that what an image or an archive says can neither move the
/// cursor nor fake a line. Tabs and line ends become spaces.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' | '\n' | '\r' => line.push(' '),
            letter if letter.is_control() || is_direction(letter) => {
                line.extend(letter.escape_default())
            }
            letter => line.push(letter),
        }
    }
    line
}

/// The first `len_max` characters, the last of them an ellipsis where more follow.
pub fn cut(text: &str, len_max: usize) -> String {
    if text.chars().count() <= len_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(len_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Characters that turn the order of what follows them on screen.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_an_image_never_reach_the_terminal() {
        assert_eq!(
            one_line("a\tb\nc\u{1b}[31m\u{9b}\u{202e}ü"),
            "a b c\\u{1b}[31m\\u{9b}\\u{202e}ü"
        );
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis_and_keeps_its_length() {
        assert_eq!(cut("äbcdef", 4), "äbc…");
        assert_eq!(cut("äbcd", 4), "äbcd");
    }
}
