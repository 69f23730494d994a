//! What `--format` asks for: `json`, or text with `{{.Field}}` in it, as docker's commands have it.
//!
//! Of Go's templates those parts are understood that scripts use: fields, `range`, `if`, `with`, variables, pipes, and the functions
//! that [`parse`] lists; `\t` and `\n`, and `table` before them. What else stands in braces is an error.

mod parse;
mod values;
mod words;

use anyhow::{Result, anyhow};
use serde_json::Value;

use self::parse::{Expression, Piece};
use self::values::line;
use super::{Results, Table};
use crate::session::Misused;

/// What is printed of each row.
#[derive(Clone, Debug, PartialEq)]
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

impl Format {
    /// Reads the word of `--format`, `None` for none and for `table` alone; one that is no format was not understood.
    pub fn asked(word: Option<&str>) -> Result<Option<Format>> {
        let word = word.filter(|word| word.trim() != "table");
        let read =
            |word| Format::parse(word).map_err(|error| Misused::of(error.to_string()).into());
        word.map(read).transpose()
    }

    fn parse(word: &str) -> Result<Format> {
        if word == "json" {
            return Ok(Format::Json);
        }
        let (is_table, text) = match word.strip_prefix("table ") {
            Some(text) => (true, text),
            None => (false, word),
        };
        let pieces = parse::pieces(text).map_err(|error| {
            anyhow!("--format `{word}`: {error:#}; docs/json.md says what there is, and --json with jq does the rest")
        })?;
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

fn heading(piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value(of) => name_of(of).to_uppercase(),
        Piece::Set(..) | Piece::Block { .. } => String::new(),
    }
}

/// The names that lead to it.
fn name_of(of: &Expression) -> String {
    match of {
        Expression::Part(_, names) => names.concat(),
        Expression::Call(_, values) => values.first().map(name_of).unwrap_or_default(),
        Expression::Dot | Expression::Variable(_) | Expression::Is(_) => String::new(),
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
        let row = json!({"ID": "1", "State": {"Pid": 7, "Ok": true}, "Env": ["A=b", "C"], "No": null, "L": {"a": "b"}, "Labels": {"a": "1"}});
        for (word, expected) in [
            ("{{.ID}}", "1"),
            ("id={{ .ID }}\\t{{.State.Pid}}", "id=1\t7"),
            ("{{.State.Ok}} {{.Env}} {{.No}} {{.No.Deep}}", "true [A=b C] <no value> <no value>"),
            ("{{json .Env}} {{json .State}}", r#"["A=b","C"] {"Pid":7,"Ok":true}"#),
            ("{{.L}}", "map[a:b]"),
            ("{{.Labels.a}} {{.Labels.b}}", "1 <no value>"),
            ("plain", "plain"),
        ] {
            assert_eq!(said(word, &row), expected, "{word}");
        }
        assert_eq!(said("json", &json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(said("{{json .}}", &json!([1])), "[1]");
    }

    /// Words that stand in docker's documents and in scripts.
    #[test]
    fn what_scripts_say_is_what_docker_prints() {
        let row = json!({
            "Name": "/web", "Mounts": [], "Args": ["-c", "exit 3"],
            "Config": {"Labels": {"a": "1", "b.c": "2"}, "Env": null},
            "State": {"Running": true, "Health": null, "ExitCode": 0},
            "NetworkSettings": {
                "Networks": {"bridge": {"IPAddress": "10.80.0.2"}},
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "9/udp": null},
            },
        });
        for (word, expected) in [
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.80.0.2"),
            (
                "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}}{{end}}",
                "bridge=10.80.0.2",
            ),
            (
                "{{range $p, $conf := .NetworkSettings.Ports}} {{$p}} -> {{if $conf}}{{(index $conf 0).HostPort}}{{else}}none{{end}} {{end}}",
                " 80/tcp -> 8080  9/udp -> none ",
            ),
            (r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#, "8080"),
            (r#"{{index .Config.Labels "b.c"}}|{{index .Config.Labels "no"}}"#, "2|"),
            (
                "{{.State | json}} {{json .Config.Env}}",
                r#"{"Running":true,"Health":null,"ExitCode":0} null"#,
            ),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            (
                "{{if .State.Health}}{{.State.Health.Status}}{{else if .State.ExitCode}}bad{{else}}good{{end}}",
                "good",
            ),
            (
                r#"{{if eq .Name "/web" "/other"}}yes{{end}}{{if ne .State.ExitCode 0}}no{{end}}{{ne .Name "x"}}"#,
                "yestrue",
            ),
            ("{{with .State.Health}}{{.Status}}{{else}}no health{{end}}", "no health"),
            ("{{with .State}}{{.ExitCode}} {{$.Name}}{{end}}", "0 /web"),
            (
                r#"{{join .Args " "}} {{len .Args}} {{upper .Name}} {{.Name | upper | lower}}"#,
                "-c exit 3 2 /WEB /web",
            ),
            ("{{range .Args}}{{println .}}{{end}}", "-c\nexit 3\n"),
            ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
            ("{{range $i, $one := .Args}}{{if $i}}, {{end}}{{$one}}{{end}}", "-c, exit 3"),
            ("a {{- /* nothing */ -}} b {{ $x := len .Args }}{{$x}}", "ab 2"),
            (
                r#"{{index (split .Name "/") 1}} {{and .Name .Mounts | len}} {{or .Mounts .Name}} {{not .Mounts}}"#,
                "web 0 /web true",
            ),
            (r#"{{print "a" 1 true}} {{`raw`}} {{"q\"\t"}}"#, "a1true raw q\"\t"),
        ] {
            assert_eq!(said(word, &row), expected, "{word}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (word, told) in [
            ("{{.ID", "a `{{` has no `}}`"),
            ("{{range .Env}}", "`{{range .Env}}`: it has no {{end}}"),
            ("{{if .A}}{{else}}", "`{{if .A}}`: it has no {{end}}"),
            ("{{end}}", "`{{end}}` ends nothing"),
            ("{{.A..B}}", "a name is missing behind a dot"),
            (
                "{{ID}}",
                "`ID` is not understood: a field begins with a dot, and there are json, index, len",
            ),
            ("{{}}", "is not understood"),
            ("{{.A .B}}", "is not understood"),
            ("{{(.A}}", "a ( is not closed"),
            ("{{.A | .B}}", "is not understood"),
            ("{{json}}", "`json` takes another number of values"),
            ("{{\"a}}", "a \" is not closed"),
            ("{{1x}}", "`1x` is no number"),
            ("{{.A % 2}}", "`%` is not understood"),
        ] {
            let error = Format::parse(word).unwrap_err().to_string();
            assert!(error.contains(told), "{word}: {error}");
            assert!(error.starts_with(&format!("--format `{word}`: ")), "{error}");
        }
        let deep = format!("{}.A{}", "(".repeat(40_000), ")".repeat(40_000));
        assert!(Format::parse(&format!("{{{{{deep}}}}}")).is_err());
        assert!(Format::parse(&"{{if .A}}".repeat(40_000)).is_err());
        for (word, told) in [
            ("{{.Id}}", "--format: there is no field `Id`; there are ID, L"),
            ("{{$no}}", "--format: there is no variable `$no`"),
            ("{{range .ID}}{{end}}", "--format: range goes over lists and maps, and `1` is none"),
            ("{{index .L 7}}", "--format: index 7: there are 1"),
            ("{{index .ID 7}}", "--format: `1` has no index `7`"),
            ("{{len .ID}}", "--format: `1` has no length"),
        ] {
            let Format::Text { pieces, .. } = Format::parse(word).unwrap() else {
                unreachable!("text")
            };
            let error = line(&pieces, &json!({"ID": 1, "L": [1]})).unwrap_err().to_string();
            assert_eq!(error, told);
        }
    }
}
