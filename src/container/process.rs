//! What runs in a container: the user's words over the image's.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::oci::RunConfig;
use layerfs_driver::sys::file;
use layerfs_runtime::spec::{Process, Streams};

/// Where programs are looked for when neither the image nor the user says where.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of a file of variables that are read.
const ENVIRONMENT_LEN_MAX: u64 = 4 << 20;

/// What the user says of the process.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// The command and its words.
    pub words: &'a [OsString],
    /// `--entrypoint`; empty takes the image's away.
    pub entrypoint: Option<&'a str>,
    /// `--env`, in their order: `NAME=value`, or `NAME` for the caller's own.
    pub environment: &'a [OsString],
    /// Variables of the image that it has not.
    pub unset: &'a [OsString],
    /// `--workdir`.
    pub directory: Option<&'a str>,
    /// `--user`.
    pub user: Option<&'a str>,
}

impl Said<'_> {
    /// How many words of the process are its entrypoint.
    pub fn entrypoint_len(&self, image: &RunConfig) -> usize {
        match self.entrypoint {
            Some("") => 0,
            Some(_) => 1,
            None => image.entrypoint.len(),
        }
    }
}

/// The process, by the image's configuration and what the user says instead.
pub fn process(
    said: &Said<'_>,
    image: &RunConfig,
    hostname: &str,
    streams: Streams,
) -> Result<Process> {
    let directory = match said.directory {
        Some(directory) => directory,
        None if image.working_dir.is_empty() => "/",
        None => &image.working_dir,
    };
    if !directory.starts_with('/') {
        bail!("directory `{directory}`: it has to begin with /, as the container sees it");
    }
    Ok(Process {
        words: words(said, image)?,
        environment: environment((said.environment, said.unset), image, hostname, streams)?,
        directory: PathBuf::from(directory),
        user: said.user.unwrap_or(&image.user).to_owned(),
    })
}

/// Entrypoint and command: the user's command replaces the image's, the user's entrypoint both of the image's.
fn words(said: &Said<'_>, image: &RunConfig) -> Result<Vec<CString>> {
    let mut words: Vec<OsString> = match said.entrypoint {
        Some("") => Vec::new(),
        Some(entrypoint) => vec![entrypoint.into()],
        None => image.entrypoint.iter().map(OsString::from).collect(),
    };
    if !said.words.is_empty() {
        words.extend_from_slice(said.words);
    } else if said.entrypoint.is_none() {
        words.extend(image.cmd.iter().map(OsString::from));
    }
    if words.first().is_none_or(|word| word.is_empty()) {
        let why = match said.entrypoint {
            Some("") => "an empty --entrypoint takes the image's own away",
            _ => "the image names none",
        };
        bail!("no command: {why}, so say one after the image, such as /bin/sh");
    }
    words.into_iter().map(text).collect()
}

/// The image's environment, then the user's; the last value of a name counts.
fn environment(
    (said, unset): (&[OsString], &[OsString]),
    image: &RunConfig,
    hostname: &str,
    streams: Streams,
) -> Result<Vec<CString>> {
    let mut lines: Vec<OsString> = vec![PATH.into(), format!("HOSTNAME={hostname}").into()];
    if streams == Streams::Terminal {
        lines.push("TERM=xterm".into());
    }
    for line in &image.env {
        set(&mut lines, line.into());
    }
    lines.retain(|line| !unset.iter().any(|gone| name(line) == gone.as_bytes()));
    for line in said {
        match line.as_bytes().iter().position(|byte| *byte == b'=') {
            Some(0) => bail!("--env `{}`: a name is missing before the `=`", line.display()),
            Some(_) => set(&mut lines, line.clone()),
            None => match std::env::var_os(line) {
                Some(value) => {
                    let mut whole = line.clone();
                    whole.push("=");
                    whole.push(value);
                    set(&mut lines, whole);
                }
                // What the caller has not, the container has not: the image's value goes, too.
                None => lines.retain(|old| name(old) != line.as_bytes()),
            },
        }
    }
    lines.into_iter().map(text).collect()
}

/// The lines of `--env-file`, in their order: as those of `--env`, but for empty ones and what begins with `#`.
pub fn read_environment(paths: &[PathBuf]) -> Result<Vec<OsString>> {
    let mut lines = Vec::new();
    for path in paths {
        let deed = || format!("--env-file `{}`", path.display());
        let text = file::open_read_path(path.as_path())
            .and_then(|file| file::read_all(file, ENVIRONMENT_LEN_MAX))
            .with_context(deed)?;
        // Some editors begin a text with a mark of its encoding.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let name = line.split(|byte| *byte == b'=').next().unwrap_or(line);
            if name.iter().any(u8::is_ascii_whitespace) {
                let name = String::from_utf8_lossy(name);
                bail!("{}: line {}: the name `{name}` has a blank in it", deed(), number + 1);
            }
            if name.is_empty() {
                bail!("{}: line {}: a name is missing before the `=`", deed(), number + 1);
            }
            let line = OsString::from_vec(line.to_vec());
            // Of a file, what the caller has not leaves the image's value.
            if line.len() > name.len() || std::env::var_os(&line).is_some() {
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

fn name(line: &OsStr) -> &[u8] {
    let bytes = line.as_bytes();
    bytes.split(|byte| *byte == b'=').next().unwrap_or(bytes)
}

fn set(lines: &mut Vec<OsString>, line: OsString) {
    match lines.iter_mut().find(|old| name(old) == name(&line)) {
        Some(old) => *old = line,
        None => lines.push(line),
    }
}

fn text(word: OsString) -> Result<CString> {
    let shown = word.display().to_string();
    CString::new(word.into_vec()).with_context(|| format!("word `{}`", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str], env: &[&str]) -> RunConfig {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        RunConfig {
            entrypoint: owned(entrypoint),
            cmd: owned(cmd),
            env: owned(env),
            ..RunConfig::default()
        }
    }

    fn run(said: &Said<'_>, image: &RunConfig) -> String {
        let words = words(said, image).unwrap();
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_users_words_replace_the_images_command() {
        let image = image(&["/init", "-v"], &["serve"], &[]);
        let said = [OsString::from("sh"), "-c".into()];
        assert_eq!(run(&Said::default(), &image), "/init -v serve");
        assert_eq!(run(&Said { words: &said, ..Said::default() }, &image), "/init -v sh -c");
        let entry = Said { entrypoint: Some("/x"), ..Said::default() };
        assert_eq!(run(&entry, &image), "/x");
        let none = Said { entrypoint: Some(""), words: &said, ..Said::default() };
        assert_eq!(run(&none, &image), "sh -c");
    }

    #[test]
    fn no_command_at_all_is_told() {
        let error = words(&Said::default(), &image(&[], &[], &[])).unwrap_err();
        assert!(error.to_string().contains("no command"), "{error}");
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let image = image(&[], &[], &["A=image", "NONE=image", "PATH=/bin", "B=image"]);
        let said = ["A=user".into(), "LAYERFS_TEST_IS_NOT_SET".into(), "C=a=b".into()];
        let lines = environment((&said, &["NONE".into()]), &image, "box", Streams::Caller).unwrap();
        let lines: Vec<&str> = lines.iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines, ["PATH=/bin", "HOSTNAME=box", "A=user", "B=image", "C=a=b"]);
    }

    #[test]
    fn a_file_of_variables_has_a_line_for_each() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("env");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_environment(std::slice::from_ref(&path))
        };
        let lines = read("\u{feff}# none\n\nA=1\n  B=two words # and this\r\nLAYERFS_TEST_IS_NOT_SET\nPATH\nA=\"2\"").unwrap();
        assert_eq!(lines, ["A=1", "B=two words # and this", "PATH", "A=\"2\""].map(OsString::from));
        let error = read("A=1\nexport B=2\n").unwrap_err().to_string();
        assert!(error.contains("line 2: the name `export B` has a blank"), "{error}");
        assert!(read("\n=x").unwrap_err().to_string().contains("line 2: a name is missing"));
        std::fs::remove_file(&path).unwrap();
        assert!(read_environment(std::slice::from_ref(&path)).is_err());
    }

    #[test]
    fn a_relative_directory_is_refused() {
        let said = Said { directory: Some("tmp"), ..Said::default() };
        let image = image(&[], &["sh"], &[]);
        assert!(process(&said, &image, "box", Streams::Caller).is_err());
    }
}
