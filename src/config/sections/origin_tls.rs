//! `tls` of an upstream: whom its HTTPS servers are verified against, and who we are to them.

use super::bench::Bench;
use crate::config::{Field, Fields, Kind, Need, Node, Section};
use crate::upstream::ServerSpec;
use crate::upstream::tls::{Authorities, Identity, OriginTls, TlsError, TlsName};

/// The largest PEM file; a bundle of every public authority is 220 KiB.
const MOST: usize = 1 << 20;

const PEM: Kind = Kind::Text("the path of a PEM file");

/// TLS to origins.
pub static ORIGIN_TLS: Section = Section {
    name: "TLS connection",
    doc: "How the `https://` servers of an upstream are connected to, with TLS 1.2 or 1.3. Files are relative to the file \
          that names them and read when the configuration is; `serve --watch` notices new contents. A reload that changes \
          something here connects anew: no request travels on a connection that was made before.",
    fields: &[
        Field {
            name: "ca",
            kind: PEM,
            need: Need::Optional,
            doc: "The certificates of the authorities to believe, and no others. A certificate that a server signed itself \
                  works too, if it is not marked as an authority's: `openssl req -x509` marks it unless it is told \
                  `-addext basicConstraints=critical,CA:FALSE`. Without it those of the system (`ca-certificates`, or what \
                  `SSL_CERT_FILE` names) are believed.",
            example: "tls/internal-ca.pem",
        },
        Field {
            name: "server_name",
            kind: Kind::Text("a DNS name or an IP address"),
            need: Need::Optional,
            doc: "The name that is asked for (SNI) and that the certificate must be for. Without it the host of the server, \
                  as in `servers`. Needed where that is an address and the certificate is for a name. The `Host` field of \
                  requests stays that of the client: `request_headers` of a route can change it.",
            example: "origin.example.com",
        },
        Field {
            name: "certificate",
            kind: PEM,
            need: Need::Optional,
            doc: "Our own certificate, for servers that ask who we are, followed by those between it and its authority.",
            example: "tls/client.pem",
        },
        Field {
            name: "key",
            kind: PEM,
            need: Need::Optional,
            doc: "Its private key, without a passphrase. Without it the key is in the file of `certificate`.",
            example: "tls/client.key",
        },
        Field {
            name: "verify",
            kind: Kind::Bool,
            need: Need::Default("true"),
            doc: "Whether servers must prove who they are. `false` believes everybody, also who stands between: for labs \
                  only, and a warning of `check`. It is never needed for a server of one's own: give its certificate as \
                  `ca`.",
            example: "false",
        },
    ],
};

/// What is behind the files of one upstream, for these servers.
pub fn compile(
    upstream: &str,
    servers: &[ServerSpec],
    fields: &Fields<'_>,
    bench: &mut Bench<'_>,
) -> Option<OriginTls> {
    let written = fields.has("tls");
    let tls = fields.section("tls", &ORIGIN_TLS, bench.report)?;
    let secure = servers.iter().any(|server| server.address.tls());
    if written && !secure && !servers.is_empty() {
        let message = format!("`tls` counts for `https://` servers, and upstream `{upstream}` has none");
        bench.report.warning_with(fields.key_span("tls"), message, "write `https://` before the servers");
    }
    let ca = file("ca", &tls, bench, Authorities::from_pem);
    let certificate = identity(&tls, bench);
    let server_name: Option<Option<TlsName>> =
        if tls.has("server_name") { tls.parse("server_name", bench.report).map(Some) } else { Some(None) };
    let verify = tls.boolean("verify", bench.report);
    let compiled =
        OriginTls { ca: ca?, server_name: server_name?, certificate: certificate?, verify: verify? };
    if secure {
        warn(upstream, &compiled, fields, &tls, bench);
        refuse_names(servers, &compiled, fields, bench);
    }
    Some(compiled)
}

/// What may not be meant.
fn warn(upstream: &str, tls: &OriginTls, fields: &Fields<'_>, written: &Fields<'_>, bench: &mut Bench<'_>) {
    if tls.certificate.as_ref().is_some_and(Identity::is_expired) {
        let message = "this certificate is not valid today: servers that ask for one will refuse it";
        bench.report.warning(written.value_span("certificate"), message);
    }
    if !tls.verify {
        let message =
            format!("whoever stands between here and upstream `{upstream}` can read and change everything");
        let instead = "leave it out, and give the server's certificate as `ca`";
        bench.report.warning_with(written.value_span("verify"), message, instead);
    } else if tls.ca.is_none()
        && let Err(why) = bench.files.env().authorities()
    {
        let message = format!("no `https://` server of upstream `{upstream}` can be verified: {why}");
        bench.report.warning_with(
            fields.value_span("servers"),
            message,
            "install `ca-certificates`, or give `tls.ca`",
        );
    }
}

/// A name that no certificate can be for would never be connected to.
fn refuse_names(servers: &[ServerSpec], tls: &OriginTls, fields: &Fields<'_>, bench: &mut Bench<'_>) {
    if tls.server_name.is_some() || !tls.verify {
        return;
    }
    for server in servers.iter().filter(|server| server.address.tls()) {
        if server.address.host().parse::<TlsName>().is_err() {
            let message = format!("no certificate can be for `{}`", server.address.host());
            bench.report.error_with(fields.value_span("servers"), message, "give `tls.server_name`");
        }
    }
}

/// The certificate and the key; `Some(None)` without them.
fn identity(tls: &Fields<'_>, bench: &mut Bench<'_>) -> Option<Option<Identity>> {
    let Some(certificate) = tls.maybe("certificate") else {
        if tls.has("key") {
            bench.report.error_with(tls.key_span("key"), "a key needs its certificate", "give `certificate`");
            return None;
        }
        return Some(None);
    };
    let chain = read("certificate", certificate, bench);
    let key_node = tls.maybe("key").unwrap_or(certificate);
    let key = if tls.has("key") { read("key", key_node, bench)? } else { chain.clone()? };
    match Identity::from_pem(&chain?, &key) {
        Ok(identity) => Some(Some(identity)),
        Err(why) => {
            let at = match why {
                TlsError::Key(_) | TlsError::EncryptedKey | TlsError::Mismatch | TlsError::NoKey => key_node,
                _ => certificate,
            };
            unusable(at, &why, bench);
            None
        }
    }
}

/// What is in a file; `Some(None)` without it.
fn file<T>(
    name: &'static str,
    tls: &Fields<'_>,
    bench: &mut Bench<'_>,
    parse: impl FnOnce(&[u8]) -> Result<T, TlsError>,
) -> Option<Option<T>> {
    let Some(node) = tls.maybe(name) else { return Some(None) };
    match parse(&read(name, node, bench)?) {
        Ok(value) => Some(Some(value)),
        Err(why) => {
            unusable(node, &why, bench);
            None
        }
    }
}

fn read(name: &'static str, node: &Node, bench: &mut Bench<'_>) -> Option<Vec<u8>> {
    let path = node.text(name, "the path of a PEM file", bench.report)?;
    bench.read(path, node.span, MOST, "1 MiB")
}

fn unusable(node: &Node, why: &TlsError, bench: &mut Bench<'_>) {
    let file = node.as_text().unwrap_or_default();
    let label = if *why == TlsError::NoKey { "give `key`" } else { "" };
    let message = format!("cannot use `{file}`: {why}");
    match label {
        "" => bench.report.error(node.span, message),
        label => bench.report.error_with(node.span, message, label),
    }
}
