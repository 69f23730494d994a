//! Copy-up: a lower object becomes one of the upper, once, while everything else goes on.
//!
//! One thread wins a node and copies; the others wait for it on the node, not on a lock that another node's operation
//! needs. The copy is made aside without any lock. It is installed under the lock of the directory that holds the
//! node's name at that moment: the name may have changed since, or be gone, and then the copy has no name.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::node::{Beneath, Data, FoundBy, Node, Side};
use crate::lower::{Lower, LowerFile, LowerNode};
use crate::sys::change::{self, SetTime};
use crate::sys::file::Stat;
use crate::sys::{Errno, SysError, file};
use crate::tree::{Attr, Kind, Name, Timestamp};
use crate::upper::{Contents, Copied, CopiedData, Cover, Durability, Staged, Upper, UpperError};

/// How much of a file's contents a copy-up takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Nothing, where that can be: the file is emptied next.
    Nothing,
    /// All of it, but what finds its data below by marks may go on without: what is written is copied block by block.
    Blocks,
    /// All of it, but what finds its data below by marks may go on without: it gets another name, or one more.
    Names,
    /// All of it, but a file of the upper whose data lies below may go on without: only attributes are changed.
    Attributes,
}

/// Files from here on are large: who copies one is waited for elsewhere.
pub(super) const MUCH_BYTES: u64 = 256 * 1024;

/// Filling a file takes it away for a moment, and a crash then for good: what has one is copied whole.
const CAPABILITY: &[u8] = b"security.capability";

impl Extent {
    /// Whether a copy is wanted for what may have its data below.
    fn may_leave_data(self) -> bool {
        match self {
            Extent::Blocks | Extent::Names | Extent::Attributes => true,
            Extent::Whole | Extent::Nothing => false,
        }
    }
}

/// What of a node is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// A file's contents, and which of them are holes.
    Whole,
    /// A file's contents.
    Contents,
    /// Its names.
    Names,
    /// Its attributes alone.
    Attributes,
}

/// What a change of a node has to copy first, or finds being copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Copies {
    /// Nothing, or what neither lasts nor is synced.
    Nothing,
    /// Little, which is synced: the disk may keep whoever waits for it.
    Little,
    /// A large file.
    Much,
}

impl Union {
    /// Gives a directory an upper side, and all directories above it. Answers its directory in the upper.
    pub(super) fn ensure_upper_dir(&self, node: &Shared) -> Result<Arc<OwnedFd>, UnionError> {
        let upper = self.writable()?;
        let mut missing = Vec::new();
        let mut at = Arc::clone(node);
        while !at.is_upper() {
            let Some((parent, _)) = at.one_name() else { return answer(Errno::NOENT) };
            missing.push(at);
            at = self.dir_node(parent)?;
        }
        for dir in missing.into_iter().rev() {
            self.copy_dir_up(upper, &dir)?;
        }
        self.upper_dir(node)
    }

    /// Copies one directory up, whose parent has an upper side.
    fn copy_dir_up(&self, upper: &Upper, node: &Node) -> Result<(), UnionError> {
        let Some((parent, name)) = node.one_name() else { return answer(Errno::NOENT) };
        let parent = self.dir_node(parent)?;
        let _names = parent.dir.write();
        if node.is_upper() {
            return Ok(());
        }
        // It may have been removed before the lock was had.
        if node.one_name() != Some((parent.id, name.clone())) {
            return answer(Errno::NOENT);
        }
        let Some(lower) = node.lower() else { return answer(Errno::STALE) };
        let above = self.upper_dir(&parent)?;
        let staged = upper.stage_copy(&self.copied(&lower)?)?;
        let installed = keeping_times(&above, || {
            Ok(upper.install(&staged, &above, name.as_bytes(), Cover::Nothing)?)
        });
        if installed.is_err() {
            upper.discard(&staged);
        }
        installed?;
        *node.side.lock() = Side::Upper;
        Ok(())
    }

    /// Gives a node that is no directory an upper side. The caller does not hold the topology: a directory's rename that
    /// waited for the copy would keep everyone else waiting behind it.
    pub(super) fn copy_up(&self, node: &Shared, extent: Extent) -> Result<(), UnionError> {
        self.copy_up_opened(node, extent).map(drop)
    }

    /// The same. Answers the copy, open for writing, where it was made now and without the contents, or had its data below
    /// and was emptied now: it was opened before that, so that whoever opens a file to empty it is not refused when it is empty.
    pub(super) fn copy_up_opened(
        &self,
        node: &Shared,
        extent: Extent,
    ) -> Result<Option<OwnedFd>, UnionError> {
        let upper = self.writable()?;
        let extent = match extent {
            Extent::Blocks if !upper.writes_in_part() => Extent::Whole,
            extent => extent,
        };
        {
            let mut side = node.side.lock();
            while *side == Side::Copying {
                node.copied.wait(&mut side);
            }
            match *side {
                Side::Upper if extent == Extent::Blocks && self.goes_on_in_part(node) => {
                    return Ok(None);
                }
                Side::Upper if extent == Extent::Attributes => return Ok(None),
                Side::Upper if extent == Extent::Names && node.data_goes_along() => {
                    return Ok(None);
                }
                Side::Upper => {
                    drop(side);
                    return self.fill(upper, node, extent);
                }
                Side::Lower | Side::Copying => *side = Side::Copying,
            }
        }
        let copied = self.copy_and_install(upper, node, extent);
        *node.side.lock() = if copied.is_ok() { Side::Upper } else { Side::Lower };
        node.copied.notify_all();
        copied
    }

    /// What a change of a node has to copy.
    pub fn copies(&self, id: NodeId, touches: Touches) -> Copies {
        let known = self.table.get(id);
        let lower = match &known {
            Some(node) if node.is_directory() => return Copies::Nothing,
            Some(node) if node.is_upper() && !self.needs_data(node, touches) => {
                return Copies::Nothing;
            }
            Some(node) if node.is_upper() => node.data_below(),
            Some(node) if *node.side.lock() == Side::Copying => return Copies::Much,
            Some(node) => node.lower(),
            None => self.lower.by_number(id.ino()),
        };
        let (Some(upper), Some(lower)) = (&self.upper, lower) else { return Copies::Nothing };
        let is_lower = known.as_ref().is_none_or(|node| !node.is_upper());
        match self.lower.attr(&lower) {
            Ok(attr) if !is_synced(upper, &attr) => Copies::Nothing,
            Ok(attr) if is_lower && may_be_left(upper, touches) && upper.leaves_data(&attr) => {
                match self.lower.xattr(&lower, CAPABILITY) {
                    Ok(Some(_)) if attr.size > MUCH_BYTES => Copies::Much,
                    Ok(Some(_)) if self.syncs() => Copies::Little,
                    _ => Copies::Nothing,
                }
            }
            Ok(attr) if attr.kind == Kind::File && attr.size > MUCH_BYTES => Copies::Much,
            Ok(_) if self.syncs() => Copies::Little,
            // What can't be asked is told by the change itself.
            Ok(_) | Err(_) => Copies::Nothing,
        }
    }

    /// Whether an object of the upper needs its data for a change.
    fn needs_data(&self, node: &Node, touches: Touches) -> bool {
        match touches {
            Touches::Whole => true,
            Touches::Contents => {
                let in_part = self.upper.as_ref().is_some_and(Upper::writes_in_part);
                !(in_part && self.goes_on_in_part(node))
            }
            Touches::Names => !node.data_goes_along(),
            Touches::Attributes => false,
        }
    }

    /// Whether anything is synced here.
    pub fn syncs(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| upper.durability() == Durability::Synced)
    }

    fn copy_and_install(
        &self,
        upper: &Upper,
        node: &Shared,
        extent: Extent,
    ) -> Result<Option<OwnedFd>, UnionError> {
        let Some(lower) = node.lower() else { return answer(Errno::STALE) };
        if extent.may_leave_data()
            && let Some((staged, data)) = self.stage_marked(upper, &lower, extent)?
        {
            return self.install_staged(upper, node, (&staged, data)).map(|()| None);
        }
        let copied = self.copied(&lower)?;
        // The copy of a group is seen under its other names before it is installed under this one, which may be refused:
        // it has all contents until whoever asked empties it.
        let is_filled = extent != Extent::Nothing || node.group.is_some();
        let open = match (node.kind, is_filled) {
            (Kind::File, true) => Some(LowerContents(self.lower.open(&lower)?)),
            _ => None,
        };
        let data = match &open {
            Some(contents) => CopiedData::Copied(contents),
            None => CopiedData::Nothing,
        };
        let staged = upper.stage_copy(&Copied { data, ..copied })?;
        let opened = match is_filled || node.kind != Kind::File {
            true => Ok(None),
            false => upper.open_staged(&staged).map(Some),
        };
        let opened = opened.inspect_err(|_| upper.discard(&staged))?;
        self.install_staged(upper, node, (&staged, Data::Here)).map(|()| opened)
    }

    /// Installs a copy. Where its data is stands in the node before it can be found by its name, or by another of its group,
    /// and stays there where it can't be installed: of a node of the lower it says nothing.
    fn install_staged(
        &self,
        upper: &Upper,
        node: &Shared,
        (staged, data): (&Staged, Data),
    ) -> Result<(), UnionError> {
        *node.data.lock() = data;
        self.install_copy(upper, node, staged).inspect_err(|_| upper.discard(staged))
    }

    /// Makes a copy whose data stays in the lower, or is brought up and need not be on the disk; `None` where it is to be.
    fn stage_marked(
        &self,
        upper: &Upper,
        lower: &LowerNode,
        extent: Extent,
    ) -> Result<Option<(Staged, Data)>, UnionError> {
        let copied = self.copied(lower)?;
        let Some(path) = self.left_at(upper, lower, &copied)? else { return Ok(None) };
        let size = copied.attr.size;
        let is_brought = extent == Extent::Blocks && upper.brings_whole(size);
        let contents = is_brought.then(|| self.lower.open(lower).map(LowerContents)).transpose()?;
        let (data, becomes) = match &contents {
            Some(contents) => (CopiedData::Brought(contents, path), Data::Brought(size)),
            None => {
                let beneath =
                    Beneath { file: lower.clone(), found_by: FoundBy::Marks, below: None };
                (CopiedData::Left(path), Data::Below(beneath))
            }
        };
        match upper.stage_copy(&Copied { data, ..copied }) {
            // Beside the attributes that it has there is no room for the marks.
            Err(error) if is_for_want_of_room(error.errno()) => Ok(None),
            staged => Ok(Some((staged?, becomes))),
        }
    }

    /// Where the data of a lower file is found that stays there when the rest is copied up: its origin alone leads to that of
    /// an image. `None` where the copy is to have it.
    fn left_at(
        &self,
        upper: &Upper,
        lower: &LowerNode,
        copied: &Copied<'_>,
    ) -> Result<Option<Option<Vec<Name>>>, UnionError> {
        let is_capable = copied.xattrs.iter().any(|(name, _)| **name == *CAPABILITY);
        if !upper.leaves_data(&copied.attr) || is_capable || copied.origin.is_none() {
            return Ok(None);
        }
        match self.lower {
            Lower::Image(_) => Ok(Some(None)),
            Lower::Dirs(_) => {
                let path = self.lower.path(lower)?;
                Ok(Upper::is_written_redirect(&path).then_some(Some(path)))
            }
        }
    }

    fn install_copy(
        &self,
        upper: &Upper,
        node: &Shared,
        staged: &Staged,
    ) -> Result<(), UnionError> {
        let _topology = self.topology.read();
        loop {
            let Some((parent, name)) = node.one_name() else {
                return self.install_without_name(upper, node, staged);
            };
            let dir = self.dir_node(parent)?;
            let above = self.ensure_upper_dir(&dir)?;
            let _names = dir.dir.write();
            // The name was read before the lock was had.
            if node.one_name().as_ref() != Some(&(parent, name.clone())) {
                continue;
            }
            let _count = node.count.lock();
            if let Some(group) = &node.group {
                let links = self.attr_of(node)?.nlink;
                upper.enter_copy(staged, group, links)?;
            }
            return keeping_times(&above, || {
                Ok(upper.install(staged, &above, name.as_bytes(), Cover::Nothing)?)
            });
        }
    }

    /// Installs the copy of what lost its last name while it was open. A group may have other names, which are not known.
    fn install_without_name(
        &self,
        upper: &Upper,
        node: &Node,
        staged: &Staged,
    ) -> Result<(), UnionError> {
        if let Some(group) = &node.group {
            let _count = node.count.lock();
            upper.enter_copy(staged, group, self.attr_of(node)?.nlink)?;
            upper.discard(staged);
            // From here on the entry of the index says how it is.
            node.place.lock().gone = None;
            return Ok(());
        }
        let orphan = upper.orphan_name();
        upper.orphan_staged(staged, &orphan)?;
        let mut place = node.place.lock();
        place.orphan = Some(orphan);
        place.gone = None;
        Ok(())
    }

    /// What a copy of `lower` is made of, without data.
    pub(super) fn copied(&self, lower: &LowerNode) -> Result<Copied<'static>, UnionError> {
        let attr = self.lower.attr(lower)?;
        let target = match attr.kind {
            Kind::Symlink => self.lower.read_link(lower)?,
            _ => Box::default(),
        };
        let (xattrs, origin) = (self.lower.xattrs(lower)?, self.lower.origin(lower)?);
        Ok(Copied { attr, xattrs, origin, target, data: CopiedData::Nothing })
    }
}

/// Whether file systems say so that an attribute does not fit beside the others of an object.
pub(super) fn is_for_want_of_room(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::TOOBIG | Errno::RANGE | Errno::XDEV)
}

/// Whether a copy of such an object is on the disk before it is installed: a file's data, and what stands for what can't be.
fn is_synced(upper: &Upper, attr: &Attr) -> bool {
    match attr.kind {
        Kind::File => attr.size > 0,
        Kind::Directory => false,
        Kind::Symlink | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Socket => {
            upper.records_owners()
        }
    }
}

/// Whether a change of a lower file may leave its data there.
fn may_be_left(upper: &Upper, touches: Touches) -> bool {
    match touches {
        Touches::Whole => false,
        Touches::Contents => upper.writes_in_part(),
        Touches::Names | Touches::Attributes => true,
    }
}

/// Makes a change in a directory of the upper that users must not see in its times.
pub(super) fn keeping_times<T>(
    dir: &OwnedFd,
    change: impl FnOnce() -> Result<T, UnionError>,
) -> Result<T, UnionError> {
    let deed = "keep the times of a directory";
    let told = |source| UnionError::from(UpperError::Call { deed, source });
    let before = Attr::of_stat(&file::stat(dir).map_err(told)?);
    let value = change()?;
    // The change stands: to answer an error would deny it.
    if let Err(error) = change::set_times_at(dir, ".", at(before.atime), at(before.mtime)) {
        tracing::warn!("a directory shows the time of a copy-up: {error}");
    }
    Ok(value)
}

fn at(time: Timestamp) -> SetTime {
    SetTime::At(time.secs, time.nanos)
}

/// A lower file as the contents of its copy.
pub(super) struct LowerContents(pub LowerFile);

impl Contents for LowerContents {
    fn fill(&self, to: &OwnedFd) -> Result<(), SysError> {
        let Some(from) = self.0.fd() else { return self.copy(to) };
        let before = file::stat(from)?;
        if !change::reflink(to, from)? {
            self.copy(to)?;
        }
        // Plain directories may be changed by others: a copy of half the one and half the other is neither.
        let after = file::stat(from)?;
        let state = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if state(&before) != state(&after) {
            let what = "the lower file changed while it was copied";
            return Err(SysError::new("copy up", what, Errno::STALE));
        }
        Ok(())
    }
}

impl LowerContents {
    fn copy(&self, to: &OwnedFd) -> Result<(), SysError> {
        self.copy_stretch(to, 0, self.0.size())
    }

    /// Copies the data from one offset to another.
    pub(super) fn copy_stretch(&self, to: &OwnedFd, from: u64, end: u64) -> Result<(), SysError> {
        let mut at = from;
        while let Some(start) = self.0.next_data(at).map_err(|error| error.into_call())? {
            if start >= end {
                break;
            }
            at = self.0.next_hole(start).map_err(|error| error.into_call())?.min(end);
            self.range(to, start, at)?;
        }
        Ok(())
    }

    /// Copies one stretch of data: within the kernel where it can, else through memory.
    fn range(&self, to: &OwnedFd, mut start: u64, end: u64) -> Result<(), SysError> {
        const PIECE_BYTES: usize = 1024 * 1024;
        while let (Some(from), true) = (self.0.fd(), start < end) {
            let len = usize::try_from(end - start).unwrap_or(usize::MAX).min(PIECE_BYTES);
            match change::copy_range(from, start, to, start, len) {
                Ok(0) => break,
                Ok(done) => start += done as u64,
                Err(error)
                    if matches!(
                        error.errno(),
                        Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let mut buf = vec![0; PIECE_BYTES.min(usize::try_from(end - start).unwrap_or(PIECE_BYTES))];
        while start < end {
            let len = buf.len().min(usize::try_from(end - start).unwrap_or(usize::MAX));
            let done = self.0.read_at(&mut buf[..len], start).map_err(|error| error.into_call())?;
            if done == 0 {
                return Err(SysError::of_deed(
                    "copy up",
                    "the lower file is shorter than its size says",
                ));
            }
            file::write_all_at(to, &buf[..done], start)?;
            start += done as u64;
        }
        Ok(())
    }
}
