//! The scripts behind the Makefile: what they promise about the places they touch.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::Scratch;

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name))
}

/// A stand-in for the binary, so that the scripts are tested alone.
fn stand_in(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("stand-in");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the scratch directory is ours");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        .expect("the scratch directory is ours");
    path
}

const VERBS: &str = r#"case $1 in man) echo page >"$2/layerfs.1" ;; completion) echo "for $2" ;; *) exit 2 ;; esac"#;

fn files(dir: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    for entry in support::machine::entries(dir) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            let mode = entry.metadata().expect("it was just listed").permissions().mode() & 0o777;
            found.insert(entry, mode);
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the script can be started");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

#[test]
fn uninstall_removes_exactly_what_install_put() {
    let scratch = Scratch::new();
    let prefix = scratch.join("prefix");
    std::fs::create_dir_all(prefix.join("bin")).unwrap();
    std::fs::write(prefix.join("bin/other"), "not ours").unwrap();
    let before = files(&prefix);
    let binary = stand_in(scratch.path(), VERBS);
    // Twice: the second replaces the first.
    for _ in 0..2 {
        run(script("install").arg(&binary).arg(&prefix));
    }
    let installed = files(&prefix);
    assert_eq!(installed.get(&prefix.join("bin/layerfs")), Some(&0o755));
    for file in
        ["man/man1/layerfs.1", "bash-completion/completions/layerfs", "zsh/site-functions/_layerfs"]
    {
        assert_eq!(installed.get(&prefix.join("share").join(file)), Some(&0o644), "{file}");
    }
    run(script("uninstall").arg(&prefix));
    assert_eq!(files(&prefix), before);
    let again = script("uninstall").arg(&prefix).output().unwrap();
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("nothing of layerfs below"), "{}", text(&again.stderr));
}

#[test]
fn an_install_makes_the_directories_it_needs_and_uninstall_removes_them() {
    let scratch = Scratch::new();
    let binary = stand_in(scratch.path(), VERBS);
    let staged = scratch.join("staged/usr");
    for kept in [None, Some("share/man/man1/other.1")] {
        for _ in 0..2 {
            run(script("install").arg(&binary).arg(&staged));
        }
        assert_eq!(
            std::fs::read_link(staged.join("bin/fuse-layerfs")).unwrap(),
            Path::new("layerfs")
        );
        if let Some(kept) = kept {
            std::fs::write(staged.join(kept), "not ours").unwrap();
        }
        run(script("uninstall").arg(&staged));
        assert_eq!(staged.exists(), kept.is_some());
        if let Some(kept) = kept {
            assert_eq!(files(&staged).keys().collect::<Vec<_>>(), [&staged.join(kept)]);
            assert!(!staged.join("bin").exists());
        }
    }
}

#[test]
fn an_install_that_fails_puts_nothing() {
    let scratch = Scratch::new();
    let binary = stand_in(scratch.path(), "[ \"$2\" = zsh ] && exit 1\ntrue");
    let output = script("install").arg(&binary).arg(scratch.join("prefix")).output().unwrap();
    assert!(!output.status.success());
    assert!(files(&scratch.join("prefix")).is_empty());
}

#[test]
fn uninstall_refuses_a_list_that_leads_elsewhere() {
    let scratch = Scratch::new();
    let prefix = scratch.join("prefix");
    std::fs::create_dir_all(prefix.join("share/layerfs")).unwrap();
    std::fs::write(scratch.join("precious"), "").unwrap();
    std::fs::write(prefix.join("share/layerfs/installed"), "../precious\n").unwrap();
    let output = script("uninstall").arg(&prefix).output().unwrap();
    assert!(!output.status.success());
    assert!(scratch.join("precious").exists());
}

#[test]
fn setup_is_silent_about_a_machine_that_has_everything() {
    let output = run(script("setup").arg("build"));
    assert_eq!(text(&output.stdout), "setup: nothing missing\n");
    let unknown = script("setup").arg("everything").output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

/// One that lost its place would end the soak before the first test.
#[test]
fn every_planted_fault_has_its_place() {
    let said = run(script("planted-faults").arg("--places").env_remove("LAYERFS_PLANTED"));
    assert!(text(&said.stdout).ends_with(" places\n"), "{}", text(&said.stdout));
}
