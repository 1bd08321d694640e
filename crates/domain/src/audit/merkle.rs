//! The tree over the records (RFC 6962 2.1): its root, and proofs that one record is in it, or that one tree
//! is the beginning of another.
//!
//! Leaves are hashed behind a byte 0, inner nodes behind a byte 1. A leaf is the hash of a record in the chain,
//! which covers every field of it, its place and the record before. A [`Frontier`] is what has to be kept to
//! add leaves: the roots of the complete subtrees, one for each bit of the size. A proof names [`Stretch`]es of
//! leaves, and each of them falls into complete subtrees, so that a few hashes of stored nodes make any proof.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf(data: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(data).finalize().into()
}

/// The hash of a node above two others.
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree without leaves.
pub fn empty() -> Hash {
    Sha256::digest([]).into()
}

/// Reads 64 lower-case hexadecimal digits.
pub fn parse(text: &str) -> Option<Hash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut hash = [0; 32];
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

/// A complete subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// How far above the leaves its root is.
    pub level: u32,
    /// How many of its size stand before it.
    pub index: u64,
}

/// Leaves in a row that one hash of a proof stands for: from the first up to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first.
    pub from: u64,
    /// The first that is not in it any more.
    pub to: u64,
}

impl Stretch {
    /// The whole tree of a size.
    pub const fn whole(size: u64) -> Self {
        Self { from: 0, to: size }
    }

    /// The complete subtrees that it falls into, the largest first; [`join`] makes their roots into its hash.
    pub fn places(self) -> Vec<Place> {
        let mut places = Vec::new();
        let (mut from, mut left) = (self.from, self.to.saturating_sub(self.from));
        while left > 0 {
            let level = left.ilog2();
            places.push(Place { level, index: from >> level });
            from += 1 << level;
            left -= 1 << level;
        }
        places
    }
}

/// The hash over roots of complete subtrees that stand side by side, the largest first.
pub fn join(roots: &[Hash]) -> Hash {
    let Some((last, before)) = roots.split_last() else { return empty() };
    before.iter().rev().fold(*last, |right, left| node(left, &right))
}

/// A tree to which leaves are added at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// A tree of a size whose complete subtrees have these roots, the largest first; `None` when it has
    /// another number of them.
    pub fn of(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (u32::try_from(roots.len()).ok()? == size.count_ones()).then_some(Self { size, roots })
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its complete subtrees, the largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_seen(leaf, |_, _| {});
    }

    /// Adds a leaf and tells of each subtree that it completes, the leaf itself first.
    pub fn push_seen(&mut self, leaf: Hash, mut seen: impl FnMut(Place, &Hash)) {
        let (mut hash, mut level) = (leaf, 0);
        seen(Place { level, index: self.size }, &hash);
        while self.size >> level & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = node(&left, &hash);
            level += 1;
            seen(Place { level, index: self.size >> level }, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root.
    pub fn root(&self) -> Hash {
        join(&self.roots)
    }
}

/// The largest power of two that is smaller.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// What proves that a leaf is in a tree, from its sibling up (RFC 6962 2.1.1); `None` when it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Stretch>> {
    if index >= size {
        return None;
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(Stretch { from: middle, to });
            to = middle;
        } else {
            path.push(Stretch { from, to: middle });
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// What proves that a tree is the beginning of another (RFC 6962 2.1.2); `None` when it has more leaves, or
/// none.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Stretch>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut from, mut to) = (0, new);
    let mut path = Vec::new();
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(Stretch { from: middle, to });
            to = middle;
        } else {
            path.push(Stretch { from, to: middle });
            from = middle;
        }
    }
    // Who asks has the root of the old tree, when it is a subtree of its own.
    if from > 0 {
        path.push(Stretch { from, to });
    }
    path.reverse();
    Some(path)
}

/// Whether a proof leads from a leaf to a root (RFC 9162 2.1.3.2).
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node(step, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether a proof shows that an old tree is the beginning of a new one (RFC 9162 2.1.4.2).
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_hash = node(step, &old_hash);
            new_hash = node(step, &new_hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node(&new_hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex;

    /// The leaves of the test vectors of Certificate Transparency, and the roots of the trees over the first
    /// one, two, three … of them.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// MTH of RFC 6962 2.1, word for word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node(&naive(&many[..k]), &naive(&many[k..]))
            }
        }
    }

    /// PATH of RFC 6962 2.1.1, word for word.
    fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        if m < k {
            let mut path = naive_path(m, &leaves[..k]);
            path.push(naive(&leaves[k..]));
            path
        } else {
            let mut path = naive_path(m - k, &leaves[k..]);
            path.push(naive(&leaves[..k]));
            path
        }
    }

    /// SUBPROOF of RFC 6962 2.1.2, word for word.
    fn naive_subproof(m: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
        let n = leaves.len();
        if m == n {
            return if is_known { Vec::new() } else { vec![naive(leaves)] };
        }
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        if m <= k {
            let mut proof = naive_subproof(m, &leaves[..k], is_known);
            proof.push(naive(&leaves[k..]));
            proof
        } else {
            let mut proof = naive_subproof(m - k, &leaves[k..], false);
            proof.push(naive(&leaves[..k]));
            proof
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    /// The hashes of stretches from stored nodes only.
    fn hashes(stretches: &[Stretch], leaves: &[Hash]) -> Vec<Hash> {
        let mut nodes = std::collections::HashMap::new();
        let mut frontier = Frontier::default();
        for leaf in leaves {
            frontier.push_seen(*leaf, |place, hash| {
                nodes.insert(place, *hash);
            });
        }
        let of = |stretch: &Stretch| {
            let roots: Vec<Hash> = stretch.places().iter().map(|place| nodes[place]).collect();
            join(&roots)
        };
        stretches.iter().map(of).collect()
    }

    #[test]
    fn the_roots_are_those_of_the_known_vectors() {
        let mut frontier = Frontier::default();
        assert_eq!(hex(&frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (data, root) in LEAVES.iter().zip(ROOTS) {
            frontier.push(leaf(data));
            assert_eq!(hex(&frontier.root()), root, "{} leaves", frontier.size());
        }
    }

    #[test]
    fn a_hash_is_read_in_lower_case_only() {
        let hash = leaf(b"a");
        assert_eq!(parse(&hex(&hash)), Some(hash));
        assert_eq!(parse(&hex(&hash).to_uppercase()), None);
        for text in
            ["", "00", &hex(&hash)[1..], &format!("{}0", hex(&hash)), &"g".repeat(64), &"é".repeat(32)]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_proof_of_every_small_tree_is_that_of_the_rfc() {
        for size in 1..=40_u64 {
            let leaves = leaves(size);
            let root = naive(&leaves);
            for index in 0..size {
                let proof = hashes(&inclusion(index, size).unwrap(), &leaves);
                let at = usize::try_from(index).unwrap();
                assert_eq!(proof, naive_path(at, &leaves), "{index} of {size}");
                assert!(is_included(&leaves[at], index, size, &proof, &root));
            }
            for old in 1..=size {
                let proof = hashes(&consistency(old, size).unwrap(), &leaves);
                let until = usize::try_from(old).unwrap();
                assert_eq!(proof, naive_subproof(until, &leaves, true), "{old} of {size}");
                assert!(is_consistent((old, &naive(&leaves[..until])), (size, &root), &proof));
            }
            assert_eq!(inclusion(size, size), None);
            assert_eq!((consistency(0, size), consistency(size + 1, size)), (None, None));
        }
    }

    #[test]
    fn a_tree_goes_on_from_its_frontier() {
        let leaves = leaves(300);
        for cut in [0_u64, 1, 2, 3, 7, 8, 255, 256, 299] {
            let at = usize::try_from(cut).unwrap();
            let mut first = Frontier::default();
            leaves[..at].iter().for_each(|leaf| first.push(*leaf));
            let mut again = Frontier::of(cut, first.roots().to_vec()).unwrap();
            leaves[at..].iter().for_each(|leaf| again.push(*leaf));
            assert_eq!((again.size(), again.root()), (300, naive(&leaves)), "{cut}");
            assert_eq!(
                Frontier::of(cut + 1, first.roots().to_vec()).is_some(),
                cut.count_ones() == (cut + 1).count_ones()
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_not_the_proof_proves_nothing(
            size in 2..200_u64,
            index in 0..200_u64,
            flip in 0..2_000_usize,
            other in 0..200_u64,
        ) {
            let leaves = leaves(size);
            let (index, other) = (index % size, other % size);
            let at = usize::try_from(index).unwrap();
            let root = naive(&leaves);
            let proof = hashes(&inclusion(index, size).unwrap(), &leaves);
            prop_assert!(is_included(&leaves[at], index, size, &proof, &root));
            prop_assert_eq!(is_included(&leaves[at], other, size, &proof, &root), other == index);
            let mut bent = proof.clone();
            let step = flip % bent.len();
            bent[step][flip % 32] ^= 1;
            prop_assert!(!is_included(&leaves[at], index, size, &bent, &root));
            prop_assert!(!is_included(&leaves[at], index, size, &proof[1..], &root));
            bent = proof.clone();
            bent.push(root);
            prop_assert!(!is_included(&leaves[at], index, size, &bent, &root));
            prop_assert!(!is_included(&leaf(b"other"), index, size, &proof, &root));
        }

        #[test]
        fn a_tree_that_was_changed_is_not_the_beginning(size in 2..200_u64, old in 1..200_u64, changed in 0..200_u64) {
            let old = old % size + 1;
            let changed = usize::try_from(changed % old).unwrap();
            let until = usize::try_from(old).unwrap();
            let before = leaves(size);
            let mut after = before.clone();
            after[changed] = leaf(b"another");
            let proof = hashes(&consistency(old, size).unwrap(), &after);
            let (old_root, new_root) = (naive(&before[..until]), naive(&after));
            prop_assert!(!is_consistent((old, &old_root), (size, &new_root), &proof));
        }
    }
}
