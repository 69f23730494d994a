//! The words of `--volume`: what of the host shows where, and whether it can be changed there.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file;
use layerfs_runtime::spec::{Access, Contents, Volume};
use serde::{Deserialize, Serialize};

use super::volume;

/// A directory or file of the host's, or a volume of the store's, and where it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is and shows.
    pub volume: Volume,
    /// The volume's name, where it is one of the store's.
    pub name: Option<String>,
    /// Whether that name was invented: nobody said one.
    pub is_anonymous: bool,
    /// Whether a new volume begins with what the image has there.
    pub copies: Copies,
}

/// The same in a record: paths are bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    source: OsString,
    target: OsString,
    read_only: bool,
    name: Option<String>,
    #[serde(default)]
    is_anonymous: bool,
    copies: bool,
}

impl Shown {
    /// What is recorded of it.
    pub fn of(mounted: &Mounted) -> Self {
        Shown {
            source: mounted.volume.source.clone().into(),
            target: mounted.volume.target.clone().into(),
            read_only: mounted.volume.access == Access::ReadOnly,
            name: mounted.name.clone(),
            is_anonymous: mounted.is_anonymous,
            copies: mounted.copies == Copies::Yes,
        }
    }

    /// What is shown again. A directory of the host's has to be there still; a volume is found by its name.
    pub fn mounted(&self, store: &Store) -> Result<Mounted> {
        let source = match &self.name {
            Some(name) => store.path_of_volume(name)?,
            None => {
                let source = Path::new(&self.source);
                unmoved(source, &format!("volume `{}`", source.display()))?
            }
        };
        let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let (target, contents) = (PathBuf::from(&self.target), Contents::Own);
        let copies = if self.copies { Copies::Yes } else { Copies::No };
        Ok(Mounted {
            volume: Volume { source, target, access, contents },
            name: self.name.clone(),
            is_anonymous: self.is_anonymous,
            copies,
        })
    }

    /// The volume that it is, where nobody named that.
    pub fn anonymous(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.is_anonymous)
    }
}

/// Whether a new volume begins with what the image has at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// It does.
    Yes,
    /// It begins empty.
    No,
}

/// Reads `SOURCE:TARGET[:OPTION,…]`, or a target alone, which is a volume that nobody names. A source that is a path is there, and its links are resolved once, here.
pub fn read(words: &str, store: &Store) -> Result<Mounted> {
    let what = format!("volume `{words}`");
    let parts: Vec<&str> = words.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] if target.starts_with('/') => {
            return anonymous(target, (Access::ReadWrite, Copies::Yes), (&what, store));
        }
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => bail!(
            "{what}: write SOURCE:TARGET, SOURCE:TARGET:ro or SOURCE:TARGET:rw; a SOURCE without `/` is a volume, made where it is \
             not there, such as data:/{words}, and /{words} alone is one without a name"
        ),
    };
    let (mut access, mut copies) = (Access::ReadWrite, Copies::Yes);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => access = Access::ReadWrite,
            "ro" => access = Access::ReadOnly,
            "nocopy" => copies = Copies::No,
            // Labels of SELinux, which no container has here; mounts never spread to the host.
            "z" | "Z" | "private" | "rprivate" => {}
            _ => bail!(
                "{what}: `{option}` is none of ro, rw, nocopy, z and Z, nor private; mounts never spread to the host"
            ),
        }
    }
    mounted((source, target), (access, copies), (&what, store))
}

/// The same of parts that are read already; `what` names them.
pub fn mounted(
    (source, target): (&str, &str),
    (access, copies): (Access, Copies),
    (what, store): (&str, &Store),
) -> Result<Mounted> {
    if source.is_empty() {
        bail!("{what}: the directory of the host, or a volume's name, is missing before the colon");
    }
    let target = self::target(target, what)?;
    refuse_proc(&target, what)?;
    let contents = Contents::Own;
    let is_path = source.contains('/') || source == "." || source == "..";
    let (name, source) = match is_path {
        true => (None, resolved(Path::new(source), what)?),
        false => (
            Some(source.to_owned()),
            store.path_of_volume(source).with_context(|| {
                format!("{what}: a word without `/` is a volume's name; `./{source}` would be the directory here")
            })?,
        ),
    };
    let volume = Volume { source, target, access, contents };
    Ok(Mounted { volume, name, is_anonymous: false, copies })
}

/// A volume whose name is invented.
pub fn anonymous(
    target: &str,
    (access, copies): (Access, Copies),
    (what, store): (&str, &Store),
) -> Result<Mounted> {
    let target = self::target(target, what)?;
    refuse_proc(&target, what)?;
    let name = volume::invented()?;
    let (source, contents) = (store.path_of_volume(&name)?, Contents::Own);
    let volume = Volume { source, target, access, contents };
    Ok(Mounted { volume, name: Some(name), is_anonymous: true, copies })
}

/// The words that mean that volume.
pub fn words(mounted: &Mounted) -> String {
    let access = if mounted.volume.access == Access::ReadOnly { "ro" } else { "rw" };
    let source = mounted.name.clone();
    let source = source.unwrap_or_else(|| mounted.volume.source.display().to_string());
    let copies = if mounted.copies == Copies::No { ",nocopy" } else { "" };
    format!("{source}:{}:{access}{copies}", mounted.volume.target.display())
}

/// A place in the container to mount on.
pub fn target(target: &str, what: &str) -> Result<PathBuf> {
    let target = Path::new(target);
    if !target.is_absolute() {
        bail!("{what}: the place in the container has to begin with /");
    }
    let target: PathBuf = target.components().filter(|part| *part != Component::CurDir).collect();
    if target.components().any(|part| part == Component::ParentDir) {
        bail!("{what}: the place in the container may not go up by `..`");
    }
    if target == Path::new("/") {
        bail!("{what}: nothing can be mounted over the container's root; --rootfs makes another");
    }
    Ok(target)
}

/// What may be shown in the place of a file of `/proc`: what stands there is for programs to read, and nothing of the runtime's goes by it.
const OF_PROC: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "uptime",
];

/// Refuses a place in `/proc`: by files there this runtime and programs set up what keeps a container in (CVE-2019-16884).
fn refuse_proc(target: &Path, what: &str) -> Result<()> {
    match target.strip_prefix("/proc") {
        Ok(inside) if !OF_PROC.iter().any(|file| inside == Path::new(file)) => bail!(
            "{what}: `{}` is the container's own; in /proc a volume goes on {} alone",
            target.display(),
            OF_PROC.join(", ")
        ),
        _ => Ok(()),
    }
}

/// What a container was made with, where that still is what its path leads to: who may write to a directory on the way could
/// show it any of the host's by a link.
pub fn unmoved(source: &Path, what: &str) -> Result<PathBuf> {
    let now = resolved(source, what)?;
    if now != source {
        bail!(
            "{what}: a link on the way leads to `{}` now; put back what was there, or make the container again",
            now.display()
        );
    }
    Ok(now)
}

fn resolved(source: &Path, what: &str) -> Result<PathBuf> {
    let opened = file::open_place(source).with_context(|| {
        format!("{what}: make `{0}` first, with `mkdir {0}` for instance", source.display())
    })?;
    Ok(dir::path_of(&opened)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        (scratch, store)
    }

    #[test]
    fn a_volume_has_a_source_a_place_and_an_access() {
        let (_scratch, store) = store();
        let (contents, access) = (Contents::Own, Access::ReadOnly);
        let path = Volume { source: "/".into(), target: "/a/b".into(), access, contents };
        let read = |words: &str| read(words, &store).unwrap();
        let expected =
            Mounted { volume: path, name: None, is_anonymous: false, copies: Copies::Yes };
        assert_eq!(read("/proc/..:/a/./b:ro"), expected);
        assert_eq!(read("/:/a").volume.access, Access::ReadWrite);
        assert_eq!(read("/:/a:z").volume.access, Access::ReadWrite);
        let named = read("data:/a:ro,nocopy");
        assert_eq!((named.name.as_deref(), named.copies), (Some("data"), Copies::No));
        assert!(named.volume.source.ends_with("store/volumes/data/data"));
        for words in ["/:/a/b:ro", "data:/a:rw,nocopy", "data:/a:rw"] {
            assert_eq!(super::words(&read(words)), words);
        }
    }

    #[test]
    fn slips_are_named() {
        let (_scratch, store) = store();
        for (words, said) in [
            ("/", "over the container's root"),
            ("data", "data:/data, and /data alone"),
            ("/:b", "begin with /"),
            ("/:/b:rx", "none of ro, rw"),
            (":/b", "missing before the colon"),
            ("d:/b", "`./d` would be"),
            ("/:/a/../b", "may not go up"),
            ("/:/", "over the container's root"),
            ("/none:/b", "make `/none` first"),
        ] {
            let error = format!("{:#}", read(words, &store).unwrap_err());
            assert!(error.contains(said), "{words}: {error}");
        }
    }

    #[test]
    fn places_in_proc_are_refused_but_for_what_programs_read() {
        let (_scratch, store) = store();
        let mounted = |target: &str| {
            mounted(("/etc", target), (Access::ReadOnly, Copies::No), ("-v", &store))
        };
        for target in ["/proc/cpuinfo", "/proc/net/dev", "/procs", "/srv/proc"] {
            assert!(mounted(target).is_ok(), "{target}");
        }
        for target in
            ["/proc", "/proc/", "/proc/self/attr", "/proc/sys/kernel", "/proc/net", "/./proc/1"]
        {
            let told = mounted(target).unwrap_err().to_string();
            assert!(told.contains("is the container's own"), "{target}: {told}");
        }
    }
}
