//! The header of one entry of an archive, as the tests write archives by hand: nothing is refused.

/// One block: the name, the type byte and the mode, the size as its field has it, and further fields by where they begin. A
/// name of more than 100 bytes is cut.
pub fn tar_header(
    name: &[u8],
    (kind, mode): (u8, u32),
    size: &[u8],
    more: &[(usize, &[u8])],
) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, size);
    put(136, b"14000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    more.iter().for_each(|(at, bytes)| put(*at, bytes));
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The field of a size that octal digits can hold.
pub fn octal(size: usize) -> [u8; 11] {
    let digits = format!("{size:011o}").into_bytes();
    digits.try_into().unwrap_or_else(|digits| panic!("a size of more digits: {digits:?}"))
}
