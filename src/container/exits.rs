//! How containers ended that went with their end: noted in the directory of what is running, for whoever waits for one.

use anyhow::Result;
use layerfs_driver::store::container::ContainerId;
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::{dir, host};

use crate::session::Session;

/// Below the directory of what is running.
const DIR: &str = "exits";

/// Whoever waits reads a note at once; older ones go.
const KEPT_S: u64 = 600;

/// Bytes of a note.
const LEN_MAX: u64 = 16;

/// Notes it. Only who waits for it misses it.
pub fn note(session: &Session, id: &ContainerId, status: u8) {
    if let Err(error) = try_note(session, id, status) {
        tracing::debug!("note how container {} ended: {error:#}", id.short());
    }
}

fn try_note(session: &Session, id: &ContainerId, status: u8) -> Result<()> {
    let Some(run) = &session.roots().run else { return Ok(()) };
    let path = run.join(DIR);
    dir::make_all(&path, 0o700)?;
    let notes = dir::open_path(path.as_path())?;
    for old in dir::list(&notes)? {
        let stat = file::stat_at(&notes, &*old.name, Symlinks::Stop);
        let age_s =
            stat.map(|stat| i64::try_from(host::now_ms() / 1000).unwrap_or(0) - stat.st_mtime);
        if age_s.is_ok_and(|age_s| age_s > i64::try_from(KEPT_S).unwrap_or(0)) {
            // Another one may have taken it away meanwhile.
            if let Err(error) = dir::unlink(&notes, &*old.name)
                && !error.is_absent()
            {
                tracing::debug!("an old note stays: {error}");
            }
        }
    }
    // Whole when it has its name.
    let aside = format!("{}.new", id.hex());
    file::write_all(
        file::create_new(&notes, aside.as_str(), 0o600)?,
        status.to_string().as_bytes(),
    )?;
    Ok(dir::rename(&notes, aside.as_str(), &notes, id.hex())?)
}

/// How a container ended that is not there any more; `None` where nobody noted it.
pub fn of(session: &Session, id: &ContainerId) -> Option<u8> {
    let path = session.roots().run.as_ref()?.join(DIR).join(id.hex());
    let text = file::open_read_path(path.as_path()).and_then(|file| file::read_all(file, LEN_MAX));
    String::from_utf8(text.ok()?).ok()?.parse().ok()
}
