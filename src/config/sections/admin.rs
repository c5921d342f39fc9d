//! `admin`: where the operator asks.

use super::listeners::collide;
use crate::config::{Diagnostic, Env, Field, Fields, Kind, Need, Report, Section, Severity, Span};
use crate::net::{AdminError, ListenAddress, Token, token_for};
use crate::setup::Admin;

/// The environment variable that holds the token if the file does not.
const VARIABLE: &str = "FORELAND_ADMIN_TOKEN";

/// The operator's listener.
pub static ADMIN: Section = Section {
    name: "admin",
    doc: "The operator's listener: metrics, health, purging, explaining, reloading. The word `off` instead of the keys \
          opens none.",
    fields: &[
        Field {
            name: "bind",
            kind: Kind::Text("an address to listen on such as 127.0.0.1:9900"),
            need: Need::Default("127.0.0.1:9900"),
            doc: "The address and port. By default only this machine reaches it; any other address needs a token.",
            example: "\":9900\"",
        },
        Field {
            name: "token",
            kind: Kind::Text("a secret, best as ${file:/run/secrets/token}"),
            need: Need::Optional,
            doc: "The secret that whoever asks must send, as `Authorization: Bearer …`: visible ASCII without spaces. \
                  Without it the environment variable `FORELAND_ADMIN_TOKEN` counts, and without that there is none, \
                  which only an address on loopback may have. It is never shown.",
            example: "\"${file:/run/secrets/foreland-admin}\"",
        },
    ],
};

/// What `admin` may be.
pub const KIND: Kind = Kind::Either(&[Kind::Section(&ADMIN), Kind::Word(&["off"])]);

/// The operator's listener; `Some(None)` for none. `taken` are the addresses of clients. None: something is wrong, and
/// reported.
pub fn compile(
    top: &Fields<'_>,
    taken: &[(ListenAddress, Span)],
    env: &dyn Env,
    report: &mut Report,
) -> Option<Option<Admin>> {
    if top.maybe("admin").is_some_and(|node| node.is_word("off")) {
        return Some(None);
    }
    let fields = top.section("admin", &ADMIN, report)?;
    let bind: Option<ListenAddress> = fields.parse("bind", report);
    let written = if fields.has("token") { Some(fields.text("token", report)?.to_owned()) } else { None };
    let bind = bind?;
    refuse_taken(bind, &fields, taken, report);
    let token = token(bind, written, &fields, env, report)?;
    Some(Some(Admin { bind, token }))
}

fn refuse_taken(
    bind: ListenAddress,
    fields: &Fields<'_>,
    taken: &[(ListenAddress, Span)],
    report: &mut Report,
) {
    let Some((address, place)) = taken.iter().find(|(taken, _)| collide(taken, &bind)) else { return };
    if fields.has("bind") {
        let message = format!("`admin` cannot have {bind}: a listener at {address} is in its way");
        let both = Diagnostic::new(Severity::Error, Some(fields.value_span("bind")), message);
        report.push(both.label("give it a port of its own").other(*place, "the listener"));
    } else {
        let message =
            format!("a listener at {address} is in the way of `admin`, which is at {bind} by default");
        report.error_with(*place, message, "take another port, or move `admin`");
    }
}

fn token(
    bind: ListenAddress,
    written: Option<String>,
    fields: &Fields<'_>,
    env: &dyn Env,
    report: &mut Report,
) -> Option<Option<Token>> {
    const SENT: &str = "visible ASCII without spaces or line ends";
    let from_file = written.is_some();
    let secret = written.or_else(|| env.variable(VARIABLE));
    let address = bind.candidates().into_iter().next()?;
    match token_for(address, secret.as_deref()) {
        Ok(_) if from_file && secret.is_some_and(|secret| secret.is_empty()) => {
            fields.error("token", "`token` is empty", report);
            None
        }
        Ok(token) => Some(token),
        Err(AdminError::TokenUnusable) if from_file => {
            fields.error("token", format!("`token` cannot be sent: it needs {SENT}"), report);
            None
        }
        Err(AdminError::TokenUnusable) => {
            let message = format!("the token in {VARIABLE} cannot be sent: it needs {SENT}");
            report.error(fields.span(), message);
            None
        }
        Err(AdminError::TokenRequired(_)) => {
            let message = format!("the admin address {bind} is not loopback, so a token is required");
            let label = format!("give `token`, set {VARIABLE}, or listen on 127.0.0.1");
            report.error_with(fields.value_span("bind"), message, label);
            None
        }
    }
}
