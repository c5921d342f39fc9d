//! `tls` of a listener: its certificates, which are read with the configuration, so that `check` knows what is wrong.

use super::bench::Bench;
use super::hsts;
use crate::config::quantity::lists_nothing;
use crate::config::{Diagnostic, Field, Fields, Kind, Need, Node, Section, Severity, Span};
use crate::http::date;
use crate::tls::{Certificate, CertificateError, MOST, Pair, Part, Settings, Validity, Version};
use std::sync::Arc;

const PEM: Kind = Kind::Text("the path of a PEM file");

/// How a listener speaks TLS.
pub static TLS: Section = Section {
    name: "tls",
    doc: "How a listener speaks TLS. Sessions are resumed by tickets, whose keys change every six hours and outlive \
          reloads.",
    fields: &[
        Field {
            name: "certificates",
            kind: Kind::List(&Kind::Section(&CERTIFICATE)),
            need: Need::Required,
            doc: "The certificates. A client gets the one for the name that it asks for: for the name itself, else a \
                  wildcard such as `*.example.com`, which stands for one label, else the first of this list. Several \
                  may be for one name, such as one with an ECDSA key and one with an RSA key for old clients.",
            example: "[{ cert: tls/site.pem, key: tls/site.key }]",
        },
        Field {
            name: "min_version",
            kind: Kind::Word(&["1.2", "1.3"]),
            need: Need::Default("\"1.2\""),
            doc: "The oldest version of TLS that is spoken. 1.2 by default: older ones are broken (RFC 8996), and \
                  clients without 1.3 are still many.",
            example: "\"1.3\"",
        },
        hsts::FIELD,
    ],
};

/// A certificate.
pub static CERTIFICATE: Section = Section {
    name: "certificate",
    doc: "A certificate and its key. Both files are looked at every two seconds, and what is new in them is served \
          without a reload; while they do not belong together, what was served before still is.",
    fields: &[
        Field {
            name: "cert",
            kind: PEM,
            need: Need::Required,
            doc: "A PEM file with the certificate and, behind it, those that lead to a root that clients know. Relative \
                  to the file that names it. The names that it is for are in it.",
            example: "tls/site.pem",
        },
        Field {
            name: "key",
            kind: PEM,
            need: Need::Required,
            doc: "A PEM file with the private key, not encrypted: PKCS#8, PKCS#1 or SEC1. It may be the same file.",
            example: "tls/site.key",
        },
    ],
};

/// The settings; None: something is wrong, and reported.
pub fn compile(fields: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Settings> {
    if lists_nothing("certificates", fields) {
        fields.error("certificates", "`certificates` lists none, so nobody could connect", bench.report);
    }
    let min_version = fields.word("min_version", bench.report);
    let listed = fields.sections("certificates", &CERTIFICATE, bench.report);
    let (mut certificates, mut places): (Vec<Pair>, Vec<Span>) = (Vec::new(), Vec::new());
    for fields in listed {
        let place = fields.value_span("cert");
        let Some(pair) = pair(&fields, bench) else { continue };
        if let Some(at) = certificates.iter().position(|it| pair.certificate.is_covered_by(&it.certificate)) {
            let message = "this certificate is never served: another one is for the same names";
            let never = Diagnostic::new(Severity::Warning, Some(place), message.to_owned());
            bench.report.push(never.label("remove it").other(places[at], "this one"));
        }
        certificates.push(pair);
        places.push(place);
    }
    let min_version = if min_version? == "1.3" { Version::Tls13 } else { Version::Tls12 };
    Some(Settings { certificates, min_version })
}

fn pair(fields: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Pair> {
    let (cert, key) = (path("cert", fields, bench), path("key", fields, bench));
    let ((cert, chain), (key, private)) = (cert?, key?);
    let (cert_text, key_text) = (cert.as_text()?, key.as_text()?);
    let cert_path = bench.files.resolve(cert.span.file, cert_text);
    let key_path = bench.files.resolve(key.span.file, key_text);
    match Certificate::read(&chain, &private) {
        Ok(certificate) => {
            warn_of_validity(&certificate, cert, bench);
            Some(Pair { cert: cert_path, key: key_path, certificate: Arc::new(certificate) })
        }
        Err(error) => {
            // Whoever mends either of them mends the configuration.
            bench.files.watch(&cert_path);
            bench.files.watch(&key_path);
            let (node, text) = if error.part() == Part::Key { (key, key_text) } else { (cert, cert_text) };
            let wrong = Diagnostic::new(Severity::Error, Some(node.span), format!("`{text}`: {error}"));
            bench.report.push(match error {
                CertificateError::Mismatch => wrong.other(cert.span, "the certificate"),
                _ => wrong,
            });
            None
        }
    }
}

/// A file that a key names, and what is in it.
fn path<'n>(name: &str, fields: &Fields<'n>, bench: &mut Bench<'_>) -> Option<(&'n Node, Vec<u8>)> {
    let node = fields.maybe(name)?;
    let written = node.text(name, "the path of a PEM file", bench.report)?;
    bench.contents(written, node.span, MOST, "1 MiB").map(|contents| (node, contents))
}

/// It is served all the same: clients say more about it than no answer at all would.
fn warn_of_validity(certificate: &Certificate, cert: &Node, bench: &mut Bench<'_>) {
    let (what, moment) = match certificate.validity() {
        Validity::Now => return,
        Validity::Expired => ("has ended", certificate.not_after()),
        Validity::Future => ("has not begun", certificate.not_before()),
    };
    let moment = date::format(u64::try_from(moment).unwrap_or(0));
    let message = format!(
        "this certificate {what}: {} ({certificate}); clients will refuse it",
        String::from_utf8_lossy(&moment)
    );
    bench.report.warning(cert.span, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::Machine;
    use crate::config::{Loaded, load_with};
    use crate::setup::Setup;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::path::Path;

    /// A machine with `a.pem`, `a.key` and the like.
    fn machine(listener: &str, sites: &[(&str, &[&str], i32)]) -> Machine {
        let text = format!(
            "listeners: [{{ bind: \":8443\", tls: {listener} }}]\nupstreams: {{ app: {{ servers: app }} }}\nroutes: [{{ upstream: app }}]\n"
        );
        sites.iter().fold(
            Machine::default().file("conf/foreland.yaml", text),
            |machine, (file, names, end)| {
                let key = KeyPair::generate().unwrap();
                let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
                let mut params = CertificateParams::new(names).unwrap();
                (params.not_before, params.not_after) =
                    (date_time_ymd(end - 20, 1, 1), date_time_ymd(*end, 1, 1));
                let chain = params.self_signed(&key).unwrap().pem();
                machine
                    .file(&format!("conf/{file}.pem"), chain)
                    .file(&format!("conf/{file}.key"), key.serialize_pem())
            },
        )
    }

    fn load(machine: Machine) -> Result<(Setup, Loaded), String> {
        let loaded = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine));
        loaded.map_err(|refused| refused.text(false))
    }

    #[test]
    fn certificates_are_read_with_the_configuration_relative_to_it() {
        let listener =
            "{ certificates: [{ cert: a.pem, key: a.key }, { cert: b.pem, key: b.key }], min_version: 1.3 }";
        let sites: [(&str, &[&str], i32); 2] = [("a", &["a.example"], 2040), ("b", &["*.b.example"], 2040)];
        let (setup, loaded) = load(machine(listener, &sites)).unwrap();
        let tls = setup.listeners[0].tls.as_ref().unwrap();
        let read: Vec<String> = tls
            .certificates
            .iter()
            .map(|pair| format!("{} {} {}", pair.cert.display(), pair.key.display(), pair.certificate))
            .collect();
        assert_eq!(read, ["conf/a.pem conf/a.key a.example", "conf/b.pem conf/b.key *.b.example"]);
        assert_eq!(tls.min_version, Version::Tls13);
        assert_eq!(loaded.warnings, Vec::<String>::new());
        // They are followed by whoever serves them, so a new one is no new configuration.
        assert_eq!(loaded.files, [Path::new("conf/foreland.yaml")]);
        assert!(!loaded.dump().contains("PRIVATE"), "{}", loaded.dump());
        let shown = "certificates:\n        - cert: a.pem\n          key: a.key\n";
        assert!(loaded.dump().contains(shown), "{}", loaded.dump());
        let least = load(machine("{ certificates: [{ cert: a.pem, key: a.key }] }", &sites)).unwrap().0;
        assert_eq!(least.listeners[0].tls.as_ref().unwrap().min_version, Version::Tls12);
    }

    #[test]
    fn a_pair_that_does_not_match_is_shown_with_both_and_watched() {
        let listener = "{ certificates: [{ cert: a.pem, key: b.key }] }";
        let machine = machine(listener, &[("a", &["a.example"], 2040), ("b", &["b.example"], 2040)]);
        let refused = load_with(Path::new("conf/foreland.yaml"), Arc::new(machine)).err().unwrap();
        let lines = refused.lines();
        let expected =
            "conf/foreland.yaml:1:72: error: `b.key`: the key in it does not belong to the certificate";
        assert_eq!(lines, [expected]);
        assert!(refused.text(false).contains("the certificate\n"), "{}", refused.text(false));
        assert!(refused.files().iter().any(|file| file == Path::new("conf/b.key")));
    }

    #[test]
    fn what_clients_will_not_like_is_a_warning() {
        let listener = "{ certificates: [{ cert: a.pem, key: a.key }, { cert: b.pem, key: b.key }, { cert: c.pem, key: c.key }] }";
        let sites: [(&str, &[&str], i32); 3] = [
            ("a", &["a.example", "b.example"], 2020),
            ("b", &["b.example"], 2080),
            ("c", &["c.example"], 2040),
        ];
        let (_, loaded) = load(machine(listener, &sites)).unwrap();
        let expected = [
            "conf/foreland.yaml:1:57: this certificate has ended: Wed, 01 Jan 2020 00:00:00 GMT (a.example, b.example); clients will refuse it",
            "conf/foreland.yaml:1:85: this certificate has not begun: Thu, 01 Jan 2060 00:00:00 GMT (b.example); clients will refuse it",
            "conf/foreland.yaml:1:85: this certificate is never served: another one is for the same names (remove it)",
        ];
        let mut told: Vec<String> = loaded.warnings.clone();
        told.sort();
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected.split_once(": ").unwrap().1), "{told} is not {expected}");
        }
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
