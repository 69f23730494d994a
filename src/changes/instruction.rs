//! Lines of a Dockerfile that change how an image is run, as `commit --change` takes them.

use anyhow::{Result, bail};
use layerfs_driver::store::oci::RunChange;

/// What a line may begin with.
const KNOWN: &str =
    "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR with its words";

/// Reads a line; `shell` runs a command line that is no JSON list.
pub fn read(line: &str, shell: &[String]) -> Result<Vec<RunChange>> {
    let trimmed = line.trim();
    let (word, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    let rest = rest.trim();
    let refused = |why: &str| format!("--change `{}`: {why}", line.escape_debug());
    if rest.is_empty() {
        bail!("{}", refused(&format!("write {KNOWN}")));
    }
    let read = match word.to_ascii_uppercase().as_str() {
        "CMD" => Ok(vec![RunChange::Cmd(command(rest, shell))]),
        "ENTRYPOINT" => Ok(vec![RunChange::Entrypoint(command(rest, shell))]),
        "ENV" => pairs(rest).map(|pairs| each(pairs, |(name, value)| RunChange::Env(name, value))),
        "LABEL" => {
            pairs(rest).map(|pairs| each(pairs, |(name, value)| RunChange::Label(name, value)))
        }
        "EXPOSE" => words(rest)
            .and_then(|words| words.iter().map(|word| port(word)).collect::<Result<Vec<_>, _>>())
            .map(|ports| each(ports, RunChange::Expose)),
        "VOLUME" => match list(rest) {
            Some(paths) => Ok(each(paths, RunChange::Volume)),
            None => words(rest).map(|paths| each(paths, RunChange::Volume)),
        },
        "WORKDIR" => one(rest).map(|path| vec![RunChange::WorkingDir(path)]),
        "USER" => one(rest).map(|user| vec![RunChange::User(user)]),
        "STOPSIGNAL" => one(rest).map(|signal| vec![RunChange::StopSignal(signal)]),
        _ => Err(format!("write {KNOWN}")),
    };
    match read {
        Ok(changes) => Ok(changes),
        Err(why) => bail!("{}", refused(&why)),
    }
}

fn each<T>(values: Vec<T>, change: impl Fn(T) -> RunChange) -> Vec<RunChange> {
    values.into_iter().map(change).collect()
}

/// A JSON list of words, or a line for the shell.
fn command(rest: &str, shell: &[String]) -> Vec<String> {
    list(rest).unwrap_or_else(|| shell.iter().cloned().chain([rest.to_owned()]).collect())
}

fn list(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

fn one(rest: &str) -> Result<String, String> {
    let mut words = words(rest)?;
    match (words.pop(), words.is_empty()) {
        (Some(word), true) => Ok(word),
        _ => Err("one word is taken".to_owned()),
    }
}

fn port(word: &str) -> Result<String, String> {
    let (number, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let is_range = number.split_once('-').is_some_and(|(a, b)| is_port(a) && is_port(b));
    if !(is_port(number) || is_range) || !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(format!("`{word}` is no port such as 80, 53/udp or 8000-8010"));
    }
    Ok(format!("{number}/{protocol}"))
}

/// `NAME=VALUE…`, or one `NAME VALUE` where the value may have blanks.
fn pairs(rest: &str) -> Result<Vec<(String, String)>, String> {
    let first = rest.split(char::is_whitespace).next().unwrap_or_default();
    if !first.contains('=') {
        let Some((name, value)) = rest.split_once(char::is_whitespace) else {
            return Err("write NAME=VALUE".to_owned());
        };
        return Ok(vec![(name.to_owned(), literal(value.trim())?)]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{word}` is not NAME=VALUE")),
    };
    words(rest)?.into_iter().map(pair).collect()
}

fn literal(value: &str) -> Result<String, String> {
    if value.contains('$') { Err(NO_VARIABLES.to_owned()) } else { Ok(value.to_owned()) }
}

const NO_VARIABLES: &str =
    "variables are not put in here: write their values, or a backslash before `$`";

/// Parts words as a shell does: quotes, and backslashes before a letter that would mean something.
fn words(rest: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (end, Some(open)) if end == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('$', None | Some('"')) => return Err(NO_VARIABLES.to_owned()),
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Vec<String> {
        vec!["/bin/sh".into(), "-c".into()]
    }

    fn told(line: &str) -> String {
        match read(line, &shell()) {
            Ok(changes) => format!("{changes:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn lines_are_read_as_in_a_dockerfile() {
        let table = [
            (r#"CMD ["a b", "c"]"#, r#"[Cmd(["a b", "c"])]"#),
            ("cmd echo hi", r#"[Cmd(["/bin/sh", "-c", "echo hi"])]"#),
            ("ENTRYPOINT  /x  y", r#"[Entrypoint(["/bin/sh", "-c", "/x  y"])]"#),
            (
                r#"ENV A=1 B="2 3" C=\$x D='$y'"#,
                r#"[Env("A", "1"), Env("B", "2 3"), Env("C", "$x"), Env("D", "$y")]"#,
            ),
            ("ENV A 1 2", r#"[Env("A", "1 2")]"#),
            ("LABEL a.b=c", r#"[Label("a.b", "c")]"#),
            ("EXPOSE 80 53/udp", r#"[Expose("80/tcp"), Expose("53/udp")]"#),
            (r#"VOLUME ["/a b"]"#, r#"[Volume("/a b")]"#),
            ("VOLUME /a /b", r#"[Volume("/a"), Volume("/b")]"#),
            ("WORKDIR /w", r#"[WorkingDir("/w")]"#),
            ("USER 1:2", r#"[User("1:2")]"#),
            ("STOPSIGNAL SIGINT", r#"[StopSignal("SIGINT")]"#),
        ];
        for (line, changes) in table {
            assert_eq!(told(line), changes, "{line}");
        }
    }

    #[test]
    fn what_is_no_such_line_is_told_in_one() {
        for (line, why) in [
            ("RUN x", "write CMD"),
            ("CMD", "write CMD"),
            ("ENV A", "NAME=VALUE"),
            ("ENV A=$B", "variables"),
            ("ENV A='b", "quote"),
            ("EXPOSE http", "no port"),
            ("USER a b", "one word"),
        ] {
            let said = told(line);
            assert!(said.contains(why) && said.contains("--change"), "{line}: {said}");
        }
    }
}
