//! Where bytes are kept: the RAM tier and the fills that lead into it.
//!
//! `ram` holds finished objects within one byte `budget` over all its shards; `s3fifo` says which goes next, with
//! `order` as its queues and `ghost` as its memory of what went; `reservation` charges bytes that are still coming
//! in; `fill` is a body on its way that any number of clients read along. None of it knows HTTP or Pingora.

mod budget;
pub mod fill;
mod ghost;
mod order;
pub mod ram;
pub mod reservation;
mod s3fifo;
mod shard;
