//! Owns the marks that are damaged: where, how, and what is then said.

use super::kit::forms::Form;

/// Whether bytes that are not those of a sound mark may happen to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// A checksum stands in the way.
    Never,
    /// Some are.
    Perhaps,
}

/// One mark, damaged.
pub struct Bad {
    pub form: Form,
    /// The object in the upper; behind `index:`, `lower:` and `top:` elsewhere.
    pub at: &'static str,
    pub mark: &'static str,
    pub values: &'static [&'static [u8]],
    pub sound: Sound,
    /// The names in the union that can't be used then.
    pub shown: &'static [&'static str],
    /// What the error says of the mark, and of the object.
    pub word: &'static str,
    pub named: &'static str,
}

const LONG_NAME: &[u8] = &[b'n'; 256];
const OPAQUES: &[&[u8]] = &[b"", b"z", b"Y", b"yy", b"y\0", &[b'y'; 300]];
const REDIRECTS: &[&[u8]] = &[
    b"", b"/", b"//", b"..", b".", b"../x", b"/d/../x", b"/d/./e", b"/d//e", b"/d/", b"d/e",
    b"d\0e", b"/d\0", LONG_NAME,
];
const METACOPIES: &[&[u8]] =
    &[b"\x02", b"\x01", b"\0\x05\0\x01", b"\x01\x04\0\0", b"\0\x04\x01\0", b"\0\x04", &[0; 40]];
/// Of a file that has its data below by our mark, which is the second of those above.
const OTHER_METACOPIES: &[&[u8]] =
    &[b"\x02", b"\x03", b"\0\x05\0\x01", b"\x01\x04\0\0", b"\0\x04\x01\0", b"\0\x04", &[0; 40]];
const ORIGINS: &[&[u8]] = &[b"", b"x", b"\x02", &[1; 46], &[0; 42], &[0xff; 200]];
const COUNTS: &[&[u8]] = &[b"", b"U", b"X1", b"Ux", b"U-1", b"U 3", b"L99999999999", b"\xff\xff"];
const RECORDS: &[&[u8]] = &[
    b"",
    b"0",
    b"0:0",
    b"0:0:9",
    b"0:0:0644:door",
    b"0:0:0644:char-1",
    b"4294967296:0:0644",
    b"0:-1:0644",
    b"0:0:7777777",
    b"0:0:0644:file:x",
    b"\xff",
];

macro_rules! bad {
    ($form:ident $at:literal, $mark:literal, $values:ident, $sound:ident, $shown:expr, $word:literal, $named:literal) => {
        Bad {
            form: Form::$form,
            at: $at,
            mark: $mark,
            values: $values,
            sound: Sound::$sound,
            shown: $shown,
            word: $word,
            named: $named,
        }
    };
}

pub const UPPER: &[Bad] = &[
    bad!(Usual "swapdir", "trusted.overlay.opaque", OPAQUES, Perhaps, &["swapdir"], "opaque mark", "`swapdir`"),
    bad!(Usual "updir", "trusted.overlay.opaque", OPAQUES, Perhaps, &["updir"], "opaque mark", "`updir`"),
    bad!(Usual "moved", "trusted.overlay.redirect", REDIRECTS, Perhaps, &["moved"], "redirect", "`moved`"),
    bad!(Usual "upempty", "trusted.overlay.redirect", REDIRECTS, Perhaps, &["upempty"], "redirect", "`upempty`"),
    bad!(Usual "up2b", "trusted.overlay.metacopy", METACOPIES, Perhaps, &["up2b"], "", "`up2b`"),
    bad!(Usual "c", "trusted.overlay.layerfs.origin", ORIGINS, Never, &["c"], "origin mark", "`c`"),
    bad!(Usual "moved", "trusted.overlay.layerfs.origin", ORIGINS, Never, &["moved"], "origin mark", "`moved`"),
    bad!(Usual "k1", "trusted.overlay.layerfs.nlink", COUNTS, Perhaps, &["k1", "k2", "d/k3"], "link count mark", ""),
    bad!(Usual "index:", "trusted.overlay.layerfs.nlink", COUNTS, Perhaps, &["d/k3", "k1", "k2"], "link count mark", ""),
    bad!(Metacopy "small", "trusted.overlay.metacopy", METACOPIES, Perhaps, &["small"], "", "`small`"),
    bad!(Metacopy "d/kernels", "trusted.overlay.redirect", REDIRECTS, Perhaps, &["d/kernels"], "redirect", "`kernels`"),
    bad!(Partial "small", "trusted.overlay.metacopy", OTHER_METACOPIES, Perhaps, &["small"], "", "`small`"),
    bad!(Partial "d/e/f/other", "trusted.overlay.redirect", REDIRECTS, Perhaps, &["d/e/f/other"], "redirect", "`other`"),
    bad!(Partial "small", "trusted.overlay.layerfs.origin", ORIGINS, Never, &["small"], "origin mark", "`small`"),
    bad!(Partial "k1", "trusted.overlay.metacopy", OTHER_METACOPIES, Perhaps, &["k1", "k2", "d/k3"], "", ""),
    bad!(Recorded "c", "user.containers.override_stat", RECORDS, Perhaps, &["c"], "recorded owner", "`c`"),
    bad!(Recorded "updir", "user.containers.override_stat", RECORDS, Perhaps, &["updir"], "recorded owner", "`updir`"),
    bad!(Recorded "up2b", "user.containers.override_stat", RECORDS, Perhaps, &["up2b"], "recorded owner", "`up2b`"),
];

pub const LOWER: &[Bad] = &[
    bad!(Usual "top:d/e", "trusted.overlay.opaque", OPAQUES, Perhaps, &["d/e"], "opaque mark", "d/e"),
    bad!(Usual "top:d/e", "trusted.overlay.redirect", REDIRECTS, Perhaps, &["d/e"], "redirect", "d/e"),
    bad!(Usual "lower:small", "trusted.overlay.metacopy", METACOPIES, Perhaps, &["small"], "", "small"),
];
