//! Where the store and the running state are: the user's words, the environment, the defaults.

use std::ffi::OsString;
use std::path::PathBuf;

/// The two directories that layerfs keeps its things in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Images, layers, containers; `None` where nothing says where.
    pub store: Option<PathBuf>,
    /// What is gone after a reboot; `None` for a user who has no such directory.
    pub run: Option<PathBuf>,
}

/// Whose defaults hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The system's: the effective user is root.
    Root,
    /// A user's own.
    User,
}

/// What the user said; an empty word says nothing.
#[derive(Debug, Default)]
pub struct Said {
    /// `--root` or `LAYERFS_ROOT`.
    pub store: Option<OsString>,
    /// `--runroot` or `LAYERFS_RUNROOT`.
    pub run: Option<OsString>,
}

/// Decides both directories. `variable` reads the environment.
pub fn decide(said: Said, who: Who, variable: impl Fn(&str) -> Option<OsString>) -> Roots {
    let given =
        |words: Option<OsString>| words.filter(|words| !words.is_empty()).map(PathBuf::from);
    // A relative directory in these variables is to be passed over, says the XDG base directory specification.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let run = given(said.run).or_else(|| match who {
        Who::Root => Some("/run/layerfs".into()),
        Who::User => absolute("XDG_RUNTIME_DIR").map(|dir| dir.join("layerfs")),
    });
    let store = given(said.store).or_else(|| match who {
        Who::Root => Some("/var/lib/layerfs".into()),
        Who::User => absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|dir| dir.join("layerfs")),
    });
    Roots { store, run }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(said: [&str; 2], who: Who, variables: &[(&str, &str)]) -> Roots {
        let said = Said { store: Some(said[0].into()), run: Some(said[1].into()) };
        decide(said, who, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn words_win_over_variables_and_defaults() {
        let roots = decided(["/a", "/b"], Who::User, &[("HOME", "/home/u")]);
        assert_eq!(roots, Roots { store: Some("/a".into()), run: Some("/b".into()) });
    }

    #[test]
    fn root_has_the_systems_directories_whatever_the_environment_says() {
        let roots = decided(["", ""], Who::Root, &[("XDG_DATA_HOME", "/x"), ("HOME", "/root")]);
        let expected =
            Roots { store: Some("/var/lib/layerfs".into()), run: Some("/run/layerfs".into()) };
        assert_eq!(roots, expected);
    }

    #[test]
    fn a_user_has_the_xdg_directories_then_home() {
        let all =
            [("XDG_DATA_HOME", "/x"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/home/u")];
        let roots = decided(["", ""], Who::User, &all);
        assert_eq!(
            roots,
            Roots { store: Some("/x/layerfs".into()), run: Some("/run/user/7/layerfs".into()) }
        );
        let roots = decided(["", ""], Who::User, &[("XDG_DATA_HOME", "x"), ("HOME", "/home/u")]);
        assert_eq!(roots, Roots { store: Some("/home/u/.local/share/layerfs".into()), run: None });
    }

    #[test]
    fn a_user_without_a_home_has_no_place_for_a_store() {
        let none = Roots { store: None, run: None };
        assert_eq!(decided(["", ""], Who::User, &[]), none);
        assert_eq!(decided(["", ""], Who::User, &[("HOME", "")]), none);
    }
}
