//! Facts about this process and this machine that no descriptor tells.

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::{SysError, call};
use super::file::{self, Symlinks};

/// Bytes of a `boot_id`, and more.
const BOOT_ID_LEN_MAX: u64 = 64;

/// Whether the process may do what root may: effective user id 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether labels of SELinux are read here.
pub fn has_selinux() -> bool {
    rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_ok()
}

/// What this process may do to mounts, and to files of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Root of the machine.
    Root,
    /// Root of a user namespace below: mounts of its own namespaces, files of the users that it knows.
    Namespace(Ids),
    /// Anyone else: files of its own.
    User,
}

/// The users and groups that a user namespace knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// One of each, or of either: a file can't be given to anyone else.
    One,
    /// More: who has subordinate ids (subuid(5)) gets such a one.
    Many,
}

/// The number of the first user namespace (`PROC_USER_INIT_INO` of `linux/proc_ns.h`).
pub(super) const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// What this process may do.
pub fn rights() -> Result<Rights, SysError> {
    if !is_root() {
        return Ok(Rights::User);
    }
    if file::stat_at(rustix::fs::CWD, "/proc/self/ns/user", Symlinks::Follow)?.st_ino
        == FIRST_USER_NAMESPACE
    {
        return Ok(Rights::Root);
    }
    let one = known_ids("/proc/self/uid_map")? <= 1 || known_ids("/proc/self/gid_map")? <= 1;
    Ok(Rights::Namespace(if one { Ids::One } else { Ids::Many }))
}

fn known_ids(map: &str) -> Result<u64, SysError> {
    Ok(count_ids(&read(map)?))
}

fn read(path: &str) -> Result<String, SysError> {
    const MAP_MAX_BYTES: u64 = 64 * 1024;
    let text = file::read_all(file::open_read_path(path)?, MAP_MAX_BYTES)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The ids by which this process sees owners and groups that its user namespace does not know, where that namespace has a
/// user or a group of the same number: whose an object is then is not told by `stat(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoubtfulIds {
    /// Of users; `None` where there is no doubt.
    pub user: Option<u32>,
    /// Of groups.
    pub group: Option<u32>,
}

/// The ids that are in doubt for this process.
pub fn doubtful_ids() -> Result<DoubtfulIds, SysError> {
    let Rights::Namespace(_) = rights()? else { return Ok(DoubtfulIds::default()) };
    let of = |map: &str, unknown: &str| -> Result<Option<u32>, SysError> {
        let (map, unknown) = (read(map)?, read(unknown)?);
        let Ok(id) = unknown.trim().parse::<u32>() else { return Ok(None) };
        let is_one_of_all = count_ids(&map) >= u64::from(u32::MAX);
        Ok((!is_one_of_all && holds(&map, id)).then_some(id))
    };
    Ok(DoubtfulIds {
        user: of("/proc/self/uid_map", "/proc/sys/fs/overflowuid")?,
        group: of("/proc/self/gid_map", "/proc/sys/fs/overflowgid")?,
    })
}

/// Whether a map of user_namespaces(7) holds an id, as it is called inside.
fn holds(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> =
            line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let id = u64::from(id);
        matches!(numbers[..], [first, _, count] if first <= id && id - first < count)
    })
}

/// How many ids a map of user_namespaces(7) holds: lines of FIRST-INSIDE FIRST-OUTSIDE COUNT.
fn count_ids(map: &str) -> u64 {
    let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2));
    counts.filter_map(|count| count.parse::<u64>().ok()).sum()
}

/// The user and the group that files have which this process makes.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Lets the process have as many descriptors as it may, and write files as large as it may: a stack of many directories
/// holds a descriptor for each, and whoever writes has limits of his own.
pub fn raise_limits() -> Result<(), SysError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, name) in [(Resource::Nofile, "NOFILE"), (Resource::Fsize, "FSIZE")] {
        let limit = getrlimit(resource);
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        call("setrlimit", || name.to_owned(), || setrlimit(resource, wanted))?;
    }
    Ok(())
}

/// How many descriptors the process may have now.
pub fn descriptors_max() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The process id, as it stands in names of temporary directories.
pub fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

/// Random bytes from the kernel.
pub fn random_u64() -> Result<u64, SysError> {
    let mut bytes = [0_u8; 8];
    let flags = rustix::rand::GetRandomFlags::empty();
    call("getrandom", String::new, || rustix::rand::getrandom(&mut bytes, flags))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Seconds since 1970 and nanoseconds; 0 where the clock stands before.
pub fn now() -> (i64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// Seconds since 1970; 0 where the clock stands before.
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970; 0 where the clock stands before.
pub fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// How long ago 1970 began; nothing where the clock stands before that.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The kernel's release (`6.18.0`) and machine (`x86_64`).
pub fn kernel() -> (String, String) {
    let names = rustix::system::uname();
    (names.release().to_string_lossy().into_owned(), names.machine().to_string_lossy().into_owned())
}

/// A word that the kernel has for the time since the machine was started, and for no other (`boot_id`, `random(4)`).
pub fn boot_id() -> Result<String, SysError> {
    let text = file::open_read_path("/proc/sys/kernel/random/boot_id")
        .and_then(|file| file::read_all(file, BOOT_ID_LEN_MAX))?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// The version that a kernel's release begins with; `None` where it does not begin with one.
pub fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Size and free space of a file system.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// All bytes.
    pub total_bytes: u64,
    /// Bytes a process without privilege may still take.
    pub free_bytes: u64,
    /// The file system's magic number (`statfs(2)`).
    pub magic: u64,
}

/// Size and free space of the file system that holds `file`.
pub fn space(file: impl AsFd) -> Result<Space, SysError> {
    let stat = call("fstatfs", String::new, || rustix::fs::fstatfs(&file))?;
    let block = u64::try_from(stat.f_bsize).unwrap_or(0);
    Ok(Space {
        total_bytes: stat.f_blocks.saturating_mul(block),
        free_bytes: stat.f_bavail.saturating_mul(block),
        magic: u64::try_from(stat.f_type).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_map_are_counted() {
        assert_eq!(count_ids("         0       1000          1\n"), 1);
        assert_eq!(count_ids("0 1000 1\n1 100000 65536\n"), 65537);
        assert_eq!(count_ids("0 0 4294967295\n"), 4_294_967_295);
        assert_eq!(count_ids(""), 0);
    }

    #[test]
    fn a_map_holds_the_ids_of_its_lines() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!([0, 1, 65_536].map(|id| holds(map, id)), [true; 3]);
        assert_eq!([65_537, u32::MAX].map(|id| holds(map, id)), [false; 2]);
        assert!(!holds("0 1000 1\n", 65_534) && !holds("", 0));
    }

    #[test]
    fn rights_are_those_of_this_process() {
        let rights = rights().unwrap();
        assert_eq!(rights == Rights::User, !is_root());
    }
}
