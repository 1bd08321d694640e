//! Base62 of fixed width, most significant digit first.
//!
//! The alphabet is in ASCII order, so that the order of the texts is the order of the numbers.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Writes the big-endian number `bytes` in `width` digits; the width must hold it.
pub(crate) fn encode(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            // A quotient of a value below 62 * 256 by 62 is below 256, the remainder below 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = ALPHABET.get(remainder as usize).copied().unwrap_or(b'0');
    }
    digits.into_iter().map(char::from).collect()
}

/// Whether every character is one of the alphabet's.
pub(crate) fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_texts_is_order_of_numbers() {
        let small = encode(&[0, 0, 1, 255], 6);
        let large = encode(&[0, 0, 2, 0], 6);
        assert!(small < large, "{small} {large}");
    }

    #[test]
    fn full_width_holds_the_largest_number() {
        assert_eq!(encode(&[255; 4], 6), "4gfFC3");
        assert_eq!(encode(&[0; 4], 6), "000000");
        assert_eq!(encode(&[255; 32], 43).len(), 43);
    }
}
