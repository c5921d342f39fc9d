//! The secret that opens the admin listener, and when one is needed.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;

/// The environment variable that holds the token.
const VARIABLE: &str = "FORELAND_ADMIN_TOKEN";

/// Why the admin listener cannot start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdminError {
    /// It would be open to a network.
    #[error(
        "the admin address {0} is not loopback, so a token is required: set {VARIABLE}, or listen on 127.0.0.1"
    )]
    TokenRequired(SocketAddr),
    /// No client could send it.
    #[error("{VARIABLE} has a character that cannot be sent: use visible ASCII without spaces or line ends")]
    TokenUnusable,
}

/// The token for an admin listener at `addr`, from what the environment variable says; empty means unset.
pub fn token_for(addr: SocketAddr, value: Option<&str>) -> Result<Option<Token>, AdminError> {
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(Token(value.as_bytes().into())))
        }
        Some(_) => Err(AdminError::TokenUnusable),
        None if addr.ip().to_canonical().is_loopback() => Ok(None),
        None => Err(AdminError::TokenRequired(addr)),
    }
}

/// A secret that whoever asks must know.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Whether an `Authorization` field carries this token as its bearer (RFC 6750 §2.1).
    pub fn admits(&self, authorization: &[u8]) -> bool {
        let Some((scheme, rest)) = authorization.split_at_checked(b"bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.is(rest.trim_ascii())
    }

    /// Compares in a time that tells nothing but the length.
    fn is(&self, sent: &[u8]) -> bool {
        let differing =
            self.0.iter().zip(sent).fold(0, |seen, (ours, theirs)| black_box(seen | (ours ^ theirs)));
        self.0.len() == sent.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addr: &str, value: Option<&str>) -> Result<Option<Token>, AdminError> {
        token_for(addr.parse().unwrap(), value)
    }

    fn token() -> Token {
        at("127.0.0.1:9900", Some("s3cret")).unwrap().unwrap()
    }

    #[test]
    fn loopback_needs_no_token() {
        for addr in ["127.0.0.1:9900", "127.8.8.8:1", "[::1]:9900", "[::ffff:127.0.0.1]:9900"] {
            assert!(at(addr, None).unwrap().is_none(), "{addr}");
            assert!(at(addr, Some("")).unwrap().is_none(), "{addr}");
        }
    }

    #[test]
    fn any_other_address_does_not_start_without_one() {
        for addr in ["0.0.0.0:9900", "[::]:9900", "10.0.0.1:9900", "[2001:db8::1]:9900"] {
            let error = at(addr, None).unwrap_err().to_string();
            assert!(error.contains(addr) && error.contains("FORELAND_ADMIN_TOKEN"), "{error}");
            assert!(at(addr, Some("")).is_err());
            assert!(at(addr, Some("s3cret")).unwrap().is_some());
        }
    }

    #[test]
    fn a_token_that_no_client_could_send_does_not_start() {
        for value in ["s3cret\n", "two words", "ä", "\t"] {
            assert_eq!(at("127.0.0.1:1", Some(value)).unwrap_err(), AdminError::TokenUnusable);
        }
    }

    #[test]
    fn only_the_bearer_of_the_whole_token_is_admitted() {
        for admitted in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "] {
            assert!(token().admits(admitted.as_bytes()), "{admitted}");
        }
        for refused in
            ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Bearer S3cret", "Basic s3cret"]
        {
            assert!(!token().admits(refused.as_bytes()), "{refused}");
        }
    }

    #[test]
    fn a_token_does_not_show_itself() {
        assert_eq!(format!("{:?}", token()), "Token(…)");
    }
}
