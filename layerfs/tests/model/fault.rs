//! Owns the faults that controls plant in the model: each must be found by an oracle, or the histories prove nothing.

/// What the model gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A file that a rename replaces keeps its link count.
    RenameForgetsLink,
    /// Exchange works as a plain rename.
    ExchangeReplaces,
    /// A directory can be moved below itself.
    RenameIntoItself,
    /// The last name takes an open file's bytes with it.
    UnlinkEmptiesOpenFile,
    /// A full directory can be removed.
    RmdirTakesContents,
    /// A directory that gains a name keeps its mtime.
    LinkKeepsParentTime,
    /// chown leaves the set-uid bit.
    ChownKeepsSetUid,
    /// What is made in a set-gid directory has the caller's group.
    SetGidNotInherited,
    /// Appending writes at the start.
    AppendAtStart,
    /// Writing leaves mtime.
    WriteKeepsTime,
    /// A file that was cut and grown again has its old bytes.
    TruncateKeepsBytes,
    /// `XATTR_CREATE` replaces.
    XattrCreateReplaces,
    /// Layers: an opaque directory is merged with what it hides.
    OpaqueIgnored,
    /// Layers: a whiteout hides nothing.
    WhiteoutIgnored,
    /// Layers: of two directories the lower one's owner, mode and time are taken.
    LowerMetaWins,
    /// Layers: a file that takes a directory's place leaves the directory.
    FileUnderDirectory,
}

impl Fault {
    /// What a plain directory can find.
    pub const OF_THE_TREE: [Fault; 12] = [
        Fault::RenameForgetsLink,
        Fault::ExchangeReplaces,
        Fault::RenameIntoItself,
        Fault::UnlinkEmptiesOpenFile,
        Fault::RmdirTakesContents,
        Fault::LinkKeepsParentTime,
        Fault::ChownKeepsSetUid,
        Fault::SetGidNotInherited,
        Fault::AppendAtStart,
        Fault::WriteKeepsTime,
        Fault::TruncateKeepsBytes,
        Fault::XattrCreateReplaces,
    ];

    /// What only a union can find.
    pub const OF_THE_LAYERS: [Fault; 4] = [
        Fault::OpaqueIgnored,
        Fault::WhiteoutIgnored,
        Fault::LowerMetaWins,
        Fault::FileUnderDirectory,
    ];
}
