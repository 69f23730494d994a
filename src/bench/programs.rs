//! Programs of others: found on the path, run to their end, their failures told in their own words.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::file::{self, FileType};
use layerfs_runtime::apart::{self, Ended, Program};

/// Tools that root alone uses are not on everybody's path.
const ROOTS_PATH: &str = ":/usr/sbin:/sbin";

/// Where programs are looked for.
pub fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(ROOTS_PATH);
    path
}

/// The program of that name.
pub fn find(name: &str) -> Option<PathBuf> {
    let dirs = path();
    let places = std::env::split_paths(&dirs).map(|dir| dir.join(name)).collect::<Vec<_>>();
    places.into_iter().find(|place| is_file(place))
}

/// Whether a regular file stands at a path.
pub fn is_file(place: &Path) -> bool {
    file::stat_path(place).is_ok_and(|stat| file::type_of(&stat) == FileType::RegularFile)
}

/// A call of a program: its words, put together one by one.
#[derive(Debug)]
pub struct Call {
    name: PathBuf,
    words: Vec<OsString>,
    dir: Option<PathBuf>,
    environment: Vec<(&'static str, OsString)>,
}

/// Begins a call. What the user's own settings say changes nothing.
pub fn call(name: impl Into<PathBuf>) -> Call {
    let environment = vec![
        ("PATH", path()),
        ("LC_ALL", "C".into()),
        ("HOME", "/".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ];
    Call { name: name.into(), words: Vec::new(), dir: None, environment }
}

impl Call {
    /// Adds one word.
    pub fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Adds the words of a text, which spaces separate.
    pub fn words(self, text: &str) -> Self {
        text.split_whitespace().fold(self, Call::word)
    }

    /// Starts it in a directory.
    pub fn within(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_path_buf());
        self
    }

    /// Sets a variable for it.
    pub fn with(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Runs it, and answers its standard output. An error has the last line that it said.
    pub fn run(self) -> Result<Vec<u8>> {
        let program = Program {
            name: &self.name,
            words: &self.words,
            dir: self.dir.as_deref(),
            environment: &self.environment,
        };
        let shown = || format!("run `{}`", self.name.display());
        let told = apart::run(&program).with_context(shown)?;
        if told.ended == Ended::Exited(0) {
            return Ok(told.output);
        }
        let said = String::from_utf8_lossy(&told.errors).trim().to_owned();
        let words = self.words.join(OsStr::new(" "));
        let said = said.lines().last().unwrap_or("and said nothing").to_owned();
        bail!("`{} {}` {}: {said}", self.name.display(), words.display(), told.ended)
    }
}

/// The first line that a program says of its version; `None` where it says none.
pub fn version(name: &Path) -> Option<String> {
    let said = call(name).word("--version").run().inspect_err(|error| tracing::debug!("{error:#}"));
    let said = String::from_utf8_lossy(&said.ok()?).into_owned();
    said.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_told_with_its_last_line() {
        assert_eq!(
            call("sh").words("-c pwd").within(Path::new("/proc")).run().unwrap(),
            b"/proc\n"
        );
        let failed = call("sh").word("-c").word("echo a >&2; echo b >&2; exit 4").run();
        let line = format!("{:#}", failed.unwrap_err());
        assert!(line.starts_with("`sh -c ") && line.ends_with("ended with status 4: b"), "{line}");
        assert!(find("sh").is_some() && find("no-such-program").is_none());
    }
}
