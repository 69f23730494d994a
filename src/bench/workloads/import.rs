//! An image archive, brought into a store of its own.

use anyhow::{Result, bail};
use layerfs_driver::sys::{dir, file};

use super::create::made_once;
use crate::bench::contender::{Contender, Tool};
use crate::bench::programs::call;
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::workload::{Place, Start, Workload};

/// Brings in an image of three gzip layers, until all is on disk.
pub struct Import;

impl Workload for Import {
    fn name(&self) -> String {
        "import".into()
    }
    fn about(&self) -> String {
        "bring an image of three gzip layers in (870 MB unpacked), until it is on disk".into()
    }
    fn stock(&self) -> Stock {
        Stock::Image
    }
    fn operations(&self, _: &Scale) -> u64 {
        1
    }
    fn start(&self) -> Start {
        Start::Cold
    }
    fn tools(&self) -> &[(Tool, &'static str)] {
        &[(Tool::Layerfs, ""), (Tool::Podman, "podman"), (Tool::Skopeo, "skopeo")]
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        let (path, Some(top)) = made_once(place, "import")? else { return Ok(()) };
        call("tar")
            .words("-cf")
            .word(path.join("image.tar"))
            .word(".")
            .within(&place.shelf.layout)
            .run()?;
        top.file("done", b"")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let archive = place.lab.disk.join("made/import/image.tar");
        let (root, run) = (place.up.join("root"), place.up.join("run"));
        let call = match place.contender {
            Contender::Tool(Tool::Layerfs) => {
                let load = call(&place.lab.binary).word("--root").word(root).word("--runroot");
                load.word(run).words("load -q --name bench:1 -i").word(archive)
            }
            Contender::Tool(Tool::Podman) => {
                let load = call("podman").word("--root").word(root).word("--runroot").word(run);
                load.words("--storage-driver overlay load -q -i").word(archive)
            }
            Contender::Tool(Tool::Skopeo) => {
                let to = format!(
                    "containers-storage:[overlay@{}+{}]bench:1",
                    root.display(),
                    run.display()
                );
                let from = format!("oci-archive:{}", archive.display());
                call("skopeo").words("copy -q").word(from).word(to)
            }
            other => bail!("{} brings no image in", other.name()),
        };
        call.with("HOME", place.up).with("TMPDIR", place.up).run()?;
        Ok(file::sync_filesystem(dir::open_path(place.lab.disk.as_path())?)?)
    }
}
