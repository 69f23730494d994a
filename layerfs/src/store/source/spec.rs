//! A user's words for a source: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::store::oci::shown;
use crate::store::reference::Reference;
use crate::store::words::{Colon, KNOWN, Transport, is_there, split_path};

use super::error::{SourceError, SourceFault};
use super::open::Pick;

/// Where images come from, and which of them is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// An OCI layout in a directory.
    OciDir {
        /// The directory.
        path: PathBuf,
        /// The tag or reference asked for.
        tag: Option<String>,
    },
    /// An OCI layout in a tar file, which may be packed.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// The tag or reference asked for.
        tag: Option<String>,
    },
    /// What `docker save`, `podman save` and `skopeo` write as docker archives; may be packed.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// The reference asked for.
        tag: Option<String>,
    },
}

/// Transports that other tools know and layerfs does not.
const FOREIGN: &[&str] =
    &["docker", "docker-daemon", "containers-storage", "dir", "sif", "ostree", "tarball", "atomic"];

impl SourceSpec {
    /// Reads the user's words. The file system is asked where path and tag part: the longest path that is there.
    pub fn parse(words: &OsStr) -> Result<Self, SourceError> {
        Self::split(words.as_bytes(), is_there)
            .map_err(|reason| SourceFault::ReadWords(reason).of(&shown_bytes(words.as_bytes())))
    }

    /// The path of the directory or file.
    pub fn path(&self) -> &Path {
        let (SourceSpec::OciDir { path, .. }
        | SourceSpec::OciArchive { path, .. }
        | SourceSpec::DockerArchive { path, .. }) = self;
        path
    }

    /// The one image that the words ask for.
    pub fn pick(&self) -> Pick<'_> {
        let (SourceSpec::OciDir { tag, .. }
        | SourceSpec::OciArchive { tag, .. }
        | SourceSpec::DockerArchive { tag, .. }) = self;
        Pick::One(tag.as_deref())
    }

    fn split(words: &[u8], is_there: impl Fn(&[u8]) -> bool) -> Result<Self, String> {
        let Some((transport, rest)) = Transport::split(words) else {
            return Err(no_transport(words, is_there));
        };
        let (path, tag) = split_path(rest, is_there, Colon::Last)?;
        Ok(match transport {
            Transport::OciDir => SourceSpec::OciDir { path, tag },
            Transport::OciArchive => SourceSpec::OciArchive { path, tag },
            Transport::DockerArchive => SourceSpec::DockerArchive { path, tag },
        })
    }
}

/// One line that says how an image comes from a registry, which layerfs does not speak to yet.
pub fn registry_advice(name: &Reference) -> String {
    let from = name.clone().with_default_tag();
    let candidates = from.normalized_candidates();
    // The last candidate of a short name is docker's own; any other name is its only candidate.
    let from = if from.domain().is_none() { candidates.last().unwrap_or(&from) } else { &from };
    let directory = from.path().rsplit('/').next().unwrap_or("image");
    let tag = from.tag().unwrap_or("latest");
    // A digest says more than a tag, and skopeo takes one of them only.
    let source = match from.digest() {
        Some(digest) => format!("{}@{digest}", from.repository()),
        None => from.as_given(),
    };
    format!(
        "registries are not spoken yet; run `skopeo copy docker://{source} oci:{directory}:{tag}`, then `layerfs pull oci:{directory}:{tag}`"
    )
}

fn no_transport(words: &[u8], is_there: impl Fn(&[u8]) -> bool) -> String {
    let text = String::from_utf8_lossy(words);
    let transport = text.split(':').next().unwrap_or_default();
    if let Some(Ok(name)) = text.strip_prefix("docker://").map(Reference::parse) {
        return registry_advice(&name);
    }
    if text.contains(':') && FOREIGN.contains(&transport) {
        let words = shown(&text);
        return format!(
            "`{transport}:` is not read; run `skopeo copy {words} oci:DIR:TAG`, then name {KNOWN}"
        );
    }
    if leads_somewhere(words, is_there) {
        let words = shown(&text);
        return format!(
            "`{words}` is a path without its kind; write oci:{words} for a layout, oci-archive:{words} or docker-archive:{words} for a file"
        );
    }
    match Reference::parse(&text) {
        Ok(name) => registry_advice(&name),
        Err(_) => format!("no image source; name {KNOWN}"),
    }
}

/// Whether there is something at the path of `PATH[:TAG]`.
fn leads_somewhere(words: &[u8], is_there: impl Fn(&[u8]) -> bool) -> bool {
    let before_tag = words.iter().rposition(|&byte| byte == b':').map(|colon| &words[..colon]);
    [Some(words), before_tag].into_iter().flatten().any(|path| !path.is_empty() && is_there(path))
}

/// Bytes of the user's as messages show them.
pub(super) fn shown_bytes(bytes: &[u8]) -> String {
    shown(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &str, there: &[&str]) -> Result<SourceSpec, String> {
        SourceSpec::split(words.as_bytes(), |path| there.iter().any(|one| one.as_bytes() == path))
    }

    #[test]
    fn path_and_tag_part_where_the_path_is() {
        let table: &[(&str, &[&str], &str, Option<&str>)] = &[
            ("oci:/x/debian", &["/x/debian"], "/x/debian", None),
            ("oci:/x/debian:12", &["/x/debian"], "/x/debian", Some("12")),
            ("oci:/x:y:12", &["/x:y"], "/x:y", Some("12")),
            ("oci:/x:y:12", &["/x:y", "/x"], "/x:y", Some("12")),
            ("oci:/nowhere:a:b", &[], "/nowhere:a", Some("b")),
            ("oci:/x:y", &["/x:y", "/x"], "/x:y", None),
            ("oci:/x:docker.io/a/b:1", &["/x"], "/x", Some("docker.io/a/b:1")),
            ("oci:/x:localhost:5000/a:1", &["/x"], "/x", Some("localhost:5000/a:1")),
            ("oci:/nowhere:12", &[], "/nowhere", Some("12")),
            ("oci:/nowhere", &[], "/nowhere", None),
        ];
        for (words, there, path, tag) in table {
            let want = SourceSpec::OciDir { path: path.into(), tag: tag.map(str::to_owned) };
            assert_eq!(split(words, there).unwrap(), want, "{words}");
        }
        assert!(matches!(split("oci-archive:f", &[]), Ok(SourceSpec::OciArchive { .. })));
        assert!(matches!(split("docker-archive:f:a:1", &["f"]),
            Ok(SourceSpec::DockerArchive { tag: Some(tag), .. }) if tag == "a:1"));
    }

    #[test]
    fn a_path_without_its_kind_is_told_how_to_be_written() {
        for words in ["debian", "debian:12", "./debian"] {
            let reason = split(words, &["debian", "./debian"]).unwrap_err();
            assert!(reason.contains(&format!("write oci:{words} for a layout")), "{reason}");
        }
    }

    #[test]
    fn other_words_get_their_cure() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = format!("quay.io/a/b:1@{digest}");
        // skopeo takes no tag beside a digest.
        let pinned_cure = format!("skopeo copy docker://quay.io/a/b@{digest} oci:b:1");
        let table = [
            ("debian", "skopeo copy docker://docker.io/library/debian:latest oci:debian:latest"),
            (
                "docker://debian:12",
                "skopeo copy docker://docker.io/library/debian:12 oci:debian:12",
            ),
            ("a/b:1", "docker://docker.io/a/b:1 oci:b:1"),
            ("quay.io/a/b:1", "docker://quay.io/a/b:1 oci:b:1"),
            ("localhost:5000/a", "docker://localhost:5000/a:latest oci:a:latest"),
            (&pinned, &pinned_cure),
            ("dir:/x", "skopeo copy dir:/x oci:DIR:TAG"),
            ("containers-storage:x", "`containers-storage:` is not read"),
            ("./x.tar", "no image source; name oci:DIR"),
            ("", "no image source"),
            ("oci:", "path is empty"),
            ("oci::12", "path is empty"),
            ("oci:x:", "tag after the path is empty"),
        ];
        for (words, cure) in table {
            let reason = split(words, &[]).unwrap_err();
            assert!(reason.contains(cure), "{words}: {reason}");
            assert!(!reason.contains('\n'));
        }
    }
}
