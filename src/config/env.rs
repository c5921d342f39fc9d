//! The world outside a configuration file: environment variables and other files.

use std::io::{self, Read as _};
use std::path::Path;

use crate::upstream::tls;

/// What reading a configuration may ask of the machine it runs on.
pub trait Env: Send + Sync {
    /// The value of an environment variable, or None if it is not set.
    fn variable(&self, name: &str) -> Option<String>;
    /// The contents of a file, of which at most `limit + 1` bytes are read: more than `limit` means too long.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// The names in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether there is a folder at a path; why not, if there is none.
    fn folder(&self, path: &Path) -> io::Result<()>;
    /// Whether there are authorities here to verify servers against; why not, if there are none.
    fn authorities(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The machine itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Env for System {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match std::fs::metadata(path)?.is_dir() {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    }

    fn authorities(&self) -> Result<(), String> {
        tls::system_authorities().map(drop).map_err(str::to_owned)
    }
}

/// No machine at all: no variable is set and no file is there. For texts that must stand on their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Env for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn folder(&self, _: &Path) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// Why there is no folder, in words.
pub fn no_folder(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        io::ErrorKind::NotADirectory => "it is a file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_reads_no_more_than_it_may_and_lists_names() {
        let folder = std::env::temp_dir().join(format!("foreland-env-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), "12345678").unwrap();
        assert_eq!(System.read(&folder.join("a.yaml"), 100).unwrap(), b"12345678");
        assert_eq!(System.read(&folder.join("a.yaml"), 4).unwrap().len(), 5);
        assert_eq!(System.list(&folder).unwrap(), ["a.yaml"]);
        assert!(System.read(&folder, 4).is_err() && System.list(&folder.join("gone")).is_err());
        assert!(System.folder(&folder).is_ok() && System.folder(Path::new("")).is_ok());
        let why = |path: &str| no_folder(&System.folder(&folder.join(path)).unwrap_err());
        assert_eq!((why("gone"), why("a.yaml")), ("there is no such folder".into(), "it is a file".into()));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(System.list(Path::new("")).unwrap().contains(&"Cargo.toml".to_owned()));
        assert_eq!(System.variable("FORELAND_SURELY_NOT_SET"), None);
    }
}
