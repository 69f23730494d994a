//! Owns the guess which word was meant by one that is not known.

/// Words that are long enough to be told from each other by a slip of the finger.
const WORDS: [&str; 31] = [
    "allow_other",
    "allow_root",
    "context",
    "default_permissions",
    "diratime",
    "dirsync",
    "fsname",
    "fsync",
    "gidmapping",
    "inodes",
    "lazytime",
    "lowerdir",
    "lowerdir+",
    "metacopy",
    "noatime",
    "nodiratime",
    "noexec",
    "nosuid",
    "noxattrs",
    "partial",
    "redirect_dir",
    "relatime",
    "squash_to_root",
    "static_nlink",
    "store",
    "timeout",
    "uidmapping",
    "upperdir",
    "userxattr",
    "volatile",
    "workdir",
];

/// What others call what we call otherwise.
const OTHERWISE: [(&str, &str); 6] = [
    ("root", "store"),
    ("nr_inodes", "inodes"),
    ("lower", "lowerdir"),
    ("upper", "upperdir"),
    ("work", "workdir"),
    ("workingdir", "workdir"),
];

/// As many letters may be wrong, missing or too many; a swap of two counts as two.
const SLIPS_MAX: usize = 2;

/// A guess, to stand behind the word; nothing where there is none.
pub fn tip(key: &[u8]) -> String {
    let Ok(key) = std::str::from_utf8(key) else { return String::new() };
    // What is known wants a value, or none.
    if WORDS.contains(&key) {
        return String::new();
    }
    let otherwise = OTHERWISE.iter().find(|(other, _)| *other == key).map(|(_, word)| *word);
    let near = || {
        let slips = WORDS.iter().map(|word| (strsim::levenshtein(key, word), *word));
        // A short word is near to everything.
        let near =
            slips.filter(|(slips, word)| (1..=SLIPS_MAX).contains(slips) && slips * 3 < word.len());
        near.min().map(|(_, word)| word)
    };
    match otherwise.or_else(near) {
        Some(word) => format!(" (did you mean `{word}`?)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/options.md");

    #[test]
    fn a_slip_of_the_finger_gets_the_word_that_was_meant() {
        let rows = [
            ("lowerdri", " (did you mean `lowerdir`?)"),
            ("lower_dir", " (did you mean `lowerdir`?)"),
            ("uperdir", " (did you mean `upperdir`?)"),
            ("workdirs", " (did you mean `workdir`?)"),
            ("userxatr", " (did you mean `userxattr`?)"),
            ("root", " (did you mean `store`?)"),
            ("frob", ""),
            ("roo", ""),
            ("x", ""),
            ("lowerdir", ""),
        ];
        for (word, expected) in rows {
            assert_eq!(tip(word.as_bytes()), expected, "{word}");
        }
        assert_eq!(tip(b"lowerdi\xff"), "");
    }

    #[test]
    fn every_word_that_is_offered_is_documented() {
        for word in WORDS.iter().chain(OTHERWISE.iter().map(|(_, word)| word)) {
            let is_there = ["`", ","].iter().any(|mark| PAGE.contains(&format!("{mark}{word}")));
            assert!(is_there, "{word}");
        }
    }
}
