//! Owns the words of a serving process that say which owners are shown for those that are stored.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::tree::{IdMap, IdRange, Ids};

/// Ids that are shown as others: `STORED:SHOWN:LEN`.
#[derive(Clone, Copy, Debug)]
pub struct Range(pub IdRange);

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Range> {
        let numbers: Vec<u32> = text.split(':').map(str::parse).collect::<Result<_, _>>()?;
        match numbers[..] {
            [stored, shown, len] => Ok(Range(IdRange { stored, shown, len })),
            _ => bail!("not three numbers"),
        }
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0.stored, self.0.shown, self.0.len)
    }
}

/// Which owners are shown.
#[derive(Debug, Default, Args)]
pub struct Owners {
    /// Users that are shown as others
    #[arg(long = "uid-map", value_name = "STORED:SHOWN:LEN")]
    pub users: Vec<Range>,
    /// Groups that are shown as others
    #[arg(long = "gid-map", value_name = "STORED:SHOWN:LEN")]
    pub groups: Vec<Range>,
    /// The user that all are shown as
    #[arg(long, value_name = "UID")]
    pub squash_user: Option<u32>,
    /// The group that all are shown as
    #[arg(long, value_name = "GID")]
    pub squash_group: Option<u32>,
}

impl Owners {
    /// The words that say the same.
    pub fn words(&self) -> impl Iterator<Item = OsString> {
        let ranges = |option, ranges: &[Range]| -> Vec<String> {
            ranges.iter().map(|range| format!("--{option}={range}")).collect()
        };
        let id = |option, id: Option<u32>| id.map(|id| format!("--{option}={id}"));
        ranges("uid-map", &self.users)
            .into_iter()
            .chain(ranges("gid-map", &self.groups))
            .chain(id("squash-user", self.squash_user))
            .chain(id("squash-group", self.squash_group))
            .map(OsString::from)
    }

    /// The mapping.
    pub fn ids(&self) -> Result<IdMap> {
        let of =
            |ranges: &[Range]| Ids::new(&ranges.iter().map(|range| range.0).collect::<Vec<_>>());
        Ok(IdMap {
            users: of(&self.users)?.squashed_to(self.squash_user),
            groups: of(&self.groups)?.squashed_to(self.squash_group),
        })
    }
}
