//! How much each workload does: enough to be measured, or just enough to show that it works.

/// Numbers of files, and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Files of the tree that is like a distribution.
    pub tree_files: u64,
    /// What the files of an image hold that is brought in.
    pub image_bytes: u64,
    /// Files that are removed, and changed in owner.
    pub many_files: u64,
    /// Files of 4 KiB that are copied up, added to and renamed.
    pub small_files: u64,
    /// Files of 1 MiB that are copied up.
    pub middle_files: u64,
    /// Size of the one big file.
    pub big_bytes: u64,
    /// Files that are created.
    pub create_files: u64,
    /// Files of the archive that is unpacked.
    pub untar_files: u64,
    /// Files that each of several processes creates, asks for and unlinks.
    pub parallel_files: u64,
    /// Bytes that are written from start to end.
    pub write_bytes: u64,
    /// Reads and writes of 4 KiB at random places.
    pub random_blocks: u64,
    /// Names that are asked for and are not there.
    pub absent_names: u64,
    /// Files of the repository, of the package, and modules of Python.
    pub program_files: u64,
    /// The most layers that are stacked.
    layers_max: u32,
    /// Bytes of the disk that is made: a sparse file.
    pub disk_bytes: u64,
    /// Rounds where nobody says how many.
    pub rounds: u32,
}

/// What is measured by.
pub const FULL: Scale = Scale {
    tree_files: 10_000,
    image_bytes: 870_000_000,
    many_files: 12_000,
    small_files: 5000,
    middle_files: 50,
    big_bytes: 1 << 30,
    create_files: 20_000,
    untar_files: 8000,
    parallel_files: 2500,
    write_bytes: 512 << 20,
    random_blocks: 20_000,
    absent_names: 5000,
    program_files: 1500,
    layers_max: 500,
    disk_bytes: 24 << 30,
    rounds: 5,
};

/// Shows that all works, and measures nothing.
pub const SMALL: Scale = Scale {
    tree_files: 120,
    image_bytes: 2_000_000,
    many_files: 60,
    small_files: 40,
    middle_files: 2,
    big_bytes: 2 << 20,
    create_files: 60,
    untar_files: 40,
    parallel_files: 10,
    write_bytes: 1 << 20,
    random_blocks: 50,
    absent_names: 50,
    program_files: 10,
    layers_max: 6,
    disk_bytes: 2 << 30,
    rounds: 1,
};

impl Scale {
    /// How many layers are stacked where `layers` are wanted.
    pub fn layers(&self, layers: u32) -> u32 {
        layers.min(self.layers_max)
    }
}
