//! A program that gives a container its network, from its start to its end.
//!
//! 1. The kernel ends it with the supervisor, however that ends: it is in a namespace of processes whose first one asks for that,
//!    and never changes its user, which would take the wish back. With that first one goes all that the program has started.
//! 2. Nobody in the container sees it: that namespace lies beside the container's.
//! 3. It is root of the container's users. So it has every right over the container's network, and over the host's those of the user.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use layerfs_driver::sys::{dir, file};

use super::error::{Doing, NetworkError};
use super::programs::{Forward, Helper, Kind};
use crate::around::{await_child, tell};
use crate::start::PANIC_STATUS;
use crate::sys::process::{self, Child, Ended, EndsHere, Forked};
use crate::sys::program::{self, Going, Program};
use crate::sys::watch::Until;
use crate::sys::{SysError, channel, exec, join, namespace, signals, sockets, terminal, watch};

/// The word that the network is there; anything else is why it is not.
const READY: &[u8] = b"r";

/// Bytes of that.
const WORDS_MAX: usize = 1024;

/// Bytes that are read of an answer of the program's.
const ANSWER_MAX: u64 = 4096;

/// The first process of the program's namespace, from the supervisor's side. Dropped, it is ended, and the program with it.
#[derive(Debug)]
pub(crate) struct Helped {
    kind: Kind,
    child: Child,
    /// What it has to say comes here. When this closes it ends, too: a supervisor may have ended before it could ask the kernel.
    channel: OwnedFd,
}

/// Starts the program for the network of the process `first`, whose users have their ids by now. The caller has one thread, and
/// waits until there is something to hear.
pub(crate) fn start(helper: &Helper, first: u32) -> Result<Helped, NetworkError> {
    begin(helper, first).doing(|| format!("start {} for the container", helper.kind.name()))
}

fn begin(helper: &Helper, first: u32) -> Result<Helped, SysError> {
    let (ours, its) = channel::pair()?;
    let users = namespace::users_of(first)?;
    let network = namespace::open(Path::new(&format!("/proc/{first}/ns/net")))?;
    let between = match process::fork_into(0)? {
        Forked::Child => {
            let _here = EndsHere { status: PANIC_STATUS };
            drop(ours);
            // A namespace of processes belongs to the users of who makes it, and is made by who has rights among them.
            let made = join::join_users(users)
                .and_then(|()| process::fork_beside_into(namespace::PROCESSES));
            match made {
                Ok(Forked::Child) => {
                    process::exit_now(u8::from(stand(&its, network, (helper, first)).is_err()))
                }
                made => process::exit_now(u8::from(tell(&its, made).is_err())),
            }
        }
        between => between,
    };
    drop(its);
    match await_child(&ours, between)? {
        Forked::Parent(child) => {
            let helped = Helped { kind: helper.kind, child, channel: ours };
            channel::send(&helped.channel, b"g", None)?;
            Ok(helped)
        }
        Forked::Child => Err(SysError::of_deed("clone3", "a child where none can be")),
    }
}

impl Helped {
    /// What is readable when there is something to hear.
    pub(crate) fn channel(&self) -> &OwnedFd {
        &self.channel
    }

    /// Hears whether the network is there.
    pub(crate) fn hear(&self) -> Result<(), NetworkError> {
        let heard = channel::receive(&self.channel, WORDS_MAX);
        let words = match heard.doing(|| format!("hear {}", self.kind.name()))? {
            Some((words, _)) if words == READY => return Ok(()),
            Some((words, _)) => String::from_utf8_lossy(&words).into_owned(),
            None => "it was killed".to_owned(),
        };
        Err(self.refused(words))
    }

    /// Why it is not waited for any longer.
    pub(crate) fn late(&self, after: Duration) -> NetworkError {
        self.refused(format!("it is not ready after {} s", after.as_secs()))
    }

    fn refused(&self, words: String) -> NetworkError {
        NetworkError::Helper { name: self.kind.name(), words }
    }
}

impl Drop for Helped {
    fn drop(&mut self) {
        let ended = process::signal(&self.child.pidfd, signals::KILL);
        if let Err(error) = ended.and_then(|()| process::wait(&self.child.pidfd)) {
            tracing::warn!("end {} of the container: {error}", self.kind.name());
        }
    }
}

/// The first process of the program's namespace: it holds nothing of the supervisor's, starts the program, says how that went, and
/// does nothing then until the supervisor is gone.
fn stand(
    supervisor: &OwnedFd,
    network: OwnedFd,
    (helper, first): (&Helper, u32),
) -> Result<(), SysError> {
    process::die_with_parent()?;
    terminal::new_session()?;
    exec::take_streams(file::open_device("/dev/null")?)?;
    exec::take_input(network)?;
    exec::close_all_but(supervisor.as_fd())?;
    // Before that the one between may still be telling of this one.
    if channel::receive(supervisor, 1)?.is_none() {
        return Ok(());
    }
    match run(helper, first) {
        Ok(going) => {
            signals::forget_children();
            channel::send(supervisor, READY, None)?;
            attend(supervisor, going)
        }
        Err(words) => {
            let cut = words.as_bytes();
            channel::send(supervisor, &cut[..cut.len().min(WORDS_MAX)], None)
        }
    }
}

/// Waits for the supervisor's end, and takes what the program has to say meanwhile: it would wait for who reads it.
fn attend(supervisor: &OwnedFd, going: Going) -> Result<(), SysError> {
    let mut errors = Some(&going.errors);
    loop {
        let watched = [Some(supervisor), errors].into_iter().flatten();
        let watched: Vec<_> = watched.map(|fd| (fd.as_fd(), Until::Readable)).collect();
        let ready = watch::wait(&watched, None)?;
        if ready[0] && channel::receive(supervisor, 1)?.is_none() {
            return Ok(());
        }
        if let (Some(said), Some(true)) = (errors, ready.get(1))
            && file::read(said, &mut [0; 1024])? == 0
        {
            errors = None;
        }
    }
}

/// Starts the program and waits until the network is there; answers why it is not.
fn run(helper: &Helper, first: u32) -> Result<Going, String> {
    let told = |error: SysError| error.to_string();
    let words = helper.words(first);
    let program = Program {
        name: &helper.program,
        words: &words,
        dir: Some(Path::new("/")),
        environment: &[],
    };
    let (input, ready) = match helper.kind {
        Kind::Pasta => (exec::duplicate(std::io::stdin()).map_err(told)?, None),
        Kind::Slirp4netns => {
            let (ready, its) = channel::pipe().map_err(told)?;
            (its, Some(ready))
        }
    };
    let mut going = program::begin(&program, input).map_err(told)?;
    let (is_ready, errors) = until_ready(ready.as_ref(), &going.errors).map_err(told)?;
    if !is_ready {
        let ended = going.wait().map_err(told)?;
        // pasta has gone to the background then, ready; the other one ends without a network.
        if helper.kind == Kind::Slirp4netns || ended != Ended::Exited(0) {
            return Err(said(&errors, ended));
        }
    }
    forward(helper).map(|()| going)
}

/// Has ports lead to the container that its program is told of when it is ready.
fn forward(helper: &Helper) -> Result<(), String> {
    let requests = helper.requests();
    if requests.is_empty() {
        return Ok(());
    }
    let one = |(forward, request): &(Forward, String)| {
        let answer = answered(&helper.socket, request);
        answer.map_err(|why| format!("the port {} can't be had: {why}", forward.outside))
    };
    let asked = requests.iter().try_for_each(one);
    asked.and(remove(&helper.socket).map_err(|error| error.to_string()))
}

/// Waits until the program says a word on `ready`, or has let go of it; without that, until it has let go of its errors. Answers
/// whether it was a word, and what it said last.
fn until_ready(ready: Option<&OwnedFd>, errors: &OwnedFd) -> Result<(bool, Vec<u8>), SysError> {
    let (mut said, mut open) = (Vec::new(), Some(errors));
    while open.is_some() || ready.is_some() {
        let watched = [open, ready].into_iter().flatten();
        let watched: Vec<_> = watched.map(|fd| (fd.as_fd(), Until::Readable)).collect();
        let is_ready = watch::wait(&watched, None)?;
        // First: what it said before it ended is why.
        if let (Some(errors), true) = (open, is_ready[0]) {
            let mut some = [0; WORDS_MAX];
            let len = file::read(errors, &mut some)?;
            said.extend(&some[..len]);
            said.drain(..said.len().saturating_sub(WORDS_MAX));
            if len == 0 {
                open = None;
            }
        } else if let Some(ready) = ready {
            return Ok((file::read(ready, &mut [0; 1])? > 0, said));
        }
    }
    Ok((false, said))
}

/// The program's own words in one line.
fn said(errors: &[u8], ended: Ended) -> String {
    let text = String::from_utf8_lossy(errors);
    // pasta says everything to the syslog as well, and where there is none, that.
    let says = |line: &&str| !line.is_empty() && !line.ends_with("to syslog");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(says).collect();
    if lines.is_empty() { format!("it {ended}") } else { lines.join("; ") }
}

/// Asks slirp4netns for something; it answers once for each connection.
fn answered(socket: &Path, request: &str) -> Result<(), String> {
    let answer = sockets::ask(socket, request.as_bytes(), ANSWER_MAX);
    let answer = answer.map_err(|error| error.to_string())?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    match answer.get("return") {
        Some(_) => Ok(()),
        None => Err(answer["error"]["desc"].as_str().unwrap_or("it does not say why").to_owned()),
    }
}

fn remove(socket: &Path) -> Result<(), SysError> {
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else { return Ok(()) };
    match dir::unlink(dir::open_path(parent)?, name) {
        Err(error) if error.is_absent() => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is none of both, in their place: what it says before it is ready, or instead of that.
    fn begun(script: &str) -> (bool, String, Going) {
        let (ready, its) = channel::pipe().unwrap();
        let words = ["-c".into(), script.into()];
        let program = Program { name: Path::new("sh"), words: &words, dir: None, environment: &[] };
        let going = program::begin(&program, its).unwrap();
        let (is_ready, said) = until_ready(Some(&ready), &going.errors).unwrap();
        (is_ready, String::from_utf8(said).unwrap(), going)
    }

    #[test]
    fn a_program_is_ready_when_it_says_so_or_ended_with_its_last_words() {
        let (is_ready, words, mut going) = begun("echo warning >&2; printf 1 >&0; exit 3");
        assert!(is_ready);
        assert!(words.is_empty() || words == "warning\n", "{words}");
        assert_eq!(going.wait().unwrap(), Ended::Exited(3));
        let (is_ready, words, mut going) = begun(
            "echo one >&2; echo Failed to send 9 bytes to syslog >&2; echo '  two' >&2; exit 1",
        );
        assert!(!is_ready);
        assert_eq!(said(words.as_bytes(), going.wait().unwrap()), "one; two");
        let (is_ready, words, mut going) = begun("kill -9 $$");
        assert!(!is_ready);
        assert_eq!(said(words.as_bytes(), going.wait().unwrap()), "it was killed by signal 9");
        // Of many words the last are kept, and who says them does not wait for a reader.
        let (_, words, mut going) = begun("seq 100000 >&2; echo last >&2; exit 1");
        assert!(words.len() <= WORDS_MAX && words.ends_with("\nlast\n"), "{words}");
        going.wait().unwrap();
    }

    #[test]
    fn an_answer_of_slirp4netns_is_understood() {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&place).unwrap();
        let answers =
            ["{\"return\":{\"id\":1}}", "{\"error\":{\"desc\":\"taken\"}}", "nonsense", ""];
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            answers.map(|answer| {
                let (mut caller, _) = listener.accept().unwrap();
                let mut request = String::new();
                caller.read_to_string(&mut request).unwrap();
                caller.write_all(answer.as_bytes()).unwrap();
                request
            })
        });
        assert_eq!(answered(&place, "ask"), Ok(()));
        assert_eq!(answered(&place, "ask"), Err("taken".into()));
        assert_eq!(answered(&place, "ask"), Err("it does not say why".into()));
        assert_eq!(answered(&place, "ask"), Err("it does not say why".into()));
        assert!(server.join().unwrap().iter().all(|request| request == "ask"));
        remove(&place).unwrap();
        remove(&place).unwrap();
        assert!(answered(&place, "ask").unwrap_err().contains("connect("));
    }
}
