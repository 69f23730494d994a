//! From a user's word to a writable layer and what is below it: a container, a mountpoint, an upper directory.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::changes::Sides;
use layerfs_driver::lower::{ImageTree, Lower};
use layerfs_driver::store::container::{Container, Left, State, Writable};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use layerfs_driver::store::{Store, StoreError, chain_id};
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::mount::{self, Mounted};
use layerfs_driver::sys::{dir, host};
use layerfs_driver::tree::Origin;
use layerfs_driver::upper::UpperReader;

use super::directories::{self, Beside};
use crate::mount::dead;
use crate::session::Session;

/// What a word was found to mean.
pub struct What {
    /// How messages call it.
    pub called: String,
    /// Its sides.
    pub sides: Sides,
    /// Diff ids of the image's layers, lowest first.
    pub layers: Vec<Digest>,
    /// The image below; `None` where the upper directory was made over layers that no image has, or several.
    pub image: Option<Digest>,
    /// The words of its first process.
    pub command: Vec<String>,
    /// The container, where it is one.
    pub container: Option<Container>,
    /// The root of what is mounted, where it is a mount.
    pub mounted: Option<OwnedFd>,
}

/// Finds it. A word with a slash, or with a dot in front, is a path; any other is a container before it is a path.
/// An upper directory that does not say over which image it was made is one of `image`.
pub fn find(
    store: &Store,
    word: &OsStr,
    (work, image): (Option<&Path>, Option<&str>),
) -> Result<What> {
    // Each directory on the way down is held.
    host::raise_limits()?;
    if let Some(text) = word.to_str().filter(|text| !is_path(text)) {
        match store.find_container(text) {
            Ok(container) => return of_container(store, container),
            Err(StoreError::NoSuchContainer(_)) if is_there(Path::new(word)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    of_path(store, Path::new(word), (work, image))
}

/// The same where plain directories may be below it, too: these need no store.
pub fn find_over_any(
    session: &Session,
    word: &OsStr,
    (beside, image): (Beside<'_>, Option<&str>),
) -> Result<What> {
    host::raise_limits()?;
    let store = session.store();
    let is_container = |text: &str| match &store {
        Ok(store) => !matches!(store.find_container(text), Err(StoreError::NoSuchContainer(_))),
        Err(_) => false,
    };
    if !word.to_str().is_some_and(|text| !is_path(text) && is_container(text))
        && let Some(found) = directories::find(Path::new(word), beside)?
    {
        return Ok(found);
    }
    match store {
        Ok(store) => find(&store, word, (beside.work, image)),
        // Where there is a mount, it is what was meant, and not a store.
        Err(error) => {
            let path = Path::new(word);
            if let Ok(listed) = file::open_place(path).and_then(dir::path_of) {
                refuse_mount(path, &listed, || Ok(None))?;
            }
            Err(error)
        }
    }
}

/// The image that `--image` means, which must have the layers that were found.
pub fn expect_image(store: &Store, words: &str, found: &What) -> Result<Image> {
    let image = store.find(words)?.image;
    let own: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
    if own != found.layers {
        bail!("--image `{words}`: {} was made over other layers", found.called);
    }
    Ok(image)
}

fn is_path(word: &str) -> bool {
    word.contains('/') || word.starts_with('.')
}

fn is_there(path: &Path) -> bool {
    file::open_place(path).is_ok()
}

fn of_container(store: &Store, container: Container) -> Result<What> {
    let called = format!("container `{}`", container.name);
    let writable = store.writable_of(&container)?;
    let mut what = of_writable(store, writable, called)?;
    what.sides.places = places_of(store, &container)?;
    Ok(What { container: Some(container), ..what })
}

/// What the runtime makes in a container to mount on: the file systems of the kernel's, and files that are the container's own,
/// which lie aside. Of these an image may have its own, and a container without a network its own `resolv.conf`.
fn places_of(store: &Store, container: &Container) -> Result<Vec<Box<[u8]>>> {
    let own = store.path().join("containers").join(container.id.hex()).join("etc");
    let files = match dir::open_path(own.as_path()) {
        Err(error) if error.is_absent() => Vec::new(),
        own => dir::list(&own?)?,
    };
    let files = files.iter().map(|file| [b"etc/", &*file.name].concat().into());
    Ok(["dev", "proc", "sys"].map(|name| name.as_bytes().into()).into_iter().chain(files).collect())
}

fn of_path(
    store: &Store,
    path: &Path,
    (work, image): (Option<&Path>, Option<&str>),
) -> Result<What> {
    let shown = || format!("`{}`", path.display());
    // What is mounted there is not asked: it may not answer.
    let place = file::open_place(path).with_context(shown)?;
    let listed = dir::path_of(&place).with_context(shown)?;
    if let Some(writable) = store.writable_at(&listed)? {
        let called = format!("the mount at {}", shown());
        let what = of_writable(store, writable, called)?;
        let root = dir::open_path(path).with_context(shown)?;
        return Ok(What { mounted: Some(root), ..what });
    }
    refuse_mount(path, &listed, || store.left_by_mount_at(&listed))?;
    of_upper(store, (path, shown()), (work, image))
}

/// A mount of ours of which nothing else is known than what the store may have of one that died.
fn refuse_mount(
    path: &Path,
    listed: &Path,
    left: impl FnOnce() -> Result<Option<Left>, StoreError>,
) -> Result<()> {
    let is_mount = |mount: &Mounted| *mount.at == *listed.as_os_str().as_bytes();
    if mount::mounted("fuse.layerfs")?.iter().any(is_mount) {
        if dead::is_dead(listed) {
            bail!("`{}`: {}; {}", path.display(), dead::cure(path), saved(left()?));
        }
        bail!(
            "`{}` is a mount of directories, or of an image of another store, so no image of this one is below it: `layerfs import` \
             makes an image of all that it shows; `layerfs diff` of a mount in the foreground, or of another user's, wants \
             its upper directory and --lowerdir",
            path.display()
        );
    }
    Ok(())
}

/// Where what was changed in a mount that died is to be had.
fn saved(left: Option<Left>) -> String {
    match left {
        Some(Left::Throwaway(upper)) => format!(
            "what was changed in a mount of an image lies in `{}` until the next mount or `layerfs gc`, and `layerfs commit` \
             and `diff` take that directory",
            upper.display()
        ),
        Some(Left::Own(upper)) => format!(
            "what was changed in it lies in its upper directory `{}`, which `layerfs commit` and `diff` take",
            upper.display()
        ),
        None => "what was changed in it lies in its upper directory, which `layerfs diff` takes, with --lowerdir where it was \
                 mounted over plain directories"
            .to_owned(),
    }
}

fn of_upper(
    store: &Store,
    (path, shown): (&Path, String),
    (work, image): (Option<&Path>, Option<&str>),
) -> Result<What> {
    let upper = dir::open_path(path).with_context(|| shown.clone())?;
    let work = match work {
        Some(work) => Some(
            dir::open_path(work).with_context(|| format!("work directory `{}`", work.display()))?,
        ),
        None => work_beside(path)?,
    };
    let deed = || format!("upper directory {shown}");
    let mut reader = UpperReader::open(upper, work.as_ref()).with_context(deed)?;
    if image.is_some() {
        reader.find_marks().with_context(deed)?;
    }
    let chain = match (reader.made_over(), image) {
        (Some(Origin::Image { chain_id, .. }), _) => *chain_id,
        (None, Some(words)) => store
            .find(words)?
            .image
            .chain_id()
            .with_context(|| format!("image `{words}` has no layers"))?,
        (Some(Origin::Directory { .. }), _) | (None, None) => bail!(
            "{shown} is neither a container, nor the mountpoint of an image of this store, nor the upper directory of one: \
             `layerfs mount` and `layerfs ps -a` list those; of one of plain directories `layerfs diff` tells what was changed in \
             it while it is mounted, or with --lowerdir; one that was made plain does not say which image is its own: --image says it"
        ),
    };
    let images: Vec<Image> =
        store.images()?.into_iter().filter(|image| image.chain_id() == Some(chain)).collect();
    let tree = ImageTree::open(store, &chain);
    if images.is_empty() && matches!(tree, Err(StoreError::LayerMissing(_))) {
        bail!(
            "upper directory {shown} was made over an image that this store does not have: name the image's store with --root, or \
             import the image (its layers have the chain id {})",
            chain.short()
        );
    }
    let layers = images.first().map(|image| image.layers.iter().map(|layer| layer.diff_id));
    Ok(What {
        called: format!("the upper directory {shown}"),
        sides: Sides { lower: Lower::Image(tree?), upper: reader, places: Vec::new() },
        layers: layers.map(Iterator::collect).unwrap_or_default(),
        image: match images.as_slice() {
            [only] => Some(only.id),
            _ => None,
        },
        command: Vec::new(),
        container: None,
        mounted: None,
    })
}

/// The work directory that `layerfs mount --upper` makes where none is said.
pub(super) fn work_beside(upper: &Path) -> Result<Option<OwnedFd>> {
    let mut name = dir::path_of(dir::open_path(upper)?)?.into_os_string();
    name.push(".work");
    match dir::open_path(PathBuf::from(name).as_path()) {
        Err(error) if error.is_absent() => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

fn of_writable(store: &Store, writable: Writable, called: String) -> Result<What> {
    let chain = chain_id(writable.layers.iter());
    let chain = chain.with_context(|| format!("the image of {called} has no layers"))?;
    let upper = UpperReader::open(writable.upper, Some(&writable.work))
        .with_context(|| format!("upper directory of {called}"))?;
    if let Some(Origin::Image { chain_id, .. }) = upper.made_over()
        && *chain_id != chain
    {
        bail!("the upper directory of {called} was made over another image");
    }
    Ok(What {
        called,
        sides: Sides {
            lower: Lower::Image(ImageTree::open(store, &chain)?),
            upper,
            places: Vec::new(),
        },
        layers: writable.layers,
        image: Some(writable.image),
        command: writable.command,
        container: None,
        mounted: None,
    })
}

/// Has what was written through mappings, and is only in the kernel's memory, written to the upper.
pub fn settle(what: &What) {
    let root = match (&what.mounted, what.container.as_ref().map(|container| &container.state)) {
        (Some(root), _) => dir::open(root, ".", Symlinks::Stop),
        (None, Some(State::Running { pid, .. })) => {
            dir::open_path(format!("/proc/{pid}/root").as_str())
        }
        (None, _) => return,
    };
    if let Err(error) = root.and_then(file::sync_filesystem) {
        tracing::debug!("what {} has not written yet is left out: {error}", what.called);
    }
}
