//! `layerfs inspect`: all that is known of containers and images, under docker's keys.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use layerfs_driver::store::image::Image;
use layerfs_driver::store::{Store, StoreError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::container;
use crate::output::template::Format;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs inspect debian:bookworm
  layerfs inspect debian:bookworm | jq -r '.[0].RootFS.Layers[]'
  layerfs inspect 3f2a9c debian@sha256:0b1c... | jq '.[].Config.Env'
  layerfs inspect web | jq -r '.[0].State.ExitCode, .[0].GraphDriver.Data.UpperDir'

Where a word means a container and an image, it is the container; --type says which is meant. What is not found has its \
line on standard error; the others are printed all the same.";

/// The words of `layerfs inspect`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InspectArgs {
    /// Take only things of this kind
    #[arg(long = "type", value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// Print a line of each, such as '{{.State.Pid}}' or '{{json .Config.Env}}', or `json`
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
    /// Print one JSON array, as is done without this word too
    #[arg(long)]
    json: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// What a word can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    comment: String,
    created: String,
    author: String,
    config: Value,
    architecture: String,
    variant: String,
    os: String,
    size: u64,
    #[serde(rename = "RootFS")]
    root_fs: Value,
}

/// Prints one array with an object for each container and image that was found.
pub fn run(args: &InspectArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let format = Format::asked(args.format.as_deref())?;
    let store = session.store()?;
    let mut found = Vec::new();
    let mut outcome = Outcome::Done;
    for words in &args.names {
        match any(&store, session.roots().run.as_deref(), words, args.kind) {
            Ok(one) => found.push(one),
            Err(error) => {
                message::error(&error);
                outcome = Outcome::SomeFailed;
            }
        }
    }
    match format {
        Some(format) => format.print(&found, results)?,
        None => results.json(&found)?,
    }
    Ok(outcome)
}

/// What the words mean: a container first, as docker has it.
fn any(store: &Store, run: Option<&Path>, words: &str, kind: Option<Kind>) -> Result<Value> {
    if kind != Some(Kind::Image) {
        match store.find_container(words) {
            Ok(container) => return Ok(container::inspect::inspected(store, run, &container)),
            Err(StoreError::NoSuchContainer(_)) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match store.find(words) {
        Ok(hit) => Ok(serde_json::to_value(inspected(store, hit.image)?)?),
        Err(StoreError::NoSuchImage(_)) if kind.is_none() => {
            bail!(
                "no container and no image `{words}`; `layerfs ps -a` and `layerfs images` list what is here"
            )
        }
        Err(error) => Err(error.into()),
    }
}

fn inspected(store: &Store, image: Image) -> Result<Inspected> {
    // The configuration is shown as its builder wrote it, with the fields that layerfs does not know.
    let raw: Value = serde_json::from_slice(&store.config_bytes(&image.id)?)
        .with_context(|| format!("configuration of image {}", image.id.short()))?;
    let layers: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    Ok(Inspected {
        id: image.id.to_string(),
        repo_tags: image.names.iter().map(ToString::to_string).collect(),
        repo_digests: repo_digests(&image),
        comment: comment(&raw),
        created: image.config.created.clone().unwrap_or_default(),
        author: image.config.author.clone(),
        config: raw.get("config").cloned().unwrap_or(Value::Null),
        architecture: image.config.architecture.clone(),
        variant: image.config.variant.clone().unwrap_or_default(),
        os: image.config.os.clone(),
        size: image.size(),
        root_fs: json!({ "Type": "layers", "Layers": layers }),
    })
}

/// Each repository of the image with each of its manifests.
fn repo_digests(image: &Image) -> Vec<String> {
    let mut repositories: Vec<String> =
        image.names.iter().map(|name| name.familiar_repository()).collect();
    repositories.dedup();
    let of = |repository: &String| {
        let with = image.manifests.iter().map(|digest| format!("{repository}@{digest}"));
        with.collect::<Vec<_>>()
    };
    repositories.iter().flat_map(of).collect()
}

/// The image's own remark, or that of its last step.
fn comment(config: &Value) -> String {
    let last_step =
        config.pointer("/history").and_then(Value::as_array).and_then(|steps| steps.last());
    let words = |value: &Value| value.get("comment").and_then(Value::as_str).map(String::from);
    words(config).or_else(|| last_step.and_then(words)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_is_the_images_or_that_of_its_last_step() {
        let history = json!([{ "comment": "first" }, { "comment": "last" }]);
        assert_eq!(comment(&json!({ "comment": "own", "history": history })), "own");
        assert_eq!(comment(&json!({ "history": history })), "last");
        assert_eq!(comment(&json!({ "history": null })), "");
    }
}
