//! What was asked for by the words of `layerfs run`, understood and checked as far as can be without making anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::{Base, Keep, NewContainer};
use layerfs_driver::store::oci::RunConfig;
use layerfs_driver::store::{Store, image::Image};
use layerfs_driver::sys::dir;
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::cgroup::Limits;
use layerfs_runtime::seccomp::Filters;
use layerfs_runtime::spec::{Access, Input, ResourceLimit, Streams, Sysctl, Tmpfs};

use serde_json::{Value, json};

use super::details::Noted;
use super::devices::Given;
use super::mount::{self, Mount};
use super::network::Wanted;
use super::process::{Said, process, read_environment};
use super::security::Filtering;
use super::volumes::{Mounted, Shown};
use super::words::{RunArgs, UsersWord};
use super::{files, rights, stop, subordinate, sysctls, tmpfs, volume, volumes};
use crate::image::absent::find_to_use;
use crate::mount::bounds::Bounds;
use crate::output::message;

/// The form in which the words of `run` are recorded, and the latest that is known.
const RECORDED_VERSION: u64 = 1;

/// What a container's files come from.
pub enum From {
    /// An image, and how the user called it.
    Image {
        /// The image.
        image: Box<Image>,
        /// The user's words for it.
        called: String,
    },
    /// A directory.
    Rootfs(PathBuf),
}

/// What was asked for, understood and checked as far as can be without making anything.
pub struct Asked<'a> {
    /// What its files come from.
    pub from: From,
    /// The command and its words.
    pub words: &'a [OsString],
    /// `--env-file` and `--env`, in their order.
    pub environment: Vec<OsString>,
    /// What `hostname` says, where that is not its short id.
    pub hostname: Option<Cow<'a, str>>,
    /// What of the host it sees.
    pub volumes: Vec<Mounted>,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// The same as words of `--tmpfs`.
    pub tmpfs_words: Vec<String>,
    /// Bytes that `/dev/shm` has room for.
    pub shm_bytes: u64,
    /// How much its own files may take.
    pub bounds: Bounds,
    /// Settings of the kernel.
    pub sysctls: Vec<Sysctl>,
    /// Limits of all its processes together, and what they may do with which devices.
    pub limits: Limits,
    /// Devices of the host's that it has.
    pub devices: Given,
    /// Limits of each of its processes.
    pub resource_limits: Vec<ResourceLimit>,
    /// Which of root's rights it has.
    pub capabilities: Capabilities,
    /// The profile of its system calls.
    pub filtering: Filtering,
    /// Which system calls it may make.
    pub filters: Filters,
    /// What becomes of it when it ends.
    pub keep: Keep,
    /// Standard input.
    pub input: Input,
    /// Standard streams.
    pub streams: Streams,
    /// Which network it sees.
    pub network: Wanted,
}

/// Understands the words, and looks for the image.
pub fn asked<'a>(args: &'a RunArgs, store: &Store) -> Result<Asked<'a>> {
    asked_with(args, store, args.security.rights()?)
}

/// The same with rights that were understood before.
pub fn asked_with<'a>(
    args: &'a RunArgs,
    store: &Store,
    (capabilities, filtering): (Capabilities, Filtering),
) -> Result<Asked<'a>> {
    subordinate::refuse_hosts_users(args.users())?;
    let mut environment = read_environment(&args.env_file)?;
    environment.extend_from_slice(&args.env);
    let devices = args.security.devices()?;
    if !devices.devices.is_empty() {
        subordinate::refuse_devices()?;
    }
    // In users of its own nobody makes a device.
    let makes_devices = args.users() == UsersWord::Host
        && Capabilities::named("MKNOD").is_some_and(|one| capabilities.has(one));
    let rules = devices.rules.clone();
    let limits = Limits { devices: rules, makes_devices, ..args.limits.limits()? };
    let filters = filtering.filters(capabilities)?;
    let mut volumes: Vec<Mounted> =
        args.volume.iter().map(|words| volumes::read(words, store)).collect::<Result<_>>()?;
    for shown in &args.shown {
        volumes.push(shown.mounted(store)?);
    }
    let mut tmpfs_words = args.tmpfs.clone();
    for said in &args.mount {
        match mount::read(said, store)? {
            Mount::Shown(mounted) => volumes.push(*mounted),
            Mount::InMemory(words) => tmpfs_words.push(words),
        }
    }
    let in_memory: Vec<Tmpfs> =
        tmpfs_words.iter().map(|words| tmpfs::read(words)).collect::<Result<_>>()?;
    tmpfs::refuse_twice(&volumes, &in_memory)?;
    let (from, words) = from(args, store)?;
    let hostname = args.hostname.as_deref().map_or(Ok(None), files::hostname)?;
    let network = args.network.wanted(store, &config_of(&from).exposed_ports, hostname)?;
    Ok(Asked {
        from,
        words,
        environment,
        hostname: files::hostname_in(hostname, &network.mode)?,
        volumes,
        tmpfs: in_memory,
        tmpfs_words,
        shm_bytes: args.limits.shm_bytes()?,
        bounds: args.limits.bounds()?,
        sysctls: args
            .sysctl
            .iter()
            .map(|words| sysctls::read(words, &network.mode))
            .collect::<Result<_>>()?,
        limits,
        devices,
        resource_limits: args.limits.of_processes()?,
        capabilities,
        filtering,
        filters,
        keep: if args.rm { Keep::Throwaway } else { Keep::Kept },
        input: if args.interactive { Input::Caller } else { Input::Nothing },
        streams: if args.tty { Streams::Terminal } else { Streams::Caller },
        network,
    })
}

/// What its files come from, and the words after that.
fn from<'a>(args: &'a RunArgs, store: &Store) -> Result<(From, &'a [OsString])> {
    if let Some(path) = &args.rootfs {
        return Ok((From::Rootfs(rootfs(path.as_ref())?), &args.words));
    }
    let (first, rest) = args.words.split_first().context("an image is needed")?;
    let called = first.to_str().context("the image's name is not UTF-8")?.to_owned();
    let image = Box::new(find_to_use(store, &called)?.image);
    Ok((From::Image { image, called }, rest))
}

/// Refuses to relay a terminal where standard input is none.
pub fn refuse_without_terminal((tty, interactive): (bool, bool)) -> Result<()> {
    if tty && interactive && !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        bail!("-it: standard input is no terminal; leave -t out, or -i");
    }
    Ok(())
}

/// The words by which the same container is started again, from any directory and with any environment.
fn lasting(args: &RunArgs, asked: &Asked<'_>) -> Result<RunArgs> {
    let mut lasting = args.clone();
    lasting.env_file.clear();
    let (with, without): (Vec<_>, Vec<_>) =
        asked.environment.iter().map(with_value).partition(has_value);
    // What is said later of one variable counts.
    lasting
        .unset
        .extend(without.into_iter().filter(|name| !with.iter().any(|line| is_of(line, name))));
    lasting.env = with;
    lasting.shown = asked.volumes.iter().map(Shown::of).collect();
    lasting.volume.clear();
    lasting.tmpfs.clone_from(&asked.tmpfs_words);
    lasting.mount.clear();
    match (&asked.from, lasting.words.first_mut()) {
        (From::Image { image, .. }, Some(word)) => *word = image.id.to_string().into(),
        (From::Rootfs(path), _) => lasting.rootfs = Some(path.clone().into()),
        _ => {}
    }
    lasting.security.make_lasting()?;
    lasting.network.make_lasting(&asked.network);
    (lasting.name, lasting.cidfile) = (None, None);
    Ok(lasting)
}

fn has_value(line: &OsString) -> bool {
    line.as_encoded_bytes().contains(&b'=')
}

fn is_of(line: &OsString, name: &OsString) -> bool {
    let bytes = line.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    bytes.is_some_and(|rest| rest.first() == Some(&b'='))
}

/// A variable with the value that the caller has for it now.
fn with_value(line: &OsString) -> OsString {
    match std::env::var_os(line) {
        Some(value) if !has_value(line) => {
            let mut whole = line.clone();
            whole.push("=");
            whole.push(value);
            whole
        }
        _ => line.clone(),
    }
}

fn rootfs(path: &std::path::Path) -> Result<PathBuf> {
    let shown = || format!("--rootfs `{}`: give a directory that is there", path.display());
    Ok(dir::path_of(dir::open_path(path).with_context(shown)?)?)
}

/// The image's configuration; that of a directory says nothing.
pub fn config_of(from: &From) -> Cow<'_, RunConfig> {
    match from {
        From::Image { image, .. } => match &image.config.config {
            Some(config) => Cow::Borrowed(config),
            None => Cow::default(),
        },
        From::Rootfs(_) => Cow::default(),
    }
}

/// What the user says of the process.
pub fn said<'a>(args: &'a RunArgs, asked: &'a Asked<'a>) -> Said<'a> {
    Said {
        words: asked.words,
        entrypoint: args.entrypoint.as_deref(),
        environment: &asked.environment,
        unset: &args.unset,
        directory: args.workdir.as_deref(),
        user: args.user.as_deref(),
    }
}

/// Whether its root can be changed.
pub fn root_of(args: &RunArgs) -> Access {
    if args.read_only { Access::ReadOnly } else { Access::ReadWrite }
}

/// The image's labels, and those that were said over them.
fn labels(said: &[String], config: &RunConfig) -> Result<BTreeMap<String, String>> {
    let mut labels = config.labels.clone();
    labels.extend(volume::labels_of(said)?);
    Ok(labels)
}

fn stop_signal(args: &RunArgs, config: &RunConfig) -> Result<String> {
    match (&args.stop_signal, config.stop_signal.as_str()) {
        (Some(word), _) => stop::name_of(word).context("--stop-signal"),
        (None, "") => Ok("SIGTERM".into()),
        (None, word) => Ok(stop::name_of(word).unwrap_or_else(|error| {
            message::say(format_args!(
                "the image's stop signal: {error:#}; SIGTERM is sent instead"
            ));
            "SIGTERM".into()
        })),
    }
}

/// What the record says to start it again; [`read_recorded`] reads it.
pub fn recorded(words: &RunArgs) -> Result<Value> {
    let words = serde_json::to_value(words).context("note the words of the container")?;
    Ok(json!({ "version": RECORDED_VERSION, "words": words }))
}

/// The words that [`recorded`] has written; what a later or an earlier layerfs knew besides is as if it had not been said.
pub fn read_recorded(said: &Value, name: &str) -> Result<RunArgs> {
    let version = said.get("version").and_then(Value::as_u64);
    match (version, said.get("words")) {
        (Some(RECORDED_VERSION), Some(words)) => serde_json::from_value(words.clone())
            .with_context(|| format!("container `{name}`: the words that start it can't be read; `layerfs commit {name}` keeps what it has")),
        (Some(newer), _) if newer > RECORDED_VERSION => {
            bail!("container `{name}`: a newer layerfs made it; start it with that")
        }
        _ => bail!(
            "container `{name}`: an earlier layerfs made it, which did not note how to start it again; `layerfs commit {name}` \
             makes an image of what it has, and `layerfs run` a container of that"
        ),
    }
}

/// Its record.
pub fn new_container(args: &RunArgs, asked: &Asked<'_>) -> Result<NewContainer> {
    let base = match &asked.from {
        From::Image { image, called } => Base::image(image, called),
        From::Rootfs(path) => Base::rootfs(path),
    };
    let (said, config) = (said(args, asked), config_of(&asked.from));
    let noted = Noted {
        process: &process(&said, &config, "", asked.streams)?,
        entrypoint_len: said.entrypoint_len(&config),
        terminal: asked.streams == Streams::Terminal,
        limits: &asked.limits,
        users: args.users(),
        disks: args.limits.io_words(),
        oom_score_adj: args.limits.oom_score_adj(),
        storage: args.limits.storage_words(),
        network: &asked.network,
        init: args.init,
        root: root_of(args),
        volumes: &asked.volumes,
        sysctls: &asked.sysctls,
        tmpfs: &asked.tmpfs_words,
        shm_bytes: asked.shm_bytes,
        resource_limits: &asked.resource_limits,
        labels: labels(&args.label, &config)?,
        stop_signal: stop_signal(args, &config)?,
        stop_timeout: args.stop_timeout,
        keep: asked.keep,
        security: &args.security,
        rights: rights::noted(asked.capabilities, &asked.filtering),
    };
    Ok(NewContainer {
        name: args.name.clone(),
        base,
        command: noted.command(),
        hostname: asked.hostname.as_deref().map(str::to_owned),
        keep: asked.keep,
        details: noted.details(),
        volumes: asked.volumes.iter().filter_map(|volume| volume.name.clone()).collect(),
        said: recorded(&lasting(args, asked)?)?,
    })
}
