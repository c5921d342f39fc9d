//! What explain is asked about: a request, and what an origin answers to it if that is known.

use crate::edge::rehearse::Given;
use crate::http::head::{self, Head, Refusal};
use crate::http::request::{Framing, Protocol, RequestView, Scheme};
use crate::http::{clean, fields::Fields, list};
use httparse::Header;
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr};

/// A request to be explained, with a response if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The request.
    pub request: Request,
    /// What the origin answers.
    pub response: Option<Given>,
}

/// A request as the listener would have read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The scheme of its URL.
    pub scheme: Scheme,
    /// Its host, without port.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its path.
    pub path: String,
    /// Its query.
    pub query: Option<String>,
    /// Its header fields, Host first.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub framing: Framing,
    /// Whether it asks to change protocol.
    pub upgrade: bool,
    /// Who asks.
    pub client: IpAddr,
}

impl Request {
    /// Reads a request the way the listener does. Who asks is this machine, unless it is said.
    ///
    /// # Errors
    /// What is wrong, in a sentence for the one who asked.
    pub fn new(
        method: &str,
        url: &str,
        headers: &[(String, String)],
        client: Option<IpAddr>,
    ) -> Result<Self, String> {
        let (scheme, authority, target) = split(url)?;
        if !list::is_token(method.as_bytes()) {
            return Err(format!("`{method}` is not a method: write one such as GET"));
        }
        let mut wire = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            wire += &format!("Host: {authority}\r\n");
        }
        for (name, value) in headers {
            check_field(name, value)?;
            wire += &format!("{name}: {value}\r\n");
        }
        wire += "\r\n";
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        read(wire.as_bytes(), scheme, client).map_err(|why| format!("`{url}` would be refused: {why}"))
    }

    /// Hands the request on as policy sees requests.
    pub fn with<R>(&self, then: impl FnOnce(&RequestView<'_>) -> R) -> R {
        let raw: Vec<Header<'_>> = self.fields.iter().map(|(name, value)| Header { name, value }).collect();
        then(&RequestView {
            method: &self.method,
            scheme: self.scheme,
            host: &self.host,
            port: self.port,
            path: &self.path,
            query: self.query.as_deref(),
            protocol: Protocol::Http11,
            fields: Fields::Raw(&raw),
            framing: self.framing,
            upgrade: self.upgrade,
            client: self.client,
        })
    }

    /// The URL in its full form.
    pub fn url(&self) -> String {
        let port =
            if self.port == self.scheme.default_port() { String::new() } else { format!(":{}", self.port) };
        let query = self.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        format!("{}://{}{port}{}{query}", self.scheme.as_str(), self.host, self.path)
    }

    fn of(head: &Head<'_, '_>, scheme: Scheme, client: IpAddr) -> Self {
        let view = head.view(scheme, client);
        Self {
            method: view.method.to_owned(),
            scheme,
            host: view.host.to_owned(),
            port: view.port,
            path: view.path.to_owned(),
            query: view.query.map(str::to_owned),
            fields: head.fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
            framing: view.framing,
            upgrade: view.upgrade,
            client,
        }
    }
}

/// Scheme, authority and target of a URL; what follows a `#` is nobody's business.
fn split(url: &str) -> Result<(Scheme, &str, String), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(format!("`{url}` is not a whole URL: write it with http:// or https://")),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(format!("`{url}` names no host"));
    }
    if authority.contains('@') {
        return Err(format!("`{url}` has a user name in it: say it with a header Authorization"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    if target.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("`{url}` has characters that a URL cannot have: write them as %20 and the like"));
    }
    Ok((scheme, authority, target))
}

fn check_field(name: &str, value: &str) -> Result<(), String> {
    if !list::is_token(name.as_bytes()) {
        return Err(format!("`{name}` is not the name of a header field"));
    }
    match value.bytes().find(|byte| byte.is_ascii_control() && *byte != b'\t') {
        Some(_) => Err(format!("the value of header {name} has a control character in it")),
        None => Ok(()),
    }
}

/// The reader of the listener, on a head of our own making.
fn read(wire: &[u8], scheme: Scheme, client: IpAddr) -> Result<Request, String> {
    let refused = |refusal: Refusal| format!("{} ({})", refusal.detail, refusal.status);
    let incomplete = || "the head is not complete".to_owned();
    let mut slots = head::slots();
    let head = head::read(wire, &mut slots).map_err(refused)?.ok_or_else(incomplete)?;
    if !head.odd {
        return Ok(Request::of(&head, scheme, client));
    }
    let clean = clean::clean(&head);
    let mut slots = head::slots();
    let head = head::read(&clean, &mut slots).map_err(refused)?.ok_or_else(incomplete)?;
    Ok(Request::of(&head, scheme, client))
}

impl Given {
    /// An answer without a word about its body.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn new(status: u16, fields: Vec<(String, String)>) -> Result<Self, String> {
        if !(200..600).contains(&status) {
            return Err(format!("{status} is not the status of a response: they go from 200 to 599"));
        }
        fields.iter().try_for_each(|(name, value)| check_field(name, value))?;
        Ok(Self { status, fields, length: None })
    }

    /// The same, so many seconds old on arrival.
    pub fn aged(mut self, age: Option<u64>) -> Self {
        self.fields.extend(age.map(|age| ("Age".to_owned(), age.to_string())));
        self
    }
}

impl Question {
    /// Reads `{"url": …, "method": …, "headers": …, "client": …, "response": {"status": …, "headers": …, "age": …}}`.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("this is not JSON: {error}"))?;
        let known = ["url", "method", "headers", "client", "response"];
        let fields = object(&value, "the question", &known)?;
        let url = fields.get("url").ok_or("the question has no `url`")?;
        let method = fields.get("method").map_or(Ok("GET"), |value| string(value, "method"))?;
        let client = fields.get("client").map(client).transpose()?;
        let request = Request::new(method, string(url, "url")?, &headers(fields)?, client)?;
        let response = fields.get("response").filter(|value| !value.is_null()).map(given).transpose()?;
        Ok(Self { request, response })
    }
}

fn given(value: &Value) -> Result<Given, String> {
    let fields = object(value, "`response`", &["status", "headers", "age", "length"])?;
    let number = |name: &str| fields.get(name).map(|value| number(value, name)).transpose();
    let status = number("status")?.unwrap_or(200);
    let status = u16::try_from(status).map_err(|_| format!("{status} is not the status of a response"))?;
    let given = Given::new(status, headers(fields)?)?.aged(number("age")?);
    Ok(Given { length: number("length")?, ..given })
}

fn object<'v>(value: &'v Value, what: &str, known: &[&str]) -> Result<&'v Map<String, Value>, String> {
    let fields =
        value.as_object().ok_or(format!("{what} must be an object with the fields {}", known.join(", ")))?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{what} has no field `{unknown}`: it knows {}", known.join(", "))),
        None => Ok(fields),
    }
}

fn string<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value.as_str().ok_or(format!("`{name}` must be a text"))
}

fn number(value: &Value, name: &str) -> Result<u64, String> {
    value.as_u64().ok_or(format!("`{name}` must be a whole number"))
}

fn client(value: &Value) -> Result<IpAddr, String> {
    let text = string(value, "client")?;
    text.parse().map_err(|_| format!("`client` must be an IP address; `{text}` is none"))
}

/// `{"k": "v", "k": ["v", "w"]}` or `[["k", "v"], …]`.
fn headers(fields: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let wrong = || "`headers` must be an object of texts, or a list of [name, value]".to_owned();
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let mut found = Vec::new();
    match fields.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (name, value) in map {
                let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                for value in values {
                    found.push((name.clone(), text(value)?));
                }
            }
        }
        Some(Value::Array(list)) => {
            for pair in list {
                match pair.as_array().map(Vec::as_slice) {
                    Some([name, value]) => found.push((text(name)?, text(value)?)),
                    _ => return Err(wrong()),
                }
            }
        }
        Some(_) => return Err(wrong()),
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Question, String> {
        Question::from_json(text.as_bytes())
    }

    #[test]
    fn a_question_in_json_says_everything() {
        let question = json(
            r#"{"url": "https://Www.example.com/a.js?x=1#top", "method": "HEAD", "headers": {"accept": ["a", "b"]},
               "client": "10.1.2.3", "response": {"status": 404, "headers": [["Vary", "accept"]], "age": 90}}"#,
        )
        .unwrap();
        let request = &question.request;
        assert_eq!(request.url(), "https://Www.example.com/a.js?x=1");
        assert_eq!((request.method.as_str(), request.client.to_string().as_str()), ("HEAD", "10.1.2.3"));
        let names: Vec<&str> = request.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Host", "accept", "accept"]);
        let given = question.response.unwrap();
        assert_eq!((given.status, given.fields.len(), given.length), (404, 2, None));
        assert_eq!(given.fields[1], ("Age".to_owned(), "90".to_owned()));
    }

    #[test]
    fn little_needs_to_be_said() {
        let request = json(r#"{"url": "http://a"}"#).unwrap().request;
        assert_eq!(
            (request.url(), request.port, request.method),
            ("http://a/".to_owned(), 80, "GET".to_owned())
        );
        let request = Request::new("GET", "http://a:8080?b", &[], None).unwrap();
        assert_eq!(
            (request.url(), request.path, request.query),
            ("http://a:8080/?b".to_owned(), "/".into(), Some("b".into()))
        );
    }

    #[test]
    fn a_host_field_stands_for_the_host_of_the_url() {
        let host = ("Host".to_owned(), "b:81".to_owned());
        let request = Request::new("GET", "http://127.0.0.1/x", &[host], None).unwrap();
        assert_eq!((request.host.as_str(), request.port), ("b", 81));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, wrong) in [
            ("{", "this is not JSON"),
            ("[]", "the question must be an object with the fields url, method"),
            ("{}", "the question has no `url`"),
            (r#"{"url": 1}"#, "`url` must be a text"),
            (r#"{"url": "a/b"}"#, "`a/b` is not a whole URL: write it with http:// or https://"),
            (r#"{"url": "ftp://a/b"}"#, "is not a whole URL"),
            (r#"{"url": "http:///b"}"#, "names no host"),
            (r#"{"url": "http://u:p@a/"}"#, "has a user name in it"),
            (r#"{"url": "http://a/b c"}"#, "characters that a URL cannot have"),
            (r#"{"url": "http://a b/"}"#, "would be refused"),
            (r#"{"url": "http://a/", "methods": "GET"}"#, "has no field `methods`: it knows url, method"),
            (r#"{"url": "http://a/", "method": "G T"}"#, "`G T` is not a method"),
            (r#"{"url": "http://a/", "method": "CONNECT"}"#, "the method is not allowed here (405)"),
            (r#"{"url": "http://a/", "headers": 1}"#, "`headers` must be"),
            (r#"{"url": "http://a/", "headers": [["a"]]}"#, "`headers` must be"),
            (r#"{"url": "http://a/", "headers": {"a b": "c"}}"#, "`a b` is not the name of a header field"),
            (r#"{"url": "http://a/", "headers": {"a": "b\r\nc: d"}}"#, "control character"),
            (r#"{"url": "http://a/", "client": "me"}"#, "`me` is none"),
            (r#"{"url": "http://a/", "response": {"status": 99}}"#, "99 is not the status"),
            (r#"{"url": "http://a/", "response": {"status": 99999}}"#, "99999 is not the status"),
            (r#"{"url": "http://a/", "response": {"age": "x"}}"#, "`age` must be a whole number"),
            (r#"{"url": "http://a/", "response": {"body": "x"}}"#, "`response` has no field `body`"),
        ] {
            let error = json(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
