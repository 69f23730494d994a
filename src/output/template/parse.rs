//! The pieces of a template.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::unescaped;
use super::words::{Word, words};

/// Blocks and brackets that lie in one another.
const DEPTH_MAX: usize = 32;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// A value.
    Value(Expression),
    /// A variable is given a value.
    Set(String, Expression),
    /// Pieces that are there or not, or several times.
    Block {
        /// When.
        kind: Kind,
        /// Of what.
        of: Expression,
        /// These.
        then: Vec<Piece>,
        /// And these where not.
        otherwise: Vec<Piece>,
    },
}

/// When the pieces of a block are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where a value is something.
    If,
    /// The same, and the value is what the pieces are of.
    With,
    /// Of each element, with variables for its key and itself.
    Range {
        /// Of the key or the number.
        key: Option<String>,
        /// Of the element.
        element: Option<String>,
    },
}

/// What has a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// What the pieces are of.
    Dot,
    /// A variable; without a name, the whole row.
    Variable(String),
    /// A part of another by names.
    Part(Box<Expression>, Vec<String>),
    /// As it stands there.
    Is(Value),
    /// What is made of others.
    Call(&'static str, Vec<Expression>),
}

/// What can be made, and of how many at least and at most.
const FUNCTIONS: [(&str, usize, usize); 14] = [
    ("json", 1, 1),
    ("index", 1, usize::MAX),
    ("len", 1, 1),
    ("join", 2, 2),
    ("split", 2, 2),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("print", 0, usize::MAX),
    ("println", 0, usize::MAX),
    ("eq", 2, usize::MAX),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("and", 1, usize::MAX),
    ("or", 1, usize::MAX),
];

/// The pieces of `text`.
pub fn pieces(text: &str) -> Result<Vec<Piece>> {
    let segments = segments(text)?;
    let mut left = Left { segments: &segments };
    let (pieces, end) = left.list(0)?;
    match end {
        Ended::Here => Ok(pieces),
        Ended::By(within) => bail!("`{{{{{within}}}}}` ends nothing"),
    }
}

/// Text, or what stands between braces.
#[derive(Debug)]
enum Segment<'a> {
    Text(&'a str),
    Action(&'a str),
}

fn segments(text: &str) -> Result<Vec<Segment<'_>>> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((within, after)) = behind.split_once("}}") else {
            bail!("a `{{{{` has no `}}}}`");
        };
        // `{{-` and `-}}` take the blanks beside them away.
        let (before, within) = match within.strip_prefix("- ") {
            Some(within) => (before.trim_end(), within),
            None => (before, within),
        };
        let (within, after) = match within.strip_suffix(" -") {
            Some(within) => (within, after.trim_start()),
            None => (within, after),
        };
        segments.extend([Segment::Text(before), Segment::Action(within.trim())]);
        rest = after;
    }
    segments.push(Segment::Text(rest));
    Ok(segments)
}

/// Where a list of pieces ends.
enum Ended<'a> {
    /// With the text.
    Here,
    /// By `end`, `else` or `else if …`.
    By(&'a str),
}

/// What is still to be read.
struct Left<'a> {
    segments: &'a [Segment<'a>],
}

impl<'a> Left<'a> {
    fn list(&mut self, depth: usize) -> Result<(Vec<Piece>, Ended<'a>)> {
        if depth > DEPTH_MAX {
            bail!("more than {DEPTH_MAX} blocks lie in one another");
        }
        let mut pieces = Vec::new();
        while let Some((first, rest)) = self.segments.split_first() {
            self.segments = rest;
            match first {
                Segment::Text(text) => pieces.push(Piece::Text(unescaped(text))),
                Segment::Action(within) if is_end(within) => {
                    return Ok((pieces, Ended::By(within)));
                }
                Segment::Action(within) if within.starts_with("/*") => {}
                Segment::Action(within) => {
                    let piece = self.action(within, depth);
                    pieces.push(piece.with_context(|| format!("`{{{{{within}}}}}`"))?);
                }
            }
        }
        Ok((pieces, Ended::Here))
    }

    fn action(&mut self, within: &str, depth: usize) -> Result<Piece> {
        let words = words(within)?;
        let Some((Word::Name(name), rest)) = words.split_first() else {
            return Ok(match &words[..] {
                [Word::Variable(name), Word::Is, rest @ ..] => {
                    Piece::Set(name.clone(), expression(rest)?)
                }
                words => Piece::Value(expression(words)?),
            });
        };
        let (kind, of) = match name.as_str() {
            "if" => (Kind::If, rest),
            "with" => (Kind::With, rest),
            "range" => variables(rest),
            _ => return Ok(Piece::Value(expression(&words)?)),
        };
        self.block(kind, expression(of)?, depth)
    }

    fn block(&mut self, kind: Kind, of: Expression, depth: usize) -> Result<Piece> {
        let (then, end) = self.list(depth + 1)?;
        let otherwise = match end {
            Ended::By("end") => Vec::new(),
            Ended::By("else") => match self.list(depth + 1)? {
                (otherwise, Ended::By("end")) => otherwise,
                _ => bail!("it has no {{{{end}}}}"),
            },
            // Its end is that of both.
            Ended::By(more) => {
                vec![self.action(more.trim_start_matches("else").trim_start(), depth + 1)?]
            }
            Ended::Here => bail!("it has no {{{{end}}}}"),
        };
        Ok(Piece::Block { kind, of, then, otherwise })
    }
}

fn is_end(within: &str) -> bool {
    matches!(within.split_whitespace().next(), Some("end" | "else"))
}

/// `$element := …`, `$key, $element := …`, or neither.
fn variables(words: &[Word]) -> (Kind, &[Word]) {
    let (key, element, of) = match words {
        [Word::Variable(key), Word::Comma, Word::Variable(element), Word::Is, of @ ..] => {
            (Some(key.clone()), Some(element.clone()), of)
        }
        [Word::Variable(element), Word::Is, of @ ..] => (None, Some(element.clone()), of),
        of => (None, None, of),
    };
    (Kind::Range { key, element }, of)
}

/// Commands behind one another: each is the last word of the next.
fn expression(words: &[Word]) -> Result<Expression> {
    let mut left = words;
    let found = piped(&mut left, 0)?;
    match left {
        [] => Ok(found),
        _ => bail!("it is not understood"),
    }
}

fn piped(left: &mut &[Word], depth: usize) -> Result<Expression> {
    if depth > DEPTH_MAX {
        bail!("more than {DEPTH_MAX} brackets lie in one another");
    }
    let mut found = command(left, depth, None)?;
    while let [Word::Pipe, rest @ ..] = left {
        *left = rest;
        found = command(left, depth, Some(found))?;
    }
    Ok(found)
}

/// What is done with which values, or one value.
fn command(left: &mut &[Word], depth: usize, last: Option<Expression>) -> Result<Expression> {
    if let [Word::Name(name), rest @ ..] = left
        && !["true", "false", "nil"].contains(&name.as_str())
    {
        let Some((name, least, most)) = FUNCTIONS.into_iter().find(|(known, ..)| known == name)
        else {
            bail!(
                "`{name}` is not understood: a field begins with a dot, and there are {}",
                FUNCTIONS.map(|(name, ..)| name).join(", ")
            );
        };
        *left = rest;
        let mut values = Vec::new();
        while let Some(value) = operand(left, depth)? {
            values.push(value);
        }
        values.extend(last);
        if !(least..=most).contains(&values.len()) {
            bail!("`{name}` takes another number of values");
        }
        return Ok(Expression::Call(name, values));
    }
    match (operand(left, depth)?, last) {
        (Some(value), None) => Ok(value),
        _ => bail!("it is not understood"),
    }
}

/// One value; `None` where none comes.
fn operand(left: &mut &[Word], depth: usize) -> Result<Option<Expression>> {
    let (first, rest) = match left.split_first() {
        Some((first, rest)) => (first, rest),
        None => return Ok(None),
    };
    let of = match first {
        Word::Fields(names, _) => {
            *left = rest;
            return Ok(Some(part(Expression::Dot, names)));
        }
        Word::Variable(name) => Expression::Variable(name.clone()),
        Word::Text(text) => Expression::Is(json!(text)),
        Word::Number(number) => Expression::Is(json!(number)),
        Word::Name(name) => Expression::Is(match name.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            "nil" => Value::Null,
            _ => bail!("`{name}` stands where a value does"),
        }),
        Word::Open => {
            let mut within = rest;
            let found = piped(&mut within, depth + 1)?;
            let [Word::Close, rest @ ..] = within else { bail!("a ( is not closed") };
            *left = rest;
            return Ok(Some(joined(found, left)));
        }
        Word::Close | Word::Pipe | Word::Is | Word::Comma => return Ok(None),
    };
    *left = rest;
    Ok(Some(joined(of, left)))
}

/// With the names right behind it.
fn joined(of: Expression, left: &mut &[Word]) -> Expression {
    match left {
        [Word::Fields(names, true), rest @ ..] => {
            *left = rest;
            part(of, names)
        }
        _ => of,
    }
}

fn part(of: Expression, names: &[String]) -> Expression {
    match names {
        [] => of,
        names => Expression::Part(Box::new(of), names.to_vec()),
    }
}
