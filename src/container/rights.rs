//! What a container may do, noted when it is made: a further process of it may do exactly that, whatever has become of the
//! words and the files since.

use anyhow::{Context, Result, bail};
use layerfs_driver::store::container::Container;
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::seccomp::Filters;
use serde_json::{Value, json};

use super::security::Filtering;

/// The key of the record; `docs/format.md` has the table.
pub const RIGHTS: &str = "Rights";

/// The record's words.
pub fn noted(capabilities: Capabilities, filtering: &Filtering) -> Value {
    let (seccomp, profile) = match filtering {
        Filtering::Usual => ("default", None),
        Filtering::None => ("unconfined", None),
        Filtering::Profile { text, path } => ("profile", Some(json!({"Text": text, "Path": path}))),
    };
    json!({
        "Capabilities": capabilities.names().collect::<Vec<_>>(),
        "Seccomp": seccomp,
        "Profile": profile,
    })
}

/// What the record says; `None` where it says nothing, as of an earlier version.
pub fn noted_of(container: &Container) -> Option<(Capabilities, Filtering)> {
    let rights = container.details.get(RIGHTS)?;
    let mut capabilities = Capabilities::none();
    for name in rights["Capabilities"].as_array()? {
        capabilities = capabilities.with(Capabilities::named(name.as_str()?)?);
    }
    let text = |key: &str| rights["Profile"][key].as_str().map(str::to_owned);
    let filtering = match rights["Seccomp"].as_str()? {
        "default" => Filtering::Usual,
        "unconfined" => Filtering::None,
        "profile" => Filtering::Profile { text: text("Text")?, path: text("Path")? },
        _ => return None,
    };
    Some((capabilities, filtering))
}

/// What a further process of it may do.
pub fn of(container: &Container) -> Result<(Capabilities, Filters)> {
    let Some((capabilities, filtering)) = noted_of(container) else {
        bail!(
            "container `{}`: its record does not say what it may do, as one of an earlier version: run it again",
            container.name
        );
    };
    let filters = filtering.filters(capabilities).with_context(|| {
        format!("the profile that container `{}` was made with", container.name)
    })?;
    Ok((capabilities, filters))
}
