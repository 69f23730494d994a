//! Owns what a union by node numbers is asked, call by call, as the kernel asks a FUSE server.

use std::mem::Discriminant;

use rustix::io::Errno;

use super::ops::{Mode, RenameFlag, Space, Special, Stamp, XattrHow};
use super::subject::{Facts, Kind};
use super::tree::Moment;
use super::tree_path::TreePath;

/// The number of a node, and of an open file.
pub type NodeNumber = u64;
pub type Handle = u64;

/// What lookup and getattr answer.
#[derive(Clone, Debug)]
pub struct Attributes {
    pub node: NodeNumber,
    /// st_ino.
    pub number: u64,
    /// Of a lookup, where the number is not forgotten before the next mount.
    pub generation: Option<u64>,
    pub facts: Facts,
    pub mtime: Moment,
}

/// One name of a directory, without `.` and `..`.
pub struct Listed {
    pub name: Vec<u8>,
    /// d_ino.
    pub number: u64,
    /// d_type.
    pub kind: Discriminant<Kind>,
}

/// What SETATTR changes; one thing at a time, as histories do.
pub enum Change {
    Mode(Mode),
    /// Set-id bits go, except from directories: chown(2) asks for it through the kernel.
    Owner(Option<u32>, Option<u32>),
    Time(Stamp),
    /// By ftruncate, so that mtime changes too.
    Size(u64),
}

pub enum Made<'a> {
    Directory(Mode),
    Symlink(&'a TreePath),
    Special(Special, Mode),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Reading,
    Writing,
    /// `O_TRUNC` comes with the open (`FUSE_ATOMIC_O_TRUNC`).
    Emptying,
}

/// Where a rename comes from or goes to.
#[derive(Clone, Copy)]
pub struct Spot<'a> {
    pub parent: NodeNumber,
    pub name: &'a [u8],
}

/// A union. `lookup`, `make`, `create` and `link` count one lookup of the node they answer; `forget` takes it back.
pub trait Nodes {
    fn root(&self) -> NodeNumber;
    fn lookup(&mut self, at: Spot<'_>) -> Result<Attributes, Errno>;
    fn forget(&mut self, node: NodeNumber, lookups: u64);
    fn attributes(&mut self, node: NodeNumber) -> Result<Attributes, Errno>;
    fn set_attributes(&mut self, node: NodeNumber, change: Change) -> Result<(), Errno>;
    fn read_link(&mut self, node: NodeNumber) -> Result<Vec<u8>, Errno>;
    fn make(&mut self, at: Spot<'_>, made: Made<'_>) -> Result<Attributes, Errno>;
    fn create(&mut self, at: Spot<'_>, mode: Mode) -> Result<(Attributes, Handle), Errno>;
    fn link(&mut self, node: NodeNumber, at: Spot<'_>) -> Result<Attributes, Errno>;
    fn unlink(&mut self, at: Spot<'_>) -> Result<(), Errno>;
    fn rmdir(&mut self, at: Spot<'_>) -> Result<(), Errno>;
    fn rename(&mut self, from: Spot<'_>, to: Spot<'_>, flag: RenameFlag) -> Result<(), Errno>;
    fn open(&mut self, node: NodeNumber, opening: Opening) -> Result<Handle, Errno>;
    fn release(&mut self, node: NodeNumber, handle: Handle);
    fn read(&mut self, handle: Handle, offset: u64, len: u32) -> Result<Vec<u8>, Errno>;
    fn write(&mut self, handle: Handle, offset: u64, data: &[u8]) -> Result<(), Errno>;
    fn allocate(&mut self, handle: Handle, deed: Space, from: u64, len: u64) -> Result<(), Errno>;
    fn list(&mut self, node: NodeNumber) -> Result<Vec<Listed>, Errno>;
    fn xattrs(&mut self, node: NodeNumber) -> Result<Vec<(String, Vec<u8>)>, Errno>;
    fn set_xattr(
        &mut self,
        node: NodeNumber,
        name: &str,
        value: &[u8],
        how: XattrHow,
    ) -> Result<(), Errno>;
    fn remove_xattr(&mut self, node: NodeNumber, name: &str) -> Result<(), Errno>;
    /// Drops everything in memory and opens the same layers and upper again; every handle is released before.
    fn remount(&mut self);
    /// The history is over: what a remount does, without opening anything again.
    fn end(&mut self) {}
    /// What was seen since the last call and must not be, a line each.
    fn complaints(&mut self) -> Vec<String> {
        Vec::new()
    }
}
