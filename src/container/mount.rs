//! The words of `--mount`: keys and values that mean what `--volume` or `--tmpfs` say shorter.

use anyhow::{Result, bail};
use layerfs_driver::store::Store;
use layerfs_runtime::spec::Access;

use super::volumes::{Copies, Mounted, anonymous, mounted};

/// What one `--mount` means.
#[derive(Debug, PartialEq, Eq)]
pub enum Mount {
    /// A directory of the host's, or a volume.
    Shown(Box<Mounted>),
    /// A file system in memory, in the words of `--tmpfs`.
    InMemory(String),
}

/// Reads `type=bind|volume|tmpfs,source=…,target=…[,readonly][,…]`; docker's type is `volume` where none is said.
pub fn read(said: &str, store: &Store) -> Result<Mount> {
    let what = format!("--mount `{said}`");
    let (mut kind, mut source, mut target) = ("volume", "", "");
    let (mut access, mut copies) = (Access::ReadWrite, Copies::Yes);
    let mut in_memory: Vec<String> = Vec::new();
    for word in said.split(',') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let is_flag = ["readonly", "ro", "volume-nocopy"].contains(&key);
        let is_on = match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ if is_flag => bail!("{what}: `{word}`: write true or false"),
            _ => true,
        };
        match key {
            "type" => kind = value,
            "source" | "src" => source = value,
            "target" | "dst" | "destination" => target = value,
            "readonly" | "ro" if is_on => access = Access::ReadOnly,
            "readonly" | "ro" => access = Access::ReadWrite,
            "volume-nocopy" if is_on => copies = Copies::No,
            "volume-nocopy" => copies = Copies::Yes,
            "bind-propagation" if ["private", "rprivate"].contains(&value) => {}
            "tmpfs-size" => in_memory.push(format!("size={value}")),
            "tmpfs-mode" => in_memory.push(format!("mode={value}")),
            _ => bail!(
                "{what}: `{word}` is not known; there are type, source, target, readonly, volume-nocopy, tmpfs-size and \
                 tmpfs-mode"
            ),
        }
    }
    let is_path = source.contains('/') || source == "." || source == "..";
    match (kind, is_path) {
        ("bind", false) => bail!("{what}: source has to be a path, such as ./{source}"),
        ("volume", true) => bail!("{what}: a path is shown by type=bind; a volume has a name"),
        ("volume", _) if source.is_empty() => {
            Ok(Mount::Shown(Box::new(anonymous(target, (access, copies), (&what, store))?)))
        }
        ("bind" | "volume", _) => {
            let mounted = mounted((source, target), (access, copies), (&what, store))?;
            Ok(Mount::Shown(Box::new(mounted)))
        }
        ("tmpfs", _) if !source.is_empty() => bail!("{what}: a tmpfs has no source"),
        ("tmpfs", _) => {
            in_memory.extend((access == Access::ReadOnly).then(|| "ro".to_owned()));
            Ok(Mount::InMemory(format!("{target}:{}", in_memory.join(","))))
        }
        _ => bail!("{what}: type is bind, volume or tmpfs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_means_what_the_shorter_words_do() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        let shown = |said: &str| match read(said, &store).unwrap() {
            Mount::Shown(mounted) => super::super::volumes::words(&mounted),
            Mount::InMemory(words) => words,
        };
        assert_eq!(shown("type=bind,src=/,dst=/a,ro"), "/:/a:ro");
        assert_eq!(shown("source=data,target=/a,volume-nocopy=true"), "data:/a:rw,nocopy");
        assert_eq!(shown("type=volume,src=data,dst=/a,readonly=false"), "data:/a:rw");
        assert_eq!(shown("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"), "/t:size=1m,mode=700");
        for (said, told) in [
            ("type=bind,src=data,dst=/a", "has to be a path"),
            ("src=/,dst=/a", "type=bind"),
            ("dst=a", "begin with /"),
            ("type=nfs,src=x,dst=/a", "bind, volume or tmpfs"),
            ("type=bind,src=/,dst=/a,x=y", "`x=y` is not known"),
            ("type=tmpfs,src=x,dst=/a", "has no source"),
            ("type=bind,src=/,dst=a", "begin with /"),
            ("type=bind,src=/,dst=/a,readonly=nO", "write true or false"),
        ] {
            let error = format!("{:#}", read(said, &store).unwrap_err());
            assert!(error.contains(told), "{said}: {error}");
        }
    }
}
