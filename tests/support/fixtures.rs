//! Real images for the tests, built once by `tests/support/fixture` and kept in the user's cache.
//!
//! An answer of `None` means that the image can't be had here and that the test has been told as skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rights;

/// What builds the images; a change of any of it makes a new cache directory.
const BUILDERS: [&[u8]; 4] = [
    include_bytes!("fixture"),
    include_bytes!("images.py"),
    include_bytes!("small.py"),
    include_bytes!("tarball.py"),
];

/// A Debian OCI layout of four layers, tag `debian`: a base, packages with one of each kind of file, directories removed and
/// re-created, and special files. More than 8,000 entries. Needs root, a Debian mirror at the first call, half a minute.
pub fn debian_layout() -> Option<PathBuf> {
    let ready =
        rights::have_root() && rights::have(&["mmdebstrap", "buildah", "skopeo", "python3"]);
    ready.then(|| fixture("debian", "layout"))?
}

/// A layout of three layers and a few dozen entries, tag `small`, byte for byte the same everywhere.
pub fn small_layout() -> Option<PathBuf> {
    written("small-layout", "layout")
}

/// The small image with one layer repeated, in the shape of `docker save` of Docker up to 24: the repeated layer is a link.
/// Written by our own script, as the two below: no Docker wrote them.
pub fn docker_save_legacy() -> Option<PathBuf> {
    written("docker-legacy", "image.tar")
}

/// The same in the shape of Docker from 25 on with its classic store: blobs, and every layer plain.
pub fn docker_save_25() -> Option<PathBuf> {
    written("docker-25", "image.tar")
}

/// The same in the shape of Docker with the containerd store: a nested index with an attestation, every layer gzipped.
pub fn docker_save_containerd() -> Option<PathBuf> {
    written("docker-containerd", "image.tar")
}

/// The small image as `podman save --format docker-archive` writes it.
pub fn podman_save() -> Option<PathBuf> {
    converted("podman-docker")
}

/// The small image as `podman save --format oci-archive` writes it.
pub fn podman_save_oci() -> Option<PathBuf> {
    converted("podman-oci")
}

/// The small image as `skopeo copy … docker-archive:` writes it, named `localhost/small:latest`.
pub fn skopeo_docker_archive() -> Option<PathBuf> {
    rights::have(&["skopeo", "python3"]).then(|| fixture("skopeo-docker", "image.tar"))?
}

/// The small image as `skopeo copy … oci-archive:` writes it, tag `small`.
pub fn skopeo_oci_archive() -> Option<PathBuf> {
    rights::have(&["skopeo", "python3"]).then(|| fixture("skopeo-oci", "image.tar"))?
}

fn written(name: &str, product: &str) -> Option<PathBuf> {
    rights::have(&["python3"]).then(|| fixture(name, product))?
}

fn converted(name: &str) -> Option<PathBuf> {
    let ready = rights::have_root() && rights::have(&["podman", "skopeo", "python3"]);
    ready.then(|| fixture(name, "image.tar"))?
}

fn fixture(name: &str, product: &str) -> Option<PathBuf> {
    let cache = cache();
    let path = cache.join(name).join(product);
    if path.exists() {
        return Some(path);
    }
    let mut build = Command::new(workspace().join("tests/support/fixture"));
    let output =
        build.arg(name).arg(&cache).output().unwrap_or_else(|e| panic!("start {build:?}: {e}"));
    if output.status.success() {
        return Some(path);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    rights::skip(&format!("image {name} can't be built here: {}", said.trim_end()));
    None
}

/// Where images are kept: one directory for each version of the builders.
pub fn cache() -> PathBuf {
    kept().join(version())
}

/// Where tests keep what takes long to make.
pub fn kept() -> PathBuf {
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    let base = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    base.join("layerfs-test")
}

/// FNV-1a over the builders: enough to tell two versions apart.
fn version() -> String {
    let bytes = BUILDERS.iter().flat_map(|b| b.iter());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// The top of the source tree, whichever package's tests this is compiled into.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.ancestors().find(|d| d.join("tests/support/fixture").exists());
    top.expect("the package lies in the workspace").to_path_buf()
}
