//! The outermost structure of a signature file.

/// Whether the bytes are one OpenPGP packet with a signature and nothing else (RFC 9580, section 4.2). gpg itself passes
/// over what lies behind, and that would be published with it.
pub(super) fn is_one_signature_packet(bytes: &[u8]) -> bool {
    const SIGNATURE: u8 = 2;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
    let Some((first, rest)) = bytes.split_first() else {
        return false;
    };
    // Header and length of the body; a body of unknown length is no detached signature of gpg's.
    let (tag, header, length) = match (first >> 6, first & 3, rest) {
        (0b10, 0, [length, ..]) => ((first >> 2) & 15, 2, usize::from(*length)),
        (0b10, 1, [a, b, ..]) => ((first >> 2) & 15, 3, number(&[*a, *b])),
        (0b10, 2, [a, b, c, d, ..]) => ((first >> 2) & 15, 5, number(&[*a, *b, *c, *d])),
        (0b11, _, [length @ 0..192, ..]) => (first & 63, 2, usize::from(*length)),
        (0b11, _, [a @ 192..224, b, ..]) => (first & 63, 3, number(&[a - 192, *b]) + 192),
        (0b11, _, [255, a, b, c, d, ..]) => (first & 63, 6, number(&[*a, *b, *c, *d])),
        _ => return false,
    };
    tag == SIGNATURE && header + length == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_one_packet_and_nothing_else() {
        for good in [
            &[0x88, 1, 7][..],
            &[0x89, 0, 1, 7],
            &[0x8a, 0, 0, 0, 1, 7],
            &[0xc2, 1, 7],
            &[0xc2, 255, 0, 0, 0, 1, 7],
        ] {
            assert!(is_one_signature_packet(good), "{good:?}");
            assert!(!is_one_signature_packet(&[good, good].concat()), "{good:?} twice");
            assert!(!is_one_signature_packet(&good[..good.len() - 1]), "{good:?} cut off");
        }
        let long = [&[0xc2, 193, 0][..], &[7; 448]].concat();
        assert!(is_one_signature_packet(&long));
        // Nothing, a key, a body of unknown length, a partial one, text.
        for bad in [
            &b""[..],
            &[0x98, 1, 7],
            &[0x8b, 7],
            &[0xc2, 224, 7],
            b"-----BEGIN PGP SIGNATURE-----",
        ] {
            assert!(!is_one_signature_packet(bad), "{bad:?}");
        }
    }
}
