//! The words between the braces of a template.

use anyhow::{Result, bail};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `.`, `.A.B`: the names; whether it stands right behind another word, and so is part of that one.
    Fields(Vec<String>, bool),
    /// `$`, `$name`.
    Variable(String),
    /// A name: what is done, or a word of the language.
    Name(String),
    /// A text in quotes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `|`.
    Pipe,
    /// `:=`.
    Is,
    /// `,`.
    Comma,
}

/// All of them; an error is what is wrong.
pub fn words(text: &str) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut is_joined = false;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            (rest, is_joined) = (&rest[first.len_utf8()..], false);
            continue;
        }
        let (word, len) = word(rest, first, is_joined)?;
        words.push(word);
        (rest, is_joined) = (&rest[len..], true);
    }
    Ok(words)
}

/// The first word of `rest`, and its length in bytes.
fn word(rest: &str, first: char, is_joined: bool) -> Result<(Word, usize)> {
    let of_name = |from: usize| {
        let rest = &rest[from..];
        rest.find(|one: char| !is_of_name(one)).unwrap_or(rest.len())
    };
    Ok(match first {
        '(' => (Word::Open, 1),
        ')' => (Word::Close, 1),
        '|' => (Word::Pipe, 1),
        ',' => (Word::Comma, 1),
        ':' if rest.starts_with(":=") => (Word::Is, 2),
        '"' => quoted(rest)?,
        '`' => match rest[1..].split_once('`') {
            Some((text, _)) => (Word::Text(text.to_owned()), text.len() + 2),
            None => bail!("a ` is not closed"),
        },
        '$' => {
            let len = of_name(1);
            (Word::Variable(rest[1..=len].to_owned()), len + 1)
        }
        '.' => {
            let mut names = Vec::new();
            let mut len = 0;
            while rest[len..].starts_with('.') {
                let name = of_name(len + 1);
                if name == 0 {
                    break;
                }
                names.push(rest[len + 1..=len + name].to_owned());
                len += name + 1;
            }
            if len == 0 {
                len = 1;
            }
            if rest[len..].starts_with('.') {
                bail!("a name is missing behind a dot");
            }
            (Word::Fields(names, is_joined), len)
        }
        '-' | '0'..='9' => {
            let len = 1 + of_name(1);
            match rest[..len].parse() {
                Ok(number) => (Word::Number(number), len),
                Err(_) => bail!("`{}` is no number", &rest[..len]),
            }
        }
        one if is_of_name(one) => {
            let len = of_name(0);
            (Word::Name(rest[..len].to_owned()), len)
        }
        one => bail!("`{one}` is not understood"),
    })
}

fn is_of_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || one == '_'
}

/// A text in double quotes, in which `\n`, `\t`, `\"` and `\\` stand for one character.
fn quoted(rest: &str) -> Result<(Word, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return Ok((Word::Text(text), at + 1)),
            '\\' => text.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, same @ ('"' | '\\'))) => same,
                _ => bail!("a \\ stands before n, t, \" or \\ alone"),
            }),
            one => text.push(one),
        }
    }
    bail!("a \" is not closed")
}
