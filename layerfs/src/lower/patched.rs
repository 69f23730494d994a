//! A lower file under another that holds some of its blocks.

use super::file::LowerFile;
use crate::sys::{BorrowedFd, Errno, SysError, file};

/// Two files as one: where the upper one has a hole, the data is that of the lower, up to a bound.
#[derive(Debug)]
pub struct Patched<'a> {
    over: BorrowedFd<'a>,
    under: &'a LowerFile,
    below: u64,
    /// Stretches of `over` that have room on the disk and were never written: holes, though they look like data once they were read.
    unwritten: &'a [(u64, u64)],
}

impl<'a> Patched<'a> {
    /// `below` bytes from the start may be the lower's; the size is that of `over`.
    pub fn new(over: BorrowedFd<'a>, under: &'a LowerFile, below: u64) -> Self {
        Patched { over, under, below, unwritten: &[] }
    }

    /// The same, of an upper file that has such stretches, in order.
    pub fn of_unwritten(self, unwritten: &'a [(u64, u64)]) -> Self {
        Patched { unwritten, ..self }
    }

    /// The next offset at or after `at` that holds data of `over`.
    fn own_data(&self, mut at: u64) -> Result<Option<u64>, SysError> {
        loop {
            let Some(own) = file::seek_data(self.over, at)? else { return Ok(None) };
            match self.unwritten.iter().find(|(start, end)| (*start..*end).contains(&own)) {
                Some((_, end)) => at = *end,
                None => return Ok(Some(own)),
            }
        }
    }

    /// The next offset at or after `at` that lies in a hole of `over`.
    fn own_hole(&self, at: u64) -> Result<u64, SysError> {
        let hole = file::seek_hole(self.over, at)?;
        let before = self.unwritten.iter().find(|(_, end)| *end > at);
        Ok(before.map_or(hole, |(start, _)| hole.min((*start).max(at))))
    }

    /// Reads at `offset`; fewer bytes than asked for only at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, SysError> {
        let size = u64::try_from(file::stat(self.over)?.st_size).unwrap_or(0);
        let end = offset.saturating_add(buf.len() as u64).min(size);
        let mut at = offset;
        while at < end {
            let own = self.own_data(at)?.map_or(end, |own| own.min(end));
            if at < own {
                let part = &mut buf[index(at - offset)..index(own - offset)];
                self.read_hole(part, at)?;
                at = own;
                continue;
            }
            let until = self.own_hole(at)?.min(end);
            let part = &mut buf[index(at - offset)..index(until - offset)];
            let len = file::read_at(self.over, part, at)?;
            if len == 0 {
                break; // it was cut short meanwhile
            }
            at += len as u64;
        }
        Ok(index(at.saturating_sub(offset)))
    }

    /// What a hole of the upper file shows: the lower's data, and zeros behind it.
    fn read_hole(&self, part: &mut [u8], at: u64) -> Result<(), SysError> {
        let of_lower = index(self.below.saturating_sub(at)).min(part.len());
        let (of_lower, zeros) = part.split_at_mut(of_lower);
        read_all_at(self.under, of_lower, at)?;
        zeros.fill(0);
        Ok(())
    }

    /// The next offset at or after `offset` that holds data; `None` where only a hole, or nothing, is left.
    pub fn next_data(&self, offset: u64) -> Result<Option<u64>, SysError> {
        let own = self.own_data(offset)?;
        let under = self.next_under(offset)?;
        Ok([own, under].into_iter().flatten().min())
    }

    fn next_under(&self, offset: u64) -> Result<Option<u64>, SysError> {
        if offset >= self.below {
            return Ok(None);
        }
        let next = self.under.next_data(offset).map_err(|error| error.into_call())?;
        Ok(next.filter(|next| *next < self.below))
    }

    /// The next offset at or after `offset` that lies in a hole; the file's end counts as one, and behind it is an error.
    pub fn next_hole(&self, offset: u64) -> Result<u64, SysError> {
        let mut at = self.own_hole(offset)?;
        while self.next_under(at)? == Some(at) {
            let until = self.under.next_hole(at).map_err(|error| error.into_call())?;
            let until = until.min(self.below);
            at = match self.own_data(at)? {
                Some(own) if own <= until => self.own_hole(own)?,
                _ => until,
            };
        }
        Ok(at)
    }
}

/// Reads exactly so much of a lower file: one that became shorter is an error, and not zeros.
fn read_all_at(lower: &LowerFile, buf: &mut [u8], offset: u64) -> Result<(), SysError> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset.saturating_add(done as u64);
        let len = lower.read_at(&mut buf[done..], at).map_err(|error| error.into_call())?;
        if len == 0 {
            let what = "the lower file is shorter than it was";
            return Err(SysError::new("read", what, Errno::STALE));
        }
        done += len;
    }
    Ok(())
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
