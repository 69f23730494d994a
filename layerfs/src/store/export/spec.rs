//! A user's words for a target: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::error::ExportError;
use crate::store::oci::shown;
use crate::store::reference::Reference;
use crate::store::words::{Colon, KNOWN, Transport, is_there, split_path};

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

impl TargetSpec {
    /// Reads the user's words. A path that is there is taken whole; of one that is not, the first colon begins the tag.
    pub fn parse(words: &OsStr) -> Result<Self, ExportError> {
        let refused = |reason: String| {
            let words = shown(&words.to_string_lossy());
            ExportError::Words { words, reason }
        };
        let Some((transport, rest)) = Transport::split(words.as_bytes()) else {
            return Err(refused(no_transport(words.as_bytes())));
        };
        let (path, tag) = split_path(rest, is_there, Colon::First).map_err(refused)?;
        Ok(match transport {
            Transport::OciDir => TargetSpec::OciDir { path, tag },
            Transport::OciArchive => TargetSpec::OciArchive { path, tag },
            Transport::DockerArchive => {
                let name = tag.as_deref().map(Reference::parse).transpose();
                let name = name.map_err(|error| refused(error.to_string()))?;
                TargetSpec::DockerArchive { path, name: name.map(Reference::with_default_tag) }
            }
        })
    }
}

fn no_transport(words: &[u8]) -> String {
    let transport = words.split(|byte| *byte == b':').next().unwrap_or_default();
    match transport {
        b"docker" => "registries are not spoken yet; push to oci:DIR:TAG, then run `skopeo copy oci:DIR:TAG docker://NAME`".to_owned(),
        b"docker-daemon" | b"containers-storage" => {
            format!("`{}:` is not written; push to oci:DIR:TAG, then run `skopeo copy`", String::from_utf8_lossy(transport))
        }
        _ => format!("no target; name {KNOWN}"),
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
