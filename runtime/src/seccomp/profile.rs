//! A profile, as it is written down.

use serde::Deserialize;

use super::ProfileError;

/// `EPERM`.
const PERM: u32 = 1;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Compare {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    /// The argument's bits that are in the first value are those of the second.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// A condition on one argument.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Argument {
    pub index: u8,
    pub value: u64,
    #[serde(default)]
    pub value_two: u64,
    pub op: Compare,
}

/// Where rules hold, or do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Where {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What becomes of some calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default)]
    names: Vec<String>,
    /// An older form.
    #[serde(default)]
    name: String,
    action: Action,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    includes: Option<Where>,
    excludes: Option<Where>,
}

/// A profile: what becomes of which system calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

/// What a profile's rules depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    /// The names of the capabilities that the container has.
    pub capabilities: &'a [&'a str],
    /// The kernel's release.
    pub kernel: &'a str,
}

/// What the kernel is to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Allow,
    Errno(u32),
    KillThread,
    KillProcess,
    Trap,
    Trace(u32),
    Log,
}

impl Where {
    /// Whether all that is said holds; `None` where nothing is said.
    fn holds(&self, ground: Ground<'_>) -> Option<bool> {
        let caps = self.caps.as_ref().filter(|caps| !caps.is_empty());
        let arches = self.arches.as_ref().filter(|arches| !arches.is_empty());
        let kernel = self.min_kernel.as_deref();
        if caps.is_none() && arches.is_none() && kernel.is_none() {
            return None;
        }
        let has_caps = caps
            .is_none_or(|caps| caps.iter().all(|cap| ground.capabilities.contains(&cap.as_str())));
        let is_arch = arches.is_none_or(|arches| arches.iter().any(|arch| arch == machine()));
        let is_new = kernel.is_none_or(|wanted| version(ground.kernel) >= version(wanted));
        Some(has_caps && is_arch && is_new)
    }

    /// Whether anything that is said holds.
    fn touches(&self, ground: Ground<'_>) -> bool {
        let caps = self.caps.iter().flatten();
        let arches = self.arches.iter().flatten();
        let is_new = |wanted: &String| version(ground.kernel) >= version(wanted);
        caps.into_iter().any(|cap| ground.capabilities.contains(&cap.as_str()))
            || arches.into_iter().any(|arch| arch == machine())
            || self.min_kernel.as_ref().is_some_and(is_new)
    }
}

/// This machine as profiles call it.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Rule {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let old = (!self.name.is_empty()).then_some(self.name.as_str());
        self.names.iter().map(String::as_str).chain(old)
    }

    pub(super) fn arguments(&self) -> &[Argument] {
        self.args.as_deref().unwrap_or_default()
    }

    fn holds(&self, ground: Ground<'_>) -> bool {
        let holds = self.includes.as_ref().and_then(|includes| includes.holds(ground));
        holds.unwrap_or(true)
            && !self.excludes.as_ref().is_some_and(|excludes| excludes.touches(ground))
    }
}

impl Profile {
    /// That of every container where nothing else is said: what programs need, and what a capability is for with it.
    pub fn usual() -> Result<Profile, ProfileError> {
        Profile::parse(include_bytes!("default.json"))
    }

    /// Reads one in Docker's form. Parts for other architectures than this machine's are passed over.
    pub fn parse(text: &[u8]) -> Result<Profile, ProfileError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// The names of all calls that it is about, here or elsewhere.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.syscalls.iter().flatten().flat_map(Rule::names)
    }

    pub(super) fn default_deed(&self) -> Result<Deed, ProfileError> {
        deed(self.default_action, self.default_errno_ret, "`defaultAction`")
    }

    /// The rules that hold, each with what becomes of its calls.
    pub(super) fn rules(&self, ground: Ground<'_>) -> Result<Vec<(&Rule, Deed)>, ProfileError> {
        let rules = self.syscalls.iter().flatten().filter(|rule| rule.holds(ground));
        rules.map(|rule| Ok((rule, deed(rule.action, rule.errno_ret, "`action`")?))).collect()
    }
}

fn deed(action: Action, number: Option<u32>, key: &'static str) -> Result<Deed, ProfileError> {
    Ok(match action {
        Action::Allow => Deed::Allow,
        Action::Errno => Deed::Errno(number.unwrap_or(PERM)),
        Action::KillThread => Deed::KillThread,
        Action::KillProcess => Deed::KillProcess,
        Action::Trap => Deed::Trap,
        Action::Trace => Deed::Trace(number.unwrap_or(PERM)),
        Action::Log => Deed::Log,
        Action::Notify => return Err(ProfileError::Notify(key)),
    })
}
