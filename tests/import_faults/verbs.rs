//! Every verb that changes images under faults, as `pull` of a layout is: from a stream, from an archive, from a root file
//! system; naming, removing, collecting.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use layerfs_driver::store::{Repair, Store};

use super::support::{Scratch, figure, fixtures, watchdog};
use super::{ERRNOS, Lab, files_below, text, told};

/// What is done under faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// `load` from standard input, which is spooled.
    Load,
    /// `pull docker-archive:FILE`.
    DockerArchive,
    /// `import FILE`.
    ImportFile,
    /// `import DIR`.
    ImportDir,
    /// `tag`.
    Tag,
    /// `rmi` of an image's last name, which frees its space.
    Rmi,
    /// `gc` of what an image left, and a killed import, and a killed writer of a record.
    Gc,
}

/// A fault.
#[derive(Clone, Copy, Debug)]
enum Way {
    Fail(&'static str),
    Die,
}

struct Bench {
    lab: Lab,
    archive: PathBuf,
    deed: Deed,
}

/// The store after the deed, undisturbed.
struct Ends {
    old: Seen,
    new: Seen,
    files: BTreeSet<PathBuf>,
}

/// The images with their ids and names.
type Seen = BTreeSet<(String, Vec<String>)>;

impl Bench {
    fn new(deed: Deed) -> Option<Bench> {
        let lab = Lab { scratch: Scratch::new(), layout: fixtures::small_layout()? };
        let bench = Bench { lab, archive: fixtures::docker_save_25()?, deed };
        bench.write_rootfs();
        bench.prepare();
        Some(bench)
    }

    /// A root file system, as a directory and as an archive: small files, one that is an object, links.
    fn write_rootfs(&self) {
        let rootfs = self.lab.scratch.join("rootfs");
        std::fs::create_dir_all(rootfs.join("etc/deep")).unwrap();
        std::fs::write(rootfs.join("etc/name"), b"small").unwrap();
        std::fs::write(rootfs.join("large"), vec![7; 20_000]).unwrap();
        std::fs::hard_link(rootfs.join("large"), rootfs.join("etc/deep/again")).unwrap();
        std::os::unix::fs::symlink("../large", rootfs.join("etc/link")).unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.arg("-C").arg(&rootfs).arg("-cf").arg(self.lab.scratch.join("rootfs.tar")).arg(".");
        assert!(tar.status().unwrap().success());
    }

    /// Makes the store that each run begins with, in `base`.
    fn prepare(&self) {
        let store = Store::open(&self.lab.root()).unwrap();
        store.collect().unwrap();
        if self.is_import() {
            drop(store);
        } else {
            assert!(self.lab.pull(None).output().unwrap().status.success());
            if self.deed == Deed::Gc {
                store.forget(&store.images().unwrap()[0]).unwrap();
                let killed = self.lab.root().join("tmp/1-0");
                std::fs::create_dir_all(killed.join("layer-0")).unwrap();
                std::fs::write(killed.join("layer-0/1"), b"part").unwrap();
                std::fs::write(self.lab.root().join("images/ids/0123456789abcdef.new"), b"{")
                    .unwrap();
            }
        }
        std::fs::rename(self.lab.root(), self.base()).unwrap();
    }

    fn is_import(&self) -> bool {
        !matches!(self.deed, Deed::Tag | Deed::Rmi | Deed::Gc)
    }

    /// Whether the image's configuration says when it was imported: two imports are two images then.
    fn is_dated(&self) -> bool {
        matches!(self.deed, Deed::ImportFile | Deed::ImportDir)
    }

    fn base(&self) -> PathBuf {
        self.lab.scratch.join("base")
    }

    fn words(&self) -> Vec<String> {
        let path = |name: &str| self.lab.scratch.join(name).display().to_string();
        let words: &[&str] = match self.deed {
            Deed::Load => &["load", "-q"],
            Deed::DockerArchive => {
                &["pull", "-q", &format!("docker-archive:{}", self.archive.display())]
            }
            Deed::ImportFile => &["import", "-q", &path("rootfs.tar"), "rootfs:1"],
            Deed::ImportDir => &["import", "-q", &path("rootfs"), "rootfs:1"],
            Deed::Tag => &["tag", "small:1", "other:2"],
            Deed::Rmi => &["rmi", "small:1"],
            Deed::Gc => &["gc"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn run(&self, plan: Option<&str>) -> Output {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.lab.command(&words, plan);
        if self.deed != Deed::Load {
            return command.stdin(Stdio::null()).output().unwrap();
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = std::fs::read(&self.archive).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Its reader may have failed or died, which is what the test is about.
                if let Err(error) = stdin.write_all(&bytes) {
                    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
                }
            });
            child.wait_with_output().unwrap()
        })
    }

    fn fresh(&self) {
        if self.lab.root().exists() {
            self.lab.forget();
        }
        copy(&self.base(), &self.lab.root());
    }

    fn seen(&self) -> Seen {
        let images = Store::open_existing(&self.lab.root()).unwrap().images().unwrap();
        let id = |id: String| if self.is_dated() { "dated".to_owned() } else { id };
        let names = |image: &layerfs_driver::store::image::Image| {
            image.names.iter().map(ToString::to_string).collect()
        };
        images.iter().map(|image| (id(image.id.hex()), names(image))).collect()
    }

    fn ends(&self) -> Ends {
        self.fresh();
        let old = self.seen();
        let output = self.run(None);
        assert!(output.status.success(), "{:?}: {}", self.deed, told(&output));
        Store::open(&self.lab.root()).unwrap().collect().unwrap();
        Ends { old, new: self.seen(), files: files_below(&self.lab.root()) }
    }

    /// What must hold after any fault: old or new, the same command works, and leaves the store as if nothing had been.
    fn recovers(&self, ends: &Ends, case: &str) {
        let seen = self.seen();
        // An image gets its names once it is there.
        let bare: Seen = ends.new.iter().map(|(id, _)| (id.clone(), Vec::new())).collect();
        let is_new = seen == ends.new;
        assert!(seen == ends.old || is_new || self.is_import() && seen == bare, "{case}: {seen:?}");
        let again = self.run(None);
        match self.deed {
            Deed::Rmi if is_new => assert!(text(&again.stderr).contains("no image"), "{case}"),
            _ => assert!(again.status.success(), "{case}: again: {}", told(&again)),
        }
        let store = Store::open_existing(&self.lab.root()).unwrap();
        if self.deed != Deed::Gc {
            store.collect().unwrap();
        }
        let named = |seen: Seen| -> Seen {
            seen.into_iter().filter(|(_, names)| !self.is_dated() || !names.is_empty()).collect()
        };
        assert_eq!(named(self.seen()), ends.new, "{case}");
        assert_eq!(store.fsck(Repair::Report).unwrap().findings, [], "{case}");
        let tmp = std::fs::read_dir(self.lab.root().join("tmp")).unwrap().count();
        assert_eq!(tmp, 0, "{case}: something is left in tmp/");
        if !self.is_dated() {
            assert_eq!(files_below(&self.lab.root()), ends.files, "{case}");
        }
    }

    /// One run under one fault. `false` where it was past the end.
    fn try_fault(&self, ends: &Ends, n: u64, way: Way) -> bool {
        let case = format!("{:?}: call {n}: {way:?}", self.deed);
        let plan = match way {
            Way::Fail(errno) => format!("fail:{n}:{errno}"),
            Way::Die => format!("die:{n}"),
        };
        self.fresh();
        let (output, _, fired) = self.lab.counted(|| self.run(Some(&plan)));
        let said = text(&output.stderr);
        match way {
            Way::Die if !output.status.success() => {
                assert_eq!(output.status.signal(), Some(9), "{case}: {}", told(&output));
            }
            Way::Die => return false,
            Way::Fail(errno) => {
                let may_fail = fired && errno != "EINTR";
                assert!(output.status.success() || may_fail, "{case}: {}", told(&output));
                if !output.status.success() {
                    assert_eq!(output.status.code(), Some(1), "{case}: {}", told(&output));
                    assert_eq!(said.lines().count(), 1, "{case}: {}", told(&output));
                }
                if !fired {
                    return false;
                }
            }
        }
        self.recovers(ends, &case);
        true
    }
}

/// The faults to try at the n-th call. Without the full matrix, the errors share the calls out.
fn ways(n: u64) -> Vec<Way> {
    let all = ERRNOS.into_iter().map(Way::Fail).chain([Way::Die]);
    let soak = std::env::var_os("LAYERFS_SOAK").is_some();
    let is_tried = |lane: u64, way: &Way| soak || matches!(way, Way::Die) || n % 4 == lane;
    (0..).zip(all).filter(|(lane, way)| is_tried(*lane, way)).map(|(_, way)| way).collect()
}

/// Refuses the n-th call or dies there, for every n.
fn under_faults(deed: Deed, points_min: u64) {
    let _watchdog = watchdog(600);
    let Some(bench) = Bench::new(deed) else { return };
    let ends = bench.ends();
    let (mut faults, mut deaths, mut last) = (0, 0, 0);
    // The threads of an import interleave as they please, and a pipe gives what is in it: some runs have more points than
    // others. No fault of any kind is tried after one of its kind was past the end.
    let mut over = BTreeSet::new();
    let ways_max = ERRNOS.len() + 1;
    for n in 1.. {
        for way in ways(n) {
            let kind = format!("{way:?}");
            if over.contains(&kind) {
                continue;
            }
            if !bench.try_fault(&ends, n, way) {
                over.insert(kind);
                continue;
            }
            last = n;
            match way {
                Way::Fail(_) => faults += 1,
                Way::Die => deaths += 1,
            }
        }
        if over.len() == ways_max {
            break;
        }
    }
    figure(format_args!("{deed:?}: points: {last}; refused: {faults}; deaths: {deaths}"));
    assert!(last >= points_min, "{deed:?} passes {last} points: where did they go?");
}

#[test]
fn load_from_a_stream_leaves_the_store_old_or_new() {
    under_faults(Deed::Load, 150);
}

#[test]
fn pull_of_an_archive_leaves_the_store_old_or_new() {
    under_faults(Deed::DockerArchive, 150);
}

#[test]
fn import_of_an_archive_leaves_the_store_old_or_new() {
    under_faults(Deed::ImportFile, 100);
}

#[test]
fn import_of_a_directory_leaves_the_store_old_or_new() {
    under_faults(Deed::ImportDir, 100);
}

#[test]
fn tag_leaves_the_names_old_or_new() {
    under_faults(Deed::Tag, 40);
}

#[test]
fn rmi_leaves_the_image_there_or_gone() {
    under_faults(Deed::Rmi, 80);
}

#[test]
fn gc_leaves_what_is_needed() {
    under_faults(Deed::Gc, 60);
}

/// Copies a directory of files and directories.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
