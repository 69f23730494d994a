//! Owns which attributes no layer that is made here holds: those by which union file systems know how layers are merged.
//!
//! To whoever unpacks layers onto a union file system they would be marks, made by nobody who may make them: a directory
//! would hide what lies below it, or show another. What stood under such a name is an attribute that a user set in a mount.

/// What the names of such attributes begin with: the kernel's overlayfs, as root and in user namespaces, fuse-overlayfs, and
/// the owners and modes that it and containers/storage keep for users who are not root.
const PREFIXES: [&[u8]; 4] =
    [b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.override_"];

/// Whether an attribute of this name would be a mark to a union file system.
pub fn is_mark_of_a_union(name: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_known_by_what_their_names_begin_with() {
        for mark in [
            &b"trusted.overlay.opaque"[..],
            b"trusted.overlay.overlay.opaque",
            b"user.overlay.redirect",
            b"user.fuseoverlayfs.opaque",
            b"user.containers.override_stat",
        ] {
            assert!(is_mark_of_a_union(mark), "{}", mark.escape_ascii());
        }
        for plain in [
            &b"trusted.overlayfs"[..],
            b"user.overlay",
            b"user.containers.x",
            b"security.capability",
        ] {
            assert!(!is_mark_of_a_union(plain), "{}", plain.escape_ascii());
        }
    }
}
