//! Compression: which responses are worth it, encoders that finish their stream, and a bound on what they cost.
//!
//! `settings` says what is compressed and how hard; `encoder` and `decoder` are streams of bytes in and bytes out;
//! `load` keeps the processor time of all of them within a share of the cores; `pool` makes what is stored, in the
//! background. Invariants: a stream that was finished decodes to what was put in, in every decoder; no call works on
//! more than a slice; nothing waits here. It deliberately knows no cache, no head of a response and no request.

mod decoder;
mod encoder;
mod load;
mod pool;
mod settings;
mod subject;

pub use decoder::{Corrupt, Decoder};
pub use encoder::{Encoder, Failed};
pub use load::{Load, Place, Shed, Stopwatch};
pub use pool::{Full, Pool};
pub use settings::{Effort, Levels, Settings};
pub use subject::{Came, coding, forbids};

#[cfg(test)]
mod tests;
