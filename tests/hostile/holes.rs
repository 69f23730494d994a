//! Holes that the layers of one image claim: together they are bounded, since each is hashed as the zeros that it stands for.

use super::layout::Layout;
use super::packing::gzip;
use super::store::{Victim, text};
use super::tarball::{file, tar};
use crate::support::watchdog;

/// An archive of one file of that many GiB, all of it a hole.
fn hollow(name: &str, gib: u64) -> Vec<u8> {
    let size = (gib << 30).to_string();
    let records = [("size", size.as_str()), ("numblocks", "1"), ("map", "0,1")];
    let entry = records
        .iter()
        .fold(file(name, "x"), |entry, (key, value)| entry.pax(format!("GNU.sparse.{key}"), value));
    tar(&[entry])
}

/// Hashing 250 GiB takes minutes: whichever layer comes second is refused, and ends the hashing of the first.
#[test]
fn holes_of_all_layers_have_one_bound_and_a_refusal_ends_their_hashing() {
    let _watch = watchdog(60);
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return crate::support::rights::skip("layers are read at once on two processors only");
    }
    let victim = Victim::new();
    let before = victim.picture();
    let archives = ["first", "second"].map(|name| hollow(name, 250));
    let mut layout = Layout::new(&victim.path("layout"));
    layout.set_layers(&archives.each_ref().map(|archive| gzip(archive)), &archives);
    let place = format!("oci:{}", text(&layout.dir));
    let said = victim.run(&["pull", "-q", "--name", "holes", &place]);
    let bound = "the layers of the image claim more than 256 GiB of holes together";
    said.is_refusal_with(&[text(&layout.dir), "entry `", bound]).unwrap();
    victim.assert_untouched("holes", &before);
}
