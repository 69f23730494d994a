//! The small image in every form that tools write: one image, whatever carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::imported::Imported;
use crate::support::{fixtures, watchdog};

/// Each form that can be had here, with the way to read it.
pub fn small() -> Vec<(&'static str, PathBuf)> {
    let forms = [plain(), repeated()].concat();
    forms.into_iter().map(|(_, form, source)| (form, source)).collect()
}

/// The forms of the small image as it is.
fn plain() -> Vec<(&'static str, &'static str, PathBuf)> {
    let forms = [
        ("layout", "oci", fixtures::small_layout()),
        ("podman save, oci", "oci", fixtures::podman_save_oci()),
        ("skopeo, oci", "oci", fixtures::skopeo_oci_archive()),
        ("podman save, docker", "docker", fixtures::podman_save()),
        ("skopeo, docker", "docker", fixtures::skopeo_docker_archive()),
    ];
    forms.into_iter().filter_map(|(name, form, source)| Some((name, form, source?))).collect()
}

/// The forms of the small image with one layer repeated.
fn repeated() -> Vec<(&'static str, &'static str, PathBuf)> {
    let forms = [
        ("docker save 24", "docker", fixtures::docker_save_legacy()),
        ("docker save 25, docker", "docker", fixtures::docker_save_25()),
        ("docker save 25, oci", "oci", fixtures::docker_save_25()),
        ("docker save containerd, docker", "docker", fixtures::docker_save_containerd()),
        ("docker save containerd, oci", "oci", fixtures::docker_save_containerd()),
    ];
    forms.into_iter().filter_map(|(name, form, source)| Some((name, form, source?))).collect()
}

/// podman and skopeo write a configuration of their own into docker archives; all others keep the image's.
#[test]
fn one_image_has_one_id_and_one_chain_id_in_every_form() {
    let _watch = watchdog(120);
    for forms in [plain(), repeated()] {
        let images: BTreeMap<&str, _> = forms
            .iter()
            .map(|(name, form, source)| (*name, Imported::new(form, source).image()))
            .collect();
        let chains: BTreeSet<_> = images.values().map(|image| image.chain_id().unwrap()).collect();
        assert_eq!(chains.len(), 1, "{images:#?}");
        let rewritten = ["podman save, docker", "skopeo, docker"];
        let kept = images.iter().filter(|(name, _)| !rewritten.contains(name));
        let ids: BTreeSet<_> = kept.map(|(_, image)| image.id).collect();
        assert_eq!(ids.len(), 1, "{images:#?}");
    }
}

#[test]
fn importing_again_grows_nothing_but_what_is_new() {
    let _watch = watchdog(120);
    for forms in [plain(), repeated()] {
        let Some((_, form, first)) = forms.first() else { continue };
        let mut imported = Imported::new(form, first);
        let image = imported.image();
        let before = imported.files();
        imported.import(form, first);
        assert_eq!(imported.files(), before, "the same again");
        for (name, form, source) in &forms {
            let before = imported.files();
            let again = imported.import(form, source);
            let after = imported.files();
            assert!(before.is_subset(&after), "{name}: nothing goes");
            let new: Vec<&PathBuf> = after.difference(&before).collect();
            // Another manifest or configuration is a blob, another configuration also an image.
            let is_document =
                |path: &&PathBuf| path.starts_with("blobs") || path.starts_with("images/ids");
            assert!(new.iter().all(is_document), "{name}: {new:?}");
            assert!(new.len() <= 3, "{name}: {new:?}");
            assert_eq!(again.chain_id(), image.chain_id(), "{name}");
        }
    }
}
