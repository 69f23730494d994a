//! What `--format` asks for: `json`, or text with `{{.Field}}` in it, as docker's commands have it.
//!
//! Of Go's templates those are understood that scripts say: `{{.A.B}}`, `{{json .A}}`, `{{.}}`, `\t` and `\n`, and `table` before
//! them. What else stands in braces is an error.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{Results, Table};
use crate::session::Misused;

/// What is printed of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Text, under headings where `table` was said.
    Text {
        /// Whether headings stand above, and columns below each other.
        is_table: bool,
        /// Its pieces.
        pieces: Vec<Piece>,
    },
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// A value by its path; none is the whole row.
    Value(Vec<String>),
    /// The same as JSON.
    Json(Vec<String>),
}

impl Format {
    /// Reads the word of `--format`; one that is none was not understood.
    pub fn said(word: &str) -> Result<Format> {
        Format::parse(word).map_err(|error| Misused::of(error.to_string()).into())
    }

    fn parse(word: &str) -> Result<Format> {
        if word == "json" {
            return Ok(Format::Json);
        }
        let (is_table, mut rest) = match word.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let mut pieces = Vec::new();
        while let Some((before, behind)) = rest.split_once("{{") {
            let Some((within, after)) = behind.split_once("}}") else {
                bail!("--format `{word}`: a `{{{{` has no `}}}}`");
            };
            pieces.push(Piece::Text(unescaped(before)));
            pieces.push(field(within.trim()).ok_or_else(|| {
                anyhow::anyhow!(
                    "--format `{word}`: `{{{{{within}}}}}` is not understood; there are json, {{{{.Field}}}}, {{{{.A.B}}}} and \
                     {{{{json .Field}}}}; --json with jq does the rest"
                )
            })?);
            rest = after;
        }
        pieces.push(Piece::Text(unescaped(rest)));
        Ok(Format::Text { is_table, pieces })
    }

    /// Prints each row. A field that no row has is an error: a slip would print nothing.
    pub fn print(&self, rows: &[Value], results: &mut Results) -> Result<()> {
        match self {
            Format::Json => rows.iter().try_for_each(|row| Ok(results.line(row)?)),
            Format::Text { is_table: false, pieces } => {
                for row in rows {
                    results.line(line(pieces, row)?)?;
                }
                Ok(())
            }
            Format::Text { is_table: true, pieces } => {
                let headings: String = pieces.iter().map(heading).collect();
                let mut table = Table::new(&headings.split('\t').collect::<Vec<_>>());
                for row in rows {
                    table.row(line(pieces, row)?.split('\t').map(str::to_owned));
                }
                Ok(results.table(&table)?)
            }
        }
    }
}

/// What stands between braces.
fn field(within: &str) -> Option<Piece> {
    let path = |text: &str| -> Option<Vec<String>> {
        let names = text.strip_prefix('.')?;
        if names.is_empty() {
            return Some(Vec::new());
        }
        let fits = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        names.split('.').map(|name| fits(name).then(|| name.to_owned())).collect()
    };
    match within.strip_prefix("json ") {
        Some(rest) => path(rest.trim()).map(Piece::Json),
        None => path(within).map(Piece::Value),
    }
}

fn heading(piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value(path) | Piece::Json(path) => path.concat().to_uppercase(),
    }
}

fn line(pieces: &[Piece], row: &Value) -> Result<String> {
    let mut line = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Value(path) => line.push_str(&shown(at(row, path)?)),
            Piece::Json(path) => line.push_str(&at(row, path)?.to_string()),
        }
    }
    Ok(line)
}

fn at<'a>(row: &'a Value, path: &[String]) -> Result<&'a Value> {
    let mut here = row;
    for name in path {
        here = match here.get(name) {
            Some(found) => found,
            // What is not there of something that may be anything, of labels and the like.
            None if here.is_null() => return Ok(&Value::Null),
            None => {
                let known = here.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
                let known = known.unwrap_or_default().join(", ");
                bail!("--format: there is no field `{name}`; there are {known}");
            }
        };
    }
    Ok(here)
}

/// A value as Go prints it where that is plain; JSON where it is not.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".into(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(shown).collect();
            format!("[{}]", all.join(" "))
        }
        Value::Object(all) => {
            let all: Vec<String> =
                all.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", all.join(" "))
        }
        other => other.to_string(),
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(word: &str, row: &Value) -> String {
        match Format::parse(word).unwrap() {
            Format::Json => row.to_string(),
            Format::Text { pieces, .. } => line(&pieces, row).unwrap(),
        }
    }

    #[test]
    fn fields_are_put_in_their_places() {
        let row = json!({"ID": "1", "State": {"Pid": 7, "Ok": true}, "Env": ["A=b", "C"], "No": null, "L": {"a": "b"}});
        for (word, expected) in [
            ("{{.ID}}", "1"),
            ("id={{ .ID }}\\t{{.State.Pid}}", "id=1\t7"),
            ("{{.State.Ok}} {{.Env}} {{.No}} {{.No.Deep}}", "true [A=b C] <no value> <no value>"),
            ("{{json .Env}} {{json .State}}", r#"["A=b","C"] {"Pid":7,"Ok":true}"#),
            ("{{.L}}", "map[a:b]"),
            ("plain", "plain"),
        ] {
            assert_eq!(said(word, &row), expected, "{word}");
        }
        assert_eq!(said("json", &json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(said("{{json .}}", &json!([1])), "[1]");
    }

    #[test]
    fn slips_are_named() {
        for (word, told) in [
            ("{{.ID", "has no `}}`"),
            ("{{range .Env}}", "`{{range .Env}}` is not understood"),
            ("{{.A..B}}", "is not understood"),
            ("{{ID}}", "is not understood"),
        ] {
            let error = Format::parse(word).unwrap_err().to_string();
            assert!(error.contains(told), "{word}: {error}");
        }
        let Format::Text { pieces, .. } = Format::parse("{{.Id}}").unwrap() else {
            unreachable!("text")
        };
        let error = line(&pieces, &json!({"ID": 1})).unwrap_err().to_string();
        assert_eq!(error, "--format: there is no field `Id`; there are ID");
    }
}
