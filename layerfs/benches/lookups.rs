//! What the work between two requests takes: names in an index, layers merged into a tree, lookups in a union.
//!
//! `cargo bench --package layerfs-driver --bench lookups [WORD]`; as a test each runs once.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)] // criterion's macros; what can't go on should stop

#[path = "../tests/kit/mod.rs"]
mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kit::{ground, image};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::index::{Index, Ordinal};
use layerfs_driver::store::{chain_id, merge_layers};
use layerfs_driver::tree::Name;
use layerfs_driver::union::NodeId;

/// Names in a directory.
const SIZES: [usize; 3] = [10, 1000, 100_000];

/// So many layers, each with so many files of its own, and as many that the one above it has, too.
const MERGES: [(usize, usize); 2] = [(10, 1000), (100, 20)];

fn name(number: usize) -> String {
    format!("a file with number {number}.txt")
}

/// An image of one directory, imported.
fn flat(files: usize) -> image::Imported {
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        archive.append_data(&mut header, name(number), &[][..]).unwrap();
    }
    image::of_archive(archive)
}

/// Directories, the first on top.
fn directories(at: &Path, (layers, files): (usize, usize)) -> Vec<PathBuf> {
    let made = |layer: usize| {
        let dir = at.join(layer.to_string());
        std::fs::create_dir_all(dir.join("shared")).unwrap();
        for number in layer * files..(layer + 2) * files {
            std::fs::write(dir.join("shared").join(name(number)), "").unwrap();
        }
        dir
    };
    (0..layers).map(made).collect()
}

/// A file without a name.
fn nameless() -> OwnedFd {
    tempfile::tempfile().unwrap().into()
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    for files in SIZES {
        let imported = flat(files);
        let tree = imported.store.tree(&imported.chain).unwrap();
        let (mut next, names) = (0, (0..files).map(name).collect::<Vec<_>>());
        group.bench_function(BenchmarkId::new("lookup of a name", files), |bencher| {
            bencher.iter(|| {
                next = (next + 7919) % files;
                tree.lookup(Ordinal::ROOT, black_box(names[next].as_bytes())).unwrap().unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("lookup of none", files), |bencher| {
            bencher.iter(|| tree.lookup(Ordinal::ROOT, black_box(b"a file without one")).unwrap());
        });
        group.throughput(Throughput::Elements(files as u64));
        group.bench_function(BenchmarkId::new("listing", files), |bencher| {
            bencher.iter(|| tree.children(Ordinal::ROOT, 0).unwrap().map(Result::unwrap).count());
        });
    }
    group.finish();
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    for size in MERGES {
        let scratch = tempfile::tempdir().unwrap();
        let imported = image::of_directories(&directories(scratch.path(), size));
        let images = imported.store.images().unwrap();
        let ids: Vec<Digest> = images[0].layers.iter().map(|layer| layer.diff_id).collect();
        let layers: Vec<Index> =
            ids.iter().map(|id| imported.store.layer_index(id).unwrap()).collect();
        let chain = chain_id(ids.iter()).unwrap();
        group.throughput(Throughput::Elements((2 * size.0 * size.1) as u64));
        group.bench_function(BenchmarkId::new("layers", size.0), |bencher| {
            bencher.iter(|| merge_layers(&layers, chain, nameless()).unwrap());
        });
    }
    group.finish();
}

fn union(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("union");
    let scratch = tempfile::tempdir().unwrap();
    let dirs = directories(scratch.path(), (10, 100));
    let imported = image::of_directories(&dirs);
    for (lower, word) in [(imported.lower(), "image"), (ground::lower_of(&dirs), "directories")] {
        let union = ground::joined(lower, &scratch.path().join(word));
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let shared = union.lookup(NodeId::ROOT, &name("shared")).unwrap().id;
        let deepest = name(&self::name(1050));
        group.bench_function(BenchmarkId::new("lookup of a name", word), |bencher| {
            bencher.iter(|| {
                let id = union.lookup(shared, black_box(&deepest)).unwrap().id;
                union.forget(id, 1);
            });
        });
        let none = name("a file without one");
        group.bench_function(BenchmarkId::new("lookup of none", word), |bencher| {
            bencher.iter(|| union.lookup(shared, black_box(&none)).unwrap_err());
        });
        group.bench_function(BenchmarkId::new("attributes", word), |bencher| {
            let id = union.lookup(shared, &deepest).unwrap().id;
            bencher.iter(|| union.attr(black_box(id)).unwrap());
        });
        group.throughput(Throughput::Elements(1100));
        group.bench_function(BenchmarkId::new("listing", word), |bencher| {
            bencher.iter(|| {
                let mut count = 0;
                union
                    .list(shared, 0, |_| {
                        count += 1;
                        true
                    })
                    .unwrap();
                count
            });
        });
    }
    group.finish();
}

criterion_group!(benches, index, merge, union);
criterion_main!(benches);
