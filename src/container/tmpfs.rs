//! The words of `--tmpfs`: a file system in memory, where it shows and what it takes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_runtime::cgroup::words;
use layerfs_runtime::spec::{Refused, Tmpfs};

use super::volumes::{self, Mounted};

/// Words that take a refusal back, or say it, with what they are about.
const FLAGS: [(&str, &str, Refused); 4] = [
    ("rw", "ro", Refused::Changes),
    ("exec", "noexec", Refused::Programs),
    ("suid", "nosuid", Refused::SetIds),
    ("dev", "nodev", Refused::Devices),
];

/// Keys of `tmpfs(5)` whose value is a number.
const NUMBERS: [&str; 2] = ["uid", "gid"];

/// Reads `TARGET[:OPTION,…]`. As docker's, it is `noexec,nosuid,nodev` where nothing else is said.
pub fn read(said: &str) -> Result<Tmpfs> {
    let (target, options) = said.split_once(':').unwrap_or((said, ""));
    let what = format!("tmpfs `{said}`");
    let target: PathBuf = volumes::target(target, &what)?;
    if target.starts_with("/proc") || target.starts_with("/sys") || target == Path::new("/dev") {
        bail!(
            "{what}: `{}` is the container's own, of the kernel; name another place",
            target.display()
        );
    }
    let mut refused = vec![Refused::Programs, Refused::SetIds, Refused::Devices];
    let mut given: Vec<(String, String)> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if let Some((_, no, flag)) = FLAGS.iter().find(|(yes, no, _)| [*yes, *no].contains(&option))
        {
            refused.retain(|one| one != flag);
            refused.extend((option == *no).then_some(*flag));
            continue;
        }
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let value = match key {
            "size" => {
                let percent = value
                    .strip_suffix('%')
                    .is_some_and(|number| number.parse::<u8>().is_ok_and(|number| number > 0));
                if percent { value.to_owned() } else { size(value, &what)?.to_string() }
            }
            "mode" if u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777) => {
                value.to_owned()
            }
            "mode" => bail!(
                "{what}: `mode={value}` is no mode; write it as chmod(1) takes one, such as 1777"
            ),
            "nr_inodes" => size(value, &what)?.to_string(),
            _ if NUMBERS.contains(&key) && value.parse::<u32>().is_ok() => value.to_owned(),
            _ if NUMBERS.contains(&key) => bail!("{what}: `{key}={value}` is no number"),
            _ => bail!(
                "{what}: option `{option}` is not known; there are size, mode, uid, gid, nr_inodes, ro, exec, suid and dev"
            ),
        };
        given.retain(|(known, _)| known != key);
        given.push((key.to_owned(), value));
    }
    Ok(Tmpfs { target, options: given, refused })
}

/// Refuses a place on which two things are to be mounted: only one would be seen.
pub fn refuse_twice(volumes: &[Mounted], tmpfs: &[Tmpfs]) -> Result<()> {
    let mut targets: Vec<&Path> =
        volumes.iter().map(|mounted| mounted.volume.target.as_path()).collect();
    targets.extend(tmpfs.iter().map(|tmpfs| tmpfs.target.as_path()));
    targets.sort_unstable();
    match targets.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => {
            bail!("two mounts on `{}`: only one would be seen; leave one out", two[0].display())
        }
        None => Ok(()),
    }
}

fn size(value: &str, what: &str) -> Result<u64> {
    words::bytes(value).with_context(|| format!("{what}: `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tmpfs: &Tmpfs) -> Vec<String> {
        tmpfs.options.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn it_is_as_dockers_where_nothing_else_is_said() {
        let tmpfs = read("/run/./lock").unwrap();
        assert_eq!(tmpfs.target, PathBuf::from("/run/lock"));
        assert!(tmpfs.options.is_empty());
        assert_eq!(tmpfs.refused, [Refused::Programs, Refused::SetIds, Refused::Devices]);
    }

    #[test]
    fn options_are_those_of_tmpfs_and_the_last_word_counts() {
        let tmpfs =
            read("/t:size=64k,mode=755,exec,noexec,exec,ro,uid=5,size=1m,nr_inodes=10k").unwrap();
        assert_eq!(options(&tmpfs), ["mode=755", "uid=5", "size=1048576", "nr_inodes=10240"]);
        assert_eq!(tmpfs.refused, [Refused::SetIds, Refused::Devices, Refused::Changes]);
        assert_eq!(options(&read("/t:size=50%").unwrap()), ["size=50%"]);
    }

    #[test]
    fn slips_are_named() {
        for (said, told) in [
            ("t", "begin with /"),
            ("/t:size=much", "not an amount of memory"),
            ("/t:size=0", "not an amount of memory"),
            ("/t:size=0%", "not an amount of memory"),
            ("/proc/self", "is the container's own"),
            ("/dev", "is the container's own"),
            ("/t:mode=9", "is no mode"),
            ("/t:uid=root", "`uid=root` is no number"),
            ("/t:huge=always", "`huge=always` is not known"),
        ] {
            let error = format!("{:#}", read(said).unwrap_err());
            assert!(error.contains(told), "{said}: {error}");
        }
    }
}
