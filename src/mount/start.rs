//! Starting the process that serves a mount, and waiting until the mount is usable.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::serve::{READY, ServeArgs};
use crate::session::{Outcome, Session};

/// Starts the process that serves the mount, and waits until it is usable or says why it is not.
pub fn start(serve: &ServeArgs, session: &Session) -> Result<Outcome> {
    let program = std::env::current_exe().context("find this program")?;
    let mut child = Command::new(program)
        // Another name would make other words of these.
        .arg0("layerfs")
        .args(serve.words(session))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start the process that serves the mount")?;
    let Some(stderr) = child.stderr.take() else {
        bail!("the serving process has no standard error")
    };
    let mut said = BufReader::new(stderr);
    let mut line = String::new();
    said.read_line(&mut line)?;
    if line.trim_end() == READY {
        return Ok(Outcome::Done);
    }
    said.read_to_string(&mut line)?;
    child.wait()?;
    let why = line.trim_end();
    bail!(
        "{}",
        why.strip_prefix("layerfs: ").unwrap_or(if why.is_empty() {
            "the serving process died"
        } else {
            why
        })
    )
}
