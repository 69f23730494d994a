//! Names of the upper that go, move, or are added.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::open::Upper;
use super::stage::{Copied, CopiedData, Cover};
use super::whiteout::Format;
use crate::sys::change::{self, SetTime};
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, SysError, dir};
use crate::tree::{Attr, Kind, Timestamp};

/// A name in a directory of the upper.
pub type At<'a> = (&'a OwnedFd, &'a [u8]);

/// What a rename leaves at the old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing.
    Nothing,
    /// A whiteout: the lower has the name.
    Whiteout,
}

impl Upper {
    /// Removes a name that nothing in the lower has.
    pub fn remove_name(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let _shrunk = self.spending(at, 0)?;
        self.taking((at, name), || dir::unlink(at, name)).during("remove a name")
    }

    /// Removes a directory that shows nothing; whiteouts may stand in it.
    pub fn remove_directory(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let _shrunk = self.spending(at, 0)?;
        match self.taking((at, name), || dir::remove(at, name)) {
            Err(error) if matches!(error.errno(), Errno::NOTEMPTY | Errno::EXIST) => {
                let aside = self.aside();
                dir::rename(at, name, &self.work, aside.as_str()).during("remove a directory")?;
                self.sweep(&aside);
                Ok(())
            }
            other => other.during("remove a directory"),
        }
    }

    /// Gives an object one more name, where nothing stands or a whiteout.
    pub fn link(&self, from: At<'_>, to: At<'_>, cover: Cover) -> Result<(), UpperError> {
        let deed = "add a name";
        let _grown = self.spending(to.0, 0)?;
        if cover != Cover::Whiteout {
            return change::link(from.0, from.1, to.0, to.1).during(deed);
        }
        let aside = self.aside();
        change::link(from.0, from.1, &self.work, aside.as_str()).during(deed)?;
        self.or_sweep(&aside, dir::rename(&self.work, aside.as_str(), to.0, to.1)).during(deed)
    }

    /// Moves what is no directory, replacing what stands at the new name.
    pub fn move_file(&self, from: At<'_>, to: At<'_>, leave: Leave) -> Result<(), UpperError> {
        let (_shrunk, _grown) = (self.spending(from.0, 0)?, self.spending(to.0, 0)?);
        match leave {
            Leave::Nothing => {
                self.taking(to, || dir::rename(from.0, from.1, to.0, to.1)).during("rename")
            }
            Leave::Whiteout => self.move_and_hide(from, to),
        }
    }

    /// The same to a name that shows nothing: at once, whatever form whiteouts have. A marked file can't be left at the old
    /// name by the rename; it is put at the new one, where it hides nothing, and they change places.
    pub fn move_to_free(&self, from: At<'_>, to: At<'_>, leave: Leave) -> Result<(), UpperError> {
        if leave == Leave::Nothing || self.format()? != Format::Xattr {
            return self.move_file(from, to, leave);
        }
        self.note_whiteouts(from.0)?;
        let is_free = !self.is_taken(to.0, to.1)?;
        if is_free {
            self.add_whiteout(to.0, to.1)?;
        }
        let exchanged = self.exchange(from, to);
        if exchanged.is_err()
            && is_free
            && let Err(error) = dir::unlink(to.0, to.1)
        {
            tracing::warn!("a whiteout that hides nothing stays: {error}");
        }
        exchanged
    }

    /// Moves a directory to a name that has nothing, or a directory that is really empty.
    pub fn move_directory(&self, from: At<'_>, to: At<'_>, leave: Leave) -> Result<(), UpperError> {
        self.move_file(from, to, leave)
    }

    /// Moves a directory to a name that has a whiteout, which a directory can't replace: they change places, and what
    /// is then at the old name is what is wanted there, or hides nothing and goes.
    pub fn move_directory_over_whiteout(
        &self,
        from: At<'_>,
        to: At<'_>,
        leave: Leave,
    ) -> Result<(), UpperError> {
        if !self.has_own_whiteout(to.0, to.1)? {
            // A name beside it is the whiteout.
            return self.move_directory(from, to, leave);
        }
        if leave == Leave::Whiteout {
            match self.format()? {
                Format::Wh => self.hide_namesake(from.0, from.1)?,
                Format::Device | Format::Xattr => self.note_whiteouts(from.0)?,
            }
        }
        self.exchange(from, to)?;
        if leave == Leave::Nothing
            && let Err(error) = dir::unlink(from.0, from.1)
        {
            tracing::warn!("a whiteout that hides nothing stays: {error}");
        }
        Ok(())
    }

    /// Exchanges what two names lead to. Directories keep their times: XFS counts `..` among a directory's contents,
    /// and where it changes by an exchange, though not where it does by a rename, the directory has a new mtime.
    pub fn exchange(&self, one: At<'_>, other: At<'_>) -> Result<(), UpperError> {
        let deed = "exchange";
        let (first, second) =
            (directory_attr(one).during(deed)?, directory_attr(other).during(deed)?);
        change::exchange(one.0, one.1, other.0, other.1).during(deed)?;
        // The exchange is done and seen: a time that can't be kept is no reason to call it failed.
        if let Err(error) = keep_times(other, first).and_then(|()| keep_times(one, second)) {
            tracing::warn!("an exchanged directory has a new time of change: {error}");
        }
        Ok(())
    }

    /// Moves a directory over one that shows nothing; whiteouts may stand in it.
    pub fn move_directory_over_empty(
        &self,
        from: At<'_>,
        to: At<'_>,
        leave: Leave,
    ) -> Result<(), UpperError> {
        match self.move_directory(from, to, leave) {
            Err(error) if matches!(error.errno(), Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return other,
        }
        let aside = self.substitute(to.0, to.1)?;
        let moved = self.move_directory(from, to, leave);
        self.end_substitute(&aside, to, &moved);
        moved
    }

    /// Puts a really empty directory, the same to see, in place of one that shows nothing but holds whiteouts, so that a
    /// rename can replace it. Answers where the other one is kept in the work directory.
    fn substitute(&self, at: &OwnedFd, name: &[u8]) -> Result<String, UpperError> {
        let deed = "empty a directory";
        let stat = file::stat_at(at, name, Symlinks::Stop).during(deed)?;
        let attr = self.attr((at, name), &stat)?;
        let mut xattrs = Vec::new();
        for attribute in self.user_xattr_names(at, name)? {
            if let Some(value) = self.user_xattr(at, name, &attribute)? {
                xattrs.push((attribute.into(), value));
            }
        }
        let copied = Copied {
            attr,
            xattrs,
            origin: None,
            target: Box::default(),
            data: CopiedData::Nothing,
        };
        let staged = self.stage_copy(&copied)?;
        let hiding = match self.format() {
            // A name in it would be one more that is in the way.
            Ok(Format::Wh) => self.hide_namesake(at, name),
            Ok(Format::Device | Format::Xattr) => {
                self.set_opaque(&self.work, staged.name.as_bytes())
            }
            Err(error) => Err(error),
        };
        let exchanged = hiding.and_then(|()| {
            change::exchange(&self.work, staged.name.as_str(), at, name).during(deed)
        });
        if exchanged.is_err() {
            self.discard(&staged);
        }
        exchanged.map(|()| staged.name)
    }

    /// Ends a substitution: the directory that was kept goes, or comes back where the rename failed.
    fn end_substitute(&self, aside: &str, (at, name): At<'_>, renamed: &Result<(), UpperError>) {
        if renamed.is_err()
            && let Err(error) = change::exchange(&self.work, aside, at, name)
        {
            tracing::warn!("an empty directory stands for one that shows nothing: {error}");
        }
        self.sweep(aside);
    }
}

/// The attributes of a directory; `None` of anything else.
fn directory_attr((dir, name): At<'_>) -> Result<Option<Attr>, SysError> {
    let attr = Attr::of_stat(&file::stat_at(dir, name, Symlinks::Stop)?);
    Ok((attr.kind == Kind::Directory).then_some(attr))
}

/// Gives a directory the times that it had, where it has others now.
fn keep_times(at: At<'_>, before: Option<Attr>) -> Result<(), SysError> {
    match (before, directory_attr(at)?) {
        (Some(before), Some(now)) if before.mtime != now.mtime => {
            let (atime, mtime) = (before.atime, before.mtime);
            let time = |time: Timestamp| SetTime::At(time.secs, time.nanos);
            change::set_times_at(at.0, at.1, time(atime), time(mtime))
        }
        _ => Ok(()),
    }
}
