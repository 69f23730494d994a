//! Who a container's program is: the words of `--user` or of the image, and the image's own lists of users and groups.

/// What `--user` or an image says: `NAME|UID[:GROUP|GID]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserWords<'a> {
    user: &'a str,
    group: Option<&'a str>,
}

/// A user as the kernel knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
    /// The numbers of further groups.
    pub groups: Vec<u32>,
    /// Where the user's things are.
    pub home: String,
}

/// Why words name no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("user `{0}` is not in the image's /etc/passwd; give a number, or a name that is")]
    NoSuchUser(String),
    /// No such group.
    #[error("group `{0}` is not in the image's /etc/group; give a number, or a name that is")]
    NoSuchGroup(String),
    /// A number that the kernel reads as "no change", or that some programs do.
    #[error("`{0}` is no number of a user or a group: they end at {ID_MAX}")]
    IdTooGreat(String),
    /// More groups than a process can have.
    #[error(
        "user `{user}` is in {count} groups of the image's /etc/group, and the kernel takes {GROUPS_MAX}"
    )]
    TooManyGroups {
        /// The user, as said.
        user: String,
        /// Groups that name it.
        count: usize,
    },
}

/// The greatest id that is taken. 2^32-1 is the kernel's word for "leave it as it is", which here is root; what has the
/// highest bit set is negative to programs that keep ids as `int`. Docker has the same bound.
const ID_MAX: u32 = i32::MAX.cast_unsigned();

/// Further groups that a process can have (`NGROUPS_MAX` of `linux/limits.h`).
const GROUPS_MAX: usize = 65_536;

impl<'a> UserWords<'a> {
    /// Splits the words; nothing is looked up yet.
    pub fn new(words: &'a str) -> Self {
        match words.split_once(':') {
            Some((user, group)) => UserWords { user, group: Some(group).filter(|g| !g.is_empty()) },
            None => UserWords { user: words, group: None },
        }
    }

    /// Who that is, by the texts of `/etc/passwd` and `/etc/group`. A number needs no line in either.
    pub fn find(&self, passwd: &str, group: &str) -> Result<User, UserError> {
        let name = if self.user.is_empty() { "0" } else { self.user };
        let line = passwd.lines().filter_map(PasswdLine::read).find(|line| line.is(name));
        let mut user = match (&line, name.parse()) {
            (Some(line), _) => User {
                uid: line.uid,
                gid: line.gid,
                groups: groups_of(line.name, group),
                home: line.home.to_owned(),
            },
            (None, Ok(uid)) => User { uid, gid: 0, groups: Vec::new(), home: String::new() },
            (None, Err(_)) => return Err(not_found(name, UserError::NoSuchUser)),
        };
        if user.home.is_empty() {
            user.home = if user.uid == 0 { "/root".into() } else { "/".into() };
        }
        if let Some(words) = self.group {
            user.gid = find_group(words, group)?;
            // Who names a group wants that one and no other.
            user.groups.clear();
        }
        if user.groups.len() > GROUPS_MAX {
            return Err(UserError::TooManyGroups { user: name.into(), count: user.groups.len() });
        }
        let all = user.groups.iter().chain([&user.uid, &user.gid]).copied();
        if let Some(id) = all.max().filter(|id| *id > ID_MAX) {
            return Err(UserError::IdTooGreat(id.to_string()));
        }
        Ok(user)
    }
}

/// Digits are a number and no name, as with docker: an image can't have a number that the user said mean another, by a line
/// that begins with it.
fn is_number(words: &str) -> bool {
    words.bytes().all(|byte| byte.is_ascii_digit()) || words.parse::<u32>().is_ok()
}

/// A number that is nowhere is too great; anything else is a name.
fn not_found(words: &str, name: fn(String) -> UserError) -> UserError {
    if is_number(words) {
        return UserError::IdTooGreat(words.into());
    }
    name(words.into())
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> PasswdLine<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdLine { name, uid, gid, home })
    }

    fn is(&self, words: &str) -> bool {
        if is_number(words) { words.parse() == Ok(self.uid) } else { self.name == words }
    }
}

/// Name, number and members of each line.
fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

fn groups_of(user: &str, text: &str) -> Vec<u32> {
    let member = |members: &str| members.split(',').any(|member| member == user);
    group_lines(text).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid).collect()
}

fn find_group(words: &str, text: &str) -> Result<u32, UserError> {
    let found = if is_number(words) {
        words.parse().ok()
    } else {
        group_lines(text).find(|(name, _, _)| *name == words).map(|(_, gid, _)| gid)
    };
    found.ok_or_else(|| not_found(words, UserError::NoSuchGroup))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/var/www:/bin/no\nbroken\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:www-data,root\nwww-data:x:33:\nvideo:x:44:www-data\n";

    fn found(words: &str) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let user = UserWords::new(words).find(PASSWD, GROUP)?;
        Ok((user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn names_and_numbers_find_the_same_user() {
        let www = (33, 33, vec![4, 44], "/var/www".to_owned());
        assert_eq!(found("www-data"), Ok(www.clone()));
        assert_eq!(found("33"), Ok(www));
    }

    #[test]
    fn no_words_are_root() {
        assert_eq!(found(""), Ok((0, 0, vec![4], "/root".to_owned())));
    }

    #[test]
    fn a_number_needs_no_line() {
        assert_eq!(found("1234"), Ok((1234, 0, vec![], "/".to_owned())));
        assert_eq!(found("1234:77"), Ok((1234, 77, vec![], "/".to_owned())));
    }

    #[test]
    fn a_number_is_no_name_whatever_lines_begin_with_it() {
        let passwd = "1000:x:0:0::/:\n0:x:7:7::/:\n99999999999:x:0:0::/:\n+5:x:0:0::/:\nbob:x:1000:9::/bob:\n";
        let find = |words: &str| {
            let user =
                UserWords::new(words).find(passwd, "1000:x:0:\n99999999999:x:0:\nbobs:x:9:\n")?;
            Ok((user.uid, user.gid))
        };
        assert_eq!(find("1000"), Ok((1000, 9)));
        assert_eq!(find("0"), Ok((0, 0)));
        assert_eq!(find(""), Ok((0, 0)));
        assert_eq!(find("+5"), Ok((5, 0)));
        assert_eq!(find("bob:1000"), Ok((1000, 1000)));
        assert_eq!(find("bob:bobs"), Ok((1000, 9)));
        let too_great = Err(UserError::IdTooGreat("99999999999".into()));
        assert_eq!(find("99999999999"), too_great);
        assert_eq!(find("bob:99999999999"), too_great);
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        assert_eq!(found("www-data:adm"), Ok((33, 4, vec![], "/var/www".to_owned())));
    }

    #[test]
    fn a_number_that_means_no_change_is_refused_wherever_it_comes_from() {
        let too_great = |id: &str| Err(UserError::IdTooGreat(id.into()));
        assert_eq!(found("4294967295"), too_great("4294967295"));
        assert_eq!(found("1:2147483648"), too_great("2147483648"));
        assert_eq!(found("1:99999999999"), too_great("99999999999"));
        assert_eq!(found("2147483647"), Ok((2_147_483_647, 0, vec![], "/".to_owned())));
        let words = UserWords::new("eve");
        let (user, group) = ("eve:x:4294967295:1::/:", "eve:x:1:4294967295::/:");
        assert!(words.find(user, "").is_err() && words.find(group, "").is_err());
        assert!(words.find("eve:x:1:1::/:", "wide:x:4294967295:eve").is_err());
    }

    #[test]
    fn more_groups_than_a_process_can_have_are_refused() {
        let groups =
            |count: u32| -> String { (0..count).map(|id| format!("g{id}:x:{id}:eve\n")).collect() };
        let find = |words, count| UserWords::new(words).find("eve:x:1:1::/:", &groups(count));
        assert_eq!(find("eve", 65_536).unwrap().groups.len(), 65_536);
        let told = UserError::TooManyGroups { user: "eve".into(), count: 65_537 };
        assert_eq!(find("eve", 65_537), Err(told));
        // Who names a group wants no other.
        assert_eq!(find("eve:g7", 65_537).unwrap().gid, 7);
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(found("eve"), Err(UserError::NoSuchUser("eve".into())));
        assert_eq!(found("root:eve"), Err(UserError::NoSuchGroup("eve".into())));
    }
}
