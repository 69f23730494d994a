//! Owns reading one node of a stack: attributes, links, extended attributes, contents, origin.

use super::layer::refused;
use super::node::{Identity, Place, StackNode};
use super::open::DirStack;
use super::records;
use super::trail::Trail;
use crate::lower::error::LowerError;
use crate::lower::file::LowerFile;
use crate::store::archive::Timestamp;
use crate::sys::beneath::{self, Purpose};
use crate::sys::file::{self, Symlinks};
use crate::sys::handle;
use crate::sys::xattr::{self, Pair};
use crate::sys::{Errno, SysError};
use crate::tree::{Attr, KernelHandle, Kind, Origin};

impl DirStack {
    /// The attributes as they are now. An object that is not the one that was looked up is an error.
    pub(crate) fn attr(&self, node: &StackNode) -> Result<Attr, LowerError> {
        let mut attr = self.attr_of(node.top())?;
        if node.kind == Kind::Directory {
            attr.nlink = 1;
        }
        if let [_, .., data] = &node.places[..]
            && node.kind == Kind::File
        {
            attr.blocks = self.attr_of(data)?.blocks;
        }
        Ok(attr)
    }

    fn attr_of(&self, place: &Place) -> Result<Attr, LowerError> {
        let (parent, name) = self.layers[place.layer].open_parent(&place.trail)?;
        let stat = file::stat_at(&parent, name, Symlinks::Stop);
        let stat = stat.map_err(|error| refused(error, &place.trail))?;
        if !Identity::of(&stat).is_object(&place.identity) {
            return Err(LowerError::Changed(place.trail.shown()));
        }
        self.recorded(place.layer, (&parent, name), (&stat, &place.trail))
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link(&self, node: &StackNode) -> Result<Box<[u8]>, LowerError> {
        if node.kind != Kind::Symlink {
            return Err(LowerError::NotALink);
        }
        self.beside(node.top(), records::read_link)
    }

    /// One extended attribute, by the name that users see.
    pub(crate) fn xattr(
        &self,
        node: &StackNode,
        name: &[u8],
    ) -> Result<Option<Box<[u8]>>, LowerError> {
        if self.options.wh_names.reserves_attribute(name) {
            return Ok(None);
        }
        let layer = node.top().layer;
        let stored = self.stored_name(layer, name);
        let value = self.beside(node.top(), |parent, file| xattr::get_at(parent, file, &stored))?;
        let shown = |value| {
            self.shown_value(layer, (name, value), || Ok(self.attr_of(node.top())?.permissions))
        };
        value.map(shown).transpose()
    }

    /// The extended attributes that users see, sorted by name.
    pub(crate) fn xattrs(&self, node: &StackNode) -> Result<Vec<Pair>, LowerError> {
        let stored = self.beside(node.top(), |parent, name| xattr::all_at(parent, name))?;
        let layer = node.top().layer;
        let mut shown: Vec<Pair> = Vec::with_capacity(stored.len());
        for (name, value) in stored {
            if self.options.wh_names.reserves_attribute(&name) {
                continue;
            }
            let Some(name) = self.shown_name(layer, &name) else { continue };
            let permissions = || Ok(self.attr_of(node.top())?.permissions);
            let value = self.shown_value(layer, (&name, value), permissions)?;
            shown.push((name.into_boxed_slice(), value));
        }
        shown.sort();
        Ok(shown)
    }

    /// Opens the data of a file, if it is to its change time the file that was looked up.
    pub(crate) fn open_file(&self, node: &StackNode) -> Result<LowerFile, LowerError> {
        if node.kind != Kind::File {
            return Err(LowerError::NotAFile);
        }
        // Whose metadata is elsewhere than its data, has the size there.
        let size = match &node.places[..] {
            [top, _, ..] => Some(self.attr_of(top)?.size),
            _ => None,
        };
        let place = node.places.last().unwrap_or(node.top());
        let (parent, name) = self.layers[place.layer].open_parent(&place.trail)?;
        let fd = beneath::open(&parent, name, Purpose::Read)
            .map_err(|error| refused(error, &place.trail))?;
        let stat = file::stat(&fd).map_err(|error| refused(error, &place.trail))?;
        if Identity::of(&stat) != place.identity {
            return Err(LowerError::Changed(place.trail.shown()));
        }
        let is_all = size.is_none() && self.layers[place.layer].is_shut;
        let found = Attr::of_stat(&stat);
        let file = LowerFile::real(
            fd,
            size.unwrap_or(found.size),
            format!("lower `{}`", place.trail.shown()),
        );
        Ok(if is_all { file.shut_in(found.permissions) } else { file })
    }

    /// What names the node over remounts.
    pub(crate) fn origin(&self, node: &StackNode) -> Result<Option<Origin>, LowerError> {
        let place = node.top();
        let birth = self.beside(place, |parent, name| file::birth_at(parent, name))?;
        Ok(Some(Origin::Directory {
            filesystem: self.filesystem_of(place, node.kind)?,
            ino: place.identity.inode,
            birth: timestamp(birth),
        }))
    }

    /// What names the object of a kernel's handle, and how many names it has; `None` where no layer has it.
    pub(crate) fn by_handle(
        &self,
        wanted: &KernelHandle,
    ) -> Result<Option<(Origin, u32)>, LowerError> {
        let root = Trail::default();
        let is_zero = wanted.filesystem == [0; 16];
        for layer in &self.layers {
            if !is_zero && layer.uuid != wanted.filesystem {
                continue;
            }
            let dir = layer.open(&root, Purpose::List)?;
            let opened = match handle::open(&dir, wanted.kind, &wanted.handle) {
                Err(error) if is_elsewhere(error.errno()) => continue,
                opened => opened.map_err(|error| refused(error, &root))?,
            };
            let stat = file::stat(&opened).map_err(|error| refused(error, &root))?;
            let birth = file::birth(&opened).map_err(|error| refused(error, &root))?;
            let origin = Origin::Directory {
                filesystem: layer
                    .part(&opened, stat.st_dev)
                    .map_err(|error| refused(error, &root))?,
                ino: stat.st_ino,
                birth: timestamp(birth),
            };
            return Ok(Some((origin, Attr::of_stat(&stat).nlink)));
        }
        Ok(None)
    }

    /// Makes a call on the name of an object below the directory that holds it.
    fn beside<T>(
        &self,
        place: &Place,
        call: impl FnOnce(&crate::sys::OwnedFd, &[u8]) -> Result<T, SysError>,
    ) -> Result<T, LowerError> {
        let (parent, name) = self.layers[place.layer].open_parent(&place.trail)?;
        call(&parent, name).map_err(|error| refused(error, &place.trail))
    }
}

/// What a file system says to a handle that is another's, that it does not give, or that nobody here may open.
fn is_elsewhere(errno: Errno) -> bool {
    let not_its = [Errno::STALE, Errno::NOENT, Errno::INVAL, Errno::OVERFLOW];
    let not_asked = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM, Errno::ACCESS];
    not_its.contains(&errno) || not_asked.contains(&errno)
}

/// Zeros where it is not known.
fn timestamp(birth: Option<(i64, u32)>) -> Timestamp {
    birth.map_or_else(Timestamp::default, |(secs, nanos)| Timestamp { secs, nanos })
}
