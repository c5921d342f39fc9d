//! A certificate with its key, read from PEM: which names it is for, until when, and what is wrong with its files.

use super::provider;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject, SectionKind};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys, SignatureAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use xxhash_rust::xxh3::Xxh3;

/// A chain of certificates with the key of the first, fit to be served.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
    not_before: i64,
    not_after: i64,
    digest: u128,
}

/// What is wrong with a certificate or its key, in words that fit behind the name of the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A certificate cannot be read.
    #[error("certificate {0} in it is damaged: {1}")]
    BadCertificate(usize, String),
    /// The key is of no kind that can be served with.
    #[error("the private key in it cannot be used: {0}")]
    BadKey(String),
    /// The text of a file is not as it must be.
    #[error("it is no sound PEM: {1}")]
    BadPem(Part, String),
    /// The key is protected by a password, and there is nobody to type it.
    #[error("the key in it is encrypted; `openssl pkey -in KEY -out NEW` writes it without a password")]
    EncryptedKey,
    /// Certificate and key do not belong together.
    #[error("the key in it does not belong to the certificate")]
    Mismatch,
    /// The file of the certificate has none.
    #[error("there is no certificate (`-----BEGIN CERTIFICATE-----`) in it{0}")]
    NoCertificate(&'static str),
    /// The file of the key has none.
    #[error("there is no private key (`-----BEGIN PRIVATE KEY-----`) in it{0}")]
    NoKey(&'static str),
    /// Certificate and key do belong together, but for the order of the certificates.
    #[error("the key belongs to certificate {0} in it: the server's own certificate must come first")]
    Order(usize),
}

/// Which of the two files something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The chain.
    Certificate,
    /// The key.
    Key,
}

/// Whether a certificate is valid now. One that is not is served all the same: clients say more than no answer would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is no longer.
    Expired,
    /// It is not yet.
    Future,
    /// It is.
    Now,
}

impl Certificate {
    /// Makes one of the contents of its two files, which may be the same.
    ///
    /// # Errors
    /// What is wrong with one of them; [`CertificateError::part`] says with which.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = chain_in(chain)?;
        let key = key_in(key)?;
        let parsed =
            chain.iter().enumerate().map(|(at, der)| parse(at, der)).collect::<Result<Vec<_>, _>>()?;
        let Some(own) = parsed.first() else { return Err(CertificateError::NoCertificate("")) };
        let (names, addresses) = names(own);
        let validity = own.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let digest = digest(&chain, &key);
        let certified = Arc::new(certified(chain, key)?);
        Ok(Self { certified, names, addresses, not_before, not_after, digest })
    }

    /// What rustls serves.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The names that it is for, in lower case; `*.example.com` is one of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// What it is called where there is room for one name: the first that it is for.
    pub fn label(&self) -> String {
        let address = || self.addresses.first().map(IpAddr::to_string);
        self.names.first().map(|name| name.to_string()).or_else(address).unwrap_or_default()
    }

    /// The begin of its validity, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The end of its validity, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether it is valid now.
    pub fn validity(&self) -> Validity {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.validity_at(i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn validity_at(&self, now: i64) -> Validity {
        match now {
            now if now < self.not_before => Validity::Future,
            now if now > self.not_after => Validity::Expired,
            _ => Validity::Now,
        }
    }

    /// Whether no client ever gets this one beside the other, which comes first.
    pub fn is_covered_by(&self, other: &Self) -> bool {
        let same_kind = self.certified.key.algorithm() == other.certified.key.algorithm();
        same_kind && !self.names.is_empty() && self.names.iter().all(|name| other.names.contains(name))
    }

    /// Whether its signatures are made with an RSA key, which every client can verify and which cost most.
    pub fn is_rsa(&self) -> bool {
        self.certified.key.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Two are the same if they were made of the same certificates and the same key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Certificate {}

/// `a.example, *.b.example, 10.0.0.1`; of many names the first few.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let all = self.names.iter().map(|name| name.to_string());
        let all: Vec<String> = all.chain(self.addresses.iter().map(IpAddr::to_string)).collect();
        match all.get(..SHOWN) {
            _ if all.is_empty() => f.write_str("no name"),
            Some(first) if all.len() > SHOWN + 1 => {
                write!(f, "{} and {} more", first.join(", "), all.len() - SHOWN)
            }
            _ => f.write_str(&all.join(", ")),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({self})")
    }
}

impl CertificateError {
    /// Which file it is about.
    pub fn part(&self) -> Part {
        match self {
            Self::BadPem(part, _) => *part,
            Self::BadCertificate(..) | Self::NoCertificate(_) | Self::Order(_) => Part::Certificate,
            Self::BadKey(_) | Self::EncryptedKey | Self::Mismatch | Self::NoKey(_) => Part::Key,
        }
    }
}

fn chain_in(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
    let chain = chain.map_err(|error| bad_pem(Part::Certificate, &error))?;
    match chain.is_empty() {
        true if key_in(file).is_ok() => Err(CertificateError::NoCertificate(", but a private key")),
        true => Err(CertificateError::NoCertificate(if is_der(file) { DER } else { "" })),
        false => Ok(chain),
    }
}

fn key_in(file: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let says = |text: &str| memchr::memmem::find(file, text.as_bytes()).is_some();
    if says("-----BEGIN ENCRYPTED PRIVATE KEY-----") || says("Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::EncryptedKey);
    }
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(file);
    let key = sections.find_map(|section| match section {
        Ok((kind, der)) => PrivateKeyDer::from_pem(kind, der).map(Ok),
        Err(error) => Some(Err(bad_pem(Part::Key, &error))),
    });
    key.unwrap_or_else(|| {
        let certificate = says("-----BEGIN CERTIFICATE-----");
        let instead = if certificate { ", but a certificate" } else { "" };
        Err(CertificateError::NoKey(if is_der(file) { DER } else { instead }))
    })
}

/// What to do about a file in the other form.
const DER: &str =
    "; it looks like DER: `openssl x509 -inform der` or `openssl pkey -inform der` makes PEM of it";

/// Whether a file begins as certificates and keys in DER do: with a sequence of more than 255 bytes.
fn is_der(file: &[u8]) -> bool {
    file.starts_with(&[0x30, 0x82])
}

/// rustls prints bytes as numbers; this says the same in words.
fn bad_pem(part: Part, error: &pem::Error) -> CertificateError {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let why = match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("it ends before `-----END {}-----`", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => format!("`{}` does not end with `-----`", text(line)),
        pem::Error::Base64Decode(_) => "what is between BEGIN and END is not base64".to_owned(),
        other => other.to_string(),
    };
    CertificateError::BadPem(part, why)
}

fn parse<'d>(at: usize, der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(CertificateError::BadCertificate(at + 1, "something follows its end".to_owned())),
        Err(error) => Err(CertificateError::BadCertificate(at + 1, error.to_string())),
    }
}

/// RFC 9525 §6.3: names are those of the subjectAltName. The common name counts only where there is none, which is
/// what tools of old write, and clients of old read.
fn names(certificate: &X509Certificate<'_>) -> (Vec<Box<str>>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let Some(alternative) = alternative else {
        let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
        return (common.map(plain).into_iter().collect(), addresses);
    };
    for name in &alternative.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.push(plain(name)),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    (names, addresses)
}

/// RFC 4343: case does not matter; RFC 1034 §3.1: nor does the dot at the end.
fn plain(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn digest(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> u128 {
    let mut digest = Xxh3::new();
    for part in chain.iter().map(|der| &**der).chain([key.secret_der()]) {
        digest.update(&part.len().to_le_bytes());
        digest.update(part);
    }
    digest.digest128()
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CertificateError> {
    let loaded = provider().key_provider.load_private_key(key);
    let key = loaded.map_err(|error| CertificateError::BadKey(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Some keys do not tell their public half; then nobody can say.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(match matching(&certified) {
            Some(at) => CertificateError::Order(at + 1),
            None => CertificateError::Mismatch,
        }),
        Err(error) => Err(CertificateError::BadCertificate(1, error.to_string())),
    }
}

/// The certificate of a chain that the key belongs to.
fn matching(certified: &CertifiedKey) -> Option<usize> {
    certified.cert.iter().position(|der| {
        let alone = CertifiedKey::new(vec![der.clone()], certified.key.clone());
        alone.keys_match().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fixture::{Kind, Made, made, made_with};
    use rcgen::{DnType, date_time_ymd};

    fn read(made: &Made) -> Certificate {
        Certificate::read(made.chain.as_bytes(), made.key.as_bytes()).unwrap()
    }

    fn refused(chain: &str, key: &str) -> (Part, String) {
        let error = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap_err();
        (error.part(), error.to_string())
    }

    #[test]
    fn names_are_those_of_the_alternative_names_in_lower_case() {
        let made =
            made_with(Kind::Ecdsa, &["WWW.Example.com", "*.example.org", "10.0.0.1", "::1"], |params| {
                params.distinguished_name.push(DnType::CommonName, "common.example");
            });
        let certificate = read(&made);
        assert_eq!(certificate.names().collect::<Vec<_>>(), ["www.example.com", "*.example.org"]);
        assert_eq!(certificate.to_string(), "www.example.com, *.example.org, 10.0.0.1, ::1");
        assert_eq!(certificate.label(), "www.example.com");
    }

    #[test]
    fn the_common_name_counts_only_where_there_is_no_other() {
        let made = made_with(Kind::Ecdsa, &[], |params| {
            params.distinguished_name.push(DnType::CommonName, "Common.example");
        });
        assert_eq!(read(&made).names().collect::<Vec<_>>(), ["common.example"]);
    }

    #[test]
    fn a_certificate_of_many_names_shows_a_few() {
        let names: Vec<String> = (0..40).map(|n| format!("n{n}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let certificate = read(&made(Kind::Ecdsa, &names));
        assert_eq!(certificate.to_string(), "n0.example, n1.example, n2.example, n3.example and 36 more");
        assert_eq!(read(&made(Kind::Ecdsa, &["10.1.1.1"])).label(), "10.1.1.1");
    }

    #[test]
    fn validity_is_what_the_certificate_says() {
        let made = made_with(Kind::Ecdsa, &["a"], |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        });
        let certificate = read(&made);
        let (from, until) = (1_577_836_800, 1_609_459_200);
        assert_eq!(certificate.not_after(), until);
        assert_eq!(certificate.validity(), Validity::Expired);
        let rows = [
            (from - 1, Validity::Future),
            (from, Validity::Now),
            (until, Validity::Now),
            (until + 1, Validity::Expired),
        ];
        for (now, expected) in rows {
            assert_eq!(certificate.validity_at(now), expected, "{now}");
        }
    }

    #[test]
    fn keys_of_every_kind_and_form_are_read() {
        for kind in [Kind::Ecdsa, Kind::Ed25519, Kind::Rsa] {
            let made = made(kind, &["a"]);
            assert_eq!(read(&made).is_rsa(), matches!(kind, Kind::Rsa), "{kind:?}");
            // Both in one file, in either order, among lines for people.
            let both = format!("Bag Attributes\n{}\nsubject=a\n{}", made.key, made.chain);
            assert_eq!(Certificate::read(both.as_bytes(), both.as_bytes()).unwrap(), read(&made));
        }
        for (kind, label) in [(Kind::Rsa, "RSA PRIVATE KEY"), (Kind::Ecdsa, "EC PRIVATE KEY")] {
            let made = made(kind, &["a"]);
            let old = old_form(&made.key, label);
            let certificate = Certificate::read(made.chain.as_bytes(), old.as_bytes());
            assert!(certificate.is_ok(), "{label}: {certificate:?}");
        }
    }

    /// PKCS#8 holds the older form of a key (PKCS#1, SEC1) behind a version and an algorithm.
    fn old_form(pem: &str, label: &str) -> String {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, whole) = element(key.secret_der());
        let (version, _) = element(whole);
        let (algorithm, _) = element(&whole[version..]);
        let (_, inner) = element(&whole[version + algorithm..]);
        let base64 = rcgen_base64(inner);
        format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n"
        )
    }

    /// The length of a DER element with its head, and its contents.
    fn element(der: &[u8]) -> (usize, &[u8]) {
        let (head, length) = match der[1] {
            short @ 0..128 => (2, usize::from(short)),
            long => {
                let bytes = usize::from(long & 127);
                (2 + bytes, der[2..2 + bytes].iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
            }
        };
        (head + length, &der[head..head + length])
    }

    fn rcgen_base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |three: &[u8]| {
            let bits = (0..3).fold(0_u32, |n, at| n << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
            let letter = |at: usize| match at <= three.len() {
                true => LETTERS[(bits >> (18 - 6 * at)) as usize & 63] as char,
                false => '=',
            };
            (0..4).map(letter).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_with_what_to_do() {
        let (one, other) = (made(Kind::Ecdsa, &["a"]), made(Kind::Ecdsa, &["b"]));
        let damaged = one.chain.replacen("MII", "MIJ", 1);
        let cut = &one.chain[..one.chain.len() - 40];
        let turned = format!("{}{}", other.chain, one.chain);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let (cert, key) = (Part::Certificate, Part::Key);
        let rows = [
            ("", &*one.key, cert, "there is no certificate (`-----BEGIN CERTIFICATE-----`) in it"),
            (
                &*one.key,
                &*one.chain,
                cert,
                "there is no certificate (`-----BEGIN CERTIFICATE-----`) in it, but a private key",
            ),
            (&*one.chain, "", key, "there is no private key (`-----BEGIN PRIVATE KEY-----`) in it"),
            (
                &*one.chain,
                &*one.chain,
                key,
                "there is no private key (`-----BEGIN PRIVATE KEY-----`) in it, but a certificate",
            ),
            (&*one.chain, &*other.key, key, "the key in it does not belong to the certificate"),
            (
                &*turned,
                &*one.key,
                cert,
                "the key belongs to certificate 2 in it: the server's own certificate must come first",
            ),
            (
                &*one.chain,
                encrypted,
                key,
                "the key in it is encrypted; `openssl pkey -in KEY -out NEW` writes it without a password",
            ),
            (
                &*one.chain,
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
                key,
                "the key in it is encrypted; `openssl pkey -in KEY -out NEW` writes it without a password",
            ),
            (cut, &*one.key, cert, "it is no sound PEM: it ends before `-----END CERTIFICATE-----`"),
            (
                "-----BEGIN CERTIFICATE-----\n§\n-----END CERTIFICATE-----\n",
                &*one.key,
                cert,
                "it is no sound PEM: what is between BEGIN and END is not base64",
            ),
        ];
        for (chain, private, part, expected) in rows {
            assert_eq!(refused(chain, private), (part, expected.to_owned()));
        }
        assert!(refused(&damaged, &one.key).1.starts_with("certificate 1 in it is damaged: "));
        assert!(refused(&one.chain, bad_key).1.starts_with("the private key in it cannot be used: "));
        let der = Certificate::read(&[0x30, 0x82, 1, 2], &[]).unwrap_err();
        assert!(der.to_string().ends_with("makes PEM of it"), "{der}");
    }
}
