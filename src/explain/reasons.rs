//! What every reason means and what to do about it: one row for each word, so that no answer ends in a bare word.

use crate::verdict::{BypassWhy, Declined, MissWhy, NotStored, StaleWhy};

/// A reason, told to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it means, as a sentence.
    pub meaning: &'static str,
    /// The clause it comes from; often none.
    pub clause: &'static str,
    /// What to do if it is not what was wanted; often nothing.
    pub next: &'static str,
}

const fn told(meaning: &'static str, clause: &'static str, next: &'static str) -> Told {
    Told { meaning, clause, next }
}

/// Why a response is not stored.
pub const fn not_stored(why: NotStored) -> Told {
    match why {
        NotStored::NoStore => told(
            "Request or response says no-store.",
            "RFC 9111 §5.2.1.5, §5.2.2.5",
            "Have the origin say how long it may be kept, or do not listen to it: then: { override: [no_store], ttl: 10m }; \
             where it is the request that says so: then: { request_directives: ignore }",
        ),
        NotStored::Private => told(
            "The response says private: it is for one user.",
            "RFC 9111 §5.2.2.7",
            "If it is the same for everybody, have the origin say public, or: then: { override: [private], ttl: 10m }",
        ),
        NotStored::SetCookie => told(
            "The response sets a cookie (state of one user).",
            "RFC 6265, RFC 9111 §7.3",
            "If it is safe to share, strip it: then: { strip_set_cookie: true }",
        ),
        NotStored::Authorization => told(
            "The request has credentials, and the response does not say that it may be shared.",
            "RFC 9111 §3.5",
            "If it is the same for everybody, have the origin say public or s-maxage, or: then: { override: [authorization] }",
        ),
        NotStored::Status => told(
            "Responses with this status are not stored, unless the origin gives them a lifetime; some never are.",
            "RFC 9111 §3, RFC 9110 §15.1",
            "If it may be kept, name the status: then: { ttl: { status: { 302: 60s } } }",
        ),
        NotStored::VaryStar => told(
            "The response says Vary: *, or varies by more than can be told apart: no later request is like this one.",
            "RFC 9111 §4.1",
            "Have the origin name the fields that it looks at",
        ),
        NotStored::NoLifetime => told(
            "Nobody says how long it may be kept, or that time is over; and there is nothing to ask the origin with.",
            "RFC 9111 §3, §4.2",
            "Have the origin send Cache-Control: max-age, or give it a lifetime: then: { ttl: 10m }; where it says no-cache, \
             have it send an ETag, or: then: { override: [no_cache] }",
        ),
        NotStored::TooLarge => told(
            "It is larger than an object may be.",
            "",
            "An object may be an eighth of cache.memory; a rule may have set less with max_object",
        ),
        NotStored::Partial => told(
            "The origin sent a part (206) although the whole was asked for.",
            "RFC 9111 §3.3",
            "Have the origin answer a request without Range with the whole",
        ),
        NotStored::Incomplete => told(
            "The origin did not finish the body.",
            "RFC 9111 §3.3",
            "Look for timeouts and crashes in the log of the origin",
        ),
        NotStored::Rule => told(
            "A cache rule says that it is not stored.",
            "",
            "Take `store: false` out of that rule, or take it back in a later one: then: { store: true }",
        ),
        NotStored::Storage => told(
            "The store had no room, or no disk that works.",
            "",
            "Look at foreland_cache_bytes and at the log of this node",
        ),
        NotStored::Deception => told(
            "The content type contradicts the path: a page under the name of a file may be somebody's account.",
            "RFC 9111 §7.1",
            "Have the origin answer 404 for paths it does not know, or take it back for this path: then: { store: true }",
        ),
    }
}

/// Why the cache is left out.
pub const fn bypass(why: BypassWhy) -> Told {
    match why {
        BypassWhy::Rule => told(
            "A cache rule leaves the cache out.",
            "",
            "Change its `when`, or take it back in a later rule: then: { bypass: false }",
        ),
        BypassWhy::Method => told("Only GET and HEAD are answered from the cache.", "RFC 9111 §4", ""),
        BypassWhy::Authorization => told(
            "The request has credentials, and what is stored must not be shared with them.",
            "RFC 9111 §3.5",
            "If it is the same for everybody, have the origin say public or s-maxage, or: then: { override: [authorization] }",
        ),
        BypassWhy::RequestNoStore => told(
            "The request says no-store.",
            "RFC 9111 §5.2.1.5",
            "If clients are not to be heard: then: { request_directives: ignore }",
        ),
        BypassWhy::Body => told("The request has a body, which the key cannot cover.", "RFC 9110 §9.3.1", ""),
        BypassWhy::Upgrade => told("The request asks to change protocol.", "RFC 9110 §7.8", ""),
        BypassWhy::Off => told(
            "The cache is off for this route.",
            "",
            "Take `cache: off` out of the route, or name rule files there",
        ),
    }
}

/// Why there is nothing usable in the store.
pub const fn miss(why: MissWhy) -> Told {
    match why {
        MissWhy::Absent => told("Nothing is stored under this key.", "", ""),
        MissWhy::Vary => told(
            "What is stored under this key was chosen by other fields of the request than this one has.",
            "RFC 9111 §4.1",
            "If the origin varies by more than it should, have it name fewer fields in Vary",
        ),
        MissWhy::Expired => {
            told("What is stored is past its lifetime: the origin is asked.", "RFC 9111 §4.2", "")
        }
        MissWhy::Purged => told("What was stored has been purged.", "", ""),
        MissWhy::RequestNoCache => told(
            "The request wants no answer from a cache: the origin is asked.",
            "RFC 9111 §5.2.1",
            "If clients are not to be heard: then: { request_directives: ignore }",
        ),
    }
}

/// Why something past its lifetime is served.
pub const fn stale(why: StaleWhy) -> Told {
    match why {
        StaleWhy::Revalidating => {
            told("Past its lifetime: served once more while it is refreshed.", "RFC 5861 §3", "")
        }
        StaleWhy::OriginUnreachable => {
            told("The origin could not be reached: what is stored stands in.", "RFC 5861 §4", "")
        }
        StaleWhy::OriginTimeout => {
            told("The origin did not answer in time: what is stored stands in.", "RFC 5861 §4", "")
        }
        StaleWhy::Origin5xx => {
            told("The origin answered with an error: what is stored stands in.", "RFC 5861 §4", "")
        }
        StaleWhy::CircuitOpen => {
            told("The origin is given a rest: what is stored stands in.", "RFC 5861 §4", "")
        }
        StaleWhy::Asked => told("Past its lifetime, and the request accepts that.", "RFC 9111 §5.2.1.2", ""),
    }
}

/// Why the front leaves a request to the proxy.
pub const fn declined(why: Declined) -> Told {
    match why {
        Declined::Absent => told("it is not in memory", "", ""),
        Declined::Stale => told("what is in memory is past its lifetime", "", ""),
        Declined::Range => told("it asks for a range", "", ""),
        Declined::Conditional => told("it carries a precondition", "", ""),
        Declined::Body => told("it has a body", "", ""),
        Declined::Upgrade => told("it asks to change protocol", "", ""),
        Declined::Gate => told("a gate must wait", "", ""),
        Declined::Rule => told("a rule needs the proxy", "", ""),
        Declined::Large => told("it is too large to be answered in one go", "", ""),
        Declined::Method => told("it is neither GET nor HEAD", "", ""),
        Declined::Encoding => told("it is wanted in a compression that must be made first", "", ""),
        Declined::Version => told("its protocol version is not one the front answers", "", ""),
    }
}

impl Told {
    /// Meaning and clause as one text: `The response sets a cookie (state of one user) (RFC 6265).`
    pub fn sentence(&self) -> String {
        match self.clause {
            "" => self.meaning.to_owned(),
            clause => format!("{} ({clause})", self.meaning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_told_in_sentences() {
        let rows = NotStored::ALL.iter().map(|why| (why.as_str(), not_stored(*why)));
        let rows = rows.chain(BypassWhy::ALL.iter().map(|why| (why.as_str(), bypass(*why))));
        let rows = rows.chain(MissWhy::ALL.iter().map(|why| (why.as_str(), miss(*why))));
        for (word, row) in rows.chain(StaleWhy::ALL.iter().map(|why| (why.as_str(), stale(*why)))) {
            assert!(row.meaning.ends_with('.') && row.meaning.starts_with(char::is_uppercase), "{word}");
            assert!(
                !row.next.ends_with('.') && !row.meaning.contains("  ") && !row.next.contains("  "),
                "{word}"
            );
            assert!(row.clause.is_empty() || row.clause.starts_with("RFC "), "{word}");
        }
        assert!(Declined::ALL.iter().all(|why| !declined(*why).meaning.is_empty()));
    }

    #[test]
    fn whoever_is_not_stored_is_told_the_next_step() {
        assert!(NotStored::ALL.iter().all(|why| !not_stored(*why).next.is_empty()));
    }
}
