//! Files of a folder: which one a path means, what is known of it, and its bytes.
//!
//! `name` turns a path into a name in one chain that nothing may shorten; `beneath` opens names without leaving the
//! folder, with `walk` where the kernel does not do it; `folder` finds what a name stands for, its precompressed siblings,
//! index and fallback; `file` reads one; `stamp` tells whether a file is still the one that was read; `media` knows media
//! types and lifetimes; `listing` shows what is in a folder.
//! Invariants: nothing outside the root is ever opened; nothing but regular files is read. It deliberately knows no
//! cache, no request and no response.

mod beneath;
mod file;
#[cfg(test)]
mod fixture;
mod folder;
pub mod listing;
mod media;
mod name;
mod settings;
mod stamp;
#[cfg(test)]
mod tests;
mod walk;

pub use file::File;
pub use folder::{Folder, Found, Opened, Sibling};
pub use listing::Item;
pub use name::{Name, Refused};
pub use settings::{Lifetime, Settings, Symlinks};
