//! What a user may ask of a mount: told before anything is tried, in words of its own.

use anyhow::{Result, bail};
use layerfs_driver::sys::file;
use layerfs_driver::sys::host::Rights;

use super::options::{Options, Rule};

/// Where the administrator says what `fusermount3` does for users.
const CONFIGURATION: &str = "/etc/fuse.conf";
/// More is no configuration.
const CONFIGURATION_MAX_BYTES: u64 = 1 << 20;

/// Refuses what mounts of others than root can't be.
pub fn check(said: &Options, rights: Rights) -> Result<()> {
    if rights != Rights::User {
        return Ok(());
    }
    for (word, rule) in [("suid", said.suid), ("dev", said.dev)] {
        if rule == Some(Rule::Allow) {
            bail!(
                "option `{word}`: mounts of users who are not root are nosuid,nodev; leave it out, or mount as root"
            );
        }
    }
    if said.sym_follow == Some(Rule::Deny) {
        bail!("option `nosymfollow`: fusermount3 does not know it; leave it out, or mount as root");
    }
    if said.propagation.is_some() {
        bail!(
            "option `shared`, `slave`, `private` or `unbindable`: fusermount3 does not know it; leave it out, or mount as \
             root"
        );
    }
    if said.allow_root {
        bail!(
            "option `allow_root` is refused: the kernel lets root in with everybody, by `allow_other`"
        );
    }
    if said.allow_other && !is_allow_other_granted()? {
        bail!(
            "option `allow_other`: {CONFIGURATION} has no line `user_allow_other`; leave the option out, or have root \
             add that line"
        );
    }
    Ok(())
}

fn is_allow_other_granted() -> Result<bool> {
    match file::open_read_path(CONFIGURATION) {
        Err(error) if error.is_absent() => Ok(false),
        opened => {
            let text = file::read_all(opened?, CONFIGURATION_MAX_BYTES)?;
            Ok(grants_allow_other(&String::from_utf8_lossy(&text)))
        }
    }
}

/// As `fusermount3` reads it: a word alone on its line, comments aside.
fn grants_allow_other(text: &str) -> bool {
    let word = |line: &str| line.split('#').next().map(str::trim) == Some("user_allow_other");
    text.lines().any(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_is_a_word_alone_on_its_line() {
        for text in ["user_allow_other", "a\n  user_allow_other # all\nb\n"] {
            assert!(grants_allow_other(text), "{text}");
        }
        for text in ["", "#user_allow_other\n", "user_allow_other = 1\n", "mount_max = 1\n"] {
            assert!(!grants_allow_other(text), "{text}");
        }
    }

    #[test]
    fn users_are_told_what_they_can_not_have_and_others_are_not() {
        let said = |rule| Options { suid: Some(rule), ..Options::default() };
        assert!(check(&said(Rule::Deny), Rights::User).is_ok());
        let told = check(&said(Rule::Allow), Rights::User).unwrap_err().to_string();
        assert!(told.starts_with("option `suid`: "), "{told}");
        assert!(check(&said(Rule::Allow), Rights::Root).is_ok());
    }
}
