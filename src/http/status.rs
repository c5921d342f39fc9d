//! Statuses as the configuration names them: `404`, `4xx`, `400-499`.

use std::fmt;
use std::str::FromStr;

/// A range of statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The lowest status in it.
    pub from: u16,
    /// The highest status in it.
    pub to: u16,
}

/// What names no statuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Not written as statuses are.
    #[error("`{0}` is not a status: write one such as 404, a class such as 4xx, or a range such as 400-499")]
    Form(String),
    /// A number that is no final status (RFC 9110 §15).
    #[error("`{0}` is not a status: they go from 200 to 599")]
    Number(String),
    /// The ends are the wrong way round.
    #[error("`{0}` is empty: write the lower status first")]
    Order(String),
}

impl StatusRange {
    /// Whether a status is in it.
    pub fn contains(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }

    /// How many statuses are in it, less one; the narrower range says more about a status.
    pub fn width(self) -> u16 {
        self.to.saturating_sub(self.from)
    }
}

impl FromStr for StatusRange {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let number = |digits: &str| -> Result<u16, StatusError> {
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(StatusError::Form(text.to_owned()));
            }
            let status = digits.parse().map_err(|_| StatusError::Form(text.to_owned()))?;
            if (200..=599).contains(&status) { Ok(status) } else { Err(StatusError::Number(text.to_owned())) }
        };
        if let Some(class) = text.strip_suffix("xx") {
            let from = number(&format!("{class}00"))?;
            return Ok(Self { from, to: from + 99 });
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let range = Self { from: number(from.trim_end())?, to: number(to.trim_start())? };
        if range.from <= range.to { Ok(range) } else { Err(StatusError::Order(text.to_owned())) }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (from, to) if from == to => write!(f, "{from}"),
            (from, to) if from % 100 == 0 && to == from + 99 => write!(f, "{}xx", from / 100),
            (from, to) => write!(f, "{from}-{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_and_are_shown_as_written() {
        for (text, from, to) in
            [("404", 404, 404), ("4xx", 400, 499), ("400-404", 400, 404), ("200-599", 200, 599)]
        {
            let range: StatusRange = text.parse().unwrap();
            assert_eq!((range.from, range.to, range.to_string().as_str()), (from, to, text));
        }
        assert_eq!("400-499".parse::<StatusRange>().unwrap().to_string(), "4xx");
        assert_eq!("400 - 404".parse::<StatusRange>().unwrap().to_string(), "400-404");
    }

    #[test]
    fn what_names_no_status_says_what_to_write() {
        for (text, message) in [
            ("", "write one such as 404"),
            ("40x", "write one such as 404"),
            ("xx", "write one such as 404"),
            ("44xx", "write one such as 404"),
            ("+04", "write one such as 404"),
            ("100", "from 200 to 599"),
            ("1xx", "from 200 to 599"),
            ("600", "from 200 to 599"),
            ("499-400", "lower status first"),
            ("400-", "write one such as 404"),
            ("é00", "write one such as 404"),
        ] {
            let error = text.parse::<StatusRange>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn both_ends_belong_to_a_range() {
        let range = StatusRange { from: 400, to: 404 };
        assert!(range.contains(400) && range.contains(404) && !range.contains(399) && !range.contains(405));
        assert_eq!(range.width(), 4);
    }
}
