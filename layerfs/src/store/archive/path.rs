//! Owns names inside an archive: one component, and the components below its root.

use super::escape::write_escaped;
use std::fmt;

/// Longest file name Linux knows (`NAME_MAX`).
const NAME_LEN_MAX: usize = 255;
/// Components of one path; deeper trees cannot be walked with ordinary tools.
pub const DEPTH_MAX: usize = 2048;

/// One path component: never empty, `.` or `..`; holds no `/` and no NUL; at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why some bytes are no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("name is . or ..")]
    Dots,
    /// It holds a `/` or a NUL.
    #[error("name holds a slash or a NUL byte")]
    ForbiddenByte,
    /// More than 255 bytes.
    #[error("name is {len} bytes long, more than 255")]
    TooLong {
        /// Bytes of the name.
        len: usize,
    },
}

impl Name {
    /// Takes `bytes` as one component.
    pub fn new(bytes: &[u8]) -> Result<Name, NameError> {
        match bytes {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            _ if bytes.iter().any(|&b| b == b'/' || b == 0) => Err(NameError::ForbiddenByte),
            _ if bytes.len() > NAME_LEN_MAX => Err(NameError::TooLong { len: bytes.len() }),
            _ => Ok(Name(bytes.into())),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

/// Components below the archive's root; none is the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Box<[Name]>);

/// Why some bytes are no [`EntryPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// A component is `..`: the path may lead out of the tree.
    #[error("path has a .. component")]
    ParentComponent,
    /// A component is no name.
    #[error("path component: {0}")]
    Component(NameError),
    /// More than 2048 components.
    #[error("path has more than {DEPTH_MAX} components")]
    TooDeep,
}

impl EntryPath {
    /// Reads a path as an archive writes it. Leading, doubled and trailing slashes and `.` components say nothing and
    /// are dropped, so that an absolute name resolves inside the root, as docker and podman do.
    pub fn parse(bytes: &[u8]) -> Result<EntryPath, PathFault> {
        let mut names = Vec::new();
        for part in bytes.split(|&b| b == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(PathFault::ParentComponent),
                _ if names.len() == DEPTH_MAX => return Err(PathFault::TooDeep),
                _ => names.push(Name::new(part).map_err(PathFault::Component)?),
            }
        }
        Ok(EntryPath(names.into_boxed_slice()))
    }

    /// The path of components that are names already.
    pub fn from_components(names: &[Name]) -> EntryPath {
        EntryPath(names.into())
    }

    /// The components, from the root down.
    pub fn components(&self) -> &[Name] {
        &self.0
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components of the containing directory and the last name; none for the root.
    pub fn split_last(&self) -> Option<(&[Name], &Name)> {
        self.0.split_last().map(|(last, parent)| (parent, last))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (i, name) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            name.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> String {
        EntryPath::parse(text).unwrap().to_string()
    }

    #[test]
    fn slashes_and_dots_that_say_nothing_are_dropped() {
        for text in ["a/b", "/a/b", "./a/b", "//a///b//", "././/a/./b/.", "a/b/"] {
            assert_eq!(parse(text.as_bytes()), "a/b", "{text}");
        }
        for text in ["", "/", ".", "./", "//./"] {
            assert!(EntryPath::parse(text.as_bytes()).unwrap().is_root(), "{text}");
        }
    }

    #[test]
    fn a_parent_component_anywhere_is_refused() {
        for text in ["..", "../a", "a/../b", "a/..", "/../a", "a/b/../../.."] {
            assert_eq!(
                EntryPath::parse(text.as_bytes()),
                Err(PathFault::ParentComponent),
                "{text}"
            );
        }
        assert_eq!(parse(b"..a/b../.../c"), "..a/b../.../c");
    }

    #[test]
    fn components_are_bounded_in_length_and_number() {
        assert!(EntryPath::parse(&[b'n'; 255]).is_ok());
        let fault = PathFault::Component(NameError::TooLong { len: 256 });
        assert_eq!(EntryPath::parse(&[b'n'; 256]), Err(fault));
        assert_eq!(EntryPath::parse(&b"d/".repeat(2048)).unwrap().components().len(), 2048);
        assert_eq!(EntryPath::parse(&b"d/".repeat(2049)), Err(PathFault::TooDeep));
        let fault = PathFault::Component(NameError::ForbiddenByte);
        assert_eq!(EntryPath::parse(b"a\0b"), Err(fault));
    }

    #[test]
    fn names_refuse_what_is_no_component() {
        assert_eq!(Name::new(b""), Err(NameError::Empty));
        assert_eq!(Name::new(b"."), Err(NameError::Dots));
        assert_eq!(Name::new(b".."), Err(NameError::Dots));
        assert_eq!(Name::new(b"a/b"), Err(NameError::ForbiddenByte));
        assert_eq!(Name::new(b"\xff\n").unwrap().as_bytes(), b"\xff\n");
    }

    #[test]
    fn a_path_gives_its_directory_and_last_name() {
        let path = EntryPath::parse(b"a/b/c").unwrap();
        let (parent, last) = path.split_last().unwrap();
        assert_eq!((parent.len(), last.as_bytes()), (2, &b"c"[..]));
        assert!(EntryPath::default().split_last().is_none());
    }
}
