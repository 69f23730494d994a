//! Power cuts during an import, on ext4 and XFS: an image that was acknowledged is there, any other whole or not at all.
//!
//! The file system is stopped without its journal's tail, unmounted and mounted again. What was acknowledged is known on
//! another disk: in this process.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod support;

#[path = "hostile/tarball.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod tarball;

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::power::{Switch, reboot};
use support::rights::have_loop_devices;
use support::{Scratch, need, need_root, watchdog};
use tarball::{dir, file, hard, symlink, tar};

/// Images that have to be there after each cut.
const KEPT: usize = 20;

/// A file system of its own with a store in it, and what was acknowledged of that store.
struct Disk {
    disk: Scratch,
    elsewhere: Scratch,
    acknowledged: Vec<String>,
    number: u32,
}

impl Disk {
    fn new(disk: Scratch) -> Disk {
        let mut disk =
            Disk { disk, elsewhere: Scratch::new(), acknowledged: Vec::new(), number: 0 };
        let output = disk.import(None).wait_with_output().unwrap();
        assert!(disk.took(&output), "{}", told(&output));
        disk
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.arg("--root").arg(self.disk.join("store")).args(words);
        command.env_remove("LAYERFS_FAULT").stdin(Stdio::null());
        command
    }

    /// Begins to import an image that the store has nothing of.
    fn import(&mut self, plan: Option<&str>) -> Child {
        self.number += 1;
        let number = self.number;
        let of = |len: usize| format!("{number} ").repeat(len).into_bytes();
        let mut entries = vec![dir("d"), symlink("l", number.to_string()), file("small", of(9))];
        entries.extend((0..20).map(|n| file(format!("d/{n}"), of(3000 + n))));
        entries.extend([hard("d/hard", "d/3"), file("large", of(700_000))]);
        let archive = self.elsewhere.join("image.tar");
        std::fs::write(&archive, tar(&entries)).unwrap();
        let name = format!("image-{number}");
        let mut command = self.command(&["import", "-q", archive.to_str().unwrap(), &name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(plan) = plan {
            command.env("LAYERFS_FAULT", plan);
            command.env("LAYERFS_FAULT_REPORT", self.elsewhere.join("report"));
        }
        command.spawn().unwrap()
    }

    /// Notes the image where the import said that it is there.
    fn took(&mut self, output: &Output) -> bool {
        if output.status.success() {
            self.acknowledged.push(text(&output.stdout).trim_end().to_owned());
        }
        output.status.success()
    }

    /// The points that an import passes.
    fn points(&mut self) -> u64 {
        let output = self.import(Some("count")).wait_with_output().unwrap();
        assert!(self.took(&output), "{}", told(&output));
        let report = std::fs::read_to_string(self.elsewhere.join("report")).unwrap();
        let number = report.strip_prefix("points=").and_then(|rest| rest.split(' ').next());
        number.unwrap().parse().unwrap()
    }

    /// The images of the store, where it lists them and has nothing to complain of.
    fn images(&self) -> Result<Vec<String>, String> {
        let mut images = Vec::new();
        for words in [&["images", "-q", "--no-trunc"][..], &["fsck"]] {
            let output = self.command(words).output().unwrap();
            if !output.status.success() {
                return Err(format!("{words:?}: {}{}", told(&output), text(&output.stdout)));
            }
            images.extend(text(&output.stdout).lines().map(str::to_owned));
        }
        Ok(images)
    }

    /// What must hold after every cut: all that was acknowledged, whatever else whole, and the next import works.
    fn holds(&mut self, case: &str) {
        let images = self.images().unwrap_or_else(|told| panic!("{case}: {told}"));
        for id in &self.acknowledged {
            assert!(images.contains(id), "{case}: {id} was acknowledged, there are {images:?}");
        }
        let output = self.import(None).wait_with_output().unwrap();
        assert!(self.took(&output), "{case}: the next import: {}", told(&output));
        // The disk holds some fifty of them, and the full matrix makes several hundred.
        while self.acknowledged.len() > KEPT {
            let oldest = self.acknowledged.remove(0);
            let output = self.command(&["rmi", &oldest]).output().unwrap();
            assert!(output.status.success(), "{case}: {}", told(&output));
        }
        let swept = self.command(&["gc"]).output().unwrap();
        assert!(swept.status.success(), "{case}: {}", told(&swept));
        self.images().unwrap_or_else(|told| panic!("{case}, and then: {told}"));
    }
}

fn cuts() -> u64 {
    if std::env::var_os("LAYERFS_SOAK").is_some() { 100 } else { 10 }
}

/// The process dies at a call and the power soon after, at calls spread over the import and after the last. In between
/// another program syncs a file of its own: that takes the names of others' files to the disk, and not their contents.
fn cut_at_calls(mut disk: Disk) {
    let points = disk.points();
    let mut switch = Switch::new();
    for round in 0..=cuts() {
        // The number of points differs a little from one image to the next: the last cut is well after the last of them.
        let n = if round == cuts() { 2 * points } else { 1 + points * round / cuts() };
        switch.ready(disk.disk.path());
        let output = disk.import(Some(&format!("die:{n}"))).wait_with_output().unwrap();
        let other = File::create(disk.disk.join("other")).unwrap();
        other.sync_all().unwrap();
        drop(other);
        switch.cut();
        let took = disk.took(&output);
        assert_eq!(took, n > points, "call {n} of about {points}: {}", told(&output));
        reboot(&disk.disk);
        disk.holds(&format!("cut at call {n} of about {points}"));
    }
}

/// The power goes while the import runs, at instants spread over its time and shortly after.
fn cut_at_instants(mut disk: Disk) {
    let started = Instant::now();
    let output = disk.import(None).wait_with_output().unwrap();
    assert!(disk.took(&output), "{}", told(&output));
    let life = started.elapsed();
    let mut refused = 0;
    let mut switch = Switch::new();
    for round in 0..cuts() {
        switch.ready(disk.disk.path());
        let started = Instant::now();
        let child = disk.import(None);
        let instant = life.mul_f64((round as f64 + 0.5) * 1.25 / cuts() as f64);
        while started.elapsed() < instant {
            std::thread::park_timeout(Duration::from_micros(50));
        }
        switch.cut();
        // One that has not ended meets a disk that is gone; where it says that it worked, it must have.
        let output = child.wait_with_output().unwrap();
        refused += u32::from(!disk.took(&output));
        reboot(&disk.disk);
        disk.holds(&format!("cut after {instant:?} of {life:?}: {}", told(&output)));
    }
    eprintln!("{refused} of {} imports were cut", cuts());
    assert!(refused > 0, "no import was cut");
}

/// The control: with syncs that do nothing, an image that was acknowledged does not survive.
fn without_syncs_an_image_is_lost(mut disk: Disk) {
    let mut switch = Switch::new();
    switch.ready(disk.disk.path());
    let output = disk.import(Some("ignore-syncs")).wait_with_output().unwrap();
    switch.cut();
    assert!(disk.took(&output), "{}", told(&output));
    reboot(&disk.disk);
    let images = disk.images();
    let is_whole =
        images.is_ok_and(|images| disk.acknowledged.iter().all(|id| images.contains(id)));
    assert!(!is_whole, "an image survived that nothing had synced: these cuts prove nothing");
}

fn on_both(test: fn(Disk)) {
    need!("python3", "mkfs.ext4", "mkfs.xfs");
    need_root!();
    if have_loop_devices() {
        let soak = std::env::var_os("LAYERFS_SOAK").is_some();
        let _watch = watchdog(if soak { 1800 } else { 240 });
        test(Disk::new(Scratch::ext4(256)));
        test(Disk::new(Scratch::xfs(300)));
    }
}

#[test]
fn a_power_cut_at_any_call_of_an_import_leaves_the_store_old_or_new() {
    on_both(cut_at_calls);
}

#[test]
fn a_power_cut_at_any_instant_of_an_import_leaves_the_store_old_or_new() {
    on_both(cut_at_instants);
}

#[test]
fn an_import_that_does_not_sync_loses_its_image_to_a_power_cut() {
    on_both(without_syncs_an_image_is_lost);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(output: &Output) -> String {
    format!("{}: {}", output.status, text(&output.stderr))
}
