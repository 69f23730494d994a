//! An image's config: what a runtime needs to start it, and its history.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bounded;
use super::document::LAYERS_MAX;
use crate::store::digest::Digest;

/// History entries of one image: layers and steps that made none.
const HISTORY_MAX: usize = 4 * LAYERS_MAX;

/// The config of an image. Its id is the digest of the raw bytes it was read from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "bounded::string")]
    pub author: String,
    /// The architecture it is for, as Go spells it.
    #[serde(deserialize_with = "bounded::string")]
    pub architecture: String,
    /// The operating system it is for.
    #[serde(deserialize_with = "bounded::string")]
    pub os: String,
    /// The architecture's variant.
    pub variant: Option<String>,
    /// What to run and how; `None` is written as `null` by some builders.
    pub config: Option<RunConfig>,
    /// The layers.
    pub rootfs: RootFs,
    /// The steps that made the image, first to last.
    #[serde(deserialize_with = "bounded::list::<_, _, HISTORY_MAX>")]
    pub history: Vec<History>,
}

/// What to run in a container of the image, and how.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// `NAME=VALUE`, in order.
    #[serde(deserialize_with = "bounded::words")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "bounded::words")]
    pub entrypoint: Vec<String>,
    /// The arguments that the user's words replace.
    #[serde(deserialize_with = "bounded::words")]
    pub cmd: Vec<String>,
    /// The directory to start in; empty is `/`.
    #[serde(deserialize_with = "bounded::string")]
    pub working_dir: String,
    /// `USER[:GROUP]`, names or numbers; empty is root.
    #[serde(deserialize_with = "bounded::string")]
    pub user: String,
    /// Labels.
    #[serde(deserialize_with = "bounded::strings")]
    pub labels: BTreeMap<String, String>,
    /// `PORT/PROTOCOL`, sorted.
    #[serde(deserialize_with = "bounded::keys")]
    pub exposed_ports: Vec<String>,
    /// Mount points, sorted.
    #[serde(deserialize_with = "bounded::keys")]
    pub volumes: Vec<String>,
    /// The signal that asks the program to end; empty is SIGTERM.
    #[serde(deserialize_with = "bounded::string")]
    pub stop_signal: String,
    /// The shell that builders put before a command line.
    #[serde(deserialize_with = "bounded::words")]
    pub shell: Vec<String>,
}

/// The layers that an image is made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// `layers`, the only kind there is.
    #[serde(rename = "type", deserialize_with = "bounded::string")]
    pub kind: String,
    /// The digests of the unpacked layers, lowest first.
    #[serde(deserialize_with = "bounded::digests::<_, LAYERS_MAX>")]
    pub diff_ids: Vec<Digest>,
}

/// One step of the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    pub created: Option<String>,
    /// The command.
    #[serde(deserialize_with = "bounded::string")]
    pub created_by: String,
    /// A remark.
    #[serde(deserialize_with = "bounded::string")]
    pub comment: String,
    /// Who.
    #[serde(deserialize_with = "bounded::string")]
    pub author: String,
    /// Whether the step made no layer; `null` is no.
    pub empty_layer: Option<bool>,
}

impl ImageConfig {
    /// Reads a config. Every diff id in it is valid; their number is the caller's to check.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The history entry of each layer, lowest first; all `None` where the numbers of both differ, as some builders
    /// leave it.
    pub fn layer_history(&self) -> Vec<Option<&History>> {
        let layers = self.rootfs.diff_ids.len();
        let steps: Vec<_> = self.history.iter().filter(|step| !step.makes_no_layer()).collect();
        if steps.len() == layers {
            steps.into_iter().map(Some).collect()
        } else {
            vec![None; layers]
        }
    }
}

impl History {
    /// Whether the step made no layer.
    pub fn makes_no_layer(&self) -> bool {
        self.empty_layer == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_config_as_docker_writes_it_is_read_whole() {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","variant":null,"created":"2024-01-01T00:00:00Z","container":"x",
            "config":{{"Hostname":"","Env":["PATH=/bin"],"Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/w","User":"1:2",
              "Labels":{{"a":"b","c":null}},"ExposedPorts":{{"80/tcp":{{}}}},"Volumes":{{"/v":{{}}}},"OnBuild":null,
              "StopSignal":"SIGINT","Healthcheck":{{"Test":["NONE"]}},"Shell":["sh","-c"]}},
            "rootfs":{{"type":"layers","diff_ids":["{ID}"]}},
            "history":[{{"created_by":"ADD","created":null}},{{"created_by":"CMD","empty_layer":true}}]}}"#
        );
        let image = ImageConfig::parse(text.as_bytes()).unwrap();
        let run = image.config.clone().unwrap();
        assert_eq!(
            (run.cmd, run.env, run.user.as_str()),
            (vec!["sh".into()], vec!["PATH=/bin".into()], "1:2")
        );
        assert_eq!((run.exposed_ports, run.volumes), (vec!["80/tcp".into()], vec!["/v".into()]));
        assert!(run.entrypoint.is_empty());
        assert_eq!(image.rootfs.diff_ids, [Digest::of(b"")]);
        assert_eq!(image.layer_history()[0].unwrap().created_by, "ADD");
    }

    #[test]
    fn nulls_and_single_strings_are_taken_as_docker_takes_them() {
        let texts = [
            r#"{"config":null,"rootfs":{"type":"layers","diff_ids":null},"history":null,"author":null,"os":null}"#,
            r#"{"config":{"Cmd":null,"Env":null,"Labels":null,"Volumes":null,"ExposedPorts":null,"User":null}}"#,
            r#"{"config":{"Cmd":"sh -c x","Entrypoint":"/x"}}"#,
            "{}",
        ];
        for text in texts {
            assert!(ImageConfig::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn malformed_diff_ids_and_too_many_layers_are_refused() {
        let refused = |ids: &str| {
            let text = format!(r#"{{"rootfs":{{"diff_ids":[{ids}]}}}}"#);
            ImageConfig::parse(text.as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(r#""sha256:abc""#).contains("is not a digest"));
        assert!(refused(&format!(r#""sha512:{}""#, "0".repeat(128))).contains("only sha256"));
        assert!(!refused(r#""sha256:a\nb""#).contains('\n'));
        let many = vec![format!("\"{ID}\""); LAYERS_MAX + 1].join(",");
        assert!(refused(&many).contains("more than 4096 entries"));
    }

    #[test]
    fn a_history_of_another_length_belongs_to_no_layer() {
        let text = format!(
            r#"{{"rootfs":{{"diff_ids":["{ID}","{ID}"]}},"history":[{{"created_by":"x"}}]}}"#
        );
        let image = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(image.layer_history(), [None, None]);
    }
}
