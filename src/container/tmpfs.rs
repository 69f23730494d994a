//! The words of `--tmpfs`: a file system in memory, where it shows and what it takes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use layerfs_runtime::cgroup::words;
use layerfs_runtime::spec::{Refused, Tmpfs};

use super::volumes;

/// Words that take a refusal back, or say it, with what they are about.
const FLAGS: [(&str, &str, Refused); 4] = [
    ("rw", "ro", Refused::Changes),
    ("exec", "noexec", Refused::Programs),
    ("suid", "nosuid", Refused::SetIds),
    ("dev", "nodev", Refused::Devices),
];

/// Keys of `tmpfs(5)` whose value is a number.
const NUMBERS: [&str; 3] = ["uid", "gid", "nr_inodes"];

/// Reads `TARGET[:OPTION,…]`. As docker's, it is `noexec,nosuid,nodev` where nothing else is said, and everybody may write in it.
pub fn read(said: &str) -> Result<Tmpfs> {
    let (target, options) = said.split_once(':').unwrap_or((said, ""));
    let what = format!("tmpfs `{said}`");
    let target: PathBuf = volumes::target(target, &what)?;
    let mut refused = vec![Refused::Programs, Refused::SetIds, Refused::Devices];
    let mut given = vec![("mode".to_owned(), "1777".to_owned())];
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
                let percent =
                    value.strip_suffix('%').is_some_and(|number| number.parse::<u8>().is_ok());
                if percent { value.to_owned() } else { size(value, &what)?.to_string() }
            }
            "mode" if u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777) => {
                value.to_owned()
            }
            "mode" => bail!(
                "{what}: `mode={value}` is no mode; write it as chmod(1) takes one, such as 1777"
            ),
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

fn size(value: &str, what: &str) -> Result<u64> {
    words::bytes(value).with_context(|| format!("{what}: size `{value}`"))
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
        assert_eq!(options(&tmpfs), ["mode=1777"]);
        assert_eq!(tmpfs.refused, [Refused::Programs, Refused::SetIds, Refused::Devices]);
    }

    #[test]
    fn options_are_those_of_tmpfs_and_the_last_word_counts() {
        let tmpfs = read("/t:size=64k,mode=755,exec,noexec,exec,ro,uid=5,size=1m").unwrap();
        assert_eq!(options(&tmpfs), ["mode=755", "uid=5", "size=1048576"]);
        assert_eq!(tmpfs.refused, [Refused::SetIds, Refused::Devices, Refused::Changes]);
        assert_eq!(options(&read("/t:size=50%").unwrap())[1], "size=50%");
    }

    #[test]
    fn slips_are_named() {
        for (said, told) in [
            ("t", "begin with /"),
            ("/t:size=much", "not an amount of memory"),
            ("/t:size=0", "not an amount of memory"),
            ("/t:mode=9", "is no mode"),
            ("/t:uid=root", "`uid=root` is no number"),
            ("/t:huge=always", "`huge=always` is not known"),
        ] {
            let error = format!("{:#}", read(said).unwrap_err());
            assert!(error.contains(told), "{said}: {error}");
        }
    }
}
