//! Renames over something where whiteouts are marked files: whoever was refused the whiteout after the rename, or died before
//! it, leaves a name that its directory hides by a mark. It is as hidden as others, whatever is done next and by whom.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use kit::deeds::Way;
use kit::forms::Form;
use kit::ground::{Ground, Side, joined_as, lower_of};
use kit::seen::{Lenience, Tree, names};
use layerfs_driver::sys::fault::{Plan, with_plan};
use layerfs_driver::sys::{Errno, dir};
use layerfs_driver::tree::Kind;
use layerfs_driver::union::{NewNode, NodeId, RenameHow, Union};
use layerfs_driver::upper::{Look, Upper, UpperReader};
use support::{Scratch, need_root, watchdog};

const MARK: &str = "trusted.overlay.layerfs.hides";
const FORM: Form = Form::MarkedWhiteouts;

struct Lab {
    scratch: Scratch,
    ground: Ground,
}

/// Whether the whiteout after the rename is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whiteout {
    Written,
    Refused,
}

impl Lab {
    fn new(side: Side) -> Lab {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        Lab { scratch, ground }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn mounted(&self, name: &str) -> Union {
        self.ground.mount_as(&self.place(name), FORM)
    }

    /// An upper in which `m/one` was renamed over `m/two`.
    fn renamed(&self, name: &str, whiteout: Whiteout) -> Union {
        let union = self.mounted(name);
        let way = Way(&union);
        way.chmod("m/one").unwrap();
        let plan = match whiteout {
            Whiteout::Written => Plan::Count,
            Whiteout::Refused => {
                Plan::Fail { n: 1, errno: Errno::IO, call: Some("renameat2".into()) }
            }
        };
        let (done, outcome) = with_plan(plan, || way.mv("m/one", "m/two"));
        done.unwrap();
        assert_eq!(outcome.fired, whiteout == Whiteout::Refused);
        union
    }

    fn mark(&self, name: &str) -> Option<Vec<u8>> {
        let at = self.place(name).join("upper/m");
        let mut value = vec![0; 300];
        match rustix::fs::lgetxattr(&at, MARK, &mut value[..]) {
            Ok(len) => Some(value[..len].to_vec()),
            Err(_) => None,
        }
    }
}

fn same(one: &Union, other: &Union, case: &str) {
    let apart = Tree::of(one).differences(&Tree::of(other), Lenience::Times);
    assert!(apart.is_empty(), "{case}: {apart:#?}");
}

type Act = fn(&Way) -> kit::way::Done;

/// What may be done next where the name is hidden.
const NEXT: [(&str, Act); 14] = [
    ("nothing", |_| Ok(())),
    ("a file", |way| way.file("m/one")),
    ("a directory", |way| way.dir("m/one")),
    ("a symlink", |way| way.make("m/one", NewNode::Symlink(b"x"), kit::way::ROOT)),
    ("a link", |way| way.link("m/two", "m/one")),
    ("a lower file comes", |way| way.mv("stay", "m/one")),
    ("a lower directory comes", |way| way.mv("x", "m/one")),
    ("it comes back", |way| way.mv("m/two", "m/one")),
    ("it comes back alone", |way| way.rename("m/two", "m/one", RenameHow::NoReplace)),
    ("it is made and goes", |way| way.file("m/one").and_then(|()| way.unlink("m/one"))),
    ("another goes so", |way| way.mv("m/two", "kept")),
    ("the directory is moved", |way| way.mv("m", "moved").and_then(|()| way.file("moved/one"))),
    ("a directory inside is moved there", |way| way.mv("m/sub", "m/one")),
    ("the directory goes", |way| {
        way.unlink("m/two")?;
        way.rmdir("m/sub")?;
        way.rmdir("m")?;
        way.dir("m")
    }),
];

#[test]
fn a_name_whose_whiteout_was_refused_is_as_hidden_as_others() {
    need_root!();
    let _watch = watchdog(240);
    for side in [Side::Image, Side::Dirs] {
        for (case, act) in NEXT {
            let lab = Lab::new(side);
            let (sound, half) =
                (lab.renamed("sound", Whiteout::Written), lab.renamed("half", Whiteout::Refused));
            assert_eq!((lab.mark("sound"), lab.mark("half")), (None, Some(b"one".to_vec())));
            same(&half, &sound, "after the rename");
            // By the union that met the error, and by the next one.
            let half = if case.len() % 2 == 0 {
                drop(half);
                lab.mounted("half")
            } else {
                half
            };
            same(&half, &sound, "before what is next");
            act(&Way(&sound)).unwrap_or_else(|error| panic!("{case}: {error}"));
            act(&Way(&half)).unwrap_or_else(|error| panic!("{case}, half: {error}"));
            same(&half, &sound, case);
            drop(half);
            same(&lab.mounted("half"), &sound, case);
        }
    }
}

/// What is made where a directory of the lower was hides what that had.
#[test]
fn a_directory_that_is_made_under_a_name_that_is_hidden_by_a_mark_is_empty() {
    need_root!();
    let _watch = watchdog(120);
    let comes: [Act; 3] = [
        |way| way.dir("x"),
        |way| way.dir("new").and_then(|()| way.mv("new", "x")),
        |way| way.dir("new").and_then(|()| way.rename("new", "x", RenameHow::NoReplace)),
    ];
    for (side, come) in
        [Side::Image, Side::Dirs].into_iter().flat_map(|side| comes.map(|come| (side, come)))
    {
        let lab = Lab::new(side);
        let union = lab.mounted("half");
        let way = Way(&union);
        way.chmod("x").unwrap();
        let plan = Plan::Fail { n: 1, errno: Errno::IO, call: Some("renameat2".into()) };
        let (done, outcome) = with_plan(plan, || way.mv("x", "hidden"));
        done.unwrap();
        assert!(outcome.fired);
        come(&way).unwrap();
        drop(union);
        let union = lab.mounted("half");
        for (path, expected) in [("x", &[][..]), ("hidden", &["one", "two"])] {
            let at = Way(&union).walk(path).unwrap().id;
            let listed: Vec<_> = names(&union, at, 9).unwrap();
            let listed: Vec<_> = listed.iter().map(|at| at.0.to_string()).collect();
            assert_eq!(listed, expected, "{path}");
        }
    }
}

/// The mark holds one name: that of before has its whiteout when another comes.
#[test]
fn a_second_name_that_is_hidden_by_the_mark_leaves_the_first_hidden() {
    need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Dirs);
    let union = lab.renamed("half", Whiteout::Refused);
    let way = Way(&union);
    let plan = Plan::Fail { n: 1, errno: Errno::NOSPC, call: Some("renameat2".into()) };
    let (done, outcome) = with_plan(plan, || way.mv("m/two", "kept"));
    done.unwrap();
    assert!(outcome.fired);
    assert_eq!(lab.mark("half").unwrap(), b"two");
    only_sub_is_in_m(&union);
    drop(union);
    only_sub_is_in_m(&lab.mounted("half"));
}

fn only_sub_is_in_m(union: &Union) {
    let way = Way(union);
    let listed = names(union, way.walk("m").unwrap().id, 9).unwrap();
    assert_eq!(listed.iter().map(|at| at.0.to_string()).collect::<Vec<_>>(), ["sub"]);
    for gone in ["m/one", "m/two"] {
        assert_eq!(way.walk(gone).unwrap_err().errno(), Errno::NOENT, "{gone}");
    }
}

#[test]
fn a_layer_with_a_name_that_is_hidden_by_a_mark_hides_it_as_a_lower_layer() {
    need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Dirs);
    let union = lab.renamed("half", Whiteout::Refused);
    let Ground::Dirs(dirs) = &lab.ground else { panic!("directories") };
    let layers: Vec<_> = [lab.place("half").join("upper")].iter().chain(dirs).cloned().collect();
    same(&joined_as(lower_of(&layers), &lab.place("over"), FORM), &union, "as a lower layer");
}

#[test]
fn a_name_that_is_hidden_by_a_mark_is_told_as_removed() {
    need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Image);
    drop(lab.renamed("half", Whiteout::Refused));
    let opened = |path: &Path| dir::open_path(path).unwrap();
    let place = lab.place("half");
    let work = opened(&place.join("work"));
    let reader = UpperReader::open(opened(&place.join("upper")), Some(&work)).unwrap();
    let inside = reader.open_dir(reader.root(), b"m").unwrap();
    assert!(matches!(reader.look(&inside, b"one").unwrap(), Look::Whiteout));
    let mut listed: Vec<_> = reader
        .list(&inside)
        .unwrap()
        .into_iter()
        .map(|at| (at.name.to_string(), at.kind))
        .collect();
    listed.sort();
    assert_eq!(listed, [("one".to_owned(), None), ("two".to_owned(), Some(Kind::File))]);
}

#[test]
fn a_name_that_is_hidden_by_a_mark_has_its_whiteout_in_an_upper_that_is_made_plain() {
    need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Dirs);
    let before = Tree::of(&lab.renamed("half", Whiteout::Refused));
    let place = lab.place("half");
    let opened = |path: &str| dir::open_path(place.join(path).as_path()).unwrap();
    let upper =
        Upper::open(opened("upper"), &opened("work"), Form::BecomesPlain.options()).unwrap();
    upper.make_plain().unwrap();
    drop(upper);
    assert_eq!(lab.mark("half"), None);
    let apart = Tree::of(&lab.ground.mount(&place)).differences(&before, Lenience::Times);
    assert!(apart.is_empty(), "{apart:#?}");
}

/// A mark that is no name is an error of the names that it may hide, with its name.
#[test]
fn a_damaged_mark_of_a_hidden_name_is_an_error_with_its_name() {
    need_root!();
    let _watch = watchdog(120);
    for value in [&b""[..], b"a/b", b"..", b"a\0b"] {
        let lab = Lab::new(Side::Dirs);
        drop(lab.renamed("half", Whiteout::Refused));
        let at = lab.place("half").join("upper/m");
        rustix::fs::lsetxattr(&at, MARK, value, rustix::fs::XattrFlags::empty()).unwrap();
        let layers = [lab.place("half").join("upper")];
        let other = joined_as(lower_of(&layers), &lab.place("over"), FORM);
        for union in [lab.mounted("half"), other] {
            let way = Way(&union);
            way.walk("m/two").unwrap();
            let at = way.walk("m").unwrap().id;
            let listed = names(&union, at, 9).map(drop);
            for error in [way.walk("m/one").map(drop), listed, way.file("m/one")] {
                let error = error.unwrap_err();
                assert_eq!(error.errno(), Errno::IO, "{value:?}: {error}");
                assert!(error.to_string().contains("hides mark"), "{value:?}: {error}");
            }
            assert!(names(&union, NodeId::ROOT, 9).is_ok());
        }
    }
}
