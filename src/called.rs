//! The names and forms that other programs call layerfs by, turned into layerfs's own words.
//!
//! | Called | By | Own words |
//! |---|---|---|
//! | `layerfs -o OPTIONS DIR` | podman's `mount_program` | `layerfs mount -o OPTIONS DIR` |
//! | `fuse-layerfs [-f] [-d] [-o OPTIONS] DIR`, and the same as `fuse-overlayfs` | whoever calls fuse-overlayfs | `layerfs mount [--foreground] …` |
//! | `layerfs SPEC DIR -o OPTIONS` | mount.fuse of libfuse, for `-t fuse.layerfs` | `layerfs mount -o OPTIONS SPEC DIR` |
//! | `mount.layerfs`, `mount.fuse.layerfs` `SPEC DIR [-sfnv] [-N NS] [-o OPTIONS] [-t TYPE]` | mount(8) | `layerfs mount …` |

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap::CommandFactory;

/// What the user may have written for the command's name.
const HELPERS: [&str; 2] = ["mount.layerfs", "mount.fuse.layerfs"];
const FUSE: [&str; 2] = ["fuse-layerfs", "fuse-overlayfs"];

const FUSE_HELP: &str = "\
[-f] [-d] [-s] [-o OPTIONS] DIR

Mounts directories as one tree at DIR, as fuse-overlayfs does.

  -f          stay in the foreground
  -d          stay in the foreground, and tell what goes on
  -s          changes nothing
  -o OPTIONS  lowerdir=A:B[,upperdir=U,workdir=W] and others
  -V          print the version";
const HELPER_HELP: &str = "\
SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE]

Mounts an image, which SPEC names, or directories (-o lowerdir=A:B) at DIR, as mount(8) asks its helpers to.

  -s          pass over options that are not known
  -f          check all that can be checked, and mount nothing
  -n          changes nothing
  -v          tell which features of the kernel are used
  -o OPTIONS  options, separated by commas
  -t TYPE     changes nothing";
const MORE_HELP: &str = "`layerfs mount --help` lists the options of -o.";

/// Who called, which decides what words that are not understood end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who means layerfs.
    User,
    /// A program that calls whatever mounts for it: a helper of mount(8), fuse-overlayfs.
    Mounter,
}

/// The words as layerfs says them itself, and who said them. What can't be understood stays, for clap to name.
pub fn own_words(words: Vec<OsString>) -> (Vec<OsString>, Caller) {
    let name = words.first().and_then(|word| Path::new(word).file_name()).unwrap_or_default();
    let own = if HELPERS.iter().any(|helper| name == *helper) {
        helper(&words[1..])
    } else if FUSE.iter().any(|fuse_name| name == *fuse_name) {
        fuse(&words[1..])
    } else {
        match &words[..] {
            [_, first, ..] if first.as_bytes().starts_with(b"-o") => mount(&words[1..]),
            [_, spec, dir, option, options] if option == "-o" && !is_verb(spec) => {
                mount(&["-o".into(), options.clone(), "--".into(), spec.clone(), dir.clone()])
            }
            _ => return (words, Caller::User),
        }
    };
    (own, Caller::Mounter)
}

/// The help of the name that the command was called by, where that was asked for; `None` for layerfs's own.
pub fn help(words: &[OsString]) -> Option<String> {
    let name = words.first().and_then(|word| Path::new(word).file_name())?.to_str()?;
    let is_asked = words.windows(2).any(|pair| {
        let is_value = ["-o", "-t", "-N"].iter().any(|option| pair[0] == *option);
        !is_value && (pair[1] == "--help" || pair[1] == "-h")
    });
    if !is_asked {
        return None;
    }
    if FUSE.contains(&name) {
        return Some(format!("Usage: {name} {FUSE_HELP}\n\n{MORE_HELP}"));
    }
    HELPERS.contains(&name).then(|| format!("Usage: {name} {HELPER_HELP}\n\n{MORE_HELP}"))
}

/// Whether a word may be layerfs's own: a verb, or an option before it. An image of that name wants `mount` before it.
fn is_verb(word: &OsStr) -> bool {
    let verbs = crate::cli::Cli::command();
    word.as_bytes().starts_with(b"-") || verbs.get_subcommands().any(|verb| word == verb.get_name())
}

fn mount(rest: &[OsString]) -> Vec<OsString> {
    let verb = ["layerfs", "mount"].map(OsString::from);
    verb.into_iter().chain(rest.iter().cloned()).collect()
}

/// As FUSE programs are called: `-f` stays in the foreground, `-d` tells what goes on there, `-s` asks for one thread.
fn fuse(rest: &[OsString]) -> Vec<OsString> {
    if rest.iter().any(|word| word == "--version" || word == "-V") {
        return ["layerfs", "--version"].map(OsString::from).into();
    }
    let own = |word: &OsString| -> Vec<OsString> {
        match word.as_bytes() {
            b"-f" => vec!["--foreground".into()],
            b"-d" => vec!["--foreground".into(), "--log-level=debug".into()],
            b"-s" => Vec::new(),
            _ => vec![word.clone()],
        }
    };
    // The word after `-o` is its value, whatever it looks like.
    let mut own_words = Vec::new();
    let mut is_value = false;
    for word in rest {
        if is_value {
            own_words.push(word.clone());
        } else {
            own_words.extend(own(word));
        }
        is_value = !is_value && word == "-o";
    }
    mount(&own_words)
}

/// As mount(8) calls its helpers. `-n` changes nothing here, and the type is the name we were called by.
fn helper(rest: &[OsString]) -> Vec<OsString> {
    let mut own = Vec::new();
    let mut places = Vec::new();
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.as_bytes().strip_prefix(b"-").filter(|rest| !rest.is_empty())
        else {
            places.push(word.clone());
            continue;
        };
        if letters.starts_with(b"-") {
            own.push(word.clone());
            continue;
        }
        flags(letters, &mut words, &mut own);
    }
    if own.iter().any(is_remount) {
        own.push("--unsaid-go".into());
    }
    if !places.is_empty() {
        own.push("--".into());
        own.extend(places);
    }
    mount(&own)
}

/// Whether these are the options of a mount that is there.
fn is_remount(options: &OsString) -> bool {
    options.as_bytes().split(|byte| *byte == b',').any(|word| word == b"remount")
}

/// The letters after one `-`: flags joined, the last of which may have a value, glued to it or in the next word.
fn flags(letters: &[u8], words: &mut std::slice::Iter<'_, OsString>, own: &mut Vec<OsString>) {
    for (at, letter) in letters.iter().enumerate() {
        match letter {
            b'n' => {}
            b'v' => own.push("--verbose".into()),
            b's' => own.push("--sloppy".into()),
            b'f' => own.push("--fake".into()),
            b'o' | b'N' | b't' => {
                let value = match &letters[at + 1..] {
                    [] => words.next().cloned(),
                    glued => Some(OsStr::from_bytes(glued).to_owned()),
                };
                own.extend(with_value(*letter, value));
                return;
            }
            other => own.push(OsString::from_vec(vec![b'-', *other])),
        }
    }
}

/// An option of mount(8) that has a value, in own words; one without its value stays so, for clap to name.
fn with_value(letter: u8, value: Option<OsString>) -> Vec<OsString> {
    let option = match letter {
        b'o' => "-o",
        b'N' => "--namespace",
        _ => return Vec::new(),
    };
    std::iter::once(option.into()).chain(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(words: &str) -> String {
        let words = words.split(' ').map(OsString::from).collect();
        own_words(words).0.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn every_name_and_form_becomes_own_words() {
        let rows = [
            ("layerfs images", "layerfs images"),
            ("layerfs", "layerfs"),
            ("/usr/bin/layerfs -o lowerdir=a m", "layerfs mount -o lowerdir=a m"),
            ("layerfs -olowerdir=a m", "layerfs mount -olowerdir=a m"),
            ("layerfs --root -o images", "layerfs --root -o images"),
            ("/x/fuse-layerfs -o a=b m", "layerfs mount -o a=b m"),
            ("/usr/bin/fuse-overlayfs -o a=b m", "layerfs mount -o a=b m"),
            ("layerfs debian:12 /m -o rw,dev", "layerfs mount -o rw,dev -- debian:12 /m"),
            ("layerfs mount /m -o lowerdir=a", "layerfs mount /m -o lowerdir=a"),
            ("layerfs --root /m -o x", "layerfs --root /m -o x"),
            ("fuse-layerfs m -f -o -d", "layerfs mount m --foreground -o -d"),
            ("fuse-layerfs -s -d m", "layerfs mount --foreground --log-level=debug m"),
            ("fuse-layerfs --version", "layerfs --version"),
            ("mount.layerfs debian:12 /m -o ro", "layerfs mount -o ro -- debian:12 /m"),
            (
                "/sbin/mount.layerfs s m -sfnv -o ro",
                "layerfs mount --sloppy --fake --verbose -o ro -- s m",
            ),
            ("mount.fuse.layerfs s m -n -t fuse.layerfs -oro", "layerfs mount -o ro -- s m"),
            ("mount.fuse.layerfs s m -rN /ns", "layerfs mount -r --namespace /ns -- s m"),
            ("mount.layerfs s m -o remount,ro", "layerfs mount -o remount,ro --unsaid-go -- s m"),
            ("mount.layerfs s m -t", "layerfs mount -- s m"),
            ("mount.layerfs s - --help", "layerfs mount --help -- s -"),
            ("mount.layerfs", "layerfs mount"),
            ("mount.layerfs2 s m -f", "mount.layerfs2 s m -f"),
        ];
        for (words, expected) in rows {
            assert_eq!(own(words), expected, "{words}");
        }
    }
}
