//! Starting the process that serves a mount, and waiting until the mount is usable.

use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::again::{self, Again, Input};

use super::serve::ServeArgs;
use super::status::{self, Heard};
use crate::output::message;
use crate::session::{Outcome, Session};

/// Starts the process that serves the mount, and waits until it is usable or says why it is not.
pub fn start(serve: &ServeArgs, session: &Session) -> Result<Outcome> {
    let program = again::path_of_this_program().context("find this program")?;
    start_as(&program, serve, session).map(|_| Outcome::Done)
}

/// The same by another path of this program, where it has none that leads to it; answers the process.
pub fn start_as(program: &Path, serve: &ServeArgs, session: &Session) -> Result<Again> {
    // Called by another name it would make other words of these.
    let mut child = again::start(program, "layerfs", &serve.words(session)?, Input::Nothing)
        .context("start the process that serves the mount")?;
    let heard = status::listen(child.said(), |agreed| message::say(agreed))
        .context("listen to the process that serves the mount")?;
    if heard == Heard::Ready {
        return Ok(child);
    }
    child.wait()?;
    match heard {
        Heard::Failed(why) => bail!("{why}"),
        Heard::Nothing | Heard::Ready => bail!("the serving process died"),
    }
}
