//! With any one call failing, a stack of directories gives an error or the whole truth: never a name less.

#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::io::Write;
use std::path::PathBuf;

use layerfs_driver::lower::{
    DirStack, Lower, LowerError, LowerNode, Redirects, StackOptions, WhNames,
};
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Plan, with_plan};
use layerfs_driver::tree::{Kind, MarkSpace};
use rustix::fs::XattrFlags;

type Shown = Vec<(String, Kind, Vec<u8>)>;

fn layers(scratch: &tempfile::TempDir) -> Vec<PathBuf> {
    let at = |path: &str| scratch.path().join(path);
    for dir in ["top/opaque", "top/moved", "top/x", "low/opaque", "low/old", "low/x"] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    for file in
        ["top/.wh.gone", "low/gone", "low/opaque/hidden", "low/old/file", "low/x/a", "low/x/b"]
    {
        std::fs::write(at(file), file).unwrap();
    }
    std::fs::write(at("top/x/a"), b"").unwrap();
    std::os::unix::fs::symlink("target", at("top/link")).unwrap();
    for (path, mark, value) in [
        ("top/opaque", "opaque", "y"),
        ("top/moved", "redirect", "/old"),
        ("top/x", "opaque", "x"),
        ("top/x/a", "whiteout", "y"),
    ] {
        let name = format!("user.overlay.{mark}");
        rustix::fs::lsetxattr(at(path), name, value.as_bytes(), XattrFlags::empty()).unwrap();
    }
    vec![at("top"), at("low")]
}

fn read_all(dirs: &[PathBuf]) -> Result<Shown, LowerError> {
    let options = StackOptions {
        space: MarkSpace::User,
        redirects: Redirects::Follow,
        wh_names: WhNames::Whiteouts,
    };
    let lower = Lower::Dirs(DirStack::open_paths(dirs, options)?);
    let mut shown = Shown::new();
    below(&lower, &lower.root(), "", &mut shown)?;
    Ok(shown)
}

fn below(lower: &Lower, dir: &LowerNode, path: &str, shown: &mut Shown) -> Result<(), LowerError> {
    for entry in lower.list(dir)? {
        let path = format!("{path}/{}", entry.name);
        let Some(node) = lower.lookup(dir, &entry.name)? else {
            panic!("{path} is listed and absent");
        };
        let mut contents = vec![0; 100];
        match lower.attr(&node)?.kind {
            Kind::File => {
                let len = lower.open(&node)?.read_at(&mut contents, 0)?;
                contents.truncate(len);
            }
            Kind::Symlink => contents = lower.read_link(&node)?.into(),
            _ => contents.clear(),
        }
        lower.xattrs(&node)?;
        shown.push((path.clone(), entry.kind, contents));
        if entry.kind == Kind::Directory {
            below(lower, &node, &path, shown)?;
        }
    }
    Ok(())
}

#[test]
fn any_failing_call_is_an_error_or_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dirs = layers(&scratch);
    let whole = read_all(&dirs).unwrap();
    let names: Vec<&str> = whole.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(
        names,
        ["/link", "/moved", "/moved/file", "/old", "/old/file", "/opaque", "/x", "/x/b"]
    );
    for errno in [Errno::IO, Errno::MFILE, Errno::NOMEM] {
        let mut points = 0;
        for n in 1.. {
            let plan = Plan::Fail { n, errno, call: None };
            let (result, outcome) = with_plan(plan, || read_all(&dirs));
            if !outcome.fired {
                points = outcome.points;
                break;
            }
            if let Ok(shown) = result {
                assert_eq!(shown, whole, "{errno:?} at call {n}");
            }
        }
        assert!(points > 50, "{points} points");
        writeln!(std::io::stderr(), "figure: {errno:?}: points: {points}")
            .expect("standard error takes a line");
    }
}
