//! Owns the changes whose power is cut, step by step, and which of the steps promise that what they found lasts.

use layerfs_driver::union::{NewNode, OpenHow, RenameHow, UnionError};

use super::kit::deeds::Way;
use super::kit::forms::Form;
use super::kit::way::{OTHER, Shape};

type Done = Result<(), UnionError>;

/// A change.
pub struct Deed {
    pub name: &'static str,
    pub steps: &'static [Step],
}

/// One call of a user's.
pub struct Step {
    pub act: fn(&Way) -> Done,
    pub promise: Promise,
}

/// What holds after a power cut once the step was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    Nothing,
    /// It and all before it are seen.
    Lasts,
}

const fn step(act: fn(&Way) -> Done) -> Step {
    Step { act, promise: Promise::Nothing }
}

const fn lasts(act: fn(&Way) -> Done) -> Step {
    Step { act, promise: Promise::Lasts }
}

fn sync(way: &Way, path: &str) -> Done {
    let handle = way.open(path, OpenHow::Read)?;
    let done = way.0.sync(handle);
    way.0.release(handle);
    done
}

fn sync_dir(way: &Way, path: &str) -> Done {
    way.0.sync_dir(way.walk(path)?.id)
}

fn mv(way: &Way, from: &str, to: &str) -> Done {
    way.rename(from, to, RenameHow::Replace)
}

fn empty(way: &Way, path: &str) -> Done {
    let handle = way.open(path, OpenHow::Truncate)?;
    way.0.release(handle);
    Ok(())
}

/// The file is made where it is asked for.
pub const LARGE: &str = "give a file of 100 MB to another and write to it";

/// The lower is that of `ground.rs`.
pub const DEEDS: &[Deed] = &[
    Deed {
        name: LARGE,
        steps: &[
            step(|way| way.chown("large")),
            step(|way| way.write("large", b"written", 70_000_000)),
            lasts(|way| sync(way, "large")),
        ],
    },
    Deed {
        name: "give a link and a device to others",
        steps: &[
            step(|way| way.touch("d/sym")),
            step(|way| way.chown("sym")),
            step(|way| way.make("made", NewNode::Symlink(b"a target"), OTHER)),
            step(|way| way.chown("dev")),
            lasts(|way| sync_dir(way, "")),
            step(|way| way.chown("c")),
            lasts(|way| sync(way, "c")),
        ],
    },
    Deed {
        name: "shorten a lower file and fill it by its new name",
        steps: &[
            step(|way| mv(way, "big", "d/big")),
            step(|way| way.size("d/big", 50_000)),
            step(|way| way.write("d/big", b"end", 60_000)),
            lasts(|way| sync(way, "d/big")),
            step(|way| way.allocate("d/big", Shape::Punch, (0, 8192))),
            lasts(|way| sync(way, "d/big")),
        ],
    },
    Deed {
        name: "make the upper plain",
        steps: &[lasts(|way| {
            way.0.make_whole()?;
            Ok(way.0.upper().expect("it was given one").make_plain()?)
        })],
    },
    Deed {
        name: "write to a lower file",
        steps: &[step(|way| way.write("big", b"written", 70_000)), lasts(|way| sync(way, "big"))],
    },
    Deed {
        // In a block of its own: ext4 has the new size on the disk before the new bytes of an old block.
        name: "append to a lower file deep down",
        steps: &[
            step(|way| way.write("d/e/f/deep", b"more", 8192)),
            lasts(|way| sync(way, "d/e/f/deep")),
        ],
    },
    Deed {
        name: "chmod an empty lower file and fill it",
        steps: &[
            step(|way| way.chmod("d/bare")),
            lasts(|way| sync(way, "d/bare")),
            step(|way| way.write("d/bare", b"filled", 0)),
            lasts(|way| sync(way, "d/bare")),
        ],
    },
    Deed {
        name: "chmod a lower file",
        steps: &[step(|way| way.chmod("big")), lasts(|way| sync(way, "big"))],
    },
    Deed {
        name: "write to a sparse file",
        steps: &[
            step(|way| way.write("sparse", b"written", 120_000)),
            lasts(|way| sync(way, "sparse")),
        ],
    },
    Deed {
        name: "give files to another, move them and write to them",
        steps: &[
            step(|way| way.chown("big")),
            step(|way| mv(way, "big", "d/big")),
            lasts(|way| sync_dir(way, "d")),
            step(|way| way.link("d/big", "linked")),
            step(|way| mv(way, "small", "d/big")),
            lasts(|way| sync_dir(way, "")),
            step(|way| way.write("linked", b"written", 70_000)),
            lasts(|way| sync(way, "linked")),
            step(|way| way.size("d/big", 100)),
            lasts(|way| sync(way, "d/big")),
        ],
    },
    Deed {
        name: "cut a lower file short",
        steps: &[step(|way| way.size("big", 5000)), lasts(|way| sync(way, "big"))],
    },
    Deed {
        name: "empty a lower file and fill it",
        steps: &[
            step(|way| empty(way, "big")),
            step(|way| way.write("big", b"filled", 0)),
            lasts(|way| sync(way, "big")),
        ],
    },
    Deed {
        name: "rename a copied file",
        steps: &[
            step(|way| way.write("c", b"C", 0)),
            lasts(|way| sync(way, "c")),
            step(|way| mv(way, "c", "d/renamed")),
            lasts(|way| sync_dir(way, "d")),
        ],
    },
    Deed {
        name: "write anew and rename over a lower file",
        steps: &[
            step(|way| way.file("anew")),
            step(|way| way.write("anew", b"all anew", 0)),
            lasts(|way| sync(way, "anew")),
            step(|way| mv(way, "anew", "big")),
            lasts(|way| sync_dir(way, "")),
        ],
    },
    Deed {
        name: "rename a lower file",
        steps: &[step(|way| mv(way, "big", "d/e/big")), lasts(|way| sync_dir(way, "d/e"))],
    },
    Deed {
        name: "rename a lower directory and change it",
        steps: &[
            step(|way| mv(way, "moveme", "d/moved")),
            lasts(|way| sync_dir(way, "d")),
            step(|way| way.write("d/moved/one", b"ONE", 0)),
            lasts(|way| sync(way, "d/moved/one")),
            step(|way| way.unlink("d/moved/two")),
            lasts(|way| sync_dir(way, "d/moved")),
        ],
    },
    Deed {
        name: "unlink lower files",
        steps: &[
            step(|way| way.unlink("d/plain")),
            lasts(|way| sync_dir(way, "d")),
            step(|way| way.unlink("kept")),
            step(|way| way.unlink("d/e/f/deep")),
            lasts(|way| sync_dir(way, "d/e/f")),
        ],
    },
    Deed {
        name: "make a removed directory again",
        steps: &[
            step(|way| way.unlink("allgone/one")),
            step(|way| way.unlink("allgone/two")),
            step(|way| way.rmdir("allgone")),
            lasts(|way| sync_dir(way, "")),
            step(|way| way.dir("allgone")),
            lasts(|way| sync_dir(way, "allgone")),
            step(|way| way.file("allgone/new")),
            lasts(|way| sync(way, "allgone/new")),
        ],
    },
    Deed {
        name: "write to a group and remove a name",
        steps: &[
            step(|way| way.write("g2", b"GROUP", 0)),
            lasts(|way| sync(way, "g2")),
            step(|way| way.unlink("g1")),
            lasts(|way| sync_dir(way, "")),
            step(|way| way.link("d/g3", "g4")),
            lasts(|way| sync(way, "g4")),
        ],
    },
    Deed {
        name: "link a lower file",
        steps: &[step(|way| way.link("big", "d/linked")), lasts(|way| sync(way, "d/linked"))],
    },
    Deed {
        name: "rename a lower file and a lower directory over others",
        steps: &[
            step(|way| mv(way, "stay", "d/plain")),
            lasts(|way| sync_dir(way, "d")),
            step(|way| mv(way, "m", "hidden")),
            step(|way| mv(way, "c", "kept")),
            lasts(|way| sync_dir(way, "")),
        ],
    },
    Deed {
        name: "exchange lower directories",
        steps: &[
            step(|way| way.rename("m", "x", RenameHow::Exchange)),
            lasts(|way| sync_dir(way, "")),
        ],
    },
];

/// The deeds that a form of upper makes a difference to.
pub fn of_form(form: Form) -> Vec<usize> {
    let names: &[&str] = match form {
        // The others' are done with each of them.
        Form::Usual => {
            let usual = |(number, deed): (usize, &Deed)| {
                let is_others = ["make the upper plain", LARGE].contains(&deed.name);
                (!is_others).then_some(number)
            };
            return DEEDS.iter().enumerate().filter_map(usual).collect();
        }
        Form::MarkedWhiteouts => &[
            "unlink lower files",
            "make a removed directory again",
            "rename a lower file and a lower directory over others",
        ],
        Form::WhNames => &[
            "unlink lower files",
            "make a removed directory again",
            "rename a lower file",
            "rename a lower directory and change it",
        ],
        Form::UserMarks => &["append to a lower file deep down", "unlink lower files"],
        Form::Recorded => &[
            "give a link and a device to others",
            "write to a lower file",
            "write to a group and remove a name",
            "rename a lower directory and change it",
        ],
        Form::Metacopy => &[
            "write to a lower file",
            "append to a lower file deep down",
            "cut a lower file short",
            "empty a lower file and fill it",
            "shorten a lower file and fill it by its new name",
            "link a lower file",
        ],
        Form::Partial | Form::Blocks => &[
            "write to a lower file",
            "write to a sparse file",
            "append to a lower file deep down",
            "chmod a lower file",
            "chmod an empty lower file and fill it",
            "give files to another, move them and write to them",
            "empty a lower file and fill it",
            "write to a group and remove a name",
            "link a lower file",
        ],
        Form::BecomesPlain => &["make the upper plain"],
        Form::Volatile => &["write to a lower file", "unlink lower files"],
    };
    names.iter().map(|name| number_of(name)).collect()
}

/// The number of the deed of that name.
pub fn number_of(name: &str) -> usize {
    DEEDS.iter().position(|deed| deed.name == name).unwrap_or_else(|| panic!("no deed `{name}`"))
}
