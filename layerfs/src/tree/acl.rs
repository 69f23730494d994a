//! Owns the names and the form of POSIX access control lists, as attributes hold them.

/// The attribute with the list that says who may do what with an object.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the list that a directory hands on to what is made in it.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";
