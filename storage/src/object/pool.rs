//! Buffers of one block, used again.
//!
//! A load in a full memory tier frees as many blocks as it takes. Left to the system's allocator, each
//! would go back to the kernel and come again as zeroed pages, which costs more than reading and checking it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::checksums::BLOCK_BYTES;

/// Most buffers that lie idle: 16 MiB, four chunks. A load needs one chunk's worth while another one is freed.
const IDLE_MAX: usize = 64;

/// Idle buffers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Locked to push or pop, never across an await or a read.
    idle: Mutex<Vec<Vec<u8>>>,
}

/// A block whose buffer goes back when the last slice of it is dropped.
struct Pooled {
    buffer: Vec<u8>,
    pool: Arc<Pool>,
}

impl Pool {
    /// An empty buffer with room for `len` bytes.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        let idle = if len as u64 == BLOCK_BYTES { self.idle().pop() } else { None };
        idle.unwrap_or_else(|| Vec::with_capacity(len))
    }

    /// The buffer's bytes, shared. Short ones, of small objects and of ends, are not kept.
    pub(super) fn share(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        if buffer.capacity() as u64 != BLOCK_BYTES {
            return buffer.into();
        }
        Bytes::from_owner(Pooled { buffer, pool: Arc::clone(self) })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut idle = self.pool.idle();
        if idle.len() < IDLE_MAX {
            idle.push(buffer);
        }
    }
}
