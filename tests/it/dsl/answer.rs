//! What a client of a test got, and what can be said about it in one line.

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field; several lines joined.
    pub fn field(&self, name: &str) -> Option<String> {
        let lines = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.clone()).reduce(|all, next| all + ", " + &next)
    }
}

/// An answer, as far as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its head; status 0 if there was none.
    pub head: Head,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// Whether the body ended as announced.
    pub whole: bool,
    /// Whether the front wrote it, and whether it might have: `None` where the front is off or was not watched.
    pub front: Option<bool>,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<String> {
        self.head.field(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It has this status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.head.status, status, "{self:?}");
        self
    }

    /// It has this body, and the body is whole.
    #[track_caller]
    pub fn assert_body(&self, body: impl AsRef<[u8]>) -> &Self {
        let (got, wanted) = (&self.body[..], body.as_ref());
        if got != wanted {
            let (got, wanted) = (shortened(got), shortened(wanted));
            panic!("the body is {got}, not {wanted}; whole: {}; head: {:?}", self.whole, self.head);
        }
        assert!(self.whole, "the body broke off: {:?}", self.head);
        self
    }

    /// It began and did not end as announced.
    #[track_caller]
    pub fn assert_broken(&self) -> &Self {
        assert!(!self.whole, "a success of {}: {:?}", shortened(&self.body), self.head);
        self
    }

    /// What Cache-Status says, without its time to live.
    #[track_caller]
    pub fn assert_cache_status(&self, expected: &str) -> &Self {
        let value = self.field("cache-status").unwrap_or_default();
        let parts: Vec<&str> = value.split("; ").filter(|part| !part.starts_with("ttl=")).collect();
        assert_eq!(parts.join("; "), format!("Foreland; {expected}"), "{:?}", self.head);
        self
    }

    /// It has a field with this value.
    #[track_caller]
    pub fn assert_field(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.field(name).as_deref(), Some(value), "{name} of {:?}", self.head);
        self
    }

    /// It has no such field.
    #[track_caller]
    pub fn assert_no_field(&self, name: &str) -> &Self {
        assert_eq!(self.field(name), None, "{name} of {:?}", self.head);
        self
    }

    /// The front wrote it, wherever the front is on.
    #[track_caller]
    pub fn assert_front(&self) -> &Self {
        assert_ne!(self.front, Some(false), "the proxy wrote it: {:?}", self.head);
        self
    }

    /// The proxy wrote it.
    #[track_caller]
    pub fn assert_proxy(&self) -> &Self {
        assert_ne!(self.front, Some(true), "the front wrote it: {:?}", self.head);
        self
    }

    /// Seconds in a field.
    #[track_caller]
    pub fn seconds(&self, name: &str) -> i64 {
        self.field(name).and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{name} of {:?}", self.head))
    }

    /// Time to live, as Cache-Status tells it.
    #[track_caller]
    pub fn ttl(&self) -> i64 {
        let value = self.field("cache-status").unwrap_or_default();
        let ttl = value.split("; ").find_map(|part| part.strip_prefix("ttl=")?.parse().ok());
        ttl.unwrap_or_else(|| panic!("no ttl in {:?}", self.head))
    }
}

fn shortened(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    format!("{} bytes {text:?}", body.len())
}
