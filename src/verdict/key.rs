//! The identity of a cached resource: framed bytes compared in full, and their hash.

use smallvec::SmallVec;

/// A cache key. Two keys are equal only if every byte is; the hash only finds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 128-bit hash of `bytes`, seeded per store.
    pub hash: u128,
    /// Framed components; see `cache::key`.
    pub bytes: SmallVec<[u8; 160]>,
}
