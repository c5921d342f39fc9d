//! Which path of the admin listener does what, and who may ask.

use super::purge::Wanted;
use super::{Admin, Answer, body, purge};
use crate::http::head::split_host;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Body;
use std::net::IpAddr;

/// What the admin listener sends.
pub(super) type Reply = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const READ: &str = "GET, HEAD";
const WRITE: &str = "POST";

impl Admin {
    /// The answer to a request; health is for everybody, the rest for whoever has the token.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Reply
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match (request.uri().path(), request.method()) {
            ("/healthz", &Method::GET | &Method::HEAD) => reply(StatusCode::OK, TEXT, "ok\n"),
            ("/readyz", &Method::GET | &Method::HEAD) => self.readiness(),
            ("/healthz" | "/readyz", _) => not_allowed(READ),
            _ if !self.is_authorized(request.headers()) => unauthorized(),
            ("/metrics", &Method::GET | &Method::HEAD) => {
                reply(StatusCode::OK, PROMETHEUS, self.operations.metrics())
            }
            ("/v1/upstreams", &Method::GET | &Method::HEAD) => answered(self.operations.upstreams()),
            ("/metrics" | "/v1/upstreams", _) => not_allowed(READ),
            ("/v1/purge" | "/v1/reload" | "/v1/explain", &Method::POST)
                if self.is_foreign(request.headers()) =>
            {
                foreign()
            }
            ("/v1/purge", &Method::POST) => self.purge(request.into_body()).await,
            ("/v1/reload", &Method::POST) => answered(self.operations.reload().await),
            ("/v1/explain", &Method::POST) => self.explain(request.into_body()).await,
            ("/v1/purge" | "/v1/reload" | "/v1/explain", _) => not_allowed(WRITE),
            (path, _) => problem(StatusCode::NOT_FOUND, &format!("there is nothing at {path}")),
        }
    }

    fn readiness(&self) -> Reply {
        match self.operations.ready() {
            true => reply(StatusCode::OK, TEXT, "ready\n"),
            false => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready: starting or draining\n"),
        }
    }

    async fn purge<B>(&self, body: B) -> Reply
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let read = match body::read(body).await {
            Ok(read) => read,
            Err(unread) => return problem(unread.status(), &unread.to_string()),
        };
        let purged = match purge::wanted(&read) {
            Ok(Wanted::Url(url)) => self.operations.purge_url(&url),
            Ok(Wanted::Tag(tag)) => self.operations.purge_tag(&tag),
            Err(refusal) => return problem(StatusCode::BAD_REQUEST, &refusal.to_string()),
        };
        log::debug!("admin: purged {purged} objects: {}", String::from_utf8_lossy(&read));
        reply(StatusCode::OK, JSON, format!("{}\n", serde_json::json!({ "purged": purged })))
    }

    async fn explain<B>(&self, body: B) -> Reply
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match body::read(body).await {
            Ok(question) => answered(self.operations.explain(&question)),
            Err(unread) => problem(unread.status(), &unread.to_string()),
        }
    }

    /// Whether a web page of another site sends this through an operator's browser: a listener on loopback is open to
    /// every page the operator looks at. Programs send no `Origin`. Without a token, a page may not call itself our own
    /// either, under a name that it made the browser resolve to this machine.
    fn is_foreign(&self, fields: &HeaderMap) -> bool {
        let Some(origin) = fields.get(ORIGIN) else {
            return false;
        };
        let origin = origin.as_bytes();
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        let own = authority.is_some() && authority == fields.get(HOST).map(HeaderValue::as_bytes);
        !own || (self.token.read().is_none() && !authority.is_some_and(is_this_machine))
    }

    fn is_authorized(&self, fields: &HeaderMap) -> bool {
        let token = self.token.read();
        let Some(token) = &*token else { return true };
        fields.get(AUTHORIZATION).is_some_and(|sent| token.admits(sent.as_bytes()))
    }
}

/// An address, or the one name that no page can have.
fn is_this_machine(authority: &[u8]) -> bool {
    let host = std::str::from_utf8(authority).ok().and_then(split_host).map_or("", |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn answered(answer: Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, JSON, format!("{}\n", answer.body))
}

fn foreign() -> Reply {
    problem(StatusCode::FORBIDDEN, "the request comes from a page of another site, as its Origin field says")
}

fn unauthorized() -> Reply {
    let message =
        "a token is required: send `Authorization: Bearer …` with the value of FORELAND_ADMIN_TOKEN";
    let mut reply = problem(StatusCode::UNAUTHORIZED, message);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"foreland\""));
    reply
}

fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed here: {methods}"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

fn problem(status: StatusCode, message: &str) -> Reply {
    reply(status, JSON, format!("{}\n", serde_json::json!({ "error": message })))
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
