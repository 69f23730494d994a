//! The words of `--volume`: what of the host shows where, and whether it can be changed there.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file;
use layerfs_runtime::spec::{Access, Volume};

/// Reads `SOURCE:TARGET[:ro|rw]`. The source is there, and its links are resolved once, here.
pub fn read(words: &str) -> Result<Volume> {
    let parts: Vec<&str> = words.split(':').collect();
    let (source, target, access) = match parts[..] {
        [source, target] => (source, target, Access::ReadWrite),
        [source, target, "rw"] => (source, target, Access::ReadWrite),
        [source, target, "ro"] => (source, target, Access::ReadOnly),
        [_, _, other] => bail!("volume `{words}`: `{other}` is neither ro nor rw"),
        _ => bail!("volume `{words}`: write SOURCE:TARGET, SOURCE:TARGET:ro or SOURCE:TARGET:rw"),
    };
    if source.is_empty() {
        bail!("volume `{words}`: the directory of the host is missing before the colon");
    }
    if !source.contains('/') && source != "." && source != ".." {
        bail!(
            "volume `{words}`: volumes with names are not there yet; `./{source}` would be the directory here"
        );
    }
    let target = self::target(target, &format!("volume `{words}`"))?;
    Ok(Volume { source: resolved(Path::new(source), words)?, target, access })
}

/// The words that mean that volume.
pub fn words(volume: &Volume) -> String {
    let access = if volume.access == Access::ReadOnly { "ro" } else { "rw" };
    format!("{}:{}:{access}", volume.source.display(), volume.target.display())
}

/// A place in the container to mount on.
pub fn target(target: &str, what: &str) -> Result<PathBuf> {
    let target = Path::new(target);
    if !target.is_absolute() {
        bail!("{what}: the place in the container has to begin with /");
    }
    let target: PathBuf = target.components().filter(|part| *part != Component::CurDir).collect();
    if target.components().any(|part| part == Component::ParentDir) {
        bail!("{what}: the place in the container may not go up by `..`");
    }
    if target == Path::new("/") {
        bail!("{what}: nothing can be mounted over the container's root; --rootfs makes another");
    }
    Ok(target)
}

fn resolved(source: &Path, words: &str) -> Result<PathBuf> {
    let opened = file::open_place(source).with_context(|| {
        format!(
            "volume `{words}`: make `{0}` first, with `mkdir {0}` for instance",
            source.display()
        )
    })?;
    Ok(dir::path_of(&opened)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_a_source_a_place_and_an_access() {
        let volume = read("/proc/..:/a/./b:ro").unwrap();
        let expected =
            Volume { source: "/".into(), target: "/a/b".into(), access: Access::ReadOnly };
        assert_eq!(volume, expected);
        assert_eq!(read("/:/a").unwrap().access, Access::ReadWrite);
    }

    #[test]
    fn slips_are_named() {
        for (words, said) in [
            ("/", "SOURCE:TARGET"),
            ("/:b", "begin with /"),
            ("/:/b:rx", "neither ro nor rw"),
            (":/b", "missing before the colon"),
            ("data:/b", "`./data` would be"),
            ("/:/a/../b", "may not go up"),
            ("/:/", "over the container's root"),
            ("/none:/b", "make `/none` first"),
        ] {
            let error = format!("{:#}", read(words).unwrap_err());
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
