//! Which part of version 2's tree is given to who is not root, and where in it groups can be made.
//!
//! 1. A group is given to a user who may write to its directory, its `cgroup.procs` and its `cgroup.subtree_control` (cgroups(7)).
//!    systemd gives `user@UID.service` and units with `Delegate=yes` so; a `chown` does the same.
//! 2. A group that holds a process hands no controllers down. Where this process is alone in a unit that was delegated by name
//!    (systemd marks it by the attribute `user.delegate`), it makes room there (see `room`), as systemd has it for whoever is given one.
//! 3. Else the highest group above this process is taken that is given and holds no process. It has all controllers that the user was
//!    given, and is the same for every command below it. Those below it belong to whoever made them: another login may be put
//!    into the same leaf. Where there is none, and this process is alone in its group, it makes room in that.
//!    What is above the unit that this process is in (a scope or a service) belongs to whoever manages units, and the limits and the end
//!    of the unit are to hold for what is started in it: nothing above it is taken.
//! 4. Processes move only below a group whose `cgroup.procs` the user may write: what was given to the user elsewhere is of no use to
//!    this process. A login session (`session-N.scope`) is beside `user@UID.service`, not below it.

use std::path::{Component, Path, PathBuf};

use layerfs_driver::sys::file::{self, Access};
use layerfs_driver::sys::{Errno, SysError, dir, xattr};

use super::error::CgroupError;
use super::group::is_gone;
use crate::sys::control;

/// The leaf of commands that were alone in the group above.
pub(super) const LEAF: &str = "layerfs.command";

/// How systemd marks a unit that it delegates, since version 251.
const DELEGATED: &[u8] = b"user.delegate";

/// What is given to the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delegation {
    /// Everything: root's groups are right in the hierarchies.
    #[default]
    Whole,
    /// This group, in which groups can be made.
    Below(PathBuf),
    /// This group, in which this process is alone.
    Alone(PathBuf),
    /// This group, which holds other processes.
    Occupied(PathBuf),
    /// Nothing.
    Nothing,
}

/// What this process's user is given of the tree that is mounted at `mount`.
pub fn of_caller(mount: &Path) -> Result<Delegation, CgroupError> {
    const OWN: &str = "/proc/self/cgroup";
    const LEN_MAX: u64 = 1 << 20;
    let text = file::open_read_path(OWN).and_then(|file| file::read_all(file, LEN_MAX));
    let text = text.map_err(CgroupError::call("read", Path::new(OWN)))?;
    match own_group(&String::from_utf8_lossy(&text)) {
        Some(way) => choose(&mount.join(way), mount, std::process::id(), look),
        None => Ok(Delegation::Nothing),
    }
}

/// The line of version 2 in `/proc/self/cgroup`, as a path from the root of the caller's cgroup namespace; `None` where the group is
/// not below that.
fn own_group(text: &str) -> Option<&Path> {
    let way = Path::new(text.lines().find_map(|line| line.strip_prefix("0::/"))?);
    way.components().all(|word| matches!(word, Component::Normal(_))).then_some(way)
}

/// What is seen of a group that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    pids: Vec<u32>,
    /// Whether it was delegated by name: a unit with `Delegate=`.
    is_unit: bool,
}

/// `look` answers nothing for a group that is not given.
fn choose(
    own: &Path,
    mount: &Path,
    this: u32,
    look: impl Fn(&Path) -> Result<Option<Seen>, CgroupError>,
) -> Result<Delegation, CgroupError> {
    // The nearest first.
    let mut given: Vec<(&Path, Seen)> = Vec::new();
    for group in own.ancestors().take_while(|group| group.starts_with(mount)) {
        match look(group)? {
            Some(seen) => given.push((group, seen)),
            None if given.is_empty() => {}
            None => break,
        }
        if is_of_unit(group) {
            break;
        }
    }
    // Room was made by the command that started this one.
    let is_leaf = own.file_name() == Some(LEAF.as_ref());
    if let (true, Some((group, _))) = (is_leaf, given.get(1).filter(|(_, it)| it.pids.is_empty())) {
        return Ok(Delegation::Below(group.to_path_buf()));
    }
    let free = given.iter().rev().find(|(_, seen)| seen.pids.is_empty());
    Ok(match (given.first(), free) {
        (Some((group, seen)), free)
            if *group == own && seen.pids[..] == [this] && (seen.is_unit || free.is_none()) =>
        {
            Delegation::Alone(group.to_path_buf())
        }
        (_, Some((group, _))) => Delegation::Below(group.to_path_buf()),
        (Some((group, _)), None) => Delegation::Occupied(group.to_path_buf()),
        (None, None) => Delegation::Nothing,
    })
}

/// Whether a group has the name of a unit of systemd that processes are in.
fn is_of_unit(group: &Path) -> bool {
    let kind = group.extension();
    kind.is_some_and(|kind| kind == "scope" || kind == "service")
}

/// A group where the caller may make groups and move processes.
fn look(group: &Path) -> Result<Option<Seen>, CgroupError> {
    unless_closed(seen(group)).map(Option::flatten).map_err(CgroupError::call("look at", group))
}

fn seen(group: &Path) -> Result<Option<Seen>, SysError> {
    let dir = dir::open_path(group)?;
    for name in [".", "cgroup.procs", "cgroup.subtree_control"] {
        if !file::is_granted(&dir, name, Access::WRITE_OK)? {
            return Ok(None);
        }
    }
    let pids = control::read(&dir, "cgroup.procs")?;
    // 0 stands for a process of a pid namespace that is not below ours.
    let pids = pids.lines().map(|line| line.parse().unwrap_or(0)).collect();
    let is_unit = xattr::get_of(&dir, DELEGATED)?.as_deref() == Some(b"1");
    Ok(Some(Seen { pids, is_unit }))
}

/// `None` where the answer is that there is nothing for this user. A threaded group has no processes of its own to tell.
fn unless_closed<T>(answer: Result<T, SysError>) -> Result<Option<T>, SysError> {
    match answer {
        Err(error)
            if is_gone(error.errno())
                || matches!(error.errno(), Errno::ACCESS | Errno::PERM | Errno::OPNOTSUPP) =>
        {
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 7;
    const MOUNT: &str = "/sys/fs/cgroup";

    /// A made-up tree: the groups that are given, each with its processes, and where this process is. Scopes are units.
    fn chosen(own: &str, given: &[(&str, &[u32])]) -> Delegation {
        let look = |group: &Path| {
            let found = given.iter().find(|(path, _)| Path::new(MOUNT).join(path) == group);
            Ok(found.map(|(path, pids)| Seen {
                pids: pids.to_vec(),
                is_unit: path.ends_with(".scope"),
            }))
        };
        choose(&Path::new(MOUNT).join(own), Path::new(MOUNT), US, look).unwrap()
    }

    fn at(path: &str) -> PathBuf {
        Path::new(MOUNT).join(path)
    }

    #[test]
    fn the_highest_group_without_processes_is_taken_of_those_that_are_given() {
        let user = "user.slice/user-1.slice/user@1.service";
        let apps = "user.slice/user-1.slice/user@1.service/app.slice";
        let scope = "user.slice/user-1.slice/user@1.service/app.slice/run-1.scope";
        let leaf = "user.slice/user-1.slice/user@1.service/app.slice/leaf";
        let given: [(&str, &[u32]); 3] = [(user, &[]), (apps, &[]), (leaf, &[US, 4])];
        assert_eq!(chosen(leaf, &given), Delegation::Below(at(user)));
        // Who is there holds nothing up further below.
        let given: [(&str, &[u32]); 3] = [(user, &[3]), (apps, &[]), (leaf, &[US, 4])];
        assert_eq!(chosen(leaf, &given), Delegation::Below(at(apps)));
        // A unit's limits are to hold for what is started in it.
        let given: [(&str, &[u32]); 3] = [(user, &[]), (apps, &[]), (scope, &[US, 4])];
        assert_eq!(chosen(scope, &given), Delegation::Occupied(at(scope)));
        let below = "user.slice/user-1.slice/user@1.service/app.slice/run-1.scope/a";
        let given: [(&str, &[u32]); 3] = [(apps, &[]), (scope, &[]), (below, &[US, 4])];
        assert_eq!(chosen(below, &given), Delegation::Below(at(scope)));
        // So systemd has it of a unit with a `DelegateSubgroup=`: there is room already.
        let given: [(&str, &[u32]); 3] = [(apps, &[]), (scope, &[]), (below, &[US])];
        assert_eq!(chosen(below, &given), Delegation::Below(at(scope)));
        assert_eq!(chosen(scope, &[(user, &[]), (apps, &[])]), Delegation::Nothing);
        // A leaf that is not given, in a group that is.
        assert_eq!(chosen("u/leaf", &[("u", &[])]), Delegation::Below(at("u")));
        // As in a container with a namespace of groups of its own.
        assert_eq!(chosen("", &[("", &[])]), Delegation::Below(at("")));
    }

    #[test]
    fn a_unit_of_its_own_is_taken_and_a_leaf_that_others_may_enter_is_not() {
        let (user, scope, leaf) =
            ("user@1.service", "user@1.service/run-1.scope", "user@1.service/leaf");
        assert_eq!(chosen(scope, &[(user, &[]), (scope, &[US])]), Delegation::Alone(at(scope)));
        assert_eq!(chosen(leaf, &[(user, &[]), (leaf, &[US])]), Delegation::Below(at(user)));
        // Room that was made there is taken, also by two.
        let leaf = "user@1.service/run-1.scope/layerfs.command";
        for pids in [&[US][..], &[US, 9]] {
            let given: [(&str, &[u32]); 3] = [(user, &[]), (scope, &[]), (leaf, pids)];
            assert_eq!(chosen(leaf, &given), Delegation::Below(at(scope)));
        }
    }

    #[test]
    fn what_is_not_above_this_process_is_not_taken() {
        let session = "user.slice/user-1.slice/session-2.scope";
        let elsewhere: [(&str, &[u32]); 1] = [("user.slice/user-1.slice/user@1.service", &[])];
        assert_eq!(chosen(session, &elsewhere), Delegation::Nothing);
        assert_eq!(chosen(session, &[]), Delegation::Nothing);
        // Not given between: the upper one is another's gift.
        let given: [(&str, &[u32]); 2] = [("a", &[]), ("a/b/c", &[US, 8])];
        assert_eq!(chosen("a/b/c", &given), Delegation::Occupied(at("a/b/c")));
    }

    #[test]
    fn a_group_with_processes_is_told_apart_from_one_of_this_process_alone() {
        assert_eq!(chosen("u", &[("u", &[US])]), Delegation::Alone(at("u")));
        for pids in [&[US, 8][..], &[8], &[0], &[US, 0]] {
            assert_eq!(chosen("u", &[("u", pids)]), Delegation::Occupied(at("u")), "{pids:?}");
        }
        // Alone above the leaf that this process is in is somebody else.
        assert_eq!(chosen("u/leaf", &[("u", &[US])]), Delegation::Occupied(at("u")));
    }

    #[test]
    fn the_own_group_is_read_from_the_line_of_version_2() {
        let text = "12:pids:/elsewhere\n1:name=systemd:/x\n0::/user.slice/a b\n";
        assert_eq!(own_group(text), Some(Path::new("user.slice/a b")));
        assert_eq!(own_group("0::/\n"), Some(Path::new("")));
        for text in ["", "12:pids:/x\n", "0::/../beside\n", "0::/a/../b\n"] {
            assert_eq!(own_group(text), None, "{text}");
        }
    }

    /// Root may write everything: what a real directory answers is seen of one that lacks a file.
    #[test]
    fn a_directory_without_the_files_of_a_group_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(&dir.path().join("absent")).unwrap(), None);
        std::fs::write(dir.path().join("cgroup.procs"), "7\n0\n").unwrap();
        assert_eq!(look(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("cgroup.subtree_control"), "").unwrap();
        let seen = Seen { pids: vec![7, 0], is_unit: false };
        assert_eq!(look(dir.path()).unwrap(), Some(seen));
    }
}
