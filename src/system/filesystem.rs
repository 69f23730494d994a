//! Names of file systems by their magic numbers.

/// Magic numbers of `statfs(2)`, and the names that `mount` uses.
const NAMES: [(u64, &str); 13] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x6573_5546, "fuse"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    (0xff53_4d42, "cifs"),
    (0x0102_1997, "9p"),
    (0x5265_4973, "reiserfs"),
];

/// The file system's name; its number where the name is not known. ext2, ext3 and ext4 have one number.
pub fn name(magic: u64) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}
