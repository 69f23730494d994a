//! Owns what one layer says of one name: the object, its marks, or that the name is hidden.

use super::hidden::Hidden;
use super::layer::{Layer, refused};
use super::open::{DirStack, StackOptions};
use super::trail::Trail;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::sys::dir::{self, Listed};
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::{Errno, OwnedFd, SysError, beneath, xattr};
use crate::tree::wh_names::{FUSE_OVERLAYFS_OPAQUE, WH_OPAQUE, wh_name};
use crate::tree::{
    Attr, Kind, Mark, MarkSpace, Metacopy, Name, Opaque, Redirect, Redirects, WhNames,
};

/// What one layer says of a name.
pub(super) enum Said {
    /// Nothing.
    Absent,
    /// It is hidden, here and below.
    Whiteout,
    /// There it is.
    Object(Object),
}

/// An object of a layer, not yet its marks.
pub(super) struct Object {
    pub stat: Stat,
    pub kind: Kind,
    /// What is below is hidden by a `.wh.` name in it, or by a mark of fuse-overlayfs's.
    pub hides_below: bool,
    /// What is below under its own name is hidden by a `.wh.` name beside it.
    pub hides_namesake: bool,
}

/// A directory of a layer, open to look at names in it.
pub(super) struct Looking<'a> {
    pub options: &'a StackOptions,
    pub hidden: &'a Hidden,
    pub dir: OwnedFd,
    /// The way to the directory.
    pub trail: &'a Trail,
    pub may_hold_whiteouts: bool,
}

impl Looking<'_> {
    /// What the layer says of `name` here.
    pub(super) fn at(&self, name: &Name) -> Result<Said, LowerError> {
        let bytes = name.as_bytes();
        let reads_wh = self.options.wh_names == WhNames::Whiteouts;
        if self.options.wh_names.reserves(bytes) {
            return Ok(Said::Absent);
        }
        let Some(stat) = self.stat(bytes)? else {
            let hidden =
                reads_wh && self.has_wh_name(bytes)? || self.hides()?.as_ref() == Some(name);
            return Ok(if hidden { Said::Whiteout } else { Said::Absent });
        };
        let attr = Attr::of_stat(&stat);
        if attr.is_whiteout_device() || self.is_whiteout_by_mark(bytes, &attr)? {
            return Ok(Said::Whiteout);
        }
        let asked = reads_wh && attr.kind == Kind::Directory;
        let hides_below = asked && (self.holds_wh_opaque(bytes)? || self.has_other_mark(bytes)?);
        let hides_namesake = asked && self.has_wh_name(bytes)?;
        Ok(Said::Object(Object { stat, kind: attr.kind, hides_below, hides_namesake }))
    }

    /// All entries, whatever they say; the directory was opened for that.
    pub(super) fn list(&self) -> Result<Vec<Listed>, LowerError> {
        dir::list(&self.dir).map_err(|source| self.refused(source))
    }

    /// Whether an entry of that name and these attributes is a whiteout by its mark.
    pub(super) fn is_whiteout_by_mark(&self, name: &[u8], attr: &Attr) -> Result<bool, LowerError> {
        if !self.may_hold_whiteouts || attr.kind != Kind::File || attr.size != 0 {
            return Ok(false);
        }
        Ok(self.mark(name, Mark::Whiteout)?.is_some())
    }

    /// The name that a mark of the directory hides below: its rename was done, and its whiteout was not.
    pub(super) fn hides(&self) -> Result<Option<Name>, LowerError> {
        if !self.may_hold_whiteouts {
            return Ok(None);
        }
        let Some(value) = self.mark(b".", Mark::Hides)? else { return Ok(None) };
        let broken = |source| LowerError::Hides { path: self.trail.shown(), source };
        Name::new(&value).map(Some).map_err(broken)
    }

    /// What the `opaque` mark of a directory says.
    pub(super) fn opaque(&self, name: &Name) -> Result<Opaque, LowerError> {
        let value = self.mark(name.as_bytes(), Mark::Opaque)?;
        let broken = |source| LowerError::Opaque { path: self.shown(name), source };
        value.map_or(Ok(Opaque::No), |value| Opaque::parse(&value).map_err(broken))
    }

    /// Where the layers below have a directory, or a file's data.
    pub(super) fn redirect(&self, name: &Name) -> Result<Option<Redirect>, LowerError> {
        let Some(value) = self.mark(name.as_bytes(), Mark::Redirect)? else { return Ok(None) };
        self.expect_followed(name)?;
        let broken = |source| LowerError::Redirect { path: self.shown(name), source };
        Redirect::parse(&value).map(Some).map_err(broken)
    }

    /// Whether a file's data lies elsewhere.
    pub(super) fn has_data_below(&self, name: &Name) -> Result<bool, LowerError> {
        let Some(value) = self.mark(name.as_bytes(), Mark::Metacopy)? else { return Ok(false) };
        self.expect_followed(name)?;
        let broken = |source| LowerError::Metacopy { path: self.shown(name), source };
        match Metacopy::parse(&value).map_err(broken)? {
            Metacopy::Below => Ok(true),
            Metacopy::Unwritten | Metacopy::Partial(_) => {
                Err(LowerError::PartialFile(self.shown(name)))
            }
        }
    }

    /// The metadata of an entry; `None` where there is none of that name, none can be, or what there is is hidden.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, LowerError> {
        let shown = |stat: &Stat| !self.hidden.has(stat.st_dev, stat.st_ino);
        Ok(self.stat_of_any(name)?.filter(shown))
    }

    /// Whether a hidden directory stands under a name.
    pub(super) fn has_hidden(&self, name: &Name) -> Result<bool, LowerError> {
        let hidden = |stat: Stat| self.hidden.has(stat.st_dev, stat.st_ino);
        Ok(self.stat_of_any(name.as_bytes())?.is_some_and(hidden))
    }

    /// The same, of what is hidden, too.
    pub(super) fn stat_of_any(&self, name: &[u8]) -> Result<Option<Stat>, LowerError> {
        match file::stat_at(&self.dir, name, Symlinks::Stop) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_absent() || error.errno() == Errno::NAMETOOLONG => Ok(None),
            Err(source) => Err(self.refused(source)),
        }
    }

    fn expect_followed(&self, name: &Name) -> Result<(), LowerError> {
        match self.options.redirects {
            Redirects::Follow | Redirects::FollowOnly => Ok(()),
            Redirects::Refuse => Err(LowerError::RedirectRefused(self.shown(name))),
        }
    }

    fn has_wh_name(&self, name: &[u8]) -> Result<bool, LowerError> {
        self.stat(&wh_name(name)).map(|stat| stat.is_some())
    }

    /// Whether fuse-overlayfs made the directory opaque by a mark of its own.
    fn has_other_mark(&self, name: &[u8]) -> Result<bool, LowerError> {
        let value = xattr::get_at(&self.dir, name, FUSE_OVERLAYFS_OPAQUE)
            .map_err(|source| self.refused(source))?;
        Ok(value.as_deref() == Some(b"y"))
    }

    fn holds_wh_opaque(&self, name: &[u8]) -> Result<bool, LowerError> {
        match beneath::open(&self.dir, name, Purpose::Walk) {
            Ok(dir) => has(&dir, WH_OPAQUE).map_err(|source| self.refused(source)),
            // What another mount covers has no marks.
            Err(error) if error.errno() == Errno::XDEV => Ok(false),
            Err(source) => Err(self.refused(source)),
        }
    }

    fn mark(&self, name: &[u8], mark: Mark) -> Result<Option<Box<[u8]>>, LowerError> {
        match xattr::get_at(&self.dir, name, &mark.name(self.options.space)) {
            // A mark of users of an object that is not open for this process: taken for absent, as the kernel's overlayfs
            // takes it.
            Err(error)
                if error.errno() == Errno::ACCESS && self.options.space == MarkSpace::User =>
            {
                Ok(None)
            }
            got => got.map_err(|source| self.refused(source)),
        }
    }

    fn refused(&self, source: SysError) -> LowerError {
        refused(source, self.trail)
    }

    fn shown(&self, name: &Name) -> String {
        self.trail.then(name).shown()
    }
}

impl DirStack {
    /// Whether a name says something of others, and is itself never shown.
    pub(crate) fn is_reserved(&self, name: &Name) -> bool {
        self.options.wh_names.reserves(name.as_bytes())
    }
}

fn has(dir: &OwnedFd, name: &[u8]) -> Result<bool, SysError> {
    match file::stat_at(dir, name, Symlinks::Stop) {
        Ok(_) => Ok(true),
        Err(error) if error.is_absent() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a layer's root hides the layers below: only a `.wh.` name says so there.
pub(super) fn root_hides(layer: &Layer, options: &StackOptions) -> Result<bool, LowerError> {
    if options.wh_names == WhNames::Plain {
        return Ok(false);
    }
    let root = Trail::default();
    let dir = layer.open(&root, Purpose::Walk)?;
    has(&dir, WH_OPAQUE).map_err(|source| refused(source, &root))
}

/// Whether a layer's root may hold whiteouts by mark.
pub(super) fn root_may_hold_whiteouts(
    layer: &Layer,
    options: &StackOptions,
) -> Result<bool, LowerError> {
    let root = Trail::default();
    let dir = layer.open(&root, Purpose::Walk)?;
    let value = xattr::get_at(&dir, b".", &Mark::Opaque.name(options.space))
        .map_err(|source| refused(source, &root))?;
    let broken = |source| LowerError::Opaque { path: root.shown(), source };
    let opaque = value.map_or(Ok(Opaque::No), |value| Opaque::parse(&value).map_err(broken))?;
    Ok(opaque == Opaque::MayHoldWhiteouts)
}
