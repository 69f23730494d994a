//! Starting the process that serves a mount, and waiting until the mount is usable.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::again::{self, Input};

use super::serve::{READY, ServeArgs};
use crate::session::{Outcome, Session};

/// Starts the process that serves the mount, and waits until it is usable or says why it is not.
pub fn start(serve: &ServeArgs, session: &Session) -> Result<Outcome> {
    let program = again::path_of_this_program().context("find this program")?;
    // Called by another name it would make other words of these.
    let mut child = again::start(&program, "layerfs", &serve.words(session), Input::Nothing)
        .context("start the process that serves the mount")?;
    let mut line = String::new();
    let mut said = BufReader::new(child.said());
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
