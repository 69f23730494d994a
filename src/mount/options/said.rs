//! Owns what was said with `-o`, word by word.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail};
use layerfs_driver::lower::Redirects;
use layerfs_driver::sys::mount::Propagation;
use layerfs_driver::tree::IdRange;

use super::split::{split, unescape};
use super::value::{bound, directory, id, id_ranges, label, lowers, shown, timeout, whiteout};
use super::{known, nearest};
use crate::mount::bounds::Bounds;
use crate::session::Misused;

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
    /// `remount` was said: the mount is there, and its flags change.
    pub remount: bool,
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
    /// `nosymfollow` is `Deny`.
    pub sym_follow: Option<Rule>,
    /// `dirsync` was said.
    pub dir_sync: bool,
    /// What `redirect_dir=` says.
    pub redirects: Option<Redirects>,
    /// `acl` or `noacl`.
    pub acl: Option<Rule>,
    /// `allow_other` was said.
    pub allow_other: bool,
    /// `allow_root` was said.
    pub allow_root: bool,
    /// `userxattr` was said.
    pub userxattr: bool,
    /// `volatile` was said.
    pub volatile: bool,
    /// `size=` and `inodes=`: how much changes may take.
    pub bounds: Bounds,
    /// `whiteout=`: what whiteouts are made as; `None` for what can be had.
    pub whiteout: Option<Whiteout>,
    /// `partial=on` or `partial=off`: whether data may stay in the lower.
    pub partial: Option<Rule>,
    /// `partial=blocks`: it may, and what is written is copied up block by block.
    pub blocks: bool,
    /// `io=cached` is `Deny`: the kernel reads and writes no file itself.
    pub kernel_io: Option<Rule>,
    /// `cpu_latency=usual` is `Deny`: idle processors sleep as deeply as they do without the mount.
    pub low_latency: Option<Rule>,
    /// `timeout=`: how long the kernel may believe what it was told of the lower directories.
    pub timeout: Option<Duration>,
    /// `store=`: where the image's store is.
    pub store: Option<PathBuf>,
    /// `uidmapping=`: which users are shown for those that are stored.
    pub users: Vec<IdRange>,
    /// `gidmapping=`, the same of groups.
    pub groups: Vec<IdRange>,
    /// `squash_to_root`, `squash_to_uid=`: the user that all are shown as.
    pub squash_user: Option<u32>,
    /// `squash_to_root`, `squash_to_gid=`: the group that all are shown as.
    pub squash_group: Option<u32>,
    /// `noxattrs` was said.
    pub no_xattrs: bool,
    /// `static_nlink` was said.
    pub static_nlink: bool,
    /// `fsync=0` was said.
    pub no_fsync: bool,
    /// `private` and its like.
    pub propagation: Option<Propagation>,
    /// `context=` and its like, in the kernel's form.
    pub labels: Vec<String>,
}

/// Reads the words of one `-o`, or of several joined by commas. A later word wins over an earlier.
pub fn parse(words: &OsStr, unknown: Unknown) -> Result<Options> {
    let mut options = Options::default();
    for word in split(words.as_bytes(), b',') {
        let (key, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let known = match value {
            Some(value) => options.take_value(key, value).map_err(misused)?,
            None => options.take_flag(key),
        };
        if known || known::changes_nothing(word, key) || unknown == Unknown::Ignore {
            continue;
        }
        match (known::refusal(word, key), known::values(key)) {
            (Some(reason), _) => bail!("option `{}` is refused: {reason}", shown(word)),
            (None, Some(values)) => {
                return Err(misused(anyhow!("option `{}`: {values}", shown(word))));
            }
            (None, None) => {
                return Err(misused(anyhow!(
                    "option `{}` is not known{}; `layerfs mount --help` lists those that are",
                    shown(word),
                    nearest::tip(key)
                )));
            }
        }
    }
    options.check().map_err(misused)?;
    Ok(options)
}

/// Directories between colons, as `lowerdir=` has them.
pub fn lowers_of(words: &OsStr) -> Result<Vec<PathBuf>> {
    lowers(words.as_bytes()).map_err(misused)
}

/// What is not understood is told so by the exit status, too. What is known and refused is understood.
fn misused(error: Error) -> Error {
    Misused::of(format!("{error:#}")).into()
}

impl Options {
    /// Takes `key=value`; answers whether there is such a key.
    fn take_value(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        match key {
            b"lowerdir" => self.lowers = lowers(value)?,
            b"upperdir" => self.upper = Some(directory("upperdir", value)?),
            b"workdir" => self.work = Some(directory("workdir", value)?),
            b"store" => self.store = Some(directory("store", value)?),
            b"fsname" => self.source = Some(OsString::from_vec(unescape(value))),
            b"timeout" => self.timeout = Some(timeout(value)?),
            b"whiteout" => self.whiteout = whiteout(value)?,
            b"redirect_dir" => self.redirects = Some(redirects(value)?),
            b"lowerdir+" => self.lowers.push(directory("lowerdir+", value)?),
            b"uidmapping" => self.users = id_ranges("uidmapping", value)?,
            b"gidmapping" => self.groups = id_ranges("gidmapping", value)?,
            b"size" | b"inodes" => return bound(&mut self.bounds, key, value),
            b"squash_to_uid" => self.squash_user = Some(id("squash_to_uid", value)?),
            b"squash_to_gid" => self.squash_group = Some(id("squash_to_gid", value)?),
            b"context" => self.labels.push(label("context", value)?),
            b"fscontext" => self.labels.push(label("fscontext", value)?),
            b"defcontext" => self.labels.push(label("defcontext", value)?),
            b"rootcontext" => self.labels.push(label("rootcontext", value)?),
            _ => return Ok(self.take_switch(key, value)),
        }
        Ok(true)
    }

    /// Takes `key=value` that is one of few; answers whether there is such a pair.
    fn take_switch(&mut self, key: &[u8], value: &[u8]) -> bool {
        match (key, value) {
            (b"fsync", b"volatile") => self.volatile = true,
            (b"fsync", b"0") => self.no_fsync = true,
            (b"partial", b"on") => (self.partial, self.blocks) = (Some(Rule::Allow), false),
            (b"partial", b"blocks") => (self.partial, self.blocks) = (Some(Rule::Allow), true),
            (b"partial", b"off") => (self.partial, self.blocks) = (Some(Rule::Deny), false),
            (b"io", b"auto") => self.kernel_io = Some(Rule::Allow),
            (b"io", b"cached") => self.kernel_io = Some(Rule::Deny),
            (b"cpu_latency", b"auto") => self.low_latency = Some(Rule::Allow),
            (b"cpu_latency", b"usual") => self.low_latency = Some(Rule::Deny),
            (b"noxattrs", b"1") => self.no_xattrs = true,
            _ => return false,
        }
        true
    }

    /// Takes a word without a value; answers whether there is such a word.
    fn take_flag(&mut self, word: &[u8]) -> bool {
        match word {
            b"remount" => self.remount = true,
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
            b"symfollow" => self.sym_follow = Some(Rule::Allow),
            b"nosymfollow" => self.sym_follow = Some(Rule::Deny),
            b"allow_other" => (self.allow_other, self.allow_root) = (true, false),
            b"allow_root" => (self.allow_other, self.allow_root) = (false, true),
            b"dirsync" => self.dir_sync = true,
            b"squash_to_root" => (self.squash_user, self.squash_group) = (Some(0), Some(0)),
            b"noxattrs" => self.no_xattrs = true,
            b"static_nlink" => self.static_nlink = true,
            b"userxattr" => self.userxattr = true,
            b"volatile" => self.volatile = true,
            _ => return self.take_propagation(word),
        }
        true
    }

    /// Takes what mount(8) says in a second call, and podman in the first. There are no mounts below for the recursive
    /// forms.
    fn take_propagation(&mut self, word: &[u8]) -> bool {
        self.propagation = Some(match word {
            b"shared" | b"rshared" => Propagation::Shared,
            b"slave" | b"rslave" => Propagation::Slave,
            b"private" | b"rprivate" => Propagation::Private,
            b"unbindable" | b"runbindable" => Propagation::Unbindable,
            _ => return false,
        });
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

/// Kernel overlayfs follows with `off` what it was built to follow; here nothing is.
fn redirects(value: &[u8]) -> Result<Redirects> {
    Ok(match value {
        b"on" => Redirects::Follow,
        b"follow" => Redirects::FollowOnly,
        b"off" | b"nofollow" => Redirects::Refuse,
        _ => bail!("option `redirect_dir={}`: `on`, `follow`, `nofollow` or `off`", shown(value)),
    })
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
        let rows: [(&[u8], &[&[u8]]); 11] = [
            (b"lowerdir=a", &[b"a"]),
            (b"lowerdir=/a:/b:c", &[b"/a", b"/b", b"c"]),
            (br"lowerdir=a\:b:c", &[b"a:b", b"c"]),
            (br"lowerdir=a\,b:c\,d", &[b"a,b", b"c,d"]),
            (br"lowerdir=a\\:b", &[br"a\", b"b"]),
            (br"lowerdir=a\\\:b", &[br"a\:b"]),
            (br"lowerdir=a\b:c\", &[br"a\b", br"c\"]),
            (b"lowerdir=a\xff\n:b=c", &[b"a\xff\n", b"b=c"]),
            (b"lowerdir=a,lowerdir=b", &[b"b"]),
            (br"lowerdir+=a:b,lowerdir+=c\,d", &[b"a:b", b"c,d"]),
            (b"lowerdir+=a,lowerdir=b:c,lowerdir+=d", &[b"b", b"c", b"d"]),
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
            (b"redirect_dir=off", Options { redirects: Some(Redirects::Refuse), ..none.clone() }),
            (
                b"redirect_dir=off,redirect_dir=on",
                Options { redirects: Some(Redirects::Follow), ..none.clone() },
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
    fn bounds_are_read() {
        let bounds = |size_bytes, inodes| Bounds { size_bytes, inodes };
        assert_eq!(
            read(b"size=1g,inodes=7,size=20m").unwrap().bounds,
            bounds(Some(20 << 20), Some(7))
        );
        assert_eq!(read(b"inodes=9").unwrap().bounds, bounds(None, Some(9)));
    }

    #[test]
    fn words_of_fuse_overlayfs_are_read() {
        let none = Options::default();
        let range = |stored, shown, len| IdRange { stored, shown, len };
        let mapped = Options {
            users: vec![range(0, 100_000, 10)],
            groups: vec![range(0, 5, 1), range(1, 7, 2)],
            ..none.clone()
        };
        assert_eq!(read(b"uidmapping=:0:100000:10,gidmapping=0:5:1:1:7:2").unwrap(), mapped);
        let squashed =
            |user, group| Options { squash_user: user, squash_group: group, ..none.clone() };
        assert_eq!(read(b"squash_to_root").unwrap(), squashed(Some(0), Some(0)));
        assert_eq!(read(b"squash_to_root,squash_to_gid=7").unwrap(), squashed(Some(0), Some(7)));
        assert_eq!(read(b"fsync=volatile").unwrap(), Options { volatile: true, ..none.clone() });
        let three = read(b"noxattrs=1,static_nlink,fsync=0,allow_root,allow_other").unwrap();
        let expected = Options {
            no_xattrs: true,
            static_nlink: true,
            no_fsync: true,
            allow_other: true,
            ..none.clone()
        };
        assert_eq!(three, expected);
        let labels = read(br#"context="u:r:t:s0:c1,c2",rootcontext=x"#).unwrap().labels;
        assert_eq!(labels, [r#"context="u:r:t:s0:c1,c2""#, r#"rootcontext="x""#]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let listed = "; `layerfs mount --help` lists those that are";
        assert!(read(b"frob").unwrap_err().to_string().ends_with(listed));
        let rows: [(&[u8], &str); 30] = [
            (b"nfs_export=on", "option `nfs_export=on` is refused: nothing here"),
            (b"plugins=/x", "option `plugins=/x` is refused: plugins"),
            (b"squash_to_root=1", "option `squash_to_root=1` is not known"),
            (b"noxattr=1", "option `noxattr=1` is not known"),
            (b"timeout=", "option `timeout=`: seconds"),
            (b"timeout=-1", "option `timeout=-1`: seconds"),
            (b"timeout=NaN", "option `timeout=NaN`: seconds"),
            (b"timeout=1s", "option `timeout=1s`: seconds"),
            (b"size=50%", "option `size=50%`: bytes, or a number with k, m, g or t"),
            (b"size=1k", "option `size=1k`: at least 64k"),
            (b"inodes=-1", "option `inodes=-1`: how many files and directories"),
            (b"metacopy=maybe", "option `metacopy=maybe`: `off` or `on`"),
            (b"io=direct", "option `io=direct`: `auto` or `cached`"),
            (b"io", "option `io`: `auto` or `cached`"),
            (b"cpu_latency=", "option `cpu_latency=`: `auto` or `usual`"),
            (b"partial=yes", "option `partial=yes`: `on`, `off` or `blocks`"),
            (b"fsync=2", "option `fsync=2`: `0`, `volatile`, `1`, `auto` or `strict`"),
            (b"noxattrs=2", "option `noxattrs=2`: `1` or `0`"),
            (b"override_creds=x", "option `override_creds=x` is not known"),
            (b"ro,frob,rw", "option `frob` is not known"),
            (b"ro=1", "option `ro=1` is not known"),
            (b"lowerdir", "option `lowerdir` is not known"),
            (b" ro", "option ` ro` is not known"),
            (
                b"redirect_dir=maybe",
                "option `redirect_dir=maybe`: `on`, `follow`, `nofollow` or `off`",
            ),
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
        assert_eq!(sloppy("frob,verity=on,lowerdir=a").unwrap().lowers, [PathBuf::from("a")]);
        assert!(sloppy("frob,lowerdir=").is_err());
    }
}
