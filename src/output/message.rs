//! Messages: one line on standard error that begins with the command's name.

use std::fmt;
use std::io::{self, Write};

use layerfs_driver::store::StoreError;
use layerfs_driver::store::source::SourceError;
use layerfs_driver::sys::SysError;
use layerfs_runtime::RunError;

use super::text::one_line;

/// Says one line.
pub fn say(text: impl fmt::Display) {
    // One write, so that lines of several processes on one terminal stay whole.
    show(&format!("layerfs: {}\n", one_line(&text.to_string())));
}

/// Writes text of our own as it is: the help, lines of progress. Where standard error can't be written there is nobody to
/// tell.
pub fn show(text: &str) {
    if io::stderr().write_all(text.as_bytes()).is_err() {
        tracing::trace!("standard error is closed");
    }
}

/// Writes bytes as they are, as [`show`] does text.
pub fn bytes(bytes: &[u8]) {
    if io::stderr().write_all(bytes).is_err() {
        tracing::trace!("standard error is closed");
    }
}

/// Says why something failed, and the cure where it is known.
pub fn error(error: &anyhow::Error) {
    say(line_of(error));
}

/// The whole cause on one line, with the cure. A cause whose words stand in the line already is not said twice.
pub fn line_of(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let words = without_number(&cause.to_string());
        if line.is_empty() {
            line = words;
        } else if !line.contains(&words) {
            let words = of_a_place(cause, &line).map_or(words, str::to_owned);
            line = format!("{line}: {words}");
        }
    }
    if let Some(cure) = cure(error) {
        line.push_str(cure);
    }
    one_line(&line)
}

/// What is wrong with a place of the user's that the line names already, where it is a frequent mistake.
fn of_a_place(cause: &(dyn std::error::Error + 'static), line: &str) -> Option<&'static str> {
    let refused = cause.downcast_ref::<SysError>()?;
    let args = refused.args();
    // Without more words on how it was to be opened: one that is to be made lacks its parent.
    let quoted = args.strip_suffix(", O_DIRECTORY").unwrap_or(args);
    let place = quoted.strip_prefix('"')?.strip_suffix('"').filter(|place| !place.is_empty())?;
    if !line.contains(place) {
        return None;
    }
    match io::Error::from(refused.errno()).kind() {
        io::ErrorKind::NotFound => Some("it does not exist; is its name right?"),
        io::ErrorKind::NotADirectory => Some("it is not a directory; is its name right?"),
        io::ErrorKind::PermissionDenied => {
            Some("it may not be read by this user; change its permissions, or call as root")
        }
        _ => None,
    }
}

/// What a container's first process ends with where there is no such program.
const NO_SUCH_PROGRAM: u8 = 127;

/// What to do about a failure, where its kind says it.
fn cure(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(RunError::Setup { status: NO_SUCH_PROGRAM, reason }) = error.downcast_ref()
        && reason.starts_with("`-")
    {
        return Some("; options of `layerfs run` go before the image");
    }
    let failure = error.downcast_ref::<StoreError>();
    if let Some(StoreError::NoSuchImage(_)) = failure {
        return Some("; `layerfs images` lists what is here");
    }
    // Both write to the store only: what a source can't keep in memory is spooled there.
    if failure.is_none() && !error.is::<SourceError>() {
        return None;
    }
    let elsewhere = "; choose another directory with --root DIR";
    match error.chain().find_map(refusal)? {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("; make room (`layerfs rmi`), or choose another directory with --root DIR")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some(elsewhere),
        io::ErrorKind::PermissionDenied if matches!(failure, Some(StoreError::Root { .. })) => {
            Some(elsewhere)
        }
        _ => None,
    }
}

/// What the kernel answered, where this cause is a refused call.
fn refusal(cause: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    Some(io::Error::from(cause.downcast_ref::<SysError>()?.errno()).kind())
}

/// The words of the kernel without the number that the standard library adds to them.
fn without_number(words: &str) -> String {
    match words.rsplit_once(" (os error ") {
        Some((said, number))
            if number.trim_end_matches(')').bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            said.into()
        }
        _ => words.into(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let inner = anyhow!("openat(\"x\"): No such file or directory");
        let error = inner
            .context("store `s`: openat(\"x\"): No such file or directory")
            .context("pull `x`");
        assert_eq!(
            line_of(&error),
            "pull `x`: store `s`: openat(\"x\"): No such file or directory"
        );
    }

    #[test]
    fn the_kernels_words_come_without_their_number() {
        let full = std::io::Error::from_raw_os_error(28);
        assert_eq!(
            line_of(&anyhow::Error::from(full).context("write")),
            "write: No space left on device"
        );
        assert_eq!(without_number("a (os error x)"), "a (os error x)");
    }

    #[test]
    fn a_place_that_is_named_is_told_in_plain_words() {
        let line = |args: &str, errno, named: &str| {
            let refused = SysError::new("openat", args, errno);
            line_of(&anyhow::Error::from(refused).context(named.to_owned()))
        };
        let absent = layerfs_driver::sys::Errno::NOENT;
        let told = line("\"a/b\", O_DIRECTORY", absent, "lower directory `a/b`");
        assert_eq!(told, "lower directory `a/b`: it does not exist; is its name right?");
        let told = line("\"a/b\", O_CREAT", absent, "log file `a/b`");
        assert_eq!(told, "log file `a/b`: openat(\"a/b\", O_CREAT): No such file or directory");
        let told = line("\"other\"", absent, "log file `a/b`");
        assert_eq!(told, "log file `a/b`: openat(\"other\"): No such file or directory");
    }

    #[test]
    fn an_option_after_the_image_is_told_its_place() {
        let told = |reason: &str| {
            line_of(&RunError::Setup { status: NO_SUCH_PROGRAM, reason: reason.into() }.into())
        };
        assert_eq!(told("`-m`: none"), "`-m`: none; options of `layerfs run` go before the image");
        assert_eq!(told("`m`: none"), "`m`: none");
    }

    #[test]
    fn an_image_that_is_not_here_has_its_cure() {
        let error = anyhow::Error::from(StoreError::NoSuchImage("x".into()));
        assert_eq!(
            line_of(&error),
            "no image `x` in the store; `layerfs images` lists what is here"
        );
    }
}
