//! Owns the separators: where words and directories end, and the backslashes that keep them from it.

/// Cuts at each `separator` that no backslash stands before, and that stands in no quotes of a security label.
pub fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        if text[at] == b'\\' {
            at += 1;
        } else if text[at] == b'"' && text[start..at].ends_with(b"context=") {
            let end = text[at + 1..].iter().position(|byte| *byte == b'"');
            at += end.map_or(0, |len| len + 1);
        } else if text[at] == separator {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        at += 1;
    }
    parts.push(&text[start..]);
    parts
}

/// Takes the backslashes away that kept a separator, or a backslash, from being one.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = match tail.split_first() {
            Some((kept @ (b',' | b':' | b'\\'), after)) if *first == b'\\' => {
                plain.push(*kept);
                after
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_the_quotes_of_a_label_are_its_own() {
        let words = |text: &'static [u8]| split(text, b',');
        assert_eq!(
            words(br#"ro,context="a:s0:c1,c2",fscontext="b,c",rw"#),
            [&b"ro"[..], br#"context="a:s0:c1,c2""#, br#"fscontext="b,c""#, b"rw"]
        );
        assert_eq!(words(br#"context="a,b"#), [&br#"context="a"#[..], b"b"], "never closed");
        assert_eq!(words(br#"upperdir="a,b""#), [&br#"upperdir="a"#[..], br#"b""#]);
    }
}
