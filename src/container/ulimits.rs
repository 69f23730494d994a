//! The words of `--ulimit`: limits of processes, as `ulimit` of a shell has them.

use anyhow::{Result, bail};
use layerfs_driver::store::container::Container;
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::spec::ResourceLimit;
use layerfs_runtime::{RESOURCES, hard_limit};
use serde_json::Value;

/// Reads `NAME=SOFT[:HARD]`; `-1` and `unlimited` are no limit, and a hard one that is not said is the soft one. Of more than this
/// process may give it is that, and a line tells.
pub fn read(said: &str) -> Result<ResourceLimit> {
    let Some((name, values)) = said.split_once('=') else {
        bail!("--ulimit `{said}`: write NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096");
    };
    let Some((_, resource)) = RESOURCES.into_iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = RESOURCES.iter().map(|(name, _)| *name).collect();
        bail!("--ulimit `{said}`: there is no limit `{name}`; there are {}", known.join(", "));
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft, said)?, number(hard, said)?);
    if exceeds(soft, hard) {
        bail!(
            "--ulimit `{said}`: the first number, which holds, is more than the second, up to which it may be raised"
        );
    }
    let most = hard_limit(resource);
    let held = layerfs_runtime::held_capabilities()?;
    let may_raise = Capabilities::named("SYS_RESOURCE").is_some_and(|one| held.has(one));
    if !exceeds(hard, most) || may_raise {
        return Ok(ResourceLimit { resource, soft, hard });
    }
    let soft = if exceeds(soft, most) { most } else { soft };
    let shown = most.map_or("unlimited".to_owned(), |most| most.to_string());
    tracing::warn!(
        "--ulimit `{said}`: it is {shown}, the most that this process may have; raising that takes CAP_SYS_RESOURCE"
    );
    Ok(ResourceLimit { resource, soft, hard: most })
}

/// Those that a container was made with, as its record has them.
pub fn noted_of(container: &Container) -> Vec<ResourceLimit> {
    let host = container.details.get("HostConfig").unwrap_or(&Value::Null);
    let noted = host["Ulimits"].as_array().into_iter().flatten();
    let one = |noted: &Value| {
        let (_, resource) =
            RESOURCES.into_iter().find(|(name, _)| noted["Name"].as_str() == Some(*name))?;
        let number = |key: &str| match noted[key].as_i64() {
            Some(-1) => Some(None),
            _ => noted[key].as_u64().map(Some),
        };
        Some(ResourceLimit { resource, soft: number("Soft")?, hard: number("Hard")? })
    };
    noted.filter_map(one).collect()
}

/// As docker's records have it.
pub fn name_of(limit: &ResourceLimit) -> &'static str {
    RESOURCES.into_iter().find(|(_, known)| *known == limit.resource).map_or("", |(name, _)| name)
}

fn exceeds(one: Option<u64>, other: Option<u64>) -> bool {
    one.unwrap_or(u64::MAX) > other.unwrap_or(u64::MAX)
}

fn number(word: &str, said: &str) -> Result<Option<u64>> {
    match word {
        "-1" | "unlimited" => Ok(None),
        word => match word.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("--ulimit `{said}`: `{word}` is no number; -1 is no limit"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_both() {
        let limit = read("core=0").unwrap();
        assert_eq!((limit.soft, limit.hard, name_of(&limit)), (Some(0), Some(0), "core"));
        let limit = read("nofile=10:20").unwrap();
        assert_eq!((limit.soft, limit.hard), (Some(10), Some(20)));
    }

    #[test]
    fn slips_are_named() {
        for (said, told) in [
            ("nofile", "write NAME=SOFT"),
            ("files=1", "there is no limit `files`"),
            ("nofile=some", "`some` is no number"),
            ("nofile=20:10", "more than the second"),
            ("nofile=-1:10", "more than the second"),
        ] {
            let error = format!("{:#}", read(said).unwrap_err());
            assert!(error.contains(told), "{said}: {error}");
        }
    }
}
