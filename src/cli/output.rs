//! Writes what a command has to say to standard output, which may be a pipe that nobody reads any more.

use super::exit;
use std::io::{ErrorKind, Write};

/// Writes it all. A reader that has left (`| head -1`) ends the command quietly; a full disk is an error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(exit::START.into());
        }
    }
}
