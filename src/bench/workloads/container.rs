//! Containers whose command ends at once.

use std::path::Path;

use anyhow::{Context, Result};
use layerfs_driver::sys::mount::{self, UnmountHow};
use layerfs_driver::sys::{dir, file, host};
use layerfs_runtime::network::program as program_of_rules;
use serde_json::{Value, json};

use crate::bench::contender::{Contender, Tool};
use crate::bench::programs::call;
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::tree::Top;
use crate::bench::workload::{Changes, Place, Workload};

const CONFIG_LEN_MAX: u64 = 1 << 20;

/// Starts one, until it has ended: what is mounted for it counts, and a network where it has one. The others have none.
pub enum Container {
    /// With a loopback.
    Alone,
    /// With an address on a bridge, which is made for it and goes with it.
    Bridged,
}

impl Workload for Container {
    fn name(&self) -> String {
        match self {
            Container::Alone => "container".into(),
            Container::Bridged => "container-bridge".into(),
        }
    }
    fn about(&self) -> String {
        match self {
            Container::Alone => "run a container whose command ends at once".into(),
            Container::Bridged => {
                "the same with a bridge of its own, beside others without a network".into()
            }
        }
    }
    fn stock(&self) -> Stock {
        Stock::Program
    }
    fn operations(&self, _: &Scale) -> u64 {
        1
    }
    fn tools(&self) -> &[(Tool, &'static str)] {
        &[(Tool::Layerfs, ""), (Tool::Crun, "crun"), (Tool::Runc, "runc")]
    }
    fn refused(&self, tool: Tool) -> Option<&'static str> {
        if tool == Tool::Layerfs
            && matches!(self, Container::Bridged)
            && program_of_rules().is_none()
        {
            return Some("the program nft is not there, which a bridge needs");
        }
        let is_hybrid = dir::open_path("/sys/fs/cgroup/unified").is_ok();
        (tool == Tool::Crun && is_hybrid)
            .then_some("it takes no control groups of both versions, as they are mounted here")
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        match place.contender {
            Contender::Tool(Tool::Crun) => bundle("crun", place.up),
            Contender::Tool(Tool::Runc) => bundle("runc", place.up),
            _ => Ok(()),
        }
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let (program, more) = match place.contender {
            Contender::Tool(Tool::Crun) => ("crun", "--cgroup-manager=disabled"),
            Contender::Tool(Tool::Runc) => ("runc", ""),
            _ => {
                let network = match self {
                    Container::Alone => "none",
                    Container::Bridged => "bridge",
                };
                let run = place.lab.layerfs().words("run --rm --network").word(network);
                return run.word(&place.shelf.image).run().map(drop);
            }
        };
        let rootfs = place.up.join("rootfs");
        let lab = crate::bench::lab::Lab { mountpoint: rootfs.clone(), ..place.lab.clone() };
        Contender::Overlayfs.mount(&lab, place.shelf, place.up, Changes::New)?;
        let run = call(program).words(more).word("--root").word(place.up.join("state"));
        run.word("run").word("--bundle").word(place.up).word("layerfs-bench").run()?;
        Ok(mount::unmount(&rootfs, UnmountHow::Now)?)
    }
}

/// Makes a bundle of the runtime's own defaults in `dir`, for a root file system beside it.
fn bundle(program: &str, dir: &Path) -> Result<()> {
    call(program).word("spec").within(dir).run()?;
    let path = dir.join("config.json");
    let text = file::read_all(file::open_read_path(path.as_path())?, CONFIG_LEN_MAX)?;
    let mut config: Value = serde_json::from_slice(&text).context("read the bundle")?;
    config["process"]["args"] = json!(["/bin/end"]);
    config["process"]["terminal"] = json!(false);
    let text = serde_json::to_vec(&config).context("write the bundle")?;
    let top = Top::make(dir)?;
    top.clear("config.json")?;
    top.file("config.json", &text)?;
    Ok(dir::make_path(&dir.join("rootfs"), 0o755)?)
}

/// A program for this machine that ends at once with status 0: an ELF header, one segment, and the call of `exit_group(2)`. Of
/// a machine that is not known, a script.
pub fn program() -> Vec<u8> {
    let (_, machine) = host::kernel();
    let (number, code): (u16, &[u8]) = match machine.as_str() {
        // xor edi, edi; mov eax, 231; syscall
        "x86_64" => (62, &[0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05]),
        // mov x0, #0; mov x8, #94; svc #0
        "aarch64" => (183, &[0, 0, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
        _ => return b"#!/bin/true\n".to_vec(),
    };
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let len = HEADERS + code.len() as u64;
    let mut elf = Vec::new();
    // Elf64_Ehdr: 64 bits, little-endian, version 1; an executable.
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2, number] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // Elf64_Phdr: loaded, readable and executable.
    for word in [1_u32, 5] {
        elf.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, len, len, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_is_made_runs_and_ends() {
        let scratch = tempfile::tempdir().unwrap();
        Top::make(scratch.path()).unwrap().program("end", &program()).unwrap();
        call(scratch.path().join("end")).run().unwrap();
    }
}
