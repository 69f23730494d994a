//! A user's words for a target: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::ExportError;
use crate::store::oci::shown;
use crate::store::reference::Reference;
use crate::sys::file;

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpec {
    /// Into an OCI layout in a directory, beside what it has.
    OciDir {
        /// The directory.
        path: PathBuf,
        /// What the image is called there.
        tag: Option<String>,
    },
    /// An OCI layout in a tar file.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// What the image is called there.
        tag: Option<String>,
    },
    /// A tar file as `docker save` writes it.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// What the image is called there.
        name: Option<Reference>,
    },
}

const OURS: &str = "oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]";

impl TargetSpec {
    /// Reads the user's words. A path that is there is taken whole; of one that is not, the first colon begins the tag.
    pub fn parse(words: &OsStr) -> Result<Self, ExportError> {
        let bytes = words.as_bytes();
        let refused = |reason: String| {
            let words = shown(&words.to_string_lossy());
            ExportError::Words { words, reason }
        };
        let colon = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        let (transport, rest) = (&bytes[..colon], bytes.get(colon + 1..).unwrap_or_default());
        if ![&b"oci"[..], b"oci-archive", b"docker-archive"].contains(&transport) {
            return Err(refused(no_transport(transport)));
        }
        let (path, tag) = split(rest);
        if path.is_empty() {
            return Err(refused(format!("the path is empty; name {OURS}")));
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        let tag = match tag.map(std::str::from_utf8) {
            None => None,
            Some(Ok("")) => return Err(refused("the tag after the path is empty".into())),
            Some(Ok(tag)) => Some(tag.to_owned()),
            Some(Err(_)) => return Err(refused("the tag is not UTF-8".into())),
        };
        Ok(match transport {
            b"oci" => TargetSpec::OciDir { path, tag },
            b"oci-archive" => TargetSpec::OciArchive { path, tag },
            _ => {
                let name = tag.as_deref().map(Reference::parse).transpose();
                let name = name.map_err(|error| refused(error.to_string()))?;
                TargetSpec::DockerArchive { path, name: name.map(Reference::with_default_tag) }
            }
        })
    }
}

fn split(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_there = |path: &[u8]| {
        let path = Path::new(OsStr::from_bytes(path));
        !file::stat_path(path).is_err_and(|error| error.is_absent())
    };
    let colons = rest.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let cuts: Vec<usize> = colons.collect();
    let known = std::iter::once(rest.len()).chain(cuts.iter().rev().copied());
    let mut known = known.filter(|at| *at > 0);
    let at = known.find(|at| is_there(&rest[..*at])).or(cuts.first().copied());
    match at {
        Some(at) if at < rest.len() => (&rest[..at], Some(&rest[at + 1..])),
        _ => (rest, None),
    }
}

fn no_transport(transport: &[u8]) -> String {
    match transport {
        b"docker" => "registries are not spoken yet; push to oci:DIR:TAG, then run `skopeo copy oci:DIR:TAG docker://NAME`".to_owned(),
        b"docker-daemon" | b"containers-storage" => {
            format!("`{}:` is not written; push to oci:DIR:TAG, then run `skopeo copy`", String::from_utf8_lossy(transport))
        }
        _ => format!("no target; name {OURS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> String {
        match TargetSpec::parse(OsStr::new(words)) {
            Ok(spec) => format!("{spec:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn targets_are_paths_and_what_the_image_is_called_there() {
        let table = [
            ("oci:/absent/d", r#"OciDir { path: "/absent/d", tag: None }"#),
            ("oci:/absent/d:a:b", r#"OciDir { path: "/absent/d", tag: Some("a:b") }"#),
            ("oci:/tmp:1", r#"OciDir { path: "/tmp", tag: Some("1") }"#),
            (
                "oci-archive:/absent/f.tar:x/y:1",
                r#"OciArchive { path: "/absent/f.tar", tag: Some("x/y:1") }"#,
            ),
        ];
        for (words, spec) in table {
            assert_eq!(parsed(words), spec);
        }
        assert!(parsed("docker-archive:/absent/f.tar:x/y").contains("tag: Some(\"latest\")"));
    }

    #[test]
    fn what_is_no_target_is_told() {
        for (words, why) in [
            ("oci:", "path is empty"),
            ("oci:/absent:", "tag after the path is empty"),
            ("/tmp/x", "no target"),
            ("docker://x/y", "registries are not spoken yet"),
            ("docker-archive:/absent:A", "lower case"),
        ] {
            assert!(parsed(words).contains(why), "{words}: {}", parsed(words));
        }
    }
}
