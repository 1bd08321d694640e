//! Chance that comes again: splitmix64.

use std::fmt::Write as _;

use domain::ids::IdChance;

/// A row of numbers that follows from the first.
pub struct Chance(u64);

impl Chance {
    /// The row that follows from a number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    /// A number below another.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A place in a list of so many.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of a list.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.place(list.len())]
    }

    /// What an id takes.
    pub fn id(&mut self) -> IdChance {
        let mut bytes = IdChance::default();
        let numbers = [self.next().to_be_bytes(), self.next().to_be_bytes()].concat();
        for (byte, value) in bytes.iter_mut().zip(numbers) {
            *byte = value;
        }
        bytes
    }

    /// So many hexadecimal digits, a multiple of sixteen.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits);
        while text.len() < digits {
            // Writing to a String cannot fail.
            let _ = write!(text, "{:016x}", self.next());
        }
        text
    }
}
