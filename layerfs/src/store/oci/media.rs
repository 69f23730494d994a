//! Media types: what a descriptor says its blob is.

/// What a descriptor of an index, or the config of a manifest, names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// An image index, or Docker's manifest list.
    Index,
    /// An image manifest, OCI's or Docker's schema 2.
    Manifest,
    /// Docker's schema 1, which holds no config and is not taken.
    Schema1,
    /// An image's config.
    Config,
    /// Nothing said.
    Unsaid,
    /// Anything else: an artifact.
    Other,
}

impl Media {
    /// Reads a media type; parameters after `;` do not count.
    pub fn of(text: &str) -> Self {
        match text.split(';').next().unwrap_or_default().trim() {
            "" => Media::Unsaid,
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Media::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Media::Manifest,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Media::Schema1,
            "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json" => Media::Config,
            _ => Media::Other,
        }
    }
}

/// What a manifest says about one of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerMedia {
    /// A tar archive, packed as the media type says (plain where it says nothing); the bytes have the last word.
    Tar(Packing),
    /// A layer that the image's maker does not give away with the image.
    Foreign,
    /// A layer in a form that layerfs does not read, such as an encrypted one.
    Unreadable,
    /// No layer of a file system.
    Other,
}

/// The packing that a media type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not packed.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl LayerMedia {
    /// Reads a media type; parameters after `;` do not count.
    pub fn of(text: &str) -> Self {
        let text = text.split(';').next().unwrap_or_default().trim();
        if text.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || text.starts_with("application/vnd.docker.image.rootfs.foreign.")
        {
            return LayerMedia::Foreign;
        }
        match text {
            ""
            | "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => LayerMedia::Tar(Packing::Plain),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => LayerMedia::Tar(Packing::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => LayerMedia::Tar(Packing::Zstd),
            _ if text.starts_with("application/vnd.oci.image.layer.")
                || text.starts_with("application/vnd.docker.image.rootfs.") =>
            {
                LayerMedia::Unreadable
            }
            _ => LayerMedia::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_oci_and_docker_are_known() {
        let table = [
            ("application/vnd.oci.image.index.v1+json", Media::Index),
            ("application/vnd.docker.distribution.manifest.list.v2+json", Media::Index),
            (
                "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
                Media::Manifest,
            ),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", Media::Schema1),
            ("application/vnd.oci.empty.v1+json", Media::Other),
            ("", Media::Unsaid),
        ];
        for (text, media) in table {
            assert_eq!(Media::of(text), media, "{text}");
        }
        let table = [
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerMedia::Tar(Packing::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", LayerMedia::Tar(Packing::Zstd)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerMedia::Foreign),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LayerMedia::Foreign),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", LayerMedia::Unreadable),
            ("application/vnd.in-toto+json", LayerMedia::Other),
        ];
        for (text, media) in table {
            assert_eq!(LayerMedia::of(text), media, "{text}");
        }
    }
}
