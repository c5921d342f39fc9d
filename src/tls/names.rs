//! Which certificate a client gets: by the name it asks for, and among several by what it can verify.

use super::Certificate;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_rustls::rustls::SignatureScheme;

/// The certificates of a listener by the names they are for. Finding one costs two look-ups, however many there are.
pub struct Names {
    certificates: Vec<Arc<Certificate>>,
    exact: HashMap<Box<str>, Several>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Several>,
    /// For clients that ask for no name, or for one that is unknown.
    default: Several,
}

/// Positions of certificates for one name, the cheapest signatures first.
type Several = SmallVec<[u32; 2]>;

impl Names {
    /// Sorts certificates by their names. The first stands in where no name fits, together with others of its names.
    pub fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let mut names = Self { certificates, ..Self::empty() };
        for (at, certificate) in (0_u32..).zip(&names.certificates) {
            for name in certificate.names() {
                let places = match name.strip_prefix("*.") {
                    Some(parent) => names.wildcards.entry(parent.into()).or_default(),
                    None => names.exact.entry(name.into()).or_default(),
                };
                if !places.contains(&at) {
                    places.push(at);
                }
            }
        }
        // A signature of ECDSA costs a tenth of one of RSA, and its certificate is shorter.
        let certificates = &names.certificates;
        let is_rsa =
            |at: &u32| certificates.get(*at as usize).is_some_and(|certificate| certificate.is_rsa());
        for places in names.exact.values_mut().chain(names.wildcards.values_mut()) {
            places.sort_by_key(is_rsa);
        }
        let first = names.certificates.first().and_then(|first| first.names().next());
        names.default = first
            .and_then(|name| names.named(name).into_iter().flatten().next())
            .cloned()
            .unwrap_or_else(|| Several::from_slice(&[0]));
        names
    }

    fn empty() -> Self {
        let (exact, wildcards) = (HashMap::new(), HashMap::new());
        Self { certificates: Vec::new(), exact, wildcards, default: Several::new() }
    }

    /// All of them, in their order.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// The certificate for a client that asks for this name and verifies signatures of these schemes: for the name
    /// itself, else for all names beside it, else the first of all. `None` only where there is no certificate.
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Certificate>> {
        let places = name.map(|name| self.find(name)).filter(|places| places.iter().any(Option::is_some));
        let places = places.unwrap_or([Some(&self.default), None]);
        let mut here =
            places.into_iter().flatten().flatten().filter_map(|at| self.certificates.get(*at as usize));
        let verified =
            |certificate: &&Arc<Certificate>| certificate.certified().key.choose_scheme(schemes).is_some();
        // What no client of this kind can verify is refused by rustls, with an alert that says so.
        here.clone().find(verified).or_else(|| here.next())
    }

    fn find(&self, name: &str) -> [Option<&Several>; 2] {
        let name = name.strip_suffix('.').unwrap_or(name);
        match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.named(&name.to_ascii_lowercase()),
            false => self.named(name),
        }
    }

    /// RFC 9525 §6.3: a wildcard stands for exactly one label, the leftmost.
    fn named(&self, name: &str) -> [Option<&Several>; 2] {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        [self.exact.get(name), parent.and_then(|parent| self.wildcards.get(parent))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fixture::{Kind, made};
    use SignatureScheme::{ECDSA_NISTP256_SHA256, ED25519, RSA_PSS_SHA256};

    fn names(certificates: &[(Kind, &[&str])]) -> Names {
        Names::new(certificates.iter().map(|(kind, names)| made(*kind, names).certificate()).collect())
    }

    /// The position of the certificate that a client gets which asks for this name.
    fn chosen(names: &Names, name: Option<&str>, schemes: &[SignatureScheme]) -> usize {
        let chosen = names.choose(name, schemes).unwrap();
        names.certificates().iter().position(|one| Arc::ptr_eq(one, chosen)).unwrap()
    }

    #[test]
    fn a_name_beats_a_wildcard_and_the_first_stands_in_for_the_rest() {
        let names = names(&[
            (Kind::Ecdsa, &["default.example"]),
            (Kind::Ecdsa, &["*.example.com"]),
            (Kind::Ecdsa, &["www.example.com", "example.com"]),
            (Kind::Ecdsa, &["*.deep.example.com"]),
        ]);
        let rows = [
            (Some("www.example.com"), 2),
            (Some("WWW.Example.COM"), 2),
            (Some("www.example.com."), 2),
            (Some("example.com"), 2),
            (Some("other.example.com"), 1),
            (Some("a.deep.example.com"), 3),
            // One label, not two, and not none.
            (Some("a.b.example.com"), 0),
            (Some("deep.example.com"), 1),
            (Some("*.example.com"), 1),
            (Some("com"), 0),
            (Some("unknown.test"), 0),
            (Some(""), 0),
            (None, 0),
        ];
        for (name, expected) in rows {
            assert_eq!(chosen(&names, name, &[ECDSA_NISTP256_SHA256]), expected, "{name:?}");
        }
    }

    #[test]
    fn of_several_for_one_name_a_client_gets_the_cheapest_that_it_can_verify() {
        let names = names(&[
            (Kind::Rsa, &["a.example", "*.w.example"]),
            (Kind::Ecdsa, &["a.example", "*.w.example"]),
            (Kind::Ed25519, &["a.example"]),
        ]);
        for name in [Some("a.example"), Some("b.w.example"), None, Some("unknown.example")] {
            assert_eq!(chosen(&names, name, &[RSA_PSS_SHA256, ECDSA_NISTP256_SHA256]), 1, "{name:?}");
            assert_eq!(chosen(&names, name, &[RSA_PSS_SHA256]), 0, "{name:?}");
        }
        assert_eq!(chosen(&names, Some("a.example"), &[ED25519]), 2);
        // Nothing that it can verify: rustls says so to it.
        assert_eq!(chosen(&names, Some("b.w.example"), &[ED25519]), 1);
    }

    #[test]
    fn every_one_of_a_thousand_names_finds_its_own() {
        let certificates = (0..50).map(|group| {
            let own: Vec<String> = (0..20).map(|n| format!("n{n}.g{group}.example")).collect();
            made(Kind::Ecdsa, &own.iter().map(String::as_str).collect::<Vec<_>>()).certificate()
        });
        let names = Names::new(certificates.collect());
        for group in 0..50 {
            for n in 0..20 {
                let name = format!("n{n}.g{group}.example");
                assert_eq!(chosen(&names, Some(&name), &[ECDSA_NISTP256_SHA256]), group, "{name}");
            }
        }
        assert!(Names::new(Vec::new()).choose(None, &[]).is_none());
    }

    #[test]
    fn a_wildcard_serves_whoever_cannot_verify_the_names_own() {
        let names = names(&[(Kind::Ecdsa, &["www.example.com"]), (Kind::Rsa, &["*.example.com"])]);
        let all = names.certificates();
        for (schemes, expected) in [([ECDSA_NISTP256_SHA256], 0), ([RSA_PSS_SHA256], 1), ([ED25519], 0)] {
            let chosen = names.choose(Some("www.example.com"), &schemes).unwrap();
            assert!(Arc::ptr_eq(chosen, &all[expected]), "{schemes:?}");
        }
    }
}
