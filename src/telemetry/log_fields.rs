//! What one line of the access log says: every field in one table, in the order in which it is written.

use crate::verdict::{Outcome, Stored};
use std::net::IpAddr;
use std::time::Duration;

/// A finished request as the access log sees it, borrowed from whoever served it.
///
/// A text that is empty, like an option that is `None`, is absent from the line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the request began, in milliseconds since 1970.
    pub time: u64,
    /// The request id.
    pub id: &'a str,
    /// Who asked.
    pub client: IpAddr,
    /// The method as sent.
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host as sent, without port.
    pub host: &'a [u8],
    /// Path and query as sent.
    pub uri: &'a [u8],
    /// `http/1.0`, `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// The address that accepted the connection.
    pub listener: &'a str,
    /// Name of the route.
    pub route: &'a str,
    /// The `User-Agent` field.
    pub user_agent: Option<&'a [u8]>,
    /// The `Referer` field.
    pub referer: Option<&'a [u8]>,
    /// What became of it.
    pub outcome: &'a Outcome,
}

/// One field of the table.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Comma, name and colon, as they stand in a line.
    pub(super) key: &'static str,
    /// What it says of a request.
    pub(super) read: for<'a> fn(&'a Entry<'a>) -> Value<'a>,
}

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// It does not apply.
    Absent,
    /// An IP address.
    Address(IpAddr),
    /// A text, perhaps from a client, so perhaps not UTF-8.
    Bytes(&'a [u8]),
    /// Milliseconds since 1970.
    Moment(u64),
    /// A count.
    Number(u64),
    /// A length of time.
    Seconds(Duration),
    /// A count that may be below zero.
    Signed(i64),
    /// A word of ours, which needs no escaping.
    Word(&'static str),
}

/// Declares the table.
macro_rules! fields {
    ($($name:literal => $read:expr,)+) => {
        /// Every field, in the order of the vocabulary. `trace` joins when traces do.
        ///
        /// `bytes_in`, `tries` and `status` are absent when 0: no body came, no server was tried, no answer was
        /// sent. `stored` is there when an origin answered: `yes`, or the word that says why not.
        pub const FIELDS: &[Field] =
            &[$(Field { name: $name, key: concat!(",\"", $name, "\":"), read: $read },)+];
    };
}

fields! {
    "time" => |e| Value::Moment(e.time),
    "id" => |e| text(e.id),
    "client" => |e| Value::Address(e.client),
    "method" => |e| bytes(e.method),
    "scheme" => |e| word(e.scheme),
    "host" => |e| bytes(e.host),
    "uri" => |e| bytes(e.uri),
    "protocol" => |e| word(e.protocol),
    "status" => |e| nonzero(e.outcome.status.into()),
    "bytes_in" => |e| nonzero(e.outcome.bytes_in),
    "bytes_out" => |e| Value::Number(e.outcome.bytes_out),
    "duration" => |e| Value::Seconds(e.outcome.duration),
    "listener" => |e| text(e.listener),
    "route" => |e| text(e.route),
    "rule" => |e| text(e.outcome.rule.as_deref().unwrap_or("")),
    "outcome" => |e| word(e.outcome.kind.as_str()),
    "reason" => |e| word(e.outcome.reason.as_str()),
    "stored" => |e| e.outcome.stored.map_or(Value::Absent, |stored| word(stored_word(stored))),
    "age" => |e| e.outcome.age.map_or(Value::Absent, Value::Number),
    "ttl" => |e| e.outcome.ttl.map_or(Value::Absent, Value::Signed),
    "upstream" => |e| text(e.outcome.upstream.as_deref().unwrap_or_default()),
    "server" => |e| text(e.outcome.server.as_deref().unwrap_or_default()),
    "tries" => |e| nonzero(e.outcome.tries.into()),
    "failed" => |e| text(e.outcome.failed.as_deref().unwrap_or_default()),
    "connect" => |e| e.outcome.connect.map_or(Value::Absent, Value::Seconds),
    "first_byte" => |e| e.outcome.first_byte.map_or(Value::Absent, Value::Seconds),
    "transport" => |e| word(e.outcome.transport.as_str()),
    "user_agent" => |e| bytes(e.user_agent.unwrap_or_default()),
    "referer" => |e| bytes(e.referer.unwrap_or_default()),
}

const fn stored_word(stored: Stored) -> &'static str {
    match stored {
        Stored::Yes => "yes",
        Stored::No(why) => why.as_str(),
    }
}

const fn text(text: &str) -> Value<'_> {
    bytes(text.as_bytes())
}

const fn word(word: &'static str) -> Value<'static> {
    if word.is_empty() { Value::Absent } else { Value::Word(word) }
}

const fn bytes(bytes: &[u8]) -> Value<'_> {
    if bytes.is_empty() { Value::Absent } else { Value::Bytes(bytes) }
}

const fn nonzero(number: u64) -> Value<'static> {
    if number == 0 { Value::Absent } else { Value::Number(number) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::telemetry::json;
    use crate::verdict::{Kind, MissWhy, NotStored, Reason, Transport};

    /// The access-log line of VOCABULARY.md.
    const VOCABULARY: &str = "time id client method scheme host uri protocol status bytes_in bytes_out duration \
        listener route rule outcome reason stored age ttl upstream server tries failed connect first_byte transport \
        user_agent referer trace";

    pub(in crate::telemetry) fn hit() -> Outcome {
        let mut outcome = Outcome::new(Transport::Front, Kind::Hit, Reason::None);
        outcome.status = 200;
        outcome.bytes_out = 18_233;
        outcome.duration = Duration::from_micros(214);
        outcome.age = Some(90);
        outcome.ttl = Some(2_591_910);
        outcome.rule = Some("assets".into());
        outcome
    }

    pub(in crate::telemetry) fn entry(outcome: &Outcome) -> Entry<'_> {
        Entry {
            time: 1_795_350_335_123,
            id: "01JDABCDEFGHJKMNPQRSTVWXYZ",
            client: IpAddr::from([203, 0, 113, 9]),
            method: b"GET",
            scheme: "https",
            host: b"www.example.com",
            uri: b"/a.js?utm_source=x",
            protocol: "h2",
            listener: "0.0.0.0:8443",
            route: "www",
            user_agent: None,
            referer: None,
            outcome,
        }
    }

    fn line(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        json::line(&mut out, entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_the_vocabulary_in_its_order() {
        let table: Vec<&str> = FIELDS.iter().map(|field| field.name).chain(["trace"]).collect();
        assert_eq!(table, VOCABULARY.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn a_hit_is_the_line_of_the_examples() {
        assert_eq!(
            line(&entry(&hit())),
            "{\"time\":\"2026-11-22T12:25:35.123Z\",\"id\":\"01JDABCDEFGHJKMNPQRSTVWXYZ\",\
             \"client\":\"203.0.113.9\",\"method\":\"GET\",\"scheme\":\"https\",\"host\":\"www.example.com\",\
             \"uri\":\"/a.js?utm_source=x\",\"protocol\":\"h2\",\"status\":200,\"bytes_out\":18233,\
             \"duration\":0.000214,\"listener\":\"0.0.0.0:8443\",\"route\":\"www\",\"rule\":\"assets\",\
             \"outcome\":\"hit\",\"age\":90,\"ttl\":2591910,\"transport\":\"front\"}\n"
        );
    }

    #[test]
    fn a_miss_tells_what_the_origin_took_and_why_nothing_was_stored() {
        let mut miss = Outcome::new(Transport::Proxy, Kind::Miss, Reason::Miss(MissWhy::Absent));
        miss.status = 200;
        miss.bytes_in = 5;
        miss.stored = Some(Stored::No(NotStored::SetCookie));
        miss.upstream = Some("app".into());
        miss.server = Some("10.0.0.1:8080".into());
        miss.tries = 2;
        miss.ttl = Some(-3);
        miss.connect = Some(Duration::from_millis(1));
        miss.first_byte = Some(Duration::from_millis(200));
        let line = line(&entry(&miss));
        assert!(line.contains("\"status\":200,\"bytes_in\":5,\"bytes_out\":0,"), "{line}");
        assert!(
            line.contains(
                "\"outcome\":\"miss\",\"reason\":\"absent\",\"stored\":\"set_cookie\",\"ttl\":-3,\
                 \"upstream\":\"app\",\"server\":\"10.0.0.1:8080\",\"tries\":2,\"connect\":0.001000,\
                 \"first_byte\":0.200000,\"transport\":\"proxy\"}\n"
            ),
            "{line}"
        );
    }

    #[test]
    fn what_was_stored_says_yes() {
        let mut miss = hit();
        miss.stored = Some(Stored::Yes);
        assert!(line(&entry(&miss)).contains("\"stored\":\"yes\""));
    }

    #[test]
    fn a_head_that_could_not_be_read_still_makes_a_line() {
        let outcome = Outcome::new(Transport::Front, Kind::Answer, Reason::None);
        let mut unread = entry(&outcome);
        (unread.method, unread.host, unread.uri, unread.protocol) = (b"", b"", b"\xff\"\n", "");
        unread.user_agent = Some(b"");
        unread.referer = Some(b"\\");
        let read: serde_json::Value = serde_json::from_str(&line(&unread)).unwrap();
        assert_eq!(read["uri"], "\u{fffd}\"\n");
        assert_eq!(read["referer"], "\\");
        for absent in ["method", "host", "protocol", "status", "user_agent", "reason", "stored", "tries"] {
            assert!(read.get(absent).is_none(), "{absent}");
        }
    }
}
