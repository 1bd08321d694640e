//! Base62 of fixed width, most significant digit first.
//!
//! The alphabet is in ASCII order, so that the order of the texts is the order of the numbers.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 62^10, the largest power that 64 bits hold.
const TEN_DIGITS: u128 = 839_299_365_868_340_224;

/// Writes the big-endian number `bytes` in `width` digits; the width must hold it.
pub(crate) fn encode(bytes: &[u8], width: usize) -> String {
    if bytes.len() <= size_of::<u128>() { encode_small(bytes, width) } else { encode_large(bytes, width) }
}

/// Ten digits at a time: every request makes an id.
fn encode_small(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let mut digits = vec![b'0'; width];
    for part in digits.rchunks_mut(10) {
        let mut low = u64::try_from(number % TEN_DIGITS).unwrap_or(0);
        number /= TEN_DIGITS;
        for digit in part.iter_mut().rev() {
            *digit = digit_of(low % 62);
            low /= 62;
        }
    }
    digits.into_iter().map(char::from).collect()
}

/// Reads digits into a number; what it cannot hold, and what is no digit, is left out.
pub(crate) fn decode(digits: &str) -> u128 {
    digits.bytes().fold(0_u128, |number, digit| {
        let value = ALPHABET.iter().position(|letter| *letter == digit).unwrap_or(0);
        number.wrapping_mul(62).wrapping_add(value as u128)
    })
}

fn digit_of(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|value| ALPHABET.get(value).copied()).unwrap_or(b'0')
}

fn encode_large(bytes: &[u8], width: usize) -> String {
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
        *digit = digit_of(u64::from(remainder));
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
    fn both_ways_write_the_same() {
        for number in [0, 1, 61, 62, u128::from(u64::MAX), TEN_DIGITS - 1, TEN_DIGITS, u128::MAX] {
            let bytes = number.to_be_bytes();
            assert_eq!(encode_small(&bytes, 22), encode_large(&bytes, 22), "{number}");
        }
    }

    #[test]
    fn full_width_holds_the_largest_number() {
        assert_eq!(encode(&[255; 4], 6), "4gfFC3");
        assert_eq!(encode(&[0; 4], 6), "000000");
        assert_eq!(encode(&[255; 32], 43).len(), 43);
    }
}
