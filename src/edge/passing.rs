//! Compresses what passes the cache while it passes, for clients that can read it.
//!
//! `begin` decides once, at the head, and edits it; `body` and `trailers` carry the stream on and end it. Every piece that
//! comes from the origin can be read by the client before the next comes: an event is not held back for the sake of a
//! few bytes. What costs too much now goes out as it is.

use super::ctx::Ctx;
use super::make;
use crate::compress::{self, Came, Effort, Encoder, Failed, Place, Settings, Stopwatch};
use crate::http::accept_encoding::{self, Coding, OF_BYTES};
use crate::http::fields::Fields;
use crate::http::{cache_control, etag, vary};
use crate::state::State;
use crate::telemetry::Run;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

/// A body that is being compressed on its way.
pub struct Passing {
    coding: Coding,
    encoder: Encoder,
    /// Its place among those for which clients wait; free again when the stream ends, however it ends.
    _place: Place,
}

/// A response that passes, and who asked for it.
pub struct Case<'a> {
    /// What is compressed and how; `None` where route or rules want nothing compressed.
    pub settings: Option<&'a Settings>,
    /// What the client speaks.
    pub version: Version,
    /// The fields of the request.
    pub asked: Fields<'a>,
    /// The status.
    pub status: StatusCode,
    /// The fields of the response.
    pub fields: Fields<'a>,
}

/// How a response goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it came, whoever asks.
    AsItCame,
    /// Compressed.
    Compressed(Coding),
    /// As it came, but another client would get it compressed.
    Plain,
    /// Without a body: it tells a client that what it has, perhaps compressed here, is still good.
    Unmodified,
}

impl<'a> Case<'a> {
    fn of(ctx: &'a Ctx, request: &'a RequestHeader, response: &'a ResponseHeader) -> Self {
        let wanted = ctx.ruled().compress();
        let settings = ctx.cause().and_then(|(plan, _, route)| plan.compress(route));
        Self {
            settings: settings.filter(|_| wanted).map(|settings| &**settings),
            version: request.version,
            asked: Fields::Map(&request.headers),
            status: response.status,
            fields: Fields::Map(&response.headers),
        }
    }

    /// How the response goes out.
    pub fn form(&self) -> Form {
        let Some(settings) = self.settings else { return Form::AsItCame };
        if self.status == StatusCode::NOT_MODIFIED {
            return Form::Unmodified;
        }
        if !self.is_subject(settings) {
            return Form::AsItCame;
        }
        let preferences = accept_encoding::parse(self.asked.all("accept-encoding"));
        let best = preferences.best(settings.codings.iter().copied());
        best.filter(|_| self.may_change()).map_or(Form::Plain, Form::Compressed)
    }

    /// Whether the response is one that is compressed, for whomever.
    fn is_subject(&self, settings: &Settings) -> bool {
        let kind = self.fields.first("content-type");
        let length = self.fields.content_length();
        self.has_body()
            && length != Some(0)
            && !kind.is_some_and(is_grpc)
            && !compress::forbids(self.fields)
            && compress::coding(self.fields) == Came::Plain
            && settings.is_worth(kind, length)
    }

    /// RFC 9110 §15: whether a response to a GET would have a body, and a whole one.
    fn has_body(&self) -> bool {
        !self.status.is_informational() && !matches!(self.status.as_u16(), 204..=206)
    }

    /// Whether it may be changed for this client, who can also read a body of unknown length.
    fn may_change(&self) -> bool {
        // RFC 9110 §7.7
        let forbidden = cache_control::parse(self.asked.all("cache-control")).no_transform;
        self.version > Version::HTTP_10 && !self.asked.has("upgrade") && !forbidden
    }
}

/// gRPC compresses by itself, message by message, and ends with trailers.
fn is_grpc(kind: &[u8]) -> bool {
    let name = b"application/grpc";
    kind.trim_ascii_start().get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Edits the head of a response as [`begin`] does while there is time to compress.
pub fn foretell(ctx: &Ctx, request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
    let form = Case::of(ctx, request, response).form();
    apply(form, request, response)
}

/// Decides about a response, and edits its head. What is to be compressed gets a stream, but for HEAD, whose answer only
/// looks the same.
///
/// That a head is all, as HTTP/2 can say without a length, Pingora does not tell here: such an answer is said to be
/// compressed, and empty.
pub fn begin(
    state: &State,
    ctx: &Ctx,
    request: &RequestHeader,
    response: &mut ResponseHeader,
) -> Result<Option<Passing>> {
    let case = Case::of(ctx, request, response);
    let (settings, length) = (case.settings, case.fields.content_length());
    let (mut form, mut passing) = (case.form(), None);
    if let (Form::Compressed(coding), Some(settings)) = (form, settings)
        && request.method != Method::HEAD
    {
        let place = if length.is_some() { state.load.enter() } else { state.load.enter_endless() };
        match place {
            Ok(place) => {
                state.metrics.compress(coding, Run::Pass).began();
                let encoder = Encoder::new(coding, Effort::Now, &settings.levels, length);
                passing = Some(Passing { coding, encoder, _place: place });
            }
            Err(shed) => {
                state.metrics.compress_shed(make::why_of(shed));
                form = Form::Plain;
            }
        }
    }
    apply(form, request, response)?;
    Ok(passing)
}

/// Edits the head of a response that goes out in a form.
fn apply(form: Form, request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
    match form {
        Form::AsItCame => Ok(()),
        Form::Plain => say_vary(response),
        Form::Unmodified => {
            if response.headers.contains_key("vary") {
                say_vary(response)?;
            }
            if has_only_weak(request, response) { weaken(response) } else { Ok(()) }
        }
        Form::Compressed(coding) => {
            response.remove_header("content-length");
            for name in OF_BYTES {
                response.remove_header(name);
            }
            response.insert_header("Content-Encoding", coding.token())?;
            weaken(response)?;
            say_vary(response)?;
            if request.method != Method::HEAD {
                // An origin of HTTP/1.0 gave the response its version, which knows no chunks.
                response.set_version(Version::HTTP_11);
                response.insert_header("Transfer-Encoding", "chunked")?;
            }
            Ok(())
        }
    }
}

/// Whether the client has what the origin confirms by the weakened tag alone, as it would if it had been compressed here.
/// RFC 9111 §4.3.4: of a strong tag that it does not know it could make nothing.
fn has_only_weak(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let tag = Fields::Map(&response.headers).first("etag");
    let asked = || Fields::Map(&request.headers).all("if-none-match");
    etag::list_matches_weak(asked(), tag) && !etag::list_matches_strong(asked(), tag)
}

/// RFC 9110 §8.8.1: a strong tag would promise the same bytes. One that is no tag goes.
fn weaken(response: &mut ResponseHeader) -> Result<()> {
    let Some(tag) = Fields::Map(&response.headers).first("etag") else { return Ok(()) };
    match etag::weakened(tag) {
        Some(weak) => response.insert_header("ETag", weak),
        None => {
            response.remove_header("etag");
            Ok(())
        }
    }
}

/// RFC 9110 §12.5.5: what was chosen by Accept-Encoding says so.
fn say_vary(response: &mut ResponseHeader) -> Result<()> {
    let said = vary::is_by_encoding(Fields::Map(&response.headers).all("vary"));
    if said { Ok(()) } else { response.append_header("Vary", "Accept-Encoding").map(drop) }
}

/// Compresses what comes of the body, if it is to be; `end`: the rest of the stream too.
///
/// # Errors
/// The encoder gave up: the answer can only be broken off.
pub fn body(state: &State, ctx: &mut Ctx, data: &mut Option<Bytes>, end: bool) -> Result<()> {
    let empty = data.as_ref().is_none_or(Bytes::is_empty);
    if empty && !end {
        return Ok(());
    }
    let Some(mut passing) = ctx.passing.take() else { return Ok(()) };
    let (began, coding) = (Stopwatch::start(), passing.coding);
    let taken = data.take().unwrap_or_default();
    let given = passing.push(&taken).and_then(|mut out| {
        if end {
            out.extend_from_slice(&passing.encoder.finish()?);
        } else {
            out.extend_from_slice(&passing.encoder.flush()?);
            ctx.passing = Some(passing);
        }
        Ok(out.freeze())
    });
    let (time, out) = (began.elapsed(), given.as_ref().map_or(0, Bytes::len));
    state.load.spend(time);
    state.metrics.compress(coding, Run::Pass).worked(time, taken.len() as u64, out as u64);
    let gave_up = |Failed| Error::explain(ErrorType::InternalError, "the compression gave up").into_in();
    *data = Some(given.map_err(gave_up)?);
    Ok(())
}

/// The body ends with trailers: there the rest of the stream takes their place, since Pingora sends either.
///
/// # Errors
/// As [`body`]. Pingora would send the trailers nevertheless, so the answer is broken off here.
pub async fn trailers(state: &State, s: &mut ServerSession, ctx: &mut Ctx) -> Result<Option<Bytes>> {
    if ctx.passing.is_none() {
        return Ok(None);
    }
    let mut rest = None;
    let Err(error) = body(state, ctx, &mut rest, true) else { return Ok(rest) };
    if let Some(relayed) = &ctx.relayed {
        relayed.spoil();
        return Ok(Some(Bytes::new()));
    }
    s.shutdown().await;
    Err(error)
}

impl Passing {
    fn push(&mut self, data: &[u8]) -> Result<BytesMut, Failed> {
        let mut out = BytesMut::new();
        for slice in data.chunks(Encoder::SLICE) {
            out.extend_from_slice(&self.encoder.push(slice)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};

    /// `name: value` lines.
    fn fields(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| {
            let (name, value) = line.split_once(": ").unwrap();
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn settings() -> Settings {
        Settings { types: vec!["text/*".into(), "application/*".into()], ..Settings::default() }
    }

    fn form(asked: &[&str], status: u16, came: &[&str]) -> Form {
        let (asked, came, settings) = (fields(asked), fields(came), settings());
        let case = Case {
            settings: Some(&settings),
            version: Version::HTTP_11,
            asked: Fields::Map(&asked),
            status: StatusCode::from_u16(status).unwrap(),
            fields: Fields::Map(&came),
        };
        case.form()
    }

    const ALL: &str = "accept-encoding: gzip, deflate, br, zstd";
    const TEXT: &str = "content-type: text/html; charset=utf-8";

    #[test]
    fn the_request_says_how_and_the_response_whether() {
        use Coding::{Br, Gzip, Zstd};
        use Form::{AsItCame, Compressed, Plain, Unmodified};
        for (asked, status, came, expected) in [
            (&[ALL][..], 200, &[TEXT][..], Compressed(Br)),
            (&[ALL], 200, &[TEXT, "content-length: 1024"], Compressed(Br)),
            (&[ALL], 404, &[TEXT], Compressed(Br)),
            (&[ALL], 200, &[TEXT, "content-encoding: identity"], Compressed(Br)),
            (&[ALL, "range: bytes=0-"], 200, &[TEXT], Compressed(Br)),
            (&["accept-encoding: gzip, zstd"], 200, &[TEXT], Compressed(Zstd)),
            (&["accept-encoding: gzip;q=1, br;q=0.5"], 200, &[TEXT], Compressed(Gzip)),
            (&["accept-encoding: identity;q=0, gzip;q=0.1"], 200, &[TEXT], Compressed(Gzip)),
            (&["accept-encoding: identity, br;q=0.5"], 200, &[TEXT], Plain),
            (&["accept-encoding: gzip;q=0"], 200, &[TEXT], Plain),
            (&[], 200, &[TEXT], Plain),
            (&[ALL, "cache-control: no-transform"], 200, &[TEXT], Plain),
            (&[ALL, "upgrade: websocket"], 200, &[TEXT], Plain),
            (&[ALL], 200, &[TEXT, "cache-control: max-age=1, No-Transform"], AsItCame),
            (&[ALL], 200, &[TEXT, "content-encoding: gzip"], AsItCame),
            (&[ALL], 200, &[TEXT, "content-encoding: aws-chunked"], AsItCame),
            (&[ALL], 200, &[TEXT, "content-range: bytes 0-1/2"], AsItCame),
            (&[ALL], 200, &[TEXT, "content-length: 0"], AsItCame),
            (&[ALL], 200, &[TEXT, "content-length: 1023"], AsItCame),
            (&[ALL], 200, &[], AsItCame),
            (&[ALL], 200, &["content-type: image/png"], AsItCame),
            (&[ALL], 200, &["content-type: application/grpc"], AsItCame),
            (&[ALL], 200, &["content-type: Application/gRPC-Web+proto"], AsItCame),
            (&[ALL], 101, &[TEXT], AsItCame),
            (&[ALL], 103, &[TEXT], AsItCame),
            (&[ALL], 204, &[TEXT], AsItCame),
            (&[ALL], 205, &[TEXT], AsItCame),
            (&[ALL], 206, &[TEXT], AsItCame),
            (&[ALL], 304, &[TEXT], Unmodified),
        ] {
            assert_eq!(form(asked, status, came), expected, "{asked:?} {status} {came:?}");
        }
    }

    #[test]
    fn nothing_is_compressed_where_it_is_off_or_the_client_knows_no_chunks() {
        let (asked, came, settings) = (fields(&[ALL]), fields(&[TEXT]), settings());
        let case = |settings, version| Case {
            settings,
            version,
            asked: Fields::Map(&asked),
            status: StatusCode::OK,
            fields: Fields::Map(&came),
        };
        assert_eq!(case(None, Version::HTTP_11).form(), Form::AsItCame);
        assert_eq!(case(Some(&settings), Version::HTTP_10).form(), Form::Plain);
        assert_eq!(case(Some(&settings), Version::HTTP_2).form(), Form::Compressed(Coding::Br));
    }

    /// The fields of a response after it was edited.
    fn edited(form: Form, method: &str, asked: &[&str], status: u16, came: &[&str]) -> Vec<String> {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in &fields(asked) {
            request.append_header(name.clone(), value.clone()).unwrap();
        }
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in &fields(came) {
            response.append_header(name.clone(), value.clone()).unwrap();
        }
        apply(form, &request, &mut response).unwrap();
        let mut lines: Vec<String> =
            response.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_head_speaks_of_the_bytes_that_are_sent() {
        let gzip = Form::Compressed(Coding::Gzip);
        let came = [
            "content-length: 5000",
            "accept-ranges: bytes",
            "content-md5: x",
            "digest: x",
            "content-digest: x",
            "repr-digest: x",
            "etag: \"x\"",
            "vary: Cookie",
            "x: y",
        ];
        let head =
            ["content-encoding: gzip", "etag: W/\"x\"", "vary: Accept-Encoding", "vary: Cookie", "x: y"];
        assert_eq!(edited(gzip, "HEAD", &[], 200, &came), head);
        let mut with_body = head.to_vec();
        with_body.insert(2, "transfer-encoding: chunked");
        assert_eq!(edited(gzip, "GET", &[], 200, &came), with_body);
        let left = edited(gzip, "HEAD", &[], 200, &["etag: no tag", "vary: *", "content-encoding: identity"]);
        assert_eq!(left, ["content-encoding: gzip", "vary: *"]);
        let plain = edited(Form::Plain, "GET", &[], 200, &["etag: \"x\"", "content-length: 5000"]);
        assert_eq!(plain, ["content-length: 5000", "etag: \"x\"", "vary: Accept-Encoding"]);
        assert_eq!(
            edited(Form::Plain, "GET", &[], 200, &["vary: A, accept-encoding"]),
            ["vary: A, accept-encoding"]
        );
        assert_eq!(edited(Form::AsItCame, "GET", &[], 200, &["etag: \"x\""]), ["etag: \"x\""]);
    }

    #[test]
    fn a_304_confirms_the_tag_that_the_client_has() {
        for (asked, came, expected) in [
            ("W/\"x\"", "\"x\"", "W/\"x\""),
            ("\"y\", W/\"x\"", "\"x\"", "W/\"x\""),
            ("\"x\"", "\"x\"", "\"x\""),
            ("W/\"x\", \"x\"", "\"x\"", "\"x\""),
            ("*", "\"x\"", "\"x\""),
            ("W/\"y\"", "\"x\"", "\"x\""),
            ("W/\"x\"", "W/\"x\"", "W/\"x\""),
        ] {
            let head = edited(
                Form::Unmodified,
                "GET",
                &[&format!("if-none-match: {asked}")],
                304,
                &[&format!("etag: {came}")],
            );
            assert_eq!(head, [format!("etag: {expected}")], "{asked} {came}");
        }
        let head = edited(Form::Unmodified, "GET", &[], 304, &["vary: Cookie"]);
        assert_eq!(head, ["vary: Accept-Encoding", "vary: Cookie"]);
    }
}
