//! `layerfs man`: the manual pages, one for the command and one for each verb.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use clap_mangen::Man;
use layerfs_driver::sys::{SysError, deep, dir, file};

use crate::cli;
use crate::session::Outcome;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs man /usr/local/share/man/man1";

/// What clap's renderer puts before the text after the options.
const EXTRA: &str = ".SH EXTRA\n";

/// The words of `layerfs man`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ManArgs {
    /// The directory to write to; made where it is absent
    dir: OsString,
}

/// Writes `layerfs.1` and `layerfs-VERB.1`.
pub fn run(args: &ManArgs) -> Result<Outcome> {
    let deed = || format!("write manual pages to `{}`", args.dir.display());
    let path = Path::new(&args.dir);
    dir::make_all(path, 0o755).with_context(deed)?;
    let target = dir::open_path(path).with_context(deed)?;
    for (name, page) in pages()? {
        write(&target, &name, &page).with_context(deed)?;
    }
    Ok(Outcome::Done)
}

/// Every page with its file name.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    // Building gives each verb the global options and its full name. The verb `help` has nothing that a page could say.
    let mut whole = cli::command().disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![page("layerfs", whole.clone())?];
    for verb in whole.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages.push(page(&format!("layerfs-{}", verb.get_name()), verb.clone())?);
    }
    Ok(pages)
}

fn page(name: &str, command: clap::Command) -> Result<(String, Vec<u8>)> {
    let mut page = Vec::new();
    Man::new(command)
        .title(name)
        .source("layerfs")
        .render(&mut page)
        .context("make a manual page")?;
    let page = String::from_utf8(page).context("make a manual page")?;
    Ok((format!("{name}.1"), with_sections(&page).into_bytes()))
}

/// The page with a section for each heading of what the long help ends with, and with the lines of its examples apart.
/// Clap's renderer puts all of it below the heading EXTRA, where a line that is not indented runs into the one before.
fn with_sections(page: &str) -> String {
    let Some((head, extra)) = page.split_once(EXTRA) else { return page.to_owned() };
    let mut text = head.to_owned();
    let mut literal = false;
    for line in extra.lines() {
        let wanted = line.starts_with(' ') || (literal && line.is_empty());
        if wanted != literal {
            text.push_str(if wanted { ".nf\n" } else { ".fi\n" });
            literal = wanted;
        }
        match line.strip_suffix(':') {
            Some(heading) if heading.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                text.push_str(&format!(".SH {heading}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// Writes aside and renames, so that an older page is there until the new one is whole.
fn write(target: &OwnedFd, name: &str, page: &[u8]) -> Result<(), SysError> {
    let aside = format!(".{name}.new");
    deep::remove(target, aside.as_str())?;
    let file = file::create_new(target, aside.as_str(), 0o644)?;
    let installed = file::write_all(&file, page)
        .and_then(|()| dir::rename(target, aside.as_str(), target, name));
    if installed.is_err()
        && let Err(error) = dir::unlink(target, aside.as_str())
    {
        tracing::warn!("an unfinished page stays: {error}");
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_indented_lines_are_kept_as_they_are() {
        let page =
            ".SH NAME\nx\n.SH EXTRA\nEXAMPLES:\n  a\n\n  b\nText.\nMORE:\n  c\n.SH VERSION\nv\n";
        let expected = ".SH NAME\nx\n.SH EXAMPLES\n.nf\n  a\n\n  b\n.fi\nText.\n.SH MORE\n.nf\n  c\n.fi\n.SH VERSION\nv\n";
        assert_eq!(with_sections(page), expected);
    }

    #[test]
    fn every_verb_has_a_page_with_its_examples() {
        let pages = pages().unwrap();
        assert!(pages.iter().any(|(name, _)| name == "layerfs-history.1"));
        for (name, page) in pages {
            let text = String::from_utf8(page).unwrap();
            assert!(text.contains(".SH EXAMPLES\n.nf\n  "), "{name}");
            assert!(!text.contains("EXTRA"), "{name}");
            assert!(text.contains(".SH NAME"), "{name}");
        }
    }
}
