//! The names by which a layer's archive says what it hides.

use super::error::EntryFault;
use crate::store::archive::Name;

/// What the last component of an entry's path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An ordinary name.
    Plain,
    /// `.wh..wh..opq`: the directory that holds it hides everything below.
    Opaque,
    /// `.wh.NAME`: NAME is hidden below.
    Whiteout(Name),
    /// `.wh..wh.*`: bookkeeping of AUFS, which no other system gives a meaning.
    Passed,
}

/// Reads a name as a layer's archive means it (OCI image specification, "Whiteouts").
pub(super) fn read(name: &Name) -> Result<Word, EntryFault> {
    let bytes = name.as_bytes();
    let Some(hidden) = bytes.strip_prefix(b".wh.") else { return Ok(Word::Plain) };
    if bytes == b".wh..wh..opq" {
        return Ok(Word::Opaque);
    }
    if hidden.starts_with(b".wh.") {
        return Ok(Word::Passed);
    }
    Name::new(hidden).map(Word::Whiteout).map_err(|_| EntryFault::WhiteoutName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_image_specification_says() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        assert_eq!(read(&name("file")), Ok(Word::Plain));
        assert_eq!(read(&name(".whatever")), Ok(Word::Plain));
        assert_eq!(read(&name(".wh..wh..opq")), Ok(Word::Opaque));
        assert_eq!(read(&name(".wh.file")), Ok(Word::Whiteout(name("file"))));
        assert_eq!(read(&name(".wh..hidden")), Ok(Word::Whiteout(name(".hidden"))));
        assert_eq!(read(&name(".wh..wh.plnk")), Ok(Word::Passed));
        for bad in [".wh.", ".wh..", ".wh..."] {
            assert_eq!(read(&name(bad)), Err(EntryFault::WhiteoutName), "{bad}");
        }
    }
}
