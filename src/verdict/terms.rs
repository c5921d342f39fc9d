//! Which cache rule decides which setting of one request, as plain numbers.

use super::reason::vocabulary;

vocabulary! {
    /// One thing that cache rules set. A later rule overrides a setting only where it names it.
    Setting {
        /// Leave the cache out.
        Bypass = "bypass",
        /// Whether a response may be stored.
        Store = "store",
        /// How long we keep a response.
        Edge = "ttl.edge",
        /// How long browsers are told to keep it.
        Browser = "ttl.browser",
        /// How long we keep a response with a certain status.
        Status = "ttl.status",
        /// Which words of the origin are not listened to.
        Override = "override",
        /// How long a response may be served while it is refreshed.
        StaleWhileRevalidate = "stale_while_revalidate",
        /// How long a response may stand in for a failing origin.
        StaleIfError = "stale_if_error",
        /// Which query parameters tell two resources apart.
        KeyQuery = "key.query",
        /// Which header fields do.
        KeyHeaders = "key.headers",
        /// Which cookies do.
        KeyCookies = "key.cookies",
        /// What a stored response can be purged by.
        Tags = "tags",
        /// Which cookies do not reach the origin.
        StripCookies = "strip_cookies",
        /// Whether `Set-Cookie` is taken out of a response.
        StripSetCookie = "strip_set_cookie",
        /// The largest body that is stored.
        MaxObject = "max_object",
        /// Whether requests for the same thing wait for one fetch.
        Collapse = "collapse",
        /// Whether the `Cache-Control` of a request is listened to.
        RequestDirectives = "request_directives",
        /// Whether a response is compressed.
        Compress = "compress",
        /// The compression that the origin is asked for.
        AcceptEncoding = "accept_encoding",
        /// What is changed in the fields of a response.
        ResponseHeaders = "response_headers",
    }
}

/// Which rule decides each setting; plain data, 40 bytes, so that evaluating rules allocates nothing.
///
/// Rules may be added in any order: the one that stands later in the file keeps a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// 0: no rule; n: rule n-1.
    slots: [u16; Setting::ALL.len()],
}

impl Terms {
    /// How many rules can be told apart.
    pub const MOST_RULES: usize = u16::MAX as usize;

    /// The rule that decides a setting.
    pub fn get(&self, setting: Setting) -> Option<usize> {
        usize::from(self.slots[setting.index()]).checked_sub(1)
    }

    /// A rule names a setting: it decides it, unless a later rule does. Rules from [`Self::MOST_RULES`] on change nothing.
    pub fn set(&mut self, setting: Setting, rule: usize) {
        let slot = &mut self.slots[setting.index()];
        *slot = u16::try_from(rule + 1).map_or(*slot, |n| n.max(*slot));
    }

    /// The last rule that decides anything.
    pub fn last(&self) -> Option<usize> {
        usize::from(self.slots.iter().copied().max().unwrap_or(0)).checked_sub(1)
    }

    /// Whether no rule decides anything.
    pub fn is_empty(&self) -> bool {
        self.slots == [0; Setting::ALL.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_rule_keeps_a_setting_whatever_the_order() {
        let mut terms = Terms::default();
        assert!(terms.is_empty() && terms.last().is_none() && terms.get(Setting::Edge).is_none());
        for rule in [3, 0, 2] {
            terms.set(Setting::Edge, rule);
        }
        terms.set(Setting::Tags, 0);
        assert_eq!((terms.get(Setting::Edge), terms.get(Setting::Tags)), (Some(3), Some(0)));
        assert_eq!((terms.last(), terms.get(Setting::Bypass)), (Some(3), None));
        assert!(!terms.is_empty());
    }

    #[test]
    fn a_rule_too_many_changes_nothing() {
        let mut terms = Terms::default();
        terms.set(Setting::Edge, Terms::MOST_RULES);
        assert!(terms.is_empty());
        terms.set(Setting::Edge, Terms::MOST_RULES - 1);
        assert_eq!(terms.get(Setting::Edge), Some(Terms::MOST_RULES - 1));
        assert_eq!(std::mem::size_of::<Terms>(), 40);
    }

    #[test]
    fn every_setting_has_its_own_word_and_place() {
        for (at, setting) in Setting::ALL.iter().enumerate() {
            assert_eq!(setting.index(), at);
            assert_eq!(Setting::ALL.iter().filter(|other| other.as_str() == setting.as_str()).count(), 1);
        }
    }
}
