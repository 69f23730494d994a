//! The changes as a layer's archive, in the form of the OCI image specification.

use std::collections::HashMap;
use std::io::Write;

use super::error::ChangesError;
use super::object::{Identity, Object};
use super::walk::{Covers, Hidden, Met, Sides, Visit, walk};
use crate::lower::LowerNode;
use crate::store::archive::{
    ArchiveWriter, Entry, EntryKind, EntryPath, Name, Timestamp, Xattr, is_mark_of_a_union,
};
use crate::tree::{Attr, Kind};

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// What a name must not begin with, and what hides all of a directory.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The label that one machine's policy gave a file: it means nothing on another.
const HOST_LABEL: &[u8] = b"security.selinux";

/// What an archive can't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A socket is nothing without the process that listens at it.
    Socket(EntryPath),
    /// An attribute whose name has a `=`, where its value would begin in an archive.
    Attribute(EntryPath, Box<[u8]>),
    /// Attributes that a union file system would take for its own marks: the first of them, and how many there are.
    Marks(EntryPath, Box<[u8]>, u64),
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LeftOut::Socket(path) => write!(f, "`/{path}` is a socket, which no layer holds"),
            LeftOut::Attribute(path, name) => write!(
                f,
                "`/{path}` has the attribute `{}`, whose name no layer can hold",
                name.escape_ascii()
            ),
            LeftOut::Marks(path, name, len) => {
                let name = name.escape_ascii();
                write!(
                    f,
                    "`/{path}` has the attribute `{name}`, a mark to whoever unpacks layers onto a union file system"
                )?;
                if *len > 1 { write!(f, "; {} more like it", len - 1) } else { Ok(()) }
            }
        }
    }
}

/// Writes the layer. Answers what it does not hold.
pub fn write_layer(sides: &Sides, out: impl Write) -> Result<Vec<LeftOut>, ChangesError> {
    let mut layer = Layer {
        archive: ArchiveWriter::new(out),
        links: HashMap::new(),
        left_out: Vec::new(),
        marks: None,
        buf: vec![0; PIECE_BYTES],
    };
    walk(sides, &mut layer)?;
    layer.archive.finish()?.flush()?;
    layer.left_out.extend(layer.marks.map(|(path, name, len)| LeftOut::Marks(path, name, len)));
    Ok(layer.left_out)
}

struct Layer<W: Write> {
    archive: ArchiveWriter<W>,
    /// The first names of files that may have others.
    links: HashMap<Identity, EntryPath>,
    left_out: Vec<LeftOut>,
    /// The first attribute that would be a mark to others, and how many there are.
    marks: Option<(EntryPath, Box<[u8]>, u64)>,
    buf: Vec<u8>,
}

impl<W: Write> Visit for Layer<W> {
    fn met(&mut self, sides: &Sides, met: Met<'_>) -> Result<(), ChangesError> {
        match met {
            Met::Gone { path, by: Hidden::Whiteout } => self.whiteout(path),
            Met::Gone { by: Hidden::Opaque, .. } => Ok(()),
            Met::Object { path: [], object, was, covers } => {
                self.root(sides, object, was)?;
                if covers == Covers::All { self.opaque(&[]) } else { Ok(()) }
            }
            // A layer holds none; what the image has at its name is hidden all the same.
            Met::Object { path, object, was, .. } if object.attr().kind == Kind::Socket => {
                self.left_out.push(LeftOut::Socket(EntryPath::from_components(path)));
                if was.is_some() { self.whiteout(path) } else { Ok(()) }
            }
            Met::Object { path, object, covers, .. } => {
                let is_reserved = |name: &Name| name.as_bytes().starts_with(WHITEOUT);
                if path.last().is_some_and(is_reserved) {
                    return Err(ChangesError::ReservedName(EntryPath::from_components(path)));
                }
                self.object(sides, path, object)?;
                if covers == Covers::All { self.opaque(path) } else { Ok(()) }
            }
        }
    }
}

impl<W: Write> Layer<W> {
    /// The root has an entry where it is not as the image has it.
    fn root(
        &mut self,
        sides: &Sides,
        object: &Object<'_>,
        was: Option<&LowerNode>,
    ) -> Result<(), ChangesError> {
        let Some(was) = was else { return Ok(()) };
        let path = EntryPath::default();
        let lower = |source| ChangesError::Lower { path: EntryPath::default(), source };
        let attr = sides.lower.attr(was).map_err(lower)?;
        let before = Object::Lower(was, attr);
        let said = |attr: &Attr| (attr.permissions, attr.uid, attr.gid, attr.mtime);
        let xattrs = object.xattrs(sides, &[])?;
        if said(object.attr()) == said(&attr) && xattrs == before.xattrs(sides, &[])? {
            return Ok(());
        }
        let entry = self.entry(sides, (path, &[]), object, EntryKind::Directory)?;
        Ok(self.archive.entry(&entry)?)
    }

    fn object(
        &mut self,
        sides: &Sides,
        path: &[Name],
        object: &Object<'_>,
    ) -> Result<(), ChangesError> {
        let at = EntryPath::from_components(path);
        let attr = object.attr();
        let (major, minor) = attr.rdev;
        let kind = match attr.kind {
            Kind::Socket => return Ok(()),
            Kind::Directory => EntryKind::Directory,
            Kind::File => EntryKind::File,
            Kind::Symlink => EntryKind::Symlink { target: object.read_link(sides, path)? },
            Kind::CharDevice => EntryKind::CharDevice { major, minor },
            Kind::BlockDevice => EntryKind::BlockDevice { major, minor },
            Kind::Fifo => EntryKind::Fifo,
        };
        if kind != EntryKind::Directory
            && let Some(identity) = object.identity(sides)
        {
            if let Some(first) = self.links.get(&identity) {
                let kind = EntryKind::Hardlink { target: first.clone() };
                let entry = Entry { size: 0, xattrs: Vec::new(), ..plain(at, attr, kind) };
                return Ok(self.archive.entry(&entry)?);
            }
            self.links.insert(identity, at.clone());
        }
        let is_file = kind == EntryKind::File;
        let entry = self.entry(sides, (at, path), object, kind)?;
        self.archive.entry(&entry)?;
        if is_file { self.contents(sides, path, object) } else { Ok(()) }
    }

    fn contents(
        &mut self,
        sides: &Sides,
        path: &[Name],
        object: &Object<'_>,
    ) -> Result<(), ChangesError> {
        let size = object.attr().size;
        if size == 0 {
            return Ok(());
        }
        let contents = object.open(sides, path)?;
        let mut done = 0;
        while done < size {
            let most = usize::try_from(size - done).unwrap_or(usize::MAX).min(self.buf.len());
            let len = contents.read_at(&mut self.buf[..most], done, path)?;
            if len == 0 {
                return Err(ChangesError::Changed(EntryPath::from_components(path)));
            }
            self.archive.data(&self.buf[..len])?;
            done += len as u64;
        }
        contents.expect_unchanged(object.attr(), path)
    }

    fn entry(
        &mut self,
        sides: &Sides,
        (at, path): (EntryPath, &[Name]),
        object: &Object<'_>,
        kind: EntryKind,
    ) -> Result<Entry, ChangesError> {
        let mut xattrs = Vec::new();
        for (name, value) in object.xattrs(sides, path)? {
            if is_mark_of_a_union(&name) {
                let (_, _, len) = self.marks.get_or_insert_with(|| (at.clone(), name, 0));
                *len += 1;
            } else if name.contains(&b'=') {
                self.left_out.push(LeftOut::Attribute(at.clone(), name));
            } else if &*name != HOST_LABEL {
                xattrs.push(Xattr { name, value });
            }
        }
        Ok(Entry { xattrs, ..plain(at, object.attr(), kind) })
    }

    fn whiteout(&mut self, path: &[Name]) -> Result<(), ChangesError> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        self.mark(path, parents, &[WHITEOUT, name.as_bytes()].concat())
    }

    fn opaque(&mut self, path: &[Name]) -> Result<(), ChangesError> {
        self.mark(path, path, OPAQUE)
    }

    /// An empty file whose name says something.
    fn mark(&mut self, path: &[Name], dir: &[Name], name: &[u8]) -> Result<(), ChangesError> {
        let long = |_| ChangesError::LongName(EntryPath::from_components(path));
        let mut components = dir.to_vec();
        components.push(Name::new(name).map_err(long)?);
        let entry = Entry {
            path: EntryPath::from_components(&components),
            kind: EntryKind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            size: 0,
            xattrs: Vec::new(),
        };
        Ok(self.archive.entry(&entry)?)
    }
}

/// An entry without attributes.
fn plain(path: EntryPath, attr: &Attr, kind: EntryKind) -> Entry {
    Entry {
        size: if kind == EntryKind::File { attr.size } else { 0 },
        path,
        kind,
        mode: attr.permissions,
        uid: attr.uid,
        gid: attr.gid,
        mtime: attr.mtime,
        xattrs: Vec::new(),
    }
}
