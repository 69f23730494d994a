//! The words for what a container may do: capabilities, system calls.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::{dir, file};
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::seccomp::{Filters, Profile};
use layerfs_runtime::spec::{Gains, Walls};
use serde::{Deserialize, Serialize};

use super::devices::Given;
use super::words::UsersWord;

/// Bytes of a profile that are read.
const PROFILE_LEN_MAX: u64 = 4 << 20;

/// What a container may do.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// Give a capability beside the usual ones, such as NET_RAW; ALL for all that the caller has
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Take a capability away; ALL for all that --cap-add does not give
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// Give it a device of the host's, or all that a directory has; what it may do with it is rwm: read, write, make nodes
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    device: Vec<String>,
    /// Keep nothing from it: all capabilities and devices, no filter of system calls, the host's users and settings. Its root
    /// is root of this machine
    #[arg(long)]
    privileged: bool,
    /// seccomp=FILE for a profile in Docker's form, seccomp=unconfined for none; no-new-privileges, which
    /// holds always with --userns host
    #[arg(long, value_name = "WORD[=VALUE]")]
    security_opt: Vec<String>,
}

/// Which profile was asked for.
enum Filtered<'a> {
    Usually,
    By(&'a str),
    Not,
}

/// Which system calls are filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// By the default profile.
    Usual,
    /// By that of a file, whose text this is.
    Profile {
        /// The text.
        text: String,
        /// Where it was found.
        path: String,
    },
    /// None.
    None,
}

impl Filtering {
    /// The filters for a container with those capabilities.
    pub fn filters(&self, capabilities: Capabilities) -> Result<Filters> {
        let (kernel, _) = host::kernel();
        let names: Vec<&str> = capabilities.names().collect();
        match self {
            Filtering::None => Ok(Filters::default()),
            Filtering::Usual => Ok(Filters::compile(&Profile::usual()?, &names, &kernel)?),
            Filtering::Profile { text, path } => {
                let deed = || format!("--security-opt `seccomp={path}`");
                let profile = Profile::parse(text.as_bytes()).with_context(deed)?;
                Filters::compile(&profile, &names, &kernel).with_context(deed)
            }
        }
    }
}

impl SecurityArgs {
    /// `--cap-add`, as it was said.
    pub fn added(&self) -> &[String] {
        &self.cap_add
    }

    /// `--cap-drop`, as it was said.
    pub fn dropped(&self) -> &[String] {
        &self.cap_drop
    }

    /// `--security-opt`, as it was said.
    pub fn options(&self) -> &[String] {
        &self.security_opt
    }

    /// `--device`, as it was said.
    pub fn device_words(&self) -> &[String] {
        &self.device
    }

    /// Whether nothing is kept from it.
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// What it can't reach of the kernel's settings.
    pub fn walls(&self) -> Walls {
        if self.privileged { Walls::None } else { Walls::Usual }
    }

    /// The devices that it is given.
    pub fn devices(&self) -> Result<Given> {
        let mut given = if self.privileged { Given::all()? } else { Given::default() };
        self.device.iter().try_for_each(|said| given.add(said))?;
        Ok(given)
    }

    /// Whether its programs may gain rights by what they execute: those of the host's users never, unless nothing is kept from
    /// them.
    pub fn gains(&self, users: UsersWord) -> Gains {
        let is_said = |option: &String| option.starts_with("no-new-privileges");
        match users {
            _ if self.security_opt.iter().any(is_said) => Gains::Never,
            UsersWord::Auto => Gains::OfFiles,
            UsersWord::Host if self.privileged => Gains::OfFiles,
            UsersWord::Host => Gains::Never,
        }
    }

    /// The same words from any directory: a profile's path is one from the root.
    pub fn make_lasting(&mut self) -> Result<()> {
        if let Filtered::By(path) = self.filtered()? {
            let deed = || format!("--security-opt `seccomp={path}`");
            let whole = file::open_place(Path::new(path)).and_then(dir::path_of);
            let whole = whole.with_context(deed)?;
            let whole = whole.to_str().with_context(deed)?;
            self.security_opt.retain(|option| !option.starts_with("seccomp"));
            self.security_opt.push(format!("seccomp={whole}"));
        }
        Ok(())
    }

    /// The capabilities: those that are added stay, also of those that are dropped.
    pub fn capabilities(&self) -> Result<Capabilities> {
        // Root of users of its own has them all, over what is theirs.
        let has = match host::rights()? {
            Rights::Root => layerfs_runtime::held_capabilities()?,
            Rights::User | Rights::Namespace(_) => Capabilities::all(),
        };
        let (all_added, added) = read("--cap-add", &self.cap_add)?;
        let (all_dropped, dropped) = read("--cap-drop", &self.cap_drop)?;
        if let Some(name) = added.without(has).names().next() {
            bail!(
                "--cap-add `{name}`: this process has not that capability itself, and can't give it"
            );
        }
        Ok(match (all_added, all_dropped) {
            (true, _) => has.without(dropped),
            (false, true) => added,
            (false, false) if self.privileged => has.without(dropped),
            (false, false) => Capabilities::usual().without(dropped).with(added),
        })
    }

    /// Both of what follows from the words.
    pub fn rights(&self) -> Result<(Capabilities, Filtering)> {
        Ok((self.capabilities()?, self.filtering()?))
    }

    /// Which system calls are filtered; a profile is read once, and is what it was then.
    pub fn filtering(&self) -> Result<Filtering> {
        let path = match self.filtered()? {
            Filtered::Not => return Ok(Filtering::None),
            Filtered::Usually => return Ok(Filtering::Usual),
            Filtered::By(path) => path,
        };
        let deed = || format!("--security-opt `seccomp={path}`");
        let text = file::open_read_path(OsStr::new(path))
            .and_then(|file| file::read_all(file, PROFILE_LEN_MAX))
            .with_context(deed)?;
        // What is no text is no JSON either, and told as that.
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Filtering::Profile { text, path: path.to_owned() })
    }

    fn filtered(&self) -> Result<Filtered<'_>> {
        let mut filtered = if self.privileged { Filtered::Not } else { Filtered::Usually };
        for option in &self.security_opt {
            // Docker's older form has a colon.
            let (word, value) = option
                .split_once(['=', ':'])
                .map_or((option.as_str(), None), |(word, value)| (word, Some(value)));
            filtered = match (word, value) {
                ("seccomp", Some("unconfined")) => Filtered::Not,
                ("seccomp", Some("default" | "builtin")) => Filtered::Usually,
                ("seccomp", Some(path)) if !path.is_empty() => Filtered::By(path),
                ("no-new-privileges", None | Some("true"))
                // No container is confined by these.
                | ("apparmor", Some("unconfined"))
                | ("label", Some("disable")) => filtered,
                ("no-new-privileges", Some(_)) => bail!(
                    "--security-opt `{option}`: no program of a container gains privileges by being executed; leave it out"
                ),
                _ => bail!(
                    "--security-opt `{option}` is not known; there are seccomp=unconfined, seccomp=FILE and no-new-privileges"
                ),
            };
        }
        Ok(filtered)
    }
}

/// Whether all are meant, and those that are named beside that.
fn read(option: &str, words: &[String]) -> Result<(bool, Capabilities)> {
    let (mut all, mut named) = (false, Capabilities::none());
    for word in words {
        if word.eq_ignore_ascii_case("all") {
            all = true;
            continue;
        }
        let Some(one) = Capabilities::named(word) else {
            bail!(
                "{option} `{word}` is no capability; `man 7 capabilities` lists them, such as NET_RAW"
            );
        };
        named = named.with(one);
    }
    Ok((all, named))
}
