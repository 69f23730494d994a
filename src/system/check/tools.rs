//! Programs that layerfs calls for some of its options.

use std::ffi::OsString;

use layerfs_driver::sys::file;
use layerfs_driver::sys::{SysError, xattr};

use super::facts;
use super::item::{Item, Need};

/// Where system programs stand that a user's PATH may leave out.
const SYSTEM_DIRS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// A program, what wants it, and the package of Debian and Ubuntu that has it.
struct Tool {
    program: &'static str,
    purpose: &'static str,
    package: &'static str,
    rights: Rights,
}

/// Whether a program must have rights that its caller lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    Own,
    Callers,
}

const TOOLS: [Tool; 4] = [
    Tool {
        program: "nft",
        purpose: "bridge networks",
        package: "nftables",
        rights: Rights::Callers,
    },
    Tool {
        program: "newuidmap",
        purpose: "rootless containers",
        package: "uidmap",
        rights: Rights::Own,
    },
    Tool {
        program: "fusermount3",
        purpose: "rootless mounts",
        package: "fuse3",
        rights: Rights::Own,
    },
    Tool {
        program: "pasta",
        purpose: "rootless networks",
        package: "passt",
        rights: Rights::Callers,
    },
];

/// One line for each program.
pub fn items(path: Option<OsString>) -> Result<Vec<Item>, SysError> {
    let dirs = dirs_of(path);
    TOOLS.iter().map(|tool| item(tool, &dirs)).collect()
}

fn dirs_of(path: Option<OsString>) -> Vec<String> {
    let of_path =
        path.map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let of_path = of_path.into_iter().filter(|dir| dir.is_absolute());
    let of_path = of_path.filter_map(|dir| dir.to_str().map(String::from));
    of_path.chain(SYSTEM_DIRS.map(String::from)).collect()
}

fn item(tool: &Tool, dirs: &[String]) -> Result<Item, SysError> {
    let item = Item::ok(tool.program, Need::Some, "");
    let install = format!(
        "`apt-get install {}` (or your system's package of {})",
        tool.package, tool.program
    );
    let Some((path, mode)) = found(tool.program, dirs)? else {
        return Ok(item.missing(format!("not found, wanted for {}", tool.purpose), install));
    };
    if tool.rights == Rights::Own && !has_rights(&path, mode)? {
        return Ok(item.limited(
            format!(
                "{path} is neither set-uid root nor has file capabilities, {} fail",
                tool.purpose
            ),
            format!("`chmod u+s {path}` as root"),
        ));
    }
    Ok(Item { detail: format!("{path}, for {}", tool.purpose), ..item })
}

/// The first executable file of that name, with its mode.
fn found(program: &str, dirs: &[String]) -> Result<Option<(String, u32)>, SysError> {
    for dir in dirs {
        let path = format!("{dir}/{program}");
        // A directory of PATH that can't be searched holds nothing for us, as for a shell.
        let Ok(Some(stat)) = facts::stat(&path) else { continue };
        if file::type_of(&stat) == file::FileType::RegularFile && stat.st_mode & 0o111 != 0 {
            return Ok(Some((path, stat.st_mode)));
        }
    }
    Ok(None)
}

fn has_rights(path: &str, mode: u32) -> Result<bool, SysError> {
    if mode & 0o4000 != 0 {
        return Ok(true);
    }
    let attributes = xattr::all(file::open_read_path(path)?)?;
    Ok(attributes.iter().any(|(name, _)| **name == *b"security.capability"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::item::State;
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_and_judged_by_its_rights() {
        let scratch = tempfile::tempdir().unwrap();
        let dirs = dirs_of(Some(scratch.path().into()));
        let tool =
            Tool { program: "layerfs-test-tool", purpose: "x", package: "y", rights: Rights::Own };
        assert_eq!(item(&tool, &dirs).unwrap().state, State::Missing);
        let program = scratch.path().join(tool.program);
        std::fs::write(&program, b"").unwrap();
        let state_with = |mode| {
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            item(&tool, &dirs).unwrap().state
        };
        assert_eq!(state_with(0o644), State::Missing);
        assert_eq!(state_with(0o755), State::Limited);
        assert_eq!(state_with(0o4755), State::Ok);
    }

    #[test]
    fn relative_directories_of_the_path_are_passed_over() {
        assert_eq!(dirs_of(Some("bin:/usr/bin:".into()))[0], "/usr/bin");
    }
}
