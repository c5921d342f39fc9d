//! An origin server as the configuration writes it: `app:3000`, `https://origin.example.com`, `unix:/run/app.sock`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::endpoint::Endpoint;

/// Longest path of a unix socket: what `sockaddr_un` takes beside its final zero (unix(7)).
const MAX_PATH: usize = 107;

/// Where one origin server listens, and whether it speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    host: Arc<str>,
    port: u16,
    tls: bool,
    socket: Option<Arc<Path>>,
}

impl ServerAddress {
    /// Lower-case name or IP address, without brackets. Never empty; `localhost` for a unix socket.
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// As written, else 80 for `http` and 443 for `https`. 0 only for a unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was written with `https://`.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Where it listens, if that is what was written instead of a name.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match &self.socket {
            Some(path) => Some(Endpoint::Unix(path.clone())),
            None => self.host.parse().ok().map(|ip| self.at(ip)),
        }
    }

    /// Its endpoint at an address that was found for its name.
    pub fn at(&self, ip: IpAddr) -> Endpoint {
        Endpoint::Inet(SocketAddr::new(ip, self.port))
    }
}

/// `host:port` or `unix:/path`, the name that logs and metrics use.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix:{}", path.display()),
            None if self.host.contains(':') => write!(f, "[{}]:{}", self.host, self.port),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::socket(path);
        }
        // Before the rest, since every other message repeats a part of the text.
        if text.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (tls, authority) = split_scheme(text)?;
        refuse_more_than_authority(text, authority)?;
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host: parse_host(host)?, port, tls, socket: None })
    }
}

impl ServerAddress {
    fn socket(path: &str) -> Result<Self, AddressError> {
        let clean = path.bytes().all(|byte| !byte.is_ascii_control()) && !path.ends_with('/');
        match path.starts_with('/') && clean && path.len() <= MAX_PATH {
            true => {
                let socket = Some(Path::new(path).into());
                Ok(Self { host: "localhost".into(), port: 0, tls: false, socket })
            }
            false => Err(AddressError::Socket(path.to_owned())),
        }
    }
}

/// Why a server's address was refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "`{0}` is not a host: write a name or an IP address, with ASCII letters, digits, `-`, `_` and `.`"
    )]
    Host(String),
    #[error("put brackets around an IPv6 address: `[{0}]:80`")]
    Ipv6(String),
    #[error("a server has no path, query or fragment: write `{0}`")]
    Path(String),
    #[error("`{0}` is not a port: write 1 to 65535")]
    Port(String),
    #[error("`{0}://` is not supported: write `http://` or `https://`")]
    Scheme(String),
    #[error(
        "`unix:{0}` is not a unix socket: write an absolute path of up to 107 bytes such as `unix:/run/app.sock`"
    )]
    Socket(String),
    #[error(
        "a server takes no user name or password: requests keep the `Authorization` that their clients send"
    )]
    UserInfo,
}

fn split_scheme(text: &str) -> Result<(bool, &str), AddressError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((false, text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((false, rest)),
        "https" => Ok((true, rest)),
        _ => Err(AddressError::Scheme(scheme.to_owned())),
    }
}

/// `text` is the whole with its scheme: without it, what to write instead would be another server.
fn refuse_more_than_authority(text: &str, authority: &str) -> Result<(), AddressError> {
    match authority.split_once(['/', '?', '#']) {
        None => Ok(()),
        Some(("", _)) => Err(AddressError::Host(authority.to_owned())),
        Some((_, more)) => {
            let bare = text.get(..text.len() - more.len() - 1).unwrap_or(authority);
            Err(AddressError::Path(bare.to_owned()))
        }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), AddressError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        return split_ipv6(bracketed);
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, rest)) if rest.contains(':') => Err(AddressError::Ipv6(authority.to_owned())),
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
    }
}

/// `::1]:80` or `::1]`.
fn split_ipv6(bracketed: &str) -> Result<(&str, Option<u16>), AddressError> {
    let refused = || AddressError::Host(format!("[{bracketed}"));
    let (host, rest) = bracketed.split_once(']').ok_or_else(refused)?;
    host.parse::<Ipv6Addr>().map_err(|_| refused())?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(parse_port(port)?))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(refused()),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()); // `parse` alone would take `+80`
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(AddressError::Port(text.to_owned())),
    }
}

/// Every label must have a letter: a host that is empty once its final dot is gone would make an empty SNI,
/// and with that Pingora turns certificate verification off.
fn parse_host(text: &str) -> Result<Arc<str>, AddressError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(allowed);
    let name = text.strip_suffix('.').unwrap_or(text);
    let ipv6 = text.parse::<Ipv6Addr>().is_ok();
    if ipv6 || (name.len() <= 253 && name.split('.').all(label)) {
        return Ok(text.to_ascii_lowercase().into());
    }
    Err(AddressError::Host(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool) {
        let address: ServerAddress = text.parse().unwrap();
        (address.to_string(), address.tls())
    }

    #[test]
    fn an_address_is_a_host_a_port_and_a_scheme() {
        for (text, name, tls) in [
            ("app:3000", "app:3000", false),
            ("app", "app:80", false),
            ("http://10.0.0.1", "10.0.0.1:80", false),
            ("HTTP://App_1:8080", "app_1:8080", false),
            ("https://Origin.Example.com", "origin.example.com:443", true),
            ("https://origin.example.com.:8443", "origin.example.com.:8443", true),
            ("[::1]:8080", "[::1]:8080", false),
            ("https://[2001:DB8::1]", "[2001:db8::1]:443", true),
            ("unix:/run/App.sock", "unix:/run/App.sock", false),
        ] {
            assert_eq!(parsed(text), (name.to_owned(), tls), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_server_is_refused_with_a_reason() {
        use AddressError as E;
        for (text, error) in [
            ("http://app:80/", E::Path("http://app:80".into())),
            ("HTTPS://app/api#x", E::Path("HTTPS://app".into())),
            ("https://app?x", E::Path("https://app".into())),
            ("app/api?x", E::Path("app".into())),
            ("/api", E::Host("/api".into())),
            ("https:///api", E::Host("/api".into())),
            ("ftp://app", E::Scheme("ftp".into())),
            ("http://user:pw@app", E::UserInfo),
            ("https://user:pw@app/api", E::UserInfo),
            ("https://user:p/w@app", E::UserInfo),
            ("ftp://user:pw@app", E::UserInfo),
            ("user:pw@[::1", E::UserInfo),
            ("app:0", E::Port("0".into())),
            ("app:65536", E::Port("65536".into())),
            ("app:+80", E::Port("+80".into())),
            ("app:", E::Port(String::new())),
            ("::1", E::Ipv6("::1".into())),
            ("[::1", E::Host("[::1".into())),
            ("[::1]80", E::Host("[::1]80".into())),
            ("[app]:80", E::Host("[app]:80".into())),
            ("", E::Host(String::new())),
            ("https://.", E::Host(".".into())),
            ("a..b", E::Host("a..b".into())),
            ("münchen.example", E::Host("münchen.example".into())),
            ("app 1", E::Host("app 1".into())),
            ("unix:app.sock", E::Socket("app.sock".into())),
            ("unix:", E::Socket(String::new())),
            ("unix:/run/", E::Socket("/run/".into())),
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(error), "{text}");
        }
    }
}
