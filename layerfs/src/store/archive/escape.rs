//! Owns how foreign bytes are shown in messages: on one line, readable, and bounded.

use std::fmt::{self, Write};

/// Bytes shown in full at most; a message that names an entry stays one line.
const SHOWN_MAX: usize = 512;

/// Writes `bytes` with control characters and invalid UTF-8 escaped, cut at [`SHOWN_MAX`] bytes.
pub(super) fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '"' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    if shown.len() < bytes.len() { f.write_str("...") } else { Ok(()) }
}

/// A short piece of the archive that a message quotes.
#[derive(Clone, PartialEq, Eq)]
pub struct Quoted(Box<[u8]>);

impl Quoted {
    pub(super) fn new(bytes: &[u8]) -> Quoted {
        Quoted(bytes[..bytes.len().min(SHOWN_MAX)].into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write_escaped(f, &self.0)?;
        f.write_char('"')
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_readable_and_control_bytes_do_not_reach_a_terminal() {
        assert_eq!(Quoted::new("grün\n\x1b[1m".as_bytes()).to_string(), "\"grün\\n\\u{1b}[1m\"");
        assert_eq!(Quoted::new(b"a\xffb\\").to_string(), "\"a\\xffb\\\\\"");
    }
}
