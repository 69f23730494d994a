//! Owns the forms that an upper can have: how its whiteouts are made, where its marks and owners are, who wrote it before.

use std::path::{Path, PathBuf};

use layerfs_driver::lower::{Redirects, WhNames};
use layerfs_driver::tree::MarkSpace;
use layerfs_driver::upper::{Durability, Partial, Records, Small, UpperOptions, Whiteouts};

use super::ground::shell;
use super::way::{Done, Way};

/// What an upper is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whiteouts are devices, marks are those of the trusted.
    Usual,
    /// Whiteouts are marked files.
    MarkedWhiteouts,
    /// Whiteouts are `.wh.` names.
    WhNames,
    /// Marks are those of users: root follows no redirects.
    UserMarks,
    /// The same of one who can't give files away: owners are recorded.
    Recorded,
    /// The kernel's overlayfs copied no more than the metadata of files up.
    Metacopy,
    /// We do: the data of files stays in the lower until they are opened for writing.
    Partial,
    /// The same, and what is written is copied up block by block.
    Blocks,
    /// Nothing is synced.
    Volatile,
    /// It is being made plain: whiteouts of all forms are read.
    BecomesPlain,
}

pub const FORMS: [Form; 10] = [
    Form::Usual,
    Form::MarkedWhiteouts,
    Form::WhNames,
    Form::UserMarks,
    Form::Recorded,
    Form::Metacopy,
    Form::Partial,
    Form::Blocks,
    Form::Volatile,
    Form::BecomesPlain,
];

impl Form {
    /// The form that another process was told by `{:?}`.
    pub fn of_word(word: &str) -> Form {
        *FORMS.iter().find(|form| format!("{form:?}") == word).unwrap()
    }

    pub fn options(self) -> UpperOptions {
        let usual = UpperOptions {
            space: MarkSpace::Trusted,
            redirects: Redirects::Follow,
            durability: Durability::Synced,
            wh_names: WhNames::Plain,
            whiteouts: Whiteouts::Auto,
            records: Records::Never,
            partial: Partial::Never,
        };
        match self {
            Form::Usual | Form::Metacopy => usual,
            Form::Partial => UpperOptions { partial: Partial::Made, ..usual },
            // Some of the small files that the suites have are copied whole, and others block by block.
            Form::Blocks => UpperOptions { partial: Partial::Blocks(Small::Few), ..usual },
            Form::MarkedWhiteouts => UpperOptions { whiteouts: Whiteouts::Xattr, ..usual },
            Form::WhNames => {
                UpperOptions { wh_names: WhNames::Whiteouts, whiteouts: Whiteouts::Wh, ..usual }
            }
            Form::UserMarks => {
                let redirects = Redirects::Refuse;
                UpperOptions { space: MarkSpace::User, redirects, ..usual }
            }
            Form::Recorded => {
                UpperOptions { space: MarkSpace::User, records: Records::Always, ..usual }
            }
            Form::Volatile => UpperOptions { durability: Durability::Volatile, ..usual },
            Form::BecomesPlain => {
                UpperOptions { wh_names: WhNames::Whiteouts, whiteouts: Whiteouts::Device, ..usual }
            }
        }
    }

    /// Whether a file of the upper may have its data below.
    pub fn has_data_below(self) -> bool {
        matches!(self, Form::Metacopy | Form::Partial | Form::Blocks)
    }

    /// Whether directories of the lower can be renamed.
    pub fn has_redirects(self) -> bool {
        self != Form::UserMarks
    }
}

/// The files of which the kernel copies the metadata alone.
const METACOPIES: &str = "small big sparse c stay kept tx d/plain d/e/f/deep d/e/f/other";

/// Copies no more than the metadata of some files up; the others are as the lower has them.
pub fn without_data(way: &Way) -> Done {
    for path in ["small", "sparse", "kept", "d/plain", "d/e/f/other", "k1"] {
        way.chown(path)?;
    }
    Ok(())
}

/// Makes an upper below `place` by the kernel's overlayfs, with metacopy files, under their own names and others.
pub fn by_the_kernel(dirs: &[PathBuf], place: &Path) {
    let lower: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let script = format!(
        "mkdir -p upper work mnt
        mount -t overlay overlay -o lowerdir={},upperdir=upper,workdir=work,redirect_dir=on,metacopy=on,index=off mnt
        cd mnt; chown 0:5 {METACOPIES}; if [ -e large ]; then chown 0:5 large; fi; mv d/e/f/other d/kernels; mv moveme kernelsdir; cd ..
        umount mnt; rmdir mnt; getfattr -n trusted.overlay.metacopy upper/small > seen; rm seen",
        lower.join(":")
    );
    std::fs::create_dir_all(place).unwrap();
    shell(place, &format!("exec unshare -m bash -ec {}", quoted(&script)));
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}
