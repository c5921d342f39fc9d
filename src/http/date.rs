//! Reads and writes the dates of HTTP, such as `Sun, 06 Nov 1994 08:49:37 GMT`.

use std::time::UNIX_EPOCH;

/// The longest of the three formats is 33 bytes: `Wednesday, 06-Nov-94 08:49:37 GMT`.
const LONGEST: usize = 33;

/// The last second of the year 9999; the format has no room for a later one.
const LAST_SECOND: u64 = 253_402_300_799;

const DAY: u64 = 86_400;

/// Reads a date in any of the three formats, as seconds since 1970 (RFC 9110 §5.6.7). `None` when it is not a date,
/// or one before 1970.
pub fn parse(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Writes the preferred format, without allocating (RFC 9110 §5.6.7). A second after the year 9999 is written as the
/// last of it.
pub fn format(unix: u64) -> [u8; 29] {
    let unix = unix.min(LAST_SECOND);
    let (days, second) = (unix / DAY, unix % DAY);
    let (year, month, day) = civil(days);
    let mut out = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    out[0..3].copy_from_slice(name(b"ThuFriSatSunMonTueWed", days % 7));
    out[5..7].copy_from_slice(&two_digits(day));
    out[8..11].copy_from_slice(name(b"JanFebMarAprMayJunJulAugSepOctNovDec", month - 1));
    out[12..14].copy_from_slice(&two_digits(year / 100));
    out[14..16].copy_from_slice(&two_digits(year % 100));
    out[17..19].copy_from_slice(&two_digits(second / 3600));
    out[20..22].copy_from_slice(&two_digits(second / 60 % 60));
    out[23..25].copy_from_slice(&two_digits(second % 60));
    out
}

/// Year, month and day (both from 1) of a day counted from 1970-01-01.
///
/// Counts from 1 March of the year 0, so that a leap day ends its year, in eras of 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The three letters at `index`; every caller's index is below the number of names.
fn name(names: &'static [u8], index: u64) -> &'static [u8] {
    let at = index as usize * 3;
    names.get(at..at + 3).unwrap_or(b"???")
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn all_three_formats_of_the_rfc_are_the_same_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "now",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, and more of it",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:3\xff GMT"), None);
    }

    #[test]
    fn known_moments_are_written_as_they_should_be() {
        for (unix, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(format(unix).as_slice(), text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix in 0..=LAST_SECOND) {
            prop_assert_eq!(parse(&format(unix)), Some(unix));
        }

        #[test]
        fn it_agrees_with_the_reference_writer(unix in 0..=LAST_SECOND) {
            let reference = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix));
            prop_assert!(format(unix) == reference.as_bytes());
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            parse(&value);
        }

        #[test]
        fn a_date_with_one_byte_changed_never_panics(unix in 0..=LAST_SECOND, at in 0usize..29, byte: u8) {
            let mut text = format(unix);
            text[at] = byte;
            parse(&text);
        }
    }
}
