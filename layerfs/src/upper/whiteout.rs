//! Whiteouts, in the form that the upper's file system can hold: hard links to one object.
//!
//! A link costs no inode, and an `rm -rf` of a lower tree writes nothing else. When the object has as many links as
//! the file system gives, the next one is begun. The three forms:
//!
//! 1. A character device 0:0 under the name: the kernel's, and the only one that its overlayfs reads in an upper.
//! 2. An empty file with the mark `whiteout` under the name, in a directory whose mark `opaque` is `x`: the kernel reads it in
//!    lower layers. A rename that replaces something and leaves one hides the name by a mark meanwhile (`hide.rs`).
//! 3. An empty file `.wh.NAME`. It says nothing of what stands under NAME beside it, but of a directory's namesake below:
//!    so it is made before the name goes, and stays when the name is made again.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::error::{During, UpperError};
use super::incompat;
use super::open::Upper;
use crate::sys::change::{self, SetTime, Special};
use crate::sys::file::{self, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{Errno, SysError, dir};
use crate::tree::wh_names::{WH_OPAQUE, wh_name};
use crate::tree::{Attr, Mark, Opaque, WhNames};

/// The name in the work directory of what whiteouts are links to.
const SHARED: &str = "#whiteout";

/// The mark on the root that says what the layer has that others would misread: its work directory may be lost.
const NOTED: &[u8] = b"layerfs.whiteouts";

/// What whiteouts are to be made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// The first form that can be had.
    Auto,
    /// Devices.
    Device,
    /// Files with a mark.
    Xattr,
    /// `.wh.` names.
    Wh,
}

/// What whiteouts are made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Device,
    Xattr,
    Wh,
}

impl Format {
    /// What keeps away who would misread the layer.
    fn incompat(self) -> Option<&'static [u8]> {
        match self {
            Format::Device => None,
            Format::Xattr => Some(incompat::XATTR_WHITEOUTS),
            Format::Wh => Some(incompat::WH_WHITEOUTS),
        }
    }
}

impl Upper {
    /// Refuses a form of whiteouts that was asked for and can't be had.
    pub(super) fn expect_whiteouts(&self) -> Result<(), UpperError> {
        let no = |what, cure| Err(UpperError::NoWhiteouts(what, cure));
        match self.whiteouts {
            Whiteouts::Device if !self.can_make_devices()? => no(
                "devices",
                "the upper's file system makes none; leave `whiteout=` out, or say `xattr` or `wh`",
            ),
            Whiteouts::Xattr if self.unmarked.is_some() => no(
                "marked files",
                "the upper's file system keeps no attributes; leave `whiteout=` out, or say `device` or `wh`",
            ),
            Whiteouts::Wh if self.wh_names == WhNames::Plain => no(
                "`.wh.` names",
                "in an image those are names like others; say `device` or `xattr`",
            ),
            Whiteouts::Auto | Whiteouts::Device | Whiteouts::Xattr | Whiteouts::Wh => Ok(()),
        }
    }

    /// Makes the marks anew that keep others away, where the work directory was lost.
    pub(super) fn restore_incompat(&self) -> Result<(), UpperError> {
        if self.unmarked.is_some() {
            return Ok(());
        }
        let noted = xattr_at::get(&self.root, b".", &self.noted_mark()).during("read a mark")?;
        for name in incompat::KNOWN {
            if noted.iter().any(|noted| noted.split(|byte| *byte == b' ').any(|one| one == name)) {
                incompat::mark(&self.work, name)?;
                if name == incompat::XATTR_WHITEOUTS {
                    self.may_hide_names.store(true, Ordering::Release);
                }
            }
        }
        Ok(())
    }

    /// What whiteouts are made as. Tried for the first, since most mounts make none.
    pub(super) fn format(&self) -> Result<Format, UpperError> {
        if let Some(format) = self.format.get() {
            return Ok(*format);
        }
        let format = match self.whiteouts {
            Whiteouts::Device => Format::Device,
            Whiteouts::Xattr => Format::Xattr,
            Whiteouts::Wh => Format::Wh,
            Whiteouts::Auto if self.can_make_devices()? => Format::Device,
            Whiteouts::Auto if self.unmarked.is_none() => Format::Xattr,
            Whiteouts::Auto if self.wh_names == WhNames::Whiteouts => Format::Wh,
            Whiteouts::Auto => {
                let cure = "the upper's file system makes no devices and keeps no attributes; take another for the upper";
                return Err(UpperError::NoWhiteouts("made", cure));
            }
        };
        if let Some(name) = format.incompat() {
            // Before the first of them.
            self.keep_others_away(name)?;
        }
        if format == Format::Xattr {
            self.may_hide_names.store(true, Ordering::Release);
        }
        Ok(*self.format.get_or_init(|| format))
    }

    /// Says what the layer is about to have that others would misread: in the work directory, and on the root, by which that
    /// is said again where the work directory was lost.
    pub(super) fn keep_others_away(&self, name: &[u8]) -> Result<(), UpperError> {
        self.sync(&incompat::mark(&self.work, name)?)?;
        if self.unmarked.is_some() {
            return Ok(());
        }
        let deed = "set a mark";
        let mark = self.noted_mark();
        let noted = xattr_at::get(&self.root, b".", &mark).during(deed)?.unwrap_or_default();
        if noted.split(|byte| *byte == b' ').any(|one| one == name) {
            return Ok(());
        }
        let _measured = self.spending_at((&self.root, b"."), 0)?;
        let all = if noted.is_empty() { name.to_vec() } else { [&*noted, b" ", name].concat() };
        xattr_at::set(&self.root, b".", (&mark, &all), SetHow::Any).during(deed)
    }

    fn noted_mark(&self) -> Vec<u8> {
        [self.space.prefix(), NOTED].concat()
    }

    /// Makes a device 0:0, and looks whether it is one: some file systems make something else of it.
    pub(super) fn can_make_devices(&self) -> Result<bool, UpperError> {
        let deed = "try whether whiteouts can be devices";
        match make_device(&self.work) {
            Err(error) if is_refusal(error.errno()) => return Ok(false),
            made => made.during(deed)?,
        }
        let stat = file::stat_at(&self.work, SHARED, Symlinks::Stop).during(deed)?;
        let is_device = Attr::of_stat(&stat).is_whiteout_device();
        if !is_device {
            dir::unlink(&self.work, SHARED).during(deed)?;
        }
        Ok(is_device)
    }

    /// Hides a name of which the upper says nothing.
    pub fn add_whiteout(&self, to: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let _grown = self.spending(to, 0)?;
        match self.format()? {
            Format::Wh => self.hide_namesake(to, name),
            Format::Device | Format::Xattr => {
                self.note_whiteouts(to)?;
                self.link_whiteout(to, name)
            }
        }
    }

    /// Hides a name under which the upper has something that is no directory, at once.
    pub fn replace_by_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let deed = "write a whiteout";
        if self.format()? == Format::Wh {
            self.hide_namesake(at, name)?;
            return self.taking((at, name), || dir::unlink(at, name)).during(deed);
        }
        let aside = self.whiteout_aside(at)?;
        let put = || dir::rename(&self.work, aside.as_str(), at, name);
        self.or_sweep(&aside, self.taking((at, name), put)).during(deed)
    }

    /// Hides a name under which the upper has something, which goes to the work directory under the name answered.
    pub fn exchange_for_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<String, UpperError> {
        let deed = "write a whiteout";
        if self.format()? == Format::Wh {
            self.hide_namesake(at, name)?;
            let aside = self.aside();
            dir::rename(at, name, &self.work, aside.as_str()).during(deed)?;
            return Ok(aside);
        }
        let aside = self.whiteout_aside(at)?;
        self.or_sweep(&aside, change::exchange(&self.work, aside.as_str(), at, name))
            .during(deed)?;
        Ok(aside)
    }

    /// Moves a name and hides the old one, at once: the rename is the point of no return. A marked file is put there after
    /// it, and until then the directory hides the name by a mark.
    pub(super) fn move_and_hide(
        &self,
        (from, old): super::rename::At<'_>,
        (to, new): super::rename::At<'_>,
    ) -> Result<(), UpperError> {
        match self.format()? {
            Format::Device => {
                let moved = || change::rename_whiteout(from, old, to, new);
                self.taking((to, new), moved).during("rename")
            }
            Format::Xattr => {
                let aside = self.whiteout_aside(from)?;
                let hiding = self.hide_name(from, old);
                let moved = || dir::rename(from, old, to, new);
                let moved = hiding.and_then(|()| self.taking((to, new), moved).during("rename"));
                if moved.is_err() {
                    self.hide_no_name(from);
                    self.sweep(&aside);
                    return moved;
                }
                // What is done and seen is not called failed: the mark hides the name as well as a whiteout.
                match dir::rename_new(&self.work, aside.as_str(), from, old) {
                    Ok(()) => self.hide_no_name(from),
                    Err(error) => {
                        self.sweep(&aside);
                        tracing::warn!(
                            "a name is hidden by a mark, for want of a whiteout: {error}"
                        );
                    }
                }
                Ok(())
            }
            // A directory with a lower part has a redirect by now, of which the name beside it says nothing.
            Format::Wh => {
                self.hide_namesake(from, old)?;
                self.taking((to, new), || dir::rename(from, old, to, new)).during("rename")
            }
        }
    }

    /// Says that a directory holds whiteouts, where their form needs that to be said.
    pub(super) fn note_whiteouts(&self, at: &OwnedFd) -> Result<(), UpperError> {
        if self.format()? != Format::Xattr {
            return Ok(());
        }
        match self.opaque(at, b".")? {
            // What hides all needs no whiteouts.
            Opaque::Hides | Opaque::MayHoldWhiteouts => Ok(()),
            Opaque::No => match Opaque::MayHoldWhiteouts.value() {
                Some(value) => self.set_mark(at, b".", Mark::Opaque, value),
                None => Ok(()),
            },
        }
    }

    /// Whether a whiteout, or anything, stands under the very name.
    pub(super) fn is_taken(&self, at: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        match file::stat_at(at, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(false),
            found => found.during("look into the upper").map(|_| true),
        }
    }

    /// Makes a directory opaque by a name in it, and leaves its times as they are.
    pub(super) fn set_opaque_by_name(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let deed = "make a directory opaque";
        let opaque = dir::open(at, name, Symlinks::Stop).during(deed)?;
        let before = Attr::of_stat(&file::stat(&opaque).during(deed)?);
        self.link_shared(&opaque, WH_OPAQUE)?;
        let time = |time: crate::tree::Timestamp| SetTime::At(time.secs, time.nanos);
        change::set_times_at(at, name, time(before.atime), time(before.mtime)).during(deed)
    }

    /// Hides what lies below under a name, whatever stands under it here.
    pub(super) fn hide_namesake(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        self.link_shared(at, &wh_name(name))
    }

    fn link_shared(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        match self.link_whiteout(at, name) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            linked => linked,
        }
    }

    /// A whiteout in the work directory, for a name in `at`.
    fn whiteout_aside(&self, at: &OwnedFd) -> Result<String, UpperError> {
        self.note_whiteouts(at)?;
        let aside = self.aside();
        self.link_whiteout(&self.work, aside.as_bytes())?;
        Ok(aside)
    }

    fn link_whiteout(&self, to: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let deed = "write a whiteout";
        loop {
            match change::link(&self.work, SHARED, to, name) {
                Err(error) if error.is_absent() => self.make_shared()?,
                Err(error) if error.errno() == Errno::MLINK => {
                    dir::unlink(&self.work, SHARED).during(deed)?;
                    self.make_shared()?;
                }
                other => return other.during(deed),
            }
        }
    }

    fn make_shared(&self) -> Result<(), UpperError> {
        let deed = "write a whiteout";
        let format = self.format()?;
        if format == Format::Device {
            return make_device(&self.work).during(deed);
        }
        let aside = self.aside();
        file::create_new(&self.work, aside.as_str(), 0o600).map(drop).during(deed)?;
        let marked = match format {
            Format::Xattr => self.set_mark(&self.work, aside.as_bytes(), Mark::Whiteout, b"y"),
            Format::Device | Format::Wh => Ok(()),
        };
        let placed = marked.and_then(|()| {
            dir::rename(&self.work, aside.as_str(), &self.work, SHARED).during(deed)
        });
        if placed.is_err() {
            self.sweep_uncounted(&aside);
        }
        placed
    }
}

/// What a file system says, or a rule of the machine, that makes no devices.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

fn make_device(work: &OwnedFd) -> Result<(), SysError> {
    let special = Special::Character { major: 0, minor: 0 };
    match change::make_special(work, SHARED, special, 0) {
        Err(error) if error.errno() == Errno::EXIST => Ok(()),
        other => other,
    }
}
