//! Marks that are damaged, and calls that read them and are refused: an error with the mark's name, of that object alone, and
//! never "no such file" or a mark that is not there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod kit;
#[path = "union_damage/marks.rs"]
mod marks;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use kit::copy::copy;
use kit::deeds::{Way, prepare};
use kit::forms::{Form, by_the_kernel};
use kit::ground::{Ground, Side};
use kit::seen::{Lenience, Tree, names};
use layerfs_driver::sys::Errno;
use layerfs_driver::union::{NodeId, OpenHow, RenameHow, Union, UnionError};
use marks::{Bad, LOWER, Sound, UPPER};
use rustix::fs::XattrFlags;
use support::{Scratch, figure, watchdog};

/// A prepared upper over directories that a test may damage.
struct Lab {
    scratch: Scratch,
    ground: Ground,
    form: Form,
}

impl Lab {
    fn new(form: Form) -> Lab {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), Side::Dirs);
        let lab = Lab { scratch, ground, form };
        if let (Ground::Dirs(dirs), Form::Metacopy) = (&lab.ground, form) {
            by_the_kernel(dirs, &lab.base());
        }
        prepare(&lab.ground.mount_as(&lab.base(), form), form);
        lab
    }

    fn base(&self) -> PathBuf {
        self.scratch.join("base")
    }

    /// Where an object lies in the upper, in the index or in the lower directories.
    fn at(&self, path: &str) -> PathBuf {
        let place = self.scratch.join("place");
        match path.split_once(':') {
            Some(("index", _)) => {
                let index = std::fs::read_dir(place.join("work/layerfs/index")).unwrap();
                index.map(|entry| entry.unwrap().path()).next().unwrap()
            }
            Some(("lower", path)) => self.scratch.join("plain/low").join(path),
            Some((_, path)) => self.scratch.join("plain/top").join(path),
            None => place.join("upper").join(path),
        }
    }

    /// Mounts a copy of the upper in which a mark has that value.
    fn with(&self, bad: &Bad, value: &[u8]) -> Union {
        copy(&self.base(), &self.scratch.join("place"));
        let at = self.at(bad.at);
        rustix::fs::lsetxattr(&at, bad.mark, value, XattrFlags::empty())
            .unwrap_or_else(|error| panic!("{} of {}: {error}", bad.mark, at.display()));
        self.ground.mount_as(&self.scratch.join("place"), self.form)
    }

    /// Takes a mark from a lower directory again.
    fn restore(&self, bad: &Bad) {
        if bad.at.contains(':') && !bad.at.starts_with("index") {
            rustix::fs::lremovexattr(self.at(bad.at), bad.mark).unwrap();
        }
    }

    /// What else there is, without a damage.
    fn rest(&self, bad: &Bad) -> Tree {
        copy(&self.base(), &self.scratch.join("place"));
        let union = self.ground.mount_as(&self.scratch.join("place"), self.form);
        Tree::without(&union, bad.shown)
    }
}

/// Everything that is done to a name; each answer must be an error.
fn done_to(union: &Union, path: &str) -> Vec<(&'static str, Result<(), UnionError>)> {
    let way = Way(union);
    vec![
        ("look up", way.walk(path).map(drop)),
        ("read", way.with_open(path, OpenHow::Read, |_| Ok(()))),
        ("list it", way.walk(path).and_then(|at| names(union, at.id, 9)).map(drop)),
        ("copy up", way.chmod(path)),
        ("write", way.write(path, b"x", 0)),
        ("link", way.link(path, "linked")),
        ("rename", way.rename(path, "renamed", RenameHow::Replace)),
        ("exchange", way.rename("up", path, RenameHow::Exchange)),
        ("unlink", way.unlink(path)),
        ("remove", way.rmdir(path)),
        ("set", way.xattr(path, "user.new")),
    ]
}

fn is_listed(union: &Union, path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = if dir.is_empty() { NodeId::ROOT } else { Way(union).walk(dir).unwrap().id };
    names(union, dir, 5).unwrap().iter().any(|(listed, _)| listed.as_bytes() == name.as_bytes())
}

/// A damaged mark is told, and leaves the rest as it is.
fn tell(form: Form, bads: &[Bad]) {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120);
    let lab = Lab::new(form);
    let mut told = 0;
    for bad in bads.iter().filter(|bad| bad.form == form) {
        let rest = lab.rest(bad);
        for value in bad.values {
            let union = lab.with(bad, value);
            let case = format!("{} of {} is {}", bad.mark, bad.at, value.escape_ascii());
            for path in bad.shown {
                assert!(is_listed(&union, path), "{case}: {path} is not listed");
                for (deed, result) in done_to(&union, path) {
                    let error = result.err().unwrap_or_else(|| panic!("{case}: {deed} is done"));
                    assert_eq!(error.errno(), Errno::IO, "{case}: {deed}: {error}");
                    let text = error.to_string();
                    assert!(text.contains(bad.word), "{case}: {deed}: {text}");
                    assert!(text.contains(bad.named), "{case}: {deed}: {text}");
                    told += 1;
                }
            }
            let apart = Tree::without(&union, bad.shown).differences(&rest, Lenience::Times);
            assert!(apart.is_empty(), "{case}: {apart:#?}");
            lab.restore(bad);
        }
    }
    assert!(told > 30, "{told} errors");
    figure(format_args!("{form:?}: {told} errors named"));
}

#[test]
fn a_damaged_mark_of_the_upper_is_an_error_with_its_name() {
    tell(Form::Usual, UPPER);
}

#[test]
fn a_damaged_mark_of_a_metacopy_is_an_error_with_its_name() {
    tell(Form::Metacopy, UPPER);
}

#[test]
fn a_damaged_mark_of_a_file_whose_data_stays_below_is_an_error_with_its_name() {
    tell(Form::Partial, UPPER);
}

#[test]
fn a_damaged_record_of_an_owner_is_an_error_with_its_name() {
    tell(Form::Recorded, UPPER);
}

#[test]
fn a_damaged_mark_of_a_lower_is_an_error_with_its_name() {
    tell(Form::Usual, LOWER);
}

/// Random bytes as each mark: an error of that object, or what the bytes happen to say; the rest is as it was.
#[test]
fn random_marks_harm_nothing_but_their_object() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(if support::soak() { 3600 } else { 300 });
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for form in [Form::Usual, Form::Metacopy, Form::Partial, Form::Recorded] {
        let lab = Lab::new(form);
        for bad in UPPER.iter().chain(LOWER).filter(|bad| bad.form == form) {
            let rest = lab.rest(bad);
            let (mut refused, all) = (0, if support::soak() { 10_000 } else { 1000 });
            copy(&lab.base(), &lab.scratch.join("place"));
            for n in 0..all {
                let value = random_value(&mut random, bad);
                rustix::fs::lsetxattr(lab.at(bad.at), bad.mark, &value, XattrFlags::empty())
                    .unwrap();
                let union = lab.ground.mount_as(&lab.scratch.join("place"), form);
                let case = format!("{} of {} is {}", bad.mark, bad.at, value.escape_ascii());
                for path in bad.shown {
                    match Way(&union).walk(path) {
                        Ok(looked) => {
                            assert_ne!(bad.sound, Sound::Never, "{case}: {path} is usable");
                            union.attr(looked.id).unwrap();
                        }
                        Err(error) => {
                            assert_eq!(error.errno(), Errno::IO, "{case}: {error}");
                            refused += 1;
                        }
                    }
                }
                if n % 97 == 0 {
                    let apart =
                        Tree::without(&union, bad.shown).differences(&rest, Lenience::Times);
                    assert!(apart.is_empty(), "{case}: {apart:#?}");
                }
            }
            lab.restore(bad);
            figure(format_args!("{} of {}: {refused} of {all} refused", bad.mark, bad.at));
            assert!(refused > 0, "{} of {}: nothing was refused", bad.mark, bad.at);
        }
    }
}

/// Directories that were copied or marked by hand: the one under the lower's own name is itself, of others the first, and what is
/// done in one is not done in another.
#[test]
fn of_two_directories_that_lead_to_one_of_the_lower_one_is_refused() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    for side in [Side::Image, Side::Dirs] {
        let ground = Ground::new(scratch.path(), side);
        let place = scratch.join(format!("place-{side:?}"));
        drop(ground.mount(&place));
        for name in ["first", "second"] {
            let dir = place.join("upper").join(name);
            std::fs::create_dir(&dir).unwrap();
            rustix::fs::lsetxattr(&dir, "trusted.overlay.redirect", b"/n", XattrFlags::empty())
                .unwrap();
        }
        let orders = [["n", "first", "second"], ["first", "second", "n"], ["second", "n", "first"]];
        // The lower's own directory, first as nobody changed it, then with a part in the upper.
        for (round, order) in orders.iter().chain(&orders).enumerate() {
            if round == 3 {
                let dir = place.join("upper/n");
                std::fs::create_dir(&dir).unwrap();
                std::fs::write(dir.join("above"), "").unwrap();
            }
            let union = ground.mount(&place);
            let way = Way(&union);
            for path in order.iter().chain(order) {
                if let Err(error) = way.walk(path) {
                    let text = error.to_string();
                    assert!(*path != "n", "{order:?}: {text}");
                    assert_eq!(error.errno(), Errno::IO, "{text}");
                    assert!(text.contains(path) && text.contains("redirect"), "{text}");
                }
            }
            for path in ["first", "second"] {
                assert!(way.walk(path).is_err(), "{order:?}: {path} is usable beside `n`");
            }
            way.file("n/made").unwrap();
            assert!(place.join("upper/n/made").exists(), "{order:?}: made elsewhere");
            assert_eq!(way.walk("n/above").is_ok(), round >= 3, "{order:?}");
            way.unlink("n/made").unwrap();
            if round < 3 {
                drop(union);
                std::fs::remove_dir_all(place.join("upper/n")).unwrap();
            }
        }
        // Without the lower's own name, the first is it.
        std::fs::remove_dir_all(place.join("upper/n")).unwrap();
        let union = ground.mount(&place);
        Way(&union).walk("second").unwrap();
        assert_eq!(Way(&union).walk("first").unwrap_err().errno(), Errno::IO);
        Way(&union).walk("second").unwrap();
    }
}

/// A value of up to 70 bytes: any bytes, a sound one with one byte changed, or of the letters that marks are made of.
fn random_value(state: &mut u64, bad: &Bad) -> Vec<u8> {
    const LETTERS: &[u8] = b"/.:0123456789UL-xy abfilerdc\0";
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state >> 33).unwrap()
    };
    let byte = |random: usize| random.to_le_bytes()[0];
    let len = next() % 71;
    match next() % 3 {
        0 => (0..len).map(|_| byte(next())).collect(),
        1 => (0..len).map(|_| LETTERS[next() % LETTERS.len()]).collect(),
        _ => {
            let mut value = bad.values[next() % bad.values.len()].to_vec();
            if !value.is_empty() {
                let at = next() % value.len();
                value[at] = byte(next());
            }
            value
        }
    }
}

/// Every call of a lookup and a listing refused: that error, or the whole truth, and the truth again afterwards.
#[cfg(feature = "fault")]
#[test]
fn a_refused_call_of_a_look_is_that_error_and_never_absence() {
    use layerfs_driver::sys::fault::{Plan, with_plan};
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(if support::soak() { 3600 } else { 240 });
    for form in [
        Form::Usual,
        Form::MarkedWhiteouts,
        Form::WhNames,
        Form::Metacopy,
        Form::Partial,
        Form::Recorded,
    ] {
        let lab = Lab::new(form);
        let mounted = || lab.ground.mount_as(&lab.base(), form);
        let whole = Tree::of(&mounted());
        let (mut points, mut paths) = (0, 0);
        for path in whole.0.keys().filter(|path| !path.is_empty()) {
            paths += 1;
            // Marks of users on what is shut to this process are taken for absent, as the kernel takes them.
            let shut = if form == Form::Recorded { Errno::NOMEM } else { Errno::ACCESS };
            for errno in [Errno::IO, shut, Errno::MFILE] {
                for n in 1.. {
                    let union = mounted();
                    let plan = Plan::Fail { n, errno, call: None };
                    let (seen, outcome) = with_plan(plan, || look(&union, path));
                    match seen {
                        Ok(seen) => assert_eq!(seen, look(&union, path).unwrap(), "{path} at {n}"),
                        Err(error) => assert_eq!(error.errno(), errno, "{path} at {n}: {error}"),
                    }
                    if !outcome.fired {
                        points += n - 1;
                        break;
                    }
                }
                if !support::soak() && paths % 4 != 0 {
                    break;
                }
            }
        }
        figure(format_args!("{form:?}: points: {points}, of {paths} paths"));
    }
}

/// What a path and a listing of it say.
#[cfg(feature = "fault")]
fn look(union: &Union, path: &str) -> Result<(u64, Vec<(String, u64)>), UnionError> {
    let at = Way(union).walk(path)?;
    let listed = match at.attr.kind {
        layerfs_driver::tree::Kind::Directory => names(union, at.id, 9)?,
        _ => Vec::new(),
    };
    Ok((at.id.0, listed.into_iter().map(|(name, ino)| (name.to_string(), ino)).collect()))
}

#[test]
fn marks_of_the_work_directory_that_are_damaged_are_told() {
    support::need_root!();
    let lab = Lab::new(Form::Usual);
    let place = lab.scratch.join("place");
    let opened = |place: &Path| {
        let open = |name| layerfs_driver::sys::dir::open_path(place.join(name).as_path()).unwrap();
        let upper =
            layerfs_driver::upper::Upper::open(open("upper"), &open("work"), Form::Usual.options());
        upper.map(drop).map_err(|error| error.to_string())
    };
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 4] = [
        (|work| std::fs::create_dir_all(work.join("work/incompat/other")).unwrap(), "`other`"),
        (
            |work| std::fs::write(work.join("work/incompat"), "").unwrap(),
            "marks of the work directory",
        ),
        (
            |work| {
                std::fs::remove_dir_all(work.join("layerfs/index")).unwrap();
                std::fs::write(work.join("layerfs/index"), "").unwrap();
            },
            "\"index\"",
        ),
        (|work| std::fs::write(work.join("index"), "").unwrap(), "the kernel's index"),
    ];
    for (damage, word) in damages {
        copy(&lab.base(), &place);
        damage(&place.join("work"));
        let told = opened(&place).unwrap_err();
        assert!(told.contains(word), "{told}");
    }
}
