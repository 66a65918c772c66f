//! Content digests (OCI image spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

/// The registered digest algorithms (OCI image spec).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
    /// SHA-512: 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the hash in bytes.
    pub fn hash_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// `<algorithm>:<lower-case hex>`, kept as bytes. `Copy`, so that it travels without allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// A SHA-256 digest.
    Sha256([u8; 32]),
    /// A SHA-512 digest.
    Sha512([u8; 64]),
}

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:encoded` shape.
    #[error("not of the form <algorithm>:<hex>")]
    Shape,
    /// The algorithm is not one of the registered ones.
    #[error("unsupported digest algorithm, expected sha256 or sha512")]
    Algorithm,
    /// Wrong length, or characters other than lower-case hex.
    #[error("the encoded part is not lower-case hex of the algorithm's length")]
    Encoded,
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// Hash of `bytes` with `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::sha256(bytes),
            Algorithm::Sha512 => Self::Sha512(Sha512::digest(bytes).into()),
        }
    }

    /// A digest from its raw hash; `None` if the length does not fit the algorithm.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Sha256 => Self::Sha256(hash.try_into().ok()?),
            Algorithm::Sha512 => Self::Sha512(hash.try_into().ok()?),
        })
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw hash.
    pub fn hash(&self) -> &[u8] {
        match self {
            Self::Sha256(hash) => hash,
            Self::Sha512(hash) => hash,
        }
    }

    /// The part after the colon.
    pub fn hex(&self) -> String {
        encode_hex(self.hash())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, encoded) = text.split_once(':').ok_or(DigestError::Shape)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Algorithm),
        };
        let hash = decode_hex(encoded).ok_or(DigestError::Encoded)?;
        Self::from_hash(algorithm, &hash).ok_or(DigestError::Encoded)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes a body as it streams and gives the verdict at its end.
#[derive(Clone)]
pub struct Verifier {
    expected: Digest,
    state: HashState,
    len: u64,
}

#[derive(Clone)]
enum HashState {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// The bytes were not those the digest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("content has digest {actual}, expected {expected}")]
pub struct DigestMismatch {
    /// The digest that was asked for.
    pub expected: Digest,
    /// The digest of the bytes that came.
    pub actual: Digest,
}

impl Verifier {
    /// A verifier for a body that should have `expected` as its digest.
    pub fn new(expected: Digest) -> Self {
        let state = match expected.algorithm() {
            Algorithm::Sha256 => HashState::Sha256(Sha256::new()),
            Algorithm::Sha512 => HashState::Sha512(Sha512::new()),
        };
        Self { expected, state, len: 0 }
    }

    /// The next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match &mut self.state {
            HashState::Sha256(hash) => hash.update(bytes),
            HashState::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Bytes seen so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No byte was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The verdict over everything seen.
    pub fn finish(self) -> Result<(), Box<DigestMismatch>> {
        let actual = match self.state {
            HashState::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
            HashState::Sha512(hash) => Digest::Sha512(hash.finalize().into()),
        };
        if actual == self.expected { Ok(()) } else { Err(Box::new(DigestMismatch { expected: self.expected, actual })) }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).field("len", &self.len).finish()
    }
}

/// Lower-case hexadecimal.
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char])
        .collect()
}

/// Bytes of lower-case hexadecimal; `None` for anything else, upper case included.
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    fn nibble(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_what_it_displays() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest, Digest::sha256(b""));
        assert_eq!(digest.to_string(), EMPTY);
        let long = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(long.to_string().parse::<Digest>().unwrap(), long);
    }

    #[test]
    fn refuses_everything_else() {
        for (text, error) in [
            ("", DigestError::Shape),
            ("sha256", DigestError::Shape),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", DigestError::Algorithm),
            ("SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", DigestError::Algorithm),
            ("sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", DigestError::Encoded),
            ("sha256:e3b0", DigestError::Encoded),
            ("sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", DigestError::Encoded),
            ("sha256:é3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85", DigestError::Encoded),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }

    #[test]
    fn verdict_names_both_digests() {
        let mut verifier = Verifier::new(Digest::sha256(b"right"));
        verifier.update(b"wrong");
        let mismatch = verifier.finish().unwrap_err();
        assert_eq!(mismatch.actual, Digest::sha256(b"wrong"));
    }

    /// The grammar, read once more and otherwise: one algorithm, one colon, so many of these sixteen characters.
    fn is_digest(text: &str) -> bool {
        [("sha256:", 64), ("sha512:", 128)].iter().any(|(start, digits)| {
            let rest: Vec<char> = text.chars().skip(start.len()).collect();
            text.starts_with(start)
                && rest.len() == *digits
                && rest.iter().all(|digit| "0123456789abcdef".contains(*digit))
        })
    }

    /// Digests, and what is nearly one: of another length, case, algorithm, with a foreign character somewhere.
    fn nearly_a_digest() -> impl Strategy<Value = String> {
        let algorithm = prop_oneof![4 => "sha(256|512)", 1 => "(SHA256|md5|sha384|sha256:sha256|)"];
        let length = prop_oneof![Just(64), Just(128), 62_usize..67, 126_usize..131];
        let digits = length.prop_flat_map(|length| proptest::collection::vec("[0-9a-f]", length));
        let odd = proptest::option::of((any::<prop::sample::Index>(), "[A-FG-Z+ :.é\\x00]"));
        (algorithm, digits, odd).prop_map(|(algorithm, mut digits, odd)| {
            if let Some((at, odd)) = odd {
                *at.get_mut(&mut digits) = odd;
            }
            format!("{algorithm}:{}", digits.concat())
        })
    }

    proptest! {
        #[test]
        fn a_text_is_a_digest_exactly_where_the_grammar_says_so(text in prop_oneof![nearly_a_digest(), ".{0,200}"]) {
            let parsed = text.parse::<Digest>();
            prop_assert_eq!(parsed.is_ok(), is_digest(&text), "{}", text);
            if let Ok(digest) = parsed {
                prop_assert_eq!(digest.to_string(), text);
            }
        }

        #[test]
        fn hex_is_read_as_it_is_written(bytes: Vec<u8>, text in "[0-9a-fA-Fg]{0,9}") {
            prop_assert_eq!(decode_hex(&encode_hex(&bytes)), Some(bytes));
            if let Some(bytes) = decode_hex(&text) {
                prop_assert_eq!(encode_hex(&bytes), text);
            }
        }

        #[test]
        fn pieces_do_not_matter(body in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let cut = cut.min(body.len());
            let mut verifier = Verifier::new(Digest::sha256(&body));
            verifier.update(&body[..cut]);
            verifier.update(&body[cut..]);
            prop_assert!(verifier.finish().is_ok());
        }
    }
}
