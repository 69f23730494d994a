//! Chain ids: the name of a stack of layers, as the OCI image specification defines it.

use super::digest::Digest;

/// The chain id of layers given lowest first; `None` for no layer.
///
/// Of one layer it is the diff id; of more, the digest of the chain id below, a space, and the top diff id.
pub fn chain_id<'a>(diff_ids: impl Iterator<Item = &'a Digest>) -> Option<Digest> {
    diff_ids.copied().reduce(|below, top| Digest::of(format!("{below} {top}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_is_its_own_chain() {
        let layer = Digest::of(b"layer");
        assert_eq!(chain_id([layer].iter()), Some(layer));
        assert_eq!(chain_id([].iter()), None);
    }

    #[test]
    fn chains_are_digests_of_texts() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let text = format!("{a} {b}");
        assert_eq!(chain_id([a, b].iter()), Some(Digest::of(text.as_bytes())));
    }
}
