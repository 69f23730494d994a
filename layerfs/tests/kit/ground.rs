//! Owns the sides that a union is mounted from: a fixed lower, once as an image and once as directories, and an upper.

use std::path::{Path, PathBuf};
use std::process::Command;

use layerfs_driver::lower::{DirStack, ImageTree, Lower, StackOptions};
use layerfs_driver::store::Store;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::sys::dir;
use layerfs_driver::union::{Mode, Union};
use layerfs_driver::upper::{Bounds, Upper, UpperOptions};

use super::forms::Form;
use super::image::{self, Imported};
use super::visit::Visit;
use crate::support::Scratch;

/// Two layers, the upper of which hides names of the lower one. `$W NAME` makes a whiteout.
const LAYERS: &str = r#"
set -e
mkdir low top
cd low
mkdir -p d/e/f empty allgone moveme whdir x m/sub n swapdir hidden opq opm
head -c 200 /dev/zero | tr '\0' s > small
cp small d/e/f/deep; cp small d/e/f/other; cp small d/plain; cp small hidden/gone
yes 0123456789abcde | head -c 100000 > big
truncate -s 200K sparse; printf begin | dd of=sparse conv=notrunc status=none
printf end | dd of=sparse bs=1 seek=150000 conv=notrunc status=none
for it in c movedf whited gone stay kept tx up2; do echo $it > $it; done
for it in allgone moveme m x n swapdir; do echo $it > $it/one; echo $it two > $it/two; done
echo group > g1; ln g1 g2; ln g1 d/g3
echo other > k1; ln k1 k2; ln k1 d/k3
echo one > opq/one; echo one > opm/one; : > d/bare
ln -s target sym; ln -s d/plain d/sym
mknod dev c 1 3; mkfifo fifo
chmod 4755 c; chmod 750 x; chown 1000:1001 tx; chown -h 1000:1001 d/sym
setfattr -n user.a -v one tx; setfattr -n user.d -v dir x; setfattr -n user.g -v g g1
cd ../top
mkdir -p d/e hidden
echo top > d/e/top
$W gone; $W hidden/gone; $W absent
cd ..
find low top -depth -exec touch -h -d @1000000000.5 {} +
"#;

/// Which lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Image,
    Dirs,
}

/// The lower, as an image in a store or as directories.
pub enum Ground {
    Image(Box<Imported>),
    Dirs(Vec<PathBuf>),
}

impl Ground {
    pub fn new(place: &Path, side: Side) -> Ground {
        let (name, whiteout) = match side {
            Side::Image => ("marked", r#"w() { touch "$(dirname $1)/.wh.$(basename $1)"; }; W=w"#),
            Side::Dirs => ("plain", r#"w() { mknod $1 c 0 0; }; W=w"#),
        };
        let place = place.join(name);
        std::fs::create_dir(&place).unwrap();
        shell(&place, &format!("{whiteout}\n{LAYERS}"));
        let dirs = vec![place.join("top"), place.join("low")];
        match side {
            Side::Image => Ground::Image(Box::new(image::of_directories(&dirs))),
            Side::Dirs => Ground::Dirs(dirs),
        }
    }

    pub fn lower(&self) -> Lower {
        match self {
            Ground::Image(imported) => imported.lower(),
            Ground::Dirs(dirs) => lower_of(dirs),
        }
    }

    /// Mounts the upper and work directory below `place`, made where they are not there.
    pub fn mount(&self, place: &Path) -> Union {
        self.mount_as(place, Form::Usual)
    }

    /// The same, with an upper of that form.
    pub fn mount_as(&self, place: &Path, form: Form) -> Union {
        joined_as(self.lower_for(form), place, form)
    }

    /// The same, with an upper that is bounded.
    pub fn mount_bounded(&self, place: &Path, (form, bounds): (Form, Bounds)) -> Union {
        let upper = upper_as(place, form).bounded(bounds).unwrap();
        Union::new(self.lower_for(form), Mode::Writable(upper)).unwrap()
    }

    fn lower_for(&self, form: Form) -> Lower {
        match self {
            Ground::Image(imported) => imported.lower(),
            Ground::Dirs(dirs) => lower_as(dirs, form),
        }
    }

    /// The words by which another process finds the same lower.
    pub fn words(&self) -> Vec<PathBuf> {
        match self {
            Ground::Image(imported) => {
                vec![imported.store_path(""), imported.chain.to_string().into()]
            }
            Ground::Dirs(dirs) => dirs.clone(),
        }
    }
}

/// The lower that those words name, for an upper of that form.
pub fn lower_of_words(words: &[&str], form: Form) -> Lower {
    match words {
        [root, chain] if chain.starts_with("sha256:") => {
            let store = Store::open(Path::new(root)).unwrap();
            Lower::Image(ImageTree::open(&store, &Digest::parse(chain).unwrap()).unwrap())
        }
        dirs => lower_as(&dirs.iter().map(PathBuf::from).collect::<Vec<_>>(), form),
    }
}

/// Directories, the first on top.
pub fn lower_of(dirs: &[PathBuf]) -> Lower {
    lower_as(dirs, Form::Usual)
}

fn lower_as(dirs: &[PathBuf], form: Form) -> Lower {
    let UpperOptions { space, redirects, wh_names, records, .. } = form.options();
    let stack = DirStack::open_paths(dirs, StackOptions { space, redirects, wh_names });
    Lower::Dirs(stack.unwrap().taking(records).unwrap())
}

/// A union of a lower and the upper and work directory below `place`.
pub fn joined(lower: Lower, place: &Path) -> Union {
    joined_as(lower, place, Form::Usual)
}

/// The same, with an upper of that form.
pub fn joined_as(lower: Lower, place: &Path, form: Form) -> Union {
    Union::new(lower, Mode::Writable(upper_as(place, form))).unwrap()
}

fn upper_as(place: &Path, form: Form) -> Upper {
    for name in ["upper", "work"] {
        std::fs::create_dir_all(place.join(name)).unwrap();
    }
    let work = dir::open_path(place.join("work").as_path()).unwrap();
    let upper = dir::open_path(place.join("upper").as_path()).unwrap();
    Upper::open(upper, &work, form.options()).unwrap()
}

/// What is left in the directory of things being made.
pub fn leftovers(place: &Path) -> Vec<PathBuf> {
    let work = std::fs::read_dir(place.join("work/work")).unwrap();
    let paths = work.map(|entry| entry.unwrap().path());
    let stays = ["#whiteout", "incompat"];
    paths
        .filter(|path| !stays.iter().any(|name| path.file_name().is_some_and(|at| at == *name)))
        .collect()
}

/// Runs a script in a directory.
pub fn shell(place: &Path, script: &str) {
    let done = Command::new("bash").arg("-ec").arg(script).current_dir(place).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Over an image and over directories, each with an upper of its own.
pub fn over_both(check: impl Fn(&Union, &Visit<'_>)) {
    for side in [Side::Image, Side::Dirs] {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        let union = ground.mount(&scratch.join("place"));
        check(&union, &Visit::new(&union));
    }
}
