//! What people run on such trees: git, Python, dpkg.

use anyhow::{Result, bail};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, Symlinks};

use super::create::made_once;
use super::walk;
use crate::bench::programs::call;
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::tree::Dice;
use crate::bench::workload::{Bound, Changes, Place, Start, Workload};

/// Clones a repository, and asks what is changed in the clone.
pub struct Git;

impl Workload for Git {
    fn name(&self) -> String {
        "git".into()
    }
    fn about(&self) -> String {
        "git clone of a local repository, git status".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.program_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn needs(&self) -> &[&'static str] {
        &["git"]
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        let (path, Some(top)) = made_once(place, "git")? else { return Ok(()) };
        let mut dice = Dice::new(21);
        for number in 0..place.scale().program_files {
            if number % 50 == 0 {
                top.dir(&format!("origin/dir{}", number / 50))?;
            }
            top.file(&format!("origin/dir{}/file{number}", number / 50), &dice.bytes(3000))?;
        }
        let git = || call("git").word("-C").word(path.join("origin"));
        git().words("init -q").run()?;
        git().words("add .").run()?;
        git()
            .words(
                "-c user.name=bench -c user.email=bench -c commit.gpgsign=false commit -q -m all",
            )
            .run()?;
        top.file("done", b"")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let clone = place.join("clone");
        let origin = place.lab.disk.join("made/git/origin");
        call("git").words("clone -q --no-hardlinks").word(origin).word(&clone).run()?;
        let changed = call("git").word("-C").word(&clone).words("status --porcelain").run()?;
        if !changed.is_empty() {
            bail!("git finds changes in a fresh clone");
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        Ok(file::stat_at(place.tree()?, "clone/dir0/file0", Symlinks::Stop).map(drop)?)
    }
}

/// Starts Python, which imports modules of the tree.
pub struct Python(pub Start);

impl Workload for Python {
    fn name(&self) -> String {
        format!("python{}", walk::suffix(self.0))
    }
    fn about(&self) -> String {
        "start Python, import modules of the tree".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.program_files
    }
    fn start(&self) -> Start {
        self.0
    }
    fn needs(&self) -> &[&'static str] {
        &["python3"]
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let count = place.scale().program_files;
        let text = format!(
            "import os, sys; sys.path.insert(0, os.environ['MODULES']); \
             assert sum(__import__(f'module{{n}}').NUMBER for n in range({count})) == sum(range({count}))"
        );
        let python = call(place.lab.python.as_deref().unwrap_or("python3".as_ref()));
        python.words("-S -c").word(text).with("MODULES", place.join("modules")).run().map(drop)
    }
}

/// Installs a package.
pub struct Dpkg;

impl Workload for Dpkg {
    fn name(&self) -> String {
        "dpkg".into()
    }
    fn about(&self) -> String {
        "install a package with dpkg".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.program_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn needs(&self) -> &[&'static str] {
        &["dpkg", "dpkg-deb"]
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        let (path, made) = made_once(place, "dpkg")?;
        if let Some(top) = made {
            top.dir("tree/DEBIAN")?;
            let control = "Package: layerfs-bench\nVersion: 1\nArchitecture: all\n\
                           Maintainer: nobody <nobody@localhost>\nDescription: files to install\n";
            top.file("tree/DEBIAN/control", control.as_bytes())?;
            let mut dice = Dice::new(22);
            for number in 0..place.scale().program_files {
                if number % 50 == 0 {
                    top.dir(&format!("tree/opt/bench/dir{}", number / 50))?;
                }
                let name = format!("tree/opt/bench/dir{}/file{number}", number / 50);
                top.file(&name, &dice.bytes(number % 11 * 800))?;
            }
            let build =
                call("dpkg-deb").words("--root-owner-group -Zgzip --build tree package.deb");
            build.within(&path).run()?;
            top.file("done", b"")?;
        }
        for part in ["info", "updates", "triggers"] {
            dir::make_all(&place.join("var/lib/dpkg").join(part), 0o755)?;
        }
        file::create_new(place.tree()?, "var/lib/dpkg/status", 0o644)?;
        Ok(())
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let mut root = std::ffi::OsString::from("--root=");
        root.push(&place.lab.mountpoint);
        let package = place.lab.disk.join("made/dpkg/package.deb");
        call("dpkg").word(root).words("--log=/dev/null -i").word(package).run().map(drop)
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        Ok(file::stat_at(place.tree()?, "opt/bench/dir0/file0", Symlinks::Stop).map(drop)?)
    }
}
