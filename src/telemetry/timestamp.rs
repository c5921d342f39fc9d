//! When a request happened, as the access log writes it: RFC 3339 for JSON, nginx's way for `combined`. UTC.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const MILLIS_PER_DAY: u64 = 86_400_000;

/// A moment taken apart.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u64,
}

/// Appends `2026-11-22T12:25:35.123Z`.
pub(super) fn rfc3339(out: &mut Vec<u8>, unix_millis: u64) {
    let at = Moment::at(unix_millis);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[..4], at.year);
    digits(&mut text[5..7], at.month);
    digits(&mut text[8..10], at.day);
    digits(&mut text[11..13], at.hour);
    digits(&mut text[14..16], at.minute);
    digits(&mut text[17..19], at.second);
    digits(&mut text[20..23], at.millis);
    out.extend_from_slice(&text);
}

/// `2026-11-22T12:25:35.123Z`.
pub fn utc(unix_millis: u64) -> String {
    let mut out = Vec::with_capacity(24);
    rfc3339(&mut out, unix_millis);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends `22/Nov/2026:12:25:35 +0000`.
pub(super) fn common_log(out: &mut Vec<u8>, unix_millis: u64) {
    let at = Moment::at(unix_millis);
    let mut text = *b"00/___/0000:00:00:00 +0000";
    digits(&mut text[..2], at.day);
    text[3..6].copy_from_slice(MONTHS[at.month as usize - 1]);
    digits(&mut text[7..11], at.year);
    digits(&mut text[12..14], at.hour);
    digits(&mut text[15..17], at.minute);
    digits(&mut text[18..20], at.second);
    out.extend_from_slice(&text);
}

impl Moment {
    fn at(unix_millis: u64) -> Self {
        let (year, month, day) = civil(unix_millis / MILLIS_PER_DAY);
        let millis = unix_millis % MILLIS_PER_DAY;
        let seconds = millis / 1000;
        Self {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millis: millis % 1000,
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01: the Gregorian calendar repeats every 146,097 days, and
/// with years that begin in March the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Fills `place` with the last digits of `value`.
fn digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(unix_millis: u64) -> (String, String) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        rfc3339(&mut one, unix_millis);
        common_log(&mut other, unix_millis);
        (String::from_utf8(one).unwrap(), String::from_utf8(other).unwrap())
    }

    #[test]
    fn moments_are_written_both_ways() {
        for (unix_millis, rfc3339, common) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z", "28/Feb/2000:23:59:59 +0000"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "29/Feb/2000:00:00:00 +0000"),
            (1_709_164_800_007, "2024-02-29T00:00:00.007Z", "29/Feb/2024:00:00:00 +0000"),
            (1_795_350_335_123, "2026-11-22T12:25:35.123Z", "22/Nov/2026:12:25:35 +0000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "01/Mar/2100:00:00:00 +0000"),
        ] {
            assert_eq!(both(unix_millis), (rfc3339.to_owned(), common.to_owned()));
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..200_000 {
            let now = civil(day);
            assert!(now > before && (now.2 == before.2 + 1 || now.2 == 1), "{before:?} {now:?}");
            before = now;
        }
    }
}
