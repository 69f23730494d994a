//! Whiteouts: hard links to one character device 0:0.
//!
//! A link costs no inode, and an `rm -rf` of a lower tree writes nothing else. When the device has as many links as
//! the file system gives, the next one is begun.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::open::Upper;
use crate::sys::change::{self, Special};
use crate::sys::{Errno, dir};

/// The device's name in the work directory.
const DEVICE: &str = "#whiteout";

impl Upper {
    /// Hides a name of which the upper says nothing.
    pub fn add_whiteout(&self, to: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        self.link_whiteout(to, name).during("write a whiteout")
    }

    /// Hides a name under which the upper has something that is no directory, at once.
    pub fn replace_by_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        let aside = self.aside();
        self.link_whiteout(&self.work, aside.as_bytes()).during("write a whiteout")?;
        self.or_sweep(&aside, dir::rename(&self.work, aside.as_str(), at, name))
            .during("write a whiteout")
    }

    /// Hides a name under which the upper has something, which goes to the work directory under the name answered.
    pub fn exchange_for_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<String, UpperError> {
        let aside = self.aside();
        self.link_whiteout(&self.work, aside.as_bytes()).during("write a whiteout")?;
        self.or_sweep(&aside, change::exchange(&self.work, aside.as_str(), at, name))
            .during("write a whiteout")?;
        Ok(aside)
    }

    fn link_whiteout(&self, to: &OwnedFd, name: &[u8]) -> Result<(), crate::sys::SysError> {
        loop {
            match change::link(&self.work, DEVICE, to, name) {
                Err(error) if error.is_absent() => self.make_device()?,
                Err(error) if error.errno() == Errno::MLINK => {
                    dir::unlink(&self.work, DEVICE)?;
                    self.make_device()?;
                }
                other => return other,
            }
        }
    }

    fn make_device(&self) -> Result<(), crate::sys::SysError> {
        let special = Special::Character { major: 0, minor: 0 };
        match change::make_special(&self.work, DEVICE, special, 0) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            other => other,
        }
    }
}
