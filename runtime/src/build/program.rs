//! The program: who it is, where it is found, how it starts.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use layerfs_driver::sys::file::FileType;
use layerfs_driver::sys::{change, file};

use super::error::{Doing, SetupError};
use super::place;
use crate::spec::Process;
use crate::sys::inside;
use crate::sys::{Errno, SysError, exec, signals};
use crate::user::{User, UserWords};

/// What is read of the image's lists of users and groups, at most.
const LIST_MAX: u64 = 4 << 20;

/// Where programs are looked for when nothing says where.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Decides who the program is. Users of the container's own have numbers below `room`.
pub(super) fn find_user(
    words: &str,
    places: (&OwnedFd, &OwnedFd),
    room: Option<u32>,
) -> Result<User, SetupError> {
    let (passwd, group) = (list(places, "etc/passwd")?, list(places, "etc/group")?);
    let user = UserWords::new(words).find(&passwd, &group).map_err(SetupError::User)?;
    let Some(count) = room else { return Ok(user) };
    match [user.uid, user.gid].iter().chain(&user.groups).find(|id| **id >= count) {
        Some(id) => Err(SetupError::Beyond { id: *id, count }),
        None => Ok(user),
    }
}

/// One of the image's lists; an image without it has an empty one. It is opened for reading only when it is known to be
/// a file that keeps bytes: opening or reading what a link of the image leads to may wait, or do more than that.
fn list((root, proc): (&OwnedFd, &OwnedFd), path: &str) -> Result<String, SetupError> {
    let deed = || format!("read `/{path}` of the image");
    let place = match inside::open(root, OsStr::new(path)) {
        Err(error) if error.is_absent() => return Ok(String::new()),
        opened => opened.doing(deed)?,
    };
    let is = match place::kind(&place).doing(deed)? {
        FileType::RegularFile if inside::is_kernels(&place).doing(deed)? => {
            "a file of the kernel's"
        }
        FileType::RegularFile => {
            let list = inside::open_again(proc, &place).doing(deed)?;
            let bytes = file::read_all(&list, LIST_MAX).doing(deed)?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        other => place::shown(other),
    };
    Err(SetupError::WrongKind { path: format!("/{path}"), is, needs: "a regular file" })
}

/// A program that was found.
pub(super) struct Program {
    path: OsString,
    /// As it was said.
    word: String,
    environment: Vec<CString>,
}

/// Finds the program, and gives it its signals: after this nothing is asked of the kernel but to become it, since the program may
/// not be allowed more.
pub(super) fn find(process: &Process, user: &User) -> Result<Program, SetupError> {
    let Some(word) = process.words.first() else {
        return Err(SetupError::NotFound(String::new(), "no command was given"));
    };
    let environment = environment(process, user);
    signals::give_back().doing(|| "give signals back".into())?;
    change::set_umask(0o022);
    let word = word.as_bytes();
    let shown = String::from_utf8_lossy(word).into_owned();
    let mut refused = None;
    for candidate in candidates(word, &environment) {
        // A directory of that name is passed over, as a file that may not be executed is.
        match inside::may_execute(&candidate) {
            Ok(()) => return Ok(Program { path: candidate, word: shown, environment }),
            Err(error) if is_absent(&error) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(match refused {
        Some(source) => SetupError::NotExecutable { program: shown, source },
        None if word.contains(&b'/') => {
            SetupError::NotFound(shown, "no such file in the container")
        }
        None => SetupError::NotFound(shown, "no such program in the container's PATH"),
    })
}

/// Becomes the program. Returns only with why not.
pub(super) fn start(program: &Program, words: &[CString]) -> SetupError {
    of_exec(program.word.clone(), exec::exec(&program.path, words, &program.environment))
}

/// Where the program may be: as it was said, or in each directory of `PATH`.
fn candidates(word: &[u8], environment: &[CString]) -> Vec<OsString> {
    if word.contains(&b'/') {
        return vec![OsString::from_vec(word.to_vec())];
    }
    let path = environment.iter().rev().find_map(|line| line.as_bytes().strip_prefix(b"PATH="));
    let directories = path.unwrap_or(PATH).split(|byte| *byte == b':');
    directories
        .map(|directory| {
            // An empty one is the directory that the program starts in.
            let directory = if directory.is_empty() { b"." } else { directory };
            OsString::from_vec([directory, b"/", word].concat())
        })
        .collect()
}

/// The environment, and `HOME` where nothing says it.
fn environment(process: &Process, user: &User) -> Vec<CString> {
    let mut lines = process.environment.clone();
    if !lines.iter().any(|line| line.as_bytes().starts_with(b"HOME="))
        && let Ok(line) = CString::new(format!("HOME={}", user.home))
    {
        lines.push(line);
    }
    lines
}

fn of_exec(program: String, error: SysError) -> SetupError {
    if is_absent(&error) {
        return SetupError::NotFound(
            program,
            "the interpreter that it names is not in the container",
        );
    }
    SetupError::NotExecutable { program, source: error }
}

fn is_absent(error: &SysError) -> bool {
    matches!(error.errno(), Errno::NOENT | Errno::NOTDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(word: &str, environment: &[&str]) -> Vec<String> {
        let environment: Vec<CString> =
            environment.iter().map(|line| CString::new(*line).unwrap()).collect();
        let found = candidates(word.as_bytes(), &environment);
        found.into_iter().map(|path| path.into_string().unwrap()).collect()
    }

    #[test]
    fn a_bare_name_is_looked_for_in_path() {
        assert_eq!(at("sh", &["PATH=/x", "PATH=/a:/b"]), ["/a/sh", "/b/sh"]);
        assert_eq!(at("sh", &["PATH=:/b"]), ["./sh", "/b/sh"]);
        assert_eq!(at("sh", &[]).len(), 6);
        assert_eq!(at("./sh", &["PATH=/a"]), ["./sh"]);
    }

    #[test]
    fn home_is_added_where_nothing_says_it() {
        let user = User { uid: 0, gid: 0, groups: Vec::new(), home: "/root".into() };
        let process = |line: &str| Process {
            words: Vec::new(),
            environment: vec![CString::new(line).unwrap()],
            directory: "/".into(),
            user: String::new(),
        };
        assert_eq!(
            environment(&process("A=1"), &user),
            [c"A=1".to_owned(), c"HOME=/root".to_owned()]
        );
        assert_eq!(environment(&process("HOME=/x"), &user), [c"HOME=/x".to_owned()]);
    }
}
