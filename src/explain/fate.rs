//! Says what becomes of a response, and where each number comes from.

use super::explained::{Refusal, Response, Sourced, Stored};
use super::inquiry::Inquiry;
use super::reasons;
use crate::cache::object::StoredHead;
use crate::cache::policy::{Lifetime, LifetimeSource, Override};
use crate::edge::rehearse::Given;
use crate::edge::{Bounds, Case, Judged};
use crate::http::cache_control::{self, CacheControl};
use crate::http::duration::human;
use crate::http::fields::Fields;
use crate::plan::Ruled;
use crate::verdict::{CacheUse, NotStored, Setting, Terms};

/// What becomes of a response to the request, and which rules decided.
pub(super) fn response(inquiry: &Inquiry<'_>, given: &Given) -> (Response, Terms) {
    let received = given.received();
    let list: Vec<_> = received.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let raw: Vec<_> = list.iter().map(|(name, value)| httparse::Header { name, value }).collect();
    let fields = Fields::Raw(&raw);
    let Judged { terms, head, .. } = Case {
        plan: inquiry.plan,
        route: inquiry.decision.route,
        terms: inquiry.decision.terms,
        view: inquiry.view,
        status: given.status,
        fields: &list,
        length: given.length.or(fields.content_length()),
        requested_at: inquiry.now,
        now: inquiry.now,
    }
    .judge(&Bounds::of(inquiry.cache));
    let ruled = inquiry.plan.ruled(inquiry.decision.route, terms);
    let sources = Sources { cc: cache_control::parse(fields.all("cache-control")), ruled, fields, inquiry };
    let stored = match (&inquiry.decision.cache, head) {
        (CacheUse::Bypass(why), _) => {
            Err(Refusal { word: "bypass", rule: None, told: reasons::bypass(*why) })
        }
        (CacheUse::Use(_), Err(why)) => Err(sources.refusal(why)),
        (CacheUse::Use(_), Ok(head)) => Ok(sources.stored(&head)),
    };
    (Response { status: given.status, fields: given.fields.clone(), stored }, terms)
}

/// Where the numbers of a stored response come from.
struct Sources<'a> {
    /// What the origin says of the cache.
    cc: CacheControl,
    ruled: Ruled<'a>,
    fields: Fields<'a>,
    inquiry: &'a Inquiry<'a>,
}

impl Sources<'_> {
    fn refusal(&self, why: NotStored) -> Refusal {
        let setting = match why {
            NotStored::Rule | NotStored::Deception => Some(Setting::Store),
            NotStored::TooLarge => Some(Setting::MaxObject),
            _ => None,
        };
        Refusal {
            word: why.as_str(),
            rule: setting.and_then(|setting| self.rule(setting)),
            told: reasons::not_stored(why),
        }
    }

    /// The rule that decides a setting.
    fn rule(&self, setting: Setting) -> Option<String> {
        let rule = self.ruled.rules?.deciding(self.ruled.terms, setting)?;
        Some(format!("rule `{}`", rule.name))
    }

    fn stored(&self, head: &StoredHead) -> Stored {
        let life = &head.times.life;
        let changes =
            self.ruled.rules.map(|rules| rules.policy(self.ruled.terms, head.status)).unwrap_or_default();
        let variant = head.variant.as_deref();
        Stored {
            lifetime: self.lifetime(life, &changes),
            age: self.age(life),
            fresh: i64::from(life.lifetime) - i64::from(life.initial_age),
            always_validate: life.always_validate,
            while_revalidate: self.window(
                life.while_revalidate,
                changes.while_revalidate.and_then(|_| self.rule(Setting::StaleWhileRevalidate)),
                self.cc.stale_while_revalidate,
            ),
            if_error: self.window(
                life.if_error,
                changes.if_error.filter(|_| head.status < 500).and_then(|_| self.rule(Setting::StaleIfError)),
                self.cc.stale_if_error,
            ),
            vary: variant
                .map_or_else(Vec::new, |variant| variant.names.iter().map(|name| self.asked(name)).collect()),
            variants: self.variants(head),
            browser: self.browser(head),
            tags: head.ruled.tags.iter().flat_map(|tags| tags.iter()).map(|tag| tag.to_string()).collect(),
        }
    }

    /// In which compressions it can be had.
    fn variants(&self, head: &StoredHead) -> String {
        let settings = self.inquiry.plan.compress(self.inquiry.decision.route);
        match (head.has_forms(), head.coding, settings) {
            (true, Some(coding), _) => {
                format!("kept as {}, decompressed for clients that cannot read it", coding.token())
            }
            (true, None, Some(settings)) => {
                let codings: Vec<_> = settings.codings.iter().map(|coding| coding.token()).collect();
                format!("{} after the second request that asks", codings.join(", "))
            }
            (true, None, None) | (false, ..) => String::new(),
        }
    }

    /// What the request says in a field.
    fn asked(&self, name: &str) -> (String, String) {
        let values: Vec<_> = self.inquiry.view.fields.all(name).map(String::from_utf8_lossy).collect();
        (name.to_owned(), values.join(", "))
    }

    fn lifetime(&self, life: &Lifetime, changes: &Override) -> Sourced {
        let seconds = u64::from(life.lifetime);
        let (source, clause) = match life.source {
            _ if life.always_validate => {
                ("no-cache: never used without asking the origin".to_owned(), "RFC 9111 §5.2.2.4")
            }
            LifetimeSource::Rule => {
                let named = changes.ttl.is_some_and(|ttl| ttl.named);
                let rule = self.rule(if named { Setting::Status } else { Setting::Edge }).unwrap_or_default();
                (format!("{rule} {}", self.replaced()), "")
            }
            LifetimeSource::SMaxage => ("from the origin's s-maxage".to_owned(), "RFC 9111 §5.2.2.10"),
            LifetimeSource::MaxAge => ("from the origin's max-age".to_owned(), "RFC 9111 §5.2.2.1"),
            LifetimeSource::Expires => {
                ("from the origin's Expires, less its Date".to_owned(), "RFC 9111 §5.3")
            }
            LifetimeSource::None => ("nobody gives one: asked for each time".to_owned(), "RFC 9111 §4.2.1"),
        };
        Sourced { seconds, source, clause }
    }

    /// What the origin said in place of which a rule's lifetime stands.
    fn replaced(&self) -> String {
        match (self.cc.s_maxage, self.cc.max_age, self.fields.has("expires")) {
            (Some(seconds), ..) => format!("replaces s-maxage={seconds}"),
            (None, Some(seconds), _) => format!("replaces max-age={seconds}"),
            (None, None, true) => "replaces the origin's Expires".to_owned(),
            (None, None, false) => "gives it; the origin gives none".to_owned(),
        }
    }

    fn age(&self, life: &Lifetime) -> Sourced {
        let seconds = u64::from(life.initial_age);
        let told = self
            .fields
            .first("age")
            .and_then(|age| std::str::from_utf8(age).ok()?.trim().parse::<u64>().ok());
        let source = match seconds {
            0 => "new",
            _ if told == Some(seconds) => "from the origin's Age",
            _ => "from the origin's Date",
        };
        Sourced {
            seconds,
            source: source.to_owned(),
            clause: if seconds > 0 { "RFC 9111 §4.2.3" } else { "" },
        }
    }

    fn window(&self, seconds: u32, rule: Option<String>, origin: Option<u32>) -> Sourced {
        let forbids = ["must-revalidate", "proxy-revalidate", "no-cache"];
        let says = [self.cc.must_revalidate, self.cc.proxy_revalidate, self.cc.no_cache];
        let forbidden = forbids.into_iter().zip(says).find(|(_, says)| *says && seconds == 0);
        let source = match (forbidden, rule, origin) {
            (Some((word, _)), ..) => format!("{word} forbids it"),
            (None, Some(rule), _) => rule,
            (None, None, Some(_)) => "the origin".to_owned(),
            (None, None, None) if self.cc.s_maxage.is_some() => "s-maxage leaves none".to_owned(),
            (None, None, None) => "default".to_owned(),
        };
        let clause = if forbidden.is_some() { "RFC 9111 §4.2.4" } else { "" };
        Sourced { seconds: seconds.into(), source, clause }
    }

    fn browser(&self, head: &StoredHead) -> (String, String) {
        if let Some(seconds) = head.ruled.browser {
            let age = u64::from(head.times.life.initial_age);
            let max_age = head.max_age(age).unwrap_or_default();
            let more = human(seconds.into());
            let beside = if age > 0 { format!(" beside age: {age}, so {more} more") } else { String::new() };
            let rule = self.rule(Setting::Browser).unwrap_or_default();
            return (format!("cache-control: max-age={max_age}{beside}"), rule);
        }
        let told: Vec<_> =
            head.shown_fields().filter(|(name, _)| name.eq_ignore_ascii_case("cache-control")).collect();
        let told: Vec<_> =
            told.into_iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
        match told.is_empty() {
            true => ("nothing is said of how long".to_owned(), String::new()),
            false => (format!("cache-control: {}", told.join(", ")), "the origin".to_owned()),
        }
    }
}
