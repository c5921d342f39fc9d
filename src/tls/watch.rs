//! Looks at certificate files again and again, and serves what is new in them without a reload.
//!
//! A pair that is half written, unreadable or broken changes nothing: the certificate before it stays, the mistake is
//! told once, and every look tries again until the pair is sound.

use super::{Certificate, CertificateError, Pair, Part, Terminator};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file of a certificate or key: room for a long chain.
pub const MOST: usize = 1 << 20;

/// A pair of files, and what is known of it.
pub struct Watched {
    pair: Pair,
    /// How the files looked when the certificate was read; `None` before the first look.
    seen: Option<(Look, Look)>,
    /// What was wrong at the last look.
    complaint: Option<String>,
}

/// What a look found out.
#[derive(Debug)]
pub enum News {
    /// What is in the files cannot be served.
    Refused(Refused),
    /// A new certificate is served.
    Swapped {
        /// The file of its chain.
        file: PathBuf,
        /// The certificate.
        certificate: Arc<Certificate>,
    },
}

/// Why what is in two files cannot be served.
#[derive(Debug)]
pub struct Refused {
    file: PathBuf,
    why: String,
}

/// How a file looks from outside. A link that points elsewhere makes it look different, which is how Kubernetes
/// changes a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    pub(super) fn new(pair: Pair) -> Self {
        Self { pair, seen: None, complaint: None }
    }

    /// Reads the pair again if it looks different. `None`: nothing to tell.
    fn look(&mut self) -> Option<News> {
        let look = (Look::at(&self.pair.cert), Look::at(&self.pair.key));
        let seen = match look {
            // Looked at before it is read: what changes meanwhile looks different at the next look.
            (Ok(cert), Ok(key)) => Some((cert, key)),
            _ => None,
        };
        if seen.is_some() && seen == self.seen {
            return None;
        }
        match read(&self.pair.cert, &self.pair.key) {
            Ok(certificate) => {
                (self.seen, self.complaint) = (seen, None);
                if certificate == *self.pair.certificate {
                    return None;
                }
                self.pair.certificate = Arc::new(certificate);
                Some(News::Swapped {
                    file: self.pair.cert.clone(),
                    certificate: self.pair.certificate.clone(),
                })
            }
            Err(refused) => {
                // Not `seen`: it is tried again at every look, and told again only if it is another mistake.
                self.seen = None;
                let told = refused.to_string();
                let again = self.complaint.replace(told.clone()).is_some_and(|before| before == told);
                (!again).then_some(News::Refused(refused))
            }
        }
    }
}

impl Terminator {
    /// Looks at every file once, and serves what is new. It reads files: not for a thread that serves.
    pub fn look(&self) -> Vec<News> {
        let mut watched = self.watched.lock();
        let news: Vec<News> = watched.iter_mut().filter_map(Watched::look).collect();
        if news.iter().any(|news| matches!(news, News::Swapped { .. })) {
            self.serve(watched.iter().map(|watched| watched.pair.certificate.clone()).collect());
        }
        news
    }
}

impl Look {
    fn at(file: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(file)?))
    }

    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn read(cert: &Path, key: &Path) -> Result<Certificate, Refused> {
    let contents = |file: &Path| {
        content(file).map_err(|error| Refused { file: file.to_owned(), why: error.to_string() })
    };
    let (chain, private) = (contents(cert)?, contents(key)?);
    Certificate::read(&chain, &private).map_err(|error: CertificateError| {
        let file = if error.part() == Part::Key { key } else { cert };
        Refused { file: file.to_owned(), why: error.to_string() }
    })
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody to write to it.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut contents = Vec::new();
    File::open(file)?.take(MOST as u64 + 1).read_to_end(&mut contents)?;
    if contents.len() > MOST {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(contents)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fixture::{Folder, Kind, Made, made};
    use crate::tls::{Settings, Tickets, Version};

    fn watching(folder: &Folder, made: &Made) -> Terminator {
        let (cert, key) = (folder.write("a.pem", &made.chain), folder.write("a.key", &made.key));
        let certificates = vec![Pair { cert, key, certificate: made.certificate() }];
        let settings = Settings { certificates, min_version: Version::Tls12 };
        Terminator::new(&settings, &Tickets::new().unwrap()).unwrap()
    }

    fn told(terminator: &Terminator) -> Vec<String> {
        let told = |news| match news {
            News::Refused(refused) => {
                let text = refused.to_string();
                text.rsplit_once('/').map_or(text.clone(), |(_, text)| text.to_owned())
            }
            News::Swapped { certificate, .. } => certificate.to_string(),
        };
        terminator.look().into_iter().map(told).collect()
    }

    fn served(terminator: &Terminator) -> String {
        terminator.certificates().iter().map(|certificate| certificate.to_string()).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_new_pair_is_served_and_told_once() {
        let (folder, old, new) = (Folder::new(), made(Kind::Ecdsa, &["old"]), made(Kind::Ecdsa, &["new"]));
        let terminator = watching(&folder, &old);
        assert_eq!(told(&terminator), NOTHING);
        assert_eq!(told(&terminator), NOTHING);
        folder.write("a.pem", &new.chain);
        folder.write("a.key", &new.key);
        assert_eq!(told(&terminator), ["new"]);
        assert_eq!(told(&terminator), NOTHING);
        assert_eq!(served(&terminator), "new");
    }

    #[test]
    fn what_changed_before_the_first_look_is_found() {
        let (folder, old, new) = (Folder::new(), made(Kind::Ecdsa, &["old"]), made(Kind::Ecdsa, &["new"]));
        let terminator = watching(&folder, &old);
        folder.write("a.pem", &new.chain);
        folder.write("a.key", &new.key);
        assert_eq!(told(&terminator), ["new"]);
    }

    #[test]
    fn half_a_change_keeps_the_old_one_and_is_told_once() {
        let (folder, old, new) = (Folder::new(), made(Kind::Ecdsa, &["old"]), made(Kind::Ecdsa, &["new"]));
        let terminator = watching(&folder, &old);
        folder.write("a.pem", &new.chain);
        assert_eq!(told(&terminator), ["a.key: the key in it does not belong to the certificate"]);
        assert_eq!(told(&terminator), NOTHING);
        folder.write("a.key", &new.key[..new.key.len() - 30]);
        assert_eq!(
            told(&terminator),
            ["a.key: it is no sound PEM: it ends before `-----END PRIVATE KEY-----`"]
        );
        std::fs::remove_file(folder.path().join("a.key")).unwrap();
        assert!(told(&terminator)[0].starts_with("a.key: "), "it is not said that the file is gone");
        assert_eq!(told(&terminator), NOTHING);
        assert_eq!(served(&terminator), "old");
        folder.write("a.key", &new.key);
        assert_eq!(told(&terminator), ["new"]);
        assert_eq!(served(&terminator), "new");
    }

    #[test]
    fn files_behind_a_link_that_moves_are_followed() {
        let (folder, old, new) = (Folder::new(), made(Kind::Ecdsa, &["old"]), made(Kind::Ecdsa, &["new"]));
        // As Kubernetes mounts a secret: files are links into `..data`, which is a link to a folder.
        for (name, made) in [("1", &old), ("2", &new)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            folder.write(&format!("{name}/tls.crt"), &made.chain);
            folder.write(&format!("{name}/tls.key"), &made.key);
        }
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        link("1", "data");
        link("data/tls.crt", "tls.crt");
        link("data/tls.key", "tls.key");
        let pair = Pair {
            cert: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
            certificate: old.certificate(),
        };
        let settings = Settings { certificates: vec![pair], min_version: Version::Tls13 };
        let terminator = Terminator::new(&settings, &Tickets::new().unwrap()).unwrap();
        assert_eq!(told(&terminator), NOTHING);
        link("2", "data2");
        std::fs::rename(folder.path().join("data2"), folder.path().join("data")).unwrap();
        assert_eq!(told(&terminator), ["new"]);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let (folder, old) = (Folder::new(), made(Kind::Ecdsa, &["old"]));
        let terminator = watching(&folder, &old);
        assert_eq!(told(&terminator), NOTHING);
        std::fs::remove_file(folder.path().join("a.key")).unwrap();
        std::fs::create_dir(folder.path().join("a.key")).unwrap();
        assert_eq!(told(&terminator), ["a.key: it is no file"]);
        assert_eq!(served(&terminator), "old");
    }
}
