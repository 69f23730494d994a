//! What a template's pieces are of a row.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::parse::{Expression, Kind, Piece};

/// No line of a template is longer: blocks that lie in one another multiply.
const LEN_MAX: usize = 16 * 1024 * 1024;

/// Fields whose own may be any.
const FREE: [&str; 7] =
    ["Labels", "Networks", "Ports", "PortBindings", "Sysctls", "StorageOpt", "CgroupConf"];

/// The text of the pieces.
pub fn line(pieces: &[Piece], row: &Value) -> Result<String> {
    let mut line = String::new();
    let mut scope = Scope { variables: vec![(String::new(), row.clone())] };
    scope.write(pieces, row, &mut line)?;
    Ok(line)
}

/// The variables that there are, the latest last.
struct Scope {
    variables: Vec<(String, Value)>,
}

impl Scope {
    fn write(&mut self, pieces: &[Piece], dot: &Value, line: &mut String) -> Result<()> {
        for piece in pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Value(of) => line.push_str(&shown(&self.value(of, dot)?)),
                Piece::Set(name, of) => {
                    let value = self.value(of, dot)?;
                    self.variables.push((name.clone(), value));
                }
                Piece::Block { kind, of, then, otherwise } => {
                    let value = self.value(of, dot)?;
                    let known = self.variables.len();
                    self.block((kind, &value), (then, otherwise), dot, line)?;
                    self.variables.truncate(known);
                }
            }
            if line.len() > LEN_MAX {
                bail!("--format: a line is longer than {LEN_MAX} bytes");
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        (kind, value): (&Kind, &Value),
        (then, otherwise): (&[Piece], &[Piece]),
        dot: &Value,
        line: &mut String,
    ) -> Result<()> {
        let Kind::Range { key, element } = kind else {
            return match (is_something(value), kind) {
                (true, Kind::With) => self.write(then, value, line),
                (true, _) => self.write(then, dot, line),
                (false, _) => self.write(otherwise, dot, line),
            };
        };
        let all: Vec<(Value, &Value)> = match value {
            Value::Array(all) => all.iter().enumerate().map(|(at, one)| (json!(at), one)).collect(),
            Value::Object(all) => {
                sorted(all).into_iter().map(|(name, one)| (json!(name), one)).collect()
            }
            Value::Null => Vec::new(),
            other => {
                bail!("--format: range goes over lists and maps, and `{}` is none", shown(other))
            }
        };
        if all.is_empty() {
            return self.write(otherwise, dot, line);
        }
        let known = self.variables.len();
        for (number, one) in all {
            self.variables.truncate(known);
            self.variables.extend(key.clone().map(|name| (name, number)));
            self.variables.extend(element.clone().map(|name| (name, one.clone())));
            self.write(then, one, line)?;
        }
        Ok(())
    }

    fn value(&self, of: &Expression, dot: &Value) -> Result<Value> {
        Ok(match of {
            Expression::Dot => dot.clone(),
            Expression::Is(value) => value.clone(),
            Expression::Variable(name) => {
                match self.variables.iter().rev().find(|(known, _)| known == name) {
                    Some((_, value)) => value.clone(),
                    None => bail!("--format: there is no variable `${name}`"),
                }
            }
            Expression::Part(of, names) => match &**of {
                // Without a copy of the whole.
                Expression::Dot => at(dot, names)?.clone(),
                of => at(&self.value(of, dot)?, names)?.clone(),
            },
            Expression::Call(name, values) => {
                let values: Vec<Value> =
                    values.iter().map(|value| self.value(value, dot)).collect::<Result<_>>()?;
                call(name, &values)?
            }
        })
    }
}

fn call(name: &str, values: &[Value]) -> Result<Value> {
    let first = values.first().unwrap_or(&Value::Null);
    let text = |at: usize| values.get(at).map(shown).unwrap_or_default();
    Ok(match name {
        "json" => json!(first.to_string()),
        "index" => index(first, &values[1..])?,
        "len" => match first {
            Value::String(text) => json!(text.len()),
            Value::Array(all) => json!(all.len()),
            Value::Object(all) => json!(all.len()),
            Value::Null => json!(0),
            other => bail!("--format: `{}` has no length", shown(other)),
        },
        "join" => match first {
            Value::Array(all) => {
                json!(all.iter().map(shown).collect::<Vec<_>>().join(&text(1)))
            }
            Value::Null => json!(""),
            other => {
                bail!("--format: join takes a list and a text, and `{}` is none", shown(other))
            }
        },
        "split" => json!(text(0).split(&text(1)).collect::<Vec<_>>()),
        "lower" => json!(text(0).to_lowercase()),
        "upper" => json!(text(0).to_uppercase()),
        "print" => json!(values.iter().map(shown).collect::<String>()),
        "println" => json!(format!("{}\n", values.iter().map(shown).collect::<Vec<_>>().join(" "))),
        "eq" => json!(values[1..].iter().any(|other| other == first)),
        "ne" => json!(values.get(1) != Some(first)),
        "not" => json!(!is_something(first)),
        "and" => values
            .iter()
            .find(|value| !is_something(value))
            .or(values.last())
            .cloned()
            .unwrap_or_default(),
        _ => values
            .iter()
            .find(|value| is_something(value))
            .or(values.last())
            .cloned()
            .unwrap_or_default(),
    })
}

/// The element of that name or number, of that the next, and so on. What a map has not is nothing; what a list has not is a slip.
fn index(of: &Value, by: &[Value]) -> Result<Value> {
    let mut here = of;
    for key in by {
        here = match (here, key) {
            (Value::Object(all), Value::String(name)) => match all.get(name) {
                Some(found) => found,
                None => return Ok(json!("")),
            },
            (Value::Array(all), Value::Number(number)) => {
                let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
                match at.and_then(|at| all.get(at)) {
                    Some(found) => found,
                    None => bail!("--format: index {number}: there are {}", all.len()),
                }
            }
            (Value::Null, _) => return Ok(json!("")),
            (other, key) => bail!("--format: `{}` has no index `{}`", shown(other), shown(key)),
        };
    }
    Ok(here.clone())
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
    }
}

fn at<'a>(row: &'a Value, path: &[String]) -> Result<&'a Value> {
    let mut here = row;
    let mut above = "";
    for name in path {
        let of = std::mem::replace(&mut above, name);
        here = match here.get(name) {
            Some(found) => found,
            // What is not there of something that may be anything, of labels and the like.
            None if here.is_null() || FREE.contains(&of) => return Ok(&Value::Null),
            None => {
                let known = here.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
                let known = known.filter(|known| !known.is_empty());
                let known = known.map_or_else(|| "none".to_owned(), |known| known.join(", "));
                bail!("--format: there is no field `{name}`; there are {known}");
            }
        };
    }
    Ok(here)
}

/// By their names, as Go has it.
fn sorted(all: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<(&String, &Value)> = all.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

/// A value as Go prints it where that is plain.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".into(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(shown).collect();
            format!("[{}]", all.join(" "))
        }
        Value::Object(all) => {
            let all = sorted(all);
            let all: Vec<String> =
                all.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", all.join(" "))
        }
        other => other.to_string(),
    }
}
