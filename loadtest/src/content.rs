//! Bytes described rather than stored: a layer of gigabytes costs a few words of memory.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256, Sha512};

/// How much is generated at a time while hashing.
const HASH_CHUNK: usize = 256 * 1024;

/// A sequence of bytes that any offset can be read from; equal descriptions give equal bytes.
#[derive(Clone, Debug)]
pub struct Content {
    segments: Arc<[Segment]>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Bytes),
    Noise { seed: u64, len: u64 },
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Segment::Literal(bytes) => bytes.len() as u64,
            Segment::Noise { len, .. } => *len,
        }
    }

    fn fill(&self, offset: u64, target: &mut [u8]) {
        match self {
            Segment::Literal(bytes) => {
                let start = usize::try_from(offset).expect("a literal fits in memory");
                target.copy_from_slice(&bytes[start..start + target.len()]);
            }
            Segment::Noise { seed, .. } => fill_noise(*seed, offset, target),
        }
    }
}

impl Content {
    /// The given bytes.
    pub fn literal(bytes: impl Into<Bytes>) -> Self {
        Self::from_segments(vec![Segment::Literal(bytes.into())])
    }

    /// `len` incompressible bytes, a pure function of `seed`.
    pub fn noise(seed: u64, len: u64) -> Self {
        Self::from_segments(vec![Segment::Noise { seed, len }])
    }

    /// The parts one after the other.
    pub fn concat(parts: impl IntoIterator<Item = Content>) -> Self {
        Self::from_segments(parts.into_iter().flat_map(|part| part.segments.to_vec()).collect())
    }

    /// A tar archive with one file of `len` incompressible bytes.
    pub fn tar(file_name: &str, seed: u64, len: u64) -> Self {
        let padding = usize::try_from(len.next_multiple_of(512) - len).expect("less than a block");
        Self::concat([
            Self::literal(tar_header(file_name, len)),
            Self::noise(seed, len),
            // The end of the archive is two empty blocks.
            Self::literal(vec![0; padding + 1024]),
        ])
    }

    fn from_segments(segments: Vec<Segment>) -> Self {
        let len = segments.iter().map(Segment::len).sum();
        Self { segments: segments.into(), len }
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At most `max` bytes from `offset` on; empty at and past the end.
    pub fn read(&self, offset: u64, max: usize) -> Bytes {
        let wanted = self.len.saturating_sub(offset).min(max as u64);
        let wanted = usize::try_from(wanted).expect("bounded by max");
        if let [Segment::Literal(bytes)] = &*self.segments
            && wanted > 0
        {
            let start = usize::try_from(offset).expect("a literal fits in memory");
            return bytes.slice(start..start + wanted);
        }
        let mut target = BytesMut::zeroed(wanted);
        self.fill(offset, &mut target);
        target.freeze()
    }

    /// All bytes at once; for contents that are known to be small.
    pub fn bytes(&self) -> Bytes {
        self.read(0, usize::try_from(self.len).expect("the caller knows that it is small"))
    }

    /// The SHA-256 digest, `sha256:<hex>`, computed by streaming.
    pub fn digest(&self) -> String {
        render("sha256", &self.hash::<Sha256>())
    }

    /// The SHA-512 digest, `sha512:<hex>`, computed by streaming.
    pub fn sha512(&self) -> String {
        render("sha512", &self.hash::<Sha512>())
    }

    fn hash<H: sha2::Digest>(&self) -> Vec<u8> {
        let mut hasher = H::new();
        let mut buffer = vec![0; HASH_CHUNK];
        let mut offset = 0;
        while offset < self.len {
            let take = HASH_CHUNK.min(usize::try_from(self.len - offset).unwrap_or(HASH_CHUNK));
            self.fill(offset, &mut buffer[..take]);
            hasher.update(&buffer[..take]);
            offset += take as u64;
        }
        hasher.finalize().to_vec()
    }

    fn fill(&self, offset: u64, target: &mut [u8]) {
        let (mut start_of_segment, mut offset, mut target) = (0, offset, target);
        for segment in self.segments.iter() {
            let end_of_segment = start_of_segment + segment.len();
            if offset < end_of_segment && !target.is_empty() {
                let available = usize::try_from(end_of_segment - offset).unwrap_or(usize::MAX);
                let (head, tail) = target.split_at_mut(available.min(target.len()));
                segment.fill(offset - start_of_segment, head);
                offset += head.len() as u64;
                target = tail;
            }
            start_of_segment = end_of_segment;
        }
    }
}

/// The SHA-256 digest of bytes in memory, `sha256:<hex>`.
pub fn digest_of(bytes: &[u8]) -> String {
    render("sha256", &Sha256::digest(bytes))
}

fn render(algorithm: &str, hash: &[u8]) -> String {
    let mut text = format!("{algorithm}:");
    for byte in hash {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// The finalizer of SplitMix64: every output bit depends on every input bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// SplitMix64 in counter mode: word `n` of the noise needs none of the words before it.
fn word(seed: u64, index: u64) -> [u8; 8] {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_le_bytes()
}

fn fill_noise(seed: u64, offset: u64, target: &mut [u8]) {
    let mut index = offset / 8;
    let skip = usize::try_from(offset % 8).expect("below eight");
    let (head, body) = target.split_at_mut(((8 - skip) % 8).min(target.len()));
    if !head.is_empty() {
        head.copy_from_slice(&word(seed, index)[skip..skip + head.len()]);
        index += 1;
    }
    for chunk in body.chunks_mut(8) {
        chunk.copy_from_slice(&word(seed, index)[..chunk.len()]);
        index += 1;
    }
}

/// One ustar header block for a regular file.
fn tar_header(file_name: &str, len: u64) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &file_name[..file_name.len().min(99)]);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{len:011o}\0"));
    put(136, "00000000000\0");
    // The checksum is taken with its own field full of spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let checksum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_agrees_with_the_whole() {
        let content = Content::concat([
            Content::literal("header"),
            Content::noise(7, 1000),
            Content::literal(""),
            Content::noise(8, 13),
            Content::literal("end"),
        ]);
        let whole = content.bytes();
        assert_eq!(content.len(), 1022);
        for offset in 0..content.len() {
            for max in [0, 1, 7, 8, 9, 64, 2000] {
                let start = usize::try_from(offset).unwrap();
                let end = (start + max).min(whole.len());
                assert_eq!(content.read(offset, max), whole[start..end], "{offset}+{max}");
            }
        }
        assert!(content.read(5000, 10).is_empty());
    }

    #[test]
    fn the_end_of_a_huge_layer_costs_no_more_than_its_beginning() {
        let content = Content::noise(3, u64::MAX);
        assert_eq!(content.read(u64::MAX - 4, 100).len(), 4);
        assert_ne!(content.read(u64::MAX / 2, 8), content.read(0, 8));
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let content = Content::noise(3, HASH_CHUNK as u64 * 2 + 5);
        assert_eq!(content.digest(), digest_of(&content.bytes()));
        assert_eq!(
            Content::literal("").digest(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_eq!(Content::noise(1, 64).bytes(), Content::noise(1, 64).bytes());
        assert_ne!(Content::noise(1, 64).bytes(), Content::noise(2, 64).bytes());
    }

    #[test]
    fn a_tar_is_whole_blocks() {
        for len in [0, 1, 511, 512, 513] {
            let tar = Content::tar("data", 1, len);
            assert_eq!(tar.len(), 512 + len.next_multiple_of(512) + 1024, "{len}");
        }
        assert_eq!(&Content::tar("data", 1, 9).read(257, 8)[..], b"ustar\x0000");
    }
}
