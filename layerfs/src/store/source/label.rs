//! Names and tags of the images in a source, and the choice of one by them.

use std::collections::{BTreeMap, HashSet};

use crate::store::oci::shown;
use crate::store::reference::{Reference, is_tag};

use super::error::SourceFault;

/// The full name that containerd, Docker and BuildKit write.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// OCI's own: a tag, or a full name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Images, or what may be one, in one source.
pub(super) const IMAGES_MAX: usize = 10_000;
/// Labels of all of them together.
pub(super) const NAMES_MAX: usize = 20_000;
/// Labels in one message.
const SHOWN_MAX: usize = 20;

/// One label of an image: the words by which it can be asked for, and the name they make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    words: Vec<String>,
    name: Option<Reference>,
}

/// Something that can be asked for by its labels.
pub(super) struct Choice<T> {
    /// The labels; none for what was saved without a name.
    pub(super) labels: Vec<Label>,
    /// What stands for a label in messages, and can be asked for too: a digest.
    pub(super) digest: String,
    /// What is chosen.
    pub(super) item: T,
}

/// The choices of a source while they are read: bounded.
pub(super) struct Choices<T> {
    all: Vec<Choice<T>>,
    labels_len: usize,
}

impl<T> Choices<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        Choices { all: Vec::new(), labels_len: 0 }
    }

    /// Adds a choice; answers where it stands.
    pub(super) fn push(&mut self, choice: Choice<T>) -> Result<usize, SourceFault> {
        if self.all.len() == IMAGES_MAX {
            return Err(SourceFault::CountImages);
        }
        self.count_labels(choice.labels.len())?;
        self.all.push(choice);
        Ok(self.all.len() - 1)
    }

    /// Gives labels to the choice that stands there.
    pub(super) fn add_labels(&mut self, at: usize, labels: Vec<Label>) -> Result<(), SourceFault> {
        self.count_labels(labels.len())?;
        self.all[at].labels.extend(labels);
        Ok(())
    }

    /// What is chosen by the choice that stands there.
    pub(super) fn item(&mut self, at: usize) -> &mut T {
        &mut self.all[at].item
    }

    /// All of them.
    pub(super) fn into_all(self) -> Vec<Choice<T>> {
        self.all
    }

    fn count_labels(&mut self, more: usize) -> Result<(), SourceFault> {
        self.labels_len += more;
        if self.labels_len > NAMES_MAX { Err(SourceFault::CountNames) } else { Ok(()) }
    }
}

impl Label {
    /// The label that annotations make. A bare tag is joined to `base`, the base name of directory or file.
    pub(super) fn of_annotations(
        annotations: &BTreeMap<String, String>,
        base: Option<&str>,
    ) -> Option<Label> {
        let texts = [CONTAINERD_NAME, REF_NAME].map(|key| annotations.get(key));
        let words: Vec<String> = texts.into_iter().flatten().cloned().collect();
        let name = words.iter().find_map(|text| name_of(text, base));
        (!words.is_empty()).then_some(Label { words, name })
    }

    /// The label that a full name makes.
    pub(super) fn of_name(text: &str) -> Label {
        Label { words: vec![text.to_owned()], name: tagged_name(text) }
    }

    /// The name, where the words make a valid one.
    pub(super) fn name(&self) -> Option<&Reference> {
        self.name.as_ref()
    }

    /// The word that tells labels apart.
    pub(super) fn key(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    fn is(&self, asked: &str) -> bool {
        let candidates = Reference::parse(asked).map(|asked| asked.normalized_candidates());
        let name = self.name.as_ref();
        self.words.iter().any(|word| word == asked)
            || name.is_some_and(|name| candidates.is_ok_and(|found| found.contains(name)))
    }

    fn has_tag(&self, asked: &str) -> bool {
        self.name.as_ref().and_then(Reference::tag) == Some(asked)
    }
}

impl<T> Choice<T> {
    /// The valid names among the labels, each once.
    pub(super) fn names(&self) -> Vec<Reference> {
        let mut seen = HashSet::new();
        let names = self.labels.iter().filter_map(Label::name);
        names.filter(|name| seen.insert(*name)).cloned().collect()
    }

    fn shown(&self) -> String {
        let first = self.labels.iter().take(SHOWN_MAX);
        let mut labels: Vec<String> = first.map(|label| shown(label.key())).collect();
        if self.labels.len() > SHOWN_MAX {
            labels.push(format!("and {} more names of it", self.labels.len() - SHOWN_MAX));
        }
        if labels.is_empty() { self.digest.clone() } else { labels.join(", ") }
    }
}

/// The one choice that `asked` names, left with the labels that were asked for. A label itself goes before a tag alone.
pub(super) fn choose<T>(choices: Vec<Choice<T>>, asked: &str) -> Result<Choice<T>, SourceFault> {
    let by_digest = |choice: &Choice<T>| choice.digest == asked;
    let matches: [&dyn Fn(&Label) -> bool; 2] =
        [&|label| label.is(asked), &|label| label.has_tag(asked)];
    let there = shown_choices(&choices);
    if let Some(found) = choices.iter().position(by_digest) {
        return only(choices.into_iter().skip(found).take(1).collect());
    }
    let fits = |label: &dyn Fn(&Label) -> bool| {
        choices.iter().any(|choice| choice.labels.iter().any(label))
    };
    let Some(fit) = matches.into_iter().find(|label| fits(label)) else {
        return Err(SourceFault::FindTag { asked: shown(asked), there });
    };
    let mut found: Vec<_> =
        choices.into_iter().filter(|choice| choice.labels.iter().any(fit)).collect();
    found.iter_mut().for_each(|choice| choice.labels.retain(|label| fit(label)));
    only(found)
}

/// The one choice that there is.
pub(super) fn only<T>(mut choices: Vec<Choice<T>>) -> Result<Choice<T>, SourceFault> {
    match choices.len() {
        0 | 1 => choices.pop().ok_or(SourceFault::FindImage),
        _ => Err(SourceFault::ChooseTag { there: shown_choices(&choices) }),
    }
}

fn shown_choices<T>(choices: &[Choice<T>]) -> String {
    let mut there: Vec<String> = choices.iter().take(SHOWN_MAX).map(Choice::shown).collect();
    if choices.len() > SHOWN_MAX {
        there.push(format!("and {} more", choices.len() - SHOWN_MAX));
    }
    if there.is_empty() { "none".into() } else { there.join(", ") }
}

fn name_of(text: &str, base: Option<&str>) -> Option<Reference> {
    if is_tag(text) { Reference::tagged(base?, text).ok() } else { tagged_name(text) }
}

/// A full name with its tag. A name that is pinned by digest alone is no name to keep an image under.
fn tagged_name(text: &str) -> Option<Reference> {
    match Reference::parse(text) {
        Ok(name) => Some(name.with_default_tag()).filter(|name| name.tag().is_some()),
        Err(error) => {
            tracing::debug!("passing over a name of the source: {error}");
            None
        }
    }
}
