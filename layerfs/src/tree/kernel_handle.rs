//! Owns the form of the kernel's handle of a lower object: the name, in hexadecimal, of an entry of its index.

/// A handle as the kernel's overlayfs stores it (`struct ovl_fb`): version 0, a magic byte, length, flags, the type of the
/// handle, the UUID of its file system (zeros where `uuid=off`), and the handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelHandle {
    /// The file system; zeros where it was not to be said.
    pub filesystem: [u8; 16],
    /// The type that the file system gave it.
    pub kind: u8,
    /// The handle.
    pub handle: Vec<u8>,
}

const VERSION: u8 = 0;
const MAGIC: u8 = 0xfb;
const HEAD_BYTES: usize = 21;

impl KernelHandle {
    /// Reads the name of an entry; `None` where it is none of a handle that this machine can open.
    pub fn from_name(name: &[u8]) -> Option<KernelHandle> {
        if !name.len().is_multiple_of(2) {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let pairs = name.chunks_exact(2);
        let bytes: Vec<u8> = pairs
            .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
            .collect::<Option<_>>()?;
        let (head, handle) = bytes.split_at_checked(HEAD_BYTES)?;
        match head {
            [VERSION, MAGIC, len, _flags, kind, filesystem @ ..]
                if usize::from(*len) == bytes.len() =>
            {
                let filesystem = filesystem.try_into().ok()?;
                Some(KernelHandle { filesystem, kind: *kind, handle: handle.to_vec() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_kernels_index_is_read_and_others_are_not() {
        let name = b"00fb21000118c961ff6f1a43fab8dac9215c4f9a89ae9d3caa2492131400000000";
        let read = KernelHandle::from_name(name).unwrap();
        assert_eq!((read.kind, read.handle.len(), read.filesystem[0]), (1, 12, 0x18));
        for bad in [&b"#1"[..], b"", b"00", &name[2..], &name[..64], b"zz"] {
            assert_eq!(KernelHandle::from_name(bad), None, "{}", bad.escape_ascii());
        }
    }
}
