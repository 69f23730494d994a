//! gc beside importers and removers of images that share layers and contents: nothing needed goes, nothing else stays.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]
#![allow(clippy::print_stdout, reason = "figures that are told and not bounded")]

mod support;

#[path = "hostile/layout.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod layout;
#[path = "hostile/packing.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod packing;
#[path = "hostile/tarball.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod tarball;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use layerfs_driver::store::container::Stands;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::reference::Reference;
use layerfs_driver::store::source::{self, Pick, Source, SourceImage, SourceSpec, Wanted};
use layerfs_driver::store::{LayerOutcome, Progress, Repair, Store};

use layout::Layout;
use support::{Scope, Scratch, photograph, watchdog};
use tarball::{Entry, file, tar};

/// Images, and importers of them.
const IMAGES: usize = 8;

/// How long they work together.
fn span() -> Duration {
    let is_soak = std::env::var_os("LAYERFS_SOAK").is_some();
    Duration::from_secs(if is_soak { 600 } else { 20 })
}

/// Runs the command on a store; it must succeed. Answers its results.
fn layerfs(store: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
    let output = command.arg("--root").arg(store).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let results = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "layerfs {words:?}: {said}{results}");
    String::from_utf8(output.stdout).unwrap()
}

/// A layer of small files and of contents that it shares with the layers before and after it.
fn layer(number: usize) -> Vec<u8> {
    let large = |of: usize, n: usize| format!("{of} {n} ").repeat(2000).into_bytes();
    let entries: Vec<Entry> = (0..12)
        .flat_map(|n| {
            [
                file(format!("l{number}/small{n}"), format!("{number} {n}")),
                file(format!("l{number}/own{n}"), large(number, n)),
                file(format!("l{number}/next{n}"), large((number + 1) % IMAGES, n)),
                file(format!("all/{n}"), large(1000, n)),
            ]
        })
        .collect();
    tar(&entries)
}

/// Each image has a layer that all have, one shared with the image before, one with the next, and one of its own.
fn write_layouts(scratch: &Scratch) -> Vec<PathBuf> {
    let image = |number: usize| {
        let place = scratch.join(format!("image-{number}"));
        let own =
            tar(&[file(format!("own/{number}"), vec![u8::try_from(number).unwrap(); 70_000])]);
        let layers = [layer(100), layer(number), layer((number + 1) % IMAGES), own];
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| packing::gzip(layer)).collect();
        Layout::new(&place).set_layers(&packed, &layers);
        place
    };
    (0..IMAGES).map(image).collect()
}

fn pull(store: &Path, number: usize, layout: &Path) {
    let (name, place) = (format!("image-{number}"), format!("oci:{}", layout.display()));
    layerfs(store, &["pull", "-q", "--name", &name, &place]);
}

/// What of a store stands for contents; directories that are empty do not count.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

/// How often each did its work.
#[derive(Debug, Default)]
struct Counts {
    imports: AtomicU32,
    removals: AtomicU32,
    collections: AtomicU32,
}

/// Works until the span is over, or until another has failed.
fn until_over(work: impl Fn(usize), stop: &AtomicBool) {
    struct StopAll<'a>(&'a AtomicBool);
    impl Drop for StopAll<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }
    let _stop_all = StopAll(stop);
    let begun = Instant::now();
    for round in 0.. {
        if begun.elapsed() > span() || stop.load(Ordering::Relaxed) {
            return;
        }
        work(round);
    }
}

fn work_together(store: &Path, layouts: &[PathBuf]) -> Counts {
    // Those that remove, collect and check make no store: whichever of them begins first must find one.
    drop(Store::open(store).unwrap());
    let (counts, stop) = (Counts::default(), AtomicBool::new(false));
    let count = |of: &AtomicU32| of.fetch_add(1, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let (count, counts, stop) = (&count, &counts, &stop);
        for (number, layout) in layouts.iter().enumerate() {
            scope.spawn(move || {
                let work = |round| {
                    pull(store, number, layout);
                    count(&counts.imports);
                    if round % 2 == 0 {
                        layerfs(store, &["rmi", "-f", &format!("image-{number}")]);
                        count(&counts.removals);
                    }
                };
                until_over(work, stop);
            });
        }
        scope.spawn(move || {
            let work = |_| {
                layerfs(store, &["gc"]);
                count(&counts.collections);
            };
            until_over(work, stop);
        });
        scope.spawn(move || until_over(|_| drop(layerfs(store, &["fsck"])), stop));
        // One more importer and one more remover, which meet others of the same image at every moment of theirs.
        scope.spawn(move || {
            let work = |round| {
                layerfs(store, &["rmi", "-f", &format!("image-{}", round % IMAGES)]);
                count(&counts.removals);
            };
            until_over(work, stop);
        });
        scope.spawn(move || {
            until_over(|round| pull(store, round % IMAGES, &layouts[round % IMAGES]), stop)
        });
    });
    counts
}

#[test]
fn gc_beside_importers_and_removers_takes_what_nothing_needs_and_no_more() {
    let _watch = watchdog(span().as_secs() + 100);
    let scratch = Scratch::new();
    let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
    let layouts = write_layouts(&scratch);
    let (store, alone) = (scratch.join("store"), scratch.join("alone"));
    let counts = work_together(&store, &layouts);
    println!("{counts:?}");
    // Before the last imports, which would cover what is missing.
    layerfs(&store, &["fsck"]);
    for (number, layout) in layouts.iter().enumerate() {
        pull(&store, number, layout);
        pull(&alone, number, layout);
    }
    layerfs(&store, &["fsck"]);
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0, "tmp/ is not empty");
    layerfs(&store, &["gc"]);
    layerfs(&store, &["fsck"]);
    assert_same_contents(&store, &alone);
    let images: Vec<String> = (0..IMAGES).map(|number| format!("image-{number}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    layerfs(&store, &[&["rmi", "-f"][..], &images].concat());
    layerfs(&store, &["gc"]);
    for room in ["objects", "layers", "frames", "trees", "blobs", "images", "damaged", "tmp"] {
        assert_eq!(files(&store.join(room)), BTreeSet::new(), "{room} after all images have gone");
    }
    photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
}

/// Both stores have the same images, and the same files in every room, byte for byte.
fn assert_same_contents(store: &Path, alone: &Path) {
    let ids = |root: &Path| -> BTreeSet<_> {
        let images = Store::open(root).unwrap().images().unwrap();
        images.into_iter().map(|image| (image.id, image.names)).collect()
    };
    assert_eq!(ids(store), ids(alone));
    for room in ["objects", "layers", "frames", "trees", "blobs"] {
        let below = |root: &Path| -> BTreeSet<PathBuf> {
            let found = files(&root.join(room)).into_iter();
            found.map(|path| path.strip_prefix(root).unwrap().to_path_buf()).collect()
        };
        assert_eq!(below(store), below(alone), "{room}");
        assert!(!below(store).is_empty(), "{room} is empty");
        for path in below(store) {
            let bytes = [store, alone].map(|root| fs::read(root.join(&path)).unwrap());
            assert!(bytes[0] == bytes[1], "{} differs", path.display());
        }
    }
}

/// On a disk, where directories take blocks of their own.
#[test]
fn df_counts_what_du_counts() {
    let _watch = watchdog(120);
    let scratch = Scratch::on_disk();
    let store = scratch.join("store");
    for (number, layout) in write_layouts(&scratch).iter().enumerate() {
        pull(&store, number, layout);
    }
    let rows: serde_json::Value =
        serde_json::from_str(&layerfs(&store, &["df", "--json"])).unwrap();
    let is_total =
        |row: &&serde_json::Value| row["type"] == "images" || row["type"] == "containers";
    let rows = rows.as_array().unwrap().iter();
    let ours: u64 = rows.filter(is_total).map(|row| row["size"].as_u64().unwrap()).sum();
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(&store).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(ours.abs_diff(theirs) * 100 <= theirs, "df says {ours}, du says {theirs}");
}

/// An image is published and named while it is being removed: either both the record and its names are there, or neither.
#[test]
fn a_removed_image_leaves_no_name_behind() {
    let _watch = watchdog(120);
    // On a disk, where a directory takes its time to be synced.
    let scratch = Scratch::on_disk();
    let place = scratch.join("layout");
    Layout::new(&place);
    let store = Store::open(&scratch.join("store")).unwrap();
    let (source, image) = opened(&store, &place);
    let names: Vec<Reference> =
        ["one:1", "two:2"].map(|name| Reference::parse(name).unwrap()).into();
    for round in 0..200 {
        std::thread::scope(|scope| {
            let importer =
                scope.spawn(|| store.import_image(&source, &image, &names, &Silent).unwrap());
            while !importer.is_finished() {
                for there in store.images().unwrap() {
                    store.forget(&there).unwrap();
                }
            }
        });
        let findings = store.fsck(Repair::Report).unwrap().findings;
        assert_eq!(findings, [], "round {round}");
    }
}

/// A check that reads one object for minutes: imports, mounts, removals and gc go on beside it.
#[test]
fn nobody_waits_for_a_long_fsck() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let root = scratch.join("store");
    let store = Store::open(&root).unwrap();
    let place = scratch.join("layout");
    Layout::new(&place);
    let (source, image) = opened(&store, &place);
    for words in [&["fsck"][..], &["fsck", "--repair"]] {
        // Of this size and of no blocks: longer to hash than this test may take. No image has it, so that gc takes it.
        let endless = Digest::of(words.len().to_string().as_bytes()).hex();
        let object = root.join("objects").join(&endless[..2]);
        fs::create_dir_all(&object).unwrap();
        fs::File::create(object.join(&endless)).unwrap().set_len(1 << 40).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        let mut check = check.arg("--root").arg(&root).args(words).spawn().unwrap();
        let files = PathBuf::from(format!("/proc/{}/fd", check.id()));
        while !holds(&files, &endless) {
            assert!(check.try_wait().unwrap().is_none(), "{words:?} ended early");
            std::thread::yield_now();
        }
        store.import_image(&source, &image, &[], &Silent).unwrap();
        let found = store.images().unwrap().remove(0);
        let hold = store.hold(&found, "held", stands()).unwrap();
        store.forget(&found).unwrap();
        store.collect().unwrap();
        assert!(!object.join(&endless).exists(), "gc takes what is being read");
        drop(hold);
        assert!(check.try_wait().unwrap().is_none(), "{words:?} ended early");
        check.kill().unwrap();
        check.wait().unwrap();
    }
}

/// Where a mount says that it stands.
fn stands() -> Stands<'static> {
    Stands { at: Path::new("/m"), own: None }
}

/// Whether a process has a file of that name open.
fn holds(files: &Path, name: &str) -> bool {
    let links = fs::read_dir(files).into_iter().flatten().flatten();
    let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.any(|target| target.ends_with(name))
}

/// Mounts that begin at the same time sweep each other's directories before they are locked.
#[test]
fn holds_are_made_beside_each_other() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let place = scratch.join("layout");
    Layout::new(&place);
    let store = Store::open(&scratch.join("store")).unwrap();
    let (source, image) = opened(&store, &place);
    store.import_image(&source, &image, &[], &Silent).unwrap();
    let image = store.images().unwrap().remove(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let hold = store.hold(&image, "held", stands()).unwrap();
                    hold.make_dir("upper").unwrap();
                    drop(hold);
                }
            });
        }
    });
    assert_eq!(fs::read_dir(scratch.join("store/containers")).unwrap().count(), 0);
}

fn opened(store: &Store, layout: &Path) -> (Source, SourceImage) {
    let words = format!("oci:{}", layout.display());
    let spec = SourceSpec::parse(words.as_ref()).unwrap();
    let source = source::open(&spec, Wanted::Host, store.spool_dir().as_fd()).unwrap();
    let image = source.images(Pick::One(None)).unwrap().remove(0);
    (source, image)
}

#[test]
fn images_are_listed_while_they_come_and_go() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let place = scratch.join("layout");
    Layout::new(&place);
    let store = Store::open(&scratch.join("store")).unwrap();
    let (source, image) = opened(&store, &place);
    let (seen, over) = ([AtomicU32::new(0), AtomicU32::new(0)], AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                store.import_image(&source, &image, &[], &Silent).unwrap();
                for there in store.images().unwrap() {
                    store.forget(&there).unwrap();
                }
                store.collect().unwrap();
            }
            over.store(true, Ordering::Relaxed);
        });
        // So many that some lose the processor in the middle of a listing.
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let listed =
                        store.images().inspect_err(|_| over.store(true, Ordering::Relaxed));
                    seen[listed.unwrap().len()].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let seen = seen.map(AtomicU32::into_inner);
    assert!(seen[0] > 0 && seen[1] > 0, "it was {seen:?} times away and there");
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}
