//! Owns the form of the `redirect` mark: where in the layers below a directory, or a file's data, lies.

use super::{Name, NameError};

/// The longest redirect that is read: the longest value the kernel gives.
pub const REDIRECT_LEN_MAX: usize = 64 * 1024;

/// Where a directory lies in the layers below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// `/a/b`: from the root of each layer below. Never empty.
    Absolute(Vec<Name>),
    /// `b`: under another name in the same directory.
    Sibling(Name),
}

/// Whether redirects, and files whose data lies in another layer, are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// They lead to lower layers, and new ones are written. Only for layers whose marks can be trusted: a redirect reaches
    /// past the permissions of directories.
    Follow,
    /// They lead to lower layers, and none is written.
    FollowOnly,
    /// Meeting one is an error (`EPERM`), as in the kernel: ignoring it would show another tree.
    Refuse,
}

/// Why a `redirect` mark can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// Longer than an attribute can be.
    #[error("redirect of {len} bytes is too long")]
    TooLong {
        /// Bytes of the value.
        len: usize,
    },
    /// It is relative and holds a slash.
    #[error("relative redirect has more than one component")]
    Relative,
    /// A component is no name: empty, `.`, `..`, or with a NUL.
    #[error("redirect component: {0}")]
    Component(NameError),
}

impl Redirect {
    /// The path from the root; `None` where it is another name in the same directory.
    pub fn absolute(&self) -> Option<&[Name]> {
        match self {
            Redirect::Absolute(path) => Some(path),
            Redirect::Sibling(_) => None,
        }
    }

    /// Reads the mark's value.
    pub fn parse(value: &[u8]) -> Result<Redirect, RedirectFault> {
        if value.len() > REDIRECT_LEN_MAX {
            return Err(RedirectFault::TooLong { len: value.len() });
        }
        let name = |part: &[u8]| Name::new(part).map_err(RedirectFault::Component);
        match value.strip_prefix(b"/") {
            Some(path) => path
                .split(|&byte| byte == b'/')
                .map(name)
                .collect::<Result<_, _>>()
                .map(Redirect::Absolute),
            None if value.contains(&b'/') => Err(RedirectFault::Relative),
            None => name(value).map(Redirect::Sibling),
        }
    }

    /// The value to store. Longer than [`REDIRECT_LEN_MAX`] it can't be read again: whoever stores it checks.
    pub fn value(&self) -> Vec<u8> {
        match self {
            Redirect::Absolute(path) => {
                path.iter().flat_map(|name| [b"/", name.as_bytes()]).flatten().copied().collect()
            }
            Redirect::Sibling(name) => name.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn redirects_are_absolute_or_one_name() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        assert_eq!(Redirect::parse(b"b"), Ok(Redirect::Sibling(name("b"))));
        assert_eq!(Redirect::parse(b"/a/b"), Ok(Redirect::Absolute(vec![name("a"), name("b")])));
    }

    #[test]
    fn malformed_redirects_are_refused() {
        for bad in
            [&b""[..], b"/", b"//a", b"/a/", b"/a//b", b"/a/../b", b"..", b".", b"/a/.", b"a\0b"]
        {
            assert!(
                matches!(Redirect::parse(bad), Err(RedirectFault::Component(_))),
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(Redirect::parse(b"a/b"), Err(RedirectFault::Relative));
        assert_eq!(Redirect::parse(b"../b"), Err(RedirectFault::Relative));
        assert!(Redirect::parse(&[b'n'; 256]).is_err(), "no name is that long");
        let long = b"/n".repeat(REDIRECT_LEN_MAX / 2 + 1);
        assert_eq!(Redirect::parse(&long), Err(RedirectFault::TooLong { len: long.len() }));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_stored(value: Vec<u8>) {
            if let Ok(redirect) = Redirect::parse(&value) {
                prop_assert_eq!(redirect.value(), value);
            }
        }
    }
}
