//! A file on its way to a client that is not kept in memory: read piece by piece, as fast as the client takes it.

use super::{at_the_disk, complain};
use crate::cache::object::StoredHead;
use crate::cache::store::fill::Piece;
use crate::files::File;
use crate::state::State;
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are read at once: few enough to take no time from others, enough to keep a disk busy.
const PIECE: u64 = 256 * 1024;

/// A file that is being read.
pub struct Reading {
    /// Its head.
    pub head: StoredHead,
    file: Arc<File>,
    length: u64,
    path: PathBuf,
    state: Arc<State>,
}

impl Reading {
    /// Of `length` bytes, as its head announces it. `path` is for complaints.
    pub fn new(state: Arc<State>, file: File, path: PathBuf, head: StoredHead, length: u64) -> Self {
        Self { head, file: Arc::new(file), length, path, state }
    }

    /// The bytes from `at` on, which moves on behind them. A file that has become shorter ends aborted.
    pub async fn next(&mut self, at: &mut u64, end: u64) -> Piece {
        let left = end.min(self.length).saturating_sub(*at);
        if left == 0 {
            return Piece::End;
        }
        match self.read(*at, left.min(PIECE) as usize).await {
            Ok(bytes) if bytes.is_empty() => {
                complain(&self.state, &self.path, &"it became shorter while it was sent")
            }
            Ok(bytes) => {
                *at += bytes.len() as u64;
                return Piece::Data(bytes);
            }
            Err(error) => complain(&self.state, &self.path, &error),
        }
        Piece::Aborted
    }

    /// What is in memory is read at once, the rest where nobody else waits for it.
    async fn read(&self, at: u64, most: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.file.read_now(at, most)? {
            return Ok(bytes);
        }
        let file = self.file.clone();
        at_the_disk(&self.state.disk, move || file.read(at, most)).await
    }
}
