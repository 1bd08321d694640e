//! The master key: 32 bytes that seal every secret in the database.

use std::{io::Write as _, path::Path};

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ops::ports::Entropy;
use zeroize::Zeroizing;

use super::problem::Fault;

/// Bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;

/// The master key, wiped from memory when dropped. It has neither Debug nor Clone.
pub struct MasterKeyBytes(Zeroizing<[u8; MASTER_KEY_BYTES]>);

impl MasterKeyBytes {
    /// Takes 32 bytes into custody.
    pub fn new(bytes: [u8; MASTER_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Lets the bytes out. Every call is a place to justify.
    pub fn expose(&self) -> &[u8; MASTER_KEY_BYTES] {
        &self.0
    }

    /// Makes a new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key in the form in which it is written down.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(self.0.as_slice()))
    }

    /// Writes the key into a new file that only its owner may read.
    ///
    /// # Errors
    /// The file exists already, or cannot be written.
    pub fn write_new(&self, path: &Path) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        file.write_all(self.to_base64().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Reads a key in base64 (either alphabet, padded or not) or in 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let fix = "make one with `keyward master-key generate`; write nothing else around it";
        let fault = |expected: String| Fault::new(expected, fix);
        let bytes = Zeroizing::new(decode(text.trim()).ok_or_else(|| {
            fault(format!("{MASTER_KEY_BYTES} bytes in base64, such as 44 characters that end in ="))
        })?);
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        if bytes.len() != MASTER_KEY_BYTES {
            return Err(fault(format!("{MASTER_KEY_BYTES} bytes in base64, not {}", bytes.len())));
        }
        key.copy_from_slice(&bytes);
        let distinct = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
        // 32 random bytes have 28 to 32 different ones; fewer than 16 do not happen by chance.
        if distinct < 16 || bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(fault("random bytes; these can be guessed".to_owned()));
        }
        Ok(Self(key))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() == 2 * MASTER_KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits = (0..MASTER_KEY_BYTES).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok());
        return digits.collect();
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE].iter().find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}

/// Whether anybody but the owner may read a file, and what to run about it.
#[cfg(unix)]
pub(super) fn open_to_others(path: &Path) -> Option<Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        Fault::new(
            format!("a file that only its owner may read (mode 600, or 400), not mode {mode:o}"),
            format!("chmod 600 {} (in Kubernetes: defaultMode: 0400 of the secret's volume)", path.display()),
        )
    })
}

/// Whether anybody but the owner may read a file: not known on this system.
#[cfg(not(unix))]
pub(super) fn open_to_others(_path: &Path) -> Option<Fault> {
    None
}
