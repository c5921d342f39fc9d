//! Names and addresses that several sections write: header fields, cookies, parameters, methods, networks.

use crate::http::list::is_token;
use crate::route::parse_net;
use ipnet::IpNet;
use std::str::FromStr;

/// The name of a header field, in lower case.
pub struct FieldName(pub Box<str>);
/// The name of a cookie, as it is sent.
pub struct CookieName(pub Box<str>);
/// The name of a query parameter, as it is sent.
pub struct ParameterName(pub Box<str>);
/// A method.
pub struct Method(pub Box<str>);
/// A network, or an address as a network of one.
pub struct Net(pub IpNet);

/// Names are written in full; a pattern in their place would never match, and nobody would notice.
fn refuse_pattern(text: &str) -> Result<(), String> {
    if !text.contains('*') && !text.starts_with('~') {
        return Ok(());
    }
    Err(format!(
        "`{text}` is a pattern, and names are written in full; for a pattern over all cookies write \
         `header: {{ cookie: \"*{}*\" }}`",
        text.trim_matches(['*', '~'])
    ))
}

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        refuse_pattern(text)?;
        match is_token(text.as_bytes()) {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(format!("`{text}` is not the name of a header field: letters, digits and - are")),
        }
    }
}

impl FromStr for CookieName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        refuse_pattern(text)?;
        match is_token(text.as_bytes()) {
            true => Ok(Self(text.into())),
            false => Err(format!("`{text}` is not the name of a cookie: letters, digits, - and _ are")),
        }
    }
}

impl FromStr for ParameterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        refuse_pattern(text)?;
        let sent = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'=' | b'#');
        match !text.is_empty() && text.bytes().all(sent) {
            true => Ok(Self(text.into())),
            false => {
                Err(format!("`{text}` is not the name of a parameter: write it as it is sent, %-encoded"))
            }
        }
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_token(text.as_bytes()) {
            return Err(format!("`{text}` is not a method: write GET, HEAD, POST, …"));
        }
        let capitals = text.to_ascii_uppercase();
        // RFC 9110 §9.1: methods are case-sensitive, and every registered one is in capitals.
        match text == capitals {
            true => Ok(Self(text.into())),
            false => Err(format!("`{text}` is no method that clients send: write `{capitals}`")),
        }
    }
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_net(text).map(Self)
    }
}

impl From<FieldName> for Box<str> {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

impl From<CookieName> for Box<str> {
    fn from(name: CookieName) -> Self {
        name.0
    }
}

impl From<ParameterName> for Box<str> {
    fn from(name: ParameterName) -> Self {
        name.0
    }
}

/// What routes, upstreams and rules are called: in log, metrics and messages.
pub struct Name(pub String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 64;
        if text.is_empty() || text.trim() != text {
            return Err(format!("`{text}` is not a name: it is empty, or a space stands at its end"));
        }
        if text.chars().count() > LONGEST {
            return Err(format!(
                "a name may have {LONGEST} characters; this one has {}",
                text.chars().count()
            ));
        }
        match text.chars().any(char::is_control) {
            true => Err("a name may not have control characters".to_owned()),
            false => Ok(Self(text.to_owned())),
        }
    }
}
