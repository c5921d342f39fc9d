//! HTTPS to origin servers: whom we believe, which name we ask for, and how we show who we are.
//!
//! Everything here is checked when it is read, because Pingora panics on a certificate or a key that it cannot parse.
//! Verification is on unless `verify` says otherwise; nothing else turns it off.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use pingora::protocols::tls::CaType;
use pingora::tls::{load_native_certs, load_platform_certs_incl_env_into_store};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How the HTTPS servers of a cluster are connected to. `OriginTls::default()` verifies them against the system's
/// authorities, under the names that are configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginTls {
    /// Whom to believe instead of the system's authorities.
    pub ca: Option<Authorities>,
    /// The name that is asked for and verified, instead of the server's own.
    pub server_name: Option<TlsName>,
    /// Who we are, for servers that ask.
    pub certificate: Option<Identity>,
    /// Whether servers must prove who they are.
    pub verify: bool,
}

impl Default for OriginTls {
    fn default() -> Self {
        Self { ca: None, server_name: None, certificate: None, verify: true }
    }
}

/// Certificates of authorities: at least one, every one of them usable.
#[derive(Clone)]
pub struct Authorities {
    /// Stands for the rest where it must be told from others for every request.
    id: u64,
    certificates: Arc<[CertificateDer<'static>]>,
    parsed: Arc<CaType>,
}

/// A certificate chain and its key, for servers that ask who we are.
#[derive(Clone)]
pub struct Identity {
    id: u64,
    chain: Arc<[CertificateDer<'static>]>,
    key: Arc<PrivateKeyDer<'static>>,
    parsed: Arc<CertKey>,
    expired: bool,
}

/// A name that a certificate can be made out for: a DNS name in lower case or an IP address, never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsName(Arc<str>);

/// Why a file or a name cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("certificate {0} in it cannot be read: {1}")]
    Certificate(usize, String),
    #[error("the key in it is encrypted: take the passphrase off with `openssl pkey -in KEY -out NEW`")]
    EncryptedKey,
    #[error("the key cannot be used: {0}")]
    Key(String),
    #[error("the key belongs to another certificate")]
    Mismatch,
    #[error("`{0}` is not a name that a certificate can be for: write a DNS name or an IP address")]
    Name(String),
    #[error("there is no certificate in it: a PEM file has `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    #[error("there is no private key in it: a PEM file has `-----BEGIN PRIVATE KEY-----`")]
    NoKey,
    #[error("it is not a PEM file: {0}")]
    Pem(String),
}

impl Authorities {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`TlsError`] if there is no certificate in it, or one that cannot be an authority's.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|why| TlsError::Certificate(index + 1, why.to_string()))?;
        }
        Ok(Self::of(certificates))
    }

    fn of(certificates: Vec<CertificateDer<'static>>) -> Self {
        let parsed = certificates.iter().map(|c| WrappedX509::new(c.to_vec(), parse_x509)).collect();
        let id = hash(&certificates.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
        Self { id, certificates: certificates.into(), parsed }
    }
}

impl Identity {
    /// Reads PEM files: the chain, our own certificate first, and its key.
    ///
    /// # Errors
    /// [`TlsError`] if one of them is missing or unusable, or the key is that of another certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = private_key(key)?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => return Err(TlsError::Mismatch),
            Err(Error::InvalidCertificate(why)) => return Err(TlsError::Certificate(1, why.to_string())),
            Err(why) => return Err(TlsError::Key(why.to_string())),
        }
        let raw = chain.iter().map(|certificate| certificate.to_vec()).collect();
        let parsed = Arc::new(CertKey::new(raw, key.secret_der().to_vec()));
        let expired = chain.first().is_some_and(|leaf| !is_in_time(leaf));
        let id = hash(&(chain.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>(), key.secret_der()));
        Ok(Self { id, chain: chain.into(), key: Arc::new(key), parsed, expired })
    }

    /// Whether it had expired, or was not valid yet, when it was read.
    pub fn is_expired(&self) -> bool {
        self.expired
    }

    /// As Pingora wants it.
    pub(super) fn parsed(&self) -> &Arc<CertKey> {
        &self.parsed
    }
}

impl TlsName {
    /// As it is sent and verified.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TlsName {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let bare = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
        // CA/Browser Forum ballot SC12: none has been made out for a name with an underscore since 2019. Pingora would
        // verify such a name with `-` for `_`, which is the name of another server.
        if bare.contains('_') || ServerName::try_from(bare.as_str()).is_err() {
            return Err(TlsError::Name(text.to_owned()));
        }
        Ok(Self(bare.into()))
    }
}

impl OriginTls {
    /// The name that a server configured as `host` is asked for, and its certificate must be for. A host that no
    /// certificate can be for gives one that none is for, so that verification fails instead of being left out.
    pub(super) fn name<'a>(&'a self, host: &'a str) -> &'a str {
        let own = host.strip_suffix('.').unwrap_or(host);
        let name = self.server_name.as_ref().map_or(own, TlsName::as_str);
        if name.is_empty() { "nobody.invalid" } else { name }
    }

    /// Tells connections apart that were made under different settings.
    pub(super) fn fingerprint(&self) -> u64 {
        hash(self)
    }

    /// The authorities that Pingora must be given by us; without them it uses those that it loaded from the system.
    pub(super) fn authorities(&self) -> Option<&Arc<CaType>> {
        let ours = match (&self.ca, self.verify) {
            (Some(own), _) => Some(own),
            // Pingora looks at nothing then, but makes no connection without an authority to look at.
            (None, false) => SYSTEM.placeholder.as_ref(),
            (None, true) => SYSTEM.for_pingora.as_ref(),
        };
        ours.map(|authorities| &authorities.parsed)
    }
}

/// The settings under which a connection of our own is made, such as a health check's; Pingora makes its own.
///
/// # Errors
/// [`TlsError`] never for what was read from files: there the certificate was tried with its key.
pub fn client_config(tls: &OriginTls) -> Result<Arc<ClientConfig>, TlsError> {
    let refused = |why: Error| TlsError::Key(why.to_string());
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
    let builder = match tls.verify {
        true => builder.with_root_certificates(roots(tls)),
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let config = match &tls.certificate {
        Some(own) => {
            builder.with_client_auth_cert(own.chain.to_vec(), own.key.clone_key()).map_err(refused)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The name to verify a server under that was configured as `host`, for a connection of our own.
///
/// # Errors
/// [`TlsError::Name`] for a host that no certificate can be for.
pub fn server_name(tls: &OriginTls, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = tls.name(host);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
}

/// Makes aws-lc-rs what Pingora's TLS calculates with, unless that is settled already; it would take ring.
pub fn choose_provider() {
    let _ = CryptoProvider::install_default(provider());
}

/// Whether the system has authorities to verify servers against, and if not, why. They are loaded once.
///
/// # Errors
/// What is wrong, in a clause for people.
pub fn system_authorities() -> Result<usize, &'static str> {
    match (&SYSTEM.trouble, SYSTEM.roots.len()) {
        (Some(why), 0) => Err(why),
        (None, 0) => Err("no certificates of authorities are installed here"),
        (_, found) => Ok(found),
    }
}

/// The file that Pingora shall load the system's authorities from. `None` where it can do so by itself: it panics if
/// one of them is unreadable.
pub fn authorities_file() -> Option<String> {
    SYSTEM.trouble.as_ref().map(|_| "/dev/null".to_owned())
}

/// The system's authorities, as far as they can be used.
struct System {
    roots: Vec<CertificateDer<'static>>,
    /// Why Pingora cannot load them itself.
    trouble: Option<String>,
    /// They, where Pingora cannot load them itself.
    for_pingora: Option<Authorities>,
    placeholder: Option<Authorities>,
}

/// They do not change while we run: who installs others starts us again.
static SYSTEM: LazyLock<System> = LazyLock::new(|| {
    let found = load_native_certs();
    let trouble = match (&found, load_platform_certs_incl_env_into_store(&mut RootCertStore::empty())) {
        (_, Ok(())) => None,
        (Ok(_), Err(_)) => Some("one of the certificates of authorities here cannot be read".to_owned()),
        (Err(why), Err(_)) => Some(format!("the certificates of authorities here cannot be loaded: {why}")),
    };
    let usable = |certificate: &CertificateDer<'static>| {
        RootCertStore::empty().add(certificate.clone()).is_ok()
            && X509Certificate::from_der(certificate).is_ok()
    };
    let roots: Vec<_> = found.unwrap_or_default().into_iter().filter(usable).collect();
    let for_pingora = (trouble.is_some() && !roots.is_empty()).then(|| Authorities::of(roots.clone()));
    System { roots, trouble, for_pingora, placeholder: Authorities::from_pem(NOBODY).ok() }
});

/// A certificate whose key was thrown away.
const NOBODY: &[u8] = include_bytes!("nobody.pem");

fn roots(tls: &OriginTls) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let certificates = tls.ca.as_ref().map_or(&SYSTEM.roots[..], |ca| &ca.certificates);
    store.add_parsable_certificates(certificates.iter().cloned());
    store
}

fn provider() -> CryptoProvider {
    crypto::aws_lc_rs::default_provider()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates: Vec<CertificateDer<'static>> = read.map_err(|why| TlsError::Pem(why.to_string()))?;
    for (index, certificate) in certificates.iter().enumerate() {
        // Pingora panics on what this parser refuses.
        X509Certificate::from_der(certificate)
            .map_err(|why| TlsError::Certificate(index + 1, why.to_string()))?;
    }
    if certificates.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certificates) }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|why| match why {
        _ if memchr::memmem::find(pem, b"ENCRYPTED").is_some() => TlsError::EncryptedKey,
        pem::Error::NoItemsFound => TlsError::NoKey,
        why => TlsError::Pem(why.to_string()),
    })?;
    // Pingora is given the key without its kind, guesses it, and panics if it cannot.
    match PrivateKeyDer::try_from(key.secret_der()) {
        Ok(_) => Ok(key),
        Err(why) => Err(TlsError::Key(why.to_owned())),
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn is_in_time(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.validity().is_valid())
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.certificates == other.certificates
    }
}

impl Eq for Authorities {}

impl Hash for Authorities {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} certificates", self.certificates.len())
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.chain == other.chain && self.key == other.key
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Never the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} certificates and their key", self.chain.len())
    }
}

/// Believes every certificate, as `verify: false` asks; the handshake itself must be right all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// A certificate that signed itself, and its key.
    pub fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// An authority that nobody knows.
    pub fn authority() -> Authorities {
        Authorities::from_pem(pair("authority.example").0.as_bytes()).unwrap()
    }

    /// A client that nobody knows.
    pub fn identity() -> Identity {
        let (certificate, key) = pair("client.example");
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{authority, identity, pair};
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn what_cannot_be_used_is_refused_with_what_to_do() {
        let (one, key) = pair("a.example");
        let (two, _) = pair("b.example");
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nMA\n";
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let odd = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let authorities = |pem: &str| Authorities::from_pem(pem.as_bytes()).map(drop);
        let identity =
            |chain: &str, key: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes()).map(drop);
        for (result, expected) in [
            (authorities(&one), ""),
            (authorities(&(one.clone() + &two)), ""),
            (authorities(""), "there is no certificate in it"),
            (authorities(&key), "there is no certificate in it"),
            (authorities(broken), "certificate 1 in it cannot be read"),
            (authorities(&(one.clone() + broken)), "certificate 2 in it cannot be read"),
            (authorities(cut), "it is not a PEM file"),
            (identity(&one, &key), ""),
            (identity(&(one.clone() + &two), &key), ""),
            (identity(&one, &one), "there is no private key in it"),
            (identity(&two, &key), "the key belongs to another certificate"),
            (identity(&key, &key), "there is no certificate in it"),
            (identity(&one, locked), "the key in it is encrypted"),
            (identity(&one, odd), "the key cannot be used"),
        ] {
            match result {
                Ok(()) => assert_eq!(expected, ""),
                Err(why) => assert!(why.to_string().starts_with(expected) && !expected.is_empty(), "{why}"),
            }
        }
    }

    #[test]
    fn a_name_is_one_that_a_certificate_can_be_for() {
        for (text, name) in [
            ("Origin.Example.", Some("origin.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("localhost", Some("localhost")),
            ("", None),
            (".", None),
            ("*.example", None),
            ("a b", None),
            ("my_app.example.com", None),
            ("https://a.example", None),
        ] {
            assert_eq!(text.parse::<TlsName>().ok().as_ref().map(TlsName::as_str), name, "{text}");
        }
    }

    #[test]
    fn settings_are_equal_only_if_files_had_the_same_contents() {
        let (certificate, key) = pair("a.example");
        let read = || OriginTls {
            ca: Authorities::from_pem(certificate.as_bytes()).ok(),
            certificate: Identity::from_pem(certificate.as_bytes(), key.as_bytes()).ok(),
            ..OriginTls::default()
        };
        assert_eq!(read(), read());
        assert_eq!(read().fingerprint(), read().fingerprint());
        assert_ne!(read(), OriginTls { ca: Some(authority()), ..read() });
        assert_ne!(read(), OriginTls { certificate: Some(identity()), ..read() });
        assert!(!format!("{:?}", read()).contains("Pkcs8"));
    }

    #[test]
    fn an_expired_certificate_is_known_as_such() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let old = params.self_signed(&key).unwrap().pem();
        let read = |pem: &str, key: &str| Identity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
        assert!(read(&old, &key.serialize_pem()).is_expired());
        assert!(!identity().is_expired());
    }

    #[test]
    fn our_own_connections_follow_the_same_settings() {
        let tls = OriginTls { ca: Some(authority()), certificate: Some(identity()), ..OriginTls::default() };
        assert!(client_config(&tls).unwrap().client_auth_cert_resolver.has_certs());
        assert!(!client_config(&OriginTls::default()).unwrap().client_auth_cert_resolver.has_certs());
        assert!(client_config(&OriginTls { verify: false, ..OriginTls::default() }).is_ok());
        assert!(server_name(&tls, "a.example").is_ok() && server_name(&tls, "192.0.2.1").is_ok());
        assert!(server_name(&tls, "a b").is_err());
    }

    #[test]
    fn pingora_always_has_an_authority_to_look_at() {
        assert!(OriginTls { verify: false, ..OriginTls::default() }.authorities().is_some());
        let own = OriginTls { ca: Some(authority()), ..OriginTls::default() };
        assert_eq!(own.authorities().map(|given| given.len()), Some(1));
    }
}
