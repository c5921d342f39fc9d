//! Every word Foreland uses to say why: one closed list shared by log, metric, `Cache-Status` and explain.

/// Declares a closed vocabulary: an enum whose variants each have one documented word.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of the vocabulary: the position is [`Self::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that users meet everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Position in [`Self::ALL`], for tables of counters.
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use vocabulary;

vocabulary! {
    /// What became of a request, from the cache's point of view.
    Kind {
        /// Answered from the store, fresh.
        Hit = "hit",
        /// Answered from the store past its lifetime, within a stale window.
        Stale = "stale",
        /// The origin confirmed the stored response with a 304.
        Revalidated = "revalidated",
        /// Fetched from the origin.
        Miss = "miss",
        /// Waited for, or read along with, somebody else's fetch.
        Collapsed = "collapsed",
        /// Fetched directly because a recent response for this key could not be stored.
        HitForMiss = "hit_for_miss",
        /// The cache was not asked.
        Bypass = "bypass",
        /// Answered by Foreland itself: a redirect, a refusal, an error page.
        Answer = "answer",
        /// Answered from a file.
        File = "file",
    }
}

vocabulary! {
    /// Why the store had nothing usable.
    MissWhy {
        /// Nothing is stored for the key.
        Absent = "absent",
        /// Something is stored, but for other selecting fields (RFC 9111 §4.1).
        Vary = "vary",
        /// What is stored is past its lifetime and every stale window.
        Expired = "expired",
        /// What was stored has been purged.
        Purged = "purged",
        /// The request forbids reuse without validation (RFC 9111 §5.2.1).
        RequestNoCache = "request_no_cache",
    }
}

vocabulary! {
    /// Why the cache was not asked at all.
    BypassWhy {
        /// A cache rule says so.
        Rule = "rule",
        /// The method is neither GET nor HEAD.
        Method = "method",
        /// The request carries credentials that forbid sharing.
        Authorization = "authorization",
        /// The request says `no-store`.
        RequestNoStore = "request_no_store",
        /// The request has a body.
        Body = "body",
        /// The request asks to change protocol.
        Upgrade = "upgrade",
        /// Caching is off for the route.
        Off = "off",
    }
}

vocabulary! {
    /// Why a response was not stored.
    NotStored {
        /// `Cache-Control: no-store` (RFC 9111 §5.2.2.5).
        NoStore = "no_store",
        /// `Cache-Control: private` (RFC 9111 §5.2.2.7).
        Private = "private",
        /// The response sets a cookie: state for one user.
        SetCookie = "set_cookie",
        /// The request had credentials and the response does not allow sharing (RFC 9111 §3.5).
        Authorization = "authorization",
        /// The status is not one that may be stored.
        Status = "status",
        /// `Vary: *` (RFC 9111 §4.1).
        VaryStar = "vary_star",
        /// No freshness information and nothing to validate with.
        NoLifetime = "no_lifetime",
        /// Larger than an object may be.
        TooLarge = "too_large",
        /// A partial response (206) to a request that asked for the whole.
        Partial = "partial",
        /// The origin did not finish the body.
        Incomplete = "incomplete",
        /// A cache rule says so.
        Rule = "rule",
        /// The store had no room or no working disk.
        Storage = "storage",
        /// The content type contradicts the path (cache deception).
        Deception = "deception",
    }
}

vocabulary! {
    /// Why a response past its lifetime was served.
    StaleWhy {
        /// A refresh is on its way (RFC 5861 §3).
        Revalidating = "revalidating",
        /// The origin could not be reached (RFC 5861 §4).
        OriginUnreachable = "origin_unreachable",
        /// The origin did not answer in time.
        OriginTimeout = "origin_timeout",
        /// The origin answered with a 5xx.
        Origin5xx = "origin_5xx",
        /// The circuit breaker is open.
        CircuitOpen = "circuit_open",
        /// The request allows it with `max-stale`.
        Asked = "asked",
    }
}

vocabulary! {
    /// Why a request was refused by Foreland itself.
    Refused {
        /// Not HTTP as RFC 9112 has it.
        BadRequest = "bad_request",
        /// The head did not arrive in time.
        HeadTimeout = "head_timeout",
        /// The head is larger than allowed.
        HeadTooLarge = "head_too_large",
        /// The request target is longer than allowed.
        TargetTooLong = "target_too_long",
        /// The body is larger than allowed.
        BodyTooLarge = "body_too_large",
        /// Forbidden by an access rule.
        Denied = "denied",
        /// Credentials are missing or wrong.
        Unauthorized = "unauthorized",
        /// Too many requests from one client.
        RateLimited = "rate_limited",
        /// Too many connections.
        TooManyConnections = "too_many_connections",
        /// Too much work is waiting already.
        Overloaded = "overloaded",
    }
}

vocabulary! {
    /// Why the front left a request to the proxy.
    Declined {
        /// Not in memory.
        Absent = "absent",
        /// In memory, but past its lifetime.
        Stale = "stale",
        /// Asks for a range.
        Range = "range",
        /// Carries a precondition.
        Conditional = "conditional",
        /// Has a body.
        Body = "body",
        /// Asks to change protocol.
        Upgrade = "upgrade",
        /// A gate must wait.
        Gate = "gate",
        /// A rule needs the proxy.
        Rule = "rule",
        /// Too large to answer in one go.
        Large = "large",
        /// Neither GET nor HEAD.
        Method = "method",
        /// Wanted in a compression that must be made first.
        Encoding = "encoding",
        /// A protocol version the front does not answer itself.
        Version = "version",
    }
}

vocabulary! {
    /// Which of the two transports answered.
    Transport {
        /// The front, before Pingora.
        Front = "front",
        /// Pingora's proxy.
        Proxy = "proxy",
        /// A background fetch that no client waits for.
        Refresh = "refresh",
    }
}
