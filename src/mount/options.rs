//! The words after `-o`: what mount(8), podman and fuse-overlayfs's users say there, read into a type that can't be wrong.
//!
//! Options are separated by `,` and the directories of `lowerdir=` by `:`. A backslash before `,`, `:` or another
//! backslash takes their meaning away; before anything else it is a part of the name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

/// Yes or no, where silence is an answer of its own: the default depends on what is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It may be.
    Allow,
    /// It may not.
    Deny,
}

/// What whiteouts are made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// Devices 0:0.
    Device,
    /// Empty files with a mark.
    Xattr,
    /// Names that begin with `.wh.`.
    Wh,
}

/// What is done with an option that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is an error that names it.
    Refuse,
    /// It is passed over: `-s` of mount(8).
    Ignore,
}

/// All that can be said with `-o`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The lower directories, the first on top; empty where none was said.
    pub lowers: Vec<PathBuf>,
    /// Where changes are kept.
    pub upper: Option<PathBuf>,
    /// Where things are made aside.
    pub work: Option<PathBuf>,
    /// What `findmnt` is to show as the source.
    pub source: Option<OsString>,
    /// `rw` or `ro`.
    pub write: Option<Rule>,
    /// `suid` or `nosuid`.
    pub suid: Option<Rule>,
    /// `dev` or `nodev`.
    pub dev: Option<Rule>,
    /// `exec` or `noexec`.
    pub exec: Option<Rule>,
    /// `noatime` is `Deny`.
    pub atime: Option<Rule>,
    /// `sync` is `Allow`.
    pub sync: Option<Rule>,
    /// `nodiratime` is `Deny`.
    pub dir_atime: Option<Rule>,
    /// `strictatime` was said, and no other word on times of access after it.
    pub strict_atime: bool,
    /// `lazytime` is `Allow`.
    pub lazy_time: Option<Rule>,
    /// `redirect_dir=on` or `off`.
    pub redirect: Option<Rule>,
    /// `acl` or `noacl`.
    pub acl: Option<Rule>,
    /// `allow_other` was said.
    pub allow_other: bool,
    /// `userxattr` was said.
    pub userxattr: bool,
    /// `volatile` was said.
    pub volatile: bool,
    /// `whiteout=`: what whiteouts are made as; `None` for what can be had.
    pub whiteout: Option<Whiteout>,
    /// `timeout=`: how long the kernel may believe what it was told of the lower directories.
    pub timeout: Option<Duration>,
}

/// Words that say nothing to a file system: mount(8) and fstab(5) have them for themselves; `default_permissions` always
/// holds.
const PASSED_OVER: [&[u8]; 14] = [
    b"",
    b"defaults",
    b"nofail",
    b"_netdev",
    b"user",
    b"users",
    b"nouser",
    b"owner",
    b"group",
    b"auto",
    b"noauto",
    b"default_permissions",
    b"norelatime",
    b"comment",
];

/// Words of overlayfs and of fuse-overlayfs that ask for what is done anyway: inodes keep their numbers and hard links
/// their one inode, copies are whole, any number of threads answers. `threaded=0` changes nothing that a user could see.
const DONE_ANYWAY: [&[u8]; 13] = [
    b"index=off",
    b"index=on",
    b"xino=off",
    b"xino=auto",
    b"xino=on",
    b"metacopy=off",
    b"nfs_export=off",
    b"uuid=off",
    b"uuid=null",
    b"uuid=auto",
    b"threaded=0",
    b"threaded=1",
    b"verity=off",
];

/// Reads the words of one `-o`, or of several joined by commas. A later word wins over an earlier.
pub fn parse(words: &OsStr, unknown: Unknown) -> Result<Options> {
    let mut options = Options::default();
    for word in split(words.as_bytes(), b',') {
        let (key, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let known = match value {
            Some(value) => options.take_value(key, value)?,
            None => options.take_flag(key),
        };
        let is_known = known || is_passed_over(key) || DONE_ANYWAY.contains(&word);
        if !is_known && unknown == Unknown::Refuse {
            bail!(
                "option `{}` is not known; `layerfs mount --help` lists those that are",
                OsStr::from_bytes(word).display()
            );
        }
    }
    options.check()?;
    Ok(options)
}

fn is_passed_over(key: &[u8]) -> bool {
    PASSED_OVER.contains(&key) || key.starts_with(b"X-") || key.starts_with(b"x-")
}

impl Options {
    /// Takes `key=value`; answers whether there is such a key.
    fn take_value(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        match key {
            b"lowerdir" => self.lowers = lowers(value)?,
            b"upperdir" => self.upper = Some(directory("upperdir", value)?),
            b"workdir" => self.work = Some(directory("workdir", value)?),
            b"fsname" => self.source = Some(OsString::from_vec(unescape(value))),
            b"timeout" => self.timeout = Some(timeout(value)?),
            b"whiteout" => {
                self.whiteout = match value {
                    b"auto" => None,
                    b"device" => Some(Whiteout::Device),
                    b"xattr" => Some(Whiteout::Xattr),
                    b"wh" => Some(Whiteout::Wh),
                    _ => bail!(
                        "option `whiteout={}`: `auto`, `device`, `xattr` or `wh`",
                        shown(value)
                    ),
                };
            }
            b"redirect_dir" => {
                self.redirect = match value {
                    b"on" => Some(Rule::Allow),
                    b"off" => Some(Rule::Deny),
                    _ => bail!("option `redirect_dir={}`: `on` or `off`", shown(value)),
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a word without a value; answers whether there is such a word.
    fn take_flag(&mut self, word: &[u8]) -> bool {
        match word {
            b"ro" => self.write = Some(Rule::Deny),
            b"rw" => self.write = Some(Rule::Allow),
            b"suid" => self.suid = Some(Rule::Allow),
            b"nosuid" => self.suid = Some(Rule::Deny),
            b"dev" => self.dev = Some(Rule::Allow),
            b"nodev" => self.dev = Some(Rule::Deny),
            b"exec" => self.exec = Some(Rule::Allow),
            b"noexec" => self.exec = Some(Rule::Deny),
            b"atime" | b"relatime" => {
                (self.atime, self.strict_atime) = (Some(Rule::Allow), false);
            }
            b"noatime" => (self.atime, self.strict_atime) = (Some(Rule::Deny), false),
            b"strictatime" => (self.atime, self.strict_atime) = (Some(Rule::Allow), true),
            b"nostrictatime" => self.strict_atime = false,
            b"sync" => self.sync = Some(Rule::Allow),
            b"async" => self.sync = Some(Rule::Deny),
            b"diratime" => self.dir_atime = Some(Rule::Allow),
            b"nodiratime" => self.dir_atime = Some(Rule::Deny),
            b"lazytime" => self.lazy_time = Some(Rule::Allow),
            b"nolazytime" => self.lazy_time = Some(Rule::Deny),
            b"acl" => self.acl = Some(Rule::Allow),
            b"noacl" => self.acl = Some(Rule::Deny),
            b"allow_other" => self.allow_other = true,
            b"userxattr" => self.userxattr = true,
            b"volatile" => self.volatile = true,
            _ => return false,
        }
        true
    }

    /// Refuses what makes no sense together.
    fn check(&self) -> Result<()> {
        match (&self.upper, &self.work) {
            (Some(_), None) => {
                bail!(
                    "upperdir= needs workdir=: an empty directory on the same file system as the upper"
                )
            }
            (None, Some(_)) => bail!("workdir= says nothing without upperdir="),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// Cuts at each `separator` that no backslash stands before.
fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        if text[at] == b'\\' {
            at += 1;
        } else if text[at] == separator {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        at += 1;
    }
    parts.push(&text[start..]);
    parts
}

/// Takes the backslashes away that kept a separator, or a backslash, from being one.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = match tail.split_first() {
            Some((kept @ (b',' | b':' | b'\\'), after)) if *first == b'\\' => {
                plain.push(*kept);
                after
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

fn lowers(value: &[u8]) -> Result<Vec<PathBuf>> {
    if value.is_empty() {
        bail!("lowerdir= names no directory");
    }
    split(value, b':').into_iter().map(|part| directory("lowerdir", part)).collect()
}

/// A year is for ever, as far as a mount is concerned.
const TIMEOUT_MAX_SECS: f64 = 366.0 * 24.0 * 3600.0;

fn timeout(value: &[u8]) -> Result<Duration> {
    let secs = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f64>().ok());
    match secs {
        Some(secs) if secs >= 0.0 => Ok(Duration::from_secs_f64(secs.min(TIMEOUT_MAX_SECS))),
        _ => bail!("option `timeout={}`: seconds, as `1` or `0.5`", shown(value)),
    }
}

fn directory(key: &str, value: &[u8]) -> Result<PathBuf> {
    if value.is_empty() {
        bail!("{key}= holds an empty name");
    }
    Ok(OsString::from_vec(unescape(value)).into())
}

/// Bytes for a message.
fn shown(value: &[u8]) -> std::ffi::os_str::Display<'_> {
    OsStr::from_bytes(value).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[u8]) -> Result<Options> {
        parse(OsStr::from_bytes(words), Unknown::Refuse)
    }

    fn lowers_of(words: &[u8]) -> Vec<Vec<u8>> {
        let lowers = read(words).unwrap().lowers;
        lowers.into_iter().map(|path| path.into_os_string().into_vec()).collect()
    }

    #[test]
    fn lower_directories_are_cut_at_colons_and_the_first_is_on_top() {
        let rows: [(&[u8], &[&[u8]]); 9] = [
            (b"lowerdir=a", &[b"a"]),
            (b"lowerdir=/a:/b:c", &[b"/a", b"/b", b"c"]),
            (br"lowerdir=a\:b:c", &[b"a:b", b"c"]),
            (br"lowerdir=a\,b:c\,d", &[b"a,b", b"c,d"]),
            (br"lowerdir=a\\:b", &[br"a\", b"b"]),
            (br"lowerdir=a\\\:b", &[br"a\:b"]),
            (br"lowerdir=a\b:c\", &[br"a\b", br"c\"]),
            (b"lowerdir=a\xff\n:b=c", &[b"a\xff\n", b"b=c"]),
            (b"lowerdir=a,lowerdir=b", &[b"b"]),
        ];
        for (words, expected) in rows {
            assert_eq!(lowers_of(words), expected, "{}", words.escape_ascii());
        }
    }

    #[test]
    fn upper_work_and_source_take_escapes_and_colons() {
        let options = read(br"upperdir=u\,v:w,workdir=\\,fsname=a\,b").unwrap();
        assert_eq!(options.upper, Some("u,v:w".into()));
        assert_eq!(options.work, Some(r"\".into()));
        assert_eq!(options.source, Some("a,b".into()));
    }

    #[test]
    fn words_are_read_and_the_last_one_wins() {
        let none = Options::default();
        let after =
            |millis| Options { timeout: Some(Duration::from_millis(millis)), ..none.clone() };
        let rows: [(&[u8], Options); 22] = [
            (b"noacl", Options { acl: Some(Rule::Deny), ..none.clone() }),
            (b"noacl,acl", Options { acl: Some(Rule::Allow), ..none.clone() }),
            (b"timeout=0", after(0)),
            (b"timeout=1", after(1000)),
            (b"timeout=0.25", after(250)),
            (b"timeout=1e99", after(366 * 24 * 3600 * 1000)),
            (b"", none.clone()),
            (b",,defaults,nofail,_netdev,user,users,owner,group,X-a,X-b=c,x-c", none.clone()),
            (b"default_permissions,auto,noauto,comment=a b", none.clone()),
            (b"index=off,xino=auto,metacopy=off,nfs_export=off,uuid=null,threaded=1", none.clone()),
            (b"sync,async", Options { sync: Some(Rule::Deny), ..none.clone() }),
            (
                b"noatime,strictatime,sync,nodiratime,lazytime",
                Options {
                    atime: Some(Rule::Allow),
                    strict_atime: true,
                    sync: Some(Rule::Allow),
                    dir_atime: Some(Rule::Deny),
                    lazy_time: Some(Rule::Allow),
                    ..none.clone()
                },
            ),
            (b"strictatime,relatime", Options { atime: Some(Rule::Allow), ..none.clone() }),
            (b"ro", Options { write: Some(Rule::Deny), ..none.clone() }),
            (b"ro,rw", Options { write: Some(Rule::Allow), ..none.clone() }),
            (
                b"nosuid,nodev,suid",
                Options { suid: Some(Rule::Allow), dev: Some(Rule::Deny), ..none.clone() },
            ),
            (
                b"noexec,noatime",
                Options { exec: Some(Rule::Deny), atime: Some(Rule::Deny), ..none.clone() },
            ),
            (
                b"dev,exec",
                Options { dev: Some(Rule::Allow), exec: Some(Rule::Allow), ..none.clone() },
            ),
            (b"redirect_dir=off", Options { redirect: Some(Rule::Deny), ..none.clone() }),
            (
                b"redirect_dir=off,redirect_dir=on",
                Options { redirect: Some(Rule::Allow), ..none.clone() },
            ),
            (
                b"allow_other,userxattr",
                Options { allow_other: true, userxattr: true, ..none.clone() },
            ),
            (b"volatile", Options { volatile: true, ..none.clone() }),
        ];
        for (words, expected) in rows {
            assert_eq!(read(words).unwrap(), expected, "{}", words.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let listed = "; `layerfs mount --help` lists those that are";
        assert!(read(b"frob").unwrap_err().to_string().ends_with(listed));
        let rows: [(&[u8], &str); 20] = [
            (b"nfs_export=on", "option `nfs_export=on` is not known"),
            (b"squash_to_root", "option `squash_to_root` is not known"),
            (b"uidmapping=0:1:2", "option `uidmapping=0:1:2` is not known"),
            (b"noxattr=1", "option `noxattr=1` is not known"),
            (b"timeout=", "option `timeout=`: seconds"),
            (b"timeout=-1", "option `timeout=-1`: seconds"),
            (b"timeout=NaN", "option `timeout=NaN`: seconds"),
            (b"timeout=1s", "option `timeout=1s`: seconds"),
            (b"metacopy=on", "option `metacopy=on` is not known"),
            (b"ro,frob,rw", "option `frob` is not known"),
            (b"ro=1", "option `ro=1` is not known"),
            (b"lowerdir", "option `lowerdir` is not known"),
            (b" ro", "option ` ro` is not known"),
            (b"redirect_dir=maybe", "option `redirect_dir=maybe`: `on` or `off`"),
            (b"lowerdir=", "lowerdir= names no directory"),
            (b"lowerdir=a::b", "lowerdir= holds an empty name"),
            (b"lowerdir=a:", "lowerdir= holds an empty name"),
            (b"upperdir=,workdir=w", "upperdir= holds an empty name"),
            (b"upperdir=u", "upperdir= needs workdir="),
            (b"workdir=w", "workdir= says nothing without upperdir="),
        ];
        for (words, expected) in rows {
            let told = read(words).unwrap_err().to_string();
            assert!(told.starts_with(expected), "{}: {told}", words.escape_ascii());
        }
    }

    #[test]
    fn a_sloppy_mount_passes_over_what_it_does_not_know_and_nothing_else() {
        let sloppy = |words: &str| parse(OsStr::new(words), Unknown::Ignore);
        assert_eq!(sloppy("frob,metacopy=on,lowerdir=a").unwrap().lowers, [PathBuf::from("a")]);
        assert!(sloppy("frob,lowerdir=").is_err());
    }
}
