//! The checksums beside a large object: a CRC-64/NVME per block, so that any block can be checked
//! without reading the rest.
//!
//! The block is [`BLOCK_BYTES`], a sixteenth of a chunk. Chunks are what is loaded and kept; blocks are
//! what is checked. With one checksum per chunk, a reader that finds no memory for a whole chunk would
//! have to read 4 MiB for every 256 KiB it may hand out. With one per block it reads what it hands out.
//! The price is 8 bytes per 256 KiB: 160 KiB for a 5 GiB blob.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "RSTDCRC\n"
//!      8      2  version, 1             all numbers little-endian
//!     10      2  algorithm, 1 = CRC-64/NVME
//!     12      4  bytes of a block
//!     16      8  bytes of the object
//!     24     8n  one checksum per block, the last block being what is left
//!  24+8n      8  checksum of everything before
//! ```

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use roadstead_proto::domain::limits::{BLOB_MAX_BYTES, CHUNK_BYTES};

/// Unit of checking.
pub(crate) const BLOCK_BYTES: u64 = 256 * 1024;
const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES), "a chunk is a whole number of blocks");

const MAGIC: &[u8; 8] = b"RSTDCRC\n";
const VERSION: u16 = 1;
const ALGORITHM: u16 = 1;
const HEADER_BYTES: usize = 24;
const TRAILER_BYTES: usize = 8;

/// Checksums of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksums {
    size: u64,
    blocks: Box<[u64]>,
}

/// Why stored checksums cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumsError {
    /// Not of the length that the object's size asks for.
    #[error("they have the wrong length")]
    Length,
    /// Not our format.
    #[error("they do not begin as ours do")]
    Magic,
    /// A format of another release.
    #[error("they are of version {0}, algorithm {1}, {2} bytes per block, which this release does not read")]
    Unsupported(u16, u16, u32),
    /// They are of an object of another size.
    #[error("they are of an object of {0} bytes")]
    Size(u64),
    /// Their own checksum does not match.
    #[error("their own checksum does not match")]
    Sum,
}

/// Bytes of the stored checksums of an object of `size` bytes.
pub(crate) fn encoded_len(size: u64) -> u64 {
    HEADER_BYTES as u64 + 8 * size.div_ceil(BLOCK_BYTES) + TRAILER_BYTES as u64
}

impl Checksums {
    /// Whether `block`, which begins at byte `at` of the object, is what was stored.
    pub(crate) fn matches(&self, at: u64, block: &[u8]) -> bool {
        debug_assert!(at.is_multiple_of(BLOCK_BYTES), "blocks begin at whole blocks");
        let expected = usize::try_from(at / BLOCK_BYTES).ok().and_then(|index| self.blocks.get(index));
        expected == Some(&crc_fast::checksum(Crc64Nvme, block))
    }

    /// Bytes of the object they are of.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.blocks)
    }

    /// As stored.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_BYTES + 8 * self.blocks.len() + TRAILER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&ALGORITHM.to_le_bytes());
        out.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        for sum in &self.blocks {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        let own = crc_fast::checksum(Crc64Nvme, &out);
        out.extend_from_slice(&own.to_le_bytes());
        out.into()
    }

    /// From their stored form, for an object of `size` bytes.
    ///
    /// The length is judged first, against what `size` asks for, so nothing that is stored decides how much is allocated.
    pub(crate) fn decode(stored: &[u8], size: u64) -> Result<Self, ChecksumsError> {
        if size > BLOB_MAX_BYTES || stored.len() as u64 != encoded_len(size) {
            return Err(ChecksumsError::Length);
        }
        let mut reader = Reader(stored);
        if reader.take() != Some(*MAGIC) {
            return Err(ChecksumsError::Magic);
        }
        let (body, own) = stored.split_at(stored.len() - TRAILER_BYTES);
        if own != crc_fast::checksum(Crc64Nvme, body).to_le_bytes() {
            return Err(ChecksumsError::Sum);
        }
        let version = u16::from_le_bytes(reader.take().ok_or(ChecksumsError::Length)?);
        let algorithm = u16::from_le_bytes(reader.take().ok_or(ChecksumsError::Length)?);
        let block_bytes = u32::from_le_bytes(reader.take().ok_or(ChecksumsError::Length)?);
        if (version, algorithm, u64::from(block_bytes)) != (VERSION, ALGORITHM, BLOCK_BYTES) {
            return Err(ChecksumsError::Unsupported(version, algorithm, block_bytes));
        }
        let of = u64::from_le_bytes(reader.take().ok_or(ChecksumsError::Length)?);
        if of != size {
            return Err(ChecksumsError::Size(of));
        }
        let (sums, _) = body[HEADER_BYTES..].as_chunks::<8>();
        Ok(Self { size, blocks: sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect() })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// Computes checksums of a body as it streams.
pub(crate) struct Summer {
    size: u64,
    blocks: Vec<u64>,
    open: crc_fast::Digest,
    filled: u64,
}

impl Summer {
    pub(crate) fn new() -> Self {
        Self { size: 0, blocks: Vec::new(), open: crc_fast::Digest::new(Crc64Nvme), filled: 0 }
    }

    /// Bytes seen so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes of the body.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = (BLOCK_BYTES - self.filled) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.update(now);
            self.filled += now.len() as u64;
            if self.filled == BLOCK_BYTES {
                self.close();
            }
            bytes = later;
        }
    }

    fn close(&mut self) {
        self.blocks.push(self.open.finalize_reset());
        self.filled = 0;
    }

    /// The checksums of everything seen.
    pub(crate) fn finish(mut self) -> Checksums {
        if self.filled > 0 {
            self.close();
        }
        Checksums { size: self.size, blocks: self.blocks.into() }
    }
}

impl std::fmt::Debug for Summer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summer").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use proptest::prelude::*;
    use roadstead_proto::domain::digest::encode_hex;

    fn of(body: &[u8]) -> Checksums {
        let mut summer = Summer::new();
        summer.update(body);
        summer.finish()
    }

    /// Persisted: these bytes may change only together with the version. Computed by another implementation
    /// (a bitwise one in Python) than the one under test.
    #[test]
    fn golden_bytes() {
        let sums = of(&[7; BLOCK_BYTES as usize + 1]);
        assert_eq!(
            encode_hex(&sums.encode()),
            "525354444352430a 0100 0100 00000400 0100040000000000 \
             1e60e48d5c5e57e7 2caaf3276ca40b9d a0f6528b03e62180"
                .replace(' ', ""),
        );
    }

    /// The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
    #[test]
    fn is_crc64_nvme() {
        assert_eq!(of(b"123456789").blocks[0], 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn refuses_every_flipped_bit_and_every_other_length() {
        let size = 2 * BLOCK_BYTES + 5;
        let stored = of(&vec![1; size as usize]).encode();
        assert!(Checksums::decode(&stored, size).is_ok());
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Checksums::decode(&damaged, size).is_err(), "bit {bit}");
        }
        for len in 0..stored.len() {
            assert_eq!(Checksums::decode(&stored[..len], size), Err(ChecksumsError::Length), "{len} bytes");
        }
        assert_eq!(Checksums::decode(&stored, size - 1), Err(ChecksumsError::Size(size)));
        assert_eq!(Checksums::decode(&stored, size + BLOCK_BYTES), Err(ChecksumsError::Length));
    }

    #[test]
    fn a_later_version_is_named() {
        let mut stored = of(&[]).encode().to_vec();
        stored[8] = 2;
        let end = stored.len() - TRAILER_BYTES;
        let own = crc_fast::checksum(Crc64Nvme, &stored[..end]);
        stored[end..].copy_from_slice(&own.to_le_bytes());
        assert_eq!(Checksums::decode(&stored, 0), Err(ChecksumsError::Unsupported(2, 1, BLOCK_BYTES as u32)));
    }

    proptest! {
        // Slow ones: a part of the usual number, however many that is.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(8)))]

        #[test]
        fn round_trips_and_pieces_do_not_matter(size in 0..3 * BLOCK_BYTES, cut in 0..3 * BLOCK_BYTES, seed: u8) {
            let body: Vec<u8> = (0..size).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let cut = cut.min(size) as usize;
            let mut pieces = Summer::new();
            pieces.update(&body[..cut]);
            pieces.update(&body[cut..]);
            prop_assert_eq!(pieces.size(), size);
            let sums = pieces.finish();
            prop_assert_eq!(&sums, &of(&body));
            prop_assert_eq!(sums.encode().len() as u64, encoded_len(size));
            prop_assert_eq!(&Checksums::decode(&sums.encode(), size).unwrap(), &sums);
            for (index, block) in body.chunks(BLOCK_BYTES as usize).enumerate() {
                prop_assert!(sums.matches(index as u64 * BLOCK_BYTES, block));
            }
            prop_assert!(!sums.matches(size.next_multiple_of(BLOCK_BYTES), b""));
        }

        /// A text with a sum of its own that is right can still be another text: what is accepted is what we would write.
        #[test]
        fn what_is_accepted_is_what_is_written(
            blocks in 0_u64..4,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            wanted in 0_u64..4,
        ) {
            let size = blocks * BLOCK_BYTES;
            let sums = Checksums { size, blocks: (0..blocks).collect() };
            let mut stored = sums.encode().to_vec();
            let end = stored.len() - TRAILER_BYTES;
            for (at, byte) in damage {
                stored[at.index(end)] = byte;
            }
            let own = crc_fast::checksum(Crc64Nvme, &stored[..end]);
            stored[end..].copy_from_slice(&own.to_le_bytes());
            let wanted = wanted * BLOCK_BYTES;
            if let Ok(read) = Checksums::decode(&stored, wanted) {
                prop_assert_eq!(read.size(), wanted);
                prop_assert_eq!(&read.encode()[..], &stored[..]);
            } else {
                prop_assert!(wanted != size || stored != sums.encode());
            }
        }

        #[test]
        fn never_panics(stored: Vec<u8>, size: u64) {
            prop_assert!(Checksums::decode(&stored, size).is_err());
        }
    }
}
