//! The header fields of a request, read the same way whichever parser found them.

/// Borrowed header fields: as `httparse` left them, or as a parsed map.
#[derive(Clone, Copy, Debug)]
pub enum Fields<'a> {
    /// From the front's own parse of an HTTP/1 head.
    Raw(&'a [httparse::Header<'a>]),
    /// From a parsed request (HTTP/2, Pingora).
    Map(&'a http::HeaderMap),
}

impl<'a> Fields<'a> {
    /// Every value of the field, in order. `name` is lower-case.
    pub fn all(self, name: &str) -> Values<'a, '_> {
        match self {
            Self::Raw(list) => Values::Raw(list.iter(), name),
            Self::Map(map) => Values::Map(map.get_all(name).into_iter()),
        }
    }

    /// The first value of the field. `name` is lower-case.
    pub fn first(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether the field is there. `name` is lower-case.
    pub fn has(self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The length that the message announces (RFC 9110 §8.6), if it is a number.
    pub fn content_length(self) -> Option<u64> {
        std::str::from_utf8(self.first("content-length")?).ok()?.parse().ok()
    }

    /// Whether it asks for less than the whole: a range or a precondition (RFC 9110 §13, §14). One look at each name,
    /// where asking for each of the fields would hash six.
    pub fn ask_for_part(self) -> bool {
        let is_part = |name: &str| {
            name.eq_ignore_ascii_case("range")
                || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"))
        };
        match self {
            Self::Raw(list) => list.iter().any(|h| is_part(h.name)),
            Self::Map(map) => map.keys().any(|name| is_part(name.as_str())),
        }
    }
}

/// Iterator over the values of one field.
pub enum Values<'a, 'n> {
    #[doc(hidden)]
    Raw(std::slice::Iter<'a, httparse::Header<'a>>, &'n str),
    #[doc(hidden)]
    Map(http::header::ValueIter<'a, http::HeaderValue>),
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Raw(list, name) => list.find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value),
            Self::Map(values) => values.next().map(|v| v.as_bytes()),
        }
    }
}
