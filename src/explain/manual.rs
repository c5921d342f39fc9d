//! The manual's page for each reason: what the word means, where it is seen, and what to do about it.
//!
//! Written from the tables that `explain` speaks from, so that the pages in `conf/reasons` say what the program says.

use super::reasons::{self, Told};
use crate::verdict::{BypassWhy, Declined, Kind, MissWhy, NotStored, Refused, StaleWhy};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One list of the vocabulary, for the manual.
struct List {
    /// What stands before a word of it.
    heading: &'static str,
    /// Where its words are seen; `WORD` stands for the word.
    seen: &'static str,
    /// What each word means.
    words: Vec<(&'static str, Told)>,
}

/// Every page by its file name, the index `README.md` included.
pub fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    let mut index = String::from(INDEX);
    for list in lists() {
        let _ = write!(index, "\n## {}\n\n", list.heading);
        for (word, told) in &list.words {
            let _ = writeln!(index, "- [`{word}`]({word}.md): {}", told.meaning);
            let page = pages.entry(format!("{word}.md")).or_insert_with(|| format!("# {word}\n"));
            page.push_str(&section(&list, word, told));
        }
    }
    pages.insert("README.md".to_owned(), index);
    pages
}

const INDEX: &str = "# Why was that?

Every word that Foreland uses to say why, each with a page: what it means, where it is seen, what to do about it.
`foreland explain URL` says the same about one request. Written from the program's own tables
(`FORELAND_BLESS=1 cargo test manual`).
";

fn section(list: &List, word: &str, told: &Told) -> String {
    let mut text = format!("\n## {}: `{word}`\n\n{}\n", list.heading, told.sentence());
    let _ = write!(text, "\nSeen as {}.\n", list.seen.replace("WORD", word));
    let next = match told.next {
        "" => "Nothing is wrong. If it surprises, `foreland explain URL` shows what led to it.".to_owned(),
        next if next.ends_with('.') => next.to_owned(),
        next => format!("{}.", in_code(next)),
    };
    let _ = write!(text, "\nWhat to do: {next}\n");
    text
}

/// What a rule file would say stands in code.
fn in_code(next: &str) -> String {
    let Some(at) = next.find("then: {") else { return next.to_owned() };
    let (before, rule) = next.split_at(at);
    let end = closing(rule).unwrap_or(rule.len());
    let (rule, after) = rule.split_at(end);
    format!("{before}`{rule}`{}", in_code(after))
}

/// Where the brace that opens first is closed again.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn lists() -> [List; 7] {
    fn words<T: Copy>(
        all: &[T],
        word: impl Fn(T) -> &'static str,
        told: impl Fn(T) -> Told,
    ) -> Vec<(&'static str, Told)> {
        all.iter().map(|each| (word(*each), told(*each))).collect()
    }
    [
        List {
            heading: "Outcome",
            seen: "`outcome` in the access log, in `foreland_cache_requests_total{outcome=\"WORD\"}`, and in `expect` of a rule's test",
            words: words(Kind::ALL, Kind::as_str, outcome),
        },
        List {
            heading: "Not stored because",
            seen: "`Cache-Status: …; detail=WORD`, `\"stored\":\"WORD\"` in the access log, `foreland_cache_not_stored_total{reason=\"WORD\"}`",
            words: words(NotStored::ALL, NotStored::as_str, reasons::not_stored),
        },
        List {
            heading: "Bypass because",
            seen: "`Cache-Status: Foreland; fwd=bypass; detail=WORD` (a method is `fwd=method`), `\"outcome\":\"bypass\",\"reason\":\"WORD\"` in the access log",
            words: words(BypassWhy::ALL, BypassWhy::as_str, reasons::bypass),
        },
        List {
            heading: "Miss because",
            seen: "`\"reason\":\"WORD\"` in the access log and `foreland_cache_requests_total{reason=\"WORD\"}`; `Cache-Status` says `fwd=`, and `detail=purged` after a purge",
            words: words(MissWhy::ALL, MissWhy::as_str, reasons::miss),
        },
        List {
            heading: "Stale because",
            seen: "`Cache-Status: …; detail=WORD`, `\"outcome\":\"stale\",\"reason\":\"WORD\"` in the access log",
            words: words(StaleWhy::ALL, StaleWhy::as_str, reasons::stale),
        },
        List {
            heading: "Refused because",
            seen: "`\"reason\":\"WORD\"` in the access log, `foreland_refused_total{reason=\"WORD\"}`",
            words: words(Refused::ALL, Refused::as_str, refused),
        },
        List {
            heading: "Left to the proxy because",
            seen: "`foreland_front_total{result=\"WORD\"}` and the `front` line of `foreland explain`; it costs time, and changes nothing about the answer",
            words: words(Declined::ALL, Declined::as_str, declined),
        },
    ]
}

const fn told(meaning: &'static str, clause: &'static str, next: &'static str) -> Told {
    Told { meaning, clause, next }
}

fn declined(why: Declined) -> Told {
    Told {
        next: "Nothing: the proxy answers it, with the decision that was made already.",
        ..reasons::declined(why)
    }
}

const fn outcome(kind: Kind) -> Told {
    match kind {
        Kind::Hit => told("Answered from the store, within its lifetime.", "RFC 9111 §4", ""),
        Kind::Stale => {
            told("Answered from the store past its lifetime, within a stale window.", "RFC 9111 §4.2.4", "")
        }
        Kind::Revalidated => told("The origin confirmed with a 304 what is stored.", "RFC 9111 §4.3.4", ""),
        Kind::Miss => told(
            "Fetched from the origin; `reason` says why nothing stored would do.",
            "",
            "Look at `reason` and `stored` of the same line",
        ),
        Kind::Collapsed => {
            told("Read along with somebody else's fetch of the same thing.", "RFC 9211 §2.6", "")
        }
        Kind::HitForMiss => told(
            "Fetched at once, because a recent answer could not be stored: nobody waits for another's fetch.",
            "",
            "Look at `stored`: it says what keeps the answer out of the store",
        ),
        Kind::Bypass => {
            told("The cache was not asked; `reason` says why.", "", "Look at `reason` of the same line")
        }
        Kind::Answer => told(
            "Foreland answered by itself: a redirect, a response of a route, a refusal, an error page.",
            "",
            "",
        ),
        Kind::File => told("Answered from a file.", "", ""),
    }
}

const fn refused(why: Refused) -> Told {
    match why {
        Refused::BadRequest => told(
            "It is not HTTP as the RFC has it, or says two things at once. Answered with 400, or 405, 408, 417, 501, 505.",
            "RFC 9112",
            "Look at the answer's text, which names the mistake, and at what sends such requests",
        ),
        Refused::HeadTimeout => told(
            "The head of the request did not arrive in time. Answered with 408.",
            "RFC 9110 §15.5.9",
            "Many of these are an attack, or a network that loses packets; the time is limits.head_timeout",
        ),
        Refused::HeadTooLarge => told(
            "The head is larger than 32 KiB or has more than 100 fields. Answered with 431.",
            "RFC 6585 §5",
            "Most often a cookie that grows and grows: look at who sets it",
        ),
        Refused::TargetTooLong => told(
            "The path and query are longer than 8 KiB. Answered with 414.",
            "RFC 9110 §15.5.15",
            "Have the client send a body instead",
        ),
        Refused::BodyTooLarge => told(
            "The body is larger than allowed. Answered with 413.",
            "RFC 9110 §15.5.14",
            "Raise limits.max_body, or max_body of the route",
        ),
        Refused::Denied => {
            told("An access rule forbids it.", "", "Look at what the rule says of this client")
        }
        Refused::Unauthorized => told(
            "Credentials are missing or wrong. Answered with 401.",
            "RFC 9110 §15.5.2",
            "Look at what the client sends",
        ),
        Refused::RateLimited => told(
            "One client sends too many requests. Answered with 429.",
            "RFC 6585 §4",
            "Have it send fewer, or raise the limit",
        ),
        Refused::TooManyConnections => told(
            "As many connections are open as may be. Answered with 503.",
            "",
            "Raise limits.connections, and the descriptor limit of the process (two for each connection)",
        ),
        Refused::Overloaded => told(
            "Too much work is waiting already. Answered with 503.",
            "",
            "Add nodes, or find what makes the work slow",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_manual_has_a_page_for_every_word_and_says_what_the_program_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reasons");
        let pages = pages();
        if std::env::var_os("FORELAND_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            pages.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
        }
        for (name, text) in &pages {
            let kept = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert_eq!(&kept, text, "conf/reasons/{name}: FORELAND_BLESS=1 cargo test manual writes it anew");
        }
        let files = std::fs::read_dir(&folder).unwrap();
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| pages.contains_key(name)), "{names:?}");
    }

    #[test]
    fn what_a_rule_would_say_stands_in_code() {
        assert_eq!(
            in_code("Strip it: then: { a: { b: c } }; or not: then: { d: e }"),
            "Strip it: `then: { a: { b: c } }`; or not: `then: { d: e }`"
        );
    }
}
