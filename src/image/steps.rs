//! Which step of an image's history made which of its layers.

use layerfs_driver::store::image::ImageLayer;
use layerfs_driver::store::oci::History;

/// One step: what the history says of it, and the layer it made. One of the two may be missing, never both.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// `None` for a layer that the history does not speak of.
    pub history: Option<&'a History>,
    /// `None` for a step that made no layer.
    pub layer: Option<ImageLayer>,
}

/// The steps, first to last.
///
/// Steps that say they made a layer take the layers from the lowest on. Some builders write too many steps, too few or
/// none: then steps are left without a layer, or layers without a step.
pub fn steps<'a>(history: &'a [History], layers: &[ImageLayer]) -> Vec<Step<'a>> {
    let mut layers = layers.iter().copied();
    let mut steps = Vec::new();
    for entry in history {
        let layer = if entry.makes_no_layer() { None } else { layers.next() };
        steps.push(Step { history: Some(entry), layer });
    }
    steps.extend(layers.map(|layer| Step { history: None, layer: Some(layer) }));
    steps
}

#[cfg(test)]
mod tests {
    use layerfs_driver::store::digest::Digest;

    use super::*;

    fn layer(size: u64) -> ImageLayer {
        ImageLayer { diff_id: Digest::of(&size.to_le_bytes()), size }
    }

    fn history(empty: &[Option<bool>]) -> Vec<History> {
        empty.iter().map(|&empty_layer| History { empty_layer, ..History::default() }).collect()
    }

    fn sizes(steps: &[Step]) -> Vec<Option<u64>> {
        steps.iter().map(|step| step.layer.map(|layer| layer.size)).collect()
    }

    #[test]
    fn steps_without_a_layer_take_none() {
        let history = history(&[None, Some(true), Some(false), Some(true)]);
        let steps = steps(&history, &[layer(1), layer(2)]);
        assert_eq!(sizes(&steps), [Some(1), None, Some(2), None]);
        assert!(steps.iter().all(|step| step.history.is_some()));
    }

    #[test]
    fn layers_that_the_history_does_not_speak_of_are_shown() {
        let history = history(&[None]);
        let steps = steps(&history, &[layer(1), layer(2)]);
        assert_eq!(sizes(&steps), [Some(1), Some(2)]);
        assert!(steps[1].history.is_none());
    }

    #[test]
    fn more_steps_than_layers_stay_without() {
        assert_eq!(sizes(&steps(&history(&[None, None]), &[layer(1)])), [Some(1), None]);
        assert!(steps(&[], &[]).is_empty());
    }
}
