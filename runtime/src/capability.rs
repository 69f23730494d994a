//! Which of root's rights a container has (`capabilities(7)`).

/// The kernel's names, by number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// What a container has where nothing else is said: podman's eleven. None of them makes a device, a raw packet or an audit
    /// record.
    pub fn usual() -> Self {
        const USUAL: [&str; 11] = [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_NET_BIND_SERVICE",
            "CAP_SETFCAP",
            "CAP_SETGID",
            "CAP_SETPCAP",
            "CAP_SETUID",
            "CAP_SYS_CHROOT",
        ];
        USUAL.into_iter().filter_map(Capabilities::named).fold(Capabilities(0), Capabilities::with)
    }

    /// All that have a name. A kernel may know fewer.
    pub fn all() -> Self {
        NAMES.into_iter().filter_map(Capabilities::named).fold(Capabilities(0), Capabilities::with)
    }

    /// None.
    pub fn none() -> Self {
        Capabilities(0)
    }

    /// The one of that name, in capitals or not, with `CAP_` before it or not; `None` where the kernel has no such name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        let number = NAMES.iter().position(|known| known.strip_prefix("CAP_") == Some(name))?;
        Some(Capabilities(1 << number))
    }

    /// Those of these bits, each by its number.
    pub fn from_bits(bits: u64) -> Self {
        Capabilities(bits)
    }

    /// A bit for each, by its number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// These and those.
    #[must_use]
    pub fn with(self, those: Self) -> Self {
        Capabilities(self.0 | those.0)
    }

    /// These without those.
    #[must_use]
    pub fn without(self, those: Self) -> Self {
        Capabilities(self.0 & !those.0)
    }

    /// Whether all of those are among these.
    pub fn has(self, those: Self) -> bool {
        those.without(self) == Capabilities::none()
    }

    /// The names of those that have one, with `CAP_`, in the order of their numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let numbered = NAMES.into_iter().enumerate();
        numbered.filter(move |(number, _)| self.0 >> number & 1 == 1).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_people_write_them() {
        let admin = Capabilities::from_bits(1 << 21);
        for name in ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_admin", "cap_sys_admin"] {
            assert_eq!(Capabilities::named(name), Some(admin), "{name}");
        }
        for name in ["", "CAP_", "ADMIN", "ALL"] {
            assert_eq!(Capabilities::named(name), None, "{name}");
        }
    }

    #[test]
    fn the_usual_ones_are_podmans() {
        // As `/proc/self/status` of its containers shows them.
        assert_eq!(Capabilities::usual().bits(), 0x8004_05fb);
        let names: Vec<_> = Capabilities::usual().names().collect();
        assert_eq!((names.len(), names[0]), (11, "CAP_CHOWN"));
    }
}
