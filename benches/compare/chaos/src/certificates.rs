//! A certificate for each of many names, written to files, and written again while the files are in use.

use crate::proxy::Site;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Of so many names one is a wildcard.
const WILDCARDS: usize = 5;

pub struct Certificates {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    names: Vec<String>,
    generation: usize,
    /// By the certificate: whose it is, and of which generation.
    known: HashMap<Vec<u8>, (usize, usize)>,
}

impl Certificates {
    /// Writes the first generation.
    pub fn new(folder: &Path, count: usize) -> Result<Self, String> {
        let key = KeyPair::generate().map_err(text)?;
        let mut params = CertificateParams::new(vec![]).map_err(text)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "chaos");
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(text)?;
        let name = |n| if n % WILDCARDS == 0 { format!("*.w{n}.test") } else { format!("site{n}.test") };
        let names = (0..count).map(name).collect();
        let (folder, known) = (folder.to_owned(), HashMap::new());
        let mut certificates = Self { folder, issuer, names, generation: 0, known };
        (0..certificates.next_generation()).try_for_each(|n| certificates.renew(n))?;
        Ok(certificates)
    }

    pub fn authority(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    pub fn sites(&self) -> Vec<Site> {
        let site = |(n, name): (usize, &String)| Site { name: name.clone(), file: format!("site{n}") };
        self.names.iter().enumerate().map(site).collect()
    }

    /// What clients ask for: names that the certificates are for, some by a wildcard.
    pub fn hosts(&self) -> Vec<String> {
        self.names.iter().map(|name| name.replace('*', "www")).collect()
    }

    /// From here on certificates are of a new generation; says how many there are.
    pub fn next_generation(&mut self) -> usize {
        self.generation += 1;
        self.names.len()
    }

    /// Writes a new certificate with a new key, in every other generation by renaming files and in the others into
    /// them: for a moment a key does not fit its certificate, or a file is half written.
    pub fn renew(&mut self, n: usize) -> Result<(), String> {
        let name = &self.names[n];
        let key = KeyPair::generate().map_err(text)?;
        let mut params = CertificateParams::new(vec![name.clone()]).map_err(text)?;
        params.distinguished_name.push(DnType::CommonName, format!("{name}, generation {}", self.generation));
        let certificate = params.signed_by(&key, &self.issuer).map_err(text)?;
        self.known.insert(certificate.der().to_vec(), (n, self.generation));
        self.write(&format!("site{n}.pem"), &certificate.pem())?;
        self.write(&format!("site{n}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        let written = if self.generation.is_multiple_of(2) {
            std::fs::write(&path, text)
        } else {
            let aside = self.folder.join(format!("{name}.new"));
            std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, &path))
        };
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Whose certificate it is, and how many generations old.
    pub fn recognise(&self, certificate: &[u8]) -> Option<(usize, usize)> {
        self.known.get(certificate).map(|(n, generation)| (*n, self.generation - generation))
    }
}

fn text(error: rcgen::Error) -> String {
    error.to_string()
}
