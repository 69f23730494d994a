//! Image names: `[DOMAIN/]PATH[:TAG][@DIGEST]`, checked, kept as given, shown as docker shows them.
//!
//! The grammar is that of the OCI distribution specification; what comes before the first slash is a domain when it
//! holds a dot or a colon or is `localhost`, as docker decides it.

use std::fmt;

use super::digest::{Digest, DigestError};

const NAME_LEN_MAX: usize = 255;
const TAG_LEN_MAX: usize = 128;
const DEFAULT_TAG: &str = "latest";
const DOCKER_HUB: &str = "docker.io";
const OFFICIAL: &str = "library/";

/// An image's name, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: Option<Box<str>>,
    path: Box<str>,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

/// Why a text is not an image's name. Texts are escaped: they may come from an archive.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing, or nothing before the tag or the digest.
    #[error("`{0}`: an image name is empty")]
    EmptyName(String),
    /// Domain and path together are too long.
    #[error("`{0}`: an image name has at most {NAME_LEN_MAX} bytes")]
    LongName(String),
    /// A repository has no capital letters.
    #[error("`{0}`: a repository name is lower case; write `{1}`")]
    UpperCase(String, String),
    /// 64 hexadecimal digits are an image's id, and a name must not look like one.
    #[error("`{0}` is an image id, not a name")]
    ImageId(String),
    /// The part before the first slash is no host name.
    #[error("`{0}`: `{1}` is not a registry's host name with an optional port")]
    Domain(String, String),
    /// A component of the path breaks the grammar.
    #[error(
        "`{0}`: `{1}` is not a repository name (lower-case letters and digits, with `.`, `_`, `__` or `-` between)"
    )]
    Component(String, String),
    /// The tag breaks the grammar.
    #[error(
        "`{0}`: `{1}` is not a tag (at most {TAG_LEN_MAX} letters, digits, `_`, `.`, `-`, not starting with `.` or `-`)"
    )]
    Tag(String, String),
    /// What follows `@` is no digest.
    #[error("`{text}`: malformed digest")]
    Digest {
        /// The whole text.
        text: String,
        /// What is wrong with the digest.
        source: DigestError,
    },
}

impl Reference {
    /// Reads a name as users and annotations write it.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest);
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(shown(text), shown(tag)));
        }
        let (domain, path) = split_domain(name);
        check_name(text, name, domain, path)?;
        Ok(Reference {
            domain: domain.map(Box::from),
            path: path.into(),
            tag: tag.map(Box::from),
            digest,
        })
    }

    /// The name of a tag in a repository: `debian` and `bookworm` make `debian:bookworm`.
    pub fn tagged(repository: &str, tag: &str) -> Result<Self, ReferenceError> {
        Self::parse(&format!("{repository}:{tag}"))
    }

    /// The registry's host and port, where the name says one.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The repository, without the domain.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, where the name says one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where the name says one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The whole name as it was given: the key under which a store keeps it.
    pub fn as_given(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{domain}/{}{}", self.path, self.suffix()),
            None => format!("{}{}", self.path, self.suffix()),
        }
    }

    /// The name as a store keeps it: as it was given, with the default tag where it has none.
    pub fn canonical(&self) -> String {
        self.clone().with_default_tag().as_given()
    }

    /// Whether two names are one, whatever digests stand behind them.
    pub fn names_same(&self, other: &Reference) -> bool {
        self.same_repository(other) && self.tag == other.tag
    }

    /// Whether two names are of one repository.
    pub fn same_repository(&self, other: &Reference) -> bool {
        self.domain == other.domain && self.path == other.path
    }

    /// The repository as it was given, with its domain and without tag and digest.
    pub fn repository(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{domain}/{}", self.path),
            None => self.path.clone().into(),
        }
    }

    /// The repository as docker shows it: `docker.io/library/debian` is `debian`.
    pub fn familiar_repository(&self) -> String {
        match self.domain() {
            Some(domain) if is_docker_hub(domain) => self
                .path
                .strip_prefix(OFFICIAL)
                .filter(|path| !path.contains('/'))
                .unwrap_or(&self.path)
                .into(),
            _ => self.repository(),
        }
    }

    /// This name with the tag `latest` where it says neither tag nor digest.
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.into());
        }
        self
    }

    /// The names that this one may stand for, itself first: a short name also means `localhost/NAME` and docker's own.
    pub fn normalized_candidates(&self) -> Vec<Reference> {
        let given = self.clone().with_default_tag();
        let official = format!("{OFFICIAL}{}", self.path);
        let one_component = !self.path.contains('/');
        let mut found = vec![given.clone()];
        let mut also = |domain: &str, path: &str| {
            let other =
                Reference { domain: Some(domain.into()), path: path.into(), ..given.clone() };
            if !found.contains(&other) {
                found.push(other);
            }
        };
        match self.domain() {
            None => {
                also("localhost", &self.path);
                also(DOCKER_HUB, if one_component { &official } else { &self.path });
            }
            Some(domain) if is_docker_hub(domain) => {
                also(DOCKER_HUB, &self.path);
                if one_component {
                    also(DOCKER_HUB, &official);
                }
            }
            Some(_) => {}
        }
        found
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.map(|digest| format!("@{digest}"));
        tag.unwrap_or_default() + &digest.unwrap_or_default()
    }
}

/// The familiar form, as docker prints it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.familiar_repository(), self.suffix())
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Reference::parse(text)
    }
}

/// Whether `text` is a tag: letters, digits, `_`, `.`, `-`, not starting with `.` or `-`.
pub fn is_tag(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    starts_well
        && text.len() <= TAG_LEN_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    match Digest::parse(&shown(digest)) {
        Ok(digest) => Ok((rest, Some(digest))),
        Err(source) => Err(ReferenceError::Digest { text: shown(text), source }),
    }
}

/// A colon before a slash belongs to the port.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    }
}

fn split_domain(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path)) if first == "localhost" || first.contains(['.', ':']) => {
            (Some(first), path)
        }
        _ => (None, name),
    }
}

fn check_name(
    text: &str,
    name: &str,
    domain: Option<&str>,
    path: &str,
) -> Result<(), ReferenceError> {
    if path.is_empty() {
        return Err(ReferenceError::EmptyName(shown(text)));
    }
    if name.len() > NAME_LEN_MAX {
        return Err(ReferenceError::LongName(shown(text)));
    }
    if domain.is_none() && Digest::from_hex(path).is_some() {
        return Err(ReferenceError::ImageId(shown(text)));
    }
    if let Some(domain) = domain.filter(|domain| !is_domain(domain)) {
        return Err(ReferenceError::Domain(shown(text), shown(domain)));
    }
    match path.split('/').find(|component| !is_component(component)) {
        None => Ok(()),
        Some(_) if path.to_ascii_lowercase().split('/').all(is_component) => {
            let before = &text[..name.len() - path.len()];
            let after = &text[name.len()..];
            let lower = format!("{before}{}{after}", path.to_ascii_lowercase());
            Err(ReferenceError::UpperCase(shown(text), shown(&lower)))
        }
        Some(component) => Err(ReferenceError::Component(shown(text), shown(component))),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let port_is_good = port.is_none_or(|port| {
        !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    port_is_good && (is_bracketed_ipv6(host) || host.split('.').all(is_host_label))
}

fn is_bracketed_ipv6(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well =
        bytes.first().is_some_and(|&b| word(b)) && bytes.last().is_some_and(|&b| word(b));
    let between = |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-');
    ends_well && bytes.split(|&byte| word(byte)).all(between)
}

fn is_docker_hub(domain: &str) -> bool {
    domain == DOCKER_HUB || domain == "index.docker.io"
}

/// A text as messages show it: on one line and not endless.
fn shown(text: &str) -> String {
    super::oci::shown(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn names_split_as_docker_splits_them() {
        let digest = format!("sha256:{}", hex());
        let with_digest = format!("a/b@{digest}");
        let with_both = format!("quay.io/a/b:1@{digest}");
        type Row<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>, bool);
        let table: &[Row<'_>] = &[
            ("debian", None, "debian", None, false),
            ("debian:12", None, "debian", Some("12"), false),
            ("library/debian", None, "library/debian", None, false),
            ("localhost/a", Some("localhost"), "a", None, false),
            ("localhost:5000/a:b", Some("localhost:5000"), "a", Some("b"), false),
            ("localhost:5000", None, "localhost", Some("5000"), false),
            ("quay.io/a/b/c:T_1.x-", Some("quay.io"), "a/b/c", Some("T_1.x-"), false),
            ("[::1]:5000/a", Some("[::1]:5000"), "a", None, false),
            ("a__b/c--d.e_f", None, "a__b/c--d.e_f", None, false),
            (&with_digest, None, "a/b", None, true),
            (&with_both, Some("quay.io"), "a/b", Some("1"), true),
        ];
        for (text, domain, path, tag, has_digest) in table {
            let name = Reference::parse(text).unwrap();
            assert_eq!((name.domain(), name.path(), name.tag()), (*domain, *path, *tag), "{text}");
            assert_eq!(name.digest().is_some(), *has_digest, "{text}");
            assert_eq!(name.as_given(), *text);
        }
    }

    #[test]
    fn malformed_names_are_refused_by_their_part() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        let sha512 = format!("a@sha512:{}", "0".repeat(128));
        let id = hex();
        let table: &[(&str, &str)] = &[
            ("", "is empty"),
            (":tag", "is empty"),
            ("quay.io/", "is empty"),
            ("a:", "not a tag"),
            ("a:.b", "not a tag"),
            ("a:-b", "not a tag"),
            ("a:b c", "not a tag"),
            (&long_tag, "not a tag"),
            (&long, "at most 255"),
            ("Debian:12", "write `debian:12`"),
            ("quay.io/A/b", "write `quay.io/a/b`"),
            ("a//b", "not a repository name"),
            ("/a", "not a repository name"),
            ("a/", "not a repository name"),
            ("a___b", "not a repository name"),
            ("a..b", "not a repository name"),
            ("-a", "not a repository name"),
            ("a_", "not a repository name"),
            ("a\nb", "`a\\nb`"),
            ("-x.io/a", "host name"),
            ("x.io:/a", "host name"),
            ("x.io:port/a", "host name"),
            ("[zz]:1/a", "host name"),
            ("a@sha256:12", "malformed digest"),
            (&sha512, "malformed digest"),
            ("a@", "malformed digest"),
            (&id, "image id"),
        ];
        for (text, reason) in table {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn the_familiar_form_hides_dockers_own_registry_and_library() {
        let table = [
            ("docker.io/library/debian:12", "debian:12"),
            ("index.docker.io/library/debian", "debian"),
            ("docker.io/foo/bar", "foo/bar"),
            ("docker.io/library/foo/bar", "library/foo/bar"),
            ("quay.io/library/debian", "quay.io/library/debian"),
            ("localhost/x:1", "localhost/x:1"),
            ("library/x", "library/x"),
        ];
        for (given, familiar) in table {
            assert_eq!(Reference::parse(given).unwrap().to_string(), familiar);
        }
    }

    #[test]
    fn a_short_name_stands_for_itself_localhost_and_docker_hub() {
        let candidates = |text: &str| -> Vec<String> {
            let name = Reference::parse(text).unwrap();
            name.normalized_candidates().iter().map(Reference::as_given).collect()
        };
        assert_eq!(
            candidates("debian"),
            ["debian:latest", "localhost/debian:latest", "docker.io/library/debian:latest"]
        );
        assert_eq!(candidates("a/b:1"), ["a/b:1", "localhost/a/b:1", "docker.io/a/b:1"]);
        assert_eq!(candidates("quay.io/a"), ["quay.io/a:latest"]);
        assert_eq!(
            candidates("docker.io/debian:12"),
            ["docker.io/debian:12", "docker.io/library/debian:12"]
        );
        assert_eq!(candidates("docker.io/library/debian:12"), ["docker.io/library/debian:12"]);
        let by_digest = format!("a@sha256:{}", hex());
        assert_eq!(candidates(&by_digest)[0], by_digest);
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_that_prints_as_given_or_an_error(text in "\\PC{0,40}|[a-zA-Z0-9./:@_\\-\\[\\]\n]{0,40}") {
            if let Ok(name) = Reference::parse(&text) {
                prop_assert_eq!(name.as_given(), text);
                prop_assert_eq!(Reference::parse(&name.as_given()).unwrap(), name);
            }
        }
    }
}
