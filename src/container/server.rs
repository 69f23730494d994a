//! The process that serves a container's root, from the command's side.

use anyhow::{Context, Result};
use layerfs_runtime::cgroup::Entry;
use layerfs_runtime::spec::Users;
use layerfs_runtime::{Server, Spawned};

use crate::mount::serve::{Flag, ServeArgs};
use crate::mount::status::{self, Heard};
use crate::session::Session;

/// How the root of a container with those users is served.
pub fn flags_for(users: Users) -> &'static [Flag] {
    match users {
        Users::Hosts => &[],
        Users::Own(_) => &[Flag::OwnUsers],
        // Who is not root gives no file away: whose it is to be is recorded.
        Users::Callers(_) => {
            &[Flag::OwnUsers, Flag::UserMarks, Flag::TakeRecords, Flag::MakeRecords]
        }
    }
}

/// A started server, before the container has its channel.
#[derive(Debug)]
pub struct Started {
    process: Spawned,
}

/// Starts it, in these groups. The channel whose other end is answered brings it the device to serve.
pub fn start(serve: &ServeArgs, session: &Session, entry: Entry<'_>) -> Result<(Started, Server)> {
    let (ours, its) = layerfs_runtime::channel()?;
    // Called by another name it would make other words of these.
    let process = layerfs_runtime::spawn("layerfs", &serve.words(session)?, its, entry)
        .context("start the process that serves the container's file system")?;
    let server = Server::new(process.pid(), ours)?;
    Ok((Started { process }, server))
}

impl Started {
    /// Its number, where it is to be moved into its groups.
    pub fn to_move(&self) -> Option<u32> {
        (!self.process.is_within).then(|| self.process.pid())
    }

    /// Why it ended by itself; `None` where it did not say.
    pub fn last_words(&mut self) -> Option<String> {
        match status::listen(self.process.said(), |_| {}) {
            Ok(Heard::Failed(why)) => Some(why),
            Ok(Heard::Ready | Heard::Nothing) => None,
            Err(error) => {
                tracing::warn!("listen to the serving process: {error:#}");
                None
            }
        }
    }

    /// Takes its status away, so that nothing of it is left. The container it served has ended.
    pub fn reap(&mut self) {
        if let Err(error) = self.process.wait() {
            tracing::warn!("wait for the serving process: {error}");
        }
    }
}
