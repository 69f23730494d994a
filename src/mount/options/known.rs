//! Owns the words that are known and change nothing, and those that are known and refused, each with the reason.

/// Words that say nothing to a file system: mount(8) and fstab(5) have them for themselves; `default_permissions` always
/// holds.
pub const PASSED_OVER: [&str; 23] = [
    "",
    "_netdev",
    "auto",
    "comment",
    "default_permissions",
    "defaults",
    "group",
    "group_id",
    "loud",
    "noauto",
    "nofail",
    "nogroup",
    "noiversion",
    "nomand",
    "noowner",
    "norelatime",
    "nouser",
    "nousers",
    "owner",
    "silent",
    "user",
    "user_id",
    "users",
];

/// Words of overlayfs and of fuse-overlayfs that ask for what is done anyway, or for a way of doing it of which no user
/// can see more than how long it takes.
pub const DONE_ANYWAY: [&str; 27] = [
    // Inodes keep their numbers, and hard links their one inode.
    "index=off",
    "index=on",
    "xino=off",
    "xino=auto",
    "xino=on",
    "fast_ino=0",
    "fast_ino=1",
    "ino32_t=0",
    // Copies are whole, also where only metadata changes, unless `partial=` says otherwise.
    "metacopy=off",
    "metacopy=on",
    "verity=off",
    "nfs_export=off",
    "uuid=off",
    "uuid=null",
    "uuid=auto",
    // As many threads answer as there are requests for.
    "threaded=0",
    "threaded=1",
    // Data is with the upper's file system when a write is answered.
    "writeback",
    "writeback=0",
    "writeback=1",
    // A copy is on disk before it has its name.
    "fsync=1",
    "fsync=auto",
    "fsync=strict",
    "noxattrs=0",
    "xattr_permissions=0",
    // The process that serves acts as who mounted.
    "override_creds",
    "subtype=layerfs",
];

/// Words with one of few values that have an effect. Others with few values say themselves which they take.
const SWITCHES: [&str; 10] = [
    "cpu_latency=auto",
    "cpu_latency=usual",
    "fsync=0",
    "fsync=volatile",
    "io=auto",
    "io=cached",
    "noxattrs=1",
    "partial=on",
    "partial=off",
    "partial=blocks",
];

/// A word, with one value or with whichever, and why it is refused.
pub type Refused = (&'static str, &'static str);

/// Words that are known and ask for what is not done.
pub const REFUSED: [Refused; 12] = [
    ("datadir+", "data-only layers are not read"),
    ("ino32_t", "numbers of inodes have 64 bits"),
    ("iversion", "FUSE counts no versions of inodes"),
    ("mand", "Linux has no mandatory locks any more"),
    ("nfs_export=on", "nothing here is exported by NFS"),
    ("nooverride_creds", "the process that serves a mount acts as who mounted it, whoever asks"),
    ("plugins", "plugins of fuse-overlayfs are not loaded"),
    ("subtype", "the type is always `fuse.layerfs`, by which `layerfs umount` knows its mounts"),
    ("uuid=on", "FUSE tells nobody an identity of the file system"),
    ("verity=on", "digests of lower files are not compared"),
    ("verity=require", "digests of lower files are not compared"),
    ("xattr_permissions", "owners and modes are kept as such, and not in attributes"),
];

/// Whether a word changes nothing.
pub fn changes_nothing(word: &[u8], key: &[u8]) -> bool {
    PASSED_OVER.iter().any(|known| known.as_bytes() == key)
        || key.starts_with(b"X-")
        || key.starts_with(b"x-")
        || DONE_ANYWAY.iter().any(|known| known.as_bytes() == word)
}

/// Why a word is refused, if it is known and is.
pub fn refusal(word: &[u8], key: &[u8]) -> Option<&'static str> {
    let said = |(known, _): &&Refused| [word, key].contains(&known.as_bytes());
    REFUSED.iter().find(said).map(|(_, reason)| *reason)
}

/// The values that a word takes, for a message; `None` of a word that is not known, or takes none or any.
pub fn values(key: &[u8]) -> Option<String> {
    let of_key = |word: &&str| {
        let (known, value) = word.split_once('=')?;
        (known.as_bytes() == key).then(|| format!("`{value}`"))
    };
    let mut values: Vec<String> = SWITCHES.iter().chain(&DONE_ANYWAY).filter_map(of_key).collect();
    let last = values.pop()?;
    Some(match values.is_empty() {
        true => format!("{last} alone"),
        false => format!("{} or {last}", values.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/options.md");

    #[test]
    fn every_word_that_is_known_is_documented() {
        let all = PASSED_OVER.iter().filter(|word| !word.is_empty()).chain(&DONE_ANYWAY);
        for word in all.chain(&SWITCHES).chain(REFUSED.iter().map(|(word, _)| word)) {
            assert!(PAGE.contains(&format!("`{word}")), "{word}");
        }
    }

    #[test]
    fn the_page_gives_the_reasons_that_are_told() {
        for (word, reason) in REFUSED {
            let row = format!("| refused: {reason} |");
            assert!(PAGE.lines().any(|line| line.contains(word) && line.contains(&row)), "{word}");
        }
    }

    #[test]
    fn every_value_that_is_offered_is_taken() {
        use super::super::{Options, Unknown, parse};
        for word in SWITCHES {
            let read = parse(word.as_ref(), Unknown::Refuse).unwrap();
            assert_ne!(read, Options::default(), "{word}");
        }
    }
}
