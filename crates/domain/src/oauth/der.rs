//! The three public keys that a PEM file may hold, out of their DER (RFC 5280 4.1, X.690 10).
//!
//! Only what is written in the one way that DER allows is read.

use super::Material;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The key in a `SubjectPublicKeyInfo`; `None` when it is of another kind or not whole.
pub(super) fn public_key(der: &[u8]) -> Option<Material> {
    let mut outer = Reader(der);
    let mut info = Reader(outer.take(SEQUENCE)?);
    let mut algorithm = Reader(info.take(SEQUENCE)?);
    let [0, key @ ..] = info.take(BIT_STRING)? else { return None };
    (outer.is_empty() && info.is_empty()).then_some(())?;
    match algorithm.take(OBJECT)? {
        RSA => {
            (algorithm.take(NULL)?.is_empty() && algorithm.is_empty()).then_some(())?;
            let mut outer = Reader(key);
            let mut pair = Reader(outer.take(SEQUENCE)?);
            let (n, e) = (pair.take(INTEGER)?, pair.take(INTEGER)?);
            (outer.is_empty() && pair.is_empty()).then_some(())?;
            Some(Material::Rsa { n: n.to_vec(), e: e.to_vec() })
        }
        EC => {
            (algorithm.take(OBJECT)? == P256 && algorithm.is_empty()).then_some(())?;
            let [4, point @ ..] = key else { return None };
            let (x, y) = point.split_at_checked(32)?;
            Some(Material::P256 { x: x.try_into().ok()?, y: y.try_into().ok()? })
        }
        ED25519 => {
            algorithm.is_empty().then_some(())?;
            Some(Material::Ed25519 { x: key.try_into().ok()? })
        }
        _ => None,
    }
}

/// Elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, which must have a tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        (*found == tag).then_some(())?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => {
                let (length, rest) = rest.split_first()?;
                (*length >= 0x80).then_some((usize::from(*length), rest))?
            }
            0x82 => {
                let (length, rest) = rest.split_at_checked(2)?;
                let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
                (length >= 0x100).then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }
}
